"""Deblurring with a kernel that nobody knows: one of a known family, told from the picture."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..errors import PictureError
from ..estimation.blind import SHARP, KernelEstimate, estimate_kernel
from ..estimation.welch import luminance_weights
from ..kernels.tensors import make_kernel
from ..light.response import VALUES
from ..operators import Blur
from ..options.kernelspec import KernelSpec
from ..options.tasks import DeblurOptions
from ..planning.jobs import Job
from .blurred_light import choose_response
from .deblur import asked, make_blur, remark_on
from .degraded import DegradedPicture
from .origin import find_origin
from .problem import Stage
from .setting import Setting
from .transparent import hearable


@dataclass
class BlindDeblurring(DegradedPicture):
    """A picture whose blur is told from its spectrum, once the noise in that has been heard.

    path: for messages.    kernel: None until it is found.    gaussian: one that may be right,
    too.    said: of the response.

    Noise of a camera is no white noise: its spectrum falls as if it had been blurred itself.
    """

    path: Path = field(kw_only=True)
    options: DeblurOptions = field(kw_only=True)
    kernel: KernelSpec | None = None
    gaussian: KernelSpec | None = None
    said: str = ""

    def stages(self) -> Iterator[Stage]:
        """One that hears the noise, and one that restores the picture with the kernel found."""
        if self.noise > 0:
            yield self.drowned()
        found = self.estimate()
        self.kernel, self.gaussian = self.believe(found), found.gaussian
        made, boundary = make_kernel(self.kernel), self.options.boundary
        response = VALUES
        if self.origin is not None:
            told = asked(self.options, self.setting)
            about = (told, self.kernel, made, self.y, self.origin)
            response = choose_response(*about, linear=self.source.linear)
        self.said = remark_on(response, self.options)
        self.operator, canvas = make_blur(self.path, made, boundary, self.y, response)
        if canvas is not None:
            self.crop = canvas.crop
        yield from super().stages()

    def estimate(self) -> KernelEstimate:
        """What the picture tells of its blur; PictureError if its noise hides too much of it."""
        noise = self._spectrum_of_noise()
        return estimate_kernel(self.y, noise, self._table)

    def believe(self, estimate: KernelEstimate) -> KernelSpec:
        """The kernel that was estimated; PictureError if the evidence is flat."""
        if not estimate.alternatives:
            told = f"{self.path}: too little of it is left to tell what blurred it; give --kernel"
            raise PictureError(told, "Kernel")
        # Compression looks like a blur, and a wrong kernel does more harm than none.
        hidden = self.lossy and self._table is None and estimate.spec.family != "motion"
        if estimate.spec == SHARP and not hidden:
            found = "no Gaussian, disk or straight motion found in it"
            told = f"{self.path}: {found}; give --kernel if you know the blur"
            raise PictureError(told, "Kernel")
        if estimate.verdict != "sure" or hidden:
            why = "its compression hides it" if hidden else f"nearest: {estimate.spec}"
            raise PictureError(
                f"{self.path}: not sure what blurred it ({why}); give --kernel", "Kernel"
            )
        return estimate.spec

    @property
    def _table(self) -> Tensor | None:
        """(8, 8), the steps of a JPEG's luminance."""
        return None if self.origin is None else self.origin.table

    def remark(self) -> str:
        """The kernel, and one that may be tried as well."""
        also = "" if self.gaussian is None else f"; {self.gaussian} may be right as well"
        kernel = f"kernel {self.kernel} (estimated{also})"
        return "; ".join(filter(None, (self.was, kernel, self.said)))

    def _spectrum_of_noise(self) -> float | Tensor:
        """As `estimate_kernel` wants it; PictureError if it is not white and cannot be told."""
        if self.clean is None:
            return 2 * self.noise
        found = self.heard
        if found is None and not self.white:
            raise PictureError(
                f"{self.path}: not sure what blurred it, as too little of it is flat to tell its "
                "noise; give --kernel",
                "Kernel",
            )
        if found is None or self._sounds_white(found):
            return 2 * self.noise
        return found.of_mean(luminance_weights(self.sound.y.shape[1]))


def pose(job: Job, options: DeblurOptions, setting: Setting) -> BlindDeblurring:
    """The picture as a measurement of a sharp one, by a kernel that is found on the way."""
    picture, setting = setting.seeing(job.input, setting.load(job.input))
    y, unseen = hearable(picture)
    origin = find_origin("deblur", job.input, picture, y, setting, blurred=True)
    noise = origin.noise.sigma
    nothing = Blur(torch.ones(1, 1))
    white = setting.white(nothing, y, noise, smoothed=origin.lossy)
    about = ("deblur", picture, nothing, y, noise, setting)
    problem = BlindDeblurring(*about, white=white, path=job.input, options=options)
    return problem.read_from(origin).hiding(unseen)
