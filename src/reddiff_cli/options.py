"""What the user asked for, as plain data; and the one table of defaults per task."""

import math
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

STEPS = {"fast": 20, "standard": 50, "best": 100, "paper": 100}
PRESETS = tuple(STEPS)


@dataclass(frozen=True)
class TaskDefaults:
    """Solver settings of one task; `paper_*` are the published form's (arXiv 2305.04391).

    The first noise level is no matter of the task alone: it stands in the card of the prior.
    """

    noise: float
    paper_lr: float
    paper_weight: float
    paper_weight_noisy: float


TASKS = {
    "inpaint": TaskDefaults(noise=0.0, paper_lr=0.25, paper_weight=0.25, paper_weight_noisy=1.0),
}


@dataclass(frozen=True)
class SolverOptions:
    """How to restore. None means: by task, preset or prior.

    steps: network evaluations.    noise: standard deviation in [0, 1] units.
    """

    preset: str = "standard"
    steps: int | None = None
    prior_weight: float | None = None
    lr: float | None = None
    s_start: float | None = None
    noise: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise UsageError(f"--preset {self.preset}: unknown; use {', '.join(PRESETS)}")
        if self.lr is not None and self.preset != "paper":
            raise UsageError("--lr: only the published form has a step size; add --preset paper")
        if self.preset == "paper" and self.s_start is not None:
            raise UsageError("--start: the published form starts at the top; drop --preset paper")
        if self.steps is not None:
            self._check_steps(self.steps)
        for flag, value in (
            ("--prior-weight", self.prior_weight),
            ("--lr", self.lr),
            ("--start", self.s_start),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{flag} {value:g}: must be a number above 0")
        if self.noise is not None and not 0 <= self.noise <= 1:
            raise UsageError(f"--noise {self.noise:g}: must lie between 0 and 1")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"--seed {self.seed}: must be 0 or a positive integer")

    def _check_steps(self, steps: int) -> None:
        if self.preset == "paper":
            if not 1 <= steps <= 1000:
                raise UsageError(f"--steps {steps}: the published form takes 1 to 1000")
        elif steps < 1 or (steps >= PAIRS_FROM and steps % 2):
            raise UsageError(
                f"--steps {steps}: counts both signs of a noise pair; use an even number "
                f"(or any below {PAIRS_FROM})"
            )

    @property
    def evaluations(self) -> int:
        """Network evaluations asked for."""
        return self.steps if self.steps is not None else STEPS[self.preset]


# Below this many evaluations single noise draws beat antithetic pairs.
PAIRS_FROM = 20


@dataclass(frozen=True)
class MachineOptions:
    """Where to compute: device and dtype by name, or `auto`."""

    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", "fp32", "bf16", "fp16"):
            raise UsageError(f"--dtype {self.dtype}: unknown; use auto, fp32, bf16, fp16")


@dataclass(frozen=True)
class MaskOptions:
    """Where the hole is. path: a file for all pictures or a folder paired by stem."""

    path: Path | None = None
    invert: bool = False
    grow: int = 0

    def __post_init__(self) -> None:
        if self.grow < 0:
            raise UsageError(f"--grow-mask {self.grow}: must be 0 or more pixels")


@dataclass(frozen=True)
class PhaseOptions:
    """What a diffraction file holds, and how long to search for its phases.

    data: `amplitude` or `intensity` (its square).    layout: where frequency zero is.
    support: (height, width) of the object in pixels; None reads it from the autocorrelation.
    starts: random starts.    keep: runs refined with the prior.    detector_mask: white = bad.
    dataset: name inside .h5, .cxi, .npz, .mat.    scale: the data are `scale` times orthonormal
    FFT magnitudes of a picture in [0, 1]; None makes the brightest part of the result white.
    """

    data: str
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
        if self.layout not in ("auto", "centered", "corner"):
            raise UsageError(f"--layout {self.layout}: unknown; use auto, centered, corner")
        if self.support is not None and min(self.support) < 2:
            height, width = self.support
            raise UsageError(f"--support {height}x{width}: must be at least 2x2 pixels")
        if self.starts < 1:
            raise UsageError(f"--starts {self.starts}: must be at least 1")
        if not 1 <= self.keep <= self.starts:
            raise UsageError(f"--keep {self.keep}: must lie between 1 and --starts {self.starts}")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise UsageError(f"--scale {self.scale:g}: must be a number above 0")


@dataclass(frozen=True)
class OutputOptions:
    """Where results go. path None: `{stem}.{task}.png` beside the input."""

    path: Path | None = None
    overwrite: bool = False
    strip: bool = False
    recursive: bool = False
    quality: int = 95

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"--quality {self.quality}: must lie between 1 and 100")


@dataclass(frozen=True)
class TrainOptions:
    """Settings of one training run; every number is written into `training.json`.

    Ends after `steps` optimiser steps, or `minutes` of this run if steps is None. The learning
    rate rises over `warmup` steps, holds, and falls linearly to zero over the last `decay` share.
    s is drawn log-uniform in [s_min, s_max]: the levels that the sampler visits. Every
    `wide_every`-th step uses crops of twice the size (and a quarter of the batch): context for
    holes and colour. A share `reduce` of crops is taken at half resolution, a share `flat` is
    made nearly constant. `init` is a prior whose weights are the first ones.
    """

    folder: Path
    output: Path
    validation: Path | None = None
    size: int = 64
    channels: tuple[int, ...] = (64, 96, 128, 192)
    layers: int = 2
    unshuffle: int = 2
    groups: int = 8
    batch: int = 16
    steps: int | None = None
    minutes: float | None = None
    lr: float = 1e-3
    warmup: int = 100
    decay: float = 0.3
    ema: float = 0.999
    prediction: str = "v"
    reduce: float = 0.3
    flat: float = 0.06
    wide_every: int = 4
    s_min: float = 0.015
    s_max: float = 15.0
    seed: int = 0
    checkpoint_minutes: float = 5.0
    resume: bool = False
    init: Path | None = None

    def __post_init__(self) -> None:
        if self.resume and self.init is not None:
            raise UsageError("--init and --resume: a checkpoint has weights of its own; drop one")
        if (self.steps is None) == (self.minutes is None):
            raise UsageError("give either --steps or --minutes, so that training ends")
        multiple = self.unshuffle * 2 ** (len(self.channels) - 1)
        if self.size % multiple:
            raise UsageError(f"--size {self.size}: must be a multiple of {multiple} here")
        if self.prediction not in ("v", "epsilon"):
            raise UsageError(f"--prediction {self.prediction}: unknown; use v or epsilon")
        if any(c % self.groups for c in self.channels):
            raise UsageError(f"--channels: every width must be a multiple of {self.groups}")
        if self.batch < 1 or self.lr <= 0 or not 0 < self.ema < 1:
            raise UsageError("--batch, --lr must be positive and --ema between 0 and 1")
