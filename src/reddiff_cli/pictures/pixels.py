"""A picture in memory: pixels, alpha, depth, and what its file said besides."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..formats.carriers import Metadata
from ..formats.kinds import FLOAT, HOLDS, check_alpha, format_of
from ..light.response import Response

Pixels = NDArray[np.float32]
Hole = NDArray[np.bool_]  # (H, W), True = to be filled


@dataclass(frozen=True)
class Picture:
    """pixels: float32 (H, W, 1 or 3) in [0, 1], upright.    alpha: float32 (H, W) or None.

    depth: bits of the file, 8, 16, or 32 = float. Then pixels are linear light, 0 or more, with
    no upper bound; otherwise sRGB values. Colours are never multiplied by alpha, but in `stored`,
    which holds those of a float file as they are there: what stays is written so again.

    unit: what a pixel of 1 stands for in the file; below 1 in pictures that fill a small part of
    the range of 16 bits, which display.py spreads out. Files are written as they were read.

    sparks: float32 of the shape of pixels, in units of the file: single values far above all
    others, as of hot pixels, which are not shown to the prior, and written as they were if the
    result is as large; else 0.    smoothed: whether its file has smoothed its noise.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    depth: int = 8
    metadata: Metadata = field(default_factory=Metadata)
    stored: Pixels | None = None
    unit: float = 1.0
    sparks: Pixels | None = None
    smoothed: bool = False

    @property
    def linear(self) -> bool:
        """True if pixels are linear light, False if they are sRGB values."""
        return self.depth == FLOAT

    @property
    def shines(self) -> bool:
        """True if some of it is light above white, which 8 and 16 bits do not hold."""
        return self.linear and float(self.pixels.max()) > 1

    @property
    def glows(self) -> bool:
        """True if some light has alpha 0, as flames have, which only float files hold.

        alpha may be that of a picture which is whole times as large.
        """
        if self.alpha is None or self.stored is None:
            return False
        factor = len(self.alpha) // self.height
        return bool((self.pixels[self.alpha[::factor, ::factor] == 0] > 0).any())

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])


def with_depth(picture: Picture, depth: int) -> Picture:
    """The picture for files of another depth (a value of `DEPTHS`).

    Between float and the others, linear light becomes sRGB values or the reverse; light above 1
    has no sRGB value and is cut (light/tonemap.py is gentler). Rounding happens when it is
    written.
    """
    if picture.linear == (depth == FLOAT):
        return replace(picture, depth=depth)
    picture = as_in_file(picture)
    if picture.linear:
        pixels = Response().encode(picture.pixels.clip(0, 1))
    else:
        pixels = Response().decode(picture.pixels)
    # A colour profile holds the transfer curve of the old values, and so do chunks of a PNG.
    metadata = replace(picture.metadata, icc=b"", colours=())
    return replace(picture, pixels=pixels, depth=depth, metadata=metadata)


def told_of_cut(light: Picture) -> str:
    """What 8 and 16 bits do to light above 1."""
    return f"light above 1 is cut, up to {light.pixels.max():.3g}; write .tif or .exr to keep it"


def as_in_file(picture: Picture) -> Picture:
    """The picture with the values that its file holds, whatever the prior was shown."""
    if picture.unit == 1:
        return picture
    pixels, sparks = picture.pixels * np.float32(picture.unit), picture.sparks
    if sparks is not None and sparks.shape[:2] == pixels.shape[:2]:  # grey ones in colours, too
        pixels = np.where(sparks > 0, sparks, pixels)
    return replace(picture, pixels=pixels, unit=1.0, sparks=None)


def check_format(picture: Picture, path: Path) -> None:
    """UsageError if the format of `path` cannot hold the picture's alpha or depth."""
    if picture.alpha is not None:
        check_alpha(path)
    check_depth(picture.depth, path)


def check_depth(depth: int, path: Path) -> None:
    """UsageError if the format of `path` cannot hold samples of this depth, as of `Picture`."""
    kind = format_of(path)
    if depth == FLOAT and kind not in ("EXR", "HDR", "TIFF"):
        deepest = max(HOLDS.get(kind, (8,)))
        raise UsageError(f"{path}: {kind} cannot hold float; write .exr, or use --depth {deepest}")
    holds = HOLDS.get(kind, (8,))
    if depth not in holds:
        if holds == (FLOAT,):
            raise UsageError(
                f"{path}: {kind} holds float, the result would have {depth} bits; "
                "write .png, or use --depth float"
            )
        told = f"{path}: {kind} holds 8 bits, the result would have 16"
        raise UsageError(f"{told}; write .png, or use --depth 8")
