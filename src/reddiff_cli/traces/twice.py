"""JPEG files that were JPEG before, and coarser: opened and saved again, as editors and chats do.

The blocks and fringes that one sees are those of the first file, of which the tables of the second
know nothing. Where the blocks of both were the same, the coefficients of luma still are multiples
of the first steps, to half a step of the second; where they were not, as of a part of the picture,
displaced.py tells them. It is believed if it becomes the second file when it is encoded again.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..formats.jpeg import JpegFile
from ..operators.jpeg import BLOCK, SCALE, ComponentLayout, measure_jpeg, to_planes
from .blocks import SIDE, pixels_of, uneven_blocks, uneven_squares
from .displaced import errors_between, find_grid
from .encoder import Encoder, clipped, encoders
from .pieces import apart_from, beside, decoded, is_displaced, luma_of, middle_of
from .resaved import JpegTraces
from .steps import Steps, find_chroma_steps, find_luma_steps, standard_table

# Files with coarser steps than those of this quality tell nothing of earlier ones.
FINE = 84
# The first steps must be so many times as coarse.
COARSER = 1.25
# What is so large may have been clipped between the files.
END = 1 - 4 / SCALE
# A coefficient is the same if it differs by no more than one step, or by this, of 255; a block if
# all of them are; and so many blocks must be, or so many if those of the first lay elsewhere, of
# which one that is told wrong spoils four.
SAME, MOST, MOST_DISPLACED = 3.0, 0.9, 0.8
# Nats that each coefficient of chroma must speak for its steps, on the average; else they are of
# another encoder, or none. Nine crops of 192x192, qualities 60, 92 and 75, 90: 0.1 to 1.4 where
# they are told rightly (one has less), -2 to 0.15 where chroma was reduced by the second encoder
# alone. `jpeg` of six such crops of 160x160 has 36.71 and 35.19 dB; with anything above 0, and
# what libjpeg would take tried whatever speaks for it, 35.11 and 34.97.
EACH = 0.2
# Of those that libjpeg takes beside the steps of luma, where blocks lay elsewhere. Eight
# photographs of 256x256, qualities 60 and 75, then 92, 75 and 85, then 95, cut anywhere: -0.23 to
# 0.42 in the 25 whose first encoder reduced chroma, taken to begin where it does; -0.25 and less
# where it begins elsewhere, -0.44 and less where the second alone reduced it.
EACH_DISPLACED = -0.2
# Drawn on is a block whose coefficients differ by more, rms. One that is told wrong makes 3 to 6.
DRAWN = 8.0
# No more than so many rows and columns of blocks are searched, and compared.
SEARCHED, COMPARED = 256, 96


def find_earlier(file: JpegFile) -> JpegTraces | None:
    """What a coarser JPEG file held that `file` was made of; None if there was none.

    Where only its luma is told, chroma is that of `file`.
    """
    if file.colour == "rgb" or min(file.height, file.width) < SIDE:
        return None
    if any(item.table.ndim > 2 for item in file.components):  # somebody has drawn on it
        return None
    found = _find_blocks(file)
    if found is None:
        return None
    apart, steps = found
    part = middle_of(file, COMPARED)
    for encoder in _possible(part, apart, steps):
        if _is_told(encoder, part):
            whole = _moved(encoder, part, file)
            return JpegTraces(_but_for_drawings(whole, file), steps.quality)
    encoder = Encoder(*_before(part, apart), (steps.table,), end=END)
    if len(file.components) == 1 or not _is_told(encoder, luma_of(part), _colourful(part)):
        return None
    whole = _moved(encoder, part, file)
    luma = _but_for_drawings(whole, luma_of(file))
    return JpegTraces(beside(luma, file), steps.quality)


def _find_blocks(file: JpegFile) -> tuple[tuple[int, int], Steps] | None:
    """How far apart the blocks of a coarser first file are from those of `file`, and its steps.

    Rows and columns, 0 to 7.
    """
    since = torch.from_numpy(file.components[0].table).float()
    if since.mean() > standard_table(FINE).mean():
        return None
    searched = middle_of(file, SEARCHED)
    x = decoded(searched)
    squares = uneven_squares(to_planes(x)[0, 0], clipped(x, END)[0, 0])
    own, apart = _grid(searched), (0, 0)
    steps = find_luma_steps(squares.blocks(own), since)
    if steps is None:
        grid = find_grid(squares, own)
        if grid is None:
            return None
        apart = (grid[0] - own[0]) % BLOCK, (grid[1] - own[1]) % BLOCK
        errors = errors_between(since, apart)
        steps = find_luma_steps(squares.blocks(grid), errors, displaced=True)
    if steps is None or steps.table.mean() < COARSER * since.mean():
        return None
    return apart, steps


def _possible(file: JpegFile, apart: tuple[int, int], steps: Steps) -> Iterator[Encoder]:
    """Ways in which the first file may have been encoded, the likeliest first."""
    top, left = _before(file, apart)
    if len(file.components) == 1:
        yield Encoder(top, left, (steps.table,), end=END)
        return
    x, kept = decoded(file), file.components[1].shrink
    sure: list[tuple[float, Encoder]] = []
    perhaps: list[tuple[float, Encoder]] = []
    for plain in encoders((-top % BLOCK, -left % BLOCK), END):
        if kept not in ((1, 1), plain.shrink):
            continue
        encoder = replace(plain, crossed=_crossed(plain, file))
        displaced = is_displaced(encoder, file)
        chroma, later = encoder.chroma(x), _since(encoder, file)
        usual, told = find_chroma_steps(chroma, steps, later, displaced=displaced)
        for found in (usual, told):
            if found is not None:
                tables = (steps.table, found.table, found.table)
                way = replace(encoder, tables=tables)
                if found.over(EACH) > 0:
                    sure.append((told.over(EACH), way))
                elif displaced and found is usual and usual.over(EACH_DISPLACED) > 0:
                    perhaps.append((usual.over(EACH_DISPLACED), way))
    for ways in (sure, perhaps):
        yield from (way for _, way in sorted(ways, key=lambda one: -one[0]))


def _crossed(encoder: Encoder, file: JpegFile) -> tuple[bool, bool]:
    """By axis, whether samples of chroma in `file` cover halves of two of the first ones."""
    kept = file.components[1].shrink
    down, across = (
        bool(distance % size)
        for distance, size in zip(apart_from(encoder, file), kept, strict=True)
    )
    return down, across


def _since(encoder: Encoder, file: JpegFile) -> Tensor:
    """(8, 8), steps that chroma of the first file was rounded to by the second, or as if."""
    kept, apart = file.components[1].shrink, apart_from(encoder, file)
    down, across = (a // b for a, b in zip(encoder.shrink, kept, strict=True))
    later = torch.from_numpy(file.components[1].table).float()
    later = errors_between(later, (apart[0] // kept[0], apart[1] // kept[1]))
    for axis, crossed in enumerate(encoder.crossed):
        if crossed:  # what tells less of a frequency tells it with more noise
            told = torch.cos(math.pi / 2 * torch.arange(BLOCK) / BLOCK)
            later = later / (told[:, None] if axis == 0 else told)
    return later[torch.arange(BLOCK) // down][:, torch.arange(BLOCK) // across]


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


def _is_told(encoder: Encoder, file: JpegFile, odd: Tensor | None = None) -> bool:
    """Whether what the encoder makes of a file becomes the same file when it is encoded again.

    odd: (1, 1, H, W), 1 where that cannot be expected, else 0.
    """
    most = MOST_DISPLACED if is_displaced(encoder, file) else MOST
    for item in _compared(_first(encoder, file), encoder.smoothed, file, odd):
        counted = uneven_blocks(item.stored) & ~item.clipped & ~item.outside
        same = (item.apart <= item.layout.table.clamp(min=SAME)).flatten(2).all(2)
        if counted.any() and same[counted].float().mean() < most:
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


def _compared(
    first: JpegFile, smoothed: bool, file: JpegFile, odd: Tensor | None = None
) -> Iterator[_Compared]:
    again = decoded(first, smooth=smoothed)
    shown = (((again.clamp(-1, 1) + 1) * SCALE).round() / SCALE) - 1
    operator, y = measure_jpeg(file.components, file.colour)
    height, width = operator.canvas
    right, bottom = width - file.left - file.width, height - file.top - file.height
    around = (file.left, right, file.top, bottom)
    difference = operator(F.pad(shown, around, mode="replicate")) - y
    ends = clipped(shown, END) if odd is None else torch.maximum(clipped(shown, END), odd)
    if is_displaced(first, file):  # what is clipped or cut off spoils whole blocks of the first
        reach = BLOCK * max(max(item.shrink) for item in first.components) - 1
        ends = F.pad(ends, [reach] * 4, value=1.0)
        for kernel in ((2 * reach + 1, 1), (1, 2 * reach + 1)):
            ends = F.max_pool2d(ends, kernel, stride=1)
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
    return replace(encoder.file_of(decoded(file)), orientation=file.orientation)


def _moved(encoder: Encoder, part: JpegFile, whole: JpegFile) -> Encoder:
    """What encoded a part, for the whole picture: its blocks may begin elsewhere."""
    down, across = (BLOCK * factor for factor in encoder.shrink)
    top, left = encoder.top + whole.top - part.top, encoder.left + whole.left - part.left
    return replace(encoder, top=top % down, left=left % across)


def _before(file: JpegFile, apart: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns that the picture lacks of first blocks, so far apart from the file's."""
    return (file.top - apart[0]) % BLOCK, (file.left - apart[1]) % BLOCK


def _grid(file: JpegFile) -> tuple[int, int]:
    """The first row and column of the picture at which a block begins."""
    return -file.top % BLOCK, -file.left % BLOCK


def _colourful(file: JpegFile) -> Tensor:
    """(1, 1, H, W): 1 where a channel was clipped, which has made another of luma, else 0."""
    x = decoded(file)
    return clipped(x, END) * (1 - clipped((to_planes(x)[:, :1] + 0.5) / SCALE, END))
