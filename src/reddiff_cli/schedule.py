"""Noise schedule: alpha_bar, the noise level s of z, and the grids of time steps.

x_t = sqrt(alpha_bar_t) z with z = x + s_t eps and s_t = sqrt((1 - alpha_bar_t) / alpha_bar_t)
(variance-preserving schedule of Ho et al. 2020, arXiv 2006.11239; the z form is Karras et al.
2022, arXiv 2206.00364). Tables are computed in float64.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .errors import ModelMissing

MOST_STEPS = 1_000_000  # most networks have 1000
# Of diffusers; the third is the cosine of Nichol and Dhariwal 2021.
KINDS = ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")


@dataclass(frozen=True)
class Schedule:
    """alpha_bar, float64, shape (T,), falling from about 1 towards 0."""

    alpha_bar: Tensor

    @property
    def s(self) -> Tensor:
        """Noise level of z at every t, float64, shape (T,), rising."""
        return ((1 - self.alpha_bar) / self.alpha_bar).sqrt()

    def nearest_t(self, s: float) -> int:
        """The time step whose noise level is nearest to s (in log s, as levels span decades)."""
        return int((self.s.log() - math.log(s)).abs().argmin())

    def around(self, s: float) -> tuple[int, int, float]:
        """(t below, t above, where s lies in log s between them, 0 to 1); one twice at an end."""
        above = int((self.s < s).sum())
        if above in (0, len(self.s)):
            end = min(above, len(self.s) - 1)
            return end, end, 0.0
        low, high = (math.log(float(self.s[t])) for t in (above - 1, above))
        return above - 1, above, (math.log(s) - low) / (high - low)

    def log_grid(self, s_start: float, s_end: float, steps: int) -> list[int]:
        """`steps` time steps, large to small, with s log-spaced from s_start to s_end.

        Neighbours may repeat where the table is coarser than the grid.
        """
        if steps == 1:
            return [self.nearest_t(s_start)]
        ratio = math.log(s_end / s_start) / (steps - 1)
        return [self.nearest_t(s_start * math.exp(ratio * k)) for k in range(steps)]

    def uniform_grid(self, steps: int, s_start: float | None = None) -> list[int]:
        """`steps` time steps at equal distances, from s_start (or the top) down to 0."""
        top = self._top(steps, s_start)
        return [round(top * (1 - k / max(1, steps - 1))) for k in range(steps)]

    def quadratic_grid(self, steps: int, s_start: float | None = None) -> list[int]:
        """`steps` time steps from s_start (or the top) down to 0, close together near 0.

        t_k = top (1 - sqrt(k / (steps - 1))): the published grid of DiffPIR (arXiv 2305.08995).
        """
        top = self._top(steps, s_start)
        return [round(top * (1 - math.sqrt(k / max(1, steps - 1)))) for k in range(steps)]

    def levels_from(self, s_start: float | None) -> int:
        """How many levels there are from this one (or the top) down; more steps cannot be made."""
        return len(self.alpha_bar) if s_start is None else self.nearest_t(s_start) + 1

    def _top(self, steps: int, s_start: float | None) -> int:
        top = self.levels_from(s_start) - 1
        if not 1 <= steps <= top + 1:
            raise ValueError(f"steps is {steps}, the schedule has 1 to {top + 1} from this level")
        return top

    def reference_grid(self, steps: int) -> list[int]:
        """Time steps of the published implementation: every (T // steps)-th, large to small.

        The count may exceed `steps`: 334 for 300 of 1000. ValueError above T.
        """
        total = len(self.alpha_bar)
        if not 1 <= steps <= total:
            raise ValueError(f"steps is {steps}, the schedule has 1 to {total}")
        return list(range(0, total, total // steps))[::-1]


def linear_betas(start: float = 1e-4, end: float = 0.02, count: int = 1000) -> Schedule:
    """The schedule of Ho et al. 2020, which nearly every pixel-space prior uses."""
    return _from_betas(torch.linspace(start, end, count, dtype=torch.float64))


def schedule_from_config(config: Mapping[str, Any]) -> Schedule:
    """Schedule of a diffusers `scheduler_config.json`; ModelMissing for an unknown kind."""
    count = int(config.get("num_train_timesteps", 1000))
    if count > MOST_STEPS:
        raise ModelMissing(f"scheduler_config.json: num_train_timesteps {count} are too many")
    if config.get("trained_betas") is not None:
        return _from_betas(torch.tensor(config["trained_betas"], dtype=torch.float64))
    start, end = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    kind = config.get("beta_schedule", "linear")
    if kind == "linear":
        return linear_betas(start, end, count)
    if kind == "scaled_linear":
        root = torch.linspace(start**0.5, end**0.5, count, dtype=torch.float64)
        return _from_betas(root**2)
    if kind == "squaredcos_cap_v2":
        edges = torch.arange(count + 1, dtype=torch.float64) / count
        bar = torch.cos((edges + 0.008) / 1.008 * math.pi / 2) ** 2
        return _from_betas((1 - bar[1:] / bar[:-1]).clamp(max=0.999))
    if kind == "sigmoid":
        rise = torch.linspace(-6, 6, count, dtype=torch.float64).sigmoid()
        return _from_betas(rise * (end - start) + start)
    told = f"scheduler_config.json: beta_schedule '{kind}' is not supported"
    raise ModelMissing(f"{told}; only {', '.join(KINDS)} are")


def _from_betas(betas: Tensor) -> Schedule:
    if not len(betas) or not bool(((betas >= 0) & (betas < 1)).all()):
        raise ValueError("betas are missing, or do not lie between 0 and 1")
    return Schedule(torch.cumprod(1 - betas, 0))
