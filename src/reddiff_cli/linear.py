"""Linear operators by conjugate gradients (Hestenes and Stiefel 1952), one system per picture.

The data step argmin_x |A x - y|^2 + r |x - d|^2 is x = d + e with (A^T A + r I) e = A^T (y - A d):
solved from e = 0, it starts at d and every iteration lowers the objective.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

# The steps visit mu again and again, each from a d that is close already, so few iterations do.
ITERATIONS = 60
TOLERANCE = 1e-4
RARELY = 10


Map = Callable[[Tensor], Tensor]


class Linear(Protocol):
    """A linear map of pictures and its adjoint: <A x, y> = <x, A^T y>."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def adjoint(self, y: Tensor) -> Tensor: ...


def solve_data_step(operator: Linear, d: Tensor, y: Tensor, r: float) -> Tensor:
    """argmin_x |A x - y|^2 + r |x - d|^2 for each picture of a batch.

    d: (B, C, H, W).    y: (B, ...), as A returns.    Ends when the gradient of every picture has
    fallen to TOLERANCE of its first value, or after ITERATIONS.
    """
    gradient = operator.adjoint(y - operator(d))

    def normal(x: Tensor) -> Tensor:
        return operator.adjoint(operator(x)) + r * x

    return d + conjugate_gradients(normal, gradient, ITERATIONS, TOLERANCE)


def conjugate_gradients(
    matrix: Map, b: Tensor, iterations: int, tolerance: float, nearly: Map | None = None
) -> Tensor:
    """Solve matrix(x) = b for a symmetric positive matrix, from x = 0, row by row of a batch.

    b: (B, ...).    A row that is done stays as it is, so it does not depend on the others.
    nearly: the matrix's inverse, or nearly; then the tolerance is in its measure.
    """
    x = torch.zeros_like(b)
    # In place, as fresh memory is slow.
    residual = b.clone()
    towards = residual if nearly is None else nearly(residual)
    direction = towards.clone()
    power = _dot(residual, towards)
    goal = power * tolerance**2
    for k in range(iterations):
        busy = power > goal
        # A look waits for the device, so on a GPU there are few; what is done stays as it is.
        if (b.device.type == "cpu" or k % RARELY == RARELY - 1) and not bool(busy.any()):
            break
        image = matrix(direction)
        step = torch.where(busy, power / _dot(direction, image).clamp(min=_tiny(b)), 0)
        x.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
        towards = residual if nearly is None else nearly(residual)
        last, power = power, torch.where(busy, _dot(residual, towards), power)
        ratio = torch.where(busy, power / last.clamp(min=_tiny(b)), 0)
        direction.mul_(ratio).add_(towards)
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each row, kept broadcastable."""
    total = (a * b).flatten(1).sum(1)
    return total.view(-1, *([1] * (a.dim() - 1)))


def _tiny(x: Tensor) -> float:
    return float(torch.finfo(x.dtype).tiny)
