"""Super-resolution: y = every f-th sample of a filtered x, as programs make small pictures.

At the border the filter loses the taps that fall outside and the rest is scaled to sum 1, which is
what Pillow does; `bicubic` equals Pillow's antialiased reduction (Keys 1981 with a = -0.5, widened
by f), `lanczos` its LANCZOS, `box` the mean of f x f pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from ..linear import solve_data_step
from ..metrics import rms
from .spectra import BoxSpectrum

# Longer axes take conjugate gradients: eigenvectors cost the cube of their length.
LARGEST_AXIS = 2048


@dataclass(frozen=True)
class Downsample:
    """y = (filter x) at every f-th pixel; f times smaller on both axes.

    scale: f.    taps: (kh, kw), of sum 1, laid on x without turning (a correlation).
    offset: row and column of the first tap, from the corner of an output's f x f block.
    line: (k,), if taps is its outer product with itself; then everything goes axis by axis.
    """

    scale: int
    taps: Tensor
    offset: tuple[int, int]
    line: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, f H, f W) -> (B, C, H, W)."""
        return self._decimate(x) / self._weight(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, f H, f W); the transpose, which is no interpolation."""
        height, width = (self.scale * n for n in y.shape[2:])
        spread = y / self._weight(y.new_empty(1, 1, height, width))
        out = spread.flatten(0, 1)[:, None]
        for kernel, stride in self._passes(y):
            out = F.conv_transpose2d(out, kernel, stride=stride)
        (top, bottom), (left, right) = self._margins(height, width)
        # Undo the padding of `_decimate`: cut what was added, add what it never looked at.
        down, across = top + height + bottom - out.shape[2], left + width + right - out.shape[3]
        out = F.pad(out, (-left, across - right, -top, down - bottom))
        return out.view(*y.shape[:2], height, width)

    def start(self, y: Tensor) -> Tensor:
        """Bicubic interpolation."""
        return F.interpolate(y, scale_factor=self.scale, mode="bicubic", align_corners=False)

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2 = d + A^T (A A^T + r I)^-1 (y - A d).

        Closed: for `box` A A^T = I / f^2, and that of any filter that works axis by axis is
        diagonal in the product of the two axes' eigenvectors.
        """
        if self.is_box:
            return d + self.adjoint((y - self(d)) / (1 / self.scale**2 + r))
        if self.line is None or max(y.shape[2:]) > LARGEST_AXIS:
            return solve_data_step(self, d, y, r)
        rows, columns = (self._modes(n, y) for n in y.shape[2:])
        seen = rows.vectors.T @ (y - self(d)) @ columns.vectors
        shrunk = seen / (torch.outer(rows.values, columns.values) + r)
        return d + self.adjoint(rows.vectors @ shrunk @ columns.vectors.T)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of y - A x for each picture, (B,)."""
        return rms(y - self(x))

    @property
    def spectrum(self) -> BoxSpectrum | None:
        """Singular values, for the mean of f x f pixels only."""
        return BoxSpectrum(self.scale) if self.is_box else None

    @property
    def is_box(self) -> bool:
        """True for the plain mean of f x f pixels."""
        same = self.taps.shape == (self.scale, self.scale) and self.offset == (0, 0)
        return same and bool((self.taps == self.taps[0, 0]).all())

    def _passes(self, like: Tensor) -> list[tuple[Tensor, tuple[int, int]]]:
        """Kernels and strides of the convolutions that make up the filter."""
        if self.line is None:
            return [(self.taps.to(like)[None, None], (self.scale, self.scale))]
        line = self.line.to(like)
        return [
            (line.view(1, 1, -1, 1), (self.scale, 1)),
            (line.view(1, 1, 1, -1), (1, self.scale)),
        ]

    def _modes(self, length: int, like: Tensor) -> "Modes":
        if self.line is None:
            raise ValueError("the filter does not work axis by axis")
        taps = tuple(self.line.double().tolist())
        modes = axis_modes(taps, self.scale, self.offset[0], length)
        return Modes(modes.values.to(like), modes.vectors.to(like))

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
        out = padded
        for kernel, stride in self._passes(x):
            out = F.conv2d(out, kernel, stride=stride)
        return out.view(*x.shape[:2], *out.shape[2:])

    def _weight(self, x: Tensor) -> Tensor:
        """Sum of the taps inside the picture at every output pixel, (1, 1, H, W)."""
        return self._decimate(torch.ones_like(x[:1, :1]))


@dataclass(frozen=True)
class Modes:
    """Eigenvalues (n,) and eigenvectors (n, n), in columns, of A A^T along one axis."""

    values: Tensor
    vectors: Tensor


@cache
def axis_modes(taps: tuple[float, ...], scale: int, offset: int, length: int) -> Modes:
    """Of a filter with these taps that makes `length` samples, float64."""
    rows = torch.arange(length)[:, None] * scale + offset + torch.arange(len(taps))
    inside = (rows >= 0) & (rows < length * scale)
    weight = torch.tensor(taps, dtype=torch.float64) * inside
    weight = weight / weight.sum(1, keepdim=True)
    gram = torch.zeros(length, length, dtype=torch.float64)
    for apart in range(min(length, -(-len(taps) // scale))):
        # Outputs so far apart share the last taps of one and the first of the other.
        shared = len(taps) - apart * scale
        products = weight[: length - apart, apart * scale :] * weight[apart:, :shared]
        gram += torch.diag(products.sum(1), apart)
        if apart:
            gram += torch.diag(products.sum(1), -apart)
    values, vectors = torch.linalg.eigh(gram)
    return Modes(values.clamp(min=0), vectors)


def resampling(scale: int, function: Callable[[float], float], support: float) -> Downsample:
    """Antialiased reduction by a continuous filter of the given support, widened by `scale`."""
    reach = support * scale
    centre = (scale - 1) / 2  # of an output's block, in pixels
    first, last = math.ceil(centre - reach), math.floor(centre + reach)
    values = [function((j - centre) / scale) for j in range(first, last + 1)]
    line = torch.tensor(values, dtype=torch.float64)
    line = line / line.sum()
    return Downsample(scale, torch.outer(line, line).float(), (first, first), line.float())


def box(scale: int) -> Downsample:
    """Mean of f x f pixels."""
    line = torch.full((scale,), 1 / scale)
    return Downsample(scale, torch.full((scale, scale), 1 / scale**2), (0, 0), line)


def bicubic(scale: int) -> Downsample:
    """Pillow's BICUBIC reduction."""
    return resampling(scale, _keys, 2)


