"""Toned pictures: black and white, in colours that follow the brightness.

Sepia, a cast, a film of black and white that was scanned in colour. Their channels share the grain
as those of a grey picture do, which is restored in their mean m; c + f(m') - f(m) has the colours
that were there, where f(m) are those of the tone.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from .noise import DB2_HIGH, FLOOR, GAUSSIAN_MEDIAN, is_grey, slope_around, wavelet_sigma

# The colours are a polynomial of the brightness, in means of PART x PART pixels, which are nearly
# free of a scanner's noise and of what JPEG does to colours; off by no more than OFF of 255 (rms).
# Crops of 256x256 in sepia and stronger tones, with grain and a scanner's noise of 3, are off by
# 0.5 at most, as JPEG of quality 85 by 0.7; of 67 validation photographs three by less than OFF
# (fog, skin and towers that are nearly of one hue), all others by 0.9 and more.
DEGREE, PART, OFF = 5, 8, 0.75
SMALLEST = 64
# Noise of three channels over what is left of it once their mean is taken off.
OF_THREE = 1.5**0.5
# Grain is Gaussian in the flattest places (their share, and how many at least), texture is not:
# rms over what the median tells. 96 crops of 384x384 in sepia, grain of 4 of 255: 0.94 to 2.4, in
# four of five below 1.2; of 20 others that pass for grainy 15 have 1.27 and more.
FLAT, LEAST, GAUSSIAN = 0.1, 100, 1.2
# Side of the squares in which what is off the tone is looked for.
AROUND = 7


@dataclass(frozen=True)
class Tone:
    """The picture (1, 3, H, W) in [-1, 1], and how its colours follow the brightness.

    weights: (DEGREE + 1, 3), of the powers of the brightness, for the distance of each channel
    from the mean.    off: what they leave of means of PART x PART pixels, rms.
    """

    picture: Tensor
    weights: Tensor
    off: float

    @cached_property
    def grey(self) -> Tensor:
        """Mean of the channels, (1, 1, H, W)."""
        return self.picture.mean(1, keepdim=True)

    def colours_of(self, grey: Tensor) -> Tensor:
        """The tone of (1, 1, H, W), (1, 3, H, W)."""
        highest, *others = self.weights.flip(0)[..., None, None]
        apart = highest
        for weight in others:
            apart = apart * grey + weight
        coloured: Tensor = grey + apart
        return coloured

    def put_on(self, grey: Tensor) -> Tensor:
        """What was restored in one channel, (1, 1, H, W), in the picture's colours.

        Noise that is the channels' own goes, too.
        """
        return self.colours_of(grey) + _without_noise(self._own)

    @cached_property
    def own_noise(self) -> float:
        """Noise that is the channels' own, of each, in [-1, 1] units."""
        return (wavelet_sigma(self._own) or 0.0) * OF_THREE

    @property
    def shared_noise(self) -> float:
        """What they share in the finest details, in [-1, 1] units."""
        own, mean = self.own_noise, wavelet_sigma(self.grey) or 0.0
        return math.sqrt(max(mean**2 - own**2 / 3, 0.0))

    @cached_property
    def _own(self) -> Tensor:
        """What the channels do not share, (1, 3, H, W)."""
        return self.picture - self.colours_of(self.grey)


def find_tone(picture: Tensor) -> Tone | None:
    """The tone of a picture (1, C, H, W) in [-1, 1]; None of one in true colours, or grey."""
    if picture.shape[1] == 1 or min(picture.shape[2:]) < SMALLEST or is_grey(picture):
        return None
    tone = tone_of(picture)
    return tone if tone.off <= OFF / 127.5 else None


def tone_of(picture: Tensor) -> Tone:
    """What is nearest to the colours of a picture (1, 3, H, W) in [-1, 1]."""
    grey = picture.mean(1, keepdim=True)
    powers = torch.cat([F.avg_pool2d(grey**k, PART) for k in range(DEGREE + 1)], 1)
    apart = F.avg_pool2d(picture, PART) - powers[:, 1:2]
    powers, apart = (x[0].flatten(1).T.double() for x in (powers, apart))  # (n, 6), (n, 3)
    weights = torch.linalg.lstsq(powers, apart).solution
    off = (apart - powers @ weights).square().mean().sqrt()
    return Tone(picture, weights.to(picture), float(off))


def is_grain(grey: Tensor) -> bool:
    """True if the details of means of 2x2 pixels are Gaussian where (1, 1, H, W) is flat."""
    taps, means = torch.tensor(DB2_HIGH).to(grey), F.avg_pool2d(grey, 2)
    details = F.conv2d(means, torch.outer(taps, taps)[None, None], stride=2)
    slope = slope_around(means)[details[0, 0] != 0]
    details = details[details != 0].abs()
    if len(details) < LEAST:
        return False
    flattest = details[slope.argsort()[: max(LEAST, int(FLAT * len(details)))]]
    sigma = flattest.median() / GAUSSIAN_MEDIAN
    return bool(flattest.square().mean().sqrt() < GAUSSIAN * sigma)


def _without_noise(own: Tensor) -> Tensor:
    """What stands out of the noise around it (Lee 1980); rounding stays."""
    mean = _around(own)
    power = _around((own - mean).square())
    noise = power.flatten(2).median(2).values[..., None, None] - (2 * FLOOR / 255) ** 2
    kept = 1 - noise.clamp(min=0) / power.clamp(min=1e-12)
    return mean + kept.clamp(min=0) * (own - mean)


def _around(x: Tensor) -> Tensor:
    """Means of AROUND x AROUND pixels around each, of the shape of x."""
    rim = AROUND // 2
    return F.avg_pool2d(F.pad(x, (rim,) * 4, mode="replicate"), AROUND, stride=1)
