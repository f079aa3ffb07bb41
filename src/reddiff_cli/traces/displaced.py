"""Blocks of a first JPEG file that begin elsewhere than those of the second, as of a part of it.

What the second file has rounded is mixed in the coefficients of the first blocks then: their
errors are nearly normal, and so small beside coarse first steps that these are still told.
"""

import math
from itertools import product

import torch
from torch import Tensor

from ..operators.jpeg import BLOCK, basis
from .blocks import FIRST, Squares

# Where multiples are looked for: low frequencies, (vertical, horizontal), and steps.
LOW = tuple((v, u) for v, u in product(range(4), range(4)) if 0 < v + u < 5)
STEPS = torch.arange(3.0, 41.0)
# Coefficients from this on, counted in classes so wide.
LEAST, END, WIDTH = 2.5, 256.0, 1 / 8
# A grid is told if it speaks so many times as loud as the next. 11 photographs of 256x256: of
# JPEGs at quality 85, 92 and 95 that were never JPEG before none of 33 has more than 1.35;
# quality 60, 75 and 85, then 92, 92 and 95 1.4 to 20 in 28 of 33, and all of those rightly.
LOUDER = 1.4


def find_grid(squares: Squares, own: tuple[int, int]) -> tuple[int, int] | None:
    """The first row and column of a block of the first file; None if none is told.

    own: that of the second file, which is not asked.
    """
    first = Squares(squares.luma[:FIRST], squares.clipped[:FIRST])
    grids = list(product(range(BLOCK), range(BLOCK)))
    counts = torch.stack([_classes(first.blocks(grid)) for grid in grids])
    angles = 2 * math.pi * WIDTH * torch.arange(int(END / WIDTH))[:, None] / STEPS
    # How much coefficients are like multiples of each step, (64, len(LOW), len(STEPS)).
    alike = (counts @ angles.cos()).clamp(min=0).square() / counts.sum(2, keepdim=True).clamp(1)
    # Few large coefficients and many small ones look like multiples of much, in every grid.
    spoken = (alike - alike.median(0).values).amax(2).sum(1)
    spoken[grids.index(own)] = 0
    (loudest, next_one), places = (told.tolist() for told in spoken.topk(2))
    return grids[places[0]] if loudest > LOUDER * next_one else None


def errors_between(steps: Tensor, apart: tuple[int, int]) -> Tensor:
    """(8, 8), as steps: what rounding to such ones leaves in blocks that lie so far apart.

    steps: (8, 8).    apart: rows and columns.
    """
    down, across = (_shares(distance % BLOCK) for distance in apart)
    power = torch.stack([a @ steps.square() @ b.T for a in down for b in across])
    return power.sum(0).sqrt()


def _shares(apart: int) -> list[Tensor]:
    """(8, 8), power of each frequency from each, of the two blocks that one lies on."""
    waves = basis(torch.zeros(()))
    left = BLOCK - apart
    ends = waves[:, :left] @ waves[:, apart:].T, waves[:, left:] @ waves[:, :apart].T
    return [end.square() for end in ends]


def _classes(blocks: Tensor) -> Tensor:
    """How many coefficients of low frequencies lie in each class: (n, 8, 8) -> (len(LOW), ...)."""
    rows, columns = torch.tensor(LOW).T
    values = blocks[:, rows, columns].abs().T
    places = (values / WIDTH).round().long().clamp(max=int(END / WIDTH) - 1)
    counted = ((values > LEAST) & (values < END)).float()
    return torch.zeros(len(LOW), int(END / WIDTH)).scatter_add_(1, places, counted)
