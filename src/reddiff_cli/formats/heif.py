"""HEIF, the files of phones and cameras (.heic, .heif, .hif), through the package pillow-heif.

Cameras store 10 bits a channel, which Pillow's image has cut to 8; they are read anew here.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import PictureError
from .samples import scaled

SUFFIXES = frozenset((".heic", ".heif", ".hif"))
# Transfer characteristics of ITU-T H.273 whose values are no sRGB, by far.
_FOR_HDR = {16: "PQ", 18: "HLG"}


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
    profile = image.info.get("nclx_profile") or {}
    signal = _FOR_HDR.get(int(profile.get("transfer_characteristics", 0)))
    if signal is not None:
        told = f"{path}: is coded for HDR screens ({signal}); convert it to sRGB or to .exr"
        raise PictureError(told, "Depth")
    return 16 if int(image.info.get("bit_depth", 8)) > 8 else 8


def read(path: Path) -> NDArray[np.float32]:
    """(H, W, 1 to 4) in [0, 1], upright: all channels of a file of more than 8 bits."""
    from pillow_heif import open_heif

    found = open_heif(path, convert_hdr_to_8bit=False)
    values, depth = np.asarray(found), int(found.info["bit_depth"])
    # They lie in the upper bits of 16: white of 10 bits is 1023 * 64.
    white = (2**depth - 1) << (16 - depth)
    pixels = scaled(values, white)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
