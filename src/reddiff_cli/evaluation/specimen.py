"""What an evaluation measures: a damaged picture whose truth is known, cut out of a clean one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..operators import Operator, Phase
from ..pictures.files import Hole, Pixels
from ..tasks import Problem, Setting
from ..tasks.problem import to_pixels


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
