"""A picture as the prior is shown it, and back: faint ones brighter, light as on a display.

It knows sRGB values between black and white, and noise down to about 0.5 of 255; what is fainter
than that is black to it.
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..light.response import LIGHT
from .pixels import Hole, Picture, Pixels

Mask = NDArray[np.bool_]

# Pictures of 16 bits that reach no higher are spread out, to the half of white and more, which
# leaves room for what restoring makes brighter. By powers of two, so that values which stay are
# written as they were. Four grey crops of 256x256 as 12 bits in 16, 20 evaluations, dB of their
# own range as they are and spread out: noise of 2 % 34.7 and 37.6, gaussian:2 26.9 and 29.6, 70 %
# missing 21.5 and 27.4.
FAINT = 1 / 8
# But for single values, so many of all or so few: the hot pixels of a sensor. The light of a star
# is wider than a pixel.
SPARKS, FEW = 1e-3, 3
AROUND = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2))
# Light that reaches no higher (a tenth of white on a screen) is nearly black to the network.
FAINT_LIGHT = 0.01


def spread_out(picture: Picture, hole: Hole | None = None) -> Picture:
    """The picture in a larger `unit` of values, if it is faint; itself otherwise.

    hole: (H, W), True where nothing is known: what lies there does not count. Nor do `sparks`.
    """
    if picture.depth != 16:
        return picture
    seen = picture.pixels if hole is None else np.where(hole[:, :, None], 0, picture.pixels)
    above = seen > FAINT
    if not above.any():
        top, pixels, sparks = float(seen.max(initial=0)), picture.pixels, None
    elif _are_single(above):
        top = float(seen[~above].max(initial=0))
        pixels, sparks = _without(picture.pixels, above), np.where(above, picture.pixels, 0)
    else:
        return picture
    if not 0 < top < FAINT:
        return picture
    unit = 2.0 ** (math.ceil(math.log2(top)) + 1)
    return replace(picture, pixels=pixels / np.float32(unit), unit=unit, sparks=sparks)


def _are_single(above: Mask) -> bool:
    """True if these values, (H, W, C), are few, and none of them is beside another."""
    if np.count_nonzero(above) > max(FEW, SPARKS * above.size):
        return False
    count = sum(around.astype(np.int8) for around in _neighbours(above))
    return not bool((above & (count > 0)).any())


def _without(pixels: Pixels, sparks: Mask) -> Pixels:
    """With the median of its neighbours in place of each of the sparks."""
    rows, columns, channels = sparks.nonzero()
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    around = [padded[rows + y, columns + x, channels] for y, x in AROUND]
    filled = pixels.copy()
    filled[sparks] = np.median(around, axis=0)
    return filled


def _neighbours(x: Mask) -> list[Mask]:
    """What is in each of the eight directions, of the shape of x; nothing beyond the border."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return [padded[a : a + height, b : b + width] for a, b in AROUND]


def for_display(picture: Picture) -> Pixels:
    """Pixels as a display would show them, in [0, 1]: what the prior was trained on.

    Linear light is divided by its peak where that is above 1 or faint, and sRGB-encoded.
    """
    if not picture.linear:
        return picture.pixels
    return LIGHT.encode(picture.pixels / _white_of(picture)).astype(np.float32)


def from_display(pixels: Pixels, like: Picture) -> Pixels:
    """The reverse of `for_display`, with the peak of the picture that was shown."""
    if not like.linear:
        return pixels
    return (LIGHT.decode(pixels) * _white_of(like)).astype(np.float32)


def _white_of(picture: Picture) -> float:
    """Linear light that is white to the prior: the brightest above 1 or far below it, else 1."""
    brightest = float(picture.pixels.max())
    return brightest if brightest > 1 or 0 < brightest < FAINT_LIGHT else 1.0
