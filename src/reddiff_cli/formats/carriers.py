"""How metadata and the settings record travel inside picture files, or beside them.

PNG: a text chunk `reddiff`. JPEG, WebP, TIFF: the EXIF user comment. EXR: a string attribute
`reddiff`. Radiance .hdr: `{name}.json`; such a file has no room for anything else.
"""

import json
import math
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from .attributes import (
    MOST_EXIF,
    RECORD,
    Attribute,
    attributes_from,
    attributes_of,
    enlarged,
    exif_from,
    resolution_of,
    window_of,
)
from .attributes import XMP as XMP_ATTRIBUTE
from .colours import COLOURS, SRGB, Chunks
from .comments import ASCII, words
from .finer import refine
from .iptc import segment_of, with_iptc
from .opening import open_picture
from .pngchunks import insert
from .radiance import lines_of
from .reader import reader_of
from .tifftags import (
    ICC,
    INCH,
    NO_UNIT,
    RESOLUTION,
    STRUCTURE,
    UNNAMED,
    XMP,
    Resolution,
    dpi_of,
    packed,
    read_tags,
    resolution_in,
    unpacked,
    with_tags,
)

_USER_COMMENT = ExifTags.Base.UserComment.value
# The size of the file that an EXIF block comes from, in its own words.
_SIZES = (ExifTags.Base.ExifImageWidth.value, ExifTags.Base.ExifImageHeight.value)
# An XMP packet shares its segment of a JPEG file with a name of 29 bytes.
MOST_XMP = MOST_EXIF - 29
# A packet may say how to turn the picture, which has been done.
_TURN = re.compile(
    rb"""\s+tiff:Orientation\s*=\s*("[^"]*"|'[^']*')|<tiff:Orientation>[^<]*</tiff:Orientation>"""
)
# More would wrap around.
_MOST_DPI_OF_JPEG = 65535


@dataclass(frozen=True)
class Metadata:
    """What is carried from the input file to the output file.

    attributes: of an EXR file, which are more than EXIF can hold.    window: its data window
    (x, y, width, height) and its display window, where these differ.    ratio: the resolution of a
    TIFF file by a unit that it does not name, as microscopes do, or names in its description.
    colours: what a PNG says of them beside a profile.    texts: further words in a PNG.
    """

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    attributes: tuple[Attribute, ...] = ()
    window: tuple[int, ...] = ()
    ratio: tuple[float, float] | None = None
    colours: Chunks = ()
    texts: Chunks = ()

    @property
    def resolution(self) -> Resolution | None:
        """As the tags of a TIFF file tell it."""
        if self.dpi:
            return (*self.dpi, INCH)
        return (*self.ratio, NO_UNIT) if self.ratio else None

    def enlarged(self, factor: int) -> "Metadata":
        """Of a picture with so many times the pixels a side, of the same size when printed."""
        dpi, ratio = (
            pair and (factor * pair[0], factor * pair[1]) for pair in (self.dpi, self.ratio)
        )
        exif = unpacked(self.exif)
        refine(exif, factor)
        return replace(
            self,
            exif=packed(exif) if len(exif) else b"",
            dpi=dpi,
            ratio=ratio,
            attributes=enlarged(self.attributes, factor),
        )


def metadata_of(image: Image.Image) -> Metadata:
    """EXIF and IPTC without orientation, profile, XMP and resolution of an open picture.

    A PNG must be loaded, as texts may come after its pixels. What is damaged is left out: metadata
    is no reason to lose a picture.
    """
    xmp = image.info.get("xmp", b"")
    return Metadata(
        exif=with_iptc(_carried(image.getexif), image),
        icc=image.info.get("icc_profile") or b"",
        xmp=_TURN.sub(b"", xmp) if isinstance(xmp, bytes) else b"",
        dpi=dpi_of(image),
        ratio=resolution_in(image.getexif, UNNAMED),
    )


def metadata_of_file(path: Path) -> Metadata:
    """The same of a TIFF, EXR or Radiance file, which Pillow does not open."""
    if path.suffix.lower() == ".exr":
        return _metadata_of_exr(path)
    if path.suffix.lower() == ".hdr":
        return Metadata(attributes=lines_of(path))
    with suppress(Exception):  # damaged tags raise nearly anything
        tags = read_tags(path)
        return Metadata(
            exif=_carried(lambda: tags),
            icc=bytes(tags.get(ICC, b"")),
            xmp=_TURN.sub(b"", bytes(tags.get(XMP, b""))),
            dpi=resolution_in(lambda: tags),
            ratio=resolution_in(lambda: tags, UNNAMED),
        )
    return Metadata()


def _metadata_of_exr(path: Path) -> Metadata:
    import OpenImageIO as oiio

    with suppress(Exception):  # as above
        spec = oiio.ImageBuf(str(path)).spec()
        attributes = attributes_of(spec)
        xmp = {name: value for name, _, value in attributes}.get(XMP_ATTRIBUTE, "")
        return Metadata(
            exif=_carried(lambda: exif_from(attributes)),
            xmp=str(xmp).encode(),
            dpi=resolution_of(attributes),
            attributes=attributes,
            window=window_of(spec),
        )
    return Metadata()


def _carried(load: Callable[[], Image.Exif]) -> bytes:
    """An EXIF block without what describes the pixels of the file that it comes from."""
    exif = Image.Exif()
    with suppress(Exception):  # a damaged block raises nearly anything
        exif.load(packed(load()))  # a copy: an image still needs its orientation
        for tag in STRUCTURE.intersection(exif):
            exif.pop(tag)
        for tag in _SIZES:
            exif.get_ifd(ExifTags.IFD.Exif).pop(tag, None)
        return packed(exif) if len(exif) else b""
    return b""


