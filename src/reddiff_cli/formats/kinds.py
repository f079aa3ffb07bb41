"""Kinds of picture files: which are read, which are written, and what each can hold."""

from contextlib import suppress
from os import SEEK_CUR
from pathlib import Path

from PIL import Image

from ..errors import UsageError
from .jpeg2000 import is_exact

PICTURE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".jp2")
    + (".heic", ".heif", ".hif", ".exr", ".hdr")
)
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".exr": "EXR",
    ".hdr": "HDR",
}
FLOAT = 32  # depth of float files
DEPTHS = {"8": 8, "16": 16, "float": FLOAT}
HOLDS = {"PNG": (8, 16), "TIFF": (8, 16, FLOAT), "EXR": (FLOAT,), "HDR": (FLOAT,)}
# Pixels a side that its encoder takes at most.
MOST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
# Without room for alpha, and what to write instead.
OPAQUE = {"JPEG": ".png", "HDR": ".exr"}
LOSSY = frozenset(("JPEG", "WEBP"))
# Files that have had their noise smoothed away, as they are called.
SMOOTHED = frozenset((".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".hif", ".jp2"))
_JPEG = b"\xff\xd8\xff"
_WEBP_HEAD, _CHUNK_HEAD = 12, 8  # bytes


def format_of(path: Path) -> str:
    """Pillow's name of the format that a suffix asks for; UsageError for an unknown one."""
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise UsageError(f"{path}: cannot write '{path.suffix}'; use {', '.join(FORMATS)}")
    return known


def check_sides(path: Path, width: int, height: int) -> None:
    """UsageError if the format of `path` cannot hold a picture of this size."""
    kind = format_of(path)
    most = MOST_SIDE.get(kind, max(width, height))
    if max(width, height) > most:
        told = f"{path}: {kind} holds {most} pixels a side, the result has {width}x{height}"
        raise UsageError(f"{told}; write .png instead")


def check_alpha(path: Path) -> None:
    """UsageError if the format of `path` cannot hold transparency."""
    kind = format_of(path)
    if kind in OPAQUE:
        better = OPAQUE[kind]
        raise UsageError(f"{path}: {kind} cannot hold transparency; write {better} instead")


def is_jpeg(path: Path) -> bool:
    """True if a file begins as those of JPEG do, whatever it is called."""
    try:
        with path.open("rb") as file:
            return file.read(len(_JPEG)) == _JPEG
    except OSError:
        return False


def smooths(path: Path, image: Image.Image | None = None) -> bool:
    """True if files of this kind have smoothed their noise.    image: the file, open."""
    suffix = path.suffix.lower()
    if suffix == ".webp" and _is_lossless_webp(path):
        return False
    if suffix == ".jp2" and is_exact(path, image):
        return False
    return suffix in SMOOTHED or is_jpeg(path)


def _is_lossless_webp(path: Path) -> bool:
    """Whether the first chunk of pixels in a WebP file is one of its lossless kind."""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(_WEBP_HEAD)
        while head[:4] == b"RIFF" and len(chunk := file.read(_CHUNK_HEAD)) == _CHUNK_HEAD:
            if chunk[:4] in (b"VP8 ", b"VP8L"):
                return chunk[:4] == b"VP8L"
            size = int.from_bytes(chunk[4:], "little")
            file.seek(size + size % 2, SEEK_CUR)
    return False
