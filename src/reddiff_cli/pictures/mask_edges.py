"""Edges of what was marked: sharp, antialiased over a pixel, or soft over many.

A brush that is smooth leaves pixels that are a part of the scratch and a part of the picture. What
is grey beside what is filled is filled with it, as it would stay as an outline: 1 to 3 pixels wide
strokes over a face, noise-free, 20 evaluations, PSNR inside 16.7 dB if the mask is cut at half and
34.8 dB so. Edges that reach farther, as a feather does, are cut, which is told.
"""

import numpy as np
from numpy.typing import NDArray

from .pixels import Hole

WHITE_FROM = 128  # of 255: half of the range
# Brighter than this, of 255, is grey; what a JPEG leaves around white is mostly darker.
GREY = 12
# Edges are soft if more than this share of the hole is grey and not filled, as far as this from it
# at most. What follows from there to the last few is a JPEG's, or something else that is grey.
FEW_SOFT, FARTHEST, MOST_OF_IT = 0.1, 32, 0.95


def marked(values: NDArray[np.float32]) -> Hole:
    """(H, W), True where more than half is marked, and where it is grey beside that.

    values: (H, W), of 255.
    """
    hole: Hole = values >= WHITE_FROM
    return hole | (grow(hole, 1) & (values > GREY))


def soft_reach(values: NDArray[np.float32]) -> int:
    """Pixels by which what is `marked` has to grow to take its soft edges with it, or 0.

    values: (H, W), of 255.
    """
    hole = marked(values)
    soft = (values > GREY) & ~hole
    if soft.sum() <= FEW_SOFT * hole.sum():
        return 0
    reached = [0]
    for _ in range(FARTHEST):
        beside = grow(hole, 1) & soft & ~hole
        if not beside.any():
            most = MOST_OF_IT * reached[-1]
            reach = next(k for k, count in enumerate(reached) if count >= most)
            return reach if reached[-1] > FEW_SOFT * (hole.sum() - reached[-1]) else 0
        reached.append(reached[-1] + int(beside.sum()))
        hole = hole | beside
    return 0  # no edge, but something else that is grey


def grow(hole: Hole, pixels: int) -> Hole:
    """Dilate by a square."""
    for axis in (0, 1):
        grown = hole.copy()
        for shift in range(1, min(pixels, hole.shape[axis] - 1) + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
            grown[tuple(ahead)] |= hole[tuple(behind)]
            grown[tuple(behind)] |= hole[tuple(ahead)]
        hole = grown
    return hole
