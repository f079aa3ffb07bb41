"""Compositions: y = A_n(... A_2(A_1 x)), for a picture that went through several damages."""

from dataclasses import dataclass, field
from functools import reduce
from typing import Protocol

from torch import Tensor

from ..linear import Linear, Map, solve_data_step
from ..metrics import rms
from .blur import Blur
from .downsample import Downsample
from .inpaint import Inpaint, Whitened
from .separable import Matrices, Separable, separable

# Side of the largest canvas whose rows and columns are kept as matrices, as of reductions. On one
# core two blurs of 2000x2000 take 7.6 s at first and 3.0 s then, by conjugate gradients 82 s.
LARGEST = 8192


class Part(Protocol):
    """An operator with a first guess."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def start(self, y: Tensor) -> Tensor: ...


class LinearPart(Part, Linear, Protocol):
    """A linear one, with an adjoint."""


@dataclass(frozen=True)
class Maps:
    """Maps, one after the other; the first one acts on x."""

    parts: tuple[Map, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """A_n(... A_1(x))."""
        return reduce(lambda value, part: part(value), self.parts, x)


@dataclass(frozen=True)
class LinearMaps(Maps):
    """Those that are linear, and so is what they make."""

    parts: tuple[Linear, ...]

    def adjoint(self, y: Tensor) -> Tensor:
        """A_1^T ... A_n^T y."""
        return reduce(lambda value, part: part.adjoint(value), reversed(self.parts), y)


@dataclass(frozen=True)
class Composite(Maps):
    """Damages in their order."""

    parts: tuple[Part, ...]

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

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of y - A(x) for each picture, (B,); behind a mask, over what it lets through."""
        last = self.parts[-1]
        if isinstance(last, Inpaint | Whitened):
            return last.residual(Maps(self.parts[:-1])(x), y)
        return rms(y - self(x))


@dataclass(frozen=True)
class Chain(Composite, LinearMaps):
    """One whose parts are linear, and so is it."""

    parts: tuple[LinearPart, ...]
    # The whole, where rows and columns are apart, for every size and type seen so far.
    _apart: dict[object, Separable | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2.

        Exact where all parts are blurs and reductions with rows and columns apart; else by
        conjugate gradients from d.
        """
        apart = self._separable(d, y)
        return solve_data_step(self, d, y, r) if apart is None else apart.data_step(d, y, r)

    def _separable(self, d: Tensor, y: Tensor) -> Separable | None:
        """A by rows and columns, for pictures like y; None if these are not apart."""
        key = (y.shape[2:], d.dtype, d.device)
        if key not in self._apart:
            small = max(d.shape[2:]) <= LARGEST
            matrices = self._matrices(*y.shape[2:]) if small else None
            self._apart[key] = matrices and separable(matrices, d)
        return self._apart[key]

    def _matrices(self, height: int, width: int) -> Matrices | None:
        """Products of those of all parts, for y of this size."""
        product: Matrices | None = None
        for part in reversed(self.parts):
            own = part.matrices(height, width) if isinstance(part, Blur | Downsample) else None
            if own is None:
                return None
            height, width = (len(side.T) for side in own)
            product = own if product is None else (product[0] @ own[0], product[1] @ own[1])
        return product
