"""Grain of film: noise that is wider than a pixel and that channels share, in files that keep it.

The network takes it for texture of the picture. But texture is weaker somewhere, while grain is
the same wherever one looks: no place has less, whatever its brightness, and in the flattest
places of some brightnesses there is nothing else. (holes/grain.py measures its spectrum, to draw
more of it, and takes what looks Gaussian for grain, which a lawn does, too.)
"""

import torch
from torch import Tensor

from .clipping import is_recorded
from .flat_tiles import BRIGHTNESSES, STRIDE, detrended
from .stationary import TILE

# The flattest tiles of a brightness, and many of it: the standard deviation of the first must be
# so many times that of the others, for nothing but grain to be in them. Of 462 crops of 224x224 as
# they are five tell grain: three old prints that have it, a chart of stripes, and a picture of
# paint; with grain of 3, 6 and 10 of 255 on top (a Gaussian of 0.9 pixels) 17, 25 and 28 of 67.
FLATTEST, MANY, ALIKE = 0.05, 0.3, 0.8
# Brightnesses that show it, with standard deviations as far apart at most as grain may be.
SHOWN, NEAR = 2, 1.35
# Its standard deviation, of 255: less is left alone, more than that is texture all over.
LEAST, MOST = 1.5, 12.0
# Pixels that are clipped carry none; so much of a tile must not be.
WHOLE = 0.98
# Tiles of one brightness at least, and of all at most.
ENOUGH, SOME = 12, 20_000


def uniform_grain(y: Tensor) -> float | None:
    """Standard deviation of the grain in the mean of the channels, in [-1, 1] units, or None.

    y: (1, C, H, W) in [-1, 1].
    """
    tiles = _tiles(y)
    if len(tiles) < BRIGHTNESSES * ENOUGH:
        return None
    strength = detrended(tiles).square().mean((1, 2, 3)).sqrt()
    marks = torch.tensor([FLATTEST, MANY]).to(strength)
    groups = tiles.mean((1, 2, 3)).argsort().tensor_split(BRIGHTNESSES)
    flattest, many = torch.stack([strength[group].quantile(marks) for group in groups], 1)
    shows = (flattest >= ALIKE * many) & (flattest <= NEAR * flattest.min())
    if int(shows.sum()) < SHOWN:
        return None
    grain = float(many[shows].square().mean().sqrt())
    return grain if LEAST < 127.5 * grain < MOST else None


def _tiles(y: Tensor) -> Tensor:
    """Some tiles of the mean of the channels, spread evenly, (n, 1, TILE, TILE)."""
    if min(y.shape[2:]) < TILE:
        return y[:0, :1]
    recorded = is_recorded(y).amin(1, keepdim=True).to(y)
    seen, whole = (
        v[0, 0].unfold(0, TILE, STRIDE).unfold(1, TILE, STRIDE)
        for v in (y.mean(1, keepdim=True), recorded)
    )
    places = (whole.mean((2, 3)) >= WHOLE).nonzero()
    places = places[:: 1 + len(places) // SOME]
    return seen[places[:, 0], places[:, 1]][:, None]
