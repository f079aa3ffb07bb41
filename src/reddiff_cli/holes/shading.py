"""Fit a hole to proposed colours and slopes, so that shading joins at its border."""

import torch
from torch import Tensor

from .shape import bounding_region

FIT_ROUNDS = 60


def slopes_of(x: Tensor) -> Tensor:
    """Forward differences to the right and downwards, (2C, H, W); zero at the far edges."""
    right, down = torch.zeros_like(x), torch.zeros_like(x)
    right[:, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    down[:, :-1] = x[:, 1:] - x[:, :-1]
    return torch.cat([right, down])


def fit_shading(
    x: Tensor, hole: Tensor, colours: Tensor, slopes: Tensor, colour_weight: float
) -> None:
    """Least squares for the hole, in place: slopes as proposed, colours weakly, border fixed.

    Screened Poisson equation (Darabi, Shechtman, Barnes, Goldman, Sen 2012, "Image Melding") by
    conjugate gradients from the present picture, on the bounding box of the hole.
    x, colours: (C, H, W).    hole: (H, W) bool.    slopes: (2C, H, W) as `slopes_of` gives them.
    """
    box = bounding_region(hole.numpy(), 1).slices
    inside = hole[box].to(x.dtype)
    # Each slope counts where it touches the hole; slopes between known pixels are given.
    touches = torch.stack([inside, inside])
    touches[0, :, :-1] = torch.maximum(inside[:, :-1], inside[:, 1:])
    touches[1, :-1] = torch.maximum(inside[:-1], inside[1:])
    wanted = slopes[:, *box].view(2, len(x), *inside.shape) * touches[:, None]

    def gradient(v: Tensor, g: Tensor, c: Tensor) -> Tensor:
        r = (slopes_of(v).view_as(g) - g) * touches[:, None]
        out: Tensor = colour_weight * (v - c) - r[0] - r[1]
        out[:, :, 1:] += r[0, :, :, :-1]
        out[:, 1:] += r[1, :, :-1]
        return out * inside

    fitted = x[:, *box].clone()
    residual = -gradient(fitted, wanted, colours[:, *box])
    direction = residual.clone()
    size = residual.square().sum()
    nothing = torch.zeros_like(wanted), torch.zeros_like(fitted)
    for _ in range(FIT_ROUNDS):
        if float(size) < 1e-6 * float(inside.sum()):
            break
        applied = gradient(direction, *nothing)
        step = size / (direction * applied).sum()
        fitted += step * direction
        residual -= step * applied
        size, before = residual.square().sum(), size
        direction = residual + size / before * direction
    x[:, *box] = torch.where(inside > 0, fitted.clamp(-1, 1), x[:, *box])
