"""What the user asked for, as plain data; and the one table of defaults per task."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError, wants_traces
from .checks import check_between, check_choice

# perceptual: single draws instead of pairs. On 2 training photographs, 128x128, super-resolution
# at noise 0.01 and denoising 25/255 keep 0.57 and 0.85 of the gradients of the truth instead of
# 0.49 and 0.78, and lose 0.4 and 1.0 dB. Noise that is remembered from step to step (DiffPIR,
# HRDIS) is absorbed by mu instead: denoising falls by 5 to 9 dB.
STEPS = {"fast": 20, "standard": 50, "best": 100, "perceptual": 50, "paper": 100}


AUTO = "auto"
OUTPUT_FORMATS = ("auto", "png", "jpg", "webp", "tiff", "exr", "hdr")
DEPTHS = ("auto", "8", "16", "float")


@dataclass(frozen=True)
class TaskDefaults:
    """Solver settings of one task; `paper_*` are the published form's (arXiv 2305.04391).

    noise: standard deviation in [0, 1] units, or `auto` for an estimate.    s_start: first noise
    level of a strong prior; the card of a prior may name another one.
    """

    noise: float | str
    s_start: float
    paper_lr: float = 0.5
    paper_weight: float = 0.25
    paper_weight_noisy: float = 0.25


TASKS = {
    "inpaint": TaskDefaults(0.0, 10.0, paper_lr=0.25, paper_weight_noisy=1.0),
    "superres": TaskDefaults(AUTO, 3.0, paper_lr=0.1),
    "deblur": TaskDefaults(AUTO, 3.0),
    "denoise": TaskDefaults(AUTO, 1.0),
    "colorize": TaskDefaults(0.0, 10.0),  # an estimate would let grey values change
    "hdr": TaskDefaults(AUTO, 10.0),
    "jpeg": TaskDefaults(0.0, 1.0),
    # Published: 0.25 for pictures in [-1, 1]; in [0, 1], as ours, the loss is a quarter of that.
    "phase": TaskDefaults(AUTO, 0.4, paper_weight=0.0625, paper_weight_noisy=0.0625),
    "restore": TaskDefaults(AUTO, 3.0),
}


# Methods that go back through the network.
RECORDING = frozenset(("dps", "pigdm"))
# Network evaluations of the baselines, as published, whatever the task.
PUBLISHED_STEPS = {"dps": 1000, "pigdm": 100, "ddrm": 20, "diffpir": 100}
METHODS = ("reddiff", *PUBLISHED_STEPS)

_NO_SVD = "has no singular value decomposition"
# What a method cannot do, by task: all other pairs work.
_REFUSED = {
    ("dps", "jpeg"): "the rounding of JPEG has no gradient to follow",
    ("pigdm", "phase"): "phase retrieval has no pseudo-inverse",
    ("ddrm", "phase"): f"phase retrieval {_NO_SVD}",
    ("ddrm", "hdr"): f"clipping {_NO_SVD}",
    ("ddrm", "jpeg"): f"JPEG compression {_NO_SVD}",
    ("ddrm", "restore"): f"a chain of damages {_NO_SVD} that is cheap to compute",
}
# Tasks whose operator has a decomposition in one form only.
_ONE_FORM = {
    "superres": "only averaging over blocks has a singular value decomposition",
    "deblur": "only blur with a circular border has a singular value decomposition",
}


def check_method(method: str, task: str, *, spectral: bool = True) -> None:
    """UsageError if a method cannot do a task, saying why and which methods can.

    spectral: False where the operator at hand has no singular value decomposition although its
    task may have one (superres other than by blocks, deblur without a circular border).
    """
    if task not in TASKS:
        raise ValueError(f"task is {task}, not one of {', '.join(TASKS)}")
    reason = _why_not(method, task, spectral)
    if reason:
        able = [other for other in METHODS if not _why_not(other, task, spectral)]
        raise UsageError(f"--method {method}: {reason}; use {', '.join(able)}")


def check_solver(solver: "SolverOptions", task: str, *, spectral: bool = True) -> None:
    """UsageError if a method, the published form or a flag makes no sense in a task."""
    if task == "jpeg" and solver.noise is not None:
        raise UsageError("--noise: the file's own tables say what was lost; drop --noise")
    if task == "phase" and solver.samples > 1:
        raise UsageError("--samples: phase keeps several runs of its own; see --keep")
    reason = _REFUSED.get(("dps", task))  # the published form follows the same gradient
    if solver.preset == "paper" and reason:
        raise UsageError(f"--preset paper: {reason}; use another preset")
    check_method(solver.method, task, spectral=spectral)


def _why_not(method: str, task: str, spectral: bool) -> str:
    if method == "ddrm" and not spectral:
        return _ONE_FORM.get(task) or _REFUSED.get((method, task), f"{task} {_NO_SVD} here")
    return _REFUSED.get((method, task), "")


@dataclass(frozen=True)
class SolverOptions:
    """How to restore. None means: by task, preset or prior.

    steps: network evaluations.    noise: standard deviation in [0, 1] units, or `auto`.
    samples: above 1 sample mode, with that many seeds from `seed` on.    most: evaluations at
    most where `steps` says nothing.
    """

    preset: str = "standard"
    steps: int | None = None
    prior_weight: float | None = None
    lr: float | None = None
    s_start: float | None = None
    noise: float | str | None = None
    seed: int = 0
    samples: int = 1
    method: str = "reddiff"
    most: int | None = None

    def __post_init__(self) -> None:
        check_choice("--method", self.method, METHODS)
        if self.method != "reddiff" and self.preset != "standard":
            raise UsageError(f"--preset {self.preset}: belongs to reddiff; use --steps")
        check_between("--samples", self.samples, 1, 64)
        if self.samples > 1 and self.preset == "paper":
            raise UsageError("--samples: the published form has no sample mode; drop one")
        check_choice("--preset", self.preset, STEPS)
        if self.lr is not None and self.preset != "paper":
            raise UsageError("--lr: only the published form has a step size; add --preset paper")
        if self.preset == "paper" and self.s_start is not None:
            raise UsageError("--start: the published form starts at the top; drop --preset paper")
        if self.prior_weight is not None and self.method in ("ddrm", "pigdm"):
            told = f"--prior-weight: {self.method} weighs by the noise alone"
            raise UsageError(f"{told}; drop it")
        if self.steps is not None:
            self._check_steps(self.steps)
        for flag, value in (
            ("--prior-weight", self.prior_weight),
            ("--lr", self.lr),
            ("--start", self.s_start),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{flag} {value:g}: must be a number above 0")
        if isinstance(self.noise, float):
            check_between("--noise", self.noise, 0, 1)
        check_between("--seed", self.seed, 0, 2**63 - 1)

    def _check_steps(self, steps: int) -> None:
        if not self.annealed:
            if not 1 <= steps <= 1000:
                who = "the published form" if self.preset == "paper" else self.method
                raise UsageError(f"--steps {steps}: {who} takes 1 to 1000")
            return
        check_between("--steps", steps, 1, MOST_STEPS)
        if self.pairs and steps % 2:
            told = f"--steps {steps}: counts both signs of a noise pair; use an even number"
            raise UsageError(f"{told} (or any below {PAIRS_FROM})")

    @property
    def evaluations(self) -> int:
        """Network evaluations asked for."""
        own = PUBLISHED_STEPS.get(self.method, STEPS[self.preset])
        return self.steps if self.steps is not None else min(own, self.most or own)

    @property
    def annealed(self) -> bool:
        """True if our form of RED-diff runs, and not the published one or another method."""
        return self.method == "reddiff" and self.preset != "paper"

    @property
    def pairs(self) -> bool:
        """True if our form of RED-diff uses both signs of its noise."""
        several = self.evaluations >= PAIRS_FROM and self.samples == 1
        return several and self.preset != "perceptual"

    @property
    def steps_of_red_diff(self) -> int:
        """Steps that these evaluations are worth."""
        return self.evaluations // 2 if self.pairs else self.evaluations


# Below this many evaluations single noise draws beat antithetic pairs.
PAIRS_FROM = 20
# Far above what is of any use; the levels of all are listed before the first.
MOST_STEPS = 100_000


def parse_noise(text: str | None, flag: str = "--noise") -> float | str | None:
    """`auto`, a number from 0 to 1, or nothing; UsageError otherwise."""
    if text is None or text == AUTO:
        return text
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise UsageError(f"{flag} {text}: give auto or a number between 0 and 1")
    return value


OVERLAP, LEAST_TILE = 64, 16


@dataclass(frozen=True)
class MachineOptions:
    """Where and how to compute: device and dtype by name, or `auto`.

    tile: largest side that goes through the network in one piece; 0: any; None: the prior's own.
    tile_overlap: pixels shared by pieces; None: a quarter of one, OVERLAP at most.
    deterministic: fp32, and only kernels that give the same bits every time.
    """

    device: str = "auto"
    dtype: str = "auto"
    tile: int | None = None
    tile_overlap: int | None = None
    deterministic: bool = False

    def __post_init__(self) -> None:
        if self.tile is not None and self.tile < 0:
            raise UsageError(f"--tile {self.tile}: must be 0 (never) or a size in pixels")
        if self.tile and self.tile < LEAST_TILE:
            raise UsageError(f"--tile {self.tile}: must be 0 (never), or {LEAST_TILE} and more")
        overlap = self.tile_overlap or 0
        if self.tile and overlap * 2 > self.tile:
            raise UsageError(f"--tile-overlap {overlap}: at most half of a tile of {self.tile}")
        if overlap < 0:
            raise UsageError(f"--tile-overlap {overlap}: must be 0 or more pixels")
        if self.deterministic and self.dtype not in ("auto", "fp32"):
            raise UsageError(f"--dtype {self.dtype}: --deterministic computes in fp32; drop one")
        check_choice("--dtype", self.dtype, ("auto", "fp32", "bf16", "fp16"))


# Of lossy formats, as in Pillow.
QUALITY = 95


@dataclass(frozen=True)
class OutputOptions:
    """Where results go, and as what. path None: `{stem}.{task}.png` beside the input.

    folder: path is one, whatever it looks like.
    format: `auto` takes -o's suffix, else png.    depth: `auto` keeps the input's.
    compare, trace: pictures for people beside the result.
    """

    path: Path | None = None
    folder: bool = False
    overwrite: bool = False
    strip: bool = False
    recursive: bool = False
    quality: int = QUALITY
    format: str = "auto"
    depth: str = "auto"
    compare: bool = False
    trace: bool = False

    def __post_init__(self) -> None:
        check_choice("--format", self.format, OUTPUT_FORMATS)
        check_choice("--depth", self.depth, DEPTHS)
        check_between("--quality", self.quality, 1, 100)


@dataclass(frozen=True)
class ReportOptions:
    """What people and scripts are told, and whether the first failure ends the run.

    aliases: path -> what is shown in its place, as `-` for the file that holds stdin.
    """

    quiet: bool = False
    verbose: int = 0
    json: bool = False
    fail_fast: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)

    @property
    def traces(self) -> bool:
        """True if failures are shown with their tracebacks."""
        return wants_traces(self.verbose)
