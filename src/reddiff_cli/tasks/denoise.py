"""Denoising: the network looks at the picture as it is, with its noise made white first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..budget import looking, straight
from ..jobs import Job
from ..operators import Identity
from ..pictures import load_picture
from ..solvers.whitening import Whitening
from ..task_options import DenoiseOptions
from .hearing import QUIET, Listening
from .problem import Setting, Stage, to_tensor

# White noise counts as even if it is not so many times as strong in one brightness as in another.
UNEVEN = 1.3


@dataclass
class Denoising(Listening):
    """A picture with noise on it.

    Noise that was told, and is there and white as far as the picture tells: a few looks at it.
    Else one look at y with much more noise tells what its noise is (`measure_noise`), and the
    looks after it make that white. Where it cannot be measured, and for samples and a path of
    levels, `WholePicture` as it is.
    """

    def stages(self) -> Iterator[Stage]:
        """One that hears the noise, unless it is sure what it is, and one that takes it away."""
        if self._sure() or not straight(self.setting.solver):
            yield from super().stages()
            return
        yield self.hearing()
        whitening = self._whitening()
        stage = self._stage(self.operator, self.y, self.y)
        if whitening is not None:
            looks = looking(self.setting.card, self.setting.solver).evaluations
            stage = replace(stage, whitening=whitening, enough=looks * len(whitening.levels()))
        yield stage

    @property
    def told(self) -> float | None:
        """The noise that somebody told, in [0, 1] units."""
        return self.setting.told_noise("denoise")

    def _sure(self) -> bool:
        """True if nothing has to be heard: white noise that is told, or grey; next to nothing."""
        if self.told is None and self.noise < QUIET / 255:
            return True
        return self.white and (self.told is not None or self.y.shape[1] == 1)

    def _whitening(self) -> Whitening | None:
        """How the noise is made white; None if it is, or cannot be measured. Settles the noise."""
        found = self._measured()
        if found is None or self.clean is None:
            return None
        self.white = self._sounds_white(found)
        if self.white:
            found = found.as_white(self._fine, even=UNEVEN)
        a = found.strength_at(self.clean)
        sigma = float(a.square().mean().sqrt()) / 2
        self.noise = sigma if self.told is None else self.told
        if self.white and self.told is None and len(found.strength) == 1:
            return None
        return Whitening(self.y, found.power, a).scaled(self.noise / sigma)


def pose(job: Job, options: DenoiseOptions, setting: Setting) -> Denoising:
    """The picture as one with noise on it."""
    picture = load_picture(job.input)
    y = to_tensor(picture)
    noise = setting.noise("denoise", job.input, y)
    operator = Identity()
    white = setting.white(operator, job.input, y, noise)
    return Denoising("denoise", picture, operator, y, noise, setting, white=white)
