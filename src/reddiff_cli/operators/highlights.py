"""What clipped values were, judged by what was recorded beside them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..holes.shape import bounding_region
from ..holes.smooth import fill_smoothly, rise_smoothly

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
# photographs of 128 x 128, 1 to 3 stops). Least squares (121 exposures of every sixth training
# photograph) give 0.64 to 0.71 for the height of the dome, and 1.0 and more for how the channels
# differ around.
DOME, TINT = 0.66, 1.0
# The tint is that of the surroundings which are near clipping: the weight falls by e with every
# NEAR of the level that their darkest channel is below it, to FAR. It fades as the dome rises, in
# FADE times as many pixels: a sky goes on, but what ends sharply is another thing, as a red pepper
# on white paper. rms error of 1 and mean PSNR where all is clipped, of 121 training and 124
# validation exposures of 192 x 192 by 1 and 2 stops too much; and PSNR of such a pepper:
#     of all that is around, 0.8 times, not fading   0.1115  21.78   0.0898  22.70   21.16
#     of what is near clipping                       0.1110  21.88   0.0886  22.86   21.94
# FADE of 4 or 8 and NEAR of 0.02 to 0.1 are as good within 0.02 dB, without NEAR 0.08 is lost.
NEAR, FAR, FADE = 0.03, 1e-4, 6.0
# It rises as many times as steeply as what was recorded rose before it: at once from a sharp edge,
# and out of fog as slowly as the fog grew bright, as anything else draws a rim where u reaches the
# level. rms error of 1, over-exposed by 1 and 2 stops, and mean PSNR of what is clipped at 1 and
# at 2, of 50 training and 34 validation photographs; and of 12 crops with noise of 0.01, at 2:
#     times   1.25   0.103  25.34  20.65   0.085  24.91  20.80   21.72
#             1.5    0.102  25.30  20.71   0.085  24.86  20.86   21.92
#             2      0.103  25.20  20.70   0.084  24.76  20.84   22.19
# By the mean of slopes it is at best 0.105, 24.93, 20.52, 0.088, 24.38, 20.60 and 22.02.
# (A dome that rises in 1.2 pixels everywhere, at 1 to 3 stops: 0.123 on 67 photographs, where
# twice as steeply, by means of slopes, has 0.116, and 0.145 and 0.102 where u rose slowly.) How
# rough u is beside it tells nothing that the slope does not tell.
STEEPER, NEAREST = 2.0, 0.8
# The same of a channel where others were recorded; its slope says less there. 34 photographs for
# validation have 0.0797 so, 0.0818 rising twice as steeply, 0.0797 six times.
STEEPER_PARTLY, NEAREST_PARTLY = 4.0, 0.5
# Pixels, at most, in which it has risen all but 1 / e (NEAREST: at least).
FARTHEST = 40.0
# Pixels beside a clipped place that tell its slope. 4 tell that of 8 bits better, where 2 may be
# wrong by a factor of 2, but photographs over-exposed by 1 and 2 stops lose 0.03 and 0.1 dB.
BESIDE = 2
# So far around what is clipped the picture is looked at; coarse sizes agree at whole multiples.
MARGIN = 64


def guess_highlights(u: Tensor, clipped: Tensor, level: float, gap: float) -> Tensor:
    """A guess, at least `level`, where u was clipped; u elsewhere.

    u: (B, C, H, W), recorded values in [0, 1] units.    clipped: bool, of u's shape.    level: in
    [0, 1] units.    gap: so far below it recorded values end.
    """
    anywhere = clipped.any(1).any(0).cpu().numpy()
    if not anywhere.any():
        return u
    found = bounding_region(anywhere, MARGIN)
    rows, columns = slice(_down(found.top), found.bottom), slice(_down(found.left), found.right)
    here = (..., rows, columns)
    about = (clipped[here], level, gap)
    guess = u.clone()
    guess[here] = fully_clipped(partly_clipped(u[here], *about), *about)
    return guess


def _down(start: int) -> int:
    return start // MARGIN * MARGIN


def partly_clipped(u: Tensor, clipped: Tensor, level: float, gap: float = 0.0) -> Tensor:
    """A guess, at least `level`, where some channels were clipped and others were not.

    Arguments as those of `guess_highlights`. Pictures that have not three channels get no guess,
    but the level.
    """
    if u.shape[1] != 3:
        return torch.where(clipped, u.clamp(min=level), u)
    whole = clipped.all(1, keepdim=True).to(u.dtype)
    if not bool((clipped.to(u.dtype) > whole).any()):
        return torch.where(clipped, u.clamp(min=level), u)
    share = fill_smoothly(by_law(u, clipped, level) * (1 - whole), 1 - whole)
    # Each channel by itself: (3 B, 1, H, W).
    hole, top, seen = (v.to(u.dtype).flatten(0, 1)[:, None] for v in (clipped, share, u))
    reach = reach_of_rise(seen, hole, level, gap, (STEEPER_PARTLY, NEAREST_PARTLY))
    way = rise_smoothly(torch.zeros_like(top), hole, top, reach).view(u.shape)
    return torch.where(clipped, level + (1 - level) * way.clamp(0, 1), u)


def by_law(u: Tensor, clipped: Tensor, level: float) -> Tensor:
    """How far clipped channels are on the way from the level to white by the recorded ones of
    their pixels; 0 where none is, or all are. Arguments as those of `partly_clipped`.
    """
    share = (follow_channels(u, clipped).clamp(level, 1) - level) / (1 - level or 1)
    below = (level - u) / level
    ways = torch.zeros_like(u)
    for channels, laws in LAW.items():
        here = torch.stack([clipped[:, k] == (k in channels) for k in range(3)], 1).all(1)
        recorded = [k for k in range(3) if k not in channels]
        for channel, (constant, following, *slopes) in laws.items():
            way = constant + following * share[:, channel]
            for slope, other in zip(slopes, recorded, strict=True):
                way = way + slope * below[:, other]
            ways[:, channel] = torch.where(here, way.clamp(0, 1), ways[:, channel])
    return ways


def fully_clipped(u: Tensor, clipped: Tensor, level: float, gap: float = 0.0) -> Tensor:
    """A guess, at least `level`, where all channels were clipped: a dome with a tint.

    u: (B, C, H, W) in [0, 1] units, with a guess where some channels were clipped; other values
    stay.    clipped, level, gap: as of `guess_highlights`.
    """
    whole = clipped.all(1, keepdim=True).to(u.dtype)
    if not bool(whole.any()):
        return u
    reach = reach_of_dome(u, whole, level, gap)
    share, tint = share_and_tint(u, whole, level, gap, reach)
    top = (DOME + TINT * tint).clamp(0, 1)
    way = rise_smoothly(share, whole, top, reach)
    return torch.where(whole > 0, level + (1 - level) * way.clamp(0, 1), u)


def share_and_tint(
    u: Tensor, whole: Tensor, level: float, gap: float, reach: Tensor
) -> tuple[Tensor, Tensor]:
    """How far u is on the way from the level to white, and how far each channel is above the mean
    of all around places that are clipped in whole (1 there, (B, 1, H, W)); (B, C, H, W) each.

    gap: as of `guess_highlights`.    reach: of the dome, as of `reach_of_dome`.
    """
    known = 1 - whole
    share = ((u - level) / (1 - level or 1)).clamp(0, 1) * known
    below = (level - gap - u.amin(1, keepdim=True)).clamp(min=0) / level
    near = (-below / NEAR).exp().clamp(min=FAR)
    around = fill_smoothly(torch.cat([share * near, near], 1), known)
    around = around[:, :-1] / around[:, -1:].clamp(min=FAR / 2)
    fade = rise_smoothly(known, whole, torch.zeros_like(whole), FADE * reach).clamp(0, 1)
    return share, fade * (around - around.mean(1, keepdim=True))


def reach_of_dome(u: Tensor, whole: Tensor, level: float, gap: float = 0.0) -> Tensor:
    """Pixels in which a dome rises: (B, 1, H, W). Arguments as those of the functions above."""
    # The channel that is clipped last was recorded everywhere outside.
    return reach_of_rise(u.amin(1, keepdim=True), whole, level, gap, (STEEPER, NEAREST))


def reach_of_rise(
    u: Tensor, hole: Tensor, level: float, gap: float, rise: tuple[float, float]
) -> Tensor:
    """Pixels in which a guess rises in holes, by how steeply u rose beside them.

    u: (B, 1, H, W).    hole: 1 where u is not recorded.    level, gap: as of `guess_highlights`.
    rise: how many times as steeply, and in how many pixels at least.
    """
    times, nearest = rise
    below = (level - gap - u).clamp(min=0)
    distance, beside, grown = torch.zeros_like(hole), torch.zeros_like(hole), hole
    for pixels in range(1, BESIDE + 1):
        wider = F.max_pool2d(grown, 3, 1, 1)
        ring = wider - grown
        distance, beside = distance + (pixels - 0.5) * ring, beside + ring
        grown = wider
    height, length = (
        F.avg_pool2d(v, 2 * BESIDE + 1, 1, BESIDE) for v in (below * beside, distance)
    )
    slope = height / length.clamp(min=1e-6)
    reach = (DOME * (1 - level) / (times * slope).clamp(min=1e-6)).clamp(nearest, FARTHEST)
    # Means of slopes would not do: those at the edges of roofs and birds are a hundred times those
    # of the sky, which would leap up beside them. A channel clipped everywhere has no border.
    return FARTHEST - fill_smoothly(beside * (FARTHEST - reach), beside)


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
