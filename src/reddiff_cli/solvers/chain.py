"""What the baselines share: a chain of noise levels, and vectors pulled back through a network.

x_t = sqrt(alpha_bar_t) z, z = x + s_t eps. A chain goes from t to u, the next smaller time step of
its grid, and ends with alpha_bar_u = 1, s_u = 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..schedule import Schedule
from ..signatures import DenoiseFunction
from .given import Given


@dataclass(frozen=True)
class NoiseLevel:
    """One step of a chain, from alpha_bar_t to alpha_bar_u (1 after the last step)."""

    t: int
    alpha_bar_t: float
    alpha_bar_u: float

    @property
    def s_t(self) -> float:
        """Noise level of z before the step."""
        return math.sqrt((1 - self.alpha_bar_t) / self.alpha_bar_t)

    @property
    def s_u(self) -> float:
        """Noise level of z after the step."""
        return math.sqrt((1 - self.alpha_bar_u) / self.alpha_bar_u)

    @property
    def last(self) -> bool:
        """Whether nothing follows."""
        return self.alpha_bar_u == 1


def chain(schedule: Schedule, grid: Sequence[int]) -> list[NoiseLevel]:
    """The levels that time steps `grid`, large to small, visit."""
    bars = [float(schedule.alpha_bar[t]) for t in grid] + [1.0]
    return [
        NoiseLevel(t, *pair)
        for t, pair in zip(grid, zip(bars, bars[1:], strict=False), strict=True)
    ]


def noised(given: Given[object], level: NoiseLevel) -> Tensor:
    """x_T = sqrt(alpha_bar_T) start + sqrt(1 - alpha_bar_T) xi, with which a chain begins.

    At the top of the schedule (alpha_bar_T = 4e-5) start is all but invisible in it.
    """
    spread = math.sqrt(1 - level.alpha_bar_t)
    return math.sqrt(level.alpha_bar_t) * given.start + spread * given.draw_noise()


def denoise(z: Tensor, level: NoiseLevel, denoiser: DenoiseFunction) -> Tensor:
    """D(z, t); nothing is recorded."""
    with torch.no_grad():
        return denoiser(z, torch.full((len(z),), level.t))


def denoise_recorded(
    z: Tensor, level: NoiseLevel, denoiser: DenoiseFunction, *, clip: bool = False
) -> tuple[Tensor, Tensor]:
    """D(z, t) recorded for autograd, in [-1, 1] with `clip`, and the leaf z that it depends on.

    ValueError if the denoiser records nothing.
    """
    with torch.enable_grad():
        leaf = z.detach().requires_grad_(True)
        clean = denoiser(leaf, torch.full((len(z),), level.t))
        clean = clean.clamp(-1, 1) if clip else clean
    if not clean.requires_grad:
        raise ValueError("the denoiser records no gradient, which this method needs")
    return clean, leaf


def pull_back(clean: Tensor, leaf: Tensor, vector: Tensor) -> Tensor:
    """(d clean / d leaf)^T vector, picture by picture: (B, C, H, W).

    The vector goes through the network with a largest value of 1, whatever its size, so that a
    16-bit network neither loses nor overflows it.
    """
    largest = vector.flatten(1).abs().amax(1)
    size = torch.where(largest > 0, largest, 1).view(-1, *[1] * (vector.ndim - 1))
    (gradient,) = torch.autograd.grad(clean, leaf, vector / size)
    return gradient * size
