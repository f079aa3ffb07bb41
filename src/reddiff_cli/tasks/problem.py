"""What every task hands to the solver, and gets back: stages of one picture's restoration.

The only place where pixels in [0, 1] become tensors in [-1, 1], and the reverse.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..budget import straight
from ..models import Card
from ..noise import estimate_noise, is_white, smooths
from ..operators import Operator, is_linear, on_device
from ..options import OVERLAP, TASKS, MachineOptions, SolverOptions
from ..pictures import Picture, Pixels
from ..response import Response
from ..solvers.reddiff import SIGMA_FLOOR
from ..solvers.whitening import Whitening
from ..tiling import DenoiseFunction, Whole

OnNote = Callable[[str], None]
SRGB = Response()
# Last noise level: 0.01 to 0.05 make no difference of 0.1 dB, with noise neither.
S_END = 0.03
# Except for denoising, where it goes through levels at all (`Seen` does without, where noise is
# white): these follow sigma_y, in [-1, 1] units, from FIRST to LAST times it, as far down as the
# schedule goes. Restorations of 2 training photographs, 128x128, noise 0.02 /
# 0.05 / 0.1, 20 evaluations: from 0.5 to 0.03 37.9 / 34.5 / 31.9 dB, by this rule 40.4 / 36.0 /
# 32.6, by one evaluation of the network 40.5 / 35.7 / 32.1. FIRST 1.5 to 5, LAST 1/4: within 0.3.
# With the prior as it is now, 4 photographs, noise 25/255, 50 evaluations, against one evaluation:
# FIRST 3 and weights of 0.63 / 0.7 / 0.76 -0.30 / -0.26 / -0.28 dB, FIRST 4 -0.29 / -0.23 / -0.24.
FIRST, LAST, LOWEST = 4.0, 1 / 8, 0.0101
# Every step brings mu nearer to what the prior alone would like, so in these tasks its weight
# falls with their number: as the card says at UNIT_STEPS, and as 1 / sqrt(steps). 3 training
# photographs, weights of 0.35 / 0.5 / 0.7 / 1, dB in 10 steps (20 evaluations) and in 25:
#   noise 0.1           26.4 / 28.3 / 30.2 / 31.0    28.2 / 30.6 / 31.0 / 30.5    96x96
#   superres x4, 0.05   25.3 / 25.4 / 25.3 / 25.2    25.6 / 25.5 / 25.3 / 24.9    128x128
#   gaussian:2, 0.01    29.4 / 29.5 / 29.5 / 29.4    29.9 / 29.9 / 29.7 / 29.6
#   motion:15,30, 0.01 (6 photographs, 25 steps)    weights of 0.35 / 0.6 / 1: 30.4 / 31.2 / 30.9
#   random 70 %, 0.05   28.2 / 28.3 / 28.2 / 28.2    29.0 / 29.0 / 28.8 / 28.6
UNIT_STEPS = 10
FALLING = ("inpaint", "denoise", "superres", "deblur", "restore")
# Noisy pixels around a hole are denoised as well, the better the more of them there are: the
# card's weight for holes is for this share of known pixels, that for denoising for 1, and between
# them it grows with the share. The first level is at least that of denoising, too. 5 training
# photographs, 96x96, noise 0.05, 50 evaluations, dB from s = 0.15 / 0.3 at weights of
#                       0.5           0.7           1             1.4
#   random 70 %         25.74/25.85   25.70/25.80   25.56/25.64   25.34/25.39
#   random 40 %         29.04/29.08   29.32/29.38   29.30/29.39   29.02/29.13
#   free-form 20 %      27.59/27.65   28.04/28.13   28.23/28.36   28.16/28.33
SPARSE = 0.3
# Holes of these shares of pixels without a known neighbour are single pixels, and strokes.
SCATTERED, SOLID = 0.45, 0.55


class View(Protocol):
    """How the network sees the pixels of a stage: windows of a hole, or the whole canvas."""

    def denoise(self, denoiser: DenoiseFunction, z: Tensor, t: Tensor) -> Tensor: ...

    def to(self, device: torch.device) -> "View": ...


@dataclass(frozen=True)
class Stage:
    """One run of a solver.

    y: measurement.    start: first mu, (B, C, H, W) in [-1, 1].    s_start, s_end: noise levels.
    sigma_y: noise of y in [-1, 1] units.    sigma_least: what rounding leaves of it at least.
    weight: of the prior, times what the user asks for.    white: whether the noise of y differs
    from pixel to pixel.    whitening: what makes it so.    enough: above 0, so many looks at y are
    enough, if nobody asks for more.    shared: above 0, it makes what all methods and samples
    share, by the default solver in so many network evaluations.
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
        """rms of what A(mu) leaves of y, in [0, 1] units; JPEG: in steps of its tables, halved."""
        return float(self.operator.residual(mu, self.y).max()) / 2


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

    def extras(self) -> dict[str, Picture]:
        """Further pictures, by what is put in place of the result's suffix."""

    def remark(self) -> str:
        """What a person should know about the result, or nothing."""


