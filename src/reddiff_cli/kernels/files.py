"""Files that hold kernels of blurs and filters: read and checked without torch, as plans do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError, UsageError, counted
from ..formats.damage import CURE, EMPTY, is_empty
from ..options.kernelspec import KernelSpec
from ..options.tasks import Filter, Laid
from ..pictures.files import load_picture
from .filters import Taps, draw_filter, own
from .shapes import Weights, draw_kernel, trim

LARGEST_SIDE = 501
# Of its maximum, what a kernel file has at its border at least if there is a background under it,
# and at most: a shape that fills its file has more. A blur falls off towards the corners; a
# background has so much there of what it has in the middle of the sides.
_BACKGROUND, _SHAPE, _FLAT = 0.02, 0.4, 0.8
_LEAST_SIDE = 5  # smaller files are nothing but border


def read_kernel(path: Path) -> Weights:
    """The weights of a kernel file as they are there, (kh, kw), with any borders of zeros.

    .npy: a real array without negative values. Any other file: a picture, mean of its colours,
    white = weight, transparent = none. UsageError names the file and what is wrong.
    """
    values = _read_array(path) if path.suffix.lower() == ".npy" else _read_grey(path)
    kernel = _checked(path, values)
    height, width = trim(kernel).shape
    if max(height, width) > LARGEST_SIDE:
        told = f"is {width}x{height}; at most {LARGEST_SIDE} pixels a side"
        raise UsageError(f"kernel {path}: {told}")
    return kernel


def check_kernel_fits(path: Path, kernel: tuple[int, int], height: int, width: int) -> None:
    """PictureError if a kernel, (kh, kw), is larger than the picture that it is laid on."""
    kh, kw = kernel
    if kh > height or kw > width:
        told = f"kernel is {kw}x{kh}, picture is {width}x{height}; give a smaller kernel"
        raise PictureError(f"{path}: {told}", "KernelSize")


class Kernels:
    """Kernels as one plan or run asks for them: each is read or drawn once."""

    def __init__(self) -> None:
        self._files: dict[Path, Weights] = {}
        self._sizes: dict[KernelSpec, tuple[int, int]] = {}
        self._taps: dict[tuple[int, Filter], Taps] = {}

    def of_file(self, path: Path) -> Weights:
        """What a file holds, of sum 1, without its borders of zeros; UsageError as above."""
        if path not in self._files:
            kernel = read_kernel(path)
            self._files[path] = trim(kernel / kernel.sum())
        return self._files[path]

    def size(self, spec: KernelSpec) -> tuple[int, int]:
        """(kh, kw) of the kernel of a blur."""
        if spec not in self._sizes:
            kernel = draw_kernel(spec) if spec.path is None else self.of_file(spec.path)
            self._sizes[spec] = kernel.shape[0], kernel.shape[1]
        return self._sizes[spec]

    def taps(self, scale: int, chosen: Filter) -> Taps:
        """Those of the filter of a reduction."""
        key = scale, chosen
        if key not in self._taps:
            path = chosen.path
            drawn = own(scale, self.of_file(path)) if path else draw_filter(scale, chosen)
            self._taps[key] = drawn
        return self._taps[key]

    def check(self, path: Path, laid: Sequence[Laid], height: int, width: int) -> None:
        """PictureError if one is too large for what it was laid on, or lies outside of it.

        laid: in their order.    height, width: of the picture that came of them all.
        """
        for part in reversed(laid):
            if part.kernel is None:
                taps = self.taps(part.scale, part.filter)
                check_filter_covers(path, taps, part.scale, height, width)
                height, width = part.scale * height, part.scale * width
            else:
                check_kernel_fits(path, self.size(part.kernel), height, width)


def check_filter_covers(path: Path, taps: Taps, scale: int, height: int, width: int) -> None:
    """PictureError if a filter looks past the picture that it is to make, at its borders."""
    if not taps.cover(scale, height, width):
        told = "its filter lies outside at its borders; give one that is heaviest in its middle"
        raise PictureError(f"{path}: {told}", "KernelSize")


def background_of(kernel: Weights) -> float:
    """What lies under a kernel as its file has it, as a share of its maximum; 0 if nothing."""
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


def _read_array(path: Path) -> NDArray[Any]:
    try:
        values: NDArray[Any] = np.load(path, allow_pickle=False)
    except PermissionError as error:
        raise UsageError(f"kernel {path}: cannot be read ({error.strerror})") from error
    except (OSError, ValueError, EOFError) as error:
        told = EMPTY if is_empty(path) else "cannot be read as .npy; save a 2-D array"
        raise UsageError(f"kernel {path}: {told}") from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        kind = getattr(values, "dtype", "no array")
        raise UsageError(f"kernel {path}: holds {kind}; give real numbers")
    return values


def _read_grey(path: Path) -> NDArray[Any]:
    try:
        picture = load_picture(path)
    except PictureError as error:
        told = str(error).removeprefix(str(path)).removesuffix(f"; {CURE}")
        cure = "" if "; " in told else "; give .npy or a picture"
        raise UsageError(f"kernel {path}{told}{cure}") from error
    grey: NDArray[Any] = picture.pixels.mean(2)
    return grey if picture.alpha is None else grey * picture.alpha


def _checked(path: Path, values: NDArray[Any]) -> Weights:
    """values as float64, or UsageError with what makes them no kernel."""
    kernel: Weights = np.array(values, dtype=np.float64)
    wrong = ""
    if kernel.ndim != 2:
        wrong = f"has {counted(kernel.ndim, 'dimension')}; give 2"
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
