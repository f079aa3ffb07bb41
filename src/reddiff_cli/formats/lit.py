"""What float files must hold to be restored: light in red, green and blue, or grey, and alpha."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError, counted

Pixels = NDArray[np.float32]
# Ways of compression that do not give back what they took; pxr24 drops digits only.
_LOSSY = ("dwaa", "dwab", "b44", "b44a")
# How far below 0 these may come beside black, of the largest value: dwaa stays within at a coarse
# level of 200, too (tests/test_odd_files.py).
_UNDERSHOOT = 0.005


def check_channels(path: Path, names: Sequence[str], colours: int, *, stray: bool) -> None:
    """PictureError for an EXR file with a channel that is neither a colour nor alpha.

    Nor are X, Y and Z colours to be shown; and layers called R.left, G.left and B.left, which lie
    in the order of the alphabet, would change red for blue.

    stray: the last channel is none of the colours. In TIFF such a channel may be anything, a saved
    selection for one, and is left out.
    """
    lasts = "".join(name.rpartition(".")[2][:1] for name in names[:colours]).lower()
    if stray or (colours == 3 and lasts != "rgb"):
        told = f"{path}: holds {', '.join(names)}; give a file of R, G, B and at most alpha (A)"
        raise PictureError(told, "Channels")


def check_light(path: Path, light: Pixels, alpha: Pixels | None) -> None:
    """PictureError where something else than light is stored."""
    finite = np.isfinite(light).all(axis=2) & (True if alpha is None else np.isfinite(alpha))
    if not finite.all():
        told = counted(int((~finite).sum()), "pixel is", "pixels are")
        message = f"{path}: {told} not a number, or infinite; replace that first"
        raise PictureError(message, "NotFinite")
    if light.min() < 0:
        told = counted(int((light < 0).any(axis=2).sum()), "pixel is", "pixels are")
        told = f"{path}: {told} negative, the least is {float(light.min()):.3g}"
        cure = "add an offset to all pixels, or set negative ones to 0, which makes a background "
        raise PictureError(f"{told}; {cure}brighter", "Negative")


def without_undershoot(light: Pixels, compression: str) -> Pixels:
    """Light with 0 where a lossy compression came out a little below; as it is where it is lower.

    compression: as OpenImageIO names it, maybe with a level (dwaa:45).
    """
    if compression.partition(":")[0] not in _LOSSY:
        return light
    least = float(light.min())
    return light.clip(min=0) if 0 > least >= -_UNDERSHOOT * float(light.max()) else light
