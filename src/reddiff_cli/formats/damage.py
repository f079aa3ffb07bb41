"""Why a file cannot be read, where its end is missing: what a copy or a full disk left of it.

Looked for only after a reader has failed, in what the file itself says of its length, and by what
it begins with, whatever it is called.
"""

import math
import os
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np

from ..errors import PictureError, counted
from .endings import end_of_parts
from .pngchunks import reaches_end

CURE = "copy it again, or give another"
_END_OF_IMAGE = b"\xff\xd9"  # of JPEG, and of the codestream of JPEG 2000
_SCAN = b"\xff\xda"
_CODESTREAM = b"jp2c"
# Where files of HDF5 say where they end, by the version of what they begin with.
_END_OF_HDF5 = {0: 40, 1: 44, 2: 28, 3: 28}
_MATLAB_HEAD = 128
_NAMES = 512  # bytes of a name and a type in EXR, at most
# Of the types of TIFF that are longer than one.
_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
P = ParamSpec("P")
R = TypeVar("R")


def telling_of_damage(
    read: Callable[Concatenate[Path, P], R],
) -> Callable[Concatenate[Path, P], R]:
    """A reader of files, which says what is missing in one that is empty or cut off."""

    @wraps(read)
    def told(path: Path, /, *rest: P.args, **options: P.kwargs) -> R:
        try:
            return read(path, *rest, **options)
        except PictureError as error:
            if error.kind != "Unreadable":
                raise
            missing = missing_in(path)
            if missing:
                raise PictureError(f"{path}: {missing}", error.kind) from error
            if "; " in str(error).removeprefix(str(path)):
                raise
            raise PictureError(f"{error}; {CURE}", error.kind) from error

    return told


def unopened(path: Path, error: OSError) -> PictureError:
    """What is said of a file that the system does not hand out."""
    if path.is_symlink() and isinstance(error, FileNotFoundError):
        told = f"{path}: is a link to {path.readlink()}, which is not there; mend or remove it"
        return PictureError(told, "Missing")
    cure = "; make it readable" if isinstance(error, PermissionError) else ""
    return PictureError(f"{path}: cannot be read ({error.strerror or error}){cure}", "Unreadable")


def missing_in(path: Path) -> str:
    """What to say of a file that is empty or cut off; nothing if it is neither, or none at all."""
    with suppress(OSError):
        if path.is_file():
            size = path.stat().st_size
            if not size:
                return "is empty (0 bytes); copy it again"
            if _is_cut_off(path, size):
                return f"is cut off after {counted(size, 'byte')}; copy it again"
    return ""


