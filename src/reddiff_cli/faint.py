"""What is white to the prior: pictures far below it, as 12 bits in 16, and light above it.

It knows pictures between black and white, and noise down to about 0.5 of 255; what is fainter than
that is black to it.
"""

import math
from dataclasses import replace

import numpy as np

from .pixels import Hole, Picture

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


def white_of(picture: Picture) -> float:
    """Linear light that is white to the prior: the brightest above 1 or far below it, else 1."""
    brightest = float(picture.pixels.max())
    return brightest if brightest > 1 or 0 < brightest < FAINT_LIGHT else 1.0
