"""What an encoder has left of a picture, now or before it was saved again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..formats.jpeg import JpegFile, find_jpeg, find_luminance_table
from ..formats.samples import rounded
from ..pictures.files import Picture
from ..traces.resaved import JpegTraces, find_traces
from ..traces.twice import find_earlier
from .setting import Setting


@dataclass(frozen=True)
class Encoding:
    """What an encoder has left of a picture.

    lossy: one has smoothed its noise.    file: the coefficients of a JPEG; None where they are not
    known.    table: (8, 8), its steps of luminance, upright; None where they are not known.
    remark: what a person should know.
    """

    lossy: bool = False
    file: JpegFile | None = None
    table: NDArray[np.int64] | None = None
    remark: str = ""

    @classmethod
    def of(cls, path: Path, picture: Picture, setting: Setting) -> Self:
        """Of the picture in a file; the published algorithm gets what every decoder shows."""
        plain = setting.solver.preset == "paper"
        if picture.smoothed:
            stored = None if plain else find_jpeg(path)
            if stored is None:
                return cls(True, None, find_luminance_table(path))
            file, remark = as_it_was(stored)
            return cls(True, file, file.steps, remark)
        traces = None if plain else traces_in(picture)
        if traces is None:
            return cls()
        return cls(True, traces.file, traces.file.steps, traces.remark)


def as_it_was(stored: JpegFile) -> tuple[JpegFile, str]:
    """A JPEG file, or the coarser one that it was made of; and what a person should know."""
    earlier = find_earlier(stored)
    return (stored, "") if earlier is None else (earlier.file, earlier.remark)


def traces_in(picture: Picture) -> JpegTraces | None:
    """What a picture of 8 bits shows of the JPEG file that it was before; not of cut-outs."""
    if picture.depth != 8 or (picture.alpha is not None and float(picture.alpha.min()) < 1):
        return None
    found = find_traces(rounded(picture.pixels, 8))
    return found and (find_earlier(found.file) or found)