@dataclass(frozen=True)
class Setting:
    """What the tasks need of a run: the prior's card, the solver's options, a voice, tiles."""

    card: Card
    solver: SolverOptions
    on_note: OnNote
    machine: MachineOptions = MachineOptions()

    def told_noise(self, task: str) -> float | None:
        """The noise that somebody told, or the task takes for granted; None: to be estimated."""
        given = TASKS[task].noise if self.solver.noise is None else self.solver.noise
        return None if isinstance(given, str) else given

    def noise(
        self,
        task: str,
        path: Path,
        picture: Tensor,
        known: Tensor | None = None,
        *,
        blurred: bool = False,
        by_coefficients: bool = False,
    ) -> float:
        """Noise in [0, 1] units: as given, or the task's own, or estimated from the picture.

        known, blurred: as of `estimate_noise`.    by_coefficients: y will be told from those
        of a JPEG; the least noise of lossy files is right for what is left of its errors then.
        """
        told = self.told_noise(task)
        if told is not None:
            return told
        estimate = estimate_noise(picture, known, smoothed=smooths(path), blurred=blurred)
        if estimate.warning and not by_coefficients:
            self.on_note(f"warning: {path}: {estimate.warning}; noise {estimate.sigma:.4f}")
        return estimate.sigma

    def white(
        self,
        operator: Operator,
        path: Path,
        y: Tensor,
        noise: float,
        known: Tensor | None = None,
    ) -> bool:
        """True if this noise is in y and differs from pixel to pixel: `is_white`.

        Not measured without noise, and where y shows no picture. Behind a blur and the like
        noise may be told too high.
        """
        if noise == 0 or not is_linear(operator):
            return True
        at_least = 0.0 if getattr(operator, "direct", None) is None else noise
        return is_white(y, at_least, known, smoothed=smooths(path))

    def view(self) -> Whole:
        """The whole canvas, in tiles as asked for or as the prior's card says."""
        tile = self.card.tile if self.machine.tile is None else self.machine.tile
        overlap = self.machine.tile_overlap
        if overlap is None:
            return Whole(tile, min(OVERLAP, tile // 4))
        return Whole(tile, min(overlap, tile // 2))

    def levels(self, task: str, sigma_y: float, solid: float = 0.0) -> tuple[float, float]:
        """First and last noise level: as given, or as of `noise_levels`."""
        first, last = noise_levels(task, self.card, sigma_y, solid)
        return self.solver.s_start or first, last

    def weight(self, task: str, share: float = SPARSE) -> float:
        """Of the prior, as its card says; what the user asks for comes on top.

        share: how much of what the network sees is observed, if the task is to fill holes.
        """
        weight = self.card.prior_weights.get(task, 1.0)
        if task == "inpaint":
            dense = self.card.prior_weights.get("denoise", 1.0)
            weight += (dense - weight) * min(1.0, max(0.0, (share - SPARSE) / (1 - SPARSE)))
        if task not in FALLING:
            return weight
        return weight * math.sqrt(UNIT_STEPS / self.solver.steps_of_red_diff)


def noise_levels(task: str, card: Card, sigma_y: float, solid: float = 0.0) -> tuple[float, float]:
    """First and last noise level of a task; denoising takes the first as a bound.

    solid: share of a hole's pixels that have no known neighbour (`solid_share`).
    """
    sigma = max(sigma_y, SIGMA_FLOOR)
    noisy = min(card.starts.get("denoise", TASKS["denoise"].s_start), FIRST * sigma)
    if task == "denoise":
        return noisy, max(LOWEST, min(S_END, LAST * sigma))
    if task == "inpaint":
        part = min(1.0, max(0.0, (solid - SCATTERED) / (SOLID - SCATTERED)))
        rise = card.start_of_strokes / card.hole_start
        return max(card.hole_start * rise**part, noisy), S_END
    return card.starts.get(task, TASKS[task].s_start), S_END


def to_tensor(picture: Picture) -> Tensor:
    """Pixels (H, W, C) in [0, 1] -> (1, C, H, W) in [-1, 1], with memory of its own."""
    return torch.from_numpy(encoded(picture)).permute(2, 0, 1)[None] * 2 - 1


def encoded(picture: Picture) -> Pixels:
    """Pixels as a display would show them, in [0, 1]: what the prior was trained on.

    Linear light is divided by its peak where that is above 1, and sRGB-encoded.
    """
    if not picture.linear:
        return picture.pixels
    return SRGB.encode(picture.pixels / _peak(picture)).astype(np.float32)


def decoded(pixels: Pixels, like: Picture) -> Pixels:
    """The reverse of `encoded`, with the peak of the picture that was encoded."""
    if not like.linear:
        return pixels
    return (SRGB.decode(pixels) * _peak(like)).astype(np.float32)


def headroom(picture: Picture) -> float:
    """How many times brighter than the 99th percentile of what is not black the brightest is.

    1 where nothing is above white: such light is not divided.
    """
    brightest = float(picture.pixels.max())
    if brightest <= 1:
        return 1.0
    values = picture.pixels.max(2).ravel()
    some = values[:: 1 + len(values) // 1_000_000]
    some = some[some > 0]
    return brightest / float(np.quantile(some, 0.99)) if len(some) else 1.0


def _peak(picture: Picture) -> float:
    return max(1.0, float(picture.pixels.max()))


def to_pixels(x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(1, C, H, W) in [-1, 1] -> (H, W, C) in [0, 1], clipped."""
    values = ((x[0].float().cpu() + 1) / 2).clamp(0, 1)
    return values.permute(1, 2, 0).contiguous().numpy()