def lanczos(scale: int) -> Downsample:
    """Pillow's LANCZOS reduction."""
    return resampling(scale, _lanczos3, 3)


def gaussian(scale: int, sigma: float) -> Downsample:
    """Gaussian of standard deviation sigma in pixels of the large picture, cut at 4 sigma."""
    width = sigma / scale
    return resampling(scale, lambda v: math.exp(-(v**2) / (2 * width**2)), 4 * width)


def from_kernel(scale: int, kernel: Tensor) -> Downsample:
    """Own filter (kh, kw), convolved with the large picture around the middle of each block.

    The origin is the tap (kh // 2, kw // 2), which lies on pixel (f - 1) // 2 of the block.
    """
    turned = kernel.flip(0, 1)  # a convolution as a correlation
    centre = (scale - 1) // 2
    offsets = [centre - (n - 1 - n // 2) for n in kernel.shape]
    return Downsample(scale, turned, (offsets[0], offsets[1]))


def _keys(v: float) -> float:
    v = abs(v)
    if v < 1:
        return (1.5 * v - 2.5) * v * v + 1
    return ((-0.5 * v + 2.5) * v - 4) * v + 2 if v < 2 else 0.0


def _lanczos3(v: float) -> float:
    if v == 0:
        return 1.0
    if abs(v) >= 3:
        return 0.0
    return 3 * math.sin(math.pi * v) * math.sin(math.pi * v / 3) / (math.pi * v) ** 2
