"""Noise that is not white, taken away in every direction at its own level.

A direction is a frequency and a mixture of channels; y has noise of another variance p in each,
the eigenvalues of a^2 P (`Whitening`). Levels s fall from the strongest noise to the usual one.
What has no more noise than s is seen as it is, with as much on top as makes s of it; of what has
more, the network sees what it made of it at the level before, mu, and a part of y:

    z = mu + w (y - mu) + sqrt(s^2 - w^2 p) n,    w = 1, or sqrt(1 - eta^2) s / sqrt(p)

with noise of s in all of them (Kawar, Elad, Ermon, Song 2022, arXiv 2201.11793, (7), where y shows
singular values of an operator). mu is D(z) then. One look at y that makes all of its noise white
(`mean_of_whitened`) drowns what has little in as much as the strongest has: for the sake of the
coarse colours of a camera's noise it would lose the fine luminance.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from ..schedule import Schedule
from ..signatures import DenoiseFunction, DrawNoise
from .whitening import LEAST_NOISY, Filtering, Whitening, quantile_of

# How much of the noise of a direction that has more than s is drawn anew. Four crops of 192x192,
# photons in a mosaic, of known spectrum, 300 / 1000 / 4000 at white: 0.85 29.1 / 32.9 / 37.3 dB,
# 0.7 29.3 / 33.4 / 37.8, 0.5 29.3 / 33.6 / 38.2, 0.1 29.2 / 33.8 / 38.4.
ETA = 0.5
# The last level is this quantile of all directions where noise is weakest, and this at least.
END, LEAST = 0.75, 0.5 / 127.5
# A spectrum that was measured is not exact: every direction is taken to have so much more, of the
# mean of the strongest ones. Four crops of 192x192, photons in a mosaic, 1000 and 4000 at white,
# and even noise of 3 and 8 of 255 in it: 0 32.5 / 36.6 / 36.4 / 34.5 dB, 0.15 32.5 / 36.6 / 36.6 /
# 35.1, 0.3 32.0 / 36.6 / 36.6 / 35.2. (Without doubt, of six others, END 0.5 instead of 0.75 gains
# 0.2 of the first two and loses 0.1 and 0.5 of the last.)
DOUBT = 0.15


def descend(
    whitening: Whitening,
    denoiser: DenoiseFunction,
    schedule: Schedule,
    draw_noise: DrawNoise,
    count: int,
) -> Iterator[tuple[int, Tensor]]:
    """(k, y without its noise after the first k of `count` levels).

    That is the mean of what the last half of the levels told, so that what one draw has left in it
    counts less.

    draw_noise: fresh N(0, I) of y's shape at every call.
    """
    whitening, mu, mean = _doubted(whitening), None, None
    for k, level in enumerate(_levels(whitening, count)):
        t = schedule.nearest_t(level)
        z = _seen(whitening, mu, float(schedule.s[t]), draw_noise())
        mu = denoiser(z, torch.full((len(z),), t))
        before = max(0, k - count // 2)
        mean = mu if mean is None or not before else mean + (mu - mean) / (before + 1)
        yield k + 1, mean


def _doubted(whitening: Whitening) -> Whitening:
    power = whitening.power
    more = DOUBT * torch.linalg.eigvalsh(power)[..., -1].mean()
    return replace(whitening, power=power + more * torch.eye(power.shape[2]).to(power))


def _seen(whitening: Whitening, mu: Tensor | None, s: float, xi: Tensor) -> Tensor:
    """z, what the network sees at level s; at first, where there is no mu, all of y."""
    if mu is None:
        return whitening.y + whitening.added(s, xi)

    def share(p: Tensor) -> Tensor:
        p = p * whitening.rise**2
        part = math.sqrt(1 - ETA**2) * s / p.clamp(min=s**2).sqrt()
        return torch.where(p <= s**2, 1.0, part)

    def rest(p: Tensor) -> Tensor:
        return (s**2 - share(p).square() * p).clamp(min=0).sqrt()

    unseen = Filtering(whitening.y - mu, share, "replicate")
    return mu + whitening.filtered(unseen, Filtering(xi, rest, "circular"))


def _levels(whitening: Whitening, count: int) -> list[float]:
    """From the strongest noise down."""
    top = whitening.levels(1)[0]
    usual = float(whitening.directions[0].clamp(min=0).quantile(END).sqrt())
    end = min(top, max(LEAST, usual * quantile_of(whitening.a, LEAST_NOISY) * whitening.rise))
    return [top * (end / top) ** (k / max(1, count - 1)) for k in range(count)]
