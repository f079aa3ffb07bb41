"""Denoising: the network looks at the picture as it is, with its noise made white first."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from ..budget import looking, straight
from ..estimation.by_light import noise_by_light
from ..estimation.coloured_noise import ColouredNoise
from ..estimation.noise import FLOOR, RISE, estimate_noise, is_grey, is_white, wavelet_sigma
from ..estimation.stationary import white_power
from ..estimation.tile_noise import TileNoise
from ..estimation.tone import Tone, find_tone, is_grain, tone_of
from ..operators import Identity
from ..options.tasks import DenoiseOptions
from ..pictures.files import Picture
from ..planning.jobs import Job
from ..solvers.whitening import Whitening
from .compressed import find_decoding
from .confirmed import ConfirmedPicture
from .encoding import Encoding
from .listening import OVER_FINE, QUIET
from .problem import Stage
from .setting import Setting
from .transparent import hearable

# The errors of an encoder take so many times the evaluations of the noise, and no more than MOST.
# 6 validation crops of 384x384, a mosaic's noise of 4 of 255, JPEG of quality 85: 32.62 dB as it
# is decoded, and after 2 / 4 / 8 / 20 evaluations 33.20 / 33.51 / 33.63 / 33.78.
PER_LOOK, MOST = 2, 20
# More noise than so many of 255 in the finest details of flat places, in colour and in grey,
# outlasts the encoder, whose intervals would keep it. 10 crops of 320x320 as they are decoded, and
# with the encoder's errors taken out: a mosaic's noise of 4, quality 85 32.40 / 32.87 dB, of 8,
# quality 92 32.54 / 32.36 (4.2 to 6.2 in the finest details, where the others have 0.1 to 2, but
# for two crops that are texture all over); white noise of 5, quality 90 36.33 / 36.96, in grey,
# quality 85 (1.5 to 5.1) 36.94 / 35.85; no noise, quality 85 36.19 / 37.29, in grey 39.81 / 40.76.
LOUD = {3: 3.0, 1: 1.5}
# The least noise of files of 16 bits and of light, of 255: that of rounding to 16 bits, nearly.
LEAST = 0.002
# Evaluations that noise which is not white takes on top of those of white noise. Four crops of
# 192x192, photons and even noise in a mosaic: four more change -0.05 to +0.04 dB; of noise of
# known spectrum, two fewer lose 0.1 to 0.3 where noise is not strong.
DESCENT = 4
# Of JPEGs whose median step in luminance is coarser the noise that is left is not stationary, and
# its directions are not trusted. Six crops of 224x224, photons in a mosaic, 400 and 1500 at white,
# and even noise of 4 of 255 in it, all made white at once, and direction by direction, in six
# evaluations: quality 92 (9) 28.4 / 31.4 / 32.6 and 29.4 / 32.8 / 32.5 dB, 80 (22) 28.3 / 30.0 /
# 31.9 and 27.9 / 30.0 / 31.7; five of 208x208, 90 (11) 27.8 / 29.8 / 32.0 and 28.0 / 29.9 / 31.7.
TRUSTED = 10.0
# White noise counts as even if it is not so many times as strong in one brightness as in another.
UNEVEN = 1.3
# Noise of one channel that is heard to follow the brightness, no louder than the first, of 255, is
# even if no tile tells more than so many times the least of it. 166 crops of 192x192 with even
# noise of 5: eight are heard so, and their tiles tell 0.77 to 1.13 times that; with noise of
# photons of 4 to 10, 29 of 36 tell more. What is heard to differ more than CERTAIN is believed: of
# the eight seven differ by less (one of the others would lose 4.3 dB).
LOUDEST, RISEN, CERTAIN = 10.0, 1.1, 2.5

# A toned picture is restored in one channel if that has more than so many times the noise that
# each channel has of its own, and shares less than so many times of it in the finest details
# (grain of a Gaussian of 0.9 pixels 0.15 times). Eight crops of 384x384 in sepia, such grain of 7
# and a scanner's noise of 1, come back with 33.8 dB as PNG, six of them being heard, and 34.3 as
# JPEG of quality 90 (in colours 31.7 and 32.3); without grain nothing changes.
MORE, NARROW = 1.6, 0.2


@dataclass
class Denoising(ConfirmedPicture):
    """A picture with noise on it.

    Noise that was told, and is there and white as far as the picture tells: a few looks at it. The
    same for noise that tiles of y tell to be white, made even if they tell that it is not. Else,
    or in doubt, one look at y with much more noise tells what its noise is (`measure_noise`), and
    every direction of it is taken away at its own level, while samples, a path of levels and other
    methods take it as it is. Where it cannot be measured, `WholePicture` as it is.

    least: of a JPEG, what its noise was estimated to be as it is decoded.    tone: whose grey y
    is.
    """

    least: float = 0.0
    tone: Tone | None = None

    def stages(self) -> Iterator[Stage]:
        """One that hears the noise, unless it is sure what it is, and one that takes it away.

        Samples, a path of levels and other methods take what was heard `RISE` times.
        """
        looks = straight(self.setting.solver)
        if self.decoding is not None:
            yield from self.decoding_stages()
            self._estimate()
        elif self.told is None and not self.lossy:
            yield from self.probing()
            tiles = self._takes_as_white()
            if tiles is not None or self._quiet():
                yield from self.doubting(white=tiles is not None)
            if self.heard is not None:
                self.white, self.noise = False, self.heard.loudness / 2
            elif tiles is not None:
                yield self._whitened(None if self._quiet() else self._by_light(tiles))
                return
        self.white = self.white or self._quiet()
        uneven = None
        if self.heard is None and (looks or self.told is None):
            uneven = self._grey_by_light()
        if uneven is not None:
            yield self._whitened(uneven)
            return
        if self._sure() or (self.told is not None and not looks):
            yield self._whitened(None)
            return
        if self.heard is None:
            yield from self.listening(OVER_FINE * 2 * (self.told or 0.0))
        whitening = self._whitening()
        asks = self.told is None and whitening is not None and self._may_be_texture()
        if self.heard is not None and self.clean is not None and asks:
            yield from self.asking(self.heard)
            whitening = self._whitening_of(self.heard, self.clean)
        if self.told is None:
            self.noise = max(self.noise, self.floor)
        if whitening is not None and not (looks or self.white):
            self.noise *= RISE
        yield self._whitened(whitening)

    def _whitened(self, whitening: Whitening | None) -> Stage:
        """The stage that takes the noise away; looks take what is not white as it is."""
        stage = self._stage(self.operator, self.y, self.y)
        if whitening is None:
            return stage
        looks = looking(self.setting.card, self.setting.solver).evaluations
        whitening = replace(whitening, at_once=self.lossy and self.step > TRUSTED)
        many = whitening.has_directions
        enough = looks + DESCENT if many else looks * len(whitening.levels())
        return replace(stage, whitening=whitening, enough=enough)

    @property
    def told(self) -> float | None:
        """The noise that somebody told, in [0, 1] units."""
        return self.setting.told_noise("denoise")

    def _measurement(self, seen: Tensor) -> Tensor:
        """In one channel if y has one: noise of grey pictures is the same in all of them."""
        if self.tone is not None:
            self.tone = tone_of(seen)
        return seen if self.y.shape[1] == seen.shape[1] else seen.mean(1, keepdim=True)

    def _shown(self, x: Tensor) -> Picture:
        """In the picture's colours, if x has lost them."""
        return super()._shown(x if self.tone is None else self.tone.put_on(x))

    def _estimate(self) -> None:
        """The noise of y, once the encoder's errors are gone."""
        if self.told is None:
            self.least, self.noise = self.noise, estimate_noise(self.y).sigma
        self.white = self.noise == 0 or is_white(self.y, self.noise)

    def _quiet(self) -> bool:
        """True if there is next to no noise; whether it is white then makes no difference.

        Looked at as if it were: 8 crops of 224x224 without noise, with white noise of 1 of 255
        and with a mosaic's have 60 (or more), 49.6 and 34.7 dB by 4 looks, 60, 49.5 and 34.5
        through levels, in 50 evaluations.
        """
        return self.told is None and max(self.noise, self.least) < QUIET / 255

    def _take_what_tiles_tell(self) -> None:
        """Too much takes texture away: in small pictures, where nothing else is told."""
        if self.told is None and self.tile_noise is not None and not self._is_shared():
            self.noise = max(min(self.noise, self.tile_noise.total / 2), self.floor)

    def _by_light(self, tiles: TileNoise) -> Whitening | None:
        """White noise that follows the brightness as that of the tiles; None if it is even."""
        lights, strengths = tiles.by_light()
        if float(strengths.max() / strengths.min()) < UNEVEN:
            return None
        noise = ColouredNoise(white_power(self.y.shape[1]), lights, strengths)
        return Whitening(self.y, noise.power, noise.strength_at(self.y))

    def _grey_by_light(self) -> Whitening | None:
        """White noise of one channel that follows its brightness; None if it is none, or even.

        Settles the noise. The network tells too little of one channel to be asked
        how strong it is.
        """
        y, told = self.sound.y, self.told
        if y.shape[1] != 1 or self.lossy or self.noise == 0 or self._quiet():
            return None
        found = noise_by_light(y) if is_white(y, 0.0) else None
        if found is None or self._is_even(found):
            return None
        a = found.strength_at(self.y)
        sigma = float(a.square().mean().sqrt()) / 2
        self.white, self.noise = True, sigma if told is None else told
        return Whitening(self.y, found.power, a).scaled(self.noise / sigma)

    def _is_even(self, found: ColouredNoise) -> bool:
        """True if the tiles tell no more noise anywhere than there is in the least noisy places.

        What is above is texture then. Of strong noise one channel tells too little.
        """
        tiles = self.tile_noise
        certain = float(found.strength.max()) > CERTAIN * float(found.strength.min())
        if tiles is None or certain or found.loudness > 2 * LOUDEST / 255:
            return False
        return float(tiles.sigma.max()) < RISEN * float(found.strength.min())

    def _sure(self) -> bool:
        """True if nothing has to be heard: next to no noise, and white that is told, or grey."""
        return self._quiet() or (self.white and (self.told is not None or self.y.shape[1] == 1))

    def _whitening(self) -> Whitening | None:
        """How the noise that was heard is made white; None if it is, or nothing was.

        Settles the noise.
        """
        found, clean = self.heard, self.clean
        if found is None or clean is None:
            self._take_what_tiles_tell()
            return None
        self.white = self._sounds_white(found)
        if self.white:
            found = found.as_white(self.sound.fine, even=UNEVEN)
        return self._whitening_of(found, clean)

    def _whitening_of(self, found: ColouredNoise, clean: Tensor) -> Whitening | None:
        a = found.strength_at(clean)
        sigma = float(a.square().mean().sqrt()) / 2
        self.noise = sigma if self.told is None else self.told
        if self.white and self.told is None and len(found.strength) == 1:
            return None
        return Whitening(self.y, found.power, a).scaled(self.noise / sigma)


