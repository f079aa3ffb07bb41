"""Noise of several exposures of one scene, told from what differs between them.

What the darker one recorded, as bright as the other, is y_b' = OETF(2^stops EOTF(y_a)), and with
noise of s_a and s_b the variance of y_b - y_b' is s_b^2 + slope^2 s_a^2: texture is the same in
both and goes. Only the finest details of the flattest places are looked at (noise.py), so that
vignetting, things that moved and a slightly wrong response say little.

Noise of photons in 8 validation photographs at -2, 0, 2 stops, 0.7 to 1.0 / 1.8 to 2.8 / 4.2 to
7.1 of 255 as a mean of all places, is found as 0.7 to 0.8 / 1.7 to 2.2 / 3.6 to 5.0; by each
itself, as 0.7 to 13 / 1.7 to 14 / 3.6 to 15. `hdr --preset fast` of two that are texture all over,
the least noise: 57.0 and 56.0 dB, as with --noise 0, where each by itself leaves 47.0 and 49.1.
"""

from itertools import combinations

import torch
from torch import Tensor

from ..noise import wavelet_sigma
from ..response import Response

# Values nearer than this to black and white may be clipped ones.
ENDS = 3 / 255
# Values of both that are recorded, so that they tell anything.
ENOUGH = 2000
# Up to so many times the least is as much: some tell it from few places, or are darker than most
# of the noise. With more an exposure counts for less, as one that was moved against the others.
ALIKE = 2.0


def noise_between(
    shots: list[Tensor], stops: tuple[float, ...], response: Response, most: list[float]
) -> list[float]:
    """Standard deviation of the noise of each exposure, in [0, 1] units; `most` at most.

    shots: (1, C, H, W) each, in [-1, 1].    stops: of each.    most: what each shows by itself,
    which texture makes too much.

    Two exposures are as noisy as each other, unless one by itself shows less. Of those that were
    moved against each other texture is left, and what each shows by itself is the most.
    """
    found, alike = list(most), set[int]()
    order = sorted(range(len(shots)), key=lambda k: stops[k])
    for a, b in combinations(order, 2):
        told = _difference(shots[a], shots[b], stops[b] - stops[a], response)
        if told is not None:
            alike |= {a, b}
            for k, sigma in zip((a, b), _shared(*told, most[a], most[b]), strict=True):
                found[k] = min(found[k], sigma)
    least = min((found[k] for k in alike), default=0.0)
    for k in alike:
        found[k] = least if found[k] < ALIKE * least else found[k]
    return found


def _difference(
    dark: Tensor, bright: Tensor, stops: float, response: Response
) -> tuple[float, float] | None:
    """Noise of both if they had the same, in [0, 1] units, and the squared slope of one to the
    other; None where too little was recorded by both.
    """
    a, b = (dark + 1) / 2, (bright + 1) / 2
    exposed, slope = response.expose(a, 2**stops)
    darkest, brightest = torch.minimum(a, b), torch.maximum(exposed, b)
    both = ((darkest > ENDS) & (brightest < 1 - ENDS)).to(a.dtype)
    if float(both.sum()) < ENOUGH:
        return None
    square = slope.square()
    sigma = wavelet_sigma(both * (b - exposed) / (1 + square).sqrt(), both)
    gain = float((both * square).sum() / both.sum())
    return None if sigma is None else (sigma, gain)


def _shared(sigma: float, gain: float, most_a: float, most_b: float) -> tuple[float, float]:
    """Noise of a and b, as equal as what they have at most allows, if s_b^2 + gain s_a^2 is
    (1 + gain) sigma^2.
    """
    total = (1 + gain) * sigma**2
    if sigma > most_a:
        return most_a, min(most_b, (total - gain * most_a**2) ** 0.5)
    if sigma > most_b:
        return min(most_a, ((total - most_b**2) / gain) ** 0.5), most_b
    return sigma, sigma
