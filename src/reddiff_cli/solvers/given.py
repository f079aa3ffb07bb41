"""What every solver is given, whatever its settings are."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from ..schedule import Schedule
from ..signatures import DenoiseFunction, DrawNoise

A = TypeVar("A", covariant=True)


@dataclass(frozen=True)
class Given(Generic[A]):
    """A measurement, what made it, a prior, and where to begin.

    y: of any shape that A returns.    operator: A, with what the solver needs of it.
    start: (B, C, H, W) in [-1, 1].    draw_noise: fresh N(0, I) of start's shape at every call.
    """

    y: Tensor
    operator: A
    denoiser: DenoiseFunction
    schedule: Schedule
    start: Tensor
    draw_noise: DrawNoise
