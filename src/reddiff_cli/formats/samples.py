"""Samples: whole numbers in files, float32 in [0, 1] in pictures; exact both ways.

A picture of 24 megapixels has 288 MB as floats, so that nothing here holds it once more.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import PictureError

# Pixels or numbers of a file that are read at most, as many as Pillow opens: a file of a few bytes
# can claim any number of zeros.
MOST = 178_956_970
# What to do with numbers that are not read.
CONVERT = "convert it to unsigned integers of 8 or 16 bits, or to 32-bit float"
# Rows that are rounded at a time, which stay in the cache.
ROWS = 32
# The numbers of a file and what they are computed in: 65535 times a value needs more than 24 bits
# to be rounded right.
_KINDS: dict[int, tuple[type[np.unsignedinteger[Any]], type[np.floating[Any]]]] = {
    8: (np.uint8, np.float32),
    16: (np.uint16, np.float64),
}


def eight_bits_of(image: Image.Image) -> NDArray[np.uint8]:
    """Any 8-bit mode -> grey or RGB, and alpha where there is one, (H, W, 1 to 4), upright.

    The image is turned in place.
    """
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # else a copy, turned or not
    grey, alpha = is_grey(image), image.has_transparency_data
    mode = ("L" if grey else "RGB") + ("A" if alpha else "")
    values = np.asarray(image if image.mode == mode else image.convert(mode))
    return values if values.ndim == 3 else values[:, :, None]


def is_grey(image: Image.Image) -> bool:
    """Whether an 8-bit picture has no colours, also where it might by its mode.

    Of a palette the colours count that are used, which takes its pixels.
    """
    if image.mode != "P":
        return image.mode in ("1", "L", "LA", "La")
    used = [index for index, count in enumerate(image.histogram()) if count]
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    # What a damaged file uses of what its palette lacks is black.
    shown = colours[[index for index in used if index < len(colours)]]
    return bool((shown == shown[:, :1]).all())


def check_bits(path: Path, bits: int) -> None:
    """PictureError unless samples of more than 8 bits have 16, as those that are read."""
    if bits != 16:
        raise PictureError(f"{path}: {bits} bits per channel; {CONVERT}", "Depth")


def scaled(values: NDArray[np.unsignedinteger[Any]], white: int) -> NDArray[np.float32]:
    """Whole numbers from 0 to white -> [0, 1], C-contiguous."""
    result: NDArray[np.float32] = np.divide(values, np.float32(white), dtype=np.float32, order="C")
    return result


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.unsignedinteger[Any]]:
    """(H, ...), cut to [0, 1] -> the nearest of 8 or 16 bits."""
    kind, exact = _KINDS[bits]
    result = np.empty(values.shape, dtype=kind)
    for top in range(0, len(values), ROWS):
        rows = slice(top, top + ROWS)
        result[rows] = np.rint(values[rows].clip(0, 1).astype(exact) * (2**bits - 1))
    return result
