"""Picture files: pixels, alpha, depth and metadata, in and out without loss.

Pillow reads and writes 8-bit files. It opens 16-bit colour files as 8-bit without a warning, so
the depth is looked up first and deeper files go to OpenImageIO.
"""

import json
import os
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from . import deep
from .errors import PictureError, UsageError

Pixels = NDArray[np.float32]
Hole = NDArray[np.bool_]  # (H, W), True = to be filled

PICTURE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".jp2", ".heic", ".heif")
)
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
LOSSY = frozenset(("JPEG", "WEBP"))
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


@dataclass(frozen=True)
class Picture:
    """pixels: float32 (H, W, 1 or 3) in [0, 1], upright.    alpha: float32 (H, W) or None.

    depth: bits of the file, 8 or 16.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    depth: int = 8
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


def load_picture(path: Path) -> Picture:
    """Read one picture, upright. PictureError names the file and the reason."""
    if path.suffix.lower() in (".heic", ".heif"):
        _learn_heif(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns above 89 megapixels and refuses above 179; only the refusal matters.
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                return _read(path, image)
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"{path}: no such file", "Missing") from error
    except UnidentifiedImageError as error:
        if path.suffix.lower() in (".tif", ".tiff") and path.stat().st_size:
            with suppress(PictureError):
                # Pillow knows no 16-bit grey with alpha.
                return Picture(*deep.read(path, 16, 1), depth=16)
        raise PictureError(f"{path}: not a picture, or damaged", "Unreadable") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: more than 179 megapixels; split it", "TooLarge") from error
    except Exception as error:  # decoders raise nearly anything on damaged data
        reason = str(error) or type(error).__name__
        raise PictureError(f"{path}: cannot be decoded ({reason})", "Unreadable") from error


def save_picture(
    picture: Picture, path: Path, record: dict[str, Any] | None, quality: int = 95
) -> None:
    """Write through a temporary file in the same folder, so that no half picture can exist.

    record: the settings record, or None to write neither record nor metadata. UsageError for a
    suffix that cannot be written; PictureError when the file system refuses.
    """
    write_whole(path, _encode(picture, path, record, quality))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that no half of it can be seen; PictureError if that is refused."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".reddiff-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(f"{path}: cannot be written ({reason})", "Unwritable") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any] | None:
    """The settings record of a file that reddiff wrote, or None."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            comment = exif.get_ifd(ExifTags.IFD.Exif).get(_USER_COMMENT)
            # 16-bit files carry it as their description; cameras write there too.
            carriers = [image.info.get("reddiff"), comment, exif.get(_DESCRIPTION)]
    except Exception:  # whatever is wrong with the file: it carries no record of ours
        return None
    for carrier in carriers:
        raw = carrier.encode("utf-8", "replace") if isinstance(carrier, str) else carrier
        with suppress(ValueError, TypeError):
            record = json.loads(bytes(raw or b"").removeprefix(_COMMENT_PREFIX))
            if isinstance(record, dict):
                return record
    return None


def format_of(path: Path) -> str:
    """Pillow's name of the format that a suffix asks for; UsageError for an unknown one."""
    known = FORMATS.get(path.suffix.lower())
    if known is None:
        raise UsageError(f"{path}: cannot write '{path.suffix}'; use {', '.join(FORMATS)}")
    return known


def _learn_heif(path: Path) -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        message = f"{path}: HEIC needs an extra; pip install 'reddiff-cli[heic]'"
        raise PictureError(message, "Unreadable") from error
    register_heif_opener()


def check_format(picture: Picture, path: Path) -> None:
    """UsageError if the format of `path` cannot hold the picture's alpha or depth."""
    kind = format_of(path)
    if picture.alpha is not None and kind == "JPEG":
        raise UsageError(f"{path}: JPEG cannot hold transparency; write .png instead")
    if picture.depth > 8 and kind not in ("PNG", "TIFF"):
        raise UsageError(f"{path}: {kind} holds 8 bits, the picture has 16; write .png")


def _read(path: Path, image: Image.Image) -> Picture:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        message = f"{path}: holds {frames} frames; give one still picture"
        raise PictureError(message, "Animated")
    bits = _bits_per_channel(path, image)
    metadata = _metadata(image)
    if bits > 8:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
        pixels, alpha = deep.read(path, bits, orientation)
        return Picture(pixels, alpha, 16, metadata)
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        metadata = replace(metadata, icc=b"")  # the profile describes the old colour space
    upright = ImageOps.exif_transpose(image)
    pixels, alpha = _to_arrays(upright)
    return Picture(pixels, alpha, 8, metadata)


def _bits_per_channel(path: Path, image: Image.Image) -> int:
    if image.format == "PNG":
        with path.open("rb") as file:
            return int(file.read(26)[24])  # IHDR: bit depth
    if image.format == "TIFF":
        value: Any = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        return max(value) if isinstance(value, tuple) else int(value)
    return 16 if image.mode.startswith("I") else 8


def _metadata(image: Image.Image) -> Metadata:
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


def _to_arrays(image: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Any 8-bit mode -> grey or RGB in [0, 1], and alpha where there is one."""
    has_alpha = image.has_transparency_data
    grey = image.mode in ("1", "L", "LA", "La")
    mode = ("LA" if has_alpha else "L") if grey else ("RGBA" if has_alpha else "RGB")
    values = np.asarray(image.convert(mode), dtype=np.float32) / np.float32(255)
    if values.ndim == 2:
        values = values[:, :, None]
    if not has_alpha:
        return values, None
    return np.ascontiguousarray(values[:, :, :-1]), np.ascontiguousarray(values[:, :, -1])


def _encode(picture: Picture, path: Path, record: dict[str, Any] | None, quality: int) -> bytes:
    check_format(picture, path)
    kind = format_of(path)
    text = None if record is None else json.dumps(record, sort_keys=True)
    if picture.depth > 8:
        icc = b"" if text is None else picture.metadata.icc
        return deep.encode(picture.pixels, picture.alpha, path.suffix, icc, text)
    image = _to_image(picture)
    options = {} if text is None else _carriers(picture.metadata, kind, text)
    if kind in LOSSY:
        options["quality"] = quality
    if kind == "PNG":
        options["compress_level"] = 4  # level 6 saves 2 % of the size for twice the time
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _to_image(picture: Picture) -> Image.Image:
    values = picture.pixels
    if picture.alpha is not None:
        values = np.concatenate([values, picture.alpha[:, :, None]], axis=2)
    eight = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(eight[:, :, 0] if eight.shape[2] == 1 else eight)


def _carriers(metadata: Metadata, kind: str, text: str) -> dict[str, Any]:
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


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
