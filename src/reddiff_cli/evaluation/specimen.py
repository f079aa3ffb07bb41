"""What an evaluation measures: a damaged picture whose truth is known, cut out of a clean one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import PictureError
from ..operators import Operator, Phase
from ..pictures import Hole, Pixels
from ..tasks import Problem, Setting
from ..tasks.compose import Margins
from ..tasks.problem import to_pixels

NO_MARGINS = (0, 0, 0, 0)
SMALLEST = 16  # pixels a side that SSIM and the networks need


@dataclass(frozen=True)
class Specimen:
    """One damaged picture.    truth: (1, C, H, W) in [-1, 1].    y: the measurement.

    noise: standard deviation in y, [0, 1] units.    start: `operator.start(y)`, its canvas
    cropped by `crop`.    pose: the problem for a solver.    turned: the result is equal to the
    truth only up to shift and rotation by 180 degrees.
    """

    truth: Tensor
    operator: Operator
    y: Tensor
    noise: float
    start: Tensor
    pose: Callable[[Setting], Problem]
    crop: Callable[[Tensor], Tensor] = Tensor.clone
    hole: Hole | None = None
    turned: bool = False

    def shown(self) -> Pixels:
        """The measurement as a picture for people, (h, w, C) in [0, 1]."""
        if isinstance(self.operator, Phase):
            spectrum = torch.fft.fftshift(self.y, dim=(2, 3)).clamp(min=0)
            level = torch.log1p(100 * spectrum / spectrum.max().clamp(min=1e-12))
            return to_pixels(level / level.max() * 2 - 1)
        if self.y.ndim != 4:  # coefficients of a JPEG file
            return to_pixels(self.crop(self.start))
        return to_pixels(self.y)


def cut(x: Tensor, crop: int, multiple: int = 1, margins: Margins = NO_MARGINS) -> Tensor:
    """The centre of x, (1, C, H, W), with margins around it where the operator looks beyond it.

    At most crop x crop pixels without the margins, a multiple on each axis; PictureError if
    there are too few.
    """
    left, right, top, bottom = margins
    places = []
    for length, before, after in ((x.shape[2], top, bottom), (x.shape[3], left, right)):
        side = min(crop, length - before - after) // multiple * multiple
        if side < SMALLEST:
            raise PictureError(
                f"picture is {x.shape[3]}x{x.shape[2]}, the damage needs {SMALLEST} pixels and "
                f"margins of {before + after}; give a larger picture",
                "Size",
            )
        first = min(max((length - side) // 2, before), length - after - side)
        places.append(slice(first - before, first + side + after))
    return x[:, :, places[0], places[1]].clone()
