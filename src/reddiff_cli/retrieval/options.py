"""What `phase` is told about a diffraction file, as plain data."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import UsageError
from ..options.checks import check_choice
from ..options.tasks import TaskOptions


@dataclass(frozen=True)
class PhaseOptions(TaskOptions):
    """What a diffraction file holds, and how long to search for its phases.

    data: `amplitude` or `intensity` (its square).    layout: where frequency zero is.
    support: (height, width) of the object in pixels; None reads it from the autocorrelation.
    starts: random starts.    keep: runs refined with the prior.    detector_mask: file of bad
    pixels, white in a picture, not 0 in an array.    dataset: name inside .h5, .cxi, .npz, .mat.
    scale: the data are `scale` times orthonormal FFT magnitudes of a picture in [0, 1]; None makes
    its brightest pixel nearly white.
    """

    task: ClassVar[str] = "phase"
    data: str = "amplitude"
    layout: str = "auto"
    support: tuple[int, int] | None = None
    starts: int = 32
    keep: int = 4
    detector_mask: Path | None = None
    dataset: str | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        if self.data not in ("amplitude", "intensity"):
            raise UsageError(f"--data {self.data}: unknown; use amplitude or intensity")
        check_choice("--layout", self.layout, ("auto", "centered", "corner"))
        if self.support is not None and min(self.support) < 2:
            height, width = self.support
            raise UsageError(f"--support {height}x{width}: must be at least 2x2 pixels")
        if self.starts < 1:
            raise UsageError(f"--starts {self.starts}: must be at least 1")
        if not 1 <= self.keep <= self.starts:
            raise UsageError(f"--keep {self.keep}: must lie between 1 and --starts {self.starts}")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise UsageError(f"--scale {self.scale:g}: must be a number above 0")

    def settings(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "layout": self.layout,
            "support": list(self.support) if self.support else None,
            "starts": self.starts,
            "keep": self.keep,
            "detector_mask": self.detector_mask,
            "dataset": self.dataset,
            "scale": self.scale,
        }


def parse_support(text: str | None) -> tuple[int, int] | None:
    """`HxW` -> (height, width); UsageError otherwise."""
    if text is None:
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise UsageError(f"--support {text}: give HEIGHTxWIDTH in pixels, as 128x96")
    return int(height), int(width)
