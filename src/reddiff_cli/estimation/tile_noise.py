"""What the network tells of the noise in some tiles of a picture (solvers/consistency.py)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .clipping import is_recorded
from .flat_tiles import PART, slope_of
from .noise import GAUSSIAN_MEDIAN

# Side of a tile, in pixels, and of the smallest one; how many of each brightness.
SIDE, SMALLEST, OF_EACH, BRIGHTNESSES = 96, 32, 2, 4
# Half as many, unless they are no more than half of the picture.
SHARE = 0.5
# Pixels that are clipped carry no noise; so many values of a tile must not be.
# If there is no such tile the best one will do, if it has so many.
WHOLE, PARTLY = 0.7, 0.2
# Bands of frequencies, as radii in cycles per pixel; the mean of a tile is in none.
LOW, MIDDLE, HIGH = (0.02, 0.13), (0.13, 0.3), (0.3, 0.8)
BANDS = (LOW, MIDDLE, HIGH)
# Noise is not white if so many times as much as in high frequencies is left in middle ones, or
# somewhat less, and much in low ones, too. 19 crops of 256x256, most of them fur, stone, skin and
# the like, with white noise of 1 and 3 of 255, and, of 6, with that of a camera's mosaic:
#                1             3             mosaic, 3     mosaic, 5     mosaic, 10
#   low          0.84 to 1.90  0.79 to 1.34  1.12 to 1.69  1.31 to 2.26  1.54 to 2.62
#   middle       0.94 to 1.30  0.93 to 1.10  1.14 to 1.49  1.27 to 1.75  1.68 to 2.19
MIDDLE_MOST, MIDDLE_MUCH, LOW_MUCH = 1.25, 1.1, 1.3
# But if it is so much of what is in the finest details, there it is, and the rest may be a part
# of the picture (noise of a mosaic of 5 of 255 is 0.35 to 0.65, of 17 crops two 0.8 and 0.9),
# unless there is even more of it; noise of twice the size of a pixel has next to nothing there, of
# 255, and 1.33 to 1.58 in middle frequencies, or 2.2 and more.
PLAIN, THERE, MIDDLE_SURE = 0.8, 1.2, 1.6
# So many times as much tells that noise is wide where what is heard of it does not: at night (1.5
# to 2.4), and of a mosaic of 5 and 10 of 255 in 10 of the 12.
MIDDLE_WIDE = 1.45
# And so many times as much, with more in all than in the finest details, even though nothing of it
# is heard: photons in a mosaic 1.78 and more (13 crops of 240x240, the rest being 1.3 to 2.4 times
# as much); without noise flowers have 1.5 and 0.6 times, fur has 1.7 to 1.8 and 1.5 times.
MIDDLE_CERTAIN = 1.75
# Photons that are shown encoded: in the dark, where channels differ most, their noise is clipped
# and skewed, and the network, which knows no such noise, takes a part of it for the picture. What
# channels do not share tells it there, if one has so many times the noise of another, so many
# values are clipped, and the network tells more than so much, of 255. 12 validation photographs,
# 192x192, photons at white, with what the network tells, with this and with the true noise, dB
# (photons.py --colour): 200 28.70 / 30.08 / 29.83, 500 33.52 / 34.21 / 34.08, 2000 40.07 / 40.14
# / 40.19. With even noise nothing changes; with 8, 3 and 5 of 255 in the channels -0.4 to +0.2.
UNLIKE, CLIPPED_AWAY, STRONG = 1.35, 0.01, 4.0


@dataclass(frozen=True)
class TileNoise:
    """White noise of maximum likelihood under the prior, and how white the rest is.

    light: mean of each tile, (n,), in [-1, 1].    sigma: standard deviation, (n,), in [-1, 1]
    units.    left, foretold: (n, 3), as of `in_bands`: power of what the network takes away, and
    what it is if this noise is all there is. Only their ratios count.    photons: sigma was made
    good for that of photons in the dark.
    """

    light: Tensor
    sigma: Tensor
    left: Tensor
    foretold: Tensor
    photons: bool = False

    @property
    def excess(self) -> tuple[float, float, float]:
        """What the network takes away in each band, over what it takes of white noise."""
        low, middle, high = (self.left.sum(0) / self.foretold.sum(0).clamp(min=1e-12)).tolist()
        return low, middle, high

    @property
    def total(self) -> float:
        """Standard deviation in all tiles."""
        return float(self.sigma.square().mean().sqrt())

    def is_white(self, fine: float) -> bool:
        """True if little tells that it is not. One channel tells little.

        fine: standard deviation of noise in the finest details, in [-1, 1] units.
        """
        low, middle, high = self.excess
        if middle > MIDDLE_SURE * high:
            return False
        wide = low > LOW_MUCH * high and middle > MIDDLE_MUCH * high
        return self.explains(fine) or not (wide or middle > MIDDLE_MOST * high)

    def is_wide(self) -> bool:
        """True if there is much more of it in middle frequencies."""
        _, middle, high = self.excess
        return middle > MIDDLE_WIDE * high

    def is_surely_wide(self, fine: float) -> bool:
        """True if there is no doubt of it, whatever is heard.

        fine: standard deviation of noise in the finest details, in [-1, 1] units.
        """
        _, middle, high = self.excess
        return middle > MIDDLE_CERTAIN * high and self.total > fine

    def explains(self, fine: float) -> bool:
        """True if it is nearly all that is in the finest details."""
        return fine > 2 * THERE / 255 and self.total > PLAIN * fine

    def by_light(self) -> tuple[Tensor, Tensor]:
        """Brightnesses, increasing, and the standard deviation of each, (n,)."""
        count = min(BRIGHTNESSES, len(self.sigma))
        lights, sigmas = (v.tensor_split(count) for v in (self.light, self.sigma))
        strengths = torch.stack([part.square().mean().sqrt() for part in sigmas])
        return torch.stack([part.mean() for part in lights]), strengths

    def with_photons(self, tiles: Tensor) -> "TileNoise":
        """With the noise that the channels do not share, where that is of photons in the dark.

        tiles: (n, C, side, side), that it was told of.
        """
        if tiles.shape[1] != 3 or self.total < 2 * STRONG / 255:
            return self
        clipped = 1 - float(is_recorded(tiles).mean())
        own = own_variance(tiles)
        least, most = own.mean(0).aminmax()
        if clipped < CLIPPED_AWAY or float(most) < UNLIKE**2 * float(least):
            return self
        sigma = torch.maximum(self.sigma, own.mean(1).sqrt())
        return replace(self, sigma=sigma, photons=True)


def tiles_of(y: Tensor) -> Tensor | None:
    """The flattest tiles of every brightness, (n, C, side, side), from dark to light.

    y: (1, C, H, W) in [-1, 1].    None where it is too small, or clipped all over.
    """
    side = min(SIDE, y.shape[2], y.shape[3]) // PART * PART
    if side < SMALLEST:
        return None
    stride = side // 2 // PART * PART
    whole = F.avg_pool2d(is_recorded(y).mean(1, keepdim=True), side, stride)[0, 0]
    light = F.avg_pool2d(y.mean(1, keepdim=True), side, stride)[0, 0]
    bumps = F.avg_pool2d(slope_of(F.avg_pool2d(y, PART)), side // PART, stride // PART)[0, 0]
    if float(whole.max()) < PARTLY:
        return None
    places = (whole >= min(WHOLE, float(whole.max()))).nonzero()
    ordered = places[light[places[:, 0], places[:, 1]].argsort()]
    chosen = []
    few = side**2 * OF_EACH * BRIGHTNESSES > SHARE * y.shape[2] * y.shape[3]
    for group in ordered.tensor_split(min(BRIGHTNESSES, len(ordered))):
        flattest = bumps[group[:, 0], group[:, 1]].argsort()[: OF_EACH // 2 if few else OF_EACH]
        chosen += (stride * group[flattest]).tolist()
    return torch.cat([y[..., a : a + side, b : b + side] for a, b in chosen])


def own_variance(tiles: Tensor) -> Tensor:
    """Of what each of three channels does not share with the others, of white noise, (n, 3).

    By the diagonal details of their differences, where a picture leaves least.
    """
    details = tiles[..., ::2, ::2] - tiles[..., 1::2, ::2]
    details = (details - tiles[..., ::2, 1::2] + tiles[..., 1::2, 1::2]) / 2
    apart = (details - details.roll(1, 1)).flatten(2).abs().median(2).values / GAUSSIAN_MEDIAN
    apart = apart.square()  # 0 and 2, 1 and 0, 2 and 1
    return ((apart + apart.roll(-1, 1) - apart.roll(1, 1)) / 2).clamp(min=0)


def in_bands(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the channels' differences of a and b in the `BANDS`, (n, 3).

    a, b: (n, C, side, side).
    """
    side = a.shape[-1]
    power = (spectra_apart(a) * spectra_apart(b).conj()).real.sum(1)
    frequency = torch.fft.fftfreq(side).to(a)
    radius = (frequency[:, None].square() + frequency.square()).sqrt()
    inside = [(radius >= low) & (radius < high) for low, high in BANDS]
    return torch.stack([(power * band).sum((1, 2)) for band in inside], 1)


def spectra_apart(v: Tensor, weight: Tensor | None = None) -> Tensor:
    """Fourier transform of the channels' differences from their mean, of v's shape.

    v: (n, C, side, side), under a window, as opposite borders do not meet.    weight: (n, 1, side,
    side), of the pixels.
    """
    return _spectra(v - v.mean(1, keepdim=True), weight)


def spectra_of_mean(v: Tensor, weight: Tensor | None = None) -> Tensor:
    """The same of their mean, (n, 1, side, side)."""
    return _spectra(v.mean(1, keepdim=True), weight)


def _spectra(v: Tensor, weight: Tensor | None) -> Tensor:
    hann = torch.hann_window(v.shape[-1]).to(v)
    seen = v * hann[:, None] * hann
    spectra: Tensor = torch.fft.fft2(seen if weight is None else seen * weight)
    return spectra
