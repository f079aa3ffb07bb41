"""What each command is told about the damage, as plain data; checked before anything is read."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from ..errors import UsageError, counted
from ..light.response import check_response
from .checks import check_between, check_choice
from .kernelspec import KernelSpec

BOUNDARIES = ("unknown", "reflect", "replicate", "circular")
FILTERS = ("bicubic", "box", "lanczos")
SCALES = 2, 8  # the least and the most


class TaskOptions:
    """Base of all: the task's name, and its settings for the record (paths stand for contents)."""

    task: ClassVar[str]

    @property
    def blurred(self) -> bool:
        """Whether the picture lost its fine texture before its noise came."""
        return False

    @property
    def masked(self) -> bool:
        """Whether a picture has holes, which are filled first where they are wide."""
        return False

    @property
    def enlargement(self) -> int:
        """How many times as wide and high as the picture a result is."""
        return 1

    @property
    def spectral(self) -> bool:
        """False where the damage has no singular value decomposition, though others have one."""
        return True

    @property
    def shared_mask(self) -> Path | None:
        """The mask of a damage that all pictures have."""
        return None

    @property
    def kernel_files(self) -> list[Path]:
        """Files that hold kernels of blurs and filters."""
        return []

    @property
    def laid(self) -> list["Laid"]:
        """Kernels of blurs and filters of reductions that are given, in their order."""
        return []

    def claim(self, inputs: list[Path]) -> tuple["TaskOptions", list[Path]]:
        """The options and the inputs to go through, where some inputs belong to the options."""
        return self, inputs

    def settings(self) -> dict[str, Any]:
        """Values that decide the result; a Path is replaced by the digest of its file."""
        return {}


@dataclass(frozen=True)
class InpaintOptions(TaskOptions):
    """Where the hole is. mask: a file for all pictures or a folder paired by stem.

    grain: whether the filled places get the grain of the rest.
    """

    task: ClassVar[str] = "inpaint"
    mask: Path | None = None
    invert: bool = False
    grow: int = 0
    grain: bool = False

    def __post_init__(self) -> None:
        if self.grow < 0:
            raise UsageError(f"--grow-mask {self.grow}: must be 0 or more pixels")

    @property
    def masked(self) -> bool:
        return True

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"invert_mask": self.invert, "grow_mask": self.grow}
        return settings | ({"grain": True} if self.grain else {})


@dataclass(frozen=True)
class Filter:
    """A reduction filter: bicubic, box, lanczos, gaussian with sigma, or a kernel file."""

    kind: str
    sigma: float = 0.0
    path: Path | None = None

    def __str__(self) -> str:
        """The text that gives this filter again, but for the name of a file."""
        return f"{self.kind}:{self.sigma:g}" if self.sigma else self.kind


@dataclass(frozen=True)
class Laid:
    """What was laid on a picture: the kernel of a blur; without one a filter that reduced it."""

    kernel: KernelSpec | None = None
    scale: int = 1
    filter: Filter = Filter("bicubic")


@dataclass(frozen=True)
class SuperresOptions(TaskOptions):
    """How the small picture was made of the light (response linear: of the values)."""

    task: ClassVar[str] = "superres"
    scale: int = 4
    filter: Filter = Filter("bicubic")
    response: str = "linear"

    def __post_init__(self) -> None:
        check_between("--scale", self.scale, *SCALES)
        check_response(self.response)

    @property
    def enlargement(self) -> int:
        return self.scale

    @property
    def spectral(self) -> bool:
        return self.filter.kind == "box" and self.response == "linear"

    @property
    def kernel_files(self) -> list[Path]:
        return [self.filter.path] if self.filter.path else []

    @property
    def laid(self) -> list[Laid]:
        return [Laid(scale=self.scale, filter=self.filter)]

    def settings(self) -> dict[str, Any]:
        settings = {"scale": self.scale, "downsample": self.filter.path or str(self.filter)}
        return settings | {"response": self.response}


