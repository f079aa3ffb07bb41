"""What every task hands to the solver, and gets back: stages of one picture's restoration.

Here pictures in [0, 1] become tensors in [-1, 1], and the reverse.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..budget import straight
from ..estimation.verdicts import TOLD, Grounds
from ..operators import Operator, on_device
from ..options.common import SolverOptions
from ..pictures.display import for_display
from ..pictures.files import Hole, Picture
from ..signatures import DenoiseFunction
from ..solvers.reddiff import SIGMA_FLOOR
from ..solvers.whitening import Whitening
from .levels import S_END


class View(Protocol):
    """How the network sees the pixels of a stage: windows of a hole, or the whole canvas."""

    def denoise(self, denoiser: DenoiseFunction, z: Tensor, t: Tensor) -> Tensor: ...

    def to(self, device: torch.device) -> "View": ...


class Probe(Enum):
    """What is asked about tiles of a picture, in place of what they show.

    TILES: their noise, by `likeliest_noise`.    MEANS: that of the means of their channels.
    SHARE: how much of what was heard is noise, by `confirmed_share`.    STRENGTH: the same, by
    `likeliest_shares`.
    """

    TILES = auto()
    MEANS = auto()
    SHARE = auto()
    STRENGTH = auto()


@dataclass(frozen=True)
class Stage:
    """One run of a solver.

    y: measurement.    start: first mu, (B, C, H, W) in [-1, 1].    s_start, s_end: noise levels.
    sigma_y: noise of y in [-1, 1] units.    sigma_least: what rounding leaves of it at least.
    weight: of the prior, times what the user asks for.    white: whether the noise of y differs
    from pixel to pixel.    whitening: what makes it so.    enough: above 0, so many looks at y are
    enough, if nobody asks for more.    shared: above 0, it makes what all methods and samples
    share, by the default solver in so many network evaluations.    probe: its result is no
    picture, but what this tells of y, tiles whose noise is sigma_y at most, about, or that of
    whitening.    more: whether another one that is not shared follows.    ahead: the longest of
    those that follow, as far as it is known by now.
    """

    view: View
    operator: Operator
    y: Tensor
    start: Tensor
    s_start: float
    sigma_y: float
    s_end: float = S_END
    weight: float = 1.0
    sigma_least: float = SIGMA_FLOOR
    shared: int = 0
    white: bool = True
    enough: int = 0
    whitening: Whitening | None = None
    probe: Probe | None = None
    more: bool = False
    ahead: "Stage | None" = None

    @property
    def sigma(self) -> float:
        """Noise of y that a solver may count on, above 0."""
        return max(self.sigma_y, self.sigma_least)

    @property
    def last(self) -> bool:
        """Whether the picture is done after it."""
        return not (self.shared or self.more)

    def to(self, device: torch.device) -> "Stage":
        """The same stage with its tensors on a device."""
        return replace(
            self,
            view=self.view.to(device),
            operator=on_device(self.operator, device),
            y=self.y.to(device),
            start=self.start.to(device),
            whitening=self.whitening and self.whitening.to(device),
        )

    def residual(self, mu: Tensor) -> float:
        """rms of what A(mu) leaves of y, in [0, 1] units; JPEG: in steps of its tables, halved.

        Of samples, that of their mean, which is the result; of runs, that of the worst. 0 if there
        is no mu.
        """
        if self.probe is not None:
            return 0.0
        result = mu if len(mu) == len(self.start) else mu.mean(0, keepdim=True)
        return float(self.operator.residual(result, self.y).max()) / 2


def solver_of(stage: Stage, solver: SolverOptions) -> SolverOptions:
    """The solver that was asked for, or the one that makes what all of them share."""
    if stage.shared:
        return solver_of_shared(solver, stage.shared)
    if stage.enough and straight(solver) and solver.steps is None:
        return replace(solver, steps=stage.enough)
    return solver


def solver_of_shared(solver: SolverOptions, evaluations: int) -> SolverOptions:
    """The default solver, whatever method, constants and samples were asked for."""
    return SolverOptions(steps=evaluations, noise=solver.noise, seed=solver.seed)


class Problem(Protocol):
    """The restoration of one picture.

    source: as it was read, with the alpha and depth that the result will have.
    noise: standard deviation in [0, 1] units, as used.
    """

    source: Picture
    noise: float

    def stages(self) -> Iterator[Stage]:
        """Stages in their order; `accept` gets each result before the next is asked for."""

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Take the last mu of a stage, on the CPU."""

    def finish(self) -> Picture:
        """The restored picture."""

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """What the result would be if the stage ended at mu."""

    def remark(self) -> str:
        """What a person should know about the result, or nothing."""

    def extras(self) -> dict[str, Picture]:
        """Further pictures, by what is put in place of the result's suffix."""
        return {}

    @property
    def before(self) -> Picture:
        """The picture as it was read, to be shown beside the result."""
        return self.source

    @property
    def hole(self) -> Hole | None:
        """What of it is filled, if that is the task."""
        return None

    @property
    def residual(self) -> float | None:
        """rms that the result leaves of y, in [0, 1] units; None: as the last stage has it."""
        return None

    @property
    def verdict(self) -> str:
        """What the task itself says of its result: converged, ambiguous or failed."""
        return ""

    @property
    def grounds(self) -> Grounds:
        """What the noise rests on that the residual is judged by."""
        return TOLD


def to_tensor(picture: Picture) -> Tensor:
    """Pixels (H, W, C) in [0, 1] -> (1, C, H, W) in [-1, 1], with memory of its own."""
    return (torch.from_numpy(for_display(picture)).permute(2, 0, 1)[None] * 2).sub_(1)


def to_pixels(x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(1, C, H, W) in [-1, 1] -> (H, W, C) in [0, 1], clipped."""
    values = (x[0].float().cpu() + 1).div_(2).clamp_(0, 1)
    return values.permute(1, 2, 0).contiguous().numpy()
