"""The noise of a picture: its spectrum, and its strength in the dark and in the light.

It is what a too strong denoiser takes away in places where it leaves nothing but flat colour. In
the noisy picture itself such places can only be told by means, and keep their texture; the network
sees through the noise.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..interpolation import interpolated
from .clipping import is_recorded
from .flat_tiles import STRIDE, cut, flattest_of_each, has_tiles, slope_of
from .stationary import TILE, apart, spectrum_of, white_power

# Side of the means that brightness is told from.
AROUND = 7
# Pixels that are clipped carry no noise. With tiles of which more than PARTLY is not, the dark,
# which has most noise, is heard as well; where they tell nothing, those of which WHOLE is not are
# asked. `photons.py --colour --mosaic`, --limit 12 --size 240, 300 and 1500 at white, and --matrix
# --limit 8 --size 224, 300, 1000 and 4000: so 27.94, 34.87 and 27.24, 32.13, 37.04 dB; WHOLE first
# 27.71, 35.07 and 26.56, 31.78, 37.03; PARTLY alone 27.39, 34.68 and 27.24, 32.13, 37.12.
PARTLY, WHOLE = 0.7, 0.98
# What is left of the flattest places of a brightness is not flat if neighbours differ by more than
# so many times what was taken away there; that is texture then, too, and tells nothing of noise.
# Where no more than half of the brightnesses are flat they must be so without a doubt. 19 training
# photographs, most of them texture all over, 260 pixels a side, 2 to 6 evaluations: the four of
# which white noise of 1.5 of 255 was heard as 4 to 7 have 33.0 to 41.1 dB if all is listened to,
# 42.5 to 46.6 so (flowers 36.5 and 37.0); 12 of which a mosaic's noise of 4 was heard as more than
# 5.4 gain 0.0 to 1.6 dB, three others -0.6 to 0.0; of 13 validation crops with 5 one gains 1.9.
FLAT, SURELY_FLAT = 1.15, 0.8
# Weaker noise than this, in [-1, 1] units, is none.
NOTHING = 1e-5
# Noise is white if the differences of the channels, where texture shows least, have so much of it
# in high frequencies, as power relative to what is in the finest details, and in low ones not so
# many times as much as there; the bounds are radii in cycles per pixel. 16 validation crops of
# 256x256 and of 384x384: white noise of 3 and 8 of 255, and shot noise that is a fiftieth of the
# light at middle grey, have 0.40 and more, and 1.1 to 7.3 times, once 12; noise of a camera's
# mosaic 6.3 to 55 times; its JPEG files and grain that channels share 0.14 and less; noise of
# twice the size of a pixel 5.5 to 67 times.
HIGH, OWN = 0.3, 0.25
LOW, WIDE = 0.13, 6.0


@dataclass(frozen=True)
class ColouredNoise:
    """power: (TILE, TILE, C, C), as of `Whitening`, for a mean variance of 1.

    brightness: of what it was measured on, increasing, in [-1, 1].    strength: standard deviation
    of a pixel there, in [-1, 1] units.
    """

    power: Tensor
    brightness: Tensor
    strength: Tensor

    @property
    def loudness(self) -> float:
        """Standard deviation, of all brightnesses alike."""
        return float(self.strength.square().mean().sqrt())

    def is_white(self, fine: float) -> bool:
        """True if this noise of three channels differs in every value of every pixel.

        fine: its standard deviation in the finest details. What the channels share may be texture
        of the picture, so noise is called wide by the differences of channels alone.
        """
        own = apart(self.power) * (self.loudness / fine) ** 2  # 1: white
        frequency = torch.fft.fftfreq(TILE)
        radius = (frequency[:, None].square() + frequency.square()).sqrt()
        low, high = own[radius < LOW].mean(), own[radius > HIGH].mean()
        return bool(high > OWN and low < WIDE * high)

    def of_mean(self, weights: Tensor) -> Tensor:
        """Spectrum of what it is in a weighted mean of the channels, (TILE, TILE).

        weights: (C,).    At the mean square of the strengths.
        """
        weights = weights.to(self.power)
        power = torch.einsum("c,yxcd,d->yx", weights, self.power, weights).real
        return power * self.loudness**2

    def as_white(self, sigma: float, even: float) -> "ColouredNoise":
        """White noise of standard deviation sigma, which follows the brightness as this does.

        even: not if the strengths are less than so many times apart.
        """
        power = white_power(self.power.shape[2]).to(self.power)
        if float(self.strength.max() / self.strength.min()) < even:
            return ColouredNoise(power, self.brightness[:1], torch.tensor([sigma]))
        return ColouredNoise(
            power, self.brightness, sigma * self.strength / self.strength.square().mean().sqrt()
        )

    def scaled(self, shared: float, differing: float) -> "ColouredNoise":
        """So many times as strong in the mean of the channels, and in what differs from it."""
        channels = self.power.shape[2]
        mean = torch.full((channels, channels), 1 / channels)
        scale = (shared * mean + differing * (torch.eye(channels) - mean)).to(self.power)
        power = scale @ self.power @ scale
        variance = power.real.diagonal(dim1=2, dim2=3).mean().clamp(min=NOTHING**2)
        return replace(self, power=power / variance, strength=self.strength * variance.sqrt())

    def strength_at(self, clean: Tensor) -> Tensor:
        """By place, (1, 1, H, W): linear between the brightnesses, constant beyond.

        clean: (1, C, H, W), the picture without its noise, or nearly.
        """
        light = clean.mean(1, keepdim=True)
        padded = F.pad(light, (AROUND // 2,) * 4, mode="replicate")
        around = F.avg_pool2d(padded, AROUND, stride=1)
        return interpolated(around, self.brightness, self.strength)


class _Group(NamedTuple):
    """Tiles of one brightness.

    left: what is left of them, rms difference of neighbours, over the strength.    tiles: what
    was taken away, (n, C, TILE, TILE).    strength: its standard deviation.    light: their mean.
    """

    left: float
    tiles: Tensor
    strength: Tensor
    light: Tensor


def measure_noise(y: Tensor, clean: Tensor, flat: float = FLAT) -> ColouredNoise | None:
    """The noise of y, or None where too little of it is flat.

    y: (1, C, H, W) in [-1, 1].    clean: what a denoiser made of it that was told of a few times
    the noise.    flat: how much may be left of flat places, as of `FLAT`.
    """
    if not has_tiles(y.shape[2], y.shape[3]):
        return None
    told = _flat_groups(y, clean, PARTLY, flat) or _flat_groups(y, clean, WHOLE, flat)
    if not told:
        return None
    count = sum(len(group.tiles) for group in told)
    spectra = [len(one.tiles) * spectrum_of(one.tiles / one.strength) for one in told]
    power = torch.stack(spectra).sum(0) / count
    power = (power + power.mH) / 2
    lights = torch.stack([group.light for group in told])
    return ColouredNoise(power, lights, torch.stack([group.strength for group in told]))


def _flat_groups(y: Tensor, clean: Tensor, whole: float, flat: float) -> list[_Group]:
    """From dark to light, those in which nothing but noise was taken away.

    whole: how much of their tiles is not clipped, at least.
    """
    seen = _of_tiles(is_recorded(y).amin(1, keepdim=True)) > whole
    light = _of_tiles(clean.mean(1, keepdim=True))
    bumps = _of_tiles(slope_of(clean))
    groups = []
    for places in flattest_of_each(bumps, light, seen):
        tiles, where = cut(y, places) - cut(clean, places), (places[:, 0], places[:, 1])
        strength = tiles.square().mean().sqrt().clamp(min=NOTHING)
        left = float(bumps[where].mean().sqrt() / strength)
        groups.append(_Group(left, tiles, strength, light[where].mean()))
    told = [group for group in groups if group.left <= flat]
    if 2 * len(told) <= len(groups):
        told = [group for group in told if group.left <= SURELY_FLAT]
    return told


def _of_tiles(values: Tensor) -> Tensor:
    """Means of all tiles, (h, w)."""
    return F.avg_pool2d(values, TILE, STRIDE)[0, 0]
