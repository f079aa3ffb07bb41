"""How metadata and the settings record travel inside picture files, or beside them.

PNG: a text chunk `reddiff`. JPEG, WebP, 8-bit TIFF: the EXIF user comment. Deeper TIFF: the image
description. EXR: a string attribute `reddiff`. Radiance .hdr: `{name}.json`.
"""

import json
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

_USER_COMMENT = ExifTags.Base.UserComment.value
_ORIENTATION = ExifTags.Base.Orientation.value
_DESCRIPTION = ExifTags.Base.ImageDescription.value
_XMP = 700  # TIFF
_COMMENT_PREFIX = b"ASCII\0\0\0"
MOST_DPI = 1e6
_HEADER = 33  # bytes of a PNG's signature and IHDR


@dataclass(frozen=True)
class Metadata:
    """What is carried from the input file to the output file."""

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None


def metadata_of(image: Image.Image) -> Metadata:
    """EXIF without orientation, profile, XMP and resolution of an open picture.

    What is damaged is left out: metadata is no reason to lose a picture.
    """
    xmp = image.info.get("xmp", b"")
    return Metadata(
        exif=_exif_of(image),
        icc=image.info.get("icc_profile") or b"",
        xmp=xmp if isinstance(xmp, bytes) else b"",
        dpi=_dpi_of(image),
    )


def _exif_of(image: Image.Image) -> bytes:
    exif = Image.Exif()
    with suppress(Exception):  # a damaged block raises nearly anything
        exif.load(image.getexif().tobytes())  # a copy: the image still needs its orientation
        exif.pop(_ORIENTATION, None)
        return exif.tobytes() if len(exif) else b""
    return b""


def _dpi_of(image: Image.Image) -> tuple[float, float] | None:
    with suppress(TypeError, ValueError, ZeroDivisionError):
        across, down = (float(value) for value in image.info.get("dpi", ()))
        if 0 < across < MOST_DPI and 0 < down < MOST_DPI:
            return across, down
    return None


def sidecar(path: Path) -> Path:
    """The file beside a picture whose format has no room for the record."""
    return path.with_name(path.name + ".json")


def read_record(path: Path) -> dict[str, Any] | None:
    """The settings record of a file that reddiff wrote, or None."""
    for carrier in _carriers_in(path):
        raw = carrier.encode("utf-8", "replace") if isinstance(carrier, str) else carrier
        with suppress(ValueError, TypeError):
            record = json.loads(bytes(raw or b"").removeprefix(_COMMENT_PREFIX))
            if isinstance(record, dict):
                return record
    return None


def _carriers_in(path: Path) -> list[Any]:
    """Whatever may hold a record; empty if the file is not readable."""
    suffix = path.suffix.lower()
    if suffix == ".hdr":
        with suppress(OSError):
            return [sidecar(path).read_bytes() if path.is_file() else b""]
        return []
    if suffix == ".exr":
        return _described(path, "reddiff")
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            comment = exif.get_ifd(ExifTags.IFD.Exif).get(_USER_COMMENT)
            # 16-bit files carry it as their description; cameras write there too.
            return [image.info.get("reddiff"), comment, exif.get(_DESCRIPTION)]
    except Exception:  # whatever is wrong with the file: it carries no record Pillow can see
        return _described(path, "ImageDescription") if suffix in (".tif", ".tiff") else []


def _described(path: Path, attribute: str) -> list[Any]:
    """A string attribute through OpenImageIO, for files that Pillow does not open."""
    import OpenImageIO as oiio

    source = oiio.ImageInput.open(str(path)) if path.is_file() else None
    if source is None:
        oiio.geterror()  # or it would be printed when the program ends
        return []
    value = source.spec().getattribute(attribute)
    source.close()
    return [value]


def save_options(metadata: Metadata, kind: str, text: str) -> dict[str, Any]:
    """Save options that carry metadata and the settings record."""
    options: dict[str, Any] = {}
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if metadata.dpi and kind != "WEBP":
        options["dpi"] = metadata.dpi
    if metadata.xmp and kind in ("JPEG", "WEBP"):
        options["xmp"] = metadata.xmp
    exif = Image.Exif()
    exif.load(metadata.exif)
    if metadata.xmp and kind == "TIFF":
        exif[_XMP] = metadata.xmp
    if kind == "PNG":
        info = PngInfo()
        info.add_text("reddiff", text)
        if metadata.xmp:
            info.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
        options["pnginfo"] = info
    else:
        exif.get_ifd(ExifTags.IFD.Exif)[_USER_COMMENT] = _COMMENT_PREFIX + text.encode()
    if len(exif) or kind != "PNG":
        options["exif"] = exif.tobytes()
    return options


def with_chunks(png: bytes, metadata: Metadata, text: str) -> bytes:
    """A PNG file with EXIF, XMP, resolution and record put in after its header."""
    chunks = [(b"tEXt", b"reddiff\0" + text.encode("latin-1", "replace"))]
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif.removeprefix(b"Exif\0\0")))
    if metadata.xmp:
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    if metadata.dpi:
        across, down = (round(value / 0.0254) for value in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    rest = _without(png[_HEADER:], {kind for kind, _ in chunks} | {b"eXIf"})
    return png[:_HEADER] + b"".join(_chunk(*chunk) for chunk in chunks) + rest


def _without(chunks: bytes, kinds: set[bytes]) -> bytes:
    """The chunks of a PNG file without those of some kinds."""
    kept, place = [], 0
    while place < len(chunks):
        (length,) = struct.unpack_from(">I", chunks, place)
        whole = chunks[place : place + length + 12]
        if whole[4:8] not in kinds:
            kept.append(whole)
        place += len(whole)
    return b"".join(kept)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
