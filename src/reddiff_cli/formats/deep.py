"""Pictures deeper than 8 bits, through OpenImageIO, exact both ways.

16-bit PNG and TIFF; half and float EXR, float TIFF, and Radiance .hdr, which hold linear light.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .attributes import Attribute, set_attributes, set_window
from .damage import no_picture
from .lit import check_channels, check_light, without_undershoot
from .radiance import check_turn
from .reader import complaint, has_several, name_of, reader_of, samples_of
from .samples import CONVERT, MOST, check_bits, rounded, scaled

if TYPE_CHECKING:
    from OpenImageIO import BASETYPE, ImageBuf, ImageSpec

Pixels = NDArray[np.float32]
Sample = TypeVar("Sample", bound=np.generic)
NO_PREDICTOR = 1  # TIFF
UNUSUAL = "lays out its samples or colours in an unusual way; save it as plain grey or RGB"
SPARE = 65_536  # bytes; no file system hands out larger blocks
Values = NDArray[np.uint16] | NDArray[np.float32]


@dataclass(frozen=True)
class Stored:
    """How a file keeps its samples.

    orientation: of EXIF, 1 to 8.    inverted: white is 0.    extra: what TIFF says of a channel
    beyond the colours: 0 it may be anything, 1 alpha that colours are multiplied by, 2 alpha.
    """

    orientation: int = 1
    inverted: bool = False
    extra: int = 2


def read(path: Path, bits: int, stored: Stored) -> tuple[Pixels, Pixels | None]:
    """Pixels (H, W, 1 or 3) and alpha (H, W) in [0, 1], upright.

    PictureError if they have not 16 bits, or 8.
    """
    import OpenImageIO as oiio

    if bits != 8:
        check_bits(path, bits)
    as_stored = oiio.ImageSpec()
    as_stored.attribute("oiio:UnassociatedAlpha", 1)  # colours not multiplied by alpha
    buffer = oiio.ImageBuf(name_of(path), 0, 0, as_stored)
    _check_size(path, buffer)
    values = samples_of(path, buffer, oiio.UINT16)
    if buffer.spec().format != (oiio.UINT8 if bits == 8 else oiio.UINT16):
        raise PictureError(f"{path}: stored as {buffer.spec().format}; {CONVERT}", "Depth")
    pixels, alpha = split(path, scaled(turn(np.asarray(values), stored.orientation), 65535))
    if stored.extra == 0:
        alpha = None
    if alpha is not None and stored.extra == 1:
        pixels = _divided(pixels, alpha).clip(0, 1)
    return (1 - pixels if stored.inverted else pixels), alpha


def is_deep(path: Path) -> bool:
    """Whether a file holds 16 bits a channel, or between 8 and 16."""
    import OpenImageIO as oiio

    with reader_of(path) as source:
        return source is not None and bool(source.spec().format == oiio.UINT16)


def read_float(path: Path) -> tuple[Pixels, Pixels | None, Pixels | None]:
    """Linear light (H, W, 1 or 3), 0 or more and often above 1; alpha (H, W) in [0, 1]; `stored`.

    Upright; colours not multiplied by alpha, but in `stored`, which is as in the file.
    PictureError for integers, NaN, negative light.
    """
    import OpenImageIO as oiio

    buffer = oiio.ImageBuf(name_of(path))
    _check_size(path, buffer)
    values = samples_of(path, buffer, oiio.FLOAT)
    spec = buffer.spec()
    if spec.format == oiio.UINT8:  # a layout or colours that Pillow does not know
        raise PictureError(f"{path}: {UNUSUAL}", "Layout")
    if str(spec.format) not in ("half", "float"):
        raise PictureError(f"{path}: stored as {spec.format}; {CONVERT}", "Depth")
    if spec.depth > 1 or has_several(path):
        raise PictureError(f"{path}: holds several parts; give one picture", "Animated")
    # OpenImageIO multiplies a TIFF's colours by alpha while it reads, as EXR stores them.
    orientation = int(spec.get_int_attribute("Orientation", 1))
    check_turn(path, orientation)
    light, alpha = split(path, turn(np.asarray(values, dtype=np.float32), orientation))
    stray = alpha is not None and spec.alpha_channel < 0
    if path.suffix.lower() == ".exr":
        check_channels(path, spec.channelnames, light.shape[2], stray=stray)
    alpha = None if stray else alpha
    light = without_undershoot(light, spec.get_string_attribute("compression"))
    check_light(path, light, alpha)
    if alpha is None:
        return light, None, None
    alpha = alpha.clip(0, 1)
    return _divided(light, alpha), alpha, light


def _divided(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Colours that were multiplied by alpha, as they are; where that is 0, they stay."""
    covered = alpha[:, :, None]
    return np.divide(pixels, covered, out=pixels.copy(), where=covered > 0)