@dataclass(frozen=True)
class DeblurOptions(TaskOptions):
    """What blurred the light (response linear: the values), and what lay outside the picture."""

    task: ClassVar[str] = "deblur"
    kernel: KernelSpec
    boundary: str = "unknown"
    response: str = "linear"

    @property
    def blurred(self) -> bool:
        return True

    @property
    def spectral(self) -> bool:
        # Which response `auto` finds is not known yet.
        return self.boundary == "circular" and self.response in ("linear", "auto")

    @property
    def kernel_files(self) -> list[Path]:
        return [self.kernel.path] if self.kernel.path else []

    @property
    def laid(self) -> list[Laid]:
        return [] if self.kernel.family == "auto" else [Laid(self.kernel)]

    def __post_init__(self) -> None:
        check_choice("--boundary", self.boundary, BOUNDARIES)
        check_response(self.response, "auto")

    def settings(self) -> dict[str, Any]:
        settings = {"kernel": self.kernel.path or str(self.kernel), "boundary": self.boundary}
        return settings | {"response": self.response}


@dataclass(frozen=True)
class HdrOptions(TaskOptions):
    """How much too bright, and how the camera made values of light.

    exposures: stops of each of several photographs of one scene; others: all but the first.
    """

    task: ClassVar[str] = "hdr"
    stops: float = 1.0
    response: str = "srgb"
    operator: str = "exposure"
    exposures: tuple[float, ...] = ()
    others: tuple[Path, ...] = ()
    tonemap: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.stops <= 8 or (self.stops == 0 and not self.exposures):
            raise UsageError(f"--stops {self.stops:g}: must be above 0 and at most 8")
        check_choice("--operator", self.operator, ("exposure", "paper"))
        if self.operator == "paper" and self.exposures:
            raise UsageError("--operator paper: knows one exposure; drop --exposures")
        if self.operator == "paper" and (self.stops != 1 or self.response != "srgb"):
            told = "--operator paper: doubles the values of the picture"
            raise UsageError(f"{told}; drop --stops and --response")
        check_response(self.response)

    def claim(self, inputs: list[Path]) -> tuple[TaskOptions, list[Path]]:
        """Several exposures are one picture."""
        if not self.exposures:
            return self, inputs
        if len(inputs) != len(self.exposures):
            raise UsageError(
                f"--exposures: {counted(len(self.exposures), 'value')}, "
                f"{counted(len(inputs), 'picture')}; give one for each, in their order"
            )
        return replace(self, others=tuple(inputs[1:])), inputs[:1]

    def settings(self) -> dict[str, Any]:
        return {
            "stops": self.stops,
            "response": self.response,
            "operator": self.operator,
            "exposures": list(self.exposures),
            "others": list(self.others),
        }


@dataclass(frozen=True)
class JpegOptions(TaskOptions):
    """Nothing to say: the file holds its own tables."""

    task: ClassVar[str] = "jpeg"


@dataclass(frozen=True)
class DenoiseOptions(TaskOptions):
    """Nothing but noise."""

    task: ClassVar[str] = "denoise"


@dataclass(frozen=True)
class ColorizeOptions(TaskOptions):
    """A grey photograph; its grey is taken as Rec. 601 luma."""

    task: ClassVar[str] = "colorize"


def parse_filter(text: str, flag: str = "--downsample") -> Filter:
    """`bicubic`, `box`, `lanczos`, `gaussian:SIGMA` or a kernel file -> Filter."""
    if text in FILTERS:
        return Filter(text)
    name, _, value = text.partition(":")
    if name == "gaussian":
        try:
            sigma = float(value)
        except ValueError:
            sigma = math.nan
        if not 0.1 <= sigma <= 50:
            raise UsageError(f"{flag} {text}: give a sigma of 0.1 to 50 pixels, as gaussian:1.5")
        return Filter("gaussian", sigma)
    if not Path(text).is_file():
        choice = ", ".join(FILTERS)
        raise UsageError(f"{flag} {text}: unknown; use {choice}, gaussian:SIGMA or a kernel file")
    return Filter("file", path=Path(text))


def parse_exposures(text: str | None) -> tuple[float, ...]:
    """`-2,0,2` -> stops of each photograph; UsageError unless two or more different ones."""
    if text is None:
        return ()
    try:
        stops = tuple(float(part) for part in text.split(","))
    except ValueError:
        stops = ()
    if len(set(stops)) < 2 or not all(abs(value) <= 20 for value in stops):
        raise UsageError(f"--exposures {text}: give different stops, one a picture, as -2,0,2")
    return stops
