"""A picture as the prior is shown it, and back: faint ones brighter, light as on a display.

It knows sRGB values between black and white, and noise down to about 0.5 of 255; what is fainter
than that is black to it.
"""

import math
from dataclasses import replace

import numpy as np

from .pixels import Hole, Picture, Pixels
from .response import LIGHT

# Pictures of 16 bits that reach no higher are spread out, to the half of white and more, which
# leaves room for what restoring makes brighter. By powers of two, so that values which stay are
# written as they were. Four grey crops of 256x256 as 12 bits in 16, 20 evaluations, dB of their
# own range as they are and spread out: noise of 2 % 34.7 and 37.6, gaussian:2 26.9 and 29.6, 70 %
# missing 21.5 and 27.4.
FAINT = 1 / 8
# Light that reaches no higher (a tenth of white on a screen) is nearly black to the network.
FAINT_LIGHT = 0.01


def spread_out(picture: Picture, hole: Hole | None = None) -> Picture:
    """The picture in a larger `unit` of values, if it is faint; itself otherwise.

    hole: (H, W), True where nothing is known: what lies there does not count.
    """
    if picture.depth != 16:
        return picture
    seen = picture.pixels if hole is None else picture.pixels[~hole]
    top = float(seen.max()) if seen.size else 0.0
    if not 0 < top < FAINT:
        return picture
    unit = 2.0 ** (math.ceil(math.log2(top)) + 1)
    return replace(picture, pixels=picture.pixels / np.float32(unit), unit=unit)


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
