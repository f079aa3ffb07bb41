"""Picture files: pixels, alpha, depth and metadata, in and out without loss.

Pillow reads and writes 8-bit files. It opens 16-bit colour files as 8-bit without a warning, so
the depth is looked up first and deeper files go to OpenImageIO. Float files (EXR, Radiance .hdr,
float TIFF) hold linear light that may exceed 1; files of 8 and 16 bits hold sRGB values.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..errors import PictureError, ReddiffError
from ..files import write_whole
from ..formats import deep, heif
from ..formats.carriers import (
    exr_attributes,
    metadata_of,
    metadata_of_file,
    read_record,
    save_options,
    sidecar,
    tiff_with,
    with_chunks,
)
from ..formats.damage import no_picture, telling_of_damage, unopened
from ..formats.kinds import FLOAT, LOSSY, format_of, smooths
from ..formats.opened import (
    CMYK,
    PHOTOMETRIC,
    bits_per_channel,
    check_samples,
    chunks_of,
    exchanges_sides,
    has_no_colours,
    is_float_tiff,
    is_multiplied,
    orientation_in,
    stored_of,
    upright_size,
)
from ..formats.opening import open_picture
from ..formats.radiance import with_lines
from ..formats.samples import eight_bits_of, rounded, scaled
from ..formats.tifftags import is_big_in_reverse, read_tags
from .pixels import Hole as Hole
from .pixels import Picture as Picture
from .pixels import Pixels as Pixels
from .pixels import as_in_file as as_in_file
from .pixels import check_depth as check_depth
from .pixels import check_format as check_format
from .pixels import told_of_cut as told_of_cut
from .pixels import with_depth as with_depth


@telling_of_damage
def load_picture(path: Path) -> Picture:
    """Read one picture, upright. PictureError names the file and the reason."""
    if _is_light(path):
        pixels, alpha, stored = deep.read_float(path)
        return Picture(pixels, alpha, FLOAT, metadata_of_file(path), stored)
    with suppress(UnidentifiedImageError), _opened(path) as image:
        return replace(_read(path, image), smoothed=smooths(path, image))
    _check_odd_tiff(path)
    return _read_odd_tiff(path)


@telling_of_damage
def load_eight_bits(path: Path) -> NDArray[np.uint8] | None:
    """Samples of an 8-bit file, as `eight_bits_of`, None of others; PictureError as above."""
    if not _is_light(path):
        with suppress(UnidentifiedImageError), _opened(path) as image:
            _check_still(path, image)
            check_samples(path, image)
            if bits_per_channel(path, image) <= 8:
                return eight_bits_of(image)
    return None


@telling_of_damage
def size_of(path: Path) -> tuple[int, int]:
    """Width and height of an upright picture, from its header alone; PictureError as above."""
    if _is_light(path):
        return deep.size_of(path)
    with suppress(UnidentifiedImageError), _opened(path) as image:
        _check_still(path, image)
        check_samples(path, image)
        return upright_size(path, image)
    _check_odd_tiff(path)
    return deep.size_of(path)


@telling_of_damage
def lies_on_its_side(path: Path) -> bool:
    """Whether width and height of a picture change places as its orientation turns it."""
    if not _is_light(path):
        with suppress(UnidentifiedImageError), _opened(path) as image:
            return exchanges_sides(path, image)
    return False


@telling_of_damage
def header_of(path: Path) -> tuple[int, bool]:
    """Depth of the picture, and whether it has transparency, if its header says that at once."""
    if not _is_light(path):
        with suppress(UnidentifiedImageError), _opened(path) as image:
            if not is_float_tiff(image):
                eight = bits_per_channel(path, image) <= 8
                told = eight or image.format == "PNG"
                return 8 if eight else 16, told and image.has_transparency_data
    return FLOAT, False


@telling_of_damage
def is_grey(path: Path) -> bool:
    """Whether a picture has no colours; PictureError as above."""
    if not _is_light(path):
        with suppress(UnidentifiedImageError), _opened(path) as image:
            return has_no_colours(path, image)
    return bool(load_picture(path).pixels.shape[2] == 1)


def _is_light(path: Path) -> bool:
    return path.suffix.lower() in (".exr", ".hdr") and path.is_file()


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A file open in Pillow; whatever goes wrong with it is a PictureError.

    Except UnidentifiedImageError: other readers may know the file.
    """
    if path.suffix.lower() in heif.SUFFIXES:
        heif.learn(path)
    try:
        # Pillow warns above 89 megapixels and refuses above 179; only the refusal matters.
        with open_picture(path) as image:
            yield image
    except (ReddiffError, UnidentifiedImageError):
        raise
    except FileNotFoundError as error:
        raise PictureError(f"{path}: no such file", "Missing") from error
    except PermissionError as error:
        raise unopened(path, error) from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{path}: more than 179 megapixels; split it", "TooLarge") from error
    except Exception as error:  # decoders raise nearly anything on damaged data
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{path}: cannot be decoded ({reason})", "Unreadable") from error


def save_picture(
    picture: Picture, path: Path, record: dict[str, Any] | None, quality: int = 95
) -> None:
    """Write through a temporary file in the same folder, so that no half picture can exist.

    record: the settings record, or None to write neither record nor metadata. UsageError for a
    suffix that cannot be written; PictureError when the file system refuses.
    """
    write_whole(path, _encode(as_in_file(picture), path, record, quality))
    if format_of(path) == "HDR":
        # After the picture: a crash in between leaves a record that does not fit, not one that
        # claims what was never done.
        _write_sidecar(path, record)


