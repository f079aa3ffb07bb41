"""Hearing the noise of a picture: one look at it with so much more noise that all of its own goes.

What the network leaves of it then tells the noise (`measure_noise`).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..estimation.coloured_noise import ColouredNoise, measure_noise
from ..noise import FLOOR, is_grey, wavelet_sigma
from ..operators import Identity
from ..pictures import Picture
from .decoded import DecodedPicture
from .problem import Stage

# Noise that is added before the noise is measured: times what it is in the finest details, and
# times what the prior would be told of it at least. All noise goes then, and not all texture. 4
# training crops of 192x192, a mosaic's noise of 2 / 5 / 10 of 255: 4 times 42.80 / 39.42 / 36.08
# dB, 5 times 42.26 / 39.24 / 36.25, 6 times 41.87 / 38.95 / 36.19.
OVER_FINE, OVER = 4.0, 1.0
# Seed of the noise that is added, on top of the user's: experiments draw theirs from that itself.
SEED = 1_000_003
# Less noise than this, of 255, is left to the estimate of it, as listening takes some texture
# along: 6 clean validation crops of 384x384 come back with 62.4 dB so, and else with 47.8. With a
# camera's noise of 2 they are estimated to have 1.6 to 11.4.
QUIET = 1.5


@dataclass
class Listening(DecodedPicture):
    """A picture whose noise may be heard, in a stage of its own before the others.

    clean: what the network left of the picture then.
    """

    clean: Tensor | None = None

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Keep the result, or what the noise is told from."""
        if stage.shared and not self._decodes:
            self.clean = mu
        else:
            super().accept(stage, mu)

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The result if the stage ended at mu."""
        if stage.shared and not self._decodes:
            return self._shown(mu)
        return super().preview(stage, mu)

    def hearing(self) -> Stage:
        """y with so much white noise on it that its own hardly counts."""
        y = self._heard
        sigma = max(OVER_FINE * self._fine, OVER * 2 * self.noise)
        generator = torch.Generator().manual_seed(self.setting.solver.seed + SEED)
        return Stage(
            view=self.setting.view(),
            operator=Identity(),
            y=y + sigma * torch.randn(y.shape, generator=generator),
            start=y,
            s_start=sigma,
            sigma_y=sigma,
            shared=1,
        )

    def _measured(self) -> ColouredNoise | None:
        """What was heard, or None where it could not be told."""
        return None if self.clean is None else measure_noise(self._heard, self.clean)

    def _sounds_white(self, found: ColouredNoise) -> bool:
        """True if it is white; a grey picture does not tell more than it did before."""
        return found.is_white(self._fine) if self._heard.shape[1] == 3 else self.white

    @cached_property
    def _heard(self) -> Tensor:
        """y; one channel of a grey picture, whose noise is the same in all of them."""
        return self.y[:, :1] if is_grey(self.y) else self.y

    @cached_property
    def _fine(self) -> float:
        """Noise in the finest details of y, in [-1, 1] units; that of rounding at least."""
        return max(wavelet_sigma(self._heard) or 0.0, 2 * FLOOR / 255)
