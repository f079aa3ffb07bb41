"""Denoising: the network looks at the picture as it is, with its noise made white first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from ..budget import looking, straight
from ..coloured_noise import measure_noise
from ..jobs import Job
from ..noise import FLOOR, wavelet_sigma
from ..operators import Identity
from ..pictures import Picture, load_picture
from ..solvers.whitening import Whitening
from ..task_options import DenoiseOptions
from .problem import Setting, Stage, to_tensor
from .whole import WholePicture

# Noise that is added before the noise is measured: times what it is in the finest details, and
# times what the prior would be told of it at least. All noise goes then, and not all texture. 4
# training crops of 192x192, a mosaic's noise of 2 / 5 / 10 of 255: 4 times 42.80 / 39.42 / 36.08
# dB, 5 times 42.26 / 39.24 / 36.25, 6 times 41.87 / 38.95 / 36.19.
OVER_FINE, OVER = 4.0, 1.0
# White noise counts as even if it is not so many times as strong in one brightness as in another.
UNEVEN = 1.3
# Less noise than this, of 255, is left to the estimate of it, as listening takes some texture
# along: 6 clean validation crops of 384x384 come back with 62.4 dB so, and else with 47.8. With a
# camera's noise of 2 they are estimated to have 1.6 to 11.4.
QUIET = 1.5
# Seed of the noise that is added, on top of the user's: experiments draw theirs from that itself.
SEED = 1_000_003


@dataclass
class Denoising(WholePicture):
    """A picture with noise on it.

    Noise that was told, and is there and white as far as the picture tells: a few looks at it.
    Else one look at y with much more noise tells what its noise is (`measure_noise`), and the
    looks after it make that white. Where it cannot be measured, and for samples and a path of
    levels, `WholePicture` as it is.
    """

    clean: Tensor | None = None

    def stages(self) -> Iterator[Stage]:
        """One that hears the noise, unless it is sure what it is, and one that takes it away."""
        if self._sure() or not straight(self.setting.solver):
            yield from super().stages()
            return
        yield self._louder()
        whitening = self._whitening()
        stage = self._stage(self.operator, self.y, self.y)
        if whitening is not None:
            looks = looking(self.setting.card, self.setting.solver).evaluations
            stage = replace(stage, whitening=whitening, enough=looks * len(whitening.levels()))
        yield stage

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Keep the result, or what the noise is told from."""
        if stage.shared:
            self.clean = mu
        else:
            super().accept(stage, mu)

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The result if the stage ended at mu."""
        if stage.shared:
            return self._shown(mu)
        return super().preview(stage, mu)

    @property
    def told(self) -> float | None:
        """The noise that somebody told, in [0, 1] units."""
        return self.setting.told_noise("denoise")

    @cached_property
    def fine(self) -> float:
        """Noise in the finest details, in [-1, 1] units; that of rounding at least."""
        return max(wavelet_sigma(self.y) or 0.0, 2 * FLOOR / 255)

    def _sure(self) -> bool:
        """True if nothing has to be heard: white noise that is told, or grey; next to nothing."""
        if self.told is None and self.noise < QUIET / 255:
            return True
        return self.white and (self.told is not None or self.y.shape[1] == 1)

    def _louder(self) -> Stage:
        """y with so much white noise on it that its own hardly counts."""
        sigma = max(OVER_FINE * self.fine, OVER * 2 * self.noise)
        generator = torch.Generator().manual_seed(self.setting.solver.seed + SEED)
        louder = self.y + sigma * torch.randn(self.y.shape, generator=generator)
        stage = self._stage(self.operator, louder, self.y)
        return replace(stage, sigma_y=sigma, white=True, shared=1)

    def _whitening(self) -> Whitening | None:
        """How the noise is made white; None if it is, or cannot be measured. Settles the noise."""
        if self.clean is None:
            raise ValueError("the stage has not been solved")
        found = measure_noise(self.y, self.clean)
        if found is None:
            return None
        if self.y.shape[1] == 3:
            self.white = found.is_white(self.fine)
        if self.white:
            found = found.as_white(self.fine, even=UNEVEN)
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
