"""The chunks of a PNG file (ISO/IEC 15948): length, kind, content, checksum."""

import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = 33  # bytes of the signature and IHDR
_REST = 12  # bytes of a chunk beside its content
_PIXELS, _END = b"IDAT", b"IEND"
END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk, which is always the same
_TEXTS = frozenset((b"tEXt", b"zTXt", b"iTXt"))
# May hold EXIF or XMP.
WORDS = _TEXTS.union((b"eXIf",))
# How texts begin that are carried otherwise, or that tell of the old pixels: our record, XMP, and
# what ImageMagick keeps of EXIF.
_OTHERWISE = (b"reddiff\0", b"XML:com.adobe.xmp\0", b"Raw profile type ")


def insert(png: bytes, chunks: list[tuple[bytes, bytes]], *dropped: bytes) -> bytes:
    """A PNG file with chunks (kind, content) put in after its header, in place of their like.

    dropped: further kinds of which none stays.
    """
    rest = _without(png[_HEADER:], {kind for kind, _ in chunks}.union(dropped))
    return png[:_HEADER] + b"".join(chunk(*told) for told in chunks) + rest


def words_follow_pixels(path: Path) -> bool:
    """Whether EXIF or XMP may stand behind the pixels; also where a file cannot be followed.

    Nothing is decoded: chunks are stepped over.
    """
    seen = False
    for kind, *_ in _chunks_of(path):
        if kind == _END:
            return False
        if seen and kind in WORDS:
            return True
        seen = seen or kind == _PIXELS
    return True


def before_pixels(path: Path, kinds: Collection[bytes]) -> list[tuple[bytes, bytes]]:
    """The chunks (kind, content) of some kinds in front of the pixels."""
    return _chunks(path, kinds, (_PIXELS, _END))


def texts_of(path: Path) -> tuple[tuple[bytes, bytes], ...]:
    """The chunks of what people and programs wrote into the file, wherever they stand."""
    found = _chunks(path, _TEXTS, (_END,))
    return tuple(told for told in found if not told[1].startswith(_OTHERWISE))


def _chunks(
    path: Path, kinds: Collection[bytes], ends: Collection[bytes]
) -> list[tuple[bytes, bytes]]:
    found = []
    for kind, length, file in _chunks_of(path):
        if kind in ends:
            break
        if kind in kinds:
            found.append((kind, file.read(length)))
    return found


def reaches_end(path: Path) -> bool:
    """Whether a file's chunks can be followed to the last, whatever comes after it."""
    for kind, length, file in _chunks_of(path):
        if kind == _END:
            return length == 0 and file.read(4) == END[-4:]
    return False


def _chunks_of(path: Path) -> Iterator[tuple[bytes, int, BinaryIO]]:
    """Kind and length of each chunk, and the file at its content; none if it is no PNG."""
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            after = file.tell() + length + _REST - len(head)
            yield kind, length, file
            file.seek(after)


def _without(chunks: bytes, kinds: set[bytes]) -> bytes:
    """The chunks of a PNG file without those of some kinds."""
    kept, place = [], 0
    while place < len(chunks):
        (length,) = struct.unpack_from(">I", chunks, place)
        whole = chunks[place : place + length + _REST]
        if whole[4:8] not in kinds:
            kept.append(whole)
        place += len(whole)
    return b"".join(kept)


def chunk(kind: bytes, content: bytes) -> bytes:
    """The bytes of one chunk."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
