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


def open_picture(path: Path) -> Image.Image:
    """As `Image.open`; UnidentifiedImageError for every other kind, OSError for a pipe."""
    if path.is_fifo():  # nobody may ever write to it
        raise OSError("it is a pipe")
    Image.preinit()  # the commonest kinds; the others take 50 ms to be learned
    try:
        return Image.open(path, formats=_learned())
    except UnidentifiedImageError:
        Image.init()
        return Image.open(path, formats=_learned())


def _learned() -> tuple[str, ...]:
    return tuple(kind for kind in KINDS if kind in Image.OPEN)
