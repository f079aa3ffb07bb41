"""Blur: y = k * x, a true convolution, so that the kernel looks like the picture of a point.

The default boundary is `unknown`: x is a canvas larger than y by the kernel, and only positions
where the kernel fits are measured (valid convolution). Nothing is assumed about the outside of a
photograph; a circular FFT there costs more than 10 dB. The origin of a kernel (kh, kw) is
(kh // 2, kw // 2): a single 1 there is the identity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from ..linear import solve_data_step
from .evenly import EvenlyMeasured
from .frames import effort, solve_in_frame
from .separable import Matrices, Separable, factors, kept_separable, sliding
from .spectra import CircularSpectrum

# Side of the largest canvas whose rows and columns are kept as matrices.
LARGEST = 1024


@dataclass(frozen=True)
class Blur(EvenlyMeasured):
    """Valid convolution: canvas (B, C, H + kh - 1, W + kw - 1) -> (B, C, H, W).

    kernel: (kh, kw).
    """

    kernel: Tensor
    # Its parts, where rows and columns are apart, for every size and type seen so far.
    _apart: dict[object, Separable] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    # Its transform for every size and type seen so far.
    _transfers: dict[object, Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __call__(self, x: Tensor) -> Tensor:
        """The blurred picture, smaller than the canvas by the kernel."""
        kh, kw = self.kernel.shape
        size = fast_size(x.shape[2:])
        spectrum = torch.fft.rfft2(x, size) * self._transfer(size, x)
        out = _inverse(spectrum, size)
        return out[:, :, kh - 1 : x.shape[2], kw - 1 : x.shape[3]]

    def adjoint(self, y: Tensor) -> Tensor:
        """Full correlation: (B, C, H, W) -> canvas."""
        kh, kw = self.kernel.shape
        canvas = y.shape[2] + kh - 1, y.shape[3] + kw - 1
        size = fast_size(canvas)
        placed = F.pad(y, (kw - 1, 0, kh - 1, 0))
        spectrum = torch.fft.rfft2(placed, size) * self._transfer(size, y).conj()
        return _inverse(spectrum, size)[:, :, : canvas[0], : canvas[1]]

    def start(self, y: Tensor) -> Tensor:
        """y, its border repeated outwards to the canvas."""
        (top, bottom), (left, right) = self.margins
        return F.pad(y, (left, right, top, bottom), mode="replicate")

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2.

        Exact for kernels that are a column times a row, on pictures that are not large; else by a
        few conjugate gradients in frequencies, with r at least what these can solve.
        """
        kh, kw = self.kernel.shape
        if self._factors is not None and max(d.shape[2:]) <= LARGEST:
            return kept_separable(self._apart, self.matrices, d, y).data_step(d, y, r)
        size = fast_size(d.shape[2:])
        frame = slice(kh - 1, d.shape[2]), slice(kw - 1, d.shape[3])
        count, r = effort((kh, kw), (d.shape[2], d.shape[3]), r)
        return solve_in_frame(self._transfer(size, d), size, frame, d, y, r, count)

    @property
    def margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows before and after, columns before and after the picture on the canvas."""
        kh, kw = self.kernel.shape
        top, left = kh - 1 - kh // 2, kw - 1 - kw // 2
        return (top, kh - 1 - top), (left, kw - 1 - left)

    def crop(self, x: Tensor) -> Tensor:
        """The part of the canvas that the picture shows."""
        (top, bottom), (left, right) = self.margins
        return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]

    def matrices(self, height: int, width: int) -> Matrices | None:
        """Those of rows and columns, for y of this size; None if the kernel is no product."""
        if self._factors is None:
            return None
        column, row = self._factors
        return sliding(column, height), sliding(row, width)

    @cached_property
    def _factors(self) -> tuple[Tensor, Tensor] | None:
        return factors(self.kernel)

    def _transfer(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """Transform of the kernel for a torus of this size, (H', W' // 2 + 1)."""
        key = (size, like.dtype, like.device)
        if key not in self._transfers:
            self._transfers[key] = torch.fft.rfft2(self.kernel.to(like), size)
        return self._transfers[key]


@dataclass(frozen=True)
class PaddedBlur(EvenlyMeasured):
    """Blur of a picture whose outside is assumed: y has the size of x.

    kernel: (kh, kw).    boundary: reflect or replicate.
    """

    kernel: Tensor
    boundary: str

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self._blur(F.pad(x, self._padding, mode=self.boundary))

    def adjoint(self, y: Tensor) -> Tensor:
        """The transpose: what falls outside is folded back in."""
        canvas = self._blur.adjoint(y)
        with torch.enable_grad():
            x = torch.zeros_like(y, requires_grad=True)
            padded = F.pad(x, self._padding, mode=self.boundary)
            (folded,) = torch.autograd.grad(padded, x, canvas)
        return folded

    def start(self, y: Tensor) -> Tensor:
        """y itself."""
        return y.clone()

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2 by conjugate gradients from d.

        Not preconditioned by the circular problem: its inverse is large where K is small, and what
        it does at the border takes long to undo. 2 training photographs of 128x128, no noise,
        believed as 8 bits and as exact, reflect, 20 evaluations: motion:15,30 27.0 / 15.1 dB with
        it and 34.4 / 39.3 without, gaussian:3 18.2 / 5.3 and 24.7 / 25.1. From noise 0.01 on:
        the same.
        """
        return solve_data_step(self, d, y, r)

    @cached_property
    def _blur(self) -> Blur:
        return Blur(self.kernel)

    @property
    def _padding(self) -> tuple[int, int, int, int]:
        (top, bottom), (left, right) = self._blur.margins
        return left, right, top, bottom


@dataclass(frozen=True)
class CircularBlur(EvenlyMeasured):
    """Blur of a picture that repeats itself; for benchmarks. The data step is exact by FFT.

    kernel: (kh, kw).    size: (H, W), where singular values are wanted.
    """

    kernel: Tensor
    size: tuple[int, int] | None = None
    # Its transform for every size and type seen so far.
    _transfers: dict[object, Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __call__(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return self._apply(x, self.transfer(x))

    @property
    def spectrum(self) -> CircularSpectrum | None:
        """Singular values |K| for pictures of `size`, or None without it."""
        if self.size is None:
            return None
        transfer = self.transfer(self.kernel.new_empty(1, 1, *self.size))
        whole = torch.fft.fft2(_inverse(transfer, self.size))
        return CircularSpectrum(whole)

    def adjoint(self, y: Tensor) -> Tensor:
        """Circular correlation."""
        return self._apply(y, self.transfer(y).conj())

    def start(self, y: Tensor) -> Tensor:
        """y itself."""
        return y.clone()

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """F^-1[(conj(K) Y + r F d) / (|K|^2 + r)]."""
        k = self.transfer(d)
        spectrum = k.conj() * torch.fft.rfft2(y) + r * torch.fft.rfft2(d)
        return _inverse(spectrum / (k.abs().square() + r), d.shape[2:])

    def transfer(self, like: Tensor) -> Tensor:
        """K, the transfer function for pictures of like's size, (H, W // 2 + 1)."""
        key = (like.shape[2:], like.dtype, like.device)
        if key not in self._transfers:
            self._transfers[key] = self._transform(like)
        return self._transfers[key]

    def _transform(self, like: Tensor) -> Tensor:
        kh, kw = self.kernel.shape
        height, width = like.shape[2:]
        placed = like.new_zeros(height, width)
        rows = torch.arange(kh, device=like.device) - kh // 2
        columns = torch.arange(kw, device=like.device) - kw // 2
        index = (rows[:, None] % height) * width + columns % width
        placed.view(-1).index_add_(0, index.flatten(), self.kernel.to(like).flatten())
        transfer: Tensor = torch.fft.rfft2(placed)
        return transfer

    @staticmethod
    def _apply(x: Tensor, transfer: Tensor) -> Tensor:
        return _inverse(torch.fft.rfft2(x) * transfer, x.shape[2:])


def _inverse(spectrum: Tensor, size: Sequence[int]) -> Tensor:
    values: Tensor = torch.fft.irfft2(spectrum, size)
    return values


def fast_size(shape: Sequence[int]) -> tuple[int, int]:
    """Sizes of products of 2, 3 and 5 that are not smaller: FFTs of other sizes are slow."""
    height, width = (_next_smooth(n) for n in shape)
    return height, width


def _next_smooth(n: int) -> int:
    while _without(n, (2, 3, 5)) != 1:
        n += 1
    return n


def _without(n: int, factors: tuple[int, ...]) -> int:
    for factor in factors:
        while n % factor == 0:
            n //= factor
    return n
