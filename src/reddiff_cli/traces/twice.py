"""JPEG files that were JPEG before, and coarser: opened and saved again, as editors and chats do.

The blocks and fringes that one sees are those of the first file, of which the tables of the second
know nothing. Where the blocks of both were the same, the coefficients of luma still are multiples
of the first steps, to half a step of the second. What they tell is believed if it becomes the
second file when it is encoded again.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..formats.jpeg import JpegFile
from ..operators.jpeg import BLOCK, SCALE, measure_jpeg, to_planes
from .blocks import SIDE, uneven_blocks, uneven_squares
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
# No more than so many rows and columns of blocks are searched, and compared; they begin at
# multiples of the largest unit of blocks.
SEARCHED, COMPARED, UNIT = 256, 96, 4


def find_earlier(file: JpegFile) -> JpegTraces | None:
    """What a coarser JPEG file held that `file` was made of; None if there was none.

    Where only its luma is told, chroma is that of `file`.
    """
    if file.colour == "rgb" or min(file.height, file.width) < SIDE:
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
            return JpegTraces(_first(_moved(encoder, part, file), file), steps.quality)
    encoder = Encoder(part.top, part.left, (steps.table,), end=END)
    if len(file.components) == 1 or not _is_told(encoder, _luma(part)):
        return None
    luma = _first(_moved(encoder, part, file), _luma(file)).components
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
            chroma, nats = find_chroma_steps(encoder.chroma(x), steps.table, later)
            told.append((nats, replace(encoder, tables=(steps.table, chroma, chroma))))
    usual = steps.of_chroma()
    for nats, encoder in sorted(told, key=lambda one: -one[0]):
        if nats > 0:
            if usual is not None:
                yield replace(encoder, tables=(steps.table, usual, usual))
            yield encoder


def _is_told(encoder: Encoder, file: JpegFile) -> bool:
    """Whether what the encoder makes of a file becomes the same file when it is encoded again."""
    again = _decoded(_first(encoder, file), smooth=encoder.smoothed)
    shown = (((again.clamp(-1, 1) + 1) * SCALE).round() / SCALE) - 1
    operator, y = measure_jpeg(file.components, file.colour)
    height, width = operator.canvas
    right, bottom = width - file.left - file.width, height - file.top - file.height
    outside = (file.left, right, file.top, bottom)
    difference = operator(F.pad(shown, outside, mode="replicate")) - y
    unseen = F.pad(clipped(shown, END), outside, value=1.0)
    numbers = [layout.numbers for layout in operator.layouts]
    parts = zip(torch.split(y[0], numbers), torch.split(difference[0], numbers), strict=True)
    for layout, (stored, apart) in zip(operator.layouts, parts, strict=True):
        shape = (layout.rows, layout.columns, BLOCK, BLOCK)
        same = apart.view(shape).abs() <= (SAME / layout.table).clamp(min=1)
        kernel = (BLOCK * layout.shrink[0], BLOCK * layout.shrink[1])
        whole = F.max_pool2d(unseen, kernel)[0, 0][: layout.rows, : layout.columns] == 0
        counted = whole & uneven_blocks(stored.view(shape))
        if counted.any() and same.flatten(2).all(2)[counted].float().mean() < MOST:
            return False
    return True


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
