"""The filters of reductions, without torch, as plans ask whether they fit a picture.

An output is a sum of taps times pixels of the large picture, the first of which lies `offset` rows
and columns from the corner of the output's block of f x f pixels.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..options.tasks import Filter
from .shapes import Weights

# Share of a filter that has to lie inside the picture at its borders.
LEAST_INSIDE = 1e-3


@dataclass(frozen=True)
class Taps:
    """Weights (kh, kw) of sum 1, laid on the large picture without turning (a correlation)."""

    weights: Weights
    offset: tuple[int, int]

    def cover(self, scale: int, height: int, width: int) -> bool:
        """True if some of them lie inside the picture at the borders of outputs of this size."""
        sums = np.pad(self.weights, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
        top, bottom = _inside(scale, height, self.offset[0], self.weights.shape[0])
        left, right = _inside(scale, width, self.offset[1], self.weights.shape[1])
        strips = sums[bottom] - sums[top]
        return bool((strips[:, right] - strips[:, left]).min() > LEAST_INSIDE)


def _inside(
    scale: int, outputs: int, offset: int, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First tap inside, and the one after the last, of each output on one axis."""
    begin = scale * np.arange(outputs) + offset
    first, last = (-begin).clip(0, count), (scale * outputs - begin).clip(0, count)
    # Most of them are alike: as one number each, which sorts much faster than pairs do.
    first, last = np.divmod(np.unique(first * (count + 1) + last), count + 1)
    return first, last


def draw_filter(scale: int, chosen: Filter) -> Taps:
    """The taps of a filter that has a name."""
    if chosen.kind == "box":
        return Taps(np.full((scale, scale), 1 / scale**2), (0, 0))
    if chosen.kind == "gaussian":
        width = chosen.sigma / scale
        reach = max(4 * width, 0.5 / scale)  # even scales have no pixel nearer than half a one
        return resampling(scale, lambda v: math.exp(-(v**2) / (2 * width**2)), reach)
    return resampling(scale, *_CONTINUOUS[chosen.kind])


def resampling(scale: int, function: Callable[[float], float], support: float) -> Taps:
    """Antialiased reduction by a continuous filter of the given support, widened by `scale`."""
    reach = support * scale
    centre = (scale - 1) / 2  # of an output's block, in pixels
    first, last = math.ceil(centre - reach), math.floor(centre + reach)
    line = np.array([function((j - centre) / scale) for j in range(first, last + 1)])
    line /= line.sum()
    return Taps(np.outer(line, line), (first, first))


def own(scale: int, kernel: Weights) -> Taps:
    """Own filter (kh, kw), convolved with the large picture around the middle of each block.

    The origin is the tap (kh // 2, kw // 2), which lies on pixel (f - 1) // 2 of the block.
    """
    centre = (scale - 1) // 2
    offsets = [centre - (n - 1 - n // 2) for n in kernel.shape]
    turned = kernel[::-1, ::-1].copy()  # a convolution as a correlation
    return Taps(turned, (offsets[0], offsets[1]))


def _keys(v: float) -> float:
    v = abs(v)
    if v < 1:
        return (1.5 * v - 2.5) * v * v + 1
    return ((-0.5 * v + 2.5) * v - 4) * v + 2 if v < 2 else 0.0


def _lanczos3(v: float) -> float:
    if v == 0:
        return 1.0
    if abs(v) >= 3:
        return 0.0
    return 3 * math.sin(math.pi * v) * math.sin(math.pi * v / 3) / (math.pi * v) ** 2


_CONTINUOUS: dict[str, tuple[Callable[[float], float], float]] = {
    "bicubic": (_keys, 2),
    "lanczos": (_lanczos3, 3),
}
