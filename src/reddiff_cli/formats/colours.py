"""What a file says of its colours: the name of a profile, and the chunks of a PNG beside one."""

import struct
from collections.abc import Iterable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from .attributes import Attribute
from .pngchunks import before_pixels

Chunks = tuple[tuple[bytes, bytes], ...]  # kind, content
SRGB = b"sRGB"
# Code points of video (H.273), primaries, the exponent of the values, or sRGB.
CODES, PRIMARIES, EXPONENT = b"cICP", b"cHRM", b"gAMA"
COLOURS = (CODES, PRIMARIES, EXPONENT, SRGB)
# What they are in sRGB, whatever the matrix and the range: BT.709 and the curve of sRGB; x and y
# of white, red, green and blue, and 1 / 2.2, in 100 000ths. So far off nobody sees it.
_CODES_OF_SRGB = bytes((1, 13))
_PRIMARIES_OF_SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_EXPONENT_OF_SRGB, _NEAR = (45455,), 500
# The same of an EXR: x and y of red, green, blue and white.
_CHROMATICITIES = "chromaticities"
_CHROMATICITIES_OF_SRGB, _NEARBY = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329), 0.005


def name_of_profile(icc: bytes) -> str:
    """What a colour profile calls itself; empty where that cannot be told."""
    from PIL import ImageCms

    with suppress(Exception):  # a damaged profile raises nearly anything
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(icc))).strip()
    return ""


def has_primaries_of_srgb(profile: str) -> bool:
    """Whether a profile of this name has them, with whatever curve."""
    return "sRGB" in profile or "709" in profile


def strange_among(attributes: Iterable[Attribute]) -> tuple[str, ...]:
    """What an EXR file says of its colours, if they are not those of sRGB in linear light."""
    told: Any = {name: value for name, _, value in attributes}.get(_CHROMATICITIES)
    with suppress(TypeError, ValueError):  # damaged ones, and none, say nothing
        pairs = zip(told, _CHROMATICITIES_OF_SRGB, strict=True)
        if any(abs(a - b) > _NEARBY for a, b in pairs):
            return (_CHROMATICITIES,)
    return ()


def colours_of(path: Path) -> Chunks:
    """What a PNG file says of its colours in chunks; the first of each kind."""
    found = dict(reversed(before_pixels(path, COLOURS)))
    return tuple(found.items())


def strange_in(chunks: Chunks, icc: bytes) -> tuple[str, ...]:
    """The kinds of chunks by which colours are not those of sRGB, and which no profile says.

    Code points go before a profile, and a profile or sRGB before the others.
    """
    told = dict(chunks)
    if CODES in told:
        return () if told[CODES][:2] == _CODES_OF_SRGB else (CODES.decode(),)
    if icc or SRGB in told:
        return ()
    usual = {PRIMARIES: _PRIMARIES_OF_SRGB, EXPONENT: _EXPONENT_OF_SRGB}
    return tuple(kind.decode() for kind, values in usual.items() if _differ(told, kind, values))


def _differ(told: dict[bytes, bytes], kind: bytes, usual: tuple[int, ...]) -> bool:
    with suppress(KeyError, struct.error):  # damaged ones say nothing
        values = struct.unpack(f">{len(usual)}I", told[kind])
        return any(abs(a - b) > _NEAR for a, b in zip(values, usual, strict=True))
    return False
