"""What a file says of its colours: the name of a profile, and the chunks of a PNG beside one."""

from contextlib import suppress
from io import BytesIO
from pathlib import Path

from .pngchunks import before_pixels

Chunks = tuple[tuple[bytes, bytes], ...]  # kind, content
SRGB = b"sRGB"
# Code points of video (H.273), primaries, the exponent of the values, or sRGB.
COLOURS = (b"cICP", b"cHRM", b"gAMA", SRGB)


def name_of_profile(icc: bytes) -> str:
    """What a colour profile calls itself; empty where that cannot be told."""
    from PIL import ImageCms

    with suppress(Exception):  # a damaged profile raises nearly anything
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(icc))).strip()
    return ""


def colours_of(path: Path) -> Chunks:
    """What a PNG file says of its colours in chunks; the first of each kind."""
    found = dict(reversed(before_pixels(path, COLOURS)))
    return tuple(found.items())
