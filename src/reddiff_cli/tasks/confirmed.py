"""Asking the network how much of what was heard as noise is noise, and not texture."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from ..estimation.coloured_noise import ColouredNoise
from ..estimation.uniform_grain import uniform_grain
from ..solvers.confirmation import CLOSER, FIRST, shares_of
from ..solvers.whitening import Whitening
from .listening import OVER_FINE, QUIET, ListeningPicture, is_clear
from .problem import Probe, Stage

# More noise than so many of 255 takes much texture along if it is none, and the network is asked.
# Below so many times the median step of a JPEG's luminance no grain is left in the finest details
# for it to know. 12 crops of 256x256, half of them texture all over: with grain of 8 of 255 that
# channels share, quality 80, they are heard to have 0.23 to 0.43 times the step (three have more),
# and seven would lose 0.3 to 3.4 dB; with grain of 6, quality 90, 0.55 times and more, and none
# loses; as JPEG of quality 85 and 93 without noise the textures gain 0.5 to 13 dB.
TEXTURE, COARSE = 3.0, 0.45
# Noise that the tiles tell to be white is listened to as well if it leaves so many times as much
# in middle frequencies as in high ones. 37 training crops of 256x256: white noise of 4 to 16 of
# 255 leaves up to 1.16 times, of 2 in three crops more than 1.2; of photons in a mosaic, developed
# with the colours of a camera, 34 of 40 that pass for white leave more. On 12 crops of 192x192
# what is heard has 1.2 to 4.2 times as much in low frequencies as in high ones if it is white,
# else 19 times and more.
DOUBT = 1.2
# Where nothing is heard in a file that keeps its noise, more is added so many times, as what is
# heard then is asked about. photons.py --colour --mosaic --matrix --limit 8 --size 224, 300, 1000
# and 4000 at white, dB beside the scene: 26.95, 29.99 and 30.75 before, 27.60, 30.71 and 30.75 so.
TIMES = 2
# But not with fewer tiles to ask, as in small pictures: in two of 128x128 with white noise of 1 of
# 255 texture passed for noise of 7 and 11 (35.5 and 30.1 dB, and 47.8 and 46.2 so).
FEWEST = 4
# Grain is explained by white noise, unless it is so many times as strong.
UNEXPLAINED = 1.5


@dataclass
class ConfirmedPicture(ListeningPicture):
    """A picture whose noise is heard, and of which the network tells what of that is noise.

    step: of a JPEG, median of its steps in luminance, of 255; infinite where they are not known.
    confirmed: how many times as strong the noise is as it was heard, in the mean of the channels
    and in what differs from it.    asked: if the network was asked.    raised: if more noise was
    added, as nothing was heard.    grainy: if there is grain that nothing else explains.
    """

    step: float = 0.0
    confirmed: tuple[float, float] = (1.0, 1.0)
    asked: bool = False
    raised: bool = False
    grainy: bool = False

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Keep the result, or what the noise is told from."""
        if stage.probe is Probe.SHARE:
            self.confirmed = (float(mu), float(mu))
        elif stage.probe is Probe.STRENGTH:
            mean, apart = mu[0].tolist()
            self.confirmed = (mean, apart)
        else:
            super().accept(stage, mu)

    def doubting(self, *, white: bool) -> Iterator[Stage]:
        """What hears noise that passes for white, or for next to none, where that is in doubt.

        Nothing is heard if it is white, or less than is explained.
        """
        explained = 0.0 if self.tile_noise is None else self.tile_noise.total
        grain = uniform_grain(self.sound.y) or 0.0
        self.grainy = grain > UNEXPLAINED * explained
        if not (self.grainy or (white and self._is_doubtful())):
            return
        yield from self.listening(OVER_FINE * grain if self.grainy else 0.0)
        if self.heard is not None and self._is_heard_wide(self.heard):
            yield from self.asking(self.heard)
        heard = self.heard
        if heard is not None and not (
            self._is_heard_wide(heard) and heard.loudness > max(explained, 2 * QUIET / 255)
        ):
            self.heard = None

    def _is_doubtful(self) -> bool:
        """True if white noise leaves too much in middle frequencies; one channel tells nothing."""
        found = self.tile_noise
        if found is None or self.sound.y.shape[1] == 1:
            return False
        _, middle, high = found.excess
        return middle > DOUBT * high

    def _is_heard_wide(self, heard: ColouredNoise) -> bool:
        """True if it is wider than a pixel, as grain is, of which one channel tells no more."""
        return self.sound.y.shape[1] == 1 or not heard.is_white(self.sound.fine)

    def _listens_again(self, before: int) -> bool:
        """True if more noise may tell what so much has not; so often it was added before."""
        tiles = None if self.lossy else self._telling()
        if tiles is None or len(tiles) < FEWEST:
            return super()._listens_again(before)
        if before == TIMES:
            return False
        self.raised = True
        return True

    def _may_be_texture(self) -> bool:
        """True if the network is to tell whether what was heard is noise."""
        if self.white or self.asked:
            return False
        least = max(TEXTURE, COARSE * self.step) if self.lossy else QUIET
        return 255 * self.noise > least

    def asking(self, heard: ColouredNoise) -> Iterator[Stage]:
        """Some tiles of y, if there are any, of which the network tells how much of this is noise.

        `heard` is as strong as that afterwards. Grain that the channels share is noise, though
        their differences have none of it, unless only more noise has made it heard, as it makes
        texture heard; other noise is shared no more than it differs.
        """
        tiles = self._telling()
        if tiles is None:
            return
        self.asked = True
        whitening = Whitening(tiles, heard.power, heard.strength_at(tiles))
        probe, first = (Probe.SHARE, FIRST) if self.lossy else (Probe.STRENGTH, CLOSER)
        looks = 2 * len(shares_of(whitening, first))
        yield replace(self._probe(probe, tiles), whitening=whitening, shared=looks)
        mean, apart = self.confirmed
        if apart <= FIRST and self.shared_noise is None and not self.raised:
            yield self._probe(Probe.MEANS, tiles.mean(1, keepdim=True))
        grain = self.shared_noise is not None and self._is_grain(self.shared_noise)
        if grain and not self.raised:
            self.confirmed = (1.0, 1.0)
        else:
            self.confirmed = (1.0 if self.grainy else min(mean, apart), apart)
        self.heard = heard.scaled(*self.confirmed)

    def _telling(self) -> Tensor | None:
        """Tiles that tell it; None of one channel, and of lossy files if much is clipped."""
        tiles = self.sound.tiles
        if tiles is None or tiles.shape[1] == 1:
            return None
        return None if self.lossy and not is_clear(tiles) else tiles
