"""How metadata and the settings record travel inside picture files, or beside them.

PNG: a text chunk `reddiff`. JPEG, WebP, 8-bit TIFF: the EXIF user comment. Deeper TIFF and 16-bit
PNG: the image description. EXR: a string attribute `reddiff`. Radiance .hdr: `{name}.json`.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

_USER_COMMENT = ExifTags.Base.UserComment.value
_ORIENTATION = ExifTags.Base.Orientation.value
_DESCRIPTION = ExifTags.Base.ImageDescription.value
_COMMENT_PREFIX = b"ASCII\0\0\0"


@dataclass(frozen=True)
class Metadata:
    """What is carried from the input file to the output file."""

    exif: bytes = b""
    icc: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None


def metadata_of(image: Image.Image) -> Metadata:
    """EXIF without orientation, profile, XMP and resolution of an open picture."""
    exif = Image.Exif()
    exif.load(image.getexif().tobytes())  # a copy: the image still needs its orientation
    exif.pop(_ORIENTATION, None)
    xmp = image.info.get("xmp", b"")
    return Metadata(
        exif=exif.tobytes() if len(exif) else b"",
        icc=image.info.get("icc_profile") or b"",
        xmp=xmp if isinstance(xmp, bytes) else b"",
        dpi=image.info.get("dpi"),
    )


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
