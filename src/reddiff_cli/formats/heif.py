"""HEIF, the files of phones and cameras (.heic, .heif, .hif), through the package pillow-heif.

Cameras store 10 bits a channel, which Pillow's image has cut to 8; they are read anew here. Of
AVIF, which Pillow reads, only what is said of its colours.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import PictureError
from .colours import CODES, Chunks
from .samples import scaled

SUFFIXES = frozenset((".heic", ".heif", ".hif"))
# Transfer characteristics of ITU-T H.273 whose values are no sRGB, by far.
_FOR_HDR = {16: "PQ", 18: "HLG"}
_USUAL = (1, 2)  # primaries of the same: those of sRGB, and none that are told
# How the box of an AVIF file begins that tells them, which comes before its pixels.
_BOX, _BEFORE_PIXELS = b"colrnclx", 65_536


def learn(path: Path) -> None:
    """Let Pillow open HEIF from now on; PictureError without the package."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        message = f"{path}: HEIC needs an extra; pip install 'reddiff-cli[heic]'"
        raise PictureError(message, "Unreadable") from error
    register_heif_opener()


def bits(path: Path, image: Image.Image) -> int:
    """8, or 16 where there are more than 8 bits a channel; PictureError for HDR signals."""
    signal = _FOR_HDR.get(_codes(path, image)[1])
    if signal is not None:
        told = f"{path}: is coded for HDR screens ({signal}); convert it to sRGB or to .exr"
        raise PictureError(told, "Depth")
    return 16 if int(image.info.get("bit_depth", 8)) > 8 else 8


def primaries_of(path: Path, image: Image.Image) -> Chunks:
    """Primaries that no profile tells and that are not those of sRGB, as a PNG tells them."""
    primaries, transfer = _codes(path, image)
    if primaries in _USUAL or image.info.get("icc_profile"):
        return ()
    return ((CODES, bytes((primaries, transfer, 0, 1))),)  # RGB, of the full range


def _codes(path: Path, image: Image.Image) -> tuple[int, int]:
    """Primaries and transfer characteristics as ITU-T H.273 counts them; 2 if none are told."""
    told = dict(image.info.get("nclx_profile") or {})
    if image.format == "AVIF":
        with suppress(OSError), path.open("rb") as file:
            said = file.read(_BEFORE_PIXELS).partition(_BOX)[2]
            names = ("color_primaries", "transfer_characteristics")
            pairs = (int.from_bytes(said[:2]), int.from_bytes(said[2:4]))
            told = dict(zip(names, pairs, strict=True)) if len(said) >= 4 else {}
    return int(told.get("color_primaries", 2)), int(told.get("transfer_characteristics", 2))


def read(path: Path) -> NDArray[np.float32]:
    """(H, W, 1 to 4) in [0, 1], upright: all channels of a file of more than 8 bits."""
    from pillow_heif import open_heif

    found = open_heif(path, convert_hdr_to_8bit=False)
    values, depth = np.asarray(found), int(found.info["bit_depth"])
    # They lie in the upper bits of 16: white of 10 bits is 1023 * 64.
    white = (2**depth - 1) << (16 - depth)
    pixels = scaled(values, white)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
