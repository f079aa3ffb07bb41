"""The noise of a blurred picture, where the blur lets nothing else through.

Texture and noise look alike, but not behind a known kernel: at frequencies where its transfer
function K is nearly 0, y = k * x + n holds n alone. What is there is the noise, whatever the
picture shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.signal.windows import general_cosine

from .clipping import is_recorded
from .welch import windows

# Side of the windows; of smaller pictures their own, but no smaller than the second; and how many
# of them at most on each axis.
WINDOW, SMALLEST, MOST = 256, 64, 8
# Harris 1978. Their leakage is 92 dB down; blurred pictures fall that far.
BLACKMAN_HARRIS = (0.35875, 0.48829, 0.14128, 0.01168)
# Of a window's pixels so many must not be clipped.
LEAST = 0.5
# Rings of frequencies, in cycles per pixel, and in each the share with the least of K.
EDGES = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.71)
SHARE, FEWEST = 0.1, 12
# Noise of a mosaic, which is wider than a pixel, in these rings: standard deviations, over that in
# all frequencies (1024x1024 pixels of it, filled in as by Malvar, He and Cutler 2004).
MOSAIC = (1.33, 1.18, 1.03, 0.91, 0.8, 0.71, 0.61, 0.41, 0.18)
# |K|^2 that is nothing, and that may pass for it. Of the rings within the bounds, so many must
# hold nothing else than noise.
NOTHING, NEARLY = 0.0005, 0.004
RINGS, ENOUGH = (0.3, 0.6), 3
# Of the differences between channels, in which textures are weak: noise in the first two of these
# over that in the third, where white noise has 1; unless the middle lets more than LEAKY through.
# 21 training crops behind four kernels, noise of 1, 2 and 5 of 255: white noise is called white in
# 248 of 252 cases of 240x240, and 242 of 128x128; that of a simulated mosaic in none, and one.
MIDDLE, HIGH, HIGHEST = (0.2, 0.3), (0.3, 0.4), (0.45, 1.0)
WHITE_MIDDLE, WHITE_HIGH, LEAKY = (0.82, 1.22), (0.88, 1.14), 0.02
# Noise in the differences over noise in all, below which the channels share it.
APART = 0.75


@dataclass(frozen=True)
class NullNoise:
    """sigma: standard deviation in the units of the picture.

    If the noise is not white, of a mosaic's noise that is as strong where it was measured.
    """

    sigma: float
    white: bool


def noise_in_nulls(y: Tensor, kernel: Tensor) -> NullNoise | None:
    """The noise of y = k * x + n, or None where the kernel lets too much through.

    y: (1, C, H, W) in [-1, 1].    kernel: (kh, kw).
    """
    size = min(WINDOW, *y.shape[2:]) // 2 * 2
    if size < SMALLEST or max(kernel.shape) > size:
        return None
    rings = _Rings.of(kernel, size)
    recorded = is_recorded(y[0]).amin(0).double()
    every = None if rings is None else rings.powers(y[0], recorded)
    if rings is None or every is None:
        return None
    sigma = rings.mean(every, rings.usable) ** 0.5
    if _is_white(y[0], rings, recorded, sigma):
        return NullNoise(sigma, True)
    mosaic = torch.tensor(MOSAIC, dtype=torch.float64).square()
    return NullNoise(sigma / rings.mean(mosaic, rings.usable) ** 0.5, False)


def _is_white(y: Tensor, rings: "_Rings", recorded: Tensor, sigma: float) -> bool:
    """As far as the rings tell; not where the middle ones hold more than noise."""
    if max(rings.passed[k] for k in _within(*MIDDLE)) > LEAKY:
        return False
    apart = y if len(y) != 3 else (y - y.mean(0)) * math.sqrt(3 / 2)
    powers = rings.powers(apart, recorded)
    if powers is None or rings.mean(powers, rings.usable) ** 0.5 < APART * sigma:
        return False
    return _between(rings, powers)


def _between(rings: "_Rings", powers: Tensor) -> bool:
    """True if as much noise is in all rings as white noise has."""
    highest = rings.mean(powers, _within(*HIGHEST))
    for ring, (low, high) in ((MIDDLE, WHITE_MIDDLE), (HIGH, WHITE_HIGH)):
        ratio = (rings.mean(powers, _within(*ring)) / max(highest, 1e-20)) ** 0.5
        if not low < ratio < high:
            return False
    return True


@dataclass(frozen=True)
class _Rings:
    """Rings of frequencies between EDGES: areas, places to look at, and what K passes there.

    usable: rings that hold noise alone.
    """

    taper: Tensor
    areas: tuple[int, ...]
    places: tuple[Tensor, ...]
    passed: tuple[float, ...]
    usable: tuple[int, ...]

    @staticmethod
    def of(kernel: Tensor, size: int) -> "_Rings | None":
        """None if too few rings hold nothing else than noise."""
        line = general_cosine(size, a=BLACKMAN_HARRIS, sym=False, dtype=torch.float64)
        taper = line[:, None] * line
        passed = _smeared(kernel, taper).flatten()
        frequency = torch.fft.fftfreq(size, dtype=torch.float64)
        radius = torch.hypot(frequency[:, None], frequency).flatten()
        # On the axes lies the border's leakage.
        off = frequency.abs() > 4.5 / size
        off_axis = (off[:, None] & off).flatten()
        areas, places, most = [], [], []
        for inner, outer in zip(EDGES, EDGES[1:], strict=False):
            ring = ((radius >= inner) & (radius < outer) & off_axis).nonzero()[:, 0]
            few = ring[passed[ring].argsort()[: max(FEWEST, int(SHARE * len(ring)))]]
            areas.append(len(ring))
            places.append(few)
            most.append(float(passed[few].max()))
        for nothing in (NOTHING, NEARLY):
            usable = tuple(k for k in _within(*RINGS) if most[k] < nothing)
            if len(usable) >= ENOUGH:
                return _Rings(taper, tuple(areas), tuple(places), tuple(most), usable)
        return None

    def powers(self, channels: Tensor, recorded: Tensor) -> Tensor | None:
        """Power in each ring's places, mean of the channels and median of the windows, (rings,).

        channels: (C, H, W).    recorded: (H, W), 0 for pixels without noise, as they are clipped;
        None where most are.
        """
        size, weight = len(self.taper), self.taper.square()
        found = torch.zeros(1, dtype=torch.float64)
        for channel in channels.double():
            blocks = windows(channel, size, MOST)
            means = (blocks * self.taper).sum((1, 2), keepdim=True) / self.taper.sum()
            spectra = torch.fft.fft2((blocks - means) * self.taper).abs().square().flatten(1)
            rings = [spectra[:, places].mean(1) for places in self.places]
            found = found + torch.stack(rings, 1) / weight.sum() / len(channels)
        shares = (windows(recorded, size, MOST) * weight).sum((1, 2)) / weight.sum()
        whole = shares > LEAST
        if not whole.any():
            return None
        return (found[whole] / shares[whole, None]).median(0).values

    def mean(self, powers: Tensor, rings: Sequence[int]) -> float:
        """Over these rings, by area."""
        areas = torch.tensor([self.areas[k] for k in rings], dtype=torch.float64)
        return float(powers[list(rings)] @ areas / areas.sum())


def _within(low: float, high: float) -> list[int]:
    """Rings with inner edges in these bounds."""
    return [k for k, inner in enumerate(EDGES[:-1]) if low <= inner < high]


def _smeared(kernel: Tensor, taper: Tensor) -> Tensor:
    """|K|^2 as a window sees it, of the taper's shape."""
    height, width = taper.shape
    passed = torch.fft.fft2(kernel.double(), (height, width)).abs().square()
    spread = torch.fft.fft2(taper).abs().square()
    both = torch.fft.fft2(passed) * torch.fft.fft2(spread / spread.sum())
    smeared: Tensor = torch.fft.ifft2(both).real.clamp(min=0)
    return smeared
