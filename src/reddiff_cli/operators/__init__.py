"""What damaged the picture: y = A(x) + noise, with A's start and data step."""

import math
from dataclasses import fields, replace
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from .bent_chain import BentChain, compose, in_values
from .blur import Blur, CircularBlur, PaddedBlur
from .chain import Chain, Composite
from .coloured import Coloured, noise_of, passed_by
from .downsample import Downsample
from .hdr import Exposure, Exposures, PaperHdr
from .in_light import InLight, behind
from .inpaint import Inpaint, JoinedInpaint, Whitened
from .jpeg import ComponentLayout, Jpeg, measure_jpeg
from .phase import Phase
from .pointwise import Grey, Identity, rec601

__all__ = [
    "BentChain",
    "Blur",
    "Chain",
    "CircularBlur",
    "Coloured",
    "Composite",
    "Downsample",
    "Exposure",
    "Exposures",
    "Grey",
    "Identity",
    "InLight",
    "Inpaint",
    "JoinedInpaint",
    "Jpeg",
    "ComponentLayout",
    "Operator",
    "PaddedBlur",
    "PaperHdr",
    "Phase",
    "Whitened",
    "behind",
    "compose",
    "enlargement",
    "in_values",
    "is_linear",
    "keeps_noise",
    "measure_jpeg",
    "mixes_colours",
    "noise_of",
    "on_device",
    "passed_by",
    "rec601",
]

T = TypeVar("T")


class Operator(Protocol):
    """Forward model in [-1, 1] units; everything pure, nothing shares memory with its input."""

    def __call__(self, x: Tensor) -> Tensor:
        """A(x), the noise-free measurement of x."""

    def start(self, y: Tensor) -> Tensor:
        """A first guess of x in the prior's range."""

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A(x) - y|^2 + r |x - d|^2."""

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of what A(x) leaves of y, for each picture, (B,), in [-1, 1] units."""


def enlargement(operator: object) -> int:
    """How many times as wide and as high as y x is, but for margins."""
    if isinstance(operator, Composite):
        return math.prod(enlargement(part) for part in operator.parts)
    if isinstance(operator, InLight):
        return enlargement(operator.inner)
    return operator.scale if isinstance(operator, Downsample) else 1


def is_linear(operator: object) -> bool:
    """True if A is linear: then it has an adjoint."""
    return hasattr(operator, "adjoint")


def keeps_noise(operator: object) -> bool:
    """True if A is linear or has a tangent, so that noise behind it is noise of x."""
    return is_linear(operator) or hasattr(operator, "tangent")


def mixes_colours(operator: object) -> bool:
    """True if a channel of y is made of several of x; else A acts on each in the same way."""
    if isinstance(operator, Composite):
        return any(mixes_colours(part) for part in operator.parts)
    return isinstance(operator, Grey | Jpeg)


def on_device(operator: T, device: torch.device) -> T:
    """The same operator with its tensors, and those of its parts, on a device.

    Itself where they are there already. What it keeps, in fields that are not given to it, by
    (size, dtype, device), goes along: it takes seconds to make.
    """
    if isinstance(operator, Tensor):
        return cast(T, operator.to(device))
    if isinstance(operator, tuple):
        parts = tuple(on_device(part, device) for part in operator)
        same = all(part is old for part, old in zip(parts, operator, strict=True))
        return operator if same else cast(T, parts)
    if not hasattr(operator, "__dataclass_fields__"):
        return operator
    item = cast(Any, operator)
    moved = {f.name: on_device(getattr(item, f.name), device) for f in fields(item) if f.init}
    if all(part is getattr(item, name) for name, part in moved.items()):
        return operator
    other = replace(item, **moved)
    there = torch.empty(0, device=device).device  # with its number
    for f in fields(item):
        if not f.init:
            kept = getattr(item, f.name).items()
            made = {(*key[:2], there): on_device(value, device) for key, value in kept}
            getattr(other, f.name).update(made)
    return cast(T, other)
