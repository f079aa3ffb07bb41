"""Fill unknown pixels smoothly from their surroundings: quickly, as a bent plate, as a dome."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..linear import conjugate_gradients

BENDING = 80  # rounds of conjugate gradients for a plate
# A dome is first built at half the size, unless no side is longer than this.
LEAST_SIDE = 16
# Rounds at each size; 400 change no more than 0.03 in 200x150 pixels with smooth reaches.
DOME_ROUNDS, FEW_ROUNDS, SMALL_SIDE = 40, 10, 128
# Or until the residual has fallen to so much of what it was.
SETTLED = 1e-3


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


def bend_smoothly(x: Tensor, known: Tensor) -> Tensor:
    """Change unknown pixels so that the squared Laplacian of x is least: biharmonic filling.

    Conjugate gradients from x, each channel of each picture by itself. Thin holes settle within
    `BENDING`; wide ones keep most of their start. x: (B, C, H, W); known: (1 or B, 1, H, W).
    """
    hole = (known == 0).to(x.dtype)
    if not bool(hole.any()):
        return x.clone()
    holes = hole.expand_as(x).flatten(0, 1)[:, None]
    start = x.flatten(0, 1)[:, None]

    def bent(plates: Tensor) -> Tensor:
        return holes * _laplacian(_laplacian(plates))

    filled = (start + conjugate_gradients(bent, -bent(start), BENDING, SETTLED)).view(x.shape)
    return filled.clamp(-1, 1) * hole + x * (1 - hole)


def rise_smoothly(around: Tensor, hole: Tensor, top: Tensor, reach: Tensor) -> Tensor:
    """Rise in holes from their surroundings to `top`, in `reach` pixels to all but 1 / e.

    around: (B, C, H, W), its values outside of holes.    hole: (B, 1, H, W), 1 inside.    top: as
    `around`.    reach: as `hole`, in pixels.

    Beside a straight border top - (top - around) exp(-depth / reach), and in general the solution
    x of lap(x) = (x - top) / reach^2: by conjugate gradients, from that at half the size.
    """
    known = 1 - hole
    start = around * known + top * hole
    height, width = hole.shape[2:]
    if max(height, width) > LEAST_SIDE:
        coarse, outside = _pull(around * known, known)
        tops = F.avg_pool2d(F.pad(top, _odd(top), mode="replicate"), 2)
        reaches = F.avg_pool2d(F.pad(reach, _odd(reach), mode="replicate"), 2) / 2
        small = rise_smoothly(coarse, 1 - outside, tops, reaches)
        up = F.interpolate(small, scale_factor=2, mode="bilinear")[:, :, :height, :width]
        start = around * known + up * hole
    pull = reach**-2

    def bent(x: Tensor) -> Tensor:
        return hole * (pull * x - _laplacian(x))

    rounds = FEW_ROUNDS if max(height, width) > SMALL_SIDE else DOME_ROUNDS
    left = hole * (pull * (top - start) + _laplacian(start))
    return start + conjugate_gradients(bent, left, rounds, SETTLED)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W); the border is continued."""
    radius = math.ceil(3 * sigma)
    places = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = (kernel / kernel.sum()).to(x.dtype)
    planes = F.pad(x, (radius,) * 4, mode="replicate").flatten(0, 1)[:, None]
    planes = F.conv2d(F.conv2d(planes, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return planes.view_as(x)


def _odd(x: Tensor) -> tuple[int, int, int, int]:
    """What makes the sides even."""
    return (0, x.shape[3] % 2, 0, x.shape[2] % 2)


def _laplacian(x: Tensor) -> Tensor:
    """Sum of differences to the neighbours that exist: symmetric, zero for constants."""
    out = torch.zeros_like(x)
    rows, columns = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    out[:, :, :-1] += rows
    out[:, :, 1:] -= rows
    out[..., :-1] += columns
    out[..., 1:] -= columns
    return out
