"""Noise levels of a task, and how the weight of its prior goes with them."""

from ..checkpoints.cards import Card
from ..options.common import TASKS
from ..solvers.reddiff import SIGMA_FLOOR

# Last noise level: 0.01 to 0.05 make no difference of 0.1 dB, with noise neither.
S_END = 0.03
# Except for denoising, where it goes through levels at all (`Seen` does without, where noise is
# white): these follow sigma_y, in [-1, 1] units, from FIRST to LAST times it, as far down as the
# schedule goes. Restorations of 2 training photographs, 128x128, noise 0.02 /
# 0.05 / 0.1, 20 evaluations: from 0.5 to 0.03 37.9 / 34.5 / 31.9 dB, by this rule 40.4 / 36.0 /
# 32.6, by one evaluation of the network 40.5 / 35.7 / 32.1. FIRST 1.5 to 5, LAST 1/4: within 0.3.
# With the prior as it is now, 4 photographs, noise 25/255, 50 evaluations, against one evaluation:
# FIRST 3 and weights of 0.63 / 0.7 / 0.76 -0.30 / -0.26 / -0.28 dB, FIRST 4 -0.29 / -0.23 / -0.24.
FIRST, LAST, LOWEST = 4.0, 1 / 8, 0.0101
# Every step brings mu nearer to what the prior alone would like, so in these tasks its weight
# falls with their number: as the card says at UNIT_STEPS, and as 1 / sqrt(steps). 3 training
# photographs, weights of 0.35 / 0.5 / 0.7 / 1, dB in 10 steps (20 evaluations) and in 25:
#   noise 0.1           26.4 / 28.3 / 30.2 / 31.0    28.2 / 30.6 / 31.0 / 30.5    96x96
#   superres x4, 0.05   25.3 / 25.4 / 25.3 / 25.2    25.6 / 25.5 / 25.3 / 24.9    128x128
#   gaussian:2, 0.01    29.4 / 29.5 / 29.5 / 29.4    29.9 / 29.9 / 29.7 / 29.6
#   motion:15,30, 0.01 (6 photographs, 25 steps)    weights of 0.35 / 0.6 / 1: 30.4 / 31.2 / 30.9
#   random 70 %, 0.05   28.2 / 28.3 / 28.2 / 28.2    29.0 / 29.0 / 28.8 / 28.6
UNIT_STEPS = 10
FALLING = ("inpaint", "denoise", "superres", "deblur", "restore")
# Noisy pixels around a hole are denoised as well, the better the more of them there are: the
# card's weight for holes is for this share of known pixels, that for denoising for 1, and between
# them it grows with the share. The first level is at least that of denoising, too. 5 training
# photographs, 96x96, noise 0.05, 50 evaluations, dB from s = 0.15 / 0.3 at weights of
#                       0.5           0.7           1             1.4
#   random 70 %         25.74/25.85   25.70/25.80   25.56/25.64   25.34/25.39
#   random 40 %         29.04/29.08   29.32/29.38   29.30/29.39   29.02/29.13
#   free-form 20 %      27.59/27.65   28.04/28.13   28.23/28.36   28.16/28.33
SPARSE = 0.3
# Holes of these shares of pixels without a known neighbour are single pixels, and strokes.
SCATTERED, SOLID = 0.45, 0.55


def noise_levels(task: str, card: Card, sigma_y: float, solid: float = 0.0) -> tuple[float, float]:
    """First and last noise level of a task; denoising takes the first as a bound.

    solid: share of a hole's pixels that have no known neighbour (`solid_share`).
    """
    sigma = max(sigma_y, SIGMA_FLOOR)
    noisy = min(card.starts.get("denoise", TASKS["denoise"].s_start), FIRST * sigma)
    if task == "denoise":
        return noisy, max(LOWEST, min(S_END, LAST * sigma))
    if task == "inpaint":
        part = min(1.0, max(0.0, (solid - SCATTERED) / (SOLID - SCATTERED)))
        rise = card.start_of_strokes / card.hole_start
        return max(card.hole_start * rise**part, noisy), S_END
    return card.starts.get(task, TASKS[task].s_start), S_END
