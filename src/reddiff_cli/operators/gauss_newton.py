"""Data steps of operators that are no linear map but have a tangent, by Gauss-Newton."""

import math
from typing import Protocol

import torch
from torch import Tensor

from ..linear import Linear, conjugate_gradients

# Gauss-Newton rounds, and conjugate gradients in each: PACE / sqrt(r), and at most MANY. 8 crops
# of 112x112 behind motion:13,25 of light, noise 0.004, 20 evaluations, dB: 2 rounds with at most
# 12 / 25 / 50 34.89 / 35.05 / 35.07; 1 and 3 rounds with 25 35.05 and 35.03. The second is for
# lamps by night, where the first may leave 60 times as much of the objective.
ROUNDS, HALVINGS = 2, 3
PACE, FEW, MANY = 1.0, 4, 25
TOLERANCE = 1e-4


class Near(Linear, Protocol):
    """What an operator is near a picture."""

    def improved(self, x: Tensor, d: Tensor, miss: Tensor, r: float) -> Tensor:
        """x + argmin_v |A v - miss|^2 + r |x + v - d|^2."""


class Bent(Protocol):
    """An operator with a tangent."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def tangent(self, x: Tensor) -> Near: ...


def bent_data_step(operator: Bent, d: Tensor, y: Tensor, r: float) -> Tensor:
    """argmin_x |A(x) - y|^2 + r |x - d|^2 by Gauss-Newton steps from d.

    A step that does not lower the objective is halved, picture by picture.
    """
    x, miss = d, y - operator(d)
    for _ in range(ROUNDS):
        there = operator.tangent(x).improved(x, d, miss, r)
        x, miss = _lower(operator, x, miss, there, d, y, r)
    return x


def improved(near: Linear, x: Tensor, d: Tensor, miss: Tensor, r: float) -> Tensor:
    """x + argmin_v |A v - miss|^2 + r |x + v - d|^2, by a few conjugate gradients."""
    iterations = min(MANY, max(FEW, math.ceil(PACE / math.sqrt(max(r, 1e-12)))))

    def normal(v: Tensor) -> Tensor:
        return near.adjoint(near(v)) + r * v

    downhill = near.adjoint(miss) + r * (d - x)
    return x + conjugate_gradients(normal, downhill, iterations, TOLERANCE)


def _lower(
    operator: Bent, x: Tensor, miss: Tensor, there: Tensor, d: Tensor, y: Tensor, r: float
) -> tuple[Tensor, Tensor]:
    """A point between x and `there` that is no worse than x, and y - A of it."""
    before = _squares(miss) + r * _squares(x - d)
    for _ in range(HALVINGS):
        left = y - operator(there)
        worse = _squares(left) + r * _squares(there - d) > before
        if not bool(worse.any()):
            return there, left
        there = torch.where(worse, (x + there) / 2, there)
    return torch.where(worse, x, there), torch.where(worse, miss, left)


def _squares(x: Tensor) -> Tensor:
    """Sum of squares of each picture, (B, 1, 1, 1)."""
    return x.square().flatten(1).sum(1).view(-1, 1, 1, 1)
