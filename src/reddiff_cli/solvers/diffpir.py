"""DiffPIR, plug-and-play restoration by a diffusion prior (Zhu et al. 2023, arXiv 2305.08995).

Denoise, solve the data term in closed form around D, and go down with partly fresh noise.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..signatures import DataTerm
from .chain import chain, denoise, noised
from .given import Given

# (zeta, lambda) by task. inpaint, superres, deblur: the scripts and settings published with the
# paper. The others have no published value: they take zeta of superres and lambda 4, which is the
# neutral weight (the lambda here counts sigma in [0, 1], s in [-1, 1] units).
SETTINGS = {
    "inpaint": (1.0, 1.0),
    "superres": (0.25, 1.0),
    "deblur": (0.1, 7.0),
    "phase": (0.25, 4.0),
    "hdr": (0.25, 4.0),
    "denoise": (0.25, 4.0),
    "jpeg": (0.25, 4.0),
    "colorize": (0.25, 4.0),
    "restore": (0.25, 4.0),
}
# The least noise that the published scripts assume: 0.001 in [0, 1] units.
SIGMA_LEAST = 0.002


def diffpir(
    given: Given[DataTerm],
    *,
    steps: int,
    sigma_y: float,
    zeta: float,
    weight: float,
    s_start: float | None = None,
    known: Tensor | None = None,
    clip: bool = True,
) -> Iterator[tuple[int, Tensor]]:
    """Restore x from y = A(x) + sigma_y n by denoising and data steps in turn.

    Yields (k, h) after each of `steps` network evaluations, and D after the last, of
        h = argmin_x |y - A(x)|^2 + r |x - D|^2,    r = (weight / 4) sigma_y^2 / s^2,
        x <- sqrt(alpha_bar_u) h + sqrt(1 - alpha_bar_u) (sqrt(1 - zeta) e + sqrt(zeta) xi),
    e the noise that x holds if h is the picture. Time steps are dense at the end.

    The start is seen through the noise of the first level: s_start, or the top of the schedule.
    sigma_y: noise in [-1, 1] units.    weight: lambda in the paper's units.    known: of an
    inpainting problem, 1 = observed; these pixels of y are pasted into the result.    clip: D to
    [-1, 1], as published.
    """
    if not 0 <= zeta <= 1:
        raise ValueError(f"zeta is {zeta}, must lie between 0 and 1")
    if weight <= 0:
        raise ValueError(f"weight is {weight}, must be above 0")
    sigma = max(sigma_y, SIGMA_LEAST)
    levels = chain(given.schedule, given.schedule.quadratic_grid(steps, s_start))
    x = noised(given, levels[0])
    for k, level in enumerate(levels):
        root, spread = math.sqrt(level.alpha_bar_t), math.sqrt(1 - level.alpha_bar_t)
        clean = denoise(x / root, level, given.denoiser)
        clean = clean.clamp(-1, 1) if clip else clean
        if level.last:
            yield k + 1, clean if known is None else torch.where(known == 1, given.y, clean)
            return
        h = given.operator.data_step(clean, given.y, weight / 4 * sigma**2 / level.s_t**2)
        e = (x - root * h) / spread
        noise = math.sqrt(1 - zeta) * e + math.sqrt(zeta) * given.draw_noise()
        x = math.sqrt(level.alpha_bar_u) * h + math.sqrt(1 - level.alpha_bar_u) * noise
        yield k + 1, h
