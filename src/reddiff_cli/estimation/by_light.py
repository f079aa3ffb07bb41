"""White noise of one channel in its dark and in its light places, told from details.

Photons leave more of it in the light, and what is even in light is more in the dark once it is
encoded for screens. The flattest places of all are those of the least noise then, as noise
roughens means of 4x4 pixels as well: so they are looked for in every brightness by itself. Of
texture, which may lie in one brightness alone, they are free where their details are Gaussian and
the strengths follow a power of the brightness, no steeper than such noise does.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .coloured_noise import ColouredNoise
from .noise import GAUSSIAN_MEDIAN, details_of, slope_around, usable_of
from .stationary import white_power

# Places of a brightness, and brightnesses at most and at least. Of each the flattest share is
# taken, and so many at least: their median is good to 7 %.
PLACES, MOST, ENOUGH = 1500, 8, 3
FLAT, LEAST = 0.1, 250
# rms of details over what their median tells, at most.
GAUSSIAN = 1.2
# Powers: of photons a half, of what is even in light -1.4, of noise that grows with the brightness
# 1; a brightness of black counts as this. And how far strengths are from it, as rms logarithm.
POWERS, BLACK, OFF = (-1.6, 1.1), 0.03, 0.12
# Noise is even if it is not so many times as strong in one brightness as in another, and not
# asked about if somewhere it is no more than this, of 255. 99 training crops of 192x192 with even
# noise of 5 of 255: six seem uneven.
UNEVEN, QUIET = 1.5, 1.5


def noise_by_light(y: Tensor) -> ColouredNoise | None:
    """The noise of y, (1, 1, H, W) in [-1, 1]; None where it is even, or nothing tells it."""
    told = _told(y)
    if len(told) < ENOUGH:
        return None
    light, strength = (torch.stack(values) for values in zip(*told, strict=True))
    x, logs = ((light + 1) / 2 + BLACK).log(), strength.log()
    x = x - x.mean()
    power = ((x * logs).sum() / x.square().sum().clamp(min=1e-6)).clamp(*POWERS)
    fitted = logs.mean() + power * x
    off = (fitted - logs).square().mean().sqrt()
    fitted = fitted.exp()
    even = float(fitted.max() / fitted.min()) < UNEVEN
    if even or float(off) > OFF or float(fitted.min()) < 2 * QUIET / 255:
        return None
    return ColouredNoise(white_power(1), light, fitted)


def _told(y: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Brightness and standard deviation, from dark to light, where there is no texture."""
    details, seen = (x[0] for x in details_of(y, usable_of(y)))
    means = F.avg_pool2d(F.avg_pool2d(y, 4, 2), 3, 1, 1, count_include_pad=False)
    details, slope, light = details[seen], slope_around(y)[seen], means[0, 0][seen]
    count = min(MOST, len(details) // PLACES)
    told = []
    for places in light.argsort().tensor_split(count) if count >= ENOUGH else ():
        few = max(LEAST, int(FLAT * len(places)))
        flattest = places[slope[places].argsort()[:few]]
        sigma = details[flattest].median() / GAUSSIAN_MEDIAN
        if sigma > 0 and details[flattest].square().mean().sqrt() < GAUSSIAN * sigma:
            told.append((light[flattest].mean(), sigma))
    return told
