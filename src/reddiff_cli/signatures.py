"""What modules hand to one another: the functions, and what solvers need of an operator."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

# D(z, t): the picture in z = x + s_t eps, (B, C, H, W) about [-1, 1]; t: (B,) integers.
DenoiseFunction = Callable[[Tensor, Tensor], Tensor]
# network(x_t, t): epsilon, v or x of x_t = sqrt(alpha_bar_t) z, as it was trained; shapes alike.
NetworkFunction = Callable[[Tensor, Tensor], Tensor]
# Fresh N(0, I) at every call, of a shape that is settled.
DrawNoise = Callable[[], Tensor]


class DataTerm(Protocol):
    """y = A(x) + noise, as solvers see it."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A(x) - y|^2 + r |x - d|^2."""
