"""PiGDM, pseudoinverse-guided diffusion (Song et al., ICLR 2023, OpenReview 9_gsMA8MRKQ).

A DDIM chain guided by J^T v: v is how far the data step moves D, J the network's Jacobian.
"""

import math
from collections.abc import Iterator

from torch import Tensor

from ..signatures import DataTerm
from .chain import chain, denoise_recorded, noised, pull_back
from .given import Given

# As in the test script published by its authors' group, whatever the task.
ETA = 1.0


def pigdm(
    given: Given[DataTerm],
    *,
    steps: int,
    sigma_y: float,
    eta: float = ETA,
    s_start: float | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Sample x from y = A(x) + sigma_y n by a guided DDIM chain.

    Yields (k, D + sqrt(alpha_bar_t) g) after each of `steps` network evaluations, of
        v = data_step(D, y, sigma_y^2 / r2) - D = A^T (A A^T + sigma_y^2 / r2)^-1 (y - A D),
        g = (dD / dx)^T v,    r2 = s^2 / (1 + s^2),
        x <- sqrt(alpha_bar_u) (D + sqrt(alpha_bar_t) g) + c1 xi + c2 eps_hat,
    c1 = eta times the standard deviation of the DDPM posterior, c1^2 + c2^2 = 1 - alpha_bar_u.
    Each step goes backwards through the network too.

    The start is seen through the noise of the first level: s_start, or the top of the schedule.
    sigma_y: noise in [-1, 1] units, above 0. The denoiser must record gradients (ValueError). D is
    not clipped.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta}, must lie between 0 and 1")
    levels = chain(given.schedule, given.schedule.uniform_grid(steps, s_start))
    x = noised(given, levels[0])
    for k, level in enumerate(levels):
        root = math.sqrt(level.alpha_bar_t)
        recorded, leaf = denoise_recorded(x / root, level, given.denoiser)
        clean = recorded.detach()
        v = given.operator.data_step(clean, given.y, sigma_y**2 / (1 - level.alpha_bar_t)) - clean
        # The leaf is z = x / root, so that sqrt(alpha_bar_t) g is the gradient in z.
        estimate = clean + pull_back(recorded, leaf, v)
        eps = (x - root * clean) / math.sqrt(1 - level.alpha_bar_t)
        c1, c2 = _noise_shares(level.alpha_bar_t, level.alpha_bar_u, eta)
        x = math.sqrt(level.alpha_bar_u) * estimate + c2 * eps
        if not level.last:
            x = x + c1 * given.draw_noise()
        yield k + 1, estimate


def _noise_shares(alpha_bar_t: float, alpha_bar_u: float, eta: float) -> tuple[float, float]:
    """Weights of fresh noise and of eps_hat (DDIM, Song et al. 2021, arXiv 2010.02502)."""
    fresh = (1 - alpha_bar_t / alpha_bar_u) * (1 - alpha_bar_u) / (1 - alpha_bar_t)
    c1 = eta * math.sqrt(fresh)
    return c1, math.sqrt(1 - alpha_bar_u - c1**2)
