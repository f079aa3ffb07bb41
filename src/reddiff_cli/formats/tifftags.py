"""Tags of TIFF files, whatever their pixels: EXIF, XMP, resolution.

Pillow knows tags but no 16-bit or float colours; OpenImageIO knows the pixels, but keeps only some
tags and adds the present time, so that two runs would never write equal bytes.
"""

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

# Damaged files carry what they can. For good, as catch_warnings is not safe between threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
XMP, ICC, PHOTOSHOP_LAYERS = 700, 34675, 37724
RESOLUTION = (282, 283, 296)  # across, down, unit
NO_UNIT, INCH = 1, 2
PER_INCH = {INCH: 1.0, 3: 2.54}  # 3: dots per centimetre
UNNAMED = {NO_UNIT: 1.0}
MOST_DPI = 1e6
Resolution = tuple[float, float, int]  # across, down, unit
# What describes the pixels of one file and is wrong in any other: sizes, strips, tiles, samples,
# colour tables, orientation, pages and sub-pictures.
STRUCTURE = frozenset(
    (254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281)
    + (284, 285, 288, 289, 290, 291, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330)
    + (332, 333, 334, 336, 337, 338, 339, 340, 341, 342, 347, 512, 513, 514, 529, 530, 531, 532)
    + (*RESOLUTION, XMP, ICC, PHOTOSHOP_LAYERS)
)
# Invented by OpenImageIO where nobody gave them: the present time, and an XMP packet with it.
_INVENTED = (ExifTags.Base.DateTime.value, XMP)
_NESTED = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
# How a BigTIFF file begins, as far as Pillow reads them, and how long its header is.
_BIG, _BIG_HEAD = b"II+\0", 16
_BIG_IN_REVERSE = b"MM\0+"


class _AsRead(str):
    """A text that is written with the bytes that it was read from.

    Pillow reads them as Latin-1, which any are, and writes a question mark for all but ASCII.
    """

    def encode(self, encoding: str = "latin-1", errors: str = "strict") -> bytes:  # noqa: ARG002
        return super().encode("latin-1", "replace")


def _with_own_texts(tags: Image.Exif) -> Image.Exif:
    """The same tags, of which Pillow will write every text as it stood in its file."""
    nested = [tag for tag in _NESTED if tag in tags]
    for directory in (tags, *(tags.get_ifd(tag) for tag in nested)):
        for tag, value in list(directory.items()):
            if isinstance(value, str):
                directory[tag] = _AsRead(value)
    return tags


def packed(tags: Image.Exif) -> bytes:
    """An EXIF block."""
    own = _with_own_texts(tags)
    own.bigtiff = False  # of a BigTIFF file Pillow would write a block that it cannot read
    return own.tobytes()


def unpacked(block: bytes) -> Image.Exif:
    """The tags of an EXIF block."""
    tags = Image.Exif()
    tags.load(block)
    return _with_own_texts(tags)


def read_tags(path: Path) -> Image.Exif:
    """All tags of the first picture of a TIFF file; raises nearly anything if it is damaged.

    Of the file only the tags are read, not the pixels.
    """
    tags, copy = Image.Exif(), Image.Exif()
    with path.open("rb") as file:
        head = file.read(_BIG_HEAD)
        tags.bigtiff, tags.endian = head.startswith(_BIG), "<" if head.startswith(b"II") else ">"
        file.seek(0)
        tags.load_from_fp(file, int.from_bytes(head[8:], "little") if tags.bigtiff else None)
        copy.load(packed(tags))  # Pillow would look up nested tags when the file is closed
    return copy


def is_big_in_reverse(path: Path) -> bool:
    """Whether it is a BigTIFF file of the byte order that Pillow does not read in such files."""
    with path.open("rb") as file:
        return file.read(len(_BIG_IN_REVERSE)) == _BIG_IN_REVERSE


def resolution_in(
    load: Callable[[], Image.Exif], units: Mapping[int, float] = PER_INCH
) -> tuple[float, float] | None:
    """Dots per inch by the tags of an EXIF block or a TIFF file; units: or by others."""
    with suppress(Exception):  # damaged tags raise nearly anything
        tags = load()
        factor = units[tags.get(RESOLUTION[2], INCH)]  # KeyError: a unit that is not asked for
        return sensible([float(tags[tag]) * factor for tag in RESOLUTION[:2]])
    return None


def dpi_of(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch of an open picture, if its file tells any.

    Where it does not, Pillow says 1 of TIFF, and 72 of JPEG with EXIF.
    """
    invented = image.format in ("JPEG", "MPO") and image.info.get("jfif_unit") not in (1, 2)
    told = None if invented or image.format == "TIFF" else sensible(image.info.get("dpi"))
    return told or resolution_in(image.getexif)


def sensible(dpi: Any) -> tuple[float, float] | None:  # noqa: ANN401  (whatever a file says)
    """A resolution across and down, or None if it can be none."""
    with suppress(TypeError, ValueError, ZeroDivisionError):
        across, down = (float(value) for value in dpi)
        if 0 < across < MOST_DPI and 0 < down < MOST_DPI:
            return across, down
    return None


def with_tags(tiff: bytes, exif: bytes, xmp: bytes, resolution: Resolution | None) -> bytes:
    """A TIFF file with an EXIF block beside its own tags, and without OpenImageIO's inventions."""
    tags = unpacked(exif)
    file = BytesIO(tiff)
    directory = ImageFileDirectory_v2(file.read(8))
    file.seek(directory.next)
    directory.load(file)
    for tag in list(directory):
        directory[tag] = directory[tag]  # read now: Pillow writes only what was asked for
    for invented in _INVENTED:
        directory.pop(invented, None)
    for tag, value in tags.items():
        if tag not in STRUCTURE:
            directory[tag] = dict(tags.get_ifd(tag)) if tag in _NESTED else value
    if xmp:
        directory[XMP] = xmp
    if resolution:
        for tag, value in zip(RESOLUTION, resolution, strict=True):
            directory[tag] = value
    # Pillow counts the places of the strips from the end of the directory.
    start = 8
    header = tiff[:4] + start.to_bytes(4, "little" if tiff[:2] == b"II" else "big")
    return header + directory.tobytes(start) + tiff
