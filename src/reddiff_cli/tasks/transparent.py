"""What full transparency hides is no part of a picture, though files hold values there.

Most programs write one colour where nothing is seen, black as a rule. Beside a cut-out figure that
is an edge which nobody sees; enlarged or sharpened, it comes out as a dark or a bright rim.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..formats.kinds import FLOAT
from ..holes.smooth import fill_smoothly
from ..pictures.files import Hole, Picture, Pixels
from .problem import to_tensor

# Share of the hidden pixels that one colour must have to be what a program has put there. Alpha
# may mean something else, as gloss in the textures of games, and what it hides be a picture.
SAME = 0.5
# Where less than this is seen, colours of 8 bits that were multiplied by alpha once, as when a
# picture was reduced, are rounded to steps of 16 of 255 and more: what is around tells
# them better.
FAINT = 1 / 16


@dataclass(frozen=True)
class Unseen:
    """Pixels behind full transparency that all have the same colour.

    where: (H, W), True for these.    known: (H, W) in [0, 1], how far the file tells what is
    there, 0 for these alone.    colour: (1 or 3,), as in `Picture.pixels`.
    """

    where: Hole
    known: Pixels
    colour: Pixels

    def blackened(self, y: Tensor) -> Tensor:
        """y (1, C, H, W) in [-1, 1] as what looks for noise may see it: as clipped there."""
        return y.masked_fill(torch.from_numpy(self.where), -1.0)

    def filled(self, y: Tensor) -> Tensor:
        """y (1, C, H, W) with what is seen going on there, and where it is faint."""
        return fill_smoothly(y, torch.from_numpy(self.known)[None, None])

    def put_back(self, picture: Picture, depth: int) -> Picture:
        """A result, f times as large, with the colour where a file of this depth shows nothing."""
        if picture.alpha is None:
            return picture
        factor = picture.height // len(self.where)
        least = 0 if depth == FLOAT else 0.5 / (2**depth - 1)  # that is not written as 0
        hidden = self.where.repeat(factor, 0).repeat(factor, 1) & (picture.alpha <= least)
        pixels = np.where(hidden[:, :, None], self.colour, picture.pixels)
        return replace(picture, pixels=pixels)


def hearable(picture: Picture) -> tuple[Tensor, Unseen | None]:
    """y as what looks for noise may see it, (1, C, H, W) in [-1, 1], and what is hidden of it."""
    y, unseen = to_tensor(picture), unseen_of(picture)
    return (y if unseen is None else unseen.blackened(y)), unseen


def filled(y: Tensor, unseen: Unseen | None) -> Tensor:
    """y as the prior may see it."""
    return y if unseen is None else unseen.filled(y)


def unseen_of(picture: Picture) -> Unseen | None:
    """What of a picture is hidden by full transparency and no part of it; None if nothing is."""
    if picture.alpha is None or bool((picture.alpha > 0).all()) or not picture.alpha.any():
        return None
    hidden = picture.alpha == 0
    values = picture.pixels[hidden]  # (N, C)
    # A colour that more than half of them have is their median, too.
    colour = np.array([_median(channel) for channel in values.T])
    same = (values == colour).all(1)
    if same.sum() < SAME * len(same):
        return None
    where = np.zeros_like(hidden)
    where[hidden] = same
    # What was erased is known as well as what is seen.
    known = (~where).astype(np.float32)
    if picture.depth == 8:
        known[~hidden] = (picture.alpha[~hidden] / FAINT).clip(0, 1)
    return Unseen(where, known, colour)


def _median(values: Pixels) -> np.float32:
    """One of (N,) that no more than half are below, or above."""
    middle = (len(values) - 1) // 2
    found: np.float32 = np.partition(values, middle)[middle]
    return found
