"""Inpainting: y = known * x. The data step is exact and pixel by pixel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..holes.smooth import bend_smoothly, fill_smoothly
from .spectra import MaskSpectrum


@dataclass(frozen=True)
class Inpaint:
    """y = known * x.    known: (1 or B, 1, H, W), 1 = observed, 0 = hole.

    A value w between is a pixel observed with sigma_y / sqrt(w) instead of sigma_y; y holds such
    a pixel unscaled.
    """

    known: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> y of the same shape, zero in the hole."""
        return (self.known > 0) * x

    def adjoint(self, y: Tensor) -> Tensor:
        """The same mask: A is a projection."""
        return self(y)

    def start(self, y: Tensor) -> Tensor:
        """Smooth filling of the hole from its surroundings; known pixels are those of y."""
        return bend_smoothly(fill_smoothly(y, self.known), self.known)

    @property
    def spectrum(self) -> MaskSpectrum:
        """Singular value decomposition: pixels are the directions."""
        return MaskSpectrum(self.known)

    @property
    def direct(self) -> Tensor:
        """Where y is x and noise: the pixels that are fully observed."""
        return self.known == 1

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x sum known (x - y)^2 + r (x - d)^2, pixel by pixel."""
        return (self.known * y + r * d) / (self.known + r)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of y - x over what was fully observed, for each picture, (B,)."""
        observed = (self.known == 1).to(x.dtype).expand_as(x)
        total = ((y - x) * observed).square().flatten(1).sum(1)
        return (total / observed.flatten(1).sum(1).clamp(min=1)).sqrt()


@dataclass(frozen=True)
class Whitened:
    """y = sqrt(known) * x: what `Inpaint` observes, in units in which all of y has noise sigma_y.

    For those who know no weights: parts of a `Chain`, and DPS. known: as of `Inpaint`.
    """

    known: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> y of the same shape, zero in the hole."""
        return self.known.sqrt() * x

    def adjoint(self, y: Tensor) -> Tensor:
        """The same: the map is diagonal."""
        return self(y)

    def start(self, y: Tensor) -> Tensor:
        """y in its own units, and where nothing is known the smooth filling."""
        known = (self.known > 0).to(y.dtype)
        values = torch.where(self.known > 0, y / self.known.sqrt(), torch.zeros_like(y))
        return Inpaint(known).start(values)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """As of `Inpaint`."""
        return Inpaint(self.known).residual(x, y)
