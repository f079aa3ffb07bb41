"""Values that a file has clipped: what they still tell of the noise that clipped them.

Paper that is white, or nearly, shows half of its noise, and a night sky the other half: no square
of a few pixels is without a clipped one there, and what is left to measure noise on is letters and
stars. Where it is noise that has clipped values they lie scattered, and their share tells how much
of its standard deviation is left: of min(u, n), n ~ N(0, 1), for 1 - Phi(u) of the values.
"""

import math
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

# Values nearer than this to an end of the scale are clipped.
CLIPPED = 1e-6
# Side of the squares in which they are counted; their share at most, as more leave too little.
AROUND, MOST = 15, 0.6
# Neighbours of which one is clipped, over what chance makes of the share: where a bright object
# ends there are fewer.
SCATTERED = 0.8
# So much of what is near clipped values must be like that, else it is no noise that clipped them:
# pages and night scenes with noise of 5 to 25 of 255 have 0.65 and more; without noise a page of
# letters on white has 0.01, a night scene 0.16. (Where little is clipped it may be 0.9.)
MOSTLY = 0.5
# The same of noise that is wider than a pixel, where every channel has its own: and then, over
# what chance makes of it, places where one channel is clipped and another is not. In four
# photographs with photons in a mosaic, 400 and 1000 at white, 98 % of the places with clipped
# values have more than 0.45 of the former and 0.65 of the latter.
WIDELY, APART = 0.35, 0.5
# If so many squares of SIDE x SIDE pixels have no clipped value they tell the noise by themselves.
ENOUGH, SIDE = 0.25, 4


def is_recorded(picture: Tensor) -> Tensor:
    """1 where a value is not clipped and carries noise, 0 elsewhere; of the shape of a picture in
    [-1, 1].
    """
    return (picture.abs() < 1 - CLIPPED).to(picture.dtype)


def made_good(picture: Tensor) -> Tensor:
    """How many times what is seen of its noise the noise is, at least 1; 0 where none is seen.

    picture: (B, C, H, W) in [-1, 1].
    """
    recorded = is_recorded(picture)
    lost = 1 - recorded
    if min(picture.shape[2:]) < SIDE:
        return recorded
    # Of most pictures a count tells that at once: no value lies in more than SIDE x SIDE squares.
    squares = lost[..., SIDE - 1 :, SIDE - 1 :].numel()
    if SIDE**2 * int(lost.count_nonzero()) < (1 - ENOUGH) * squares:
        return recorded
    if float((F.max_pool2d(lost, SIDE, 1) == 0).float().mean()) > ENOUGH:
        return recorded
    share = _around(lost)
    scattered = _scattered(share, _changes(lost))
    if scattered is None:
        return recorded
    return torch.where(scattered, 1 / _left(share.clamp(max=MOST)), recorded)


def shows_noise(picture: Tensor) -> Tensor:
    """1 where a value is recorded, or is among those that noise has clipped, else 0.

    picture: (B, C, H, W) in [-1, 1], of the shape of the result. Noise that is wider than a pixel
    counts as well where every channel has its own: what is solid is clipped in all of them.
    """
    recorded = is_recorded(picture)
    lost = 1 - recorded
    if not bool(lost.any()):
        return recorded
    share, changes = _around(lost), _changes(lost)
    scattered = _scattered(share, changes)
    shown = recorded if scattered is None else recorded.maximum(scattered.to(recorded))
    pairs = list(combinations(range(picture.shape[1]), 2))
    if not pairs:
        return shown
    first, second = map(list, zip(*pairs, strict=True))
    differing = (lost[:, first] - lost[:, second]).abs().sum(1, keepdim=True)
    by_chance = _by_chance(share[:, first], share[:, second]).sum(1, keepdim=True)
    own = (share <= MOST) & (changes >= WIDELY * _by_chance(share, share))
    return shown.maximum((own & (_around(differing) >= APART * by_chance)).to(shown))


def _by_chance(one: Tensor, other: Tensor) -> Tensor:
    """How many pairs of values have one clipped, if so many of each are, and by chance."""
    return one * (1 - other) + other * (1 - one)


def _changes(lost: Tensor) -> Tensor:
    """How many pairs of neighbours around have one clipped."""
    across = F.pad((lost[..., 1:] - lost[..., :-1]).abs(), (1, 0, 0, 0), mode="replicate")
    down = F.pad((lost[..., 1:, :] - lost[..., :-1, :]).abs(), (0, 0, 1, 0), mode="replicate")
    return _around((across + down) / 2)


def _scattered(share: Tensor, changes: Tensor) -> Tensor | None:
    """Where the clipped values around are few, and lie as noise leaves them; None: hardly any do.

    share, changes: how many values, and pairs of neighbours, around are clipped, or have one.
    """
    scattered = (share <= MOST) & (changes >= SCATTERED * _by_chance(share, share))
    near = share > CLIPPED
    if int((scattered & near).sum()) < MOSTLY * int(near.sum()):
        return None
    return scattered


def _left(share: Tensor) -> Tensor:
    """Standard deviation of N(0, 1) of which so many values are clipped."""
    ends = torch.special.ndtri((1 - share).clamp(max=1 - CLIPPED))
    density = (-ends.square() / 2).exp() / math.sqrt(2 * math.pi)
    mean = ends * share - density
    square = (1 - share) - ends * density + ends.square() * share
    left: Tensor = (square - mean.square()).clamp(min=CLIPPED, max=1).sqrt()
    return left


def _around(x: Tensor) -> Tensor:
    """Means of AROUND x AROUND pixels around each, of the shape of x."""
    for side in ((AROUND, 1), (1, AROUND)):  # a third of the time of both at once
        around = (side[0] // 2, side[1] // 2)
        x = F.avg_pool2d(x, side, 1, around, count_include_pad=False)
    return x
