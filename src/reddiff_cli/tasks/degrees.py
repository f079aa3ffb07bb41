"""How much of x a measurement tells, and at which noise level a solver that knows it starts."""

from typing import cast

import torch
from torch import Tensor

from ..checkpoints.cards import FAINT_TASKS, Card
from ..operators import Operator, in_values, mixes_colours
from ..options.common import TASKS
from ..solvers.reddiff import SIGMA_FLOOR

# A direction of x counts as told where A multiplies it by more than so many times the noise.
CLEAR = 4.0
# Below the first of these shares of x, solvers start at `faint_start`, above the second as usual.
# 6 training photographs, 128x128, 20 evaluations, from s = 1 and 2 (in brackets the share), dB:
#   noise 0.01     gaussian:2 (0.08)     33.37  33.58      noise 0.05     (0.03)  30.44  30.72
#                  motion:15,30 (0.34)   35.20  35.14                     (0.08)  30.88  31.11
#                  x4 bicubic (0.05)     29.96  30.16                     (0.01)  27.92  28.14
#                  x2 bicubic (0.24)     35.71  35.64                     (0.12)  32.62  32.57
FAINT, PLAIN = 0.08, 0.16


def told_share(operator: Operator, like: Tensor, sigma: float) -> float:
    """Share of x's directions that y tells, 0 to 1: effective degrees of freedom over their count.

    trace A (A^T A + r)^-1 A^T / n with r = (CLEAR sigma)^2, which is the sum of a^2 / (a^2 + r)
    over the singular values (Hastie, Tibshirani and Friedman, The Elements of Statistical
    Learning, section 3.4.1), by one random x (Hutchinson 1990), the same at every call.

    like: (B, C, H, W), for the shape of x.    sigma: noise of y in [-1, 1] units.

    By one channel where A acts on each alone: 1024x1536 behind motion:15,30, sigma 0.01, 0.5915 in
    0.20 s as against 0.5919 in 0.43 s.
    """
    like = like if mixes_colours(operator) else like[:, :1]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(like.shape, generator=generator)
    seen = operator.data_step(torch.zeros_like(x), operator(x), (CLEAR * sigma) ** 2)
    share = float((x * seen).mean())
    return min(1.0, max(0.0, share))


def first_level(task: str, card: Card, share: float) -> float:
    """Noise level s at which solvers start: as the card says, more where y tells little of x."""
    usual = card.starts.get(task, TASKS[task].s_start)
    part = min(1.0, max(0.0, (PLAIN - share) / (PLAIN - FAINT)))
    level: float = usual * (max(usual, card.faint_start) / usual) ** part
    return level


def level_behind(
    task: str, card: Card, operator: Operator, like: Tensor, sigma_y: float
) -> float | None:
    """`first_level` of a task whose operator is linear; None where the card's level stands.

    like, sigma_y: as of `told_share`; where pixels were rounded they have some noise.
    """
    if task not in FAINT_TASKS or not card.faint_start:
        return None
    # Where slopes are even, a blur of light tells what one of values does.
    share = told_share(cast(Operator, in_values(operator)), like, max(sigma_y, SIGMA_FLOOR))
    return first_level(task, card, share)
