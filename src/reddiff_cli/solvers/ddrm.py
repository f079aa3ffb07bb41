"""DDRM, denoising diffusion restoration models (Kawar et al. 2022, arXiv 2201.11793).

Each singular direction of A = U diag(a) V^T goes down the noise levels by itself: it follows the
prior where it is not observed, and the measurement where that is less noisy than the level.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .chain import chain, denoise
from .given import Given

# As in the repository published with the paper, whatever the task.
ETA = 0.85
# Share of the largest singular value below which a direction says nothing but noise, if there is
# any; the published code has 0.03 for blur, whether there is or not. gaussian:3, noise 0.05: 29.0
# dB with it, 28.5 without (one picture of 256x256, 20 evaluations); without noise: 34.1 and 39.8.
NOISE_ALONE = 1e-3


class Spectrum(Protocol):
    """A = U diag(a) V^T with V square and orthonormal; coordinates V^T x may have any shape."""

    @property
    def singular_values(self) -> Tensor:
        """a >= 0, broadcastable to the coordinates of a batch; any device and dtype."""

    def to_basis(self, x: Tensor) -> Tensor:
        """V^T x for x (B, C, H, W); |V^T x| = |x|."""

    def from_basis(self, coordinates: Tensor) -> Tensor:
        """V xbar, (B, C, H, W)."""

    def measurement_to_basis(self, y: Tensor) -> Tensor:
        """U^T y / a in the shape of the coordinates, 0 where a = 0."""


class Spectral(Protocol):
    """What DDRM needs of an operator; None where it has no singular value decomposition."""

    @property
    def spectrum(self) -> Spectrum | None: ...


def ddrm(
    given: Given[Spectral],
    *,
    steps: int,
    sigma_y: float,
    eta: float = ETA,
    s_start: float | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Sample x from y = A(x) + sigma_y n in the singular directions of A.

    Yields (k, estimate) after each of `steps` network evaluations: D, and at last the result.
    With bars for V^T coordinates, ybar = U^T y / a and ebar = (zbar - Dbar) / s, at level s_u:
        a = 0:              zbar = Dbar + sqrt(1 - eta^2) s_u ebar + eta s_u xi
        a s_u < sigma_y:    zbar = Dbar + sqrt(1 - eta^2) s_u (ybar - Dbar) / b + eta s_u xi
        a s_u >= sigma_y:   zbar = ybar + sqrt(s_u^2 - b^2) xi
    b = sigma_y / a; the eta_b of the paper is 1, as published.

    The start is seen through the noise of the first level where y says less: s_start, or the top
    of the schedule.    sigma_y: noise in [-1, 1] units; at 0 the observed directions are those of
    y exactly.    ValueError if A has no spectrum.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta}, must lie between 0 and 1")
    spectrum = getattr(given.operator, "spectrum", None)
    if spectrum is None:
        raise ValueError("the operator has no singular value decomposition, which DDRM needs")
    levels = chain(given.schedule, given.schedule.uniform_grid(steps, s_start))
    ybar = spectrum.measurement_to_basis(given.y)
    a = spectrum.singular_values.to(ybar)
    if sigma_y > 0:
        a = torch.where(a < NOISE_ALONE * a.max(), 0, a)
    directions = _Directions(a, sigma_y, eta)
    first = levels[0].s_t
    zbar = directions.begin(spectrum.to_basis(given.start), ybar, first)
    zbar = zbar + directions.begin_std(first) * spectrum.to_basis(given.draw_noise())
    for k, level in enumerate(levels):
        clean = denoise(spectrum.from_basis(zbar), level, given.denoiser)
        dbar = spectrum.to_basis(clean)
        zbar = directions.mean(dbar, (zbar - dbar) / level.s_t, ybar, level.s_u)
        if not level.last:
            zbar = zbar + directions.std(level.s_u) * spectrum.to_basis(given.draw_noise())
        yield k + 1, spectrum.from_basis(zbar) if level.last else clean


@dataclass(frozen=True)
class _Directions:
    """The three cases of the update; a: singular values, all else as in `ddrm`."""

    a: Tensor
    sigma_y: float
    eta: float

    @property
    def noise(self) -> Tensor:
        """Standard deviation sigma_y / a of ybar; 0 where nothing is observed (never used)."""
        seen = self.a > 0
        return torch.where(seen, self.sigma_y / torch.where(seen, self.a, 1), 0)

    def begin(self, start: Tensor, ybar: Tensor, s: float) -> Tensor:
        """Mean of the first zbar."""
        return torch.where(self.a * s > self.sigma_y, ybar, start)

    def begin_std(self, s: float) -> Tensor:
        """Standard deviation of the first zbar."""
        rest = (s**2 - self.noise**2).clamp(min=0).sqrt()
        return torch.where(self.a * s > self.sigma_y, rest, s)

    def mean(self, dbar: Tensor, ebar: Tensor, ybar: Tensor, s: float) -> Tensor:
        """Mean of zbar at level s."""
        kept = math.sqrt(1 - self.eta**2) * s
        share = self.a / self.sigma_y if self.sigma_y else torch.zeros_like(self.a)
        unseen = dbar + kept * ebar
        noisy = dbar + kept * (ybar - dbar) * share
        trusted = torch.where(self.a * s >= self.sigma_y, ybar, noisy)
        return torch.where(self.a > 0, trusted, unseen)

    def std(self, s: float) -> Tensor:
        """Standard deviation of zbar at level s."""
        rest = (s**2 - self.noise**2).clamp(min=0).sqrt()
        trusted = (self.a > 0) & (self.a * s >= self.sigma_y)
        return torch.where(trusted, rest, self.eta * s)
