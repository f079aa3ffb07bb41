"""Pictures deeper than 8 bits, through OpenImageIO: 16-bit PNG and TIFF, exact both ways."""

import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from .errors import PictureError

Pixels = NDArray[np.float32]


def read(path: Path, bits: int, orientation: int) -> tuple[Pixels, Pixels | None]:
    """Pixels (H, W, 1 or 3) and alpha (H, W) in [0, 1], upright; PictureError if not 16-bit."""
    import OpenImageIO as oiio

    if bits != 16:
        raise PictureError(f"{path}: {bits} bits per channel; 8 and 16 are supported", "Depth")
    as_stored = oiio.ImageSpec()
    as_stored.attribute("oiio:UnassociatedAlpha", 1)  # colours not multiplied by alpha
    buffer = oiio.ImageBuf(str(path), 0, 0, as_stored)
    values = buffer.get_pixels(oiio.UINT16)
    if values is None or buffer.has_error or buffer.spec().format != oiio.UINT16:
        reason = buffer.geterror() or f"stored as {buffer.spec().format}"
        raise PictureError(f"{path}: cannot be decoded ({reason})", "Unreadable")
    scaled = np.asarray(values).astype(np.float32) / np.float32(65535)
    upright = _turn(scaled, orientation)
    channels = upright.shape[2]
    if channels not in (1, 2, 3, 4):
        raise PictureError(f"{path}: {channels} channels; need grey or RGB", "Channels")
    colours = channels - 1 if channels in (2, 4) else channels
    alpha = np.ascontiguousarray(upright[:, :, -1]) if colours < channels else None
    return np.ascontiguousarray(upright[:, :, :colours]), alpha


def encode(
    pixels: Pixels, alpha: Pixels | None, suffix: str, icc: bytes, record: str | None
) -> bytes:
    """The bytes of a 16-bit file. The record travels as its image description."""
    import OpenImageIO as oiio

    values = pixels if alpha is None else np.concatenate([pixels, alpha[:, :, None]], axis=2)
    sixteen = np.rint(np.clip(values, 0, 1).astype(np.float64) * 65535).astype(np.uint16)
    height, width, channels = sixteen.shape
    spec = oiio.ImageSpec(width, height, channels, oiio.UINT16)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    if channels in (2, 4):
        spec.alpha_channel = channels - 1
    if icc:
        profile = np.frombuffer(icc, dtype=np.uint8)
        spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(icc)}]"), profile)
    if record is not None:
        spec.attribute("ImageDescription", record)
    with tempfile.TemporaryDirectory() as folder:
        name = Path(folder) / f"picture{suffix}"
        _write(oiio, name, spec, sixteen)
        return name.read_bytes()


def _write(oiio: ModuleType, name: Path, spec: object, values: NDArray[np.uint16]) -> None:
    out = oiio.ImageOutput.create(str(name))
    if out is None or not out.open(str(name), spec) or not out.write_image(values):
        reason = out.geterror() if out is not None else oiio.geterror()
        raise PictureError(f"{name.name}: cannot be encoded ({reason})", "Unwritable")
    out.close()


def _turn(values: Pixels, orientation: int) -> Pixels:
    """EXIF orientation 1 to 8 -> upright."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)
