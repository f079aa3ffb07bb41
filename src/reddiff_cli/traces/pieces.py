"""Parts of JPEG files: what they show, where their blocks begin, their luma, their middle."""

from dataclasses import replace
from typing import Protocol

from torch import Tensor

from ..formats.jpeg import JpegComponent, JpegFile
from ..operators.jpeg import BLOCK, measure_jpeg

# The middle of a file begins at multiples of the largest unit of blocks.
UNIT = 4


class Begins(Protocol):
    """Blocks of which a picture lacks some rows and columns."""

    @property
    def top(self) -> int: ...

    @property
    def left(self) -> int: ...


def decoded(file: JpegFile, *, smooth: bool = False) -> Tensor:
    """(1, C, H, W), neither rounded nor clipped."""
    operator, y = measure_jpeg(file.components, file.colour)
    rows = slice(file.top, file.top + file.height)
    return operator.decoded(y, smooth=smooth)[..., rows, file.left : file.left + file.width]


def apart_from(first: Begins, file: JpegFile) -> tuple[int, int]:
    """Rows and columns from where blocks of a file begin to where those of the first one do."""
    return file.top - first.top, file.left - first.left


def is_displaced(first: Begins, file: JpegFile) -> bool:
    """True if its blocks begin elsewhere than those of a file."""
    apart = apart_from(first, file)
    largest = [BLOCK * max(item.shrink[axis] for item in file.components) for axis in (0, 1)]
    return any(distance % size for distance, size in zip(apart, largest, strict=True))


def luma_of(file: JpegFile) -> JpegFile:
    """A file of its luma alone."""
    return replace(file, components=file.components[:1], colour="grey")


def beside(luma: JpegFile, file: JpegFile) -> JpegFile:
    """A file of this luma and the chroma of another, whose blocks may begin elsewhere."""
    top, left = max(luma.top, file.top), max(luma.left, file.left)
    components = [
        _begun(item, (top - one.top, left - one.left))
        for one, parts in ((luma, luma.components), (file, file.components[1:]))
        for item in parts
    ]
    return replace(file, components=tuple(components), top=top, left=left)


def _begun(item: JpegComponent, at: tuple[int, int]) -> JpegComponent:
    return item if item.begins == at else replace(item, begins=at)


def middle_of(file: JpegFile, most: int) -> JpegFile:
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
