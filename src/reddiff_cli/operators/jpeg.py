"""JPEG: every stored coefficient says in which interval the picture's own coefficient lay.

Encoder model: JFIF colours (ITU-T T.871), chroma averaged over boxes of the subsampled size,
orthonormal 8x8 DCT (ITU-T T.81), division by the file's tables, rounding. The data step projects
on the set of pictures which that encoder turns into this file: no gradient through rounding.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..light.luma import REC601
from ..machine.transfer import send
from ..metrics import rms

BLOCK = 8
# Samples from -128 to 127 per unit of x.
SCALE = 127.5
# Standard deviation of rounding, the sigma_y that belongs to y.
SIGMA = 1 / math.sqrt(12)
# JFIF: rows Y, Cb, Cr over columns R, G, B.
_TO_YCBCR = (
    REC601,
    tuple((float(k == 2) - REC601[k]) / (2 * (1 - REC601[2])) for k in range(3)),
    tuple((float(k == 0) - REC601[k]) / (2 * (1 - REC601[0])) for k in range(3)),
)


@dataclass(frozen=True)
class ComponentLayout:
    """How one component lies in the file.    rows, columns: its blocks.    shrink: pixels per
    sample, (down, across).    table: (8, 8) quantisation steps, or (rows, columns, 8, 8).
    begins: rows and columns of the canvas above and beside it.
    """

    rows: int
    columns: int
    shrink: tuple[int, int]
    table: Tensor
    begins: tuple[int, int] = (0, 0)

    @property
    def numbers(self) -> int:
        return self.rows * self.columns * BLOCK * BLOCK

    @property
    def ends(self) -> tuple[int, int]:
        """Row and column of the canvas behind its last ones."""
        down, across = self.rows * self.shrink[0], self.columns * self.shrink[1]
        return self.begins[0] + BLOCK * down, self.begins[1] + BLOCK * across

    def samples_of(self, plane: Tensor) -> Tensor:
        """Means over the boxes of its sampling: (B, H, W) -> (B, h, w), h and w of its blocks."""
        (top, left), (bottom, right) = self.begins, self.ends
        part = plane[:, top:bottom, left:right]
        return part if self.shrink == (1, 1) else F.avg_pool2d(part, self.shrink)

    def around(self, canvas: tuple[int, int]) -> tuple[int, int, int, int]:
        """Pixels that it lacks on a canvas: left, right, top, bottom."""
        (top, left), (bottom, right) = self.begins, self.ends
        return left, canvas[1] - right, top, canvas[0] - bottom


@dataclass(frozen=True)
class Jpeg:
    """y = round(DCT(components of x) / tables).

    x: (B, 1 or 3, H, W) in [-1, 1], H and W those of `canvas` (whole blocks of every component;
    the picture is its upper left part).    y: (B, N), the quantised coefficients of all
    components after one another, each in order of blocks, vertical and horizontal frequency.

    Rounding errors are uniform: their standard deviation, in units of y, is `SIGMA`.
    """

    layouts: tuple[ComponentLayout, ...]
    colour: str = "ycbcr"

    @property
    def canvas(self) -> tuple[int, int]:
        """Height and width of x: whole blocks of all components."""
        ends = [item.ends for item in self.layouts]
        return max(down for down, _ in ends), max(across for _, across in ends)

    def __call__(self, x: Tensor) -> Tensor:
        """Encode: (B, C, H, W) -> (B, N)."""
        planes = to_planes(x, self.colour)
        parts = []
        for c, layout in enumerate(self.layouts):
            blocks = _dct(_cut(layout.samples_of(planes[:, c]), layout))
            parts.append(torch.round(blocks / layout.table.to(blocks)).flatten(1))
        return torch.cat(parts, 1)

    def start(self, y: Tensor) -> Tensor:
        """Decode, chroma by linear interpolation between sample centres, not rounded."""
        return self.decoded(y).clamp(-1, 1)

    def decoded(self, y: Tensor, *, smooth: bool = True) -> Tensor:
        """The same, not clipped either.    smooth: False repeats the samples of chroma."""
        how = {"mode": "bilinear", "align_corners": False} if smooth else {"mode": "nearest"}
        planes = []
        for layout, numbers in zip(self.layouts, self._split(y), strict=True):
            samples = _join(_undo_dct(numbers * layout.table.to(y)), layout)[:, None]
            if layout.shrink != (1, 1):
                size = (samples.shape[2] * layout.shrink[0], samples.shape[3] * layout.shrink[1])
                samples = F.interpolate(samples, size, **how)
            planes.append(F.pad(samples, layout.around(self.canvas), mode="replicate"))
        return self._from_planes(torch.cat(planes, 1))

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |E(x) - y|^2 + r |x - d|^2 over all x encoded as y; E is A without rounding.

        Coefficient by coefficient, distances in the file's colour space: a mean of d and the
        middle of the interval, clamped into [q (k - 1/2), q (k + 1/2)]. A correction of
        subsampled chroma is repeated over its box, the shortest way to change a mean.
        """
        planes = to_planes(d, self.colour)
        moved = planes.clone()
        for c, (layout, numbers) in enumerate(zip(self.layouts, self._split(y), strict=True)):
            table = layout.table.to(planes)
            before = _dct(_cut(layout.samples_of(planes[:, c]), layout))
            middle = numbers * table
            trust = r * math.prod(layout.shrink) * (table / SCALE) ** 2
            after = (middle + trust * before) / (1 + trust)
            after = torch.minimum(torch.maximum(after, middle - table / 2), middle + table / 2)
            change = _join(_undo_dct(after - before), layout)
            change = change.repeat_interleave(layout.shrink[0], 1)
            change = change.repeat_interleave(layout.shrink[1], 2)
            (top, left), (bottom, right) = layout.begins, layout.ends
            moved[:, c, top:bottom, left:right] += change
        return self._from_planes(moved)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of what lies outside the intervals, in steps of the tables, per picture, (B,)."""
        planes = to_planes(x, self.colour)
        parts = []
        for c, layout in enumerate(self.layouts):
            blocks = _dct(_cut(layout.samples_of(planes[:, c]), layout))
            parts.append((blocks / layout.table.to(blocks)).flatten(1))
        return rms((torch.cat(parts, 1) - y).abs().sub(0.5).clamp(min=0))

    def _split(self, y: Tensor) -> list[Tensor]:
        """(B, N) -> per component (B, rows, columns, 8, 8)."""
        parts = torch.split(y, [layout.numbers for layout in self.layouts], 1)
        return [
            part.view(len(y), layout.rows, layout.columns, BLOCK, BLOCK)
            for part, layout in zip(parts, self.layouts, strict=True)
        ]

    def _from_planes(self, planes: Tensor) -> Tensor:
        if self.colour != "ycbcr":
            return (planes + 0.5) / SCALE
        shifted = planes.clone()
        shifted[:, 0] += 0.5
        doubles = torch.linalg.inv(_matrix(torch.zeros((), dtype=torch.float64)))
        inverse = send(doubles.to(planes.dtype), planes.device)
        return torch.einsum("kc,bchw->bkhw", inverse, shifted) / SCALE


class StoredComponent(Protocol):
    """One component as a file holds it; arrays as in `formats.jpeg.JpegComponent`."""

    @property
    def coefficients(self) -> NDArray[np.int16]: ...

    @property
    def table(self) -> NDArray[np.int64]: ...

    @property
    def shrink(self) -> tuple[int, int]: ...

    @property
    def begins(self) -> tuple[int, int]: ...


def measure_jpeg(components: Sequence[StoredComponent], colour: str) -> tuple[Jpeg, Tensor]:
    """The operator of a file, and its y: (1, N), float32."""
    layouts = []
    for item in components:
        rows, columns = item.coefficients.shape[:2]
        table = torch.from_numpy(item.table).float()
        layouts.append(ComponentLayout(rows, columns, item.shrink, table, item.begins))
    numbers = [torch.from_numpy(item.coefficients).flatten() for item in components]
    return Jpeg(tuple(layouts), colour), torch.cat(numbers)[None].float()


def to_planes(x: Tensor, colour: str = "ycbcr") -> Tensor:
    """[-1, 1] -> samples of a file, shifted to lie around zero: -128 to 127.

    x: (B, C, H, W); of one channel it is as of other colours than ycbcr.
    """
    if colour != "ycbcr" or x.shape[1] == 1:
        return x * SCALE - 0.5
    planes = torch.einsum("kc,bchw->bkhw", _matrix(x), x) * SCALE
    planes[:, 0] -= 0.5
    return planes


def dct_of(plane: Tensor) -> Tensor:
    """Coefficients of a plane of whole blocks: (h, w) -> (h / 8, w / 8, 8, 8)."""
    height, width = plane.shape
    layout = ComponentLayout(height // BLOCK, width // BLOCK, (1, 1), plane)
    return _dct(_cut(plane[None], layout))[0]


def basis(like: Tensor) -> Tensor:
    """Orthonormal DCT-II of 8 points, rows by frequency."""
    index = torch.arange(BLOCK, dtype=torch.float64)
    waves = torch.cos((2 * index + 1) * index[:, None] * math.pi / (2 * BLOCK)) / 2
    waves[0] /= math.sqrt(2)
    return waves.to(like)


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(_TO_YCBCR, dtype=like.dtype, device=like.device)


def _cut(plane: Tensor, layout: ComponentLayout) -> Tensor:
    """(B, h, w) -> (B, rows, columns, 8, 8)."""
    shape = len(plane), layout.rows, BLOCK, layout.columns, BLOCK
    return plane.reshape(shape).transpose(2, 3)


def _join(blocks: Tensor, layout: ComponentLayout) -> Tensor:
    """(B, rows, columns, 8, 8) -> (B, h, w)."""
    height, width = layout.rows * BLOCK, layout.columns * BLOCK
    return blocks.transpose(2, 3).reshape(len(blocks), height, width)


def _dct(blocks: Tensor) -> Tensor:
    waves = basis(blocks)
    return waves @ blocks @ waves.T


def _undo_dct(blocks: Tensor) -> Tensor:
    waves = basis(blocks)
    return waves.T @ blocks @ waves
