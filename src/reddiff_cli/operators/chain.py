"""Compositions: y = A_n(... A_2(A_1 x)), for a picture that went through several damages."""

from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from torch import Tensor

from ..linear import solve_data_step
from ..metrics import rms
from .inpaint import Inpaint, Whitened


class Part(Protocol):
    """A linear operator with an adjoint and a first guess."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def adjoint(self, y: Tensor) -> Tensor: ...

    def start(self, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Chain:
    """parts: in the order of the damage; the first one acts on x."""

    parts: tuple[Part, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """A_n ... A_1 x."""
        return reduce(lambda value, part: part(value), self.parts, x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A_1^T ... A_n^T y."""
        return reduce(lambda value, part: part.adjoint(value), reversed(self.parts), y)

    @property
    def kernel(self) -> Tensor | None:
        """That of the only part, if it is a blur."""
        kernel: Tensor | None = getattr(self.parts[0], "kernel", None)
        return kernel if len(self.parts) == 1 else None

    @property
    def direct(self) -> Tensor | None:
        """Where y is x and noise: what a mask lets through that is the only part, or None."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only.known == 1 if isinstance(only, Inpaint | Whitened) else None

    def start(self, y: Tensor) -> Tensor:
        """Each part's own first guess, last damage first."""
        return reduce(lambda value, part: part.start(value), reversed(self.parts), y)

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2 by conjugate gradients from d."""
        return solve_data_step(self, d, y, r)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of y - A x for each picture, (B,); behind a mask, over what it lets through."""
        last = self.parts[-1]
        if isinstance(last, Inpaint | Whitened):
            before = reduce(lambda value, part: part(value), self.parts[:-1], x)
            return last.residual(before, y)
        return rms(y - self(x))
