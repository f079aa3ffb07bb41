"""Captions, names and rights by IPTC-IIM, as the press has them.

JPEG files keep them among Photoshop's resources (APP13), of which the others tell of the old
pixels; TIFF files, and EXIF blocks wherever they are, in a tag.
"""

import struct
from typing import Any

from PIL import Image

from .tifftags import packed, unpacked

_TAG, _RESOURCE = 33723, 0x0404
_MARKER, _OWNER, _KIND = b"\xff\xed", b"Photoshop 3.0\0", b"8BIM"
_MOST = 65533  # bytes of a segment beside its length


def with_iptc(exif: bytes, image: Image.Image) -> bytes:
    """An EXIF block with what an open JPEG says by IPTC beside its own."""
    resources: Any = image.info.get("photoshop")
    told = resources.get(_RESOURCE) if isinstance(resources, dict) else None
    if not isinstance(told, bytes) or not told:
        return exif
    tags = unpacked(exif)
    tags[_TAG] = told
    return packed(tags)


def segment_of(tags: Image.Exif) -> bytes:
    """The segment of a JPEG file with what the tags say by IPTC, which leaves them; or nothing."""
    told = tags.pop(_TAG, None)
    if not isinstance(told, bytes) or not told:
        return b""
    resource = struct.pack(">HxxI", _RESOURCE, len(told)) + told + b"\0" * (len(told) % 2)
    content = _OWNER + _KIND + resource
    if len(content) > _MOST:
        return b""
    return _MARKER + struct.pack(">H", len(content) + 2) + content
