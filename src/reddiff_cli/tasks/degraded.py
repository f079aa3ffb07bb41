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
from dataclasses import dataclass
from typing import Self

from ..estimation.flat_tiles import has_tiles
from ..estimation.nulls import noise_in_nulls
from ..estimation.rounding import noise_beside, rounding_noise
from ..noise import FLOOR, FLOOR_SMOOTHED
from ..operators import keeps_noise
from ..verdicts import Grounds
from .listening import QUIET, ListeningPicture
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


@dataclass
class DegradedPicture(ListeningPicture):
    """One picture, its measurement y and operator: as of `WholePicture`.

    Noise that nobody told, and that seems to be wider than a pixel, is looked for in the nulls of
    the kernel. Else tiles of y tell white noise, where nothing is blurred, and other noise is
    heard; but not in lossy files: they are flat where it is measured (unless a kernel is looked
    for as well, and then for that alone).

    origin: of y, if that comes from a file.    found: noise as it was measured, in [0, 1] units,
    where it is wider than a pixel and was taken for more.
    """

    origin: Origin | None = None
    found: float | None = None

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
        if not self._told and not (self._doubts() and self._looks_in_nulls()):
            yield from self._listened()
        yield from self.decoding_stages()
        yield from super().stages()

    def _listened(self) -> Iterator[Stage]:
        """Those that tell the noise, where that may help."""
        if not self._listens():
            return
        if not self._blurred:
            yield from self.probing()
            if self._takes_as_white():
                return
        loud = self.noise >= QUIET / 255 and has_tiles(self.y.shape[2], self.y.shape[3])
        if loud and self._doubts():
            if self.clean is None:
                yield from self.listening()
            self._settle()

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
