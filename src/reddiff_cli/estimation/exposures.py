"""Several exposures of one scene: how far apart they are, and their noise, told from what differs
between them.

What the darker one recorded, as bright as the other, is y_b' = OETF(2^stops EOTF(y_a)), and with
noise of s_a and s_b the variance of y_b - y_b' is s_b^2 + slope^2 s_a^2: texture is the same in
both and goes. Only the finest details of the flattest places are looked at (noise.py), so that
vignetting, things that moved and a slightly wrong response say little.

Noise of photons in 8 validation photographs at -2, 0, 2 stops, 0.7 to 1.0 / 1.8 to 2.8 / 4.2 to
7.1 of 255 as a mean of all places, is found as 0.7 to 0.8 / 1.7 to 2.2 / 3.6 to 5.0; by each
itself, as 0.7 to 13 / 1.7 to 14 / 3.6 to 15. `hdr --preset fast` of two that are texture all over,
the least noise: 57.0 and 56.0 dB, as with --noise 0, where each by itself leaves 47.0 and 49.1.
"""

import math
from itertools import combinations, pairwise

import torch
from torch import Tensor

from ..light.response import Response
from .noise import wavelet_sigma

# Values nearer than this to black and white may be clipped ones.
ENDS = 3 / 255
# Values of both that are recorded, so that they tell anything.
ENOUGH = 2000
# Up to so many times the least is as much: some tell it from few places, or are darker than most
# of the noise. With more an exposure counts for less, as one that was moved against the others.
ALIKE = 2.0
# What lies between these tells how far apart two exposures are: not flare, nor what is clipped.
MIDDLE = (0.1, 0.9)
PIXELS = 500_000  # looked at for that
BLOCK = 4  # side of the squares whose mean light is compared, of which noise is less
# Where much is dark, noise alone brings some of it above what is looked at. So that is chosen by
# the brighter of both, as bright as it must be at the distance that was found the time before.
TIMES = 4
# Stops by which it may differ from what was told, and its quartiles from each other at most: more
# was moved. 9 photographs at -2, 0, 2 stops, JPEG of quality 75 and 90 with noise of photons (7.7
# of 255 at white), are found 2.00 to 2.02 stops apart, and with twice the noise up to 2.05; moved
# by 3 pixels, 1.96 to 2.03; encoded by sRGB and told as gamma:2.2, 2.0 to 2.3; behind a contrast
# curve of a camera, 2.9 to 3.2, with a residual as of exposures that are told wrongly.
UNSURE, MOVED = 0.25, 1.5
BLACK = 1e-4  # light of which nothing is told


def shown_stops(
    shots: list[Tensor], stops: tuple[float, ...], response: Response
) -> tuple[float, ...]:
    """Stops of each exposure as the pictures show them; as told, where they tell nothing else.

    shots: (1, C, H, W) each, in [-1, 1].    stops: as told, of which that nearest 0 is believed.
    """
    order = sorted(range(len(shots)), key=lambda k: stops[k])
    shown = list(stops)
    for a, b in pairwise(order):
        told = stops[b] - stops[a]
        found = _apart(shots[a], shots[b], response)
        sure = found is not None and abs(found[0] - told) > max(UNSURE, found[1] / 2)
        shown[b] = shown[a] + (found[0] if found is not None and sure else told)
    middle = min(order, key=lambda k: abs(stops[k]))
    return tuple(value + stops[middle] - shown[middle] for value in shown)


def _apart(a: Tensor, b: Tensor, response: Response) -> tuple[float, float] | None:
    """Stops by which b is brighter than a, and the distance of their quartiles, or nothing.

    Where too little was recorded by both it is told only that b is the darker one.
    """
    squares = _squares(a), _squares(b)
    recorded = torch.maximum(*squares).amax((3, 5)) < MIDDLE[1]
    dark, bright = (response.decode(values).mean((3, 5)) for values in squares)
    least = float(response.decode(torch.tensor(MIDDLE[0])))
    found = _ratio(dark, bright, recorded & (torch.minimum(dark, bright) > least))
    for _ in range(TIMES):
        if found is None:
            return _darker(dark, bright)
        brighter, other = (bright, dark) if found[0] > 0 else (dark, bright)
        told = (brighter > 2 ** abs(found[0]) * least) & (other > 0)
        found = _ratio(dark, bright, recorded & told)
    return found or _darker(dark, bright)


def _darker(a: Tensor, b: Tensor) -> tuple[float, float] | None:
    """Stops by which the light of b is more, if it is less: clipping makes them fewer, not others.

    Pictures in the wrong order may have no place that both recorded.
    """
    light = [values.mean().clamp(min=BLACK) for values in (a, b)]
    stops = float((light[1] / light[0]).log2())
    return (stops, 0.0) if stops < -UNSURE else None


def _squares(shot: Tensor) -> Tensor:
    """Squares of a picture, from all over it, in [0, 1]: (1, C, rows, BLOCK, columns, BLOCK)."""
    height, width = (side // BLOCK * BLOCK for side in shot.shape[2:])
    step = max(1, math.isqrt(shot[0, 0].numel() // PIXELS))
    shape = (*shot.shape[:2], height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    parts = shot[..., :height, :width].reshape(shape)
    return (parts[:, :, ::step, :, ::step] + 1) / 2


def _ratio(dark: Tensor, bright: Tensor, where: Tensor) -> tuple[float, float] | None:
    """Median of how many stops brighter one is there, and the distance of the quartiles."""
    if int(where.sum()) * BLOCK**2 < ENOUGH:
        return None
    stops = (bright[where] / dark[where]).log2().sort().values
    low, middle, high = (float(stops[round(q * (len(stops) - 1))]) for q in (0.25, 0.5, 0.75))
    return (middle, high - low) if high - low < MOVED else None


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
