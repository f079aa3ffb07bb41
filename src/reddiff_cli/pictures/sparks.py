"""Light of which single pixels are far brighter than all others."""

from pathlib import Path

import numpy as np

from ..errors import PictureError
from .pixels import Picture

# The network sees linear light over its peak, as a display would; its errors of a few thousandths
# are some percent of what is HEADROOM times darker, and all of what is MOST times darker.
HEADROOM, MOST = 100, 10_000


def told_of_spark(path: Path, picture: Picture) -> str:
    """What a person should know of light with a spark that leaves little room for the rest.

    Nothing where there is none; PictureError where it leaves no room.
    """
    ratio = headroom(picture) if picture.linear else 1.0
    if ratio <= HEADROOM:
        return ""
    told = (
        f"{path}: its brightest pixel is {ratio:.3g} times as bright as 99 % of the others, "
        "which suffer from it; fill it with 'reddiff inpaint', or clip it, first"
    )
    if ratio > MOST:
        raise PictureError(told, "Range")
    return told


def headroom(picture: Picture) -> float:
    """How many times brighter than the 99th percentile of what is not black the brightest is.

    1 where nothing is above white: such light is not divided.
    """
    brightest = float(picture.pixels.max())
    if brightest <= 1:
        return 1.0
    values = picture.pixels.max(2).ravel()
    some = values[:: 1 + len(values) // 1_000_000]
    some = some[some > 0]
    return brightest / float(np.quantile(some, 0.99)) if len(some) else 1.0
