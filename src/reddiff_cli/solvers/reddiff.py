"""RED-diff (Mardani, Song, Kautz, Vahdat 2023, arXiv 2305.04391): two forms of one objective.

Both minimise |y - A(mu)|^2 plus the denoising residual mu - D over one picture mu, visiting noise
levels from high to low, without back-propagation through the network. `red_diff` solves each step
in closed form (a proximal step, as in DiffPIR, Zhu et al. 2023, arXiv 2305.08995, but around mu
itself and with fresh noise); `red_diff_paper` is the published form: Adam on mean losses.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..linear import Map
from ..signatures import DataTerm, DenoiseFunction, DrawNoise
from .given import Given
from .look import Seen, mean_of_looks
from .through import Through

# Least noise of pixels of 8 bits, whose rounding alone has a standard deviation of 0.0023 in
# [-1, 1] units, and of more (16 bits: 9e-6). Blur gaussian:3 with a circular border, not rounded,
# 3 training photographs of 128x128, 50 evaluations, with 0.004 / 1e-4 / 2e-5 / 1e-5: 31.9 / 33.8 /
# 35.0 / 35.4 dB; gaussian:2 with an unknown border 34.8 / 37.4 / 38.3 / 38.8.
SIGMA_FLOOR = 0.004
SIGMA_EXACT = 1.5e-5
# Of measurements that exist in single precision only, as in experiments: what its arithmetic
# leaves. The first of these blurs, 4 other photographs, with 1.5e-5 / 5e-7 / 1.5e-7 / 4e-8 /
# 1.5e-8: 28.4 / 32.5 / 33.6 / 34.2 / 27.7 dB, where the last drowns in rounding.
SIGMA_SINGLE = 1.5e-7
# Above this level D of an imperfect network leaves the range of pictures, and is clipped.
CLIP_ABOVE = 1.0


@dataclass(frozen=True)
class Annealing:
    """How `red_diff` goes down the noise levels s, log-spaced from s_start to s_end.

    steps: network evaluations, even with pairs.    sigma_y: noise of y in [-1, 1] units, above 0.
    pairs: whether D is the mean over both signs of xi, or of the first alone.    looks: the last
    so many evaluations see y, which must be `Seen`, at level sigma_y.
    """

    steps: int
    sigma_y: float
    s_start: float
    s_end: float = 0.03
    prior_weight: float = 1.0
    pairs: bool = True
    looks: int = 0


def red_diff(
    given: Given[DataTerm], how: Annealing, shown: Seen | Through | None = None
) -> Iterator[tuple[int, Tensor]]:
    """Restore x from y = A(x) + sigma_y n by annealed proximal RED-diff.

    Yields (k, mu) after each step, k network evaluations being done,
        mu <- argmin_x |y - A(x)|^2 + r |x - D|^2,    r = prior_weight sigma_y^2 (1 + s^2) / s^2,
    D the mean of denoiser(mu + s xi, t) and denoiser(mu - s xi, t), or the first alone.

    shown: y, where the network sees it. `Seen`: what of y is a noisy picture itself; there it is
    seen with as much noise as makes it level s, and D stays; the mean of the looks at the end is
    the result. (With an exact denoiser of Gaussian pictures this settles at the mean of x given y,
    in holes too.) `Through`: y behind a linear A, seen where it is less noisy than s.
    """
    y, schedule, mu = given.y, given.schedule, given.start.clone()
    draws, loop = 2 if how.pairs else 1, how.steps - how.looks
    if loop < 0 or loop % draws or how.steps < draws:
        told = f"steps is {how.steps}; must be {how.looks} and a multiple of {draws}"
        raise ValueError(told)
    seen = shown if isinstance(shown, Seen) else None
    for k, t in enumerate(schedule.log_grid(how.s_start, how.s_end, loop // draws)):
        s = float(schedule.s[t])
        around = _around(mu, s, given.draw_noise, shown)
        clean = _denoise(*around, t, given.denoiser, how.pairs, s > CLIP_ABOVE)
        r = how.prior_weight * how.sigma_y**2 * (1 + s**2) / s**2
        mu = given.operator.data_step(clean, y, r)
        if seen is not None:
            mu = torch.where(seen.where, clean, mu)
        yield draws * (k + 1), mu
    if seen is not None:
        about = seen, mu, given.denoiser, schedule, given.draw_noise
        for k, mean in mean_of_looks(*about, how.looks):
            yield loop + k, mean


def _around(
    mu: Tensor, s: float, draw_noise: DrawNoise, shown: Seen | Through | None
) -> tuple[Tensor, Tensor]:
    """Centre and deviation of what the network sees at level s."""
    xi = draw_noise()
    if isinstance(shown, Through):
        return shown.around(mu, s, xi, draw_noise())
    return (mu, s * xi) if shown is None else shown.around(mu, s, xi)


def _denoise(
    centre: Tensor, deviation: Tensor, t: int, denoiser: DenoiseFunction, pairs: bool, clip: bool
) -> Tensor:
    """D at a level; both signs of the deviation go through the network in one batch."""
    z = torch.cat([centre + deviation, centre - deviation]) if pairs else centre + deviation
    clean = denoiser(z, torch.full((len(z),), t))  # on the CPU: a look at it waits for nothing
    if clip:
        clean = clean.clamp(-1, 1)
    if not pairs:
        return clean
    plus, minus = clean.chunk(2)
    return (plus + minus) / 2


def red_diff_paper(
    given: Given[Map], *, steps: int, lr: float, prior_weight: float
) -> Iterator[tuple[int, Tensor]]:
    """The published form: Adam on mean(|y - A(mu)|^2) / 2 + lambda s_t mean((eps_hat - eps) mu).

    The weight lambda s_t is linear in 1 / sqrt(SNR); per pixel the prior's gradient is
    lambda (mu - D) / n. Adam with betas (0.9, 0.99) and eps 1e-8, time steps descending, every
    (T // steps)-th: the values of the published implementation. Like it, the last yield is mu
    before the last update. The start is the operator's pseudo-inverse of y.
    (PyTorch's Adam does the same, but imports a compiler first, which takes two seconds.)
    """
    y, schedule, mu = given.y, given.schedule, given.start.clone()
    mean, square = torch.zeros_like(mu), torch.zeros_like(mu)
    for k, t in enumerate(schedule.reference_grid(steps), 1):
        s = float(schedule.s[t])
        current = mu.clone()
        z = current + s * given.draw_noise()
        clean = given.denoiser(z, torch.full((len(z),), t))
        x = current.clone().requires_grad_(True)
        # Each picture has a mean of its own: what stands beside it does not matter.
        loss = (y - given.operator(x)).square().flatten(1).mean(1).sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        if x.grad is None:
            raise ValueError("the operator's output does not depend on the picture")
        # lambda s (eps_hat - eps) = lambda (mu - D), as z = mu + s eps (a plain RED residual).
        gradient = x.grad + prior_weight * (current - clean) / current[0].numel()
        mean.lerp_(gradient, 1 - 0.9)
        square.mul_(0.99).addcmul_(gradient, gradient, value=1 - 0.99)
        root = square.sqrt() / (1 - 0.99**k) ** 0.5 + 1e-8
        mu.addcdiv_(mean, root, value=-lr / (1 - 0.9**k))
        yield k, current
