"""How much of a noise that was heard is noise under the prior, and not texture.

Noise is heard in what a denoiser takes away where it leaves nothing but flat colour. Of fur and
stone that is texture as well. If y is x + c n, n of the spectrum P that was heard, and n' of the
spectrum T = s^2 - c^2 P is added, z = y + n' has white noise of s^2, and at every frequency

    E |z - D|^2 = s^2 (1 - J),    E <n', z - D> = T (1 - J)

as in consistency.py. The likelihood of c under the prior is at its top where the sums of c^2 P
over the two sides of

    rho = sum P |z - D|^2 / sum P s^2 <n', z - D> / T

are equal; where rho is less than 1, c is less. The mean of the channels, where most texture is,
and what differs from it are asked about apart: of the first the network takes some texture for
noise. -n' is added as well, as the mean of both looks forgets what y itself has to do with n'.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..estimation.clipping import is_recorded
from ..estimation.stationary import apart, of_mean, of_side
from ..estimation.tile_noise import spectra_apart, spectra_of_mean
from ..schedule import Schedule
from ..signatures import DenoiseFunction, DrawNoise
from .whitening import Whitening, peak

# Shares of what was heard, as standard deviations: from the first one down in steps, as long as
# they are more than LEAST of 255.
FIRST, STEP, LEAST = 0.5, math.sqrt(2), 1.0
# Texture is what has less than this at the first share. 44 training crops of 256x256: with a
# mosaic's noise of 5 of 255, quality 88, 40 have 0.94 to 1.34, three of them less than this;
# without, quality 85 and 92, those of 10 that are heard to have more than 2 have 0.83 to 1.13.
NOISE = 0.98
# Of files that keep their noise the first share is closer to all of it, and all is believed if
# that has so much of it: in the mean of the channels, and in what differs from it. 68 crops of
# 224x224, photons and even noise in a mosaic: heard about as loud as it is, it has 0.94 and more
# in the mean, and 0.99 and more in what differs; fur and rows of seats, heard two to four times
# too loud, have 0.83 to 0.93 in the mean; textures without noise 0.94 to 0.98 in what differs.
CLOSER, SURE = 1 / STEP, (0.93, 0.985)
# Beside clipped pixels, which count for nothing, are those whose noise leads away from there, as
# the others are clipped themselves: rho is less by so many times the share of the clipped ones.
CENSORED = 0.06
# The level s is so many times the strongest of the noise, so that enough is added everywhere, and
# no less than this (of 255), as the last levels of a schedule are far apart.
ABOVE, LEVEL = math.sqrt(2), 1.9
# What is added has so much of s^2 at least, as a spectrum that was measured is not exact.
LEFT = 0.1
TINY, MOST = 1e-6, 1e6


def confirmed_share(
    heard: Whitening, denoiser: DenoiseFunction, schedule: Schedule, draw_noise: DrawNoise
) -> Iterator[tuple[int, Tensor]]:
    """(looks so far, how many times as strong the noise is as it was heard, (1, 1)).

    heard: tiles y (n, C, side, side) with a (n, 1, side, side), C at least 2.    draw_noise: fresh
    N(0, I) of their shape.    1 if it is noise, else FIRST or less.
    """
    for k, share in enumerate(shares_of(heard)):
        _, rho = _rhos(heard.scaled(share), denoiser, schedule, draw_noise())
        noise = rho >= NOISE
        answer = 1.0 if noise and k == 0 else share
        yield 2 * (k + 1), heard.y.new_full((1, 1), answer)
        if noise:
            break


def likeliest_shares(
    heard: Whitening, denoiser: DenoiseFunction, schedule: Schedule, draw_noise: DrawNoise
) -> Iterator[tuple[int, Tensor]]:
    """(looks so far, how many times as strong the noise is as it was heard, (1, 2)).

    Of a file that keeps its noise, which rho tells more closely: 1 if it is noise, else what is
    between two shares, where rho is 1, or the last share if it is nowhere. In the mean of the
    channels, where most texture is, and in what differs from it.
    """
    shares, xi = shares_of(heard, CLOSER), draw_noise()
    clipped = 1 - float(is_recorded(heard.y).amin(1).mean())
    found: list[list[float]] = []
    for k, share in enumerate(shares):
        rhos = _rhos(heard.scaled(share), denoiser, schedule, xi)
        found.append([rho / (1 - CENSORED * clipped) for rho in rhos])
        both = list(zip(zip(*found, strict=True), SURE, strict=True))
        told = [_share_of(rhos, shares, sure) for rhos, sure in both]
        yield 2 * (k + 1), heard.y.new_tensor([told])
        if all(rhos[0] >= sure or max(rhos) >= 1 for rhos, sure in both):
            break


def _share_of(rhos: Sequence[float], shares: list[float], sure: float) -> float:
    """Where rho is 1, which rises as shares fall."""
    if rhos[0] >= sure:
        return 1.0
    logs = [math.log(max(rho, TINY)) for rho in rhos]
    after = next((k for k, rho in enumerate(rhos) if rho >= 1), 0)
    if after == 0:
        return shares[len(rhos) - 1]
    between = logs[after] / (logs[after] - logs[after - 1])
    return shares[after] * math.pow(STEP, between)


def shares_of(heard: Whitening, first: float = FIRST) -> list[float]:
    """Those that are asked about, falling from the first; one at least."""
    loudness = float(heard.a.square().mean().sqrt()) * 127.5 / LEAST
    count = 1 + max(0, math.floor(math.log(max(first * loudness, 1.0), STEP)))
    return [first / STEP**k for k in range(count)]


def _rhos(
    noise: Whitening, denoiser: DenoiseFunction, schedule: Schedule, xi: Tensor
) -> tuple[float, float]:
    """1 if the mean of the channels has this noise, and their differences; less if they have less.

    From +n' and -n'. What is clipped counts for nothing.
    """
    y = noise.y
    level = max(ABOVE * float(noise.a.max()) * peak(noise.power), LEVEL / 127.5)
    t = schedule.nearest_t(level)
    s = float(schedule.s[t])
    added, times = noise.added(s, xi), torch.full((len(y),), t)
    recorded = is_recorded(y).amin(1, keepdim=True)
    seen = [*(z - denoiser(z, times) for z in (y + added, y - added)), added]
    strength = noise.a.square().mean((1, 2, 3))[:, None, None]

    def told(spectra: list[Tensor], power: Tensor) -> float:
        return _rho(spectra, strength * of_side(power, y.shape[-1]).to(y), s)

    return (
        told([spectra_of_mean(v, recorded) for v in seen], of_mean(noise.power)),
        told([spectra_apart(v, recorded) for v in seen], apart(noise.power)),
    )


def _rho(spectra: list[Tensor], power: Tensor, s: float) -> float:
    """spectra: of z - D where n' is added, where -n' is, and of n'.    power: of the noise."""
    plus, minus, probe = spectra
    energy = (plus.abs().square() + minus.abs().square()).sum(1) / 2
    both = ((plus - minus) / 2 * probe.conj()).real.sum(1)
    rest = (s**2 - power).clamp(min=LEFT * s**2)
    foretold = float((power * s**2 * both / rest).sum())
    return float((power * energy).sum()) / foretold if foretold > 0 else MOST
