"""Settings of a training run, checked before anything is read."""

import math
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..options.checks import check_between

# Steps of the optimisers where none is given.
RATES = {"adamw": 1e-3, "muon": 1e-2}
LARGEST_RATE = 1.0


@dataclass(frozen=True)
class TrainOptions:
    """Settings of one training run; every number is written into `training.json`.

    Ends after `steps` optimiser steps, or `minutes` of this run if steps is None. The learning
    rate rises over `warmup` steps, holds, and falls linearly to zero over the last `decay` share.
    s is drawn log-uniform in [s_min, s_max], a share `focus` of it in the middle alone, where
    most of a restoration happens. `loss`: `log` of a crop's squared error, `mse` or `min-snr`.
    Every `wide_every`-th step uses crops of twice the size (and a quarter of the batch): context
    for holes and colour. A share `reduce` of crops is taken at half resolution, a share `flat` is
    made nearly constant. `turns`: the positions of a square in which crops are shown, `all`,
    `mirror` or `none`. `optimiser`: `adamw`, or `muon` for matrices; `lr`: its step (None: that
    of RATES). `compile`: whether torch.compile translates the network first (None: on CUDA, where
    it pays in minutes). `init` is a prior whose weights are the first ones; if it has fewer
    `layers`, the others say nothing at first (grow.py).
    """

    folder: Path
    output: Path
    validation: Path | None = None
    size: int = 64
    channels: tuple[int, ...] = (32, 64, 96, 160, 256)
    layers: int = 2
    unshuffle: int = 1
    groups: int = 8
    batch: int = 8
    steps: int | None = None
    minutes: float | None = None
    optimiser: str = "adamw"
    lr: float | None = None
    warmup: int = 100
    decay: float = 0.3
    ema: float = 0.999
    prediction: str = "epsilon"
    loss: str = "log"
    reduce: float = 0.3
    turns: str = "mirror"
    flat: float = 0.06
    wide_every: int = 4
    s_min: float = 0.015
    s_max: float = 15.0
    focus: float = 0.6
    seed: int = 0
    checkpoint_minutes: float = 5.0
    compile: bool | None = None
    resume: bool = False
    init: Path | None = None

    @property
    def rate(self) -> float:
        """The optimiser's step before warm-up and decay."""
        return RATES[self.optimiser] if self.lr is None else self.lr

    @property
    def smallest(self) -> int:
        """Side of the smallest picture that all kinds of crops fit into."""
        return self.size * (2 if self.wide_every or self.reduce else 1)

    def __post_init__(self) -> None:
        if self.resume and self.init is not None:
            raise UsageError("--init and --resume: a checkpoint has weights of its own; drop one")
        if (self.steps is None) == (self.minutes is None):
            given = "neither is given" if self.steps is None else "both say when training ends"
            raise UsageError(f"--steps and --minutes: {given}; give one of them")
        self._check_counts()
        self._check_numbers()
        multiple = self.unshuffle * 2 ** (len(self.channels) - 1)
        if self.size % multiple:
            raise UsageError(f"--size {self.size}: must be a multiple of {multiple} here")
        if self.prediction not in ("v", "epsilon"):
            raise UsageError(f"--prediction {self.prediction}: unknown; use v or epsilon")
        if self.loss not in ("log", "mse", "min-snr"):
            raise UsageError(f"--loss {self.loss}: unknown; use log, mse or min-snr")
        if self.turns not in ("all", "mirror", "none"):
            raise UsageError(f"--turns {self.turns}: unknown; use all, mirror or none")
        if any(c % self.groups for c in self.channels):
            raise UsageError(f"--channels: every width must be a multiple of {self.groups}")
        if self.optimiser not in RATES:
            raise UsageError(f"--optimiser {self.optimiser}: unknown; use {' or '.join(RATES)}")

    def _check_counts(self) -> None:
        """UsageError for a number of things that cannot be."""
        counts = {"size": self.size, "layers": self.layers, "unshuffle": self.unshuffle}
        counts |= {"batch": self.batch, "channels": min(self.channels, default=0)}
        if self.steps is not None:
            counts["steps"] = self.steps
        for name, count in counts.items():
            if count < 1:
                raise UsageError(f"--{name} {count}: must be 1 or more")
        if self.wide_every < 0:
            raise UsageError(f"--wide-every {self.wide_every}: give 0 (off) or more")
        check_between("--seed", self.seed, 0, 2**63 - 1)

    def _check_numbers(self) -> None:
        """UsageError for a share, a rate or a time that cannot be; none of them holds of NaN."""
        for name, share in (("decay", self.decay), ("reduce", self.reduce)):
            if not 0 <= share <= 1:
                raise UsageError(f"--{name} {share:g}: is a share; give 0 to 1")
        if self.lr is not None and not 0 < self.lr <= LARGEST_RATE:
            raise UsageError(f"--lr {self.lr:g}: must be above 0, and {LARGEST_RATE:g} at most")
        if not 0 < self.ema < 1:
            raise UsageError(f"--ema {self.ema:g}: must lie between 0 and 1")
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise UsageError(f"--minutes {self.minutes:g}: must be a number above 0")
        if not 0 <= self.checkpoint_minutes < math.inf:
            told = f"--checkpoint-minutes {self.checkpoint_minutes:g}"
            raise UsageError(f"{told}: must be 0 or more")
