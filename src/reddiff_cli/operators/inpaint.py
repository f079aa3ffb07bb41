"""Inpainting: y = known * x. The data step is exact and pixel by pixel."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


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

    def start(self, y: Tensor) -> Tensor:
        """Smooth filling of the hole from its surroundings; known pixels are those of y."""
        return fill_smoothly(y, self.known)

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x sum known (x - y)^2 + r (x - d)^2, pixel by pixel."""
        return (self.known * y + r * d) / (self.known + r)


def fill_smoothly(y: Tensor, known: Tensor) -> Tensor:
    """Fill unknown pixels by pull-push (Gortler, Grzeszczuk, Szeliski, Cohen 1996).

    Means of known pixels go up a pyramid until every pixel has one, and come down by linear
    interpolation into the pixels still empty. y: (B, C, H, W); known: (1 or B, 1, H, W).
    """
    weight = known.expand(y.shape[0], -1, -1, -1)
    if bool((weight > 0).all()):
        return y.clone()
    height, width = y.shape[2:]
    if height == width == 1:
        return torch.where(weight > 0, y, torch.zeros_like(y))
    coarse, coarse_weight = _pull(y * weight, weight)
    filled = fill_smoothly(coarse, coarse_weight)
    up = F.interpolate(
        filled, size=(height + height % 2, width + width % 2), mode="bilinear", align_corners=False
    )[:, :, :height, :width]
    return weight * y + (1 - weight) * up


def _pull(weighted: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Means over 2x2 pixels of what is known, and whether anything was."""
    height, width = weighted.shape[2:]
    margin = (0, width % 2, 0, height % 2)
    total = F.avg_pool2d(F.pad(weighted, margin), 2)
    share = F.avg_pool2d(F.pad(weight, margin), 2)
    return total / share.clamp(min=1e-6), (share > 0).to(weight.dtype)