def pose(job: Job, options: DenoiseOptions, setting: Setting) -> Denoising:
    """The picture as one with noise on it."""
    picture, setting = setting.seeing(job.input, setting.load(job.input))
    evaluations = min(MOST, PER_LOOK * looking(setting.card, setting.solver).evaluations)
    encoding = Encoding.of(job.input, picture, setting)
    decoding = find_decoding(encoding, picture, setting, evaluations)
    y, unseen = hearable(picture)
    lossy = encoding.lossy
    noise = setting.told_noise("denoise")
    tone = _find_grainy_tone(y, noise, smoothed=lossy)
    y = y if tone is None else tone.grey
    operator = Identity()
    if decoding is not None:
        fine = max(noise or 0.0, (wavelet_sigma(y) or 0.0) / 2)
        channels = 1 if is_grey(y) else y.shape[1]
        decoding = decoding if fine < LOUD[channels] / 255 else None
    coarse = picture.depth == 8 or lossy
    floor = FLOOR / 255 if coarse else LEAST / 255 / picture.unit
    if noise is None:
        seen, coefficients = (y, None, lossy), decoding is not None
        estimate = setting.estimate(job.input, *seen, by_coefficients=coefficients)
        measured = floor < FLOOR / 255 and estimate.found > 0
        noise = max(estimate.found, floor) if measured else estimate.sigma
    white = setting.white(operator, y, noise, smoothed=lossy)
    about = ("denoise", picture, operator, y, noise, setting)
    step = _median_step(encoding) if lossy else 0.0
    problem = Denoising(*about, white=white, lossy=lossy, floor=floor, step=step)
    problem.decoding, problem.tone, problem.was = decoding, tone, encoding.remark
    return problem.hiding(unseen)


def _find_grainy_tone(y: Tensor, told: float | None, *, smoothed: bool) -> Tone | None:
    """The tone of y, if its channels share noise that is wider than a pixel.

    Colours tell their own, and narrow grain, better.
    """
    tone = find_tone(y)
    if tone is None:
        return None
    noise = estimate_noise(tone.grey, smoothed=smoothed).sigma if told is None else told
    if told is None and is_white(tone.grey, noise, smoothed=smoothed):
        return None
    if told is None and not smoothed and not is_grain(tone.grey):
        return None
    grainy = 2 * noise > MORE * tone.own_noise
    return tone if grainy and tone.shared_noise < NARROW * 2 * noise else None


def _median_step(encoding: Encoding) -> float:
    """Of a JPEG's luminance, of 255; infinite for other files."""
    table = encoding.table
    return math.inf if table is None else float(np.median(table))
