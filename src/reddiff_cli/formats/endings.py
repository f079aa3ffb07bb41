"""Whether a file is there to its end, as copies that were broken off and full disks leave others.

Told by the end alone, or by what the file says of its length: pixels are not decoded, but the last
row of EXR and Radiance .hdr, so that folders of finished pictures are looked through at once.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import PictureError
from .kinds import FORMATS
from .pngchunks import END, reaches_end
from .reader import reader_of

_END_OF_JPEG = b"\xff\xd9"
# Where the strips of a TIFF file begin and how long they are, or its tiles.
_PARTS = ((273, 279), (324, 325))


def is_whole(path: Path) -> bool:
    """True if a file that we wrote is not cut off, as far as can be told."""
    kind = FORMATS.get(path.suffix.lower())
    # Whatever is wrong with the file: it is not whole.
    with suppress(OSError, ValueError, KeyError, SyntaxError, TypeError, struct.error):
        match kind:
            case "PNG":
                return _last(path, len(END)) == END or reaches_end(path)
            case "JPEG":
                return _last(path, len(_END_OF_JPEG)) == _END_OF_JPEG
            case "WEBP":
                with path.open("rb") as file:
                    length = int.from_bytes(file.read(8)[4:], "little")
                return path.stat().st_size >= 8 + length
            case "TIFF":
                return path.stat().st_size >= _end_of_parts(path)
            case "EXR" | "HDR":
                return _has_last_row(path)
    return kind is None


def _last(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(-count, os.SEEK_END)
        return file.read()


def _end_of_parts(path: Path) -> int:
    """Bytes that a TIFF file has at least; ValueError where it tells of no pixels."""
    tags, ends = Image.Exif(), list[int]()
    with path.open("rb") as file:
        tags.load_from_fp(file)  # a copy, as of `read_tags`, would say other places
        for pair in _PARTS:
            if pair[0] in tags:
                told = [
                    tags[tag] if isinstance(tags[tag], tuple) else (tags[tag],) for tag in pair
                ]
                ends += [start + length for start, length in zip(*told, strict=True)]
    return max(ends)


def _has_last_row(path: Path) -> bool:
    try:
        with reader_of(path) as source:
            if source is None:
                return False
            spec = source.spec()
            return isinstance(source.read_scanline(spec.y + spec.height - 1, 0), np.ndarray)
    except PictureError:  # of its name, by which it cannot be opened
        return True