def _read(path: Path, image: Image.Image) -> Picture:
    _check_still(path, image)
    check_samples(path, image)
    bits = bits_per_channel(path, image)
    if image.format == "PNG":
        # Damaged pixels are told of once only: whoever asks again gets what was decoded by then.
        image.load()
    colours, texts = chunks_of(path, image)
    metadata = replace(metadata_of(image), colours=colours, texts=texts)
    if is_float_tiff(image):
        pixels, alpha, stored = deep.read_float(path)
        return Picture(pixels, alpha, FLOAT, metadata, stored)
    if bits > 8 and image.format == "HEIF":
        return Picture(*deep.split(path, heif.read(path)), 16, metadata)
    if bits > 8 or is_multiplied(image):  # of 8 bits Pillow divides, and rounds down
        orientation = orientation_in(image.getexif())
        tags: Any = getattr(image, "tag_v2", {})
        if tags.get(PHOTOMETRIC) == CMYK:
            metadata = replace(metadata, icc=b"")
        pixels, alpha = deep.read(path, bits, stored_of(tags, orientation))
        return Picture(pixels, alpha, max(bits, 8), metadata)
    if image.mode in ("CMYK", "YCbCr", "LAB"):
        metadata = replace(metadata, icc=b"")  # the profile describes the old colour space
    eight = eight_bits_of(image)
    if eight.shape[2] in (1, 3):
        return Picture(scaled(eight, 255), None, 8, metadata)
    return Picture(scaled(eight[:, :, :-1], 255), scaled(eight[:, :, -1], 255), 8, metadata)


def _check_still(path: Path, image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    # Cameras add a preview or a map of highlights to a photograph: it comes first.
    if frames > 1 and image.format != "MPO":
        message = f"{path}: holds {frames} frames; give one still picture"
        raise PictureError(message, "Animated")


def _check_odd_tiff(path: Path) -> None:
    """PictureError for a file that Pillow does not know, if no other reader can."""
    if path.suffix.lower() not in (".tif", ".tiff") or not path.stat().st_size:
        raise no_picture(path)
    if is_big_in_reverse(path):
        told = f"{path}: is a big-endian BigTIFF, whose tags are not read"
        raise PictureError(f"{told}; save it as a little-endian one, or as TIFF", "Layout")


def _read_odd_tiff(path: Path) -> Picture:
    """Kinds that Pillow does not know: 16-bit grey with alpha, and float colours."""
    metadata, stored = metadata_of_file(path), deep.Stored()
    with suppress(Exception):  # damaged tags raise nearly anything
        tags = read_tags(path)
        stored = stored_of(tags, orientation_in(tags))
    try:
        return Picture(*deep.read(path, 16, stored), 16, metadata)
    except PictureError as error:
        if error.kind == "Channels":
            raise
    try:
        pixels, alpha, multiplied = deep.read_float(path)
        return Picture(pixels, alpha, FLOAT, metadata, multiplied)
    except PictureError as error:
        if error.kind != "Unreadable":
            raise
        raise no_picture(path) from error


def _encode(picture: Picture, path: Path, record: dict[str, Any] | None, quality: int) -> bytes:
    check_format(picture, path)
    text = None if record is None else json.dumps(record, sort_keys=True)
    try:
        if picture.depth > 8:
            return _encode_deep(picture, path, text)
        return _encode_eight(picture, format_of(path), text, quality)
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # encoders raise nearly anything, at sizes they cannot hold
        reason = str(error) or type(error).__name__
        raise PictureError(f"{path}: cannot be encoded ({reason})", "Unwritable") from error


def _encode_deep(picture: Picture, path: Path, text: str | None) -> bytes:
    metadata, kind = picture.metadata, format_of(path)
    icc = b"" if text is None or kind == "PNG" else metadata.icc
    values, stored = (picture.pixels, picture.alpha, path.suffix, icc), picture.stored
    if kind == "PNG":
        content = deep.encode(*values)
        return content if text is None else with_chunks(content, metadata, text)
    if kind == "TIFF":
        light = picture.linear
        content = deep.encode_float(*values, stored=stored) if light else deep.encode(*values)
        return tiff_with(content, metadata, text)
    attributes = exr_attributes(metadata, text) if kind == "EXR" else ()
    # Where a picture lies in its frame is no metadata: it is kept with --strip, too.
    place = metadata.window
    content = deep.encode_float(*values, attributes, place, stored)
    return with_lines(content, metadata.attributes) if kind == "HDR" and text else content


def _encode_eight(picture: Picture, kind: str, text: str | None, quality: int) -> bytes:
    image = _to_image(picture)
    options = {} if text is None else save_options(picture.metadata, kind, text)
    if kind in LOSSY:
        options["quality"] = quality
    if kind == "PNG":
        options["compress_level"] = 4  # level 6 saves 2 % of the size for twice the time
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _write_sidecar(path: Path, record: dict[str, Any] | None) -> None:
    """Write the record beside a picture, or remove one that describes an earlier picture."""
    if record is not None:
        write_whole(sidecar(path), json.dumps(record, sort_keys=True).encode())
    elif read_record(path) is not None:
        sidecar(path).unlink(missing_ok=True)


def _to_image(picture: Picture) -> Image.Image:
    values = picture.pixels
    if picture.alpha is not None:
        values = np.concatenate([values, picture.alpha[:, :, None]], axis=2)
    eight = rounded(values, 8)
    return Image.fromarray(eight[:, :, 0] if eight.shape[2] == 1 else eight)