def _is_cut_off(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        head = file.read(_MATLAB_HEAD)
    for begins, ends in _ENDS.items():
        place, mark = begins
        if head[place : place + len(mark)] == mark:
            with suppress(ValueError, KeyError, SyntaxError, TypeError):  # damaged in its middle
                try:
                    return ends(path, head, size)
                except (struct.error, IndexError):  # it ends in front of its length
                    return True
    return False


def _of_png(path: Path, _: bytes, __: int) -> bool:
    return not reaches_end(path)


def _of_jpeg(path: Path, _: bytes, __: int) -> bool:
    """No end behind the pixels: previews in front of them have one of their own."""
    content, place = path.read_bytes(), 2
    while content[place : place + 2] != _SCAN:
        if content[place : place + 1] not in (b"", b"\xff"):
            return False
        place += 2 + int(struct.unpack_from(">H", content, place + 2)[0])
    return _END_OF_IMAGE not in content[place:]


def _of_webp(_: Path, head: bytes, size: int) -> bool:
    return size < 8 + int(struct.unpack_from("<I", head, 4)[0])


def _of_bmp(_: Path, head: bytes, size: int) -> bool:
    return size < int(struct.unpack_from("<I", head, 2)[0])


def _of_tiff(path: Path, head: bytes, size: int) -> bool:
    order = "<" if head[:2] == b"II" else ">"
    with path.open("rb") as file:
        file.seek(struct.unpack_from(f"{order}I", head, 4)[0])
        (count,) = struct.unpack(f"{order}H", file.read(2))
        entries = [struct.unpack(f"{order}HHII", file.read(12)) for _ in range(count)]
    # Of what no entry has room for it tells the place.
    told = [(place, number * _BYTES.get(kind, 1)) for _, kind, number, place in entries]
    if any(length > 4 and place + length > size for place, length in told):
        return True
    return end_of_parts(path) > size


def _of_boxes(path: Path, _: bytes, size: int) -> bool:
    """AVIF, HEIF and JPEG 2000: boxes, of which the last may say that it goes on to the end."""
    place = 0
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:
                (length,) = struct.unpack(">Q", file.read(8))
            if not length:
                return bool(kind == _CODESTREAM) and _of_codestream(path, b"", size)
            place += max(int(length), 8)
    return place > size


def _of_codestream(path: Path, _: bytes, __: int) -> bool:
    with path.open("rb") as file:
        file.seek(-len(_END_OF_IMAGE), os.SEEK_END)
        return file.read() != _END_OF_IMAGE


def _of_exr(path: Path, head: bytes, size: int) -> bool:
    """A header of named values, and a table of where all chunks of pixels begin."""
    content, place = path.read_bytes(), 8
    tiled, several = head[5] & 2, head[5] & 16
    while content[place] and not several:
        *names, _ = content[place : place + _NAMES].split(b"\0", 2)
        if len(names) < 2:
            return True
        place += sum(len(name) + 1 for name in names)
        place += 4 + int(struct.unpack_from("<I", content, place)[0])
    place += 1
    first = last = int(struct.unpack_from("<Q", content, place)[0])
    while place < first and not several:
        (begins,) = struct.unpack_from("<Q", content, place)
        first, last = min(first, int(begins)), max(last, int(begins))
        place += 8
    # In front of its pixels a chunk says where it lies, and how long it is.
    at = last + (16 if tiled else 4)
    return not several and at + 4 + int(struct.unpack_from("<I", content, at)[0]) > size


def _of_npy(path: Path, head: bytes, size: int) -> bool:
    with path.open("rb") as file:
        formats = np.lib.format
        first = formats.read_magic(file) == (1, 0)
        (length,) = struct.unpack_from("<H" if first else "<I", head, file.tell())
        if file.tell() + length > size:
            return True
        read = formats.read_array_header_1_0 if first else formats.read_array_header_2_0
        shape, _, kind = read(file)
        end = file.tell() + math.prod(shape) * int(kind.itemsize)
        return end > size and not kind.hasobject


def _of_npz(path: Path, _: bytes, __: int) -> bool:
    return not zipfile.is_zipfile(path)


def _of_hdf5(_: Path, head: bytes, size: int) -> bool:
    return size < int(struct.unpack_from("<Q", head, _END_OF_HDF5[head[8]])[0])


def _of_matlab(path: Path, head: bytes, size: int) -> bool:
    order, place = ("<" if head[126:128] == b"IM" else ">"), len(head)
    with path.open("rb") as file:
        while place < size:
            file.seek(place)
            place += 8 + int(struct.unpack(f"{order}4xI", file.read(8))[0])
    return place > size or place < _MATLAB_HEAD


# By where a mark lies in the head of a file, and what it is.
_ENDS: dict[tuple[int, bytes], Callable[[Path, bytes, int], bool]] = {
    (0, b"\x89PNG\r\n\x1a\n"): _of_png,
    (0, b"\xff\xd8\xff"): _of_jpeg,
    (8, b"WEBP"): _of_webp,
    (0, b"BM"): _of_bmp,
    (0, b"II*\0"): _of_tiff,
    (0, b"MM\0*"): _of_tiff,
    (4, b"ftyp"): _of_boxes,
    (4, b"jP  "): _of_boxes,
    (0, b"\xff\x4f\xff\x51"): _of_codestream,
    (0, b"\x76\x2f\x31\x01"): _of_exr,
    (0, b"\x93NUMPY"): _of_npy,
    (0, b"PK\x03\x04"): _of_npz,
    (0, b"\x89HDF\r\n\x1a\n"): _of_hdf5,
    (0, b"MATLAB 5.0"): _of_matlab,
}