def sidecar(path: Path) -> Path:
    """The file beside a picture whose format has no room for the record."""
    return path.with_name(path.name + ".json")


def read_record(path: Path) -> dict[str, Any] | None:
    """The settings record of a file that reddiff wrote, or None."""
    for carrier in _carriers_in(path):
        raw = carrier.encode("utf-8", "replace") if isinstance(carrier, str) else carrier
        with suppress(ValueError, TypeError, RecursionError):
            # After what somebody else had to say.
            own = bytes(raw or b"").removeprefix(ASCII).rpartition(b"\n")[2]
            record = json.loads(own)
            if isinstance(record, dict):
                return record
    return None


def _carriers_in(path: Path) -> list[Any]:
    """Whatever may hold a record; empty if the file is not readable."""
    suffix = path.suffix.lower()
    with suppress(Exception):  # whatever is wrong with the file: it carries no record
        if not path.is_file():  # reading a pipe would wait for ever
            return []
        if suffix == ".hdr":
            return [sidecar(path).read_bytes()]
        if suffix == ".exr":
            with reader_of(path) as source:
                return [] if source is None else [source.spec().getattribute(RECORD)]
        if suffix in (".tif", ".tiff"):
            return [read_tags(path).get_ifd(ExifTags.IFD.Exif).get(_USER_COMMENT)]
        with open_picture(path) as image:
            if image.format == "PNG":  # its texts alone: EXIF is looked for behind all pixels
                return [image.info.get(RECORD)]
            return [image.getexif().get_ifd(ExifTags.IFD.Exif).get(_USER_COMMENT)]
    return []


def save_options(metadata: Metadata, kind: str, text: str) -> dict[str, Any]:
    """Save options that carry metadata and the settings record."""
    options: dict[str, Any] = {}
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    most = {"WEBP": 0, "JPEG": _MOST_DPI_OF_JPEG}.get(kind, math.inf)
    if metadata.dpi and max(metadata.dpi) <= most:
        options["dpi"] = metadata.dpi
    elif metadata.ratio and kind == "TIFF":
        names = ("x_resolution", "y_resolution", "resolution_unit")
        options |= zip(names, (*metadata.ratio, NO_UNIT), strict=True)
    exif = _exif(metadata, text if kind != "PNG" else None)
    if kind == "JPEG":
        options["extra"] = segment_of(exif)
        exif = exif if len(packed(exif)) <= MOST_EXIF else _exif(Metadata(), text)
    if metadata.xmp and (kind == "WEBP" or (kind == "JPEG" and len(metadata.xmp) <= MOST_XMP)):
        options["xmp"] = metadata.xmp
    if metadata.xmp and kind == "TIFF":
        exif[XMP] = metadata.xmp
    if metadata.dpi and kind == "WEBP":  # no other place
        exif.update(zip(RESOLUTION, (*metadata.dpi, INCH), strict=True))
    if kind == "PNG":
        info = PngInfo()
        for kind_of_chunk, content in (*metadata.colours, *metadata.texts):
            info.add(kind_of_chunk, content)
        info.add_text("reddiff", text)
        if metadata.xmp:
            info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
        options["pnginfo"] = info
    if len(exif) or kind != "PNG":
        options["exif"] = unpacked(packed(exif)) if kind == "TIFF" else packed(exif)
    return options


def _exif(metadata: Metadata, record: str | None) -> Image.Exif:
    """The EXIF block, with the record as its user comment, below what was said there before."""
    exif = unpacked(metadata.exif)
    if record is not None:
        tags = exif.get_ifd(ExifTags.IFD.Exif)
        said = words(tags.get(_USER_COMMENT))
        tags[_USER_COMMENT] = ASCII + f"{said}\n{record}".lstrip().encode()
    return exif


def tiff_with(tiff: bytes, metadata: Metadata, text: str | None) -> bytes:
    """A deep TIFF file with EXIF, XMP, resolution and record; text None: with nothing."""
    if text is None:
        return with_tags(tiff, b"", b"", None)
    return with_tags(tiff, packed(_exif(metadata, text)), metadata.xmp, metadata.resolution)


def exr_attributes(metadata: Metadata, text: str | None) -> tuple[Attribute, ...]:
    """EXIF, XMP, resolution and record as attributes; text None: nothing."""
    if text is None:
        return ()
    own = metadata.attributes or attributes_from(metadata.exif, metadata.dpi)
    if metadata.xmp and XMP_ATTRIBUTE not in {name for name, *_ in own}:
        own += ((XMP_ATTRIBUTE, "string", metadata.xmp.decode("utf-8", "replace")),)
    return (*own, (RECORD, "string", text))


def with_chunks(png: bytes, metadata: Metadata, text: str) -> bytes:
    """A PNG file with colours, EXIF, XMP, resolution and record put in after its header."""
    chunks = [told for told in metadata.colours if told[0] != SRGB or not metadata.icc]
    chunks += (*metadata.texts, (b"tEXt", b"reddiff\0" + text.encode("latin-1", "replace")))
    if metadata.icc:  # libpng refuses damaged ones, and the picture with them
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif.removeprefix(b"Exif\0\0")))
    if metadata.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    if metadata.dpi:
        across, down = (round(value / 0.0254) for value in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    return insert(png, chunks, b"eXIf", *COLOURS, b"oFFs")  # OpenImageIO says sRGB of any colours
