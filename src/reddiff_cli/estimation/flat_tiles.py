"""Flat tiles of a picture, where what is left is noise."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .stationary import TILE

# Distance of tiles, and side of the parts whose means tell how flat a tile is.
STRIDE, PART = 8, 4
# Of the tiles of one brightness, the flattest: their share, and how many at most and at least.
FLAT, MOST, LEAST = 0.1, 500, 12
# Fewer tiles than this, and the flattest may be no flat one.
ENOUGH = 64
BRIGHTNESSES = 4


def has_tiles(height: int, width: int) -> bool:
    """True if a picture of this size has tiles enough, so that some may be flat."""
    rows, columns = ((max(0, side - TILE) // STRIDE + 1) for side in (height, width))
    return min(height, width) >= TILE and rows * columns >= ENOUGH


def bumps_of(means: Tensor) -> Tensor:
    """How far the means of PART x PART pixels of every tile are from a plane, squared; (h, w)."""
    side = TILE // PART
    blocks = F.unfold(means, side, stride=STRIDE // PART)
    rest = blocks - _plane(side) @ blocks
    height = (means.shape[2] - side) // (STRIDE // PART) + 1
    bumps: Tensor = rest.square().mean(1).view(height, -1)
    return bumps


def slope_of(x: Tensor) -> Tensor:
    """Squared differences to the neighbours, mean of the channels, (1, 1, H, W)."""
    across = F.pad(x, (1, 0, 0, 0), mode="replicate").diff(dim=3)
    down = F.pad(x, (0, 0, 1, 0), mode="replicate").diff(dim=2)
    return (across.square() + down.square()).mean(1, keepdim=True)


def flattest_of_each(bumps: Tensor, light: Tensor, whole: Tensor) -> list[Tensor]:
    """Rows and columns of the flattest whole tiles, (n, 2), by brightness from dark to light."""
    places = whole.nonzero()
    if len(places) < ENOUGH:
        return []
    ordered = places[light[whole].argsort()]
    parts = max(1, min(BRIGHTNESSES, len(places) // (4 * LEAST)))
    found = []
    for group in ordered.tensor_split(parts):
        few = min(MOST, len(group), max(LEAST, int(FLAT * len(group))))
        flatness = bumps[group[:, 0], group[:, 1]]
        found.append(group[flatness.argsort()[:few]])
    return found


def cut(picture: Tensor, places: Tensor) -> Tensor:
    """Tiles at these rows and columns, (n, C, TILE, TILE)."""
    corners = (STRIDE * places).tolist()
    return torch.cat([picture[..., y : y + TILE, x : x + TILE] for y, x in corners])


def _plane(side: int) -> Tensor:
    """What projects side x side pixels in a row on the planes among them."""
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    basis = torch.stack([torch.ones(side, side), y, x]).view(3, -1)
    basis = basis / basis.norm(dim=1, keepdim=True)
    projection: Tensor = basis.T @ basis
    return projection


def detrended(tiles: Tensor) -> Tensor:
    """Tiles less the plane that is nearest to each."""
    flat = tiles.flatten(2)
    return (flat - flat @ _plane(TILE)).view_as(tiles)
