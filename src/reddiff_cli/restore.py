"""Restore one picture: load, measure, solve, finish, save."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .denoiser import Denoiser, choose_device, choose_dtype, load_model
from .errors import PictureError
from .jobs import Job, Record
from .masks import NEARLY_ALL, covered_share, load_hole
from .models import Card
from .options import PAIRS_FROM, TASKS, MachineOptions, MaskOptions, OutputOptions, SolverOptions
from .pictures import check_format, load_picture, save_picture
from .record import make_record, noise_of
from .solvers.reddiff import red_diff, red_diff_paper
from .tasks import Stage, finish_inpaint, inpaint_stages, make_opaque, to_tensor

# Evaluations done, evaluations of this stage, and how to get the residual (which takes time).
OnStep = Callable[[int, int, Callable[[], float]], None]
OnNote = Callable[[str], None]


class NotFinite(Exception):
    """The network's output holds NaN or infinity: its 16-bit type overflowed."""


@dataclass(frozen=True)
class Result:
    """What became of one picture; residual is rms in [0, 1] units, its ratio is to the noise."""

    width: int
    height: int
    seconds: float
    residual: float
    residual_ratio: float | None
    record: Record


class Restorer:
    """Everything that stays the same from picture to picture."""

    def __init__(
        self,
        card: Card,
        solver: SolverOptions,
        machine: MachineOptions,
        mask: MaskOptions,
        output: OutputOptions,
    ) -> None:
        self.card, self.solver, self.mask, self.output = card, solver, mask, output
        self.device = choose_device(machine.device)
        self.dtype = choose_dtype(machine.dtype, self.device)
        self._denoiser: Denoiser | None = None

    @property
    def denoiser(self) -> Denoiser:
        """Loaded once, when the first picture needs it."""
        if self._denoiser is None:
            self._denoiser = load_model(self.card, self.device, self.dtype)
        return self._denoiser

    def restore(self, job: Job, on_step: OnStep, on_note: OnNote) -> Result:
        """Restore and write one picture; PictureError says what is wrong with it."""
        began = time.monotonic()
        picture = load_picture(job.input)
        hole = load_hole(picture, job.mask, self.mask)
        picture = make_opaque(picture, hole)
        check_format(picture, job.output)  # before hours of work, not after
        share = covered_share(hole)
        if share > NEARLY_ALL:
            on_note(f"warning: {job.input}: {share:.0%} of the picture is to be filled")
        canvas = to_tensor(picture)
        sigma_y = 2 * noise_of(job.task, self.solver)
        residual = 0.0
        stages = inpaint_stages(hole, self.card, self.solver, sigma_y, canvas, on_note)
        for stage in stages:
            mu, residual = self._solve_safely(job.task, stage, sigma_y, on_step, on_note)
            stage.write(canvas, mu.cpu())
        record = make_record(job.task, job.input, job.mask, self.card, self.solver, self.mask)
        restored = finish_inpaint(picture, hole, canvas)
        saved = None if self.output.strip else record
        save_picture(restored, job.output, saved, self.output.quality)
        ratio = residual / (sigma_y / 2) if sigma_y else None
        seconds = time.monotonic() - began
        return Result(picture.width, picture.height, seconds, residual, ratio, record)

    def _solve_safely(
        self, task: str, stage: Stage, sigma_y: float, on_step: OnStep, on_note: OnNote
    ) -> tuple[Tensor, float]:
        """Solve; a 16-bit type that overflows is replaced by fp32 from here on."""
        for dtype in {self.dtype: None, torch.float32: None}:
            if dtype != self.dtype:
                on_note(f"warning: {self.dtype} overflowed in the network; going on in {dtype}")
                self.dtype, self._denoiser = dtype, None
            with suppress(NotFinite):
                return self._solve(task, stage, sigma_y, on_step)
        message = "the network's output is not finite; the prior or the picture is damaged"
        raise PictureError(message, "NotFinite")

    def _solve(
        self, task: str, stage: Stage, sigma_y: float, on_step: OnStep
    ) -> tuple[Tensor, float]:
        """The last mu on the stage's pixels, and its rms residual in [0, 1] units."""
        here = stage.to(self.device)
        total = evaluations(self.solver, self.denoiser)
        mu = here.start
        for done, mu in self._run(task, here, sigma_y):
            # Looked at twice only, as a look waits for the device.
            if (done <= 2 or done == total) and not bool(torch.isfinite(mu).all()):
                raise NotFinite
            on_step(done, total, partial(here.residual, mu))
        return mu, here.residual(mu)

    def _run(self, task: str, stage: Stage, sigma_y: float) -> Iterator[tuple[int, Tensor]]:
        """The solver that was asked for, on the pixels of one stage."""
        denoiser, solver, defaults = self.denoiser, self.solver, TASKS[task]
        generator = torch.Generator().manual_seed(solver.seed)

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            return stage.work.denoise(denoiser, z, t)

        def draw_noise() -> Tensor:
            # On the CPU, so that every device sees the same noise.
            return torch.randn(stage.start.shape, generator=generator).to(self.device)

        problem = (stage.y, stage.operator, denoise, denoiser.schedule, stage.start, draw_noise)
        if solver.preset == "paper":
            weight = defaults.paper_weight_noisy if sigma_y > 0 else defaults.paper_weight
            return red_diff_paper(
                *problem,
                steps=solver.evaluations,
                lr=solver.lr or defaults.paper_lr,
                prior_weight=solver.prior_weight or weight,
            )
        return red_diff(
            *problem,
            steps=solver.evaluations,
            sigma_y=sigma_y,
            s_start=stage.s_start,
            prior_weight=solver.prior_weight or 1.0,
            pairs=solver.evaluations >= PAIRS_FROM,
        )


def evaluations(solver: SolverOptions, denoiser: Denoiser) -> int:
    """Network evaluations that a run really takes (the published form rounds its grid)."""
    if solver.preset == "paper":
        return len(denoiser.schedule.reference_grid(solver.evaluations))
    return solver.evaluations
