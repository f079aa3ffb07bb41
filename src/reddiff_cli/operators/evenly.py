"""What operators share in which every value of y counts alike."""

from typing import Protocol

from torch import Tensor

from ..metrics import rms


class Measuring(Protocol):
    """A(x)."""

    def __call__(self, x: Tensor) -> Tensor: ...


class EvenlyMeasured:
    """An operator whose misfit is that of y as it stands."""

    def residual(self: Measuring, x: Tensor, y: Tensor) -> Tensor:
        """rms of y - A(x) for each picture, (B,)."""
        return rms(y - self(x))
