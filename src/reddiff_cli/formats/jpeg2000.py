"""What a JPEG 2000 file (ISO/IEC 15444-1) tells: boxes, one of which holds the codestream.

OpenImageIO decodes all of such a file before it tells anything of it, a second for 3 megapixels.
"""

import os
import struct
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .opening import open_picture

_START = b"\xff\x4f\xff\x51"  # of a codestream, and of its sizes
_CODESTREAM = b"jp2c"
_BEFORE_COUNT = 36  # bytes of the sizes in front of the number of components
_CODING, _TILE = b"\xff\x52", b"\xff\x90"  # how it is coded; where its first tile begins
_MIXES, _WAVELET, _REVERSIBLE = 4, 9, 1  # places in what is said of the coding; 5/3
# Of the finest details of a file that holds all of them at least so many are 1, of all and of 1,
# 2 and 3. Validation photographs with noise of 0, 4 and 12 of 255: without loss one has 0.0396 and
# all others more, and all at least 0.308; of 1112 files cut off to an error above 0.8 of 255 none
# has both.
_ONES, _ONES_OF_SMALL = 0.04, 0.3
Values = NDArray[np.int32]


def bits_of(path: Path) -> int | None:
    """Bits of a sample, the most of all components; None where the header does not tell them."""
    with suppress(OSError, struct.error), path.open("rb") as file:
        if _begin(file):
            return _bits(file)
    return None


def is_exact(path: Path, image: Image.Image | None = None) -> bool:
    """True if a file of 8 bits keeps all but less than one of 255 of its picture.

    The reversible wavelet allows that, but encoders may cut its bits off to a wanted size, of
    which the header says nothing: then no detail of the finest is as small as 1.

    image: the file, if it is open, as it takes long to be decoded.
    """
    with suppress(Exception):  # damaged: said when it is read
        with path.open("rb") as file:
            coding = _coding_of(file) if _begin(file) and _bits(file) == 8 else b""
        if coding and coding[_WAVELET] == _REVERSIBLE:
            with open_picture(path) if image is None else nullcontext(image) as image:
                return _keeps_details(np.asarray(image), mixed=bool(coding[_MIXES]))
    return False


def _begin(file: BinaryIO) -> bool:
    """Go behind the first markers of the codestream, if there is one."""
    if file.read(4) == _START:
        return True
    file.seek(0)
    return _finds_codestream(file) and file.read(4) == _START


def _bits(file: BinaryIO) -> int | None:
    """The most of all components; behind it comes the next marker."""
    file.seek(_BEFORE_COUNT, os.SEEK_CUR)
    (count,) = struct.unpack(">H", file.read(2))
    depths = file.read(3 * count)[::3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=None)


def _coding_of(file: BinaryIO) -> bytes:
    """What is said of the coding of all components, from the next marker on."""
    while len(head := file.read(4)) == 4 and head[:2] != _TILE:
        said = file.read(int.from_bytes(head[2:]) - 2)
        if head[:2] == _CODING:
            return said
    return b""


def _keeps_details(values: NDArray[np.uint8], *, mixed: bool) -> bool:
    """Whether the finest details are whole numbers that nobody has made coarser.

    mixed: the first three channels were coded as one of brightness and two of colours.
    """
    seen = np.atleast_3d(values)[:, :, : 3 if mixed else 1].astype(np.int32)
    first = seen @ np.array((1, 2, 1), np.int32) >> 2 if mixed else seen[:, :, 0]
    clipped = ((seen == 0) | (seen == 255)).any(2)  # as no encoder has seen them
    details = np.abs(_finer(_finer(first).T).T)[~_around(_around(clipped).T).T]
    counts = np.bincount(details, minlength=4)
    some: Any = counts[1] >= max(1.0, _ONES * counts.sum())
    return bool(some and counts[1] >= _ONES_OF_SMALL * counts[1:4].sum())


def _finer(values: Values) -> Values:
    """Details by the 5/3 wavelet in every second row: what it adds to the mean of its neighbours.

    Without the last, which may have only one.
    """
    whole = values[: values.shape[0] - 1 | 1]
    found: Values = whole[1::2] - (whole[:-1:2] + whole[2::2] >> 1)
    return found


def _around(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of these details have seen a marked row."""
    whole = marked[: marked.shape[0] - 1 | 1]
    found: NDArray[np.bool_] = whole[1::2] | whole[:-1:2] | whole[2::2]
    return found


def _finds_codestream(file: BinaryIO) -> bool:
    """Step from box to box, up to what is in that of the codestream."""
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if length == 1:  # the true one follows
            (length,) = struct.unpack(">Q", file.read(8))
            length -= 8
        if kind == _CODESTREAM:
            return True
        if length < len(head):
            break
        file.seek(length - len(head), os.SEEK_CUR)
    return False
