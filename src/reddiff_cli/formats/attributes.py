"""Attributes of EXR files, which have no EXIF block: what OpenImageIO makes of the one.

An EXIF block goes through a JPEG file of one pixel, of which OpenImageIO and Pillow both know the
tags. Attributes of an EXR file travel to another EXR file as they are.
"""

import tempfile
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from .tifftags import packed, sensible

Attribute = tuple[str, str, Any]  # name, OpenImageIO's type, value
RECORD = "reddiff"
XMP = "xmp"  # where darktable keeps the packet
_DATE = "DateTime"
MOST_EXIF = 65533  # bytes in a JPEG file
_RESOLUTION, _UNIT = ("XResolution", "YResolution"), "ResolutionUnit"
_ASPECT = "PixelAspectRatio"
# EXR files say more of a triple than EXIF does, and hold no short numbers. OpenImageIO writes none
# of what it reads of whole numbers in twos and threes by the names that it gives them.
_PLAIN = {
    "vector": "float[3]",
    "uint16": "int",
    "vector2i": "int[2]",
    "vectori": "int[3]",
    "vector2i[2]": "box2i",
}
# Tags of the directory for exposures and lenses, from the first to the last, but for these others:
# IPTC, Photoshop's, colour profile, two directories, and what Windows wants to know.
_OF_EXPOSURES = range(ExifTags.Base.ExposureTime.value, ExifTags.Base.Gamma.value + 1)
_OTHERS = frozenset((33723, 34377, 34665, 34675, 34853, 40091, 40092, 40093, 40094, 40095))
# What describes the pixels of one file, or how it was packed.
_TECHNICAL = frozenset(
    ("compression", "Orientation", "ICCProfile", "name", "chunkCount", "type", "version")
    + ("textureformat", "wrapmodes", RECORD)
)
_OWN_OF_A_FORMAT = ("oiio:", "openexr:", "jpeg:", "ICCProfile:")


def attributes_of(spec: Any) -> tuple[Attribute, ...]:  # noqa: ANN401  (untyped library)
    """What a file says besides its pixels."""
    return tuple(
        (entry.name, str(entry.type), _in_unicode(entry.value))
        for entry in spec.extra_attribs
        if entry.name not in _TECHNICAL and not entry.name.startswith(_OWN_OF_A_FORMAT)
    )


def _in_unicode(value: Any) -> Any:  # noqa: ANN401  (any type of attribute)
    """A text, also where a file holds it in Latin-1, of which OpenImageIO writes no byte."""
    if not isinstance(value, str):
        return value
    raw = value.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8" if raw.decode("utf-8", "ignore").encode() == raw else "latin-1")


def attributes_from(exif: bytes, dpi: tuple[float, float] | None) -> tuple[Attribute, ...]:
    """An EXIF block and a resolution as attributes."""
    import OpenImageIO as oiio

    exif = exif if len(exif) <= MOST_EXIF else b""
    if not exif and not dpi:
        return ()
    options: dict[str, Any] = {"dpi": dpi} if dpi else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.jpg"
        Image.new("RGB", (1, 1)).save(path, exif=exif, **options)
        found = attributes_of(oiio.ImageBuf(str(path)).spec())
    # OpenImageIO takes its inverse from a JPEG file, and multiplies by it when it reads an EXR.
    aspect = ((_ASPECT, "float", dpi[1] / dpi[0]),) if dpi else ()
    return (*(entry for entry in found if entry[0] != _ASPECT), *aspect)


def exif_from(attributes: tuple[Attribute, ...]) -> Image.Exif:
    """The reverse: what Pillow reads of a JPEG file that OpenImageIO wrote."""
    import OpenImageIO as oiio

    exif = Image.Exif()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.jpg"
        spec = oiio.ImageSpec(1, 1, 3, oiio.UINT8)
        set_attributes(spec, attributes)
        buffer = oiio.ImageBuf(spec)
        buffer.write(str(path))
        with Image.open(path) as image:
            exif.load(packed(image.getexif()))
    return _in_order(exif)


def _in_order(exif: Image.Exif) -> Image.Exif:
    """With all tags of exposures in their directory; OpenImageIO leaves lenses outside."""
    own = exif.get_ifd(ExifTags.IFD.Exif)
    for tag in list(exif):
        if tag in _OF_EXPOSURES and tag not in _OTHERS:
            own[tag] = exif.pop(tag)
    return exif


def set_attributes(spec: Any, attributes: tuple[Attribute, ...]) -> None:  # noqa: ANN401
    """Give them to a file that is to be written; without a date it gets none."""
    import OpenImageIO as oiio

    spec.attribute(_DATE, "")  # or OpenImageIO would write the present time
    for name, kind, value in attributes:
        spec.attribute(name, oiio.TypeDesc(_PLAIN.get(kind, kind)), value)


def window_of(spec: Any) -> tuple[int, ...]:  # noqa: ANN401
    """The data window (x, y, width, height) and the display window, or nothing if they agree."""
    data = (spec.x, spec.y, spec.width, spec.height)
    display = (spec.full_x, spec.full_y, spec.full_width, spec.full_height)
    return () if data == display else (*data, *display)


def set_window(spec: Any, window: tuple[int, ...]) -> None:  # noqa: ANN401
    """Put a picture that may be whole times as large where `window_of` found the other."""
    if not window:
        return
    factor = spec.width // window[2]
    if (spec.width, spec.height) == (factor * window[2], factor * window[3]):
        scaled = [factor * value for value in window]
        spec.x, spec.y = scaled[:2]
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = scaled[4:]


def enlarged(attributes: tuple[Attribute, ...], factor: int) -> tuple[Attribute, ...]:
    """Of a picture with so many times the pixels a side, of the same size when printed."""
    return tuple(
        (name, kind, factor * value if name in _RESOLUTION else value)
        for name, kind, value in attributes
    )


def resolution_of(attributes: tuple[Attribute, ...]) -> tuple[float, float] | None:
    """Dots per inch, if the file says so."""
    known = {name: value for name, _, value in attributes}
    across, down = (known.get(name) for name in _RESOLUTION)
    if not across or not down:
        return None
    per_inch = 2.54 if known.get(_UNIT) == "cm" else 1.0
    return sensible((float(across) * per_inch, float(down) * per_inch))
