"""Opening picture files in Pillow: those of the kinds that are read, and no others.

Whatever a file is called, Pillow finds out what it is, and starts Ghostscript for PostScript.
"""

from pathlib import Path

from PIL import Image, UnidentifiedImageError

# In the order in which they are tried: files of TGA have no mark that tells them.
KINDS = (
    *("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM"),
    *("JPEG2000", "AVIF", "HEIF", "TGA"),
)
# From one grey of a PNG to the next, in 8 bits, by Pillow's names of 2 and 4 bits.
_STEPS = {"L;2": 85, "L;4": 17}


def open_picture(path: Path) -> Image.Image:
    """As `Image.open`; UnidentifiedImageError for every other kind, OSError for a pipe."""
    if path.is_fifo():  # nobody may ever write to it
        raise OSError("it is a pipe")
    Image.preinit()  # the commonest kinds; the others take 50 ms to be learned
    try:
        return _with_key(Image.open(path, formats=_learned()))
    except UnidentifiedImageError:
        Image.init()
        return Image.open(path, formats=_learned())


def _with_key(image: Image.Image) -> Image.Image:
    """With the grey of a PNG that stands for transparency in 8 bits, as its pixels will be.

    Pillow makes 8 bits of pixels of 2 and 4, but not of that grey, which then none of them has.
    """
    tiles, key = getattr(image, "tile", ()), image.info.get("transparency")
    if image.format == "PNG" and tiles and isinstance(key, int):
        image.info["transparency"] = key * _STEPS.get(tiles[0].args, 1)
    return image


def _learned() -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if kind in Image.OPEN)
