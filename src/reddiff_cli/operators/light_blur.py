"""Blur as cameras make it: light is blurred, and values are made of it afterwards.

    y = OETF(k * EOTF(u)),    u = (x + 1) / 2

Motion and defocus act on light, before the response curve. Beside something bright that differs
from a blur of values by much more than noise does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..metrics import rms
from ..response import Response
from .blur import Blur, CircularBlur, PaddedBlur
from .gauss_newton import bent_data_step, improved

# Curves that are flat at black, or steep, have no finite slope there.
FLATTEST = 0.02
# From so many values on, CPUs take one channel after the other, and memory holds one.
LARGE = 2**18

AnyBlur = Blur | CircularBlur | PaddedBlur


@dataclass(frozen=True)
class Tangent:
    """A linear map, x -> outside * blur(within * x): what a `LightBlur` is near a picture.

    within: (B, C, H, W), slopes of light by value.    outside: of y's shape, of value by light.
    """

    blur: AnyBlur
    within: Tensor
    outside: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Change of y for a change x of the picture."""
        return self.outside * self.blur(self.within * x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The transpose."""
        return self.within * self.blur.adjoint(self.outside * y)

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2 by a few conjugate gradients from d."""
        return self.improved(d, d, y - self(d), r)

    def improved(self, x: Tensor, d: Tensor, miss: Tensor, r: float) -> Tensor:
        """argmin_v |A v - miss|^2 + r |x + v - d|^2, added to x.

        Not preconditioned by the kernel's inverse: that halves the iterations where slopes are
        even, and at lamps by night takes four times as many.
        """
        if x.device.type == "cpu" and x.numel() >= LARGE and x.shape[:2] != (1, 1):
            return self._improved_apart(x, d, miss, r)
        return improved(self, x, d, miss, r)

    def _improved_apart(self, x: Tensor, d: Tensor, miss: Tensor, r: float) -> Tensor:
        """The same, one channel after the other."""
        found = torch.empty_like(x)
        for row in range(x.shape[0]):
            for channel in range(x.shape[1]):
                one = slice(row, row + 1), slice(channel, channel + 1)
                part = Tangent(self.blur, self.within[one], self.outside[one])
                found[one] = part.improved(x[one], d[one], miss[one], r)
        return found


@dataclass(frozen=True)
class LightBlur:
    """A blur between two response curves; shapes and borders as those of `blur`.

    blur: what happens to light.
    """

    blur: AnyBlur
    response: Response = Response()

    def __call__(self, x: Tensor) -> Tensor:
        """The blurred picture."""
        return self._value(self.blur(self._light(x)))

    @property
    def kernel(self) -> Tensor:
        """(kh, kw). Where it lets nothing through, y holds noise and little else.

        3 crops of 208x208, noise of 1 and 5 of 255, motion:9,30, disk:3 and gaussian:2: found
        there are 1.0 to 1.1 and 4.9 to 5.3, as behind a blur of values. Of 4 with strong contrast,
        noise 1.06, two have 1.06 and two 1.4.
        """
        return self.blur.kernel

    def start(self, y: Tensor) -> Tensor:
        """As that of the blur."""
        return self.blur.start(y)

    def tangent(self, x: Tensor) -> Tangent:
        """What A is near x."""
        value = self(x)
        return Tangent(self.blur, self._slope(x), 1 / self._slope(value))

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A(x) - y|^2 + r |x - d|^2."""
        return bent_data_step(self, d, y, r)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of y - A(x) for each picture, (B,)."""
        return rms(y - self(x))

    def _light(self, x: Tensor) -> Tensor:
        return self.response.decode((x + 1) / 2)

    def _value(self, light: Tensor) -> Tensor:
        return 2 * self.response.encode(light) - 1

    def _slope(self, x: Tensor) -> Tensor:
        """Of light by value, both in [-1, 1] units."""
        return self.response.slope((x + 1) / 2).clamp(min=FLATTEST)
