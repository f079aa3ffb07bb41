"""The header of a JPEG 2000 file (ISO/IEC 15444-1): boxes, one of which holds the codestream.

OpenImageIO decodes all of such a file before it tells anything of it, a second for 3 megapixels.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_START = b"\xff\x4f\xff\x51"  # of a codestream, and of its sizes
_CODESTREAM = b"jp2c"
_BEFORE_COUNT = 36  # bytes of the sizes in front of the number of components


def bits_of(path: Path) -> int | None:
    """Bits of a sample, the most of all components; None where the header does not tell them."""
    with suppress(OSError, struct.error), path.open("rb") as file:
        if file.read(4) != _START:
            file.seek(0)
            if not _finds_codestream(file) or file.read(4) != _START:
                return None
        file.seek(_BEFORE_COUNT, os.SEEK_CUR)
        (count,) = struct.unpack(">H", file.read(2))
        depths = file.read(3 * count)[::3]
        return max(((depth & 0x7F) + 1 for depth in depths), default=None)
    return None


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
