"""Pictures behind a blur or a reduction, whose noise is heard where an estimate may fail.

Texture that a blur has left wide passes for noise that is wider than a pixel. The network sees
that it is none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..flat_tiles import has_tiles
from ..operators import is_linear
from .hearing import QUIET, Listening
from .problem import Stage

# White noise is estimated as what is in the finest details; more than so many times that is heard.
MORE = 1.1
# The estimate stands if it is within these times what is heard. Noise of a simulated mosaic, of
# 255, 20 evaluations, 12 validation and 14 training crops of 240x240, dB:
#                     2   gaussian:1  motion:9,30   motion:9,30  gaussian:2   5   motion:15,30
#   as estimated             28.48       29.42         28.47       27.35            26.16
#   1.5 times what is heard  28.14       29.14
#   within 1.5 and 2         28.53       29.53         28.89       27.37            26.39
#   within 1.5 and 2.5       28.49       29.48
# Colours that were filled in wrongly at edges are errors, too, which is why more may be right.
LOW, HIGH = 1.5, 2.0


@dataclass
class HeardPicture(Listening):
    """One picture, its measurement y and operator: as of `WholePicture`.

    Noise that nobody told, and that seems to be wider than a pixel, is heard first; but not that
    of lossy files, which is at edges, and where it is measured they are flat.
    """

    def stages(self) -> Iterator[Stage]:
        """One that hears the noise, if need be, and the one that restores the picture."""
        if self._listens():
            yield self.hearing()
            self._settle()
        yield from super().stages()

    def _listens(self) -> bool:
        """Where it is estimated to be more than it is in the finest details."""
        if self.lossy or self.setting.told_noise(self.task) is not None:
            return False
        if self.noise < QUIET / 255 or not is_linear(self.operator):
            return False
        big_enough = has_tiles(self.y.shape[2], self.y.shape[3])
        return big_enough and 2 * self.noise > MORE * self._fine

    def _settle(self) -> None:
        """Take the noise for what was heard, or estimated, if that is within LOW to HIGH of it."""
        found = self._measured()
        if found is None or self.clean is None:
            return
        self.white = self._sounds_white(found)
        if self.white:
            self.noise = self._fine / 2
            return
        heard = float(found.strength_at(self.clean).square().mean().sqrt()) / 2
        self.noise = min(max(self.noise, LOW * heard), HIGH * heard)
