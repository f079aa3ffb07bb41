"""DPS, diffusion posterior sampling (Chung et al. 2022, arXiv 2209.14687).

A DDPM chain whose every step is pushed down the gradient of |y - A(D)|, taken through the network.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..linear import Map
from ..options.common import PUBLISHED_STEPS
from .chain import chain, denoise_recorded, noised, pull_back
from .given import Given

PUBLISHED_PIXELS = 256 * 256
# zeta by task at the published number of evaluations, for the gradient of the norm. superres,
# deblur, inpaint and phase: the configurations published with the paper. The others have no
# published value and take that of superres. The published phase measures a picture in [-1, 1],
# ours in [0, 1] (operators/phase.py): its norm pulls half as hard, so that 1.0 there is 2.0 here.
ZETA = {
    "inpaint": 0.5,
    "superres": 0.3,
    "deblur": 0.3,
    "phase": 2.0,
    "hdr": 0.3,
    "denoise": 0.3,
    "colorize": 0.3,
    "restore": 0.3,
}


def default_zeta(task: str, steps: int, pixels: int = PUBLISHED_PIXELS) -> float:
    """zeta that pushes as far in `steps` evaluations as the published one does in its own.

    And as far in pictures of so many pixels: |y - A(D)| grows with their side, and its gradient in
    a pixel falls with it. Two crops of 96x96, noise 0.05, 50 evaluations from s = 1, with it and
    as if they were of 256x256: 70 % of the pixels missing 28.0 / 24.0 dB, superres x4 23.5 / 22.6,
    motion:15,30 26.8 / 27.7.

    Unscaled, a chain of 100 hardly sees the measurement: 13.1 instead of 19.2 dB on a crop of a
    photograph with 70 % of its pixels missing (natural prior, masked picture 11.5 dB).
    """
    return ZETA[task] * PUBLISHED_STEPS["dps"] / steps * math.sqrt(pixels / PUBLISHED_PIXELS)


def dps(
    given: Given[Map], *, steps: int, zeta: float, s_start: float | None = None, clip: bool = True
) -> Iterator[tuple[int, Tensor]]:
    """Sample x from y = A(x) + noise by a DDPM chain with a data gradient.

    Yields (k, estimate) after each of `steps` network evaluations: D, and at last x itself, of
        x <- posterior mean(x, D) + posterior std xi - zeta grad_x |y - A(D)|,
    D clipped, the norm taken picture by picture; with fewer steps than the schedule has, the
    posterior is that of the respaced alpha_bar, with the fixed small variance. The noise of y does
    not enter: zeta stands in its place. Each step goes backwards through the network too.

    The start is seen through the noise of the first level: s_start, or the top of the schedule
    (where it is all but invisible). The denoiser must record gradients, and A have some (JPEG has
    none): else ValueError.
    """
    if zeta < 0:
        raise ValueError(f"zeta is {zeta}, must not be negative")
    levels = chain(given.schedule, given.schedule.uniform_grid(steps, s_start))
    x = noised(given, levels[0])
    for k, level in enumerate(levels):
        root = math.sqrt(level.alpha_bar_t)
        clean, leaf = denoise_recorded(x / root, level, given.denoiser, clip=clip)
        slope = norm_gradient(given.operator, clean.detach(), given.y)
        gradient = pull_back(clean, leaf, slope) / root
        clean = clean.detach()
        ratio = level.alpha_bar_t / level.alpha_bar_u  # the respaced 1 - beta
        rest = 1 - level.alpha_bar_t
        x = (
            math.sqrt(level.alpha_bar_u) * (1 - ratio) / rest * clean
            + math.sqrt(ratio) * (1 - level.alpha_bar_u) / rest * x
        )
        if not level.last:
            x = x + math.sqrt((1 - ratio) * (1 - level.alpha_bar_u) / rest) * given.draw_noise()
        x = x - zeta * gradient
        yield k + 1, x if level.last else clean


def norm_gradient(operator: Map, x: Tensor, y: Tensor) -> Tensor:
    """Gradient of |y - A(x)| in x, the norm of each picture its own; zero where y = A(x).

    ValueError if A passes no gradient although y and A(x) differ.
    """
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        predicted = operator(leaf)
    if not predicted.requires_grad:
        raise ValueError("the operator is not differentiable, which DPS needs")
    residual = y - predicted.detach()
    norm = torch.linalg.vector_norm(residual.flatten(1), dim=1)
    norm = torch.where(norm > 0, norm, 1).view(-1, *[1] * (residual.ndim - 1))
    (slope,) = torch.autograd.grad(predicted, leaf, -residual / norm)
    if not bool(slope.any()) and bool(residual.any()):
        raise ValueError("the operator's gradient is zero everywhere (rounding?); DPS needs one")
    return slope
