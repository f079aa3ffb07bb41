"""Pixels that were observed as they are, but for white noise: the network needs no detour there.

What the network sees at level s is a picture plus noise, z = x + s n. Where y = x + sigma n, y is
such a z itself, at s = sigma: so D(y, sigma) is the mean of all pictures that y may show
(Robbins 1956; Efron 2011, "Tweedie's formula and selection bias"). mu + s xi is not: it lacks what
earlier steps took for noise, and D takes more away from it at every step.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..schedule import Schedule
from ..signatures import DenoiseFunction, DrawNoise


@dataclass(frozen=True)
class Seen:
    """Pixels of y that are x + sigma n, n ~ N(0, I).

    where: bool, broadcastable to (B, C, H, W).    y: of x's shape.    sigma: in [-1, 1] units.
    """

    where: Tensor
    y: Tensor
    sigma: float

    def around(self, mu: Tensor, s: float, xi: Tensor) -> tuple[Tensor, Tensor]:
        """(centre, deviation): z = centre + deviation is x + s n where it was seen, or mu + s xi.

        Below sigma nothing can be less noisy than y: z is y there.
        """
        rest = max(0.0, s**2 - self.sigma**2) ** 0.5
        return torch.where(self.where, self.y, mu), torch.where(self.where, rest * xi, s * xi)

    def look(
        self, mu: Tensor, denoiser: DenoiseFunction, schedule: Schedule, xi: Tensor, t: int
    ) -> Tensor:
        """The mean of x given z at level sigma, as a level t next to it tells.

        Its score is taken: x = y + (sigma / s_t)^2 (D(y, t) - y).
        """
        s = float(schedule.s[t])
        z = torch.where(self.where, self.y, mu + s * xi)
        clean = denoiser(z, torch.full((len(z),), t))
        return torch.where(self.where, z + (self.sigma / s) ** 2 * (clean - z), clean)


def mean_of_looks(
    seen: Seen,
    mu: Tensor,
    denoiser: DenoiseFunction,
    schedule: Schedule,
    draw_noise: DrawNoise,
    count: int,
) -> Iterator[tuple[int, Tensor]]:
    """(k, mean of the first k looks); a denoiser that turns z makes looks at the same y differ.

    Both signs of what is drawn for the holes are looked at, one after the other. The levels below
    and above sigma are, as often as it lies near each of them: D of the finest ones, which are far
    apart, takes more away than the score of another level foretells. White noise of 1.53 of 255 on
    even ground, 192x192, comes back with 70.1 dB so, and from the nearest level with 54.2, and
    with a negative of the noise; three photographs gain 0.3 to 0.6 dB.
    """
    below, above, share = schedule.around(seen.sigma)
    sums, looks = dict[int, Tensor](), [0, 0]
    xi = torch.zeros_like(mu)
    for k in range(count):
        xi = -xi if k % 2 else draw_noise()
        side = round((k + 1) * share) - round(k * share)
        look = seen.look(mu, denoiser, schedule, xi, (below, above)[side])
        sums[side] = sums[side].add_(look) if side in sums else look
        looks[side] += 1
        weights = (1 - share, share) if len(sums) == 2 else (1.0, 1.0)
        mean = torch.zeros_like(mu)
        for which, total in sums.items():
            mean.add_(total, alpha=weights[which] / looks[which])
        yield k + 1, mean
