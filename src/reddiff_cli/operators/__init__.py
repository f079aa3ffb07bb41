"""What damaged the picture: y = A(x) + noise, with A's start and data step."""

from typing import Protocol

from torch import Tensor

from .inpaint import Inpaint
from .phase import Phase

__all__ = ["Inpaint", "Operator", "Phase"]


class Operator(Protocol):
    """Forward model in [-1, 1] units; everything pure, nothing shares memory with its input."""

    def __call__(self, x: Tensor) -> Tensor:
        """A(x), the noise-free measurement of x."""

    def start(self, y: Tensor) -> Tensor:
        """A first guess of x in the prior's range."""

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A(x) - y|^2 + r |x - d|^2."""
