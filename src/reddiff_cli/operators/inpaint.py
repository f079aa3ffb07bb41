"""Inpainting: y = known * x. The data step is exact and pixel by pixel."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..holes.smooth import bend_smoothly, blurred, fill_smoothly
from ..tiling import Patchwork
from .spectra import MaskSpectrum

# How far what D misses of known pixels tells of a hole beside them, as a standard deviation in
# pixels. Six photographs at 1/16 and 1/32 of their size, their holes 6 pixels thick there: rms
# error of the hole 14.4 of 255 without that, 11.3 with 1.5 pixels, 13.3 with 3.
TOLD = 1.5
# A hole pixel with this share of known ones around it is told half.
HALF_TOLD = 1e-3


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
class JoinedInpaint(Inpaint):
    """The same, of an x whose D misses neighbours alike: what it misses of known ones is told.

    The data step of independent pixels lets the picture jump where a hole begins, by what D
    misses: at high noise whole shades. At lower noise the network takes that for an edge, and
    keeps it. So here D is also set right in the hole, beside its border.
    view: where the pixels of (B, C, 1, N) lie.
    """

    view: Patchwork

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """As of `Inpaint`, of d plus what it misses nearby."""
        direct = self.direct.to(d.dtype)
        told = self._blurred((y - d) * direct) / (self._blurred(direct) + HALF_TOLD)
        return super().data_step(torch.where(self.direct, d, d + told), y, r)

    def _blurred(self, x: Tensor) -> Tensor:
        """x: (B, C, 1, N), each of B by itself."""
        rows = torch.split(x, 1)
        parts = [self.view.map_windows(lambda seen: blurred(seen, TOLD), row) for row in rows]
        return torch.cat(parts)


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
