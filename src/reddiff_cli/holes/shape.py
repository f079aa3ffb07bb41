"""What kind of hole it is: thin parts, wide parts, and the windows each of them needs.

A thin hole (a scratch, a hair, missing pixels) is filled by the prior alone. A wide one needs
something to start from (synthesis.py). Each is covered by the windows that cost least.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..pictures.pixels import Hole
from ..tiling import Patchwork, cover, patchwork

# A hole that holds a square of this side is wide: beyond it a small prior alone blurs or invents.
WIDE = 13
# Whole pictures up to this many pixels may go through the network in one piece.
WHOLE = 512 * 512
CELL = 32


@dataclass(frozen=True)
class Region:
    """Rows and columns [top, bottom) x [left, right) around one wide hole."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int) -> "Region":
        """`margin` larger on every side; above and left inside the canvas."""
        top, left = max(0, self.top - margin), max(0, self.left - margin)
        return Region(top, left, self.bottom + margin, self.right + margin)

    def pieces(self, longest: int) -> list["Region"]:
        """Equal parts whose sides are at most `longest`, row by row."""
        rows = _parts(self.top, self.bottom, longest)
        columns = _parts(self.left, self.right, longest)
        return [Region(y[0], x[0], y[1], x[1]) for y in rows for x in columns]


def _parts(start: int, stop: int, longest: int) -> list[tuple[int, int]]:
    count = -(-(stop - start) // longest)
    ends = [start + (stop - start) * k // count for k in range(count + 1)]
    return list(pairwise(ends))


def wide_part(hole: Hole) -> Hole:
    """The parts of a hole that hold a WIDE x WIDE square, with what directly surrounds it."""
    wide = np.zeros_like(hole)
    if not hole.any():
        return wide
    area = bounding_region(hole, WIDE).slices
    radius = WIDE // 2
    # Outside the picture nothing is known either: a band along the edge counts in its full depth.
    core = ~_dilate(~hole[area], radius)
    wide[area] = _dilate(core, 2 * radius) & hole[area]
    return wide


def solid_share(hole: Hole) -> float:
    """Share of a hole's pixels that have no known neighbour; 0 of an empty one.

    70 and 90 % of the pixels at random have 0.06 and 0.43; a line of three pixels 0.33, of six
    0.67, or 0.34 where it is slanted; strokes of `eval` 0.40 to 0.64 in 128x128 and 0.63 to 0.77
    in 256x256.
    """
    if not hole.any():
        return 0.0
    part = hole[bounding_region(hole, 1).slices]
    return float((~_dilate(~part, 1)).sum() / part.sum())


def regions(hole: Hole, margin: int) -> list[Region]:
    """One region per connected group of cells with hole pixels, `margin` larger on every side."""
    height, width = hole.shape
    rows, columns = -(-height // CELL), -(-width // CELL)
    padded = np.zeros((rows * CELL, columns * CELL), dtype=bool)
    padded[:height, :width] = hole
    blocks = padded.reshape(rows, CELL, columns, CELL)
    cells: Hole = np.asarray(blocks.any((1, 3)))
    return [_region(hole, group, margin) for group in _connected(cells)]


def bounding_region(hole: Hole, margin: int) -> Region:
    """The smallest region around all hole pixels, `margin` larger, inside the canvas."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    height, width = hole.shape
    return Region(
        max(0, int(rows[0]) - margin),
        max(0, int(columns[0]) - margin),
        min(height, int(rows[-1]) + 1 + margin),
        min(width, int(columns[-1]) + 1 + margin),
    )


def cheapest_patchwork(
    hole: Hole, margin: int, sizes: tuple[int, ...], whole: float = WHOLE
) -> Patchwork:
    """Windows over a hole: of the given sizes (or the whole picture) those with least pixels.

    whole: pixels up to which the picture may be one window.
    """
    height, width = hole.shape
    # Half of the smallest windows, at least, is for the hole.
    margin = min(margin, min(sizes) // 4)
    candidates = []
    for size in sizes:
        boxes = cover(hole, size, margin)
        candidates.append((len(boxes) * min(size, height) * min(size, width), size, boxes))
    if height * width <= whole:
        candidates.append((height * width, max(height, width), [(0, 0)]))
    _, size, boxes = min(candidates, key=lambda candidate: candidate[:2])
    return patchwork((height, width), boxes, size, margin)


def _dilate(mask: Hole, radius: int) -> Hole:
    x = torch.from_numpy(mask).float()[None, None]
    result: Hole = highest_within(x, radius)[0, 0].numpy() > 0
    return result


def highest_within(x: Tensor, radius: int) -> Tensor:
    """The highest value within a radius on each axis, (B, C, H, W): by rows, then by columns."""
    side = 2 * radius + 1
    return F.max_pool2d(F.max_pool2d(x, (side, 1), 1, (radius, 0)), (1, side), 1, (0, radius))


def _connected(cells: NDArray[np.bool_]) -> list[list[tuple[int, int]]]:
    """8-connected groups of true cells."""
    every = [(int(i), int(j)) for i, j in zip(*np.nonzero(cells), strict=True)]  # row by row
    left, groups = set(every), []
    for first in every:
        if first not in left:
            continue
        left.remove(first)
        group, queue = [first], deque([first])
        while queue:
            i, j = queue.popleft()
            around = {(i + a, j + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= around
            group += sorted(around)
            queue += sorted(around)
        groups.append(group)
    return groups


def _region(hole: Hole, group: list[tuple[int, int]], margin: int) -> Region:
    height, width = hole.shape
    rows, columns = [], []
    for i, j in group:
        cell = hole[i * CELL : (i + 1) * CELL, j * CELL : (j + 1) * CELL]
        rows += [i * CELL + int(k) for k in np.flatnonzero(cell.any(1))[[0, -1]]]
        columns += [j * CELL + int(k) for k in np.flatnonzero(cell.any(0))[[0, -1]]]
    return Region(
        max(0, min(rows) - margin),
        max(0, min(columns) - margin),
        min(height, max(rows) + 1 + margin),
        min(width, max(columns) + 1 + margin),
    )
