"""What a JPEG file says about its picture: quantised coefficients, tables, sampling factors.

Coefficients are read with jpeglib (an optional package), which hands those of baseline and
progressive files over as they are stored, before any decoder's choices; tables alone with Pillow.
"""

import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .damage import no_picture, telling_of_damage
from .kinds import is_jpeg
from .opened import ON_SIDE, orientation_in
from .opening import open_picture

# jpeglib is not made for threads: one run of 6000 reads by four of them in three ends the process
# with a bus error or a damaged heap.
_ALONE = threading.Lock()
_COLOURS = {"JCS_GRAYSCALE": "grey", "JCS_YCbCr": "ycbcr", "JCS_RGB": "rgb"}
# Of inks, whose coefficients say little of the colours that are shown.
_INKS = ("JCS_CMYK", "JCS_YCCK")
_AS_SHOWN = "use denoise, which takes any JPEG as it is shown"


@dataclass(frozen=True)
class JpegComponent:
    """One colour component.    coefficients: int16 (rows, columns, 8, 8), blocks by frequency.

    table: int (8, 8), the quantisation steps; (rows, columns, 8, 8) where those of some blocks are
    others.    shrink: (down, across), how many pixels of the picture one sample covers.
    begins: rows and columns of pixels above and beside its blocks, where another component has
    some; not so in files.
    """

    coefficients: NDArray[np.int16]
    table: NDArray[np.int64]
    shrink: tuple[int, int]
    begins: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class JpegFile:
    """A JPEG file in its stored orientation.    colour: grey, ycbcr or rgb.

    orientation: the EXIF value 1 to 8, still to be applied to what is restored.    top, left:
    where the picture begins in the blocks, of which somebody may have cut some off.
    """

    components: tuple[JpegComponent, ...]
    colour: str
    height: int
    width: int
    orientation: int
    top: int = 0
    left: int = 0

    @property
    def steps(self) -> NDArray[np.int64] | None:
        """(8, 8), of luminance, as the picture is shown upright, of most blocks; None of RGB."""
        table = self.components[0].table
        if self.colour == "rgb":
            return None
        if table.ndim > 2:
            table = np.median(table, (0, 1)).astype(np.int64)
        return table.T if self.orientation in ON_SIDE else table


@telling_of_damage
def read_jpeg(path: Path) -> JpegFile:
    """The coefficients of a JPEG file; PictureError if it is none, or damaged, or CMYK."""
    orientation = _checked_orientation(path)
    try:
        import jpeglib
    except ImportError as error:
        raise _needs_extra(path) from error
    try:
        with _ALONE:
            stored = jpeglib.read_dct(str(path))
            planes = [stored.Y, stored.Cb, stored.Cr]
    except Exception as error:  # arithmetic coding, for one: Pillow has decoded it by now
        told = f"{path}: its JPEG data cannot be read ({error}); {_AS_SHOWN}"
        raise PictureError(told, "Unreadable") from error
    space = getattr(stored.jpeg_color_space, "name", str(stored.jpeg_color_space))
    if space not in _COLOURS:
        raise _wrong_colours(path, space)
    present = [np.asarray(plane, dtype=np.int16) for plane in planes if plane is not None]
    tables = [np.asarray(stored.qt[number], dtype=np.int64) for number in stored.quant_tbl_no]
    factors = [(int(v), int(h)) for v, h in stored.samp_factor]
    components = _components(path, present, tables, factors)
    return JpegFile(components, _COLOURS[space], stored.height, stored.width, orientation)


@telling_of_damage
def check_header(path: Path) -> None:
    """PictureError where the header of a JPEG file tells that `read_jpeg` would refuse it."""
    if find_spec("jpeglib") is None:
        raise _needs_extra(path)
    with open_picture(path) as image:
        if image.mode == "CMYK":
            raise _wrong_colours(path, _INKS[0])


def _needs_extra(path: Path) -> PictureError:
    message = f"{path}: reading JPEG data needs an extra; pip install 'reddiff-cli[jpeg]'"
    return PictureError(message, "Unreadable")


def _wrong_colours(path: Path, space: str) -> PictureError:
    told = "CMYK" if space in _INKS else space.removeprefix("JCS_")
    return PictureError(f"{path}: its colours are {told}, not RGB or grey; {_AS_SHOWN}", "Colour")


def is_no_jpeg(path: Path) -> PictureError:
    """What is said of a picture that never was one."""
    told = f"{path}: is no JPEG, and shows no traces of one"
    return PictureError(f"{told}; give the JPEG file, or use denoise", "Format")


def find_jpeg(path: Path) -> JpegFile | None:
    """The coefficients, or None where a file is no JPEG or does not tell them (no extra, CMYK)."""
    try:
        return read_jpeg(path) if is_jpeg(path) else None
    except (OSError, PictureError):
        return None


def find_luminance_table(path: Path) -> NDArray[np.int64] | None:
    """(8, 8), the quantisation steps of a JPEG's luminance, as it is shown upright.

    None where a file is no JPEG, or has no luminance (CMYK, RGB). Pillow reads it: no extra is
    needed.
    """
    try:
        with open_picture(path) as image:
            if image.format not in ("JPEG", "MPO") or image.mode not in ("L", "RGB"):
                return None
            layers, tables = getattr(image, "layer", ()), getattr(image, "quantization", {})
            turned = orientation_in(image.getexif()) in ON_SIDE
    except Exception:  # whatever is wrong with what the file says of itself
        return None
    of_rgb = [layer[0] for layer in layers] == list(b"RGB")
    if not layers or of_rgb or layers[0][3] not in tables:
        return None
    table = np.array(tables[layers[0][3]], dtype=np.int64).reshape(8, 8)
    return table.T if turned else table


def _checked_orientation(path: Path) -> int:
    try:
        with open_picture(path) as image:
            if image.format not in ("JPEG", "MPO"):
                found = image.format
                raise PictureError(f"{path}: is {found}, not JPEG; give the JPEG file", "Format")
            image.load()  # libjpeg fills a truncated file with grey; Pillow says so
            return orientation_in(image.getexif())
    except FileNotFoundError as error:
        raise PictureError(f"{path}: no such file", "Missing") from error
    except PictureError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged data
        raise no_picture(path) from error


def _components(
    path: Path,
    planes: list[NDArray[np.int16]],
    tables: list[NDArray[np.int64]],
    factors: list[tuple[int, int]],
) -> tuple[JpegComponent, ...]:
    """factors: samples per block of the picture, (down, across), as T.81 counts them."""
    if len(planes) == 1:
        factors = [(1, 1)]  # without a second component the factors have no meaning
    most_down, most_across = max(v for v, _ in factors), max(h for _, h in factors)
    components = []
    for plane, table, (v, h) in zip(planes, tables, factors, strict=True):
        if most_down % v or most_across % h:
            message = f"{path}: sampling {factors} is not a whole ratio; convert to PNG, denoise"
            raise PictureError(message, "Sampling")
        shrink = (most_down // v, most_across // h)
        components.append(JpegComponent(np.ascontiguousarray(plane), table, shrink))
    return tuple(components)
