"""The part of a clean picture that is damaged; without torch, as plans ask if there is room.

Where an operator looks beyond the picture that it makes, the crop has margins around it.
"""

from dataclasses import dataclass
from pathlib import Path

from ..errors import PictureError, UsageError
from ..kernels.files import Kernels, check_filter_covers, check_kernel_fits
from ..options.tasks import DeblurOptions, TaskOptions
from ..pictures.files import size_of

Margins = tuple[int, int, int, int]  # left, right, top, bottom

NO_MARGINS = (0, 0, 0, 0)
SMALLEST = 16  # pixels a side that SSIM and the networks need
# What messages name in place of a file that nobody has.
NOWHERE = Path("the crop")


@dataclass(frozen=True)
class Crop:
    """Rows and columns of a picture, margins included."""

    rows: slice
    columns: slice
    margins: Margins = NO_MARGINS

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        rows, columns = self.rows, self.columns
        return rows.stop - rows.start, columns.stop - columns.start


def crop_of(options: TaskOptions, picture: tuple[int, int], crop: int, kernels: Kernels) -> Crop:
    """The centre of a picture, (width, height), with what its damage needs around it.

    At most crop x crop pixels without the margins, a multiple of the reduction on each axis.
    PictureError if there are too few, or if a kernel, filter or mask does not fit them; UsageError
    if no picture had enough.
    """
    padded = isinstance(options, DeblurOptions) and options.boundary != "unknown"
    multiple, before, after = 1, [0, 0], [0, 0]  # the last two: rows, columns
    for part in reversed(options.laid):
        if part.kernel is None:
            multiple *= part.scale
            before, after = ([part.scale * n for n in ends] for ends in (before, after))
        elif not padded:
            for axis, count in enumerate(kernels.size(part.kernel)):
                before[axis] += count - 1 - count // 2
                after[axis] += count // 2
    if (most := crop // multiple * multiple) < SMALLEST:
        told = f"--crop {crop}: leaves {most} pixels a side, a multiple of {multiple}"
        raise UsageError(f"{told}; {SMALLEST} are needed, give a larger one")
    width, height = picture
    places = []
    for length, first, last in zip((height, width), before, after, strict=True):
        side = min(crop, length - first - last) // multiple * multiple
        if side < SMALLEST:
            raise PictureError(
                f"picture is {width}x{height}, the damage needs {SMALLEST} pixels and "
                f"margins of {first + last}; give a larger picture",
                "Size",
            )
        begin = min(max((length - side) // 2, first), length - last - side)
        places.append(slice(begin - first, begin + side + last))
    made = Crop(places[0], places[1], (before[1], after[1], before[0], after[0]))
    _check(options, made, kernels, padded=padded)
    return made


def _check(options: TaskOptions, crop: Crop, kernels: Kernels, *, padded: bool) -> None:
    """PictureError if what is laid on a crop does not fit it, or what comes of it its mask."""
    height, width = crop.size
    for part in options.laid:
        if part.kernel is None:
            height, width = height // part.scale, width // part.scale
            taps = kernels.taps(part.scale, part.filter)
            check_filter_covers(NOWHERE, taps, part.scale, height, width)
        elif padded:
            check_kernel_fits(NOWHERE, kernels.size(part.kernel), height, width)
        else:
            rows, columns = kernels.size(part.kernel)
            height, width = height - rows + 1, width - columns + 1
    mask = options.shared_mask
    if mask and (size := size_of(mask)) != (width, height):
        told = f"mask is {size[0]}x{size[1]}, the damaged crop is {width}x{height}"
        raise PictureError(
            f"{mask}: {told}; make them equal, by --crop or another mask", "MaskSize"
        )
