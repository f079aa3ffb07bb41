"""Patches of one resolution of a picture with a hole: where they are, and as vectors."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from .shape import highest_within

PATCH = 7
RADIUS = PATCH // 2
# Weight of the texture channels against the colours, both in [-1, 1] units. 25 holes of 60x60 to
# 120x90 keep 0.64 of the rms finer than 2 pixels that was there with 3, and 0.69 with 6; with 10
# mountains and plates are made of what has texture.
TEXTURE = 6.0
# A patch one pixel further inside counts this much less (Wexler et al. 2007).
TRUST_DECAY = 1.3
# Patches compared at a time, which stay in the cache.
TOGETHER = 1024


@dataclass
class PyramidLevel:
    """One resolution. x: (C, H, W).  texture: (2, H, W).  hole, blocked: (H, W) bool.

    trust: (H, W), falling from the border of the hole inwards: how much a patch may say.
    guide: (2C or 0, H, W), known everywhere: what patches should resemble as well, which they do
    not change.    heed: (2, H, W), how much, by where they are to go (`comparable`).
    vivid: whether the contrast that a mean of patches loses is given back (`vote`).
    """

    x: Tensor
    texture: Tensor
    hole: Tensor
    blocked: Tensor
    trust: Tensor
    guide: Tensor
    heed: Tensor
    vivid: bool = False

    @property
    def copied(self) -> int:
        """How many planes patches bring along: colours and texture."""
        return len(self.x) + len(self.texture)

    @property
    def width(self) -> int:
        return int(self.x.shape[2])

    @cached_property
    def queries(self) -> Tensor:
        """Flat positions of centres whose patch touches the hole."""
        touched = highest_within(self.hole[None, None].float(), RADIUS)[0, 0] > 0
        return touched.flatten().nonzero()[:, 0]

    @cached_property
    def sources(self) -> Tensor:
        """Flat positions of centres whose whole patch may be copied."""
        touched = highest_within(self.blocked[None, None].float(), RADIUS)[0, 0] > 0
        free = torch.zeros_like(touched)
        free[RADIUS:-RADIUS, RADIUS:-RADIUS] = ~touched[RADIUS:-RADIUS, RADIUS:-RADIUS]
        return free.flatten().nonzero()[:, 0]

    @cached_property
    def emphasis(self) -> "Emphasis | None":
        """How much each plane of a patch counts, the guide last: in the large by its middle."""
        if not len(self.guide):
            return None
        sharp, large = self.guide.chunk(2)
        ones = torch.ones(self.copied, *self.hole.shape)
        weights = torch.cat([ones, self.heed.square().repeat_interleave(len(sharp), 0)])
        large, weights = (v.flatten(1).T.contiguous() for v in (large, weights))
        return Emphasis(large, weights)


def texture_of(x: Tensor, known: Tensor) -> Tensor:
    """Mean absolute slopes around each known pixel, (2, H, W): how busy, in which direction."""
    grey = x.mean(0)
    dx, dy = torch.zeros_like(grey), torch.zeros_like(grey)
    dx[:, :-1] = (grey[:, 1:] - grey[:, :-1]).abs() * known[:, 1:] * known[:, :-1]
    dy[:-1] = (grey[1:] - grey[:-1]).abs() * known[1:] * known[:-1]
    side = 2 * PATCH + 1
    slopes = F.avg_pool2d(torch.stack([dx, dy])[None], side, 1, side // 2)[0]
    share = F.avg_pool2d(known[None, None], side, 1, side // 2)[0]
    return TEXTURE * slopes / share.clamp(min=1e-3)


def trust_inside(hole: Tensor) -> Tensor:
    """TRUST_DECAY ** -(distance to the border of the hole), 1 outside."""
    left = hole[None, None].float()
    distance = torch.zeros_like(left)
    while bool(left.any()) and float(distance.max()) < 60:
        distance += left
        left = -F.max_pool2d(-left, 3, 1, 1)
    return TRUST_DECAY ** -distance[0, 0]


@dataclass(frozen=True)
class Emphasis:
    """What of windows counts how much, by where one is wanted.

    middles: (H W, M), what the pixels in the middle are compared by, for all of a window.
    weights: (H W, K + M), of the squares of differences, of K planes and of the middles.
    """

    middles: Tensor
    weights: Tensor


class Windows:
    """All windows of PATCH x PATCH of some planes (K, H, W), whose border is replicated.

    Each is gathered when it is asked for, as PATCH rows of PATCH * K numbers that lie one after
    the other: 200 000 of 5 planes 0.03 s, as 49 pixels 0.28 s, and from a table of all windows,
    which takes 49 times as much memory, 0.14 s.

    emphasis: None, if all counts alike and there are no middles.
    """

    def __init__(self, planes: Tensor, emphasis: Emphasis | None = None) -> None:
        self.planes, self._width = len(planes), planes.shape[2]
        self._emphasis = emphasis
        self._side = self._width + 2 * RADIUS
        padded = F.pad(planes[None], (RADIUS,) * 4, mode="replicate")[0]
        flat = padded.flatten(1).T.contiguous()  # (pixels, K)
        shape = len(flat) - 2 * RADIUS, PATCH * self.planes
        self._rows = flat.as_strided(shape, (self.planes, 1))

    def at(self, centres: Tensor) -> Tensor:
        """Those around flat centres, (N, PATCH^2 K)."""
        corner = centres // self._width * self._side + centres % self._width
        rows = corner[:, None] + self._side * torch.arange(PATCH)
        found = self._rows.index_select(0, rows.flatten())
        return found.view(len(centres), PATCH**2 * self.planes)

    def vectors_at(self, centres: Tensor) -> Tensor:
        """Those around flat centres and their middles, (N, PATCH^2 K + M): squares add up."""
        found = self.at(centres)
        if self._emphasis is None:
            return found
        return torch.cat([found, PATCH * self._emphasis.middles[centres]], 1)

    def weights_at(self, wanted: Tensor) -> Tensor | None:
        """Weights of the squares of `vectors_at`, of its shape; None: all 1."""
        if self._emphasis is None:
            return None
        weights = self._emphasis.weights[wanted]
        of_windows, of_middles = weights[:, : self.planes], weights[:, self.planes :]
        return torch.cat([of_windows.repeat(1, PATCH**2), of_middles], 1)

    def lengths(self, wanted: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Squared lengths of `vectors_at` as each of `wanted` weighs them, as a product.

        vectors: (M, PATCH^2 K + M').    Returns (N, P) and (M, P), whose product a @ b.T is
        (N, M): squares are summed by planes before they are weighed.
        """
        squares = vectors.square()
        if self._emphasis is None:
            return squares.new_ones(len(wanted), 1), squares.sum(1, keepdim=True)
        count = PATCH**2 * self.planes
        by_plane = squares[:, :count].view(len(vectors), PATCH**2, self.planes).sum(1)
        return self._emphasis.weights[wanted], torch.cat([by_plane, squares[:, count:]], 1)

    def distance(self, wanted: Tensor, found: Tensor) -> Tensor:
        """Weighted sum of the squares of their differences, pair by pair, (N,)."""
        parts = zip(torch.split(wanted, TOGETHER), torch.split(found, TOGETHER), strict=True)
        return torch.cat([self._distance(w, f) for w, f in parts])

    def _distance(self, wanted: Tensor, found: Tensor) -> Tensor:
        squares = self.at(wanted).sub_(self.at(found)).square_()
        if self._emphasis is None:
            return squares.sum(1)
        middles = self._emphasis.middles
        apart = (middles[wanted] - middles[found]).square_().mul_(PATCH**2)
        by_plane = squares.view(len(wanted), PATCH**2, self.planes).sum(1)
        weights = self._emphasis.weights[wanted]
        return torch.cat([by_plane, apart], 1).mul_(weights).sum(1)


def patches_of(level: PyramidLevel) -> Windows:
    """What patches are compared by, the guide last."""
    sharp = level.guide[: len(level.guide) // 2]
    return Windows(torch.cat([level.x, level.texture, sharp]), level.emphasis)


def windows_at(planes: Tensor, centres: Tensor) -> Tensor:
    """Windows of PATCH x PATCH of the planes (K, H, W) around flat centres, (N, PATCH^2 K)."""
    return Windows(planes).at(centres)


def overlap_add(values: Tensor, centres: Tensor, height: int, width: int) -> Tensor:
    """Add patch values (K, PATCH^2, N) around flat centres into planes (K, height, width)."""
    side = width + 2 * RADIUS
    corner = centres // width * side + centres % width
    total = torch.zeros(len(values), (height + 2 * RADIUS) * side)
    for place in range(PATCH * PATCH):
        offset = place // PATCH * side + place % PATCH
        total.index_add_(1, corner + offset, values[:, place].contiguous())
    return total.view(len(values), -1, side)[:, RADIUS:-RADIUS, RADIUS:-RADIUS]
