"""How noisy a picture is, by the network itself: the noise of maximum likelihood under the prior.

If y is x + sigma n and tau n' is added, z = y + tau n' has noise of s^2 = sigma^2 + tau^2, and for
the mean D of all pictures that z may show

    E |z - D|^2 = s^2 tr(I - J),    E <n', z - D> = tau tr(I - J),    J = dD / dz:

the first as s^2 J is the covariance of x given z (Efron 2011, "Tweedie's formula and selection
bias"), the second as n' is normal (Stein 1981, "Estimation of the mean of a multivariate normal
distribution"). So rho = tau |z - D|^2 / (s^2 <n', z - D>) is 1 at the right sigma: there the
derivative of log p_s(z) by s is 0. It is above 1 where there is more noise than sigma, and below
where there is less. Texture, which the network knows from noise, does not count as any. n' serves
as its own probe: no derivative, one evaluation for each sigma that is tried.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..estimation.clipping import is_recorded
from ..estimation.tile_noise import in_bands
from ..schedule import Schedule
from ..signatures import DenoiseFunction, DrawNoise

# Noise that is tried: from so many times the highest down, in steps, to a least one (of 255).
ABOVE, STEP, LEAST, MOST = math.sqrt(2), math.sqrt(2), 0.25, 9
# sigma of the level s, or more is added: to no less than this level (of 255), as the last levels
# of a schedule are far apart.
SHARE, LEVEL = 0.7, 1.9
TINY = 1e-12


def likeliest_noise(
    tiles: Tensor,
    highest: float,
    denoiser: DenoiseFunction,
    schedule: Schedule,
    draw_noise: DrawNoise,
) -> Iterator[tuple[int, Tensor]]:
    """(k, what the first k looks tell of every tile); the last is complete.

    tiles: (n, C, side, side) in [-1, 1].    highest: noise at most, about, in [-1, 1] units.
    draw_noise: fresh N(0, I) of their shape.    What is told: (n, 7): standard deviation, in
    [-1, 1] units, and what `in_bands` makes of what is taken away there, and of what would be.
    """
    sigmas = _tried(highest)
    found = torch.full((len(tiles),), sigmas[-1]).to(tiles)
    before = torch.full_like(found, -math.inf)
    open_ = torch.ones_like(found, dtype=torch.bool)
    for k, sigma in enumerate(sigmas):
        look = _look(tiles, found.new_full(found.shape, sigma), denoiser, schedule, draw_noise())
        excess = _excess(tiles, *look).log()
        between = torch.where(before.isinf(), 0.0, excess / (excess - before).clamp(min=TINY))
        here = open_ & (excess >= 0)
        found = torch.where(here, sigma * STEP ** between.clamp(0, 1), found)
        open_, before = open_ & ~here, excess
        yield k + 1, _told(found)
        if not bool(open_.any()):
            break
    added, tau, s, taken = _look(tiles, found, denoiser, schedule, draw_noise())
    left = tau[:, None] / s[:, None].square() * in_bands(taken, taken)
    yield k + 2, torch.cat([found[:, None], left, in_bands(added, taken)], 1)


def _tried(highest: float) -> list[float]:
    """Standard deviations, falling."""
    sigmas = [highest * ABOVE / STEP**k for k in range(MOST)]
    return [sigma for sigma in sigmas if sigma > LEAST / 127.5] or sigmas[:1]


def _look(
    tiles: Tensor, sigma: Tensor, denoiser: DenoiseFunction, schedule: Schedule, xi: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(n', tau, s, z - D) of tiles whose noise is sigma, (n,), if it is."""
    wanted = (sigma / math.sqrt(1 - SHARE**2)).clamp(min=LEVEL / 127.5).cpu().double()
    t = torch.searchsorted(schedule.s, wanted).clamp(max=len(schedule.s) - 1)
    s = schedule.s[t].to(tiles)
    tau = (s.square() - sigma.square()).clamp(min=0).sqrt()
    z = tiles + tau[:, None, None, None] * xi
    return xi, tau, s, z - denoiser(z, t)


def _excess(tiles: Tensor, xi: Tensor, tau: Tensor, s: Tensor, taken: Tensor) -> Tensor:
    """rho of each tile, where it is not clipped."""
    recorded = is_recorded(tiles)
    energy, probe = (
        (recorded * taken * other).flatten(1).sum(1).clamp(min=TINY) for other in (taken, xi)
    )
    return tau * energy / (s.square() * probe)


def _told(sigma: Tensor) -> Tensor:
    return torch.cat([sigma[:, None], sigma.new_ones(len(sigma), 6)], 1)
