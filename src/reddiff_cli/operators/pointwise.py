"""Operators that act on every pixel alone: noise only, and colour seen through grey."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..light.luma import REC601
from .evenly import EvenlyMeasured
from .spectra import ColourSpectrum, MaskSpectrum


@dataclass(frozen=True)
class Identity(EvenlyMeasured):
    """Denoising: y = x + noise."""

    def __call__(self, x: Tensor) -> Tensor:
        """A copy of x."""
        return x.clone()

    def adjoint(self, y: Tensor) -> Tensor:
        """A copy of y."""
        return y.clone()

    @property
    def spectrum(self) -> MaskSpectrum:
        """Singular values, all 1."""
        return MaskSpectrum(torch.ones(()))  # a number goes with tensors of any device

    @property
    def direct(self) -> Tensor:
        """Where y is x and noise: everywhere."""
        return torch.ones((), dtype=torch.bool)

    def start(self, y: Tensor) -> Tensor:
        """y itself."""
        return y.clone()

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """(y + r d) / (1 + r)."""
        return (y + r * d) / (1 + r)


@dataclass(frozen=True)
class Grey(EvenlyMeasured):
    """Colourisation: y = w . x, one grey value for three colours.

    weights: (3,), of sum 1, so that grey pictures keep their value in [-1, 1].
    """

    weights: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1, H, W)."""
        return (self._w(x) * x).sum(1, keepdim=True)

    def adjoint(self, y: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 3, H, W)."""
        return self._w(y) * y

    @property
    def spectrum(self) -> ColourSpectrum:
        """Singular values: |w| for grey, 0 for the two colours."""
        return ColourSpectrum(self.weights)

    def start(self, y: Tensor) -> Tensor:
        """y in all three channels."""
        return y.repeat(1, 3, 1, 1)

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """d + w (y - w . d) / (w . w + r)."""
        w = self._w(d)
        return d + w * (y - self(d)) / (w.square().sum() + r)

    def _w(self, like: Tensor) -> Tensor:
        return self.weights.to(like).view(1, 3, 1, 1)


def rec601() -> Grey:
    """Grey as Pillow makes it."""
    return Grey(torch.tensor(REC601))
