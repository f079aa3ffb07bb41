"""Noise that is not white, and what has to be added to it so that it is.

A network has learned x + s n, n ~ N(0, I). The noise of cameras is wider than a pixel, shared by
channels and stronger in the dark: its spectrum P is no s^2 I. But y with noise of the spectrum
s^2 I - P added is x + s n, if s is at least what P is at its strongest frequency, and then D is
the mean of x given what was seen (as in look.py). Every look adds other noise, and the mean of
several looks forgets most of it again. s follows the strength of the noise from place to place:
the picture is looked at in a few levels, and D is interpolated between them.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.backends import mkldnn
from torch.nn import functional as F

from ..estimation.stationary import directions_of, kernel_of, white_power
from ..interpolation import tents
from ..schedule import Schedule
from ..signatures import DenoiseFunction, DrawNoise

# Levels are so many times apart at most, and no more of them, whatever their distance. 6 training
# crops of 192x192, shot noise of a mosaic, of known spectrum and strength, 4 looks at each level:
# at one level for the strongest noise 36.1 and 32.4 dB, at three 37.8 and 33.3.
APART, MOST = 1.35, 3
# They reach from the strength of the least noisy places to that of the most noisy ones: quantiles.
LEAST_NOISY, MOST_NOISY = 0.1, 0.95
# What is added is interpolated between so many strengths.
STRENGTHS = 4
# Pixels that these are taken from.
SOME = 1_000_000
# Values that are held for the rows that are filtered at a time: 64 MB. Without oneDNN 1 megapixel
# takes 112 MB and 1.9 s so, and 2979 MB and 2.1 s as a whole.
COPIED = 1 << 24


@dataclass(frozen=True)
class Filtering:
    """A picture and the filter that it goes through.

    x: (B, C, H, W).    response: to the variances of n in y, of all directions (frequencies and
    mixtures of channels).    border: how x goes on outside, as of `F.pad`.
    """

    x: Tensor
    response: Callable[[Tensor], Tensor]
    border: str


@dataclass(frozen=True)
class Whitening:
    """y = x + a n: noise n of one spectrum, and its strength a at every place.

    y: (1, C, H, W) in [-1, 1].    power: (T, T, C, C), spectrum of n: for every frequency, as of
    fft2, covariance of the channels; 1 is that of white noise of variance 1.    a: (1, 1, H, W),
    in [-1, 1] units.    rise: looked at as if the noise were so much stronger, at least 1.
    at_once: all of it is to be made white at one level, as its directions are not to be trusted.
    """

    y: Tensor
    power: Tensor
    a: Tensor
    rise: float = 1.0
    at_once: bool = False

    def to(self, device: torch.device) -> "Whitening":
        """The same on a device, but for the spectrum, which is small."""
        return replace(self, y=self.y.to(device), a=self.a.to(device))

    @cached_property
    def directions(self) -> tuple[Tensor, Tensor]:
        """Those of n, as of `directions_of`."""
        return directions_of(self.power)

    @property
    def has_directions(self) -> bool:
        """True if some directions have less noise than others, and are to be trusted."""
        white = white_power(self.power.shape[2]).to(self.power)
        return not (self.at_once or torch.equal(self.power, white))

    def scaled(self, ratio: float) -> "Whitening":
        """As if the noise were so many times as strong as it is.

        More: looked at with more. Less: what is above counts for a part of the picture.
        """
        return replace(self, a=min(1.0, ratio) * self.a, rise=max(1.0, ratio) * self.rise)

    def levels(self, most: int = MOST) -> list[float]:
        """Levels s to look at, from the least noisy places to the most noisy ones."""
        low, high = (quantile_of(self.a, q) for q in (LEAST_NOISY, MOST_NOISY))
        count = 1
        while count < min(most, MOST) and low * APART**count < high:
            count += 1
        top = high * peak(self.power) * self.rise
        step = (high / low) ** (1 / max(1, count - 1))
        return [top / step**k for k in reversed(range(count))]

    def shares(self, levels: list[float]) -> list[Tensor]:
        """How much D of each level counts at every place, (1, 1, H, W); 1 in all.

        Linear in the logarithm of the level that a place asks for.
        """
        asked = (self.a * peak(self.power) * self.rise).clamp(levels[0], levels[-1])
        return tents(asked.log(), [math.log(level) for level in levels])

    def added(self, s: float, xi: Tensor) -> Tensor:
        """Noise of the spectrum s^2 I - a^2 P (0 where that is negative), from xi ~ N(0, I)."""
        return self.filtered(Filtering(xi, lambda p: (s**2 - p).clamp(min=0).sqrt(), "circular"))

    def filtered(self, *parts: "Filtering") -> Tensor:
        """The sum of some pictures, each through its filter; of y's shape."""
        side, nodes = self.power.shape[0], self._nodes()
        around = torch.cat(
            [F.pad(p.x, (side - side // 2 - 1, side // 2) * 2, mode=p.border) for p in parts], 1
        )
        values, vectors = self.directions
        kernels = torch.cat(
            [
                torch.cat([kernel_of(p.response(a**2 * values), vectors) for p in parts], 1)
                for a in nodes
            ]
        )
        return _filtered(around, kernels.to(around), torch.cat(tents(self.a, nodes), 1))

    def _nodes(self) -> list[float]:
        low, high = (float(value) for value in torch.aminmax(self.a))
        if high <= low * 1.02:
            return [high]
        return [low + (high - low) * k / (STRENGTHS - 1) for k in range(STRENGTHS)]


def mean_of_whitened(
    whitening: Whitening,
    denoiser: DenoiseFunction,
    schedule: Schedule,
    draw_noise: DrawNoise,
    count: int,
) -> Iterator[tuple[int, Tensor]]:
    """(k, mean of the first k looks), which take the levels in turn.

    draw_noise: fresh N(0, I) of y's shape at every call.
    """
    levels = whitening.levels(count)
    shares = whitening.shares(levels)
    total, weight = torch.zeros_like(whitening.y), torch.zeros_like(whitening.a)
    for k in range(count):
        turn = k % len(levels)
        t = schedule.nearest_t(levels[turn])
        z = whitening.y + whitening.added(float(schedule.s[t]), draw_noise())
        clean = denoiser(z, torch.full((len(z),), t))
        total, weight = total + shares[turn] * clean, weight + shares[turn]
        # Places whose level has not been looked at yet show another one's.
        yield k + 1, torch.where(weight > 0, total / weight.clamp(min=1e-12), clean)


def peak(power: Tensor) -> float:
    """Standard deviation of white noise that is as strong everywhere as this at its strongest.

    The outermost of its frequencies are left out: a spectrum that was measured is not exact.
    """
    strongest = torch.linalg.eigvalsh(power)[..., -1].flatten()
    return float(strongest.quantile(0.98).clamp(min=0).sqrt())


def _filtered(around: Tensor, kernels: Tensor, shares: Tensor) -> Tensor:
    """The sum of what some filters make of a picture, by their shares at every place.

    around: (B, I, H + T - 1, W + T - 1).    kernels: (n C, I, T, T).    shares: (B, n, H, W).

    All filters at once, as processors have room for more than three channels, and some rows at a
    time. PyTorch's own convolution, where a CPU has no oneDNN, copies all pixels under the kernel
    at every place as well: 3 kB a pixel for 16x16 of 3 channels.
    """
    there = mkldnn.is_available() and mkldnn.enabled  # type: ignore[no-untyped-call]
    copies = around.device.type == "cpu" and not there
    batch, count, height, _ = shares.shape
    side, width = kernels.shape[2], around.shape[3]
    values = len(kernels) + (kernels[0].numel() if copies else 0)
    rows = max(1, COPIED // (batch * width * values))
    strips = []
    for top in range(0, height, rows):
        strip = F.conv2d(around[:, :, top : top + rows + side - 1], kernels)
        share = shares[:, :, None, top : top + rows]
        strips.append((share * strip.view(batch, count, -1, *strip.shape[2:])).sum(1))
    return torch.cat(strips, 2)


def quantile_of(values: Tensor, q: float) -> float:
    """Of some of many values."""
    flat = values.flatten()
    return float(flat[:: 1 + len(flat) // SOME].quantile(q))
