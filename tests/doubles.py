"""Exact stand-ins for networks: closed forms that solvers can be checked against."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reddiff_cli.linear import Linear, conjugate_gradients
from reddiff_cli.schedule import Schedule
from reddiff_cli.tasks import Stage
from reddiff_cli.tasks.problem import Probe
from reddiff_cli.tiling import Patchwork, cover, patchwork


def windows_everywhere(height: int, width: int, size: int, overlap: int) -> Patchwork:
    """Windows over a whole canvas."""
    hole = np.ones((height, width), dtype=bool)
    return patchwork((height, width), cover(hole, size, overlap // 2), size, overlap)


@dataclass(frozen=True)
class GaussianPrior:
    """x ~ N(m, S) on pictures of side x side pixels; its denoiser is known exactly (float64)."""

    side: int
    mean: Tensor
    covariance: Tensor
    schedule: Schedule

    def wiener(self, s: float) -> Tensor:
        """W = S (S + s^2 I)^-1, so that D(z) = m + W (z - m)."""
        eye = torch.eye(len(self.covariance), dtype=torch.float64)
        return torch.linalg.solve(self.covariance + s**2 * eye, self.covariance)

    def __call__(self, z: Tensor, t: Tensor) -> Tensor:
        assert bool((t == t[0]).all())
        w = self.wiener(float(self.schedule.s[t[0]]))
        flat = z.flatten(1) - self.mean
        return (self.mean + flat @ w.T).view_as(z)


def gaussian_prior(side: int, schedule: Schedule, *, white: bool = False) -> GaussianPrior:
    """Smooth pictures: exponential covariance with a range of 2 pixels, variance 0.25."""
    index = torch.arange(side, dtype=torch.float64)
    y, x = torch.meshgrid(index, index, indexing="ij")
    points = torch.stack([y.flatten(), x.flatten()], 1)
    covariance = 0.25 * torch.exp(-torch.cdist(points, points) / 2)
    if white:
        covariance = torch.eye(side * side, dtype=torch.float64)
    generator = torch.Generator().manual_seed(7)
    mean = 0.2 * torch.randn(side * side, generator=generator, dtype=torch.float64)
    return GaussianPrior(side, mean, covariance, schedule)


def exact_step(
    operator: Linear,
    d: Tensor,
    y: Tensor,
    r: float,
    iterations: int = 400,
    tolerance: float = 1e-13,
) -> Tensor:
    """argmin_x |A x - y|^2 + r |x - d|^2 by as many conjugate gradients as it takes."""

    def normal(x: Tensor) -> Tensor:
        return operator.adjoint(operator(x)) + r * x

    gradient = operator.adjoint(y - operator(d))
    return d + conjugate_gradients(normal, gradient, iterations, tolerance)


def told_of_tiles(stage: Stage, sigma: float, *, wide: bool = False) -> Tensor:
    """What a probe would tell if all tiles had this noise, in [-1, 1] units, white or not.

    Of noise that was heard: all of it.
    """
    if stage.whitening is not None:
        return torch.ones(1, 2 if stage.probe is Probe.STRENGTH else 1)
    left = torch.tensor([2.0, 1.7, 0.9]) if wide else torch.ones(3)
    answer = torch.cat([torch.tensor([sigma]), left, torch.ones(3)])
    return answer.expand(len(stage.y), -1)
