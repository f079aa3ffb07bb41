"""The shapes of blur kernels, without torch, as plans ask how large they are.

The origin of a kernel (kh, kw) is (kh // 2, kw // 2) always: the centre of odd sizes, half a pixel
below and right of the geometric centre of even ones. Rows count downward, angles counter-clockwise
as the picture is seen.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ..options.kernelspec import KernelSpec

Weights = NDArray[np.float64]

_FINE = 8  # samples per pixel and axis in anti-aliased shapes


def draw_kernel(spec: KernelSpec) -> Weights:
    """The weights (kh, kw), >= 0, sum 1, without zero borders; ValueError if it names no shape.

    gaussian: cut off at 4 sigma. motion: a line one pixel wide, area coverage. disk: area
    coverage. These have odd sizes. uniform: N x N as it is, also for even N.
    """
    if spec.family == "gaussian":
        kernel = _gaussian(*spec.parameters)
    elif spec.family == "motion":
        kernel = _motion(*spec.parameters)
    elif spec.family == "disk":
        kernel = _disk(*spec.parameters)
    elif spec.family == "uniform":
        side = int(spec.parameters[0])
        kernel = np.ones((side, side))
    else:
        raise ValueError(f"{spec} names no shape")
    # Rounding of the angle leaves dust of 1e-17 beside lines along an axis.
    kernel = kernel * (kernel > 1e-9 * kernel.max())
    return trim(kernel / kernel.sum())


def trim(kernel: Weights) -> Weights:
    """Drop zero rows and columns at the border such that the origin stays (kh // 2, kw // 2)."""
    for _ in range(2):
        filled = np.flatnonzero(kernel.any(1))
        first, last = int(filled[0]), int(filled[-1])
        origin = kernel.shape[0] // 2
        below = max(last - origin, 0)
        above = max(origin - first, 0)
        # Sizes with origin n // 2 have as many rows above as below, or one more.
        above, below = max(above, below), max(below, above - 1)
        kernel = kernel[origin - above : origin + below + 1].T
    return np.ascontiguousarray(kernel)


def _gaussian(sigma: float) -> Weights:
    radius = math.ceil(4 * sigma)
    line = np.arange(-radius, radius + 1, dtype=np.float64)
    profile = np.exp(-(line**2) / (2 * sigma**2))
    return np.outer(profile, profile)


def _motion(length: float, angle: float) -> Weights:
    """Area of each pixel inside a rectangle length x 1 turned by angle."""
    row, column = _fine_grid((length + 1.5) / 2)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = abs(column * cosine - row * sine)
    across = abs(column * sine + row * cosine)
    return _pool(_inside(length / 2 - along) * _inside(0.5 - across))


def _disk(radius: float) -> Weights:
    row, column = _fine_grid(radius)
    return _pool(_inside(radius - np.hypot(row, column)))


def _fine_grid(extent: float) -> tuple[Weights, Weights]:
    """Rows and columns of samples that cover [-extent, extent] and whole pixels, in pixels."""
    count = (2 * math.ceil(extent) + 1) * _FINE
    line = (np.arange(count) + 0.5 - count / 2) / _FINE
    return line[:, None], line[None, :]


def _inside(depth: Weights) -> Weights:
    """Share of a fine sample that lies inside, given the depth of its centre in pixels."""
    share: Weights = np.clip(depth * _FINE + 0.5, 0, 1)
    return share


def _pool(fine: Weights) -> Weights:
    """Means of _FINE x _FINE samples."""
    height, width = (side // _FINE for side in fine.shape)
    pixels: Weights = fine.reshape(height, _FINE, width, _FINE).mean((1, 3))
    return pixels
