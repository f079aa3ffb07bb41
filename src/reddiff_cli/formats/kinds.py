"""Kinds of picture files: which are read, which are written, and what each can hold."""

from pathlib import Path

from ..errors import UsageError

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
LOSSY = frozenset(("JPEG", "WEBP"))


def format_of(path: Path) -> str:
    """Pillow's name of the format that a suffix asks for; UsageError for an unknown one."""
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise UsageError(f"{path}: cannot write '{path.suffix}'; use {', '.join(FORMATS)}")
    return known
