"""Clipped highlights: one exposure, several exposures of one scene, and the papers' clip(2 x).

A pixel at the clipping level says only that the scene was at least that bright: a one-sided
constraint, not a value. So the data step pulls such a pixel up to the level and no further.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..light.response import Response
from .evenly import EvenlyMeasured
from .highlights import guess_highlights

# Contrast of the papers' operator.
GAIN = 2.0
# Gauss-Newton steps of the data step: OETF(g EOTF(u)) is nearly linear in u. Behind 4 of them at
# most 2e-4 (rms) are left, up to 5 stops and r from 1e-4 to 30.
ROUNDS = 4


@dataclass(frozen=True)
class PaperHdr(EvenlyMeasured):
    """y = clip(2 x, -1, 1) about mid-grey: the benchmark operator of several papers.

    tolerance: |y| above 1 - tolerance counts as clipped.
    """

    tolerance: float = 1.5 / 127.5

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> y of the same shape, in [-1, 1]."""
        return (GAIN * x).clamp(-1, 1)

    def start(self, y: Tensor) -> Tensor:
        """y / 2: zero residual, and clipped regions flat at the clipping level."""
        return y / GAIN

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x loss(2 x - y) + r |x - d|^2; at +-1 only a shortfall from y is charged."""
        bound = (GAIN * y + r * d) / (GAIN**2 + r)
        high, low = y >= 1 - self.tolerance, y <= self.tolerance - 1
        satisfied = (high & (GAIN * d >= y)) | (low & (GAIN * d <= y))
        return torch.where(satisfied, d, bound)


@dataclass(frozen=True)
class Exposures:
    """y_e = OETF(clip(2^stops_e EOTF(u), 0, 1)), u = (x + 1) / 2, for each of E exposures.

    x: (B, C, H, W), the scene at a level where its highlights fit into [-1, 1].
    y: (B, E, C, H, W) in [-1, 1].    stops: gain of each exposure over x, in stops.
    tolerance: values above 1 - tolerance in [0, 1] units count as clipped; about three times
    the noise, and at least the rounding of the file.    trust: weight of each exposure, 1 where
    its noise is sigma_y (empty: everywhere).

    Where every exposure is clipped, the strongest bound decides; where one is black, its small
    slope makes it weigh next to nothing.
    """

    stops: tuple[float, ...]
    response: Response = Response()
    tolerance: float = 1.5 / 255
    trust: tuple[float, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> y: (B, E, C, H, W)."""
        u = (x + 1) / 2
        shots = [self.response.expose(u, 2**stops)[0].clamp(0, 1) for stops in self.stops]
        return torch.stack(shots, 1) * 2 - 1

    def clipped(self, y: Tensor) -> Tensor:
        """Where y says only "at least": bool, of y's shape.

        Within twice the tolerance also where five or more of the eight neighbours are clipped: a
        dark speck of noise in a clipped area would otherwise count as a recorded value.
        """
        value = (y + 1) / 2
        sure = value >= 1 - self.tolerance
        votes = F.avg_pool2d(sure.flatten(0, -3).to(y.dtype), 3, 1, 1, count_include_pad=False)
        crowded = (votes > 0.5).view(y.shape)
        return sure | (crowded & (value >= 1 - 2 * self.tolerance))

    def level(self) -> float:
        """The brightest u that at least one exposure still records, in [0, 1] units."""
        light = torch.tensor(2 ** -min(self.stops), dtype=torch.float64)
        return min(1.0, float(self.response.encode(light)))

    def start(self, y: Tensor) -> Tensor:
        """A first guess: what was recorded, and above the clipping level a likely highlight.

        Recorded values are averaged over exposures by the inverse variance of x. A channel that
        is clipped follows the others (highlights.py); where all are, a dome rises from the border,
        as steeply as u did before it, in the colour of the surroundings.
        """
        recorded, weight = self._recorded(y)
        clipped = weight == 0
        level = self.level()
        # Half as wide a gap has 0.04 to 0.1 dB less in 8 bits, in noise of 1 % 0.2 to 0.4 dB.
        guess = guess_highlights(recorded, clipped, level, 2 * self.tolerance * level)
        return (guess * 2 - 1).clamp(-1, 1)

    def _recorded(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean u of the exposures that are not clipped, and its weight: 0 where all are."""
        values, clipped = (y + 1) / 2, self.clipped(y)
        total = torch.zeros_like(values[:, 0])
        weight = torch.zeros_like(total)
        for e, (stops, trust) in enumerate(zip(self.stops, self._trusted(), strict=True)):
            u = self.response.expose(values[:, e], 2**-stops)[0]
            slope = self.response.expose(u, 2**stops)[1]
            share = torch.where(clipped[:, e], torch.zeros_like(u), trust * slope**2)
            total, weight = total + share * u, weight + share
        return torch.where(weight > 0, total / weight.clamp(min=1e-12), weight), weight

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x sum_e w_e loss_e(A_e(x) - y_e) + r |x - d|^2, pixel by pixel; w: `trust`.

        loss(v) = v^2, but zero for v > 0 where y is clipped. Gauss-Newton from d; the objective
        is piecewise nearly quadratic in one variable, so that it settles within a few rounds.
        """
        target, clipped = (y + 1) / 2, self.clipped(y)
        origin = (d + 1) / 2
        u = origin
        for _ in range(ROUNDS):
            pull, weight = r * (origin - u), torch.full_like(u, r)
            for e, (stops, trust) in enumerate(zip(self.stops, self._trusted(), strict=True)):
                exposed, slope = self.response.expose(u, 2**stops)
                miss = target[:, e] - exposed
                active = trust * (~clipped[:, e] | (miss > 0)).to(u.dtype)
                pull = pull + active * slope * miss
                weight = weight + active * slope**2
            u = u + pull / weight
        return 2 * u - 1

    def _trusted(self) -> tuple[float, ...]:
        return self.trust or (1.0,) * len(self.stops)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of y - A(x) over what was recorded, for each picture, (B,), by `trust`."""
        trust = y.new_tensor(self._trusted()).view(1, -1, 1, 1, 1)
        miss = (y - self(x)).square()
        recorded = (~self.clipped(y)).to(miss.dtype)
        total = (miss * recorded * trust).flatten(1).sum(1)
        return (total / recorded.flatten(1).sum(1).clamp(min=1)).sqrt()


@dataclass(frozen=True)
class Exposure:
    """One photograph over-exposed by `stops`: `Exposures` of one, with y of x's shape.

    y = OETF(clip(2^stops EOTF(u), 0, 1)); x, y: (B, C, H, W) in [-1, 1]. Times 2^stops in linear
    light, x is the photograph with its highlights.
    """

    stops: float
    response: Response = Response()
    tolerance: float = 1.5 / 255

    @property
    def bracket(self) -> Exposures:
        return Exposures((self.stops,), self.response, self.tolerance)

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> y of the same shape."""
        return self.bracket(x)[:, 0]

    def start(self, y: Tensor) -> Tensor:
        """As `Exposures.start`."""
        return self.bracket.start(y[:, None])

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """As `Exposures.data_step`."""
        return self.bracket.data_step(d, y[:, None], r)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """As `Exposures.residual`."""
        return self.bracket.residual(x, y[:, None])

    def clipped(self, y: Tensor) -> Tensor:
        """Where y says only "at least": bool, of y's shape."""
        return self.bracket.clipped(y[:, None])[:, 0]

    def level(self) -> float:
        """The value u, in [0, 1] units, from which on the photograph is clipped."""
        return self.bracket.level()
