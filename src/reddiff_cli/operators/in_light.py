"""Blur and reduction as cameras make them: of light, of which values are made afterwards.

    y = OETF(A EOTF(u)),    u = (x + 1) / 2

Motion, defocus and large pixels act on light, before the response curve. Beside something bright
that differs from what happens to values by much more than noise does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..light.response import VALUES, Response
from ..linear import conjugate_gradients
from .blur import Blur, CircularBlur, PaddedBlur
from .downsample import Downsample
from .evenly import EvenlyMeasured
from .gauss_newton import MANY, bent_data_step, improved
from .separable import Sides

# Curves that are flat at black, or steep, have no finite slope there.
FLATTEST = 0.02
# Of conjugate gradients by way of y: x4 bicubic is the same to 0.01 dB with 1e-4, which takes
# twice as many.
NEARLY = 1e-2
# From so many values on, CPUs take one channel after the other, and memory holds one.
LARGE = 2**18

AnyBlur = Blur | CircularBlur | PaddedBlur
AnyFilter = AnyBlur | Downsample


@dataclass(frozen=True)
class Tangent:
    """A linear map, x -> outside * A(within * x): what an `InLight` is near a picture.

    within: (B, C, H, W), slopes of light by value.    outside: of y's shape, of value by light.
    """

    inner: AnyFilter | Sides
    within: Tensor
    outside: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Change of y for a change x of the picture."""
        return self.outside * self.inner(self.within * x)

    def adjoint(self, y: Tensor) -> Tensor:
        """The transpose."""
        return self.within * self.inner.adjoint(self.outside * y)

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A x - y|^2 + r |x - d|^2 by a few conjugate gradients from d."""
        return self.improved(d, d, y - self(d), r)

    def improved(self, x: Tensor, d: Tensor, miss: Tensor, r: float) -> Tensor:
        """argmin_v |A v - miss|^2 + r |x + v - d|^2, added to x.

        Not preconditioned by the kernel's inverse: that halves the iterations where slopes are
        even, and at lamps by night takes four times as many.
        """
        if isinstance(self.inner, Sides):
            return self._improved_small(self.inner, x, d, miss, r)
        if x.device.type == "cpu" and x.numel() >= LARGE and x.shape[:2] != (1, 1):
            return self._improved_apart(x, d, miss, r)
        return improved(self, x, d, miss, r)

    def _improved_small(
        self, inner: Sides, x: Tensor, d: Tensor, miss: Tensor, r: float
    ) -> Tensor:
        """The same by way of y: d + A^T z with (A A^T + r) z = miss - A (d - x).

        Samples of a reduced picture share few pixels, so that A A^T is nearly its diagonal.
        """
        diagonal = self.outside.square() * inner.diagonal(self.within.square())
        scale = (diagonal + r).rsqrt()

        def normal(z: Tensor) -> Tensor:
            return scale * (self(self.adjoint(scale * z)) + r * scale * z)

        z = conjugate_gradients(normal, scale * (miss - self(d - x)), MANY, NEARLY)
        return d + self.adjoint(scale * z)

    def _improved_apart(self, x: Tensor, d: Tensor, miss: Tensor, r: float) -> Tensor:
        """The same, one channel after the other."""
        found = torch.empty_like(x)
        for row in range(x.shape[0]):
            for channel in range(x.shape[1]):
                one = slice(row, row + 1), slice(channel, channel + 1)
                part = Tangent(self.inner, self.within[one], self.outside[one])
                found[one] = part.improved(x[one], d[one], miss[one], r)
        return found


@dataclass(frozen=True)
class InLight(EvenlyMeasured):
    """A blur or a reduction between two response curves; shapes and borders as those of `inner`.

    inner: what happens to light.
    """

    inner: AnyFilter
    response: Response = Response()

    def __call__(self, x: Tensor) -> Tensor:
        """The picture that was blurred or reduced."""
        return self._value(self.inner(self._light(x)))

    @property
    def kernel(self) -> Tensor | None:
        """(kh, kw), or None. Where it lets nothing through, y holds noise and little else.

        3 crops of 208x208, noise of 1 and 5 of 255, motion:9,30, disk:3 and gaussian:2: found
        there are 1.0 to 1.1 and 4.9 to 5.3, as behind a blur of values. Of 4 with strong contrast,
        noise 1.06, two have 1.06 and two 1.4.
        """
        return None if isinstance(self.inner, Downsample) else self.inner.kernel

    def start(self, y: Tensor) -> Tensor:
        """As that in values."""
        return self.inner.start(y)

    def tangent(self, x: Tensor) -> Tangent:
        """What A is near x."""
        value, inner = self(x), self.inner
        sides = inner.sides(value) if isinstance(inner, Downsample) else None
        return Tangent(sides or inner, self._slope(x), 1 / self._slope(value))

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x |A(x) - y|^2 + r |x - d|^2."""
        return bent_data_step(self, d, y, r)

    def _light(self, x: Tensor) -> Tensor:
        return self.response.decode((x + 1) / 2)

    def _value(self, light: Tensor) -> Tensor:
        return 2 * self.response.encode(light) - 1

    def _slope(self, x: Tensor) -> Tensor:
        """Of light by value, both in [-1, 1] units."""
        return self.response.slope((x + 1) / 2).clamp(min=FLATTEST)


def behind(response: Response, inner: AnyFilter) -> AnyFilter | InLight:
    """The operator as it acts on the light behind a response; on values if that is linear."""
    return inner if response == VALUES else InLight(inner, response)
