"""Blur kernels as tensors: K >= 0, sum K = 1, y[p] = sum_q K[q] x[p - q].

The origin of a kernel (kh, kw) is (kh // 2, kw // 2) always: the centre of odd sizes, half a pixel
below and right of the geometric centre of even ones. Rows count downward, angles counter-clockwise
as the picture is seen.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import PictureError, UsageError
from .kernelspec import KernelSpec
from .pictures import load_picture

LARGEST_SIDE = 501
_FINE = 8  # samples per pixel and axis in anti-aliased shapes
# Of its maximum, what a kernel file has at its border at least if there is a background under it,
# and at most: a shape that fills its file has more. A blur falls off towards the corners; a
# background has so much there of what it has in the middle of the sides.
_BACKGROUND, _SHAPE, _FLAT = 0.02, 0.4, 0.8
_LEAST_SIDE = 5  # smaller files are nothing but border


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
    kernel = torch.from_numpy(_read(path))
    kernel = trim(kernel / kernel.sum())
    if max(kernel.shape) > LARGEST_SIDE:
        size = f"{kernel.shape[1]}x{kernel.shape[0]}"
        raise UsageError(f"kernel {path}: is {size}; at most {LARGEST_SIDE} pixels a side")
    return kernel.float()


def background_of(path: Path) -> float:
    """What lies under the kernel of a file, as a share of its maximum; 0 if nothing does.

    UsageError as of `load_kernel`.
    """
    kernel = _read(path)
    if min(kernel.shape) < _LEAST_SIDE:
        return 0.0
    inner, outer = [], []
    for side in (kernel[0], kernel[-1], kernel[:, 0], kernel[:, -1]):
        middle = np.abs(np.linspace(-1, 1, len(side))) <= 0.5
        inner.append(side[middle])
        outer.append(side[~middle])
    sides, corners = (float(np.median(np.concatenate(part))) for part in (inner, outer))
    level = min(sides, corners) / float(kernel.max())
    flat = min(sides, corners) > _FLAT * max(sides, corners)
    return level if flat and _BACKGROUND < level < _SHAPE else 0.0


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


def _read(path: Path) -> NDArray[np.float64]:
    values = _read_array(path) if path.suffix.lower() == ".npy" else _read_grey(path)
    return _checked(path, values)


def _read_array(path: Path) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, allow_pickle=False)
    except PermissionError as error:
        raise UsageError(f"kernel {path}: cannot be read ({error.strerror})") from error
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"kernel {path}: cannot be read as .npy; save a 2-D array") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        kind = getattr(values, "dtype", "no array")
        raise UsageError(f"kernel {path}: holds {kind}; give real numbers")
    return values


def _read_grey(path: Path) -> NDArray[Any]:
    try:
        picture = load_picture(path)
    except PictureError as error:
        raise UsageError(f"kernel {error}; give .npy or a picture") from error
    grey: NDArray[Any] = picture.pixels.mean(2)
    return grey if picture.alpha is None else grey * picture.alpha


def _checked(path: Path, values: NDArray[Any]) -> NDArray[np.float64]:
    """values as float64, or UsageError with what makes them no kernel."""
    kernel: NDArray[np.float64] = np.array(values, dtype=np.float64)
    wrong = ""
    if kernel.ndim != 2:
        wrong = f"has {kernel.ndim} dimensions; give 2"
    elif not kernel.size:
        wrong = f"is empty ({kernel.shape[1]}x{kernel.shape[0]}); give at least one value"
    elif not np.isfinite(kernel).all():
        wrong = "holds NaN or infinity; give finite values"
    elif kernel.min() < 0:
        wrong = f"holds negative values (down to {kernel.min():g}); a blur only adds"
    elif not 0 < kernel.sum() < np.inf:
        wrong = f"has the sum {kernel.sum():g}; give some weight above 0"
    if wrong:
        raise UsageError(f"kernel {path}: {wrong}")
    return kernel
