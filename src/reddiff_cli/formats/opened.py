"""What an open picture tells before its pixels are decoded: bits, tags, EXIF, how it is turned."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

from ..errors import PictureError
from . import deep, heif, jpeg2000
from .colours import Chunks, colours_of
from .pngchunks import texts_of, words_follow_pixels
from .samples import CONVERT, check_bits, is_grey

ORIENTATION = ExifTags.Base.Orientation.value
PHOTOMETRIC, _WHITE_IS_ZERO, CMYK = 262, 0, 5  # TIFF
_SAMPLE_FORMAT, _IS_SIGNED, _IS_FLOAT, _EXTRA_SAMPLES = 339, 2, 3, 338
_SAMPLES = 277  # of a pixel
_SLICES = 32997  # of a volume, as tifffile writes it
ON_SIDE = range(5, 9)  # orientations that exchange width and height


def exif_in(path: Path, image: Image.Image) -> Image.Exif:
    """What a picture says of itself; a PNG is decoded only where words follow its pixels."""
    if image.format == "PNG" and not words_follow_pixels(path):
        with suppress(SyntaxError):  # damaged words say nothing, as where the pixels are read
            # PngImageFile's own decodes, whatever the file holds.
            return Image.Image.getexif(image)
        return Image.Exif()
    return image.getexif()


def orientation_in(tags: Any) -> int:  # noqa: ANN401  (Pillow's two kinds)
    """1 to 8; 1, as it is stored, where it is missing or none of them, as viewers take it."""
    told = tags.get(ORIENTATION, 1)
    return told if isinstance(told, int) and told in range(1, 9) else 1


def exchanges_sides(path: Path, image: Image.Image) -> bool:
    """Whether its orientation turns the picture such that width and height change places."""
    if image.format == "TIFF" and orientation_in(image.tag_v2) in ON_SIDE:  # type: ignore[attr-defined]
        return True
    return orientation_in(exif_in(path, image)) in ON_SIDE


def upright_size(path: Path, image: Image.Image) -> tuple[int, int]:
    """Width and height of a picture that is turned as it asks for."""
    width, height = image.size
    # Of a TIFF Pillow has done it, unless XMP alone asks for it.
    done = image.format == "TIFF" and orientation_in(image.tag_v2) in ON_SIDE  # type: ignore[attr-defined]
    return (height, width) if exchanges_sides(path, image) and not done else (width, height)


def bits_per_channel(path: Path, image: Image.Image) -> int:
    """Bits of a sample; 16 for all that is deeper than 8 in files that do not say it at once."""
    if image.format == "PNG":
        return _header_byte(path, 24)  # IHDR: bit depth
    if image.format == "TIFF":
        return tag_of(image, 258)
    if image.format in ("HEIF", "AVIF"):
        return heif.bits(path, image)
    if image.format in ("PPM", "JPEG2000"):  # Pillow cuts their colours to 8 bits
        told = jpeg2000.bits_of(path) if image.format == "JPEG2000" else None
        is_deep = deep.is_deep(path) if told is None else told > 8
        return 16 if is_deep else 8
    return 16 if image.mode.startswith("I") else 8


def is_float_tiff(image: Image.Image) -> bool:
    """Whether it is a TIFF file of floats, which hold light."""
    return image.format == "TIFF" and tag_of(image, _SAMPLE_FORMAT) == _IS_FLOAT


def check_samples(path: Path, image: Image.Image) -> None:
    """PictureError for numbers that are not read: some of TIFF, and floats of another format."""
    if image.format != "TIFF":
        if image.mode == "F":
            told = f"{path}: is a file of floats that is not read (PFM)"
            raise PictureError(f"{told}; convert it to .exr, or to .tif of 32-bit float", "Depth")
        return
    if (slices := tag_of(image, _SLICES)) > 1:
        raise PictureError(f"{path}: holds {slices} slices; give one still picture", "Animated")
    if is_float_tiff(image):
        return
    if (bits := bits_per_channel(path, image)) > 8:
        check_bits(path, bits)
    if tag_of(image, _SAMPLE_FORMAT) == _IS_SIGNED:
        raise PictureError(f"{path}: stored as signed integers; {CONVERT}", "Depth")


def chunks_of(path: Path, image: Image.Image) -> tuple[Chunks, Chunks]:
    """What a file says of colours beside a profile, and in texts, as a PNG says it."""
    if image.format == "PNG":
        return colours_of(path), texts_of(path)
    if image.format in ("HEIF", "AVIF"):
        return heif.primaries_of(path, image), ()
    return (), ()


def has_no_colours(path: Path, image: Image.Image) -> bool:
    """Whether it is grey, as it is read."""
    if image.mode == "P":
        return is_grey(image)
    if image.format == "PNG":  # grey of 16 bits with alpha is RGBA to Pillow
        return not _header_byte(path, 25) & 2  # IHDR: colour type
    return image.mode != "LAB" and image.mode[0] in "1LIF"


def _header_byte(path: Path, place: int) -> int:
    """Of IHDR, with which every PNG file begins."""
    with path.open("rb") as file:
        return file.read(place + 1)[place]


def tag_of(image: Image.Image, number: int) -> int:
    """A TIFF tag, 1 where it is missing; the largest value where each channel has its own."""
    value: Any = image.tag_v2.get(number, 1)  # type: ignore[attr-defined]
    return max(value) if isinstance(value, tuple) else int(value)


def stored_of(tags: Any, orientation: int) -> deep.Stored:  # noqa: ANN401  (Pillow's two kinds)
    """What TIFF tags say of samples; other formats have none."""
    extra = tags.get(_EXTRA_SAMPLES, 2)
    first = (*extra, 2)[0] if isinstance(extra, tuple) else int(extra)
    return deep.Stored(orientation, tags.get(PHOTOMETRIC, 1) == _WHITE_IS_ZERO, first)


def is_multiplied(image: Image.Image) -> bool:
    """Whether it is a TIFF file whose colours were multiplied by alpha, as GIMP writes them."""
    if image.format != "TIFF" or image.mode not in ("LA", "La", "RGBA"):
        return False
    alone = tag_of(image, _SAMPLES) in (2, 4)
    return alone and stored_of(image.tag_v2, 1).extra == 1  # type: ignore[attr-defined]
