"""Compositions with a blur or a reduction of light in them, which are no linear map."""

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from ..linear import Linear
from .chain import Chain, Composite, LinearMaps, LinearPart, Part
from .gauss_newton import Near, bent_data_step, improved
from .in_light import InLight


@dataclass(frozen=True)
class NearChain(LinearMaps):
    """What a `BentChain` is near a picture: change of y for a change of the picture."""

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2 by a few conjugate gradients from d."""
        return self.improved(d, d, y - self(d), r)

    def improved(self, x: Tensor, d: Tensor, miss: Tensor, r: float) -> Tensor:
        """x + argmin_v |A v - miss|^2 + r |x + v - d|^2."""
        return improved(self, x, d, miss, r)


@dataclass(frozen=True)
class BentChain(Composite):
    """One of whose parts, in their order, is an `InLight`."""

    def tangent(self, x: Tensor) -> Near:
        """What A is near x."""
        near: list[Linear] = []
        for part in self.parts:
            if isinstance(part, InLight):
                near.append(part.tangent(x))
            else:
                near.append(cast(Linear, part))
            x = part(x)
        return NearChain(tuple(near))

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A(x) - y|^2 + r |x - d|^2."""
        return bent_data_step(self, d, y, r)


def compose(parts: tuple[Part, ...]) -> Chain | BentChain:
    """The operator of these parts, the first of which acts on x."""
    if any(isinstance(part, InLight) for part in parts):
        return BentChain(parts)
    return Chain(cast(tuple[LinearPart, ...], parts))


def in_values(part: Part) -> Part:
    """The same as if light and values were one, which tells as much of x where slopes are even."""
    if isinstance(part, BentChain):
        return compose(tuple(in_values(one) for one in part.parts))
    return part.inner if isinstance(part, InLight) else part
