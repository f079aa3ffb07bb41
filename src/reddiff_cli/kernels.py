"""Blur kernels as tensors: K >= 0, sum K = 1, y[p] = sum_q K[q] x[p - q].

The origin of a kernel (kh, kw) is (kh // 2, kw // 2) always: the centre of odd sizes, half a pixel
below and right of the geometric centre of even ones. Rows count downward, angles counter-clockwise
as the picture is seen.
"""

import math
from pathlib import Path

import torch
from torch import Tensor

from .kernel_files import read_kernel
from .kernelspec import KernelSpec

_FINE = 8  # samples per pixel and axis in anti-aliased shapes


def make_kernel(spec: KernelSpec) -> Tensor:
    """The kernel (kh, kw), float32, >= 0, sum 1, without zero borders.

    gaussian: cut off at 4 sigma. motion: a line one pixel wide, area coverage. disk: area
    coverage. These have odd sizes. uniform: N x N as it is, also for even N. ValueError for
    `auto`, which has to be estimated first.
    """
    if spec.family == "file" and spec.path is not None:
        return load_kernel(spec.path)
    if spec.family == "gaussian":
        kernel = _gaussian(*spec.parameters)
    elif spec.family == "motion":
        kernel = _motion(*spec.parameters)
    elif spec.family == "disk":
        kernel = _disk(*spec.parameters)
    elif spec.family == "uniform":
        side = int(spec.parameters[0])
        kernel = torch.ones(side, side, dtype=torch.float64)
    else:
        raise ValueError(f"{spec} names no kernel")
    # Rounding of the angle leaves dust of 1e-17 beside lines along an axis.
    kernel = kernel * (kernel > 1e-9 * kernel.max())
    return trim(kernel / kernel.sum()).float()


def load_kernel(path: Path) -> Tensor:
    """A kernel file, (kh, kw) float32, normalised to sum 1, zero borders trimmed.

    .npy: a real array (kh, kw) without negative values. Any other file: a picture, mean of its
    colours, white = weight, transparent = none. Even sizes and off-centre weights are kept as they
    are. UsageError names the file and what is wrong.
    """
    kernel = torch.from_numpy(read_kernel(path))
    return trim(kernel / kernel.sum()).float()


def trim(kernel: Tensor) -> Tensor:
    """Drop zero rows and columns at the border such that the origin stays (kh // 2, kw // 2)."""
    for _ in range(2):
        filled = torch.nonzero(kernel.sum(1))
        first, last = int(filled.min()), int(filled.max())
        origin = kernel.shape[0] // 2
        below = max(last - origin, 0)
        above = max(origin - first, 0)
        # Sizes with origin n // 2 have as many rows above as below, or one more.
        above, below = max(above, below), max(below, above - 1)
        kernel = kernel[origin - above : origin + below + 1].T
    return kernel.contiguous()


def _gaussian(sigma: float) -> Tensor:
    radius = math.ceil(4 * sigma)
    line = torch.arange(-radius, radius + 1, dtype=torch.float64)
    profile = torch.exp(-(line**2) / (2 * sigma**2))
    return profile[:, None] * profile


def _motion(length: float, angle: float) -> Tensor:
    """Area of each pixel inside a rectangle length x 1 turned by angle."""
    row, column = _fine_grid((length + 1.5) / 2)
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = (column * cosine - row * sine).abs()
    across = (column * sine + row * cosine).abs()
    return _pool(_inside(length / 2 - along) * _inside(0.5 - across))


def _disk(radius: float) -> Tensor:
    row, column = _fine_grid(radius)
    return _pool(_inside(radius - torch.hypot(row, column)))


def _fine_grid(extent: float) -> tuple[Tensor, Tensor]:
    """Rows and columns of samples that cover [-extent, extent] and whole pixels, in pixels."""
    count = (2 * math.ceil(extent) + 1) * _FINE
    line = (torch.arange(count, dtype=torch.float64) + 0.5 - count / 2) / _FINE
    return line[:, None], line[None, :]


def _inside(depth: Tensor) -> Tensor:
    """Share of a fine sample that lies inside, given the depth of its centre in pixels."""
    share: Tensor = (depth * _FINE + 0.5).clamp(0, 1)
    return share


def _pool(fine: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(fine[None], _FINE)[0]
