"""JPEG files that were JPEG before, and coarser: opened and saved again, as editors and chats do.

The blocks and fringes that one sees are those of the first file, of which the tables of the second
know nothing. Where the blocks of both were the same, the coefficients of luma still are multiples
of the first steps, to half a step of the second. What they tell is believed if it becomes the
second file when it is encoded again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..formats.jpeg import JpegFile
from ..operators.jpeg import BLOCK, SCALE, ComponentLayout, measure_jpeg, to_planes
from .blocks import SIDE, pixels_of, uneven_blocks, uneven_squares
from .encoder import Encoder, clipped, encoders
from .resaved import JpegTraces
from .steps import Steps, find_chroma_steps, find_luma_steps, standard_table

# Files with coarser steps than those of this quality tell nothing of earlier ones.
FINE = 84
# The first steps must be so many times as coarse.
COARSER = 1.25
# What is so large may have been clipped between the files.
END = 1 - 4 / SCALE
# A coefficient is the same if it differs by no more than one step, or by this, of 255; a block if
# all of them are; and so many blocks must be.
SAME, MOST = 3.0, 0.9
# Nats that each coefficient of chroma must speak for its steps, on the average; else they are of
# another encoder, or none. Nine crops of 192x192, qualities 60, 92 and 75, 90: 0.1 to 1.4 where
# they are told rightly (one has less), -2 to 0.15 where chroma was reduced by the second encoder
# alone. `jpeg` of six such crops of 160x160 has 36.71 and 35.19 dB; with anything above 0, and
# what libjpeg would take tried whatever speaks for it, 35.11 and 34.97.
EACH = 0.2
# Drawn on is a block whose coefficients differ by more, rms. One that is told wrong makes 3 to 6.
DRAWN = 8.0
# No more than so many rows and columns of blocks are searched, and compared; they begin at
# multiples of the largest unit of blocks.
SEARCHED, COMPARED, UNIT = 256, 96, 4


def find_earlier(file: JpegFile) -> JpegTraces | None:
    """What a coarser JPEG file held that `file` was made of; None if there was none.

    Where only its luma is told, chroma is that of `file`.
    """
    if file.colour == "rgb" or min(file.height, file.width) < SIDE:
        return None
    if any(item.table.ndim > 2 for item in file.components):  # somebody has drawn on it
        return None
    since = torch.from_numpy(file.components[0].table).float()
    if since.mean() > standard_table(FINE).mean():
        return None
    searched = _middle(file, SEARCHED)
    x = _decoded(searched)
    squares = uneven_squares(to_planes(x)[0, 0], clipped(x, END)[0, 0])
    steps = find_luma_steps(squares.blocks(_grid(searched)), since)
    if steps is None or steps.table.mean() < COARSER * since.mean():
        return None
    part = _middle(file, COMPARED)
    for encoder in _possible(part, steps):
        if _is_told(encoder, part):
            whole = _moved(encoder, part, file)
            return JpegTraces(_but_for_drawings(whole, file), steps.quality)
    encoder = Encoder(part.top, part.left, (steps.table,), end=END)
    if len(file.components) == 1 or not _is_told(encoder, _luma(part)):
        return None
    # Its blocks begin where those of the whole file do, beside whose chroma they will lie.
    whole = replace(encoder, top=file.top, left=file.left)
    luma = _but_for_drawings(whole, _luma(file)).components
    return JpegTraces(replace(file, components=luma + file.components[1:]), steps.quality)


def _possible(file: JpegFile, steps: Steps) -> Iterator[Encoder]:
    """Ways in which the first file may have been encoded, the likeliest first."""
    if len(file.components) == 1:
        yield Encoder(file.top, file.left, (steps.table,), end=END)
        return
    x, kept, told = _decoded(file), file.components[1].shrink, []
    since = torch.from_numpy(file.components[1].table).float()
    for encoder in encoders(_grid(file), END):
        if kept in ((1, 1), encoder.shrink):
            # The steps of the second file, by the frequencies of the first.
            down, across = (a // b for a, b in zip(encoder.shrink, kept, strict=True))
            later = since[torch.arange(BLOCK) // down][:, torch.arange(BLOCK) // across]
            found = find_chroma_steps(encoder.chroma(x), steps, later, EACH)
            tables = [(steps.table, table, table) for table, nats in found if nats > 0]
            told.append((found[-1][1], [replace(encoder, tables=each) for each in tables]))
    for _, ways in sorted(told, key=lambda one: -one[0]):
        yield from ways


@dataclass(frozen=True)
class _Compared:
    """A component of a file beside what the first file becomes when it is encoded again.

    stored: (rows, columns, 8, 8).    apart: how far from that it is, of 255.    clipped, outside:
    blocks that are so in part, (rows, columns).
    """

    layout: ComponentLayout
    stored: Tensor
    apart: Tensor
    clipped: Tensor
    outside: Tensor


def _is_told(encoder: Encoder, file: JpegFile) -> bool:
    """Whether what the encoder makes of a file becomes the same file when it is encoded again."""
    for item in _compared(_first(encoder, file), encoder.smoothed, file):
        counted = uneven_blocks(item.stored) & ~item.clipped & ~item.outside
        same = (item.apart <= item.layout.table.clamp(min=SAME)).flatten(2).all(2)
        if counted.any() and same[counted].float().mean() < MOST:
            return False
    return True


def _drawn_on(first: JpegFile, smoothed: bool, file: JpegFile) -> Tensor:
    """(1, 1, H, W): 1 in the blocks of a file that become quite others, else 0.

    first, smoothed: what it was made of, and how that was decoded.
    """
    picture = (file.top, file.left, file.height, file.width)
    parts = []
    for item in _compared(first, smoothed, file):
        others = (item.apart.square().mean((2, 3)).sqrt() > DRAWN) & ~item.outside
        parts.append(pixels_of(others, item.layout.shrink, picture))
    return torch.stack(parts).amax(0)


def _compared(first: JpegFile, smoothed: bool, file: JpegFile) -> Iterator[_Compared]:
    again = _decoded(first, smooth=smoothed)
    shown = (((again.clamp(-1, 1) + 1) * SCALE).round() / SCALE) - 1
    operator, y = measure_jpeg(file.components, file.colour)
    height, width = operator.canvas
    right, bottom = width - file.left - file.width, height - file.top - file.height
    around = (file.left, right, file.top, bottom)
    difference = operator(F.pad(shown, around, mode="replicate")) - y
    ends = clipped(shown, END)
    in_part = F.pad(ends, around), F.pad(torch.zeros_like(ends), around, value=1.0)
    numbers = [layout.numbers for layout in operator.layouts]
    parts = zip(torch.split(y[0], numbers), torch.split(difference[0], numbers), strict=True)
    for layout, (stored, apart) in zip(operator.layouts, parts, strict=True):
        shape = (layout.rows, layout.columns, BLOCK, BLOCK)
        kernel = (BLOCK * layout.shrink[0], BLOCK * layout.shrink[1])
        blocks = [F.max_pool2d(x, kernel)[0, 0, : shape[0], : shape[1]] > 0 for x in in_part]
        far = apart.view(shape).abs() * layout.table
        yield _Compared(layout, stored.view(shape), far, *blocks)


def _but_for_drawings(encoder: Encoder, file: JpegFile) -> JpegFile:
    """The first file; what was drawn on it since is as the second has it."""
    first = _first(encoder, file)
    drawn = _drawn_on(first, encoder.smoothed, file)
    if not drawn.any():
        return first
    later = [torch.from_numpy(item.table).float() for item in file.components]
    return _first(encoder.but_for(drawn, later), file)


def _first(encoder: Encoder, file: JpegFile) -> JpegFile:
    return replace(encoder.file_of(_decoded(file)), orientation=file.orientation)


def _moved(encoder: Encoder, part: JpegFile, whole: JpegFile) -> Encoder:
    """What encoded a part, for the whole picture: its blocks may begin elsewhere."""
    down, across = (BLOCK * factor for factor in encoder.shrink)
    top, left = encoder.top + whole.top - part.top, encoder.left + whole.left - part.left
    return replace(encoder, top=top % down, left=left % across)


def _decoded(file: JpegFile, *, smooth: bool = False) -> Tensor:
    """(1, C, H, W), neither rounded nor clipped."""
    operator, y = measure_jpeg(file.components, file.colour)
    rows = slice(file.top, file.top + file.height)
    return operator.decoded(y, smooth=smooth)[..., rows, file.left : file.left + file.width]


def _grid(file: JpegFile) -> tuple[int, int]:
    """The first row and column of the picture at which a block begins."""
    return -file.top % BLOCK, -file.left % BLOCK


def _luma(file: JpegFile) -> JpegFile:
    return replace(file, components=file.components[:1], colour="grey")


def _middle(file: JpegFile, most: int) -> JpegFile:
    """The middle of a large one."""
    (first_row, top, height), (first_column, left, width) = (
        _span(*axis, most) for axis in ((file.top, file.height), (file.left, file.width))
    )
    components = []
    for item in file.components:
        down, across = item.shrink
        rows = slice(first_row // down, (first_row + most) // down)
        columns = slice(first_column // across, (first_column + most) // across)
        components.append(replace(item, coefficients=item.coefficients[rows, columns]))
    inner = replace(file, components=tuple(components), top=top, left=left)
    return replace(inner, height=height, width=width)


def _span(begin: int, size: int, most: int) -> tuple[int, int, int]:
    """The first block of the middle of an axis, where the picture begins in it, and its size."""
    blocks = -(-(begin + size) // BLOCK)
    first = max(0, blocks - most) // 2 // UNIT * UNIT
    if first:
        size, begin = begin + size - first * BLOCK, 0
    return first, begin, min(size, most * BLOCK - begin)