def _multiplied(light: Pixels, alpha: Pixels, stored: Pixels | None) -> Pixels:
    """The reverse; exactly what was stored where light is what `_divided` made of that.

    Light behind which nothing covers (a flame, alpha 0) stays as it is, if there was some.
    """
    covered = alpha[:, :, None]
    values: Pixels = light * covered
    if stored is None or stored.shape[:2] != alpha.shape:
        return values
    values = np.where((covered == 0) & (stored > 0), light, values)
    return np.where(light == _divided(stored, alpha), stored, values)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of an upright picture; PictureError if it has none."""
    import OpenImageIO as oiio

    buffer = oiio.ImageBuf(name_of(path))
    _check_size(path, buffer)
    spec = buffer.spec()
    if buffer.has_error:
        complaint(buffer)
        raise no_picture(path)
    turned = int(spec.get_int_attribute("Orientation", 1)) in (5, 6, 7, 8)
    return (spec.height, spec.width) if turned else (spec.width, spec.height)


def _check_size(path: Path, buffer: "ImageBuf") -> None:
    """PictureError for no header, and for what one claims and no memory could hold."""
    spec = buffer.spec()
    if not spec.width:
        complaint(buffer)
        raise no_picture(path)
    if spec.width * spec.height * max(1, spec.depth) > MOST:
        raise PictureError(f"{path}: more than 179 megapixels; split it", "TooLarge")


def split(path: Path, upright: Pixels) -> tuple[Pixels, Pixels | None]:
    """(H, W, 1 to 4) -> grey or RGB, and alpha where there is one; PictureError for others."""
    channels = upright.shape[2]
    if channels not in (1, 2, 3, 4):
        raise PictureError(f"{path}: {channels} channels; save it as grey or RGB", "Channels")
    colours = channels - 1 if channels in (2, 4) else channels
    alpha = np.ascontiguousarray(upright[:, :, -1]) if colours < channels else None
    return np.ascontiguousarray(upright[:, :, :colours]), alpha


def encode(pixels: Pixels, alpha: Pixels | None, suffix: str, icc: bytes) -> bytes:
    """The bytes of a 16-bit PNG or TIFF file."""
    import OpenImageIO as oiio

    values = pixels if alpha is None else np.concatenate([pixels, alpha[:, :, None]], axis=2)
    sixteen = rounded(values, 16)
    spec = _spec_of(sixteen, oiio.UINT16, icc)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    set_attributes(spec, ())
    return _bytes(spec, sixteen, suffix)


def encode_float(
    light: Pixels,
    alpha: Pixels | None,
    suffix: str,
    icc: bytes,
    attributes: tuple[Attribute, ...] = (),
    window: tuple[int, ...] = (),
    stored: Pixels | None = None,
) -> bytes:
    """The bytes of a float file; .exr and .tif in full precision, .hdr as shared exponents.

    attributes, window: of an EXR file; the others have no room for them.    stored: as of
    `read_float`.
    """
    import OpenImageIO as oiio

    kind = suffix.lower()
    if kind == ".hdr" and light.shape[2] == 1:
        light = np.repeat(light, 3, axis=2)
    values = light
    if alpha is not None:
        values = np.concatenate([_multiplied(light, alpha, stored), alpha[:, :, None]], axis=2)
    spec = _spec_of(values, oiio.FLOAT, b"" if kind == ".hdr" else icc)
    if spec.nchannels <= 2:
        spec.channelnames = ("Y", "A")[: spec.nchannels]
    if kind in (".tif", ".tiff"):
        # That of floats makes 2.8 MB 2.3 MB, but tifffile alone, for one, cannot undo it.
        spec.attribute("tiff:Predictor", NO_PREDICTOR)
    set_attributes(spec, attributes if kind == ".exr" else ())
    set_window(spec, window if kind == ".exr" else ())
    return _bytes(spec, np.ascontiguousarray(values, dtype=np.float32), suffix)


def _spec_of(values: Values, kind: "BASETYPE", icc: bytes) -> "ImageSpec":
    """What a file says of its samples (H, W, 1 to 4), of which the second or fourth is alpha."""
    import OpenImageIO as oiio

    height, width, channels = values.shape
    spec = oiio.ImageSpec(width, height, channels, kind)
    if channels in (2, 4):
        spec.alpha_channel = channels - 1
    if icc:
        profile = np.frombuffer(icc, dtype=np.uint8)
        spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(icc)}]"), profile)
    return spec


def _bytes(spec: "ImageSpec", values: Values, suffix: str) -> bytes:
    """What a file would hold: OpenImageIO only writes files. OSError that says why it cannot."""
    where = tempfile.gettempdir()
    try:
        with tempfile.TemporaryDirectory(dir=where) as folder:
            name = Path(folder) / f"picture{suffix}"
            refused = _write(name, spec, values)
            content = _whole(name)
    except OSError as error:
        raise OSError(
            f"{error.strerror or error}, in {where}; TMPDIR names another folder"
        ) from error
    if refused:
        raise OSError(refused)
    return content


def _write(name: Path, spec: "ImageSpec", values: Values) -> str:
    """Why not, or nothing, which is also said of some files that are cut off."""
    import OpenImageIO as oiio

    out = oiio.ImageOutput.create(str(name))
    if out is None or not out.open(str(name), spec) or not out.write_image(values):
        return complaint(oiio if out is None else out) or "unknown reason"
    out.close()
    return ""


def _whole(name: Path) -> bytes:
    """The content of a file; OSError if the disk takes no more.

    Of 205 kB on a disk of 200 OpenImageIO wrote 200, and told so for none of PNG, and not for all
    of EXR and TIFF.
    """
    with name.open("ab+") as file:
        size = file.tell()
        file.write(bytes(SPARE))
        file.seek(0)
        return file.read(size)


def turn(values: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """EXIF orientation 1 to 8 -> upright."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    # ascontiguousarray would keep a negative stride of an axis of length 1, which torch refuses.
    return np.array(values, order="C")
