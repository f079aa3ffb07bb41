"""What an encoder has left of a picture, now or before it was saved again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..formats.jpeg import JpegFile, find_jpeg, find_luminance_table
from ..formats.kinds import smooths
from ..formats.samples import rounded
from ..pictures import Picture
from ..traces.resaved import JpegTraces, find_traces
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
        if smooths(path):
            file = None if plain else find_jpeg(path)
            return cls(True, file, find_luminance_table(path) if file is None else file.steps)
        traces = None if plain else traces_in(picture)
        if traces is None:
            return cls()
        return cls(True, traces.file, traces.file.steps, traces.remark)


def traces_in(picture: Picture) -> JpegTraces | None:
    """What a picture of 8 bits shows of the JPEG file that it was before; not of cut-outs."""
    if picture.depth != 8 or (picture.alpha is not None and float(picture.alpha.min()) < 1):
        return None
    return find_traces(rounded(picture.pixels, 8))
