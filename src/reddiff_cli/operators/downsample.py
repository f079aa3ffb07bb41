"""Super-resolution: y = every f-th sample of a filtered x, as programs make small pictures.

At the border the filter loses the taps that fall outside and the rest is scaled to sum 1, which is
what Pillow does; `bicubic` equals Pillow's antialiased reduction (Keys 1981 with a = -0.5, widened
by f), `lanczos` its LANCZOS, `box` the mean of f x f pixels.
"""

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from ..kernels.filters import Taps, draw_filter
from ..linear import solve_data_step
from ..options.tasks import Filter
from .evenly import EvenlyMeasured
from .separable import Matrices, Separable, Sides, decimation, factors, kept_separable
from .spectra import BoxSpectrum

# Side of the largest picture whose rows and columns are kept as matrices.
LARGEST = 8192


@dataclass(frozen=True)
class Downsample(EvenlyMeasured):
    """y = (filter x) at every f-th pixel; f times smaller on both axes.

    scale: f.    taps: (kh, kw), of sum 1, laid on x without turning (a correlation).
    offset: row and column of the first tap, from the corner of an output's f x f block.
    """

    scale: int
    taps: Tensor
    offset: tuple[int, int]
    # Its parts for every size and type seen so far, where rows and columns are apart.
    _apart: dict[object, Separable] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    # The same as they stand, which tangents ask for in every step.
    _sides: dict[object, Sides] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, f H, f W) -> (B, C, H, W)."""
        return self._decimate(x) / self._weight(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, f H, f W); the transpose, which is no interpolation."""
        height, width = (self.scale * n for n in y.shape[2:])
        spread = y / self._weight(y.new_empty(1, 1, height, width))
        flat = spread.flatten(0, 1)[:, None]
        out = F.conv_transpose2d(flat, self._kernel(y), stride=self.scale)
        (top, bottom), (left, right) = self._margins(height, width)
        # Undo the padding of `_decimate`: cut what was added, add what it never looked at.
        missing = (left + width + right - out.shape[3], top + height + bottom - out.shape[2])
        out = F.pad(out, (0, missing[0], 0, missing[1]))
        out = F.pad(out, (-left, -right, -top, -bottom))
        return out.view(*y.shape[:2], height, width)

    def start(self, y: Tensor) -> Tensor:
        """Bicubic interpolation."""
        return F.interpolate(y, scale_factor=self.scale, mode="bicubic", align_corners=False)

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2; in closed form, or by iterations.

        Those are needed where a kernel is no product of one for rows and one for columns, as a
        file's may be, and in pictures above LARGEST, but for the mean of blocks.
        """
        if self.is_box:  # A A^T = I / f^2
            return d + self.adjoint((y - self(d)) / (1 / self.scale**2 + r))
        if self._factors is None or max(d.shape[2:]) > LARGEST:
            return solve_data_step(self, d, y, r)
        return kept_separable(self._apart, self.matrices, d, y).data_step(d, y, r)

    def sides(self, y: Tensor) -> Sides | None:
        """A by the matrices of rows and columns, for pictures like y; None if it is no product."""
        key = (y.shape[2:], y.dtype, y.device)
        small = self.scale * max(y.shape[2:]) <= LARGEST
        if key not in self._sides and small and (matrices := self.matrices(*y.shape[2:])):
            self._sides[key] = Sides(*(side.to(y) for side in matrices))
        return self._sides.get(key)

    @property
    def spectrum(self) -> BoxSpectrum | None:
        """Singular values, for the mean of f x f pixels only."""
        return BoxSpectrum(self.scale) if self.is_box else None

    @cached_property
    def is_box(self) -> bool:
        """True for the plain mean of f x f pixels."""
        same = self.taps.shape == (self.scale, self.scale) and self.offset == (0, 0)
        return same and bool((self.taps == self.taps[0, 0]).all())

    def matrices(self, height: int, width: int) -> Matrices | None:
        """Those of rows and columns, for y of this size; None if the filter is no product."""
        if self._factors is None:
            return None
        column, row = self._factors
        top, left = self.offset
        return (
            decimation(column, top, self.scale, height),
            decimation(row, left, self.scale, width),
        )

    @cached_property
    def _factors(self) -> tuple[Tensor, Tensor] | None:
        return factors(self.taps)

    def _kernel(self, like: Tensor) -> Tensor:
        return self.taps.to(like)[None, None]

    def _margins(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros to add before and after (negative: to cut) so that tap 0 of output 0 is at 0."""
        f = self.scale
        sides = []
        for length, count, offset in zip(
            (height, width), self.taps.shape, self.offset, strict=True
        ):
            reach = (length // f - 1) * f + offset + count
            sides.append((-offset, reach - length))
        return sides[0], sides[1]

    def _decimate(self, x: Tensor) -> Tensor:
        """Correlation with the taps at every f-th position, zero outside."""
        (top, bottom), (left, right) = self._margins(*x.shape[2:])
        padded = F.pad(x.flatten(0, 1)[:, None], (left, right, top, bottom))
        out = F.conv2d(padded, self._kernel(x), stride=self.scale)
        return out.view(*x.shape[:2], *out.shape[2:])

    @property
    def drawn(self) -> Taps:
        """Its filter, as plans know it."""
        return Taps(self.taps.double().numpy(), self.offset)

    def _weight(self, x: Tensor) -> Tensor:
        """Sum of the taps inside the picture at every output pixel, (1, 1, H, W)."""
        return self._decimate(torch.ones_like(x[:1, :1]))


def from_taps(scale: int, taps: Taps) -> Downsample:
    """The reduction by a filter as it was drawn."""
    return Downsample(scale, torch.from_numpy(taps.weights).float(), taps.offset)


def box(scale: int) -> Downsample:
    """Mean of f x f pixels."""
    return from_taps(scale, draw_filter(scale, Filter("box")))


def bicubic(scale: int) -> Downsample:
    """Pillow's BICUBIC reduction."""
    return from_taps(scale, draw_filter(scale, Filter("bicubic")))
