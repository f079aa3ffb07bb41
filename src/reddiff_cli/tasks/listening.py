"""Hearing the noise of a picture.

If it is white, the network tells how much of it there is from some tiles (`likeliest_noise`). Else
one look at the picture with so much more noise that all of its own goes: what is left of it then
tells the noise (`measure_noise`).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..estimation.clipping import is_recorded
from ..estimation.coloured_noise import FLAT, ColouredNoise, measure_noise
from ..estimation.noise import FLOOR, is_grey, wavelet_sigma
from ..estimation.tile_noise import TileNoise, tiles_of
from ..operators import Identity
from ..pictures.files import Picture
from ..solvers.consistency import MOST
from .compressed import CompressedPicture
from .problem import Probe, Stage
from .transparent import Unseen

# Noise that is added before the noise is measured: times what it is in the finest details, and
# times what the prior would be told of it at least. All noise goes then, and not all texture. 4
# training crops of 192x192, a mosaic's noise of 2 / 5 / 10 of 255: 4 times 42.80 / 39.42 / 36.08
# dB, 5 times 42.26 / 39.24 / 36.25, 6 times 41.87 / 38.95 / 36.19.
OVER_FINE, OVER = 4.0, 1.0
# If more than so much of what was added is heard, it was too little, as where files and phones
# have smoothed the finest details: only a part of the noise went. So as many more times. 11 crops
# of 320x320, noise of photons in a mosaic, 6 as they are developed and 5 sharpened, JPEG of
# quality 85: 31.2 dB heard once, 32.2 dB so (-1.3 to +4.4; fur and stone lose).
HEARD, AGAIN = 0.4, 3
# Where nothing is heard though it is certainly wide, so many times as much, once: nothing was flat
# as its own noise stayed. Of 66 crops of 240x240, photons in a mosaic, 150 and 400 at white, that
# is so in two, of which one gains 3.0 dB.
UNHEARD = 2.0
# Seed of the noise that is added, on top of the user's: experiments draw theirs from that itself.
SEED = 1_000_003
# Less noise than this, of 255, is left to the estimate of it, as listening takes some texture
# along: 6 clean validation crops of 384x384 come back with 62.4 dB so, and else with 47.8. With a
# camera's noise of 2 they are estimated to have 1.6 to 11.4.
QUIET = 1.5
# A network of colours that sees a grey picture tells less noise than there is: 4.5 to 5 of 5 of
# 255, 8.3 to 9.9 of 10, 17 to 23 of 25; and much of what is above LOUD is clipped: 39 to 43 of 50,
# which the finest details have as 43 to 47. There it is believed about what is no noise at all, if
# it tells less than so many times what is in the finest details.
DOUBTED, LOUD = 0.6, 20.0
# The mean of the channels has more noise than so many times what each has by itself, more than so
# many times what is in the finest details, and more than QUIET, if they share it. The crops of
# estimation/tile_noise.py with grain of 3 of 255 have 10 times, 0.9 to 1.0 times, and 2.8 to 3.0;
# of the textures alone fur has 4 times, but 0.4 times.
SHARED, GRAIN = 1.7, 0.7
# Where more than a little is clipped, as in the dark, grain is not what the network knows: one of
# 29 crops of 256x256 with grain of 6 of 255, quality 90, has 8 to 14 % of its tiles clipped, and
# was taken for texture (41.5 and 33.7 dB). Grey tiles of cells and stars on a dark ground, 2 to
# 13 % of them clipped, tell 0.5 to 1.4 of 5 and 10 of 255.
CLEAR = 0.98


class Sound:
    """What there is to be heard of one measurement, `source`: (1, C, H, W) in [-1, 1].

    unseen: what of it is filled, and has no noise.
    """

    def __init__(self, source: Tensor, unseen: Unseen | None = None) -> None:
        self.source, self._unseen = source, unseen

    @cached_property
    def y(self) -> Tensor:
        """The measurement; one channel of a grey picture, whose noise is the same in all."""
        y = self.source if self._unseen is None else self._unseen.blackened(self.source)
        return y[:, :1] if is_grey(y) else y

    @cached_property
    def tiles(self) -> Tensor | None:
        """Some of y, of which the network tells the noise, as of `tiles_of`."""
        return tiles_of(self.y)

    @cached_property
    def fine(self) -> float:
        """Noise in the finest details of y, in [-1, 1] units; that of rounding at least."""
        return max(wavelet_sigma(self.y) or 0.0, 2 * FLOOR / 255)


@dataclass
class ListeningPicture(CompressedPicture):
    """A picture whose noise may be heard, in a stage of its own before the others.

    lossy: y comes from a file that has smoothed its noise.    floor: no noise is taken for less,
    in [0, 1] units.    clean: what the network left of the picture when it was heard.    heard:
    what it took away, None where that could not be told.    tile_noise: what it told of some
    tiles.    clear: little of these is clipped.    shared_noise: what it told of the mean of their
    channels, in case.
    """

    lossy: bool = False
    floor: float = FLOOR / 255
    clean: Tensor | None = None
    heard: ColouredNoise | None = None
    tile_noise: TileNoise | None = None
    clear: bool = True
    shared_noise: TileNoise | None = None
    _sound: Sound | None = None

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Keep the result, or what the noise is told from."""
        if stage.probe is Probe.TILES:
            self.tile_noise = _told_of(stage, mu).with_photons(stage.y)
        elif stage.probe is Probe.MEANS:
            self.shared_noise = _told_of(stage, mu)
        elif stage.shared and not self._decodes:
            self._hear(mu)
        else:
            super().accept(stage, mu)

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The result if the stage ended at mu."""
        if stage.probe is not None:
            return self.before
        if stage.shared and not self._decodes:
            return self._shown(self.operator.start(mu))
        return super().preview(stage, mu)

    def probing(self) -> Iterator[Stage]:
        """Some tiles of y, if there are any, whose noise is looked for as if it were white."""
        if self.noise <= FLOOR / 255:
            return
        tiles = self.sound.tiles
        if tiles is None:
            return
        self.clear = is_clear(tiles)
        yield self._probe(Probe.TILES, tiles)
        found = self.tile_noise
        if found is not None and tiles.shape[1] > 1 and not found.explains(self.sound.fine):
            yield self._probe(Probe.MEANS, tiles.mean(1, keepdim=True))

    def _probe(self, probe: Probe, tiles: Tensor) -> Stage:
        return Stage(
            view=self.setting.view(),
            operator=Identity(),
            y=tiles,
            start=tiles,
            s_start=self.sound.fine,
            sigma_y=self.sound.fine,
            shared=MOST + 1,
            probe=probe,
        )

    def _takes_as_white(self) -> TileNoise | None:
        """Take the noise for what the tiles have, if it is white: that; else None."""
        found = self.tile_noise
        if found is None or not found.is_white(self.sound.fine) or self._is_shared():
            return None
        grey = self.sound.y.shape[1] == 1
        loud = self.sound.fine > 2 * LOUD / 255 and not found.photons
        if (grey and not (self.white and self.clear)) or (
            (grey or loud) and found.total > DOUBTED * self.sound.fine
        ):
            return None
        self.noise, self.white = max(found.total / 2, self.floor), True
        return found

    def _is_shared(self) -> bool:
        """True if the tiles tell that the channels share their noise, as in a scan of film."""
        own, shared = self.tile_noise, self.shared_noise
        if own is None or shared is None:
            return False
        return shared.total > SHARED * own.total and self._is_grain(shared)

    def _is_grain(self, shared: TileNoise) -> bool:
        """True if the mean of the channels has most of what is in the finest details."""
        return shared.total > max(GRAIN * self.sound.fine, 2 * QUIET / 255)

    def listening(self, sigma: float = 0.0) -> Iterator[Stage]:
        """`drowned`, and again with more noise if its own counted for something."""
        stage, unheard = self.drowned(sigma), 0
        for _ in range(AGAIN):
            yield stage
            if self.heard is None:
                if not self._listens_again(unheard):
                    return
                unheard += 1
                stage = self.drowned(UNHEARD * stage.sigma_y)
                continue
            if self.heard.loudness < HEARD * stage.sigma_y:
                return
            stage = self.drowned(OVER_FINE * self.heard.loudness)
        yield stage

    def _listens_again(self, before: int) -> bool:
        """True if more noise may tell what so much has not; so often it was added before.

        Once, where the network has told that it is wide, and more than is in the finest details.
        """
        found = self.tile_noise
        return before == 0 and found is not None and found.is_surely_wide(self.sound.fine)

    def drowned(self, sigma: float = 0.0) -> Stage:
        """y with so much white noise on it that its own hardly counts.

        sigma: at least, in [-1, 1] units.
        """
        sigma = max(sigma, OVER_FINE * self.sound.fine, OVER * 2 * self.noise)
        y = self.sound.y
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

    def _hear(self, clean: Tensor) -> None:
        """Measure what the network took away from y.

        Of a lossy file, whose flat places have lost most of it, all is listened to.
        """
        flat = math.inf if self.lossy else FLAT
        self.clean, self.heard = clean, measure_noise(self.sound.y, clean, flat)

    def _sounds_white(self, found: ColouredNoise) -> bool:
        """True if it is white; a grey picture does not tell more than it did before."""
        if self.tile_noise is not None and self.tile_noise.is_wide():
            return False
        return found.is_white(self.sound.fine) if self.sound.y.shape[1] == 3 else self.white

    @property
    def sound(self) -> Sound:
        """What there is to be heard of y, which another y may have taken the place of."""
        if self._sound is None or self._sound.source is not self.y:
            self._sound = Sound(self.y, self.unseen)
        return self._sound


def _told_of(stage: Stage, mu: Tensor) -> TileNoise:
    """What a probe told of its tiles, as `likeliest_noise` has it."""
    return TileNoise(stage.y.mean((1, 2, 3)), mu[:, 0], mu[:, 1:4], mu[:, 4:])


def is_clear(tiles: Tensor) -> bool:
    """True if next to nothing of them is clipped."""
    return float(is_recorded(tiles).mean()) >= CLEAR
