"""Pictures behind a blur or a reduction, whose noise is not what an estimate takes for it.

Texture that a blur has left wide passes for noise that is wider than a pixel. Where the blur lets
nothing through, there is noise alone (estimation/nulls.py); and the network sees what is texture.

14 training crops of 240x240, 20 evaluations, dB, with noise as estimated, as it is taken here, and
(white noise) as it is; without noise, with white noise of 2 of 255, and with that of a simulated
mosaic:
    motion:9,30   0   33.20  37.98  38.20    2   30.70  32.66  32.62    mosaic, 2   28.47  29.41
    gaussian:1    0   34.76  37.44  38.63                               mosaic, 2   29.68  30.55
    disk:3        mosaic, 2   28.91  29.38      motion:15,30  mosaic, 5   26.16  26.63
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self, cast

from ..estimation.coloured_noise import ColouredNoise
from ..estimation.flat_tiles import has_tiles
from ..estimation.noise import FLOOR, FLOOR_SMOOTHED
from ..estimation.nulls import noise_in_nulls
from ..estimation.rounding import noise_beside, rounding_noise
from ..estimation.stationary import of_mean
from ..estimation.verdicts import Grounds
from ..operators import Coloured, is_linear, keeps_noise, noise_of, passed_by
from ..operators.coloured import Measured, Noise
from .confirmed import ConfirmedPicture
from .listening import QUIET
from .origin import Origin
from .problem import Stage

# White noise is estimated as what is in the finest details; more than so many times that is in
# doubt.
MORE = 1.1
# Heard: the estimate stands if it is within these times what is heard. Noise of a mosaic of 2 / 5
# of 255, 12 validation crops and those above, where only hearing helped, dB:
#                     2   gaussian:1  motion:9,30   motion:9,30  gaussian:2   5   motion:15,30
#   as estimated             28.48       29.42         28.47       27.35            26.16
#   1.5 times what is heard  28.14       29.14
#   within 1.5 and 2         28.53       29.53         28.89       27.37            26.39
#   within 1.5 and 2.5       28.49       29.48
# Colours that were filled in wrongly at edges are errors, too, which is why more may be right.
LOW, HIGH = 1.5, 2.0
# Noise found where a blur lets nothing through is taken so many times, if it is not white (told 1,
# 1.5 and 2 times what it is, gaussian:1 with a mosaic's noise of 2 has 30.9, 32.9 and 33.4 dB);
# but no more than so many times the estimate: a wrong kernel leaves more there.
RISE_BEHIND, MOST = 1.6, 2.0
# In lossy files whose coefficients are not read it is taken so many times, and no less than the
# floor: 12 validation photographs, as decoders show them, motion:9,30 at quality 75 and 92 30.52
# and 32.44 dB (30.12 and 32.20 by the rule of those that are), gaussian:2 29.48 and 30.57 (29.61
# and 30.68).
RISE_LOSSY = 2.0
# Behind a blur, where no fine texture is left to be spoilt, so many times the noise of the finest
# details is added to hear it. Four crops of 192x192 behind motion:9,30, photons in a mosaic, 1000
# at white, with 4 and 8 times as much: 27.7 and 29.5 dB.
OVER_BLURRED = 8.0
# Noise that is heard there with a spectrum of its own (operators/coloured.py) is taken so many
# times, if it is so many times what is in the finest details (white noise up to 1.33, of a mosaic
# 1.38 and more).
RISE_COLOURED, WIDE = 1.3, 1.35
# And if the mean of the channels has less than so many times the variance that white noise leaves
# in it: photons behind the colours of a camera have 1.4 to 1.6 times, even noise of a mosaic 2.0
# to 2.3 times, which gains nothing by its spectrum (four crops with 5 of 255, gaussian:1.5: as 1.5
# times white noise 30.93 dB, with the true spectrum the same, with the heard one 30.6).
SHARED_BEHIND = 1.8


@dataclass
class DegradedPicture(ConfirmedPicture):
    """One picture, its measurement y and operator: as of `WholePicture`.

    Noise that nobody told, and that seems to be wider than a pixel, is looked for in the nulls of
    the kernel, or heard. Where nothing is blurred tiles of y tell white noise, and other noise is
    heard as in `denoise`; but not in lossy files: they are flat where it is measured (unless a
    kernel is looked for as well, and then for that alone).

    origin: of y, if that comes from a file.    found: noise as it was measured, in [0, 1] units,
    where it is wider than a pixel and was taken for more.    spectrum: that of such noise, where
    it counts.
    """

    origin: Origin | None = None
    found: float | None = None
    spectrum: Noise | None = None

    def read_from(self, origin: Origin) -> Self:
        """The same, as one whose y comes from such a file."""
        self.origin, self.decoding, self.lossy = origin, origin.decoding, origin.lossy
        self.was = origin.was
        return self

    @property
    def grounds(self) -> Grounds:
        """A guess in a lossy file; more than was found, if that is wider than a pixel."""
        raised = max(1.0, self.noise / self.found) if self.found else 1.0
        return Grounds(self.lossy and not self._told, raised)

    @property
    def _told(self) -> bool:
        """True if somebody told the noise."""
        if self.origin is not None:
            return self.origin.told
        return self.setting.told_noise(self.task) is not None

    def stages(self) -> Iterator[Stage]:
        """One that hears the noise, if need be, and the one that restores the picture."""
        if not self._told:
            doubts = self._doubts()
            nulls = doubts and self._looks_in_nulls()
            enough = nulls and (self.white or not self._has_colours())
            if self._listens() and not self._blurred:
                yield from self._listened()
            elif self._listens() and doubts and not enough:
                yield from self._listened_behind_blur(settled=nulls)
        yield from self.decoding_stages()
        for stage in super().stages():
            yield self._coloured(stage)

    def _listened(self) -> Iterator[Stage]:
        """Those that tell the noise where nothing is blurred."""
        yield from self.probing()
        white = self._takes_as_white() is not None
        yield from self.doubting(white=white)
        if self.heard is not None:
            self.white, self.found = False, self.heard.loudness / 2
            self.noise = LOW * self.found
        elif not white and self._is_loud() and (self.tile_noise is not None or self._doubts()):
            if self.clean is None:
                yield from self.listening()
            if self.heard is not None and not self._sounds_white(self.heard):
                yield from self.asking(self.heard)
            self._settle()

    def _listened_behind_blur(self, *, settled: bool) -> Iterator[Stage]:
        """The one that hears noise behind a blur.

        settled: where the blur lets nothing through noise was found that is not white.
        """
        if not self._is_loud():
            return
        yield self.drowned(OVER_BLURRED * self.sound.fine)
        found = self.heard
        if found is None or self.clean is None:
            return
        if not self._has_colours() or self._sounds_white(found) or not self._is_coloured(found):
            if not settled:
                self._settle()
            return
        a = found.strength_at(self.clean)
        self.found = float(a.square().mean().sqrt()) / 2
        if is_linear(self.operator):
            self.noise, self.white = RISE_COLOURED * self.found, False
            self.spectrum = noise_of(found.power, a / (2 * self.found))
        elif settled:
            self.noise = max(self.noise, LOW * self.found)
        else:
            self._settle()

    def _has_colours(self) -> bool:
        """True if our solver sees three channels, and y has as many.

        The spectrum of their noise is used behind linear blurs. Behind blurs of light, by
        Gauss-Newton steps in its measure, that is no gain, even if it is known exactly, as what a
        mosaic makes of edges is no such noise: motion:9,30, 6 crops of 192x192, photons in a
        mosaic, 1000 at white, 27.7 dB with the true spectrum and 1.3 times the true strength, and
        27.8 with white noise of 1.5 times it. There it tells how strong the noise is, of which
        nulls tell too little (by them 27.5 dB, so 27.7; gaussian:1.5 27.3 and 27.6).
        """
        colours = self.sound.y.shape[1] == self.y.shape[1] == 3
        return colours and self.setting.solver.annealed

    def _is_coloured(self, found: ColouredNoise) -> bool:
        """True if it is wide, and differs from channel to channel."""
        wide = found.loudness > WIDE * self.sound.fine
        return wide and float(of_mean(found.power).mean()) < SHARED_BEHIND

    def _is_loud(self) -> bool:
        """True if there is enough noise, and enough of a picture, to be heard."""
        return self.noise >= QUIET / 255 and has_tiles(self.y.shape[2], self.y.shape[3])

    def _coloured(self, stage: Stage) -> Stage:
        """With the spectrum of the noise, if it is known."""
        if self.spectrum is None:
            return stage
        blur = cast(Measured, stage.operator)
        passed = passed_by(blur, self.spectrum.size, stage.y)
        operator = Coloured(blur, self.spectrum, passed)
        return replace(stage, operator=operator, white=True)

    @property
    def _blurred(self) -> bool:
        """True behind a blur, where tiles are not asked.

        It leaves no texture in the finest details that could pass for noise, and the network,
        which knows sharp pictures, tells too little. 6 validation crops of 192x192, white noise of
        1 of 255, 20 evaluations, dB with the noise told / as tiles tell it / as estimated:
        gaussian:1 39.5 / 37.2 / 38.8, disk:3 37.2 / 32.9 / 37.3, motion:9,30 38.0 / 36.7 / 38.1,
        gaussian:2 32.1 / 31.6 / 32.1; with noise of 5 of 255 they are alike. Behind blurs of light
        tiles tell 0.0028 to 0.0033 of 0.0042, and the finest details 0.0041 to 0.0043.
        """
        return getattr(self.operator, "kernel", None) is not None

    def _doubts(self) -> bool:
        """True where the noise is estimated to be more than it is in the finest details."""
        return 2 * self.noise > MORE * self.sound.fine

    def _looks_in_nulls(self) -> bool:
        """Take the noise for what is where the blur lets nothing through, if it is one."""
        kernel = getattr(self.operator, "kernel", None)
        found = None if kernel is None else noise_in_nulls(self.sound.y, kernel)
        if found is None:
            return False
        self.white = found.white and not self.lossy
        steps = None if self.origin is None or self.decoding is None else self.origin.table
        if self.origin is not None and steps is not None:
            estimated, in_nulls = 255 * self.origin.noise.found, 255 * found.sigma / 2
            beside = noise_beside(rounding_noise(steps), estimated, in_nulls, RISE_BEHIND)
            self.noise = beside / 255
            return True
        rise, floor = (RISE_LOSSY, FLOOR_SMOOTHED) if self.lossy else (RISE_BEHIND, FLOOR)
        sigma = found.sigma if self.white else rise * found.sigma
        self.found = None if self.white else found.sigma / 2
        self.noise = max(min(sigma / 2, MOST * self.noise), floor / 255)
        return True

    def _listens(self) -> bool:
        """True where hearing the noise may help."""
        return not self.lossy and self.noise > FLOOR / 255 and keeps_noise(self.operator)

    def _settle(self) -> None:
        """Take the noise for what was heard, or estimated, if that is within LOW to HIGH of it."""
        found = self.heard
        if found is None or self.clean is None:
            return
        self.white = self._sounds_white(found)
        if self.white:
            self.noise = self.sound.fine / 2
            return
        heard = float(found.strength_at(self.clean).square().mean().sqrt()) / 2
        self.found = heard
        self.noise = min(max(self.noise, LOW * heard), HIGH * heard)
