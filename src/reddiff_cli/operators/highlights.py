"""What clipped values were, judged by what was recorded beside them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..holes.smooth import fill_smoothly

# For the channels that are clipped (0 red, 1 green, 2 blue) and each of them: how far it lies on
# the way from the clipping level to white, as a constant, a multiple of how far the surroundings
# would have it (`follow_channels`), and multiples of how far below the level the recorded channels
# lie, of the level, in their order. Least squares over the partly clipped pixels of 395 training
# photographs at 1, 2 and 3 stops (`python tests/benchmarks/highlights.py TRAINING VALIDATION`).
LAW: dict[tuple[int, ...], dict[int, tuple[float, ...]]] = {
    (0,): {0: (0.04, 0.74, 0.15, 0.22)},
    (1,): {1: (0.02, 0.54, 0.15, 0.08)},
    (2,): {2: (0.06, 0.61, 0.17, -0.02)},
    (0, 1): {0: (0.18, 0.60, 0.48), 1: (0.05, 0.72, 0.28)},
    (0, 2): {0: (0.11, 0.66, 0.37), 2: (0.06, 0.58, 0.43)},
    (1, 2): {1: (0.10, 0.46, 0.14), 2: (0.26, 0.26, 0.34)},
}

# Where all channels are clipped, photographs lie on average this share of the way from the
# clipping level to white: 0.39, 0.53, 0.58, 0.62, 0.65 at depths of 1, 2, 3, 6, 12 pixels (60
# photographs of 128 x 128, 1 to 3 stops). Least squares as above give 0.58 to 0.63 for the height
# of the dome, and 0.9 to 1.2 for how the channels differ around; 0.8 with a constant beside them,
# and far from the border, where more would paint a white wall.
DOME, DOME_REACH, TINT = 0.62, 1.2, 0.8


def partly_clipped(u: Tensor, clipped: Tensor, level: float) -> Tensor:
    """A guess, at least `level`, where some channels were clipped and others were not.

    u: (B, 3, H, W), recorded values in [0, 1] units.    clipped: bool, of u's shape.
    level: in [0, 1] units. Recorded values stay. Pictures that have not three channels get no
    guess, but the level.
    """
    if u.shape[1] != 3:
        return torch.where(clipped, u.clamp(min=level), u)
    share = (follow_channels(u, clipped).clamp(level, 1) - level) / (1 - level or 1)
    below = (level - u) / level
    guess = u.clone()
    for channels, laws in LAW.items():
        here = torch.stack([clipped[:, k] == (k in channels) for k in range(3)], 1).all(1)
        recorded = [k for k in range(3) if k not in channels]
        for channel, (constant, following, *slopes) in laws.items():
            way = constant + following * share[:, channel]
            for slope, other in zip(slopes, recorded, strict=True):
                way = way + slope * below[:, other]
            bright = level + (1 - level) * way.clamp(0, 1)
            guess[:, channel] = torch.where(here, bright, guess[:, channel])
    return guess


def fully_clipped(u: Tensor, clipped: Tensor, level: float) -> Tensor:
    """A guess, at least `level`, where all channels were clipped: a dome with a tint.

    u: (B, C, H, W) in [0, 1] units, with a guess where some channels were clipped; other values
    stay.    clipped: bool, of u's shape.    level: in [0, 1] units.
    """
    dome, tint = dome_and_tint(u, clipped, level)
    way = (DOME * dome + TINT * tint).clamp(0, 1)
    return torch.where(clipped.all(1, keepdim=True), level + (1 - level) * way, u)


def dome_and_tint(u: Tensor, clipped: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """For places with all channels clipped, from 0 outside to 1 within: (B, 1, H, W); and how far
    each channel is above the mean of all around there, of the way to white: (B, C, H, W).

    Arguments as those of `fully_clipped`.
    """
    whole = clipped.all(1, keepdim=True).to(u.dtype)
    share = ((u - level) / (1 - level or 1)).clamp(0, 1)
    around = fill_smoothly(share * (1 - whole), 1 - whole)
    return 1 - torch.exp(-_depth(whole) / DOME_REACH), around - around.mean(1, keepdim=True)


def follow_channels(u: Tensor, clipped: Tensor) -> Tensor:
    """For each channel the mean of the others that were recorded, plus the difference to them.

    Differences are known where both were recorded, and filled in smoothly elsewhere.
    """
    known = (~clipped).to(u.dtype)
    total, count = torch.zeros_like(u), torch.zeros_like(u)
    for a in range(u.shape[1]):
        for b in set(range(u.shape[1])) - {a}:
            own, other = u[:, a : a + 1], u[:, b : b + 1]
            both = known[:, a : a + 1] * known[:, b : b + 1]
            difference = fill_smoothly((own - other) * both, both)
            total[:, a : a + 1] += known[:, b : b + 1] * (other + difference)
            count[:, a : a + 1] += known[:, b : b + 1]
    return total / count.clamp(min=1)


def _depth(region: Tensor) -> Tensor:
    """Distance in pixels from outside a region (chessboard), up to 8.    region: 0 or 1."""
    depth = torch.zeros_like(region)
    for _ in range(8):
        depth = depth + region
        region = -F.max_pool2d(-region, 3, 1, 1)
    return depth
