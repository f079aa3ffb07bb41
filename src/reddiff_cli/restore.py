"""Restore one picture: pose its problem, solve the stages, finish, save."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from .denoiser import Denoiser, choose_device, choose_dtype, load_denoiser
from .errors import PictureError
from .jobs import FOUND, Job, Record
from .models import Card
from .noise import judge_residual
from .options import PAIRS_FROM, TASKS, MachineOptions, OutputOptions, SolverOptions
from .pictures import check_format, save_picture
from .record import make_record
from .solvers.reddiff import red_diff, red_diff_paper
from .task_options import TaskOptions
from .tasks import Setting, Stage, pose

# Evaluations done, evaluations of this stage, and how to get the residual (which takes time).
OnStep = Callable[[int, int, Callable[[], float]], None]
OnNote = Callable[[str], None]


class NotFinite(Exception):
    """The network's output holds NaN or infinity: its 16-bit type overflowed."""


@dataclass(frozen=True)
class Result:
    """What became of one picture.

    noise: as used, and residual: rms, both in [0, 1] units.    remark: what a person should know.
    """

    width: int
    height: int
    seconds: float
    noise: float
    residual: float
    remark: str
    record: Record

    @property
    def residual_ratio(self) -> float | None:
        """Residual over noise, or None without noise."""
        return self.residual / self.noise if self.noise else None

    @property
    def verdict(self) -> str:
        """What that ratio says about the assumptions."""
        return "" if self.residual_ratio is None else judge_residual(self.residual_ratio)


class Restorer:
    """Everything that stays the same from picture to picture."""

    def __init__(
        self,
        card: Card,
        solver: SolverOptions,
        machine: MachineOptions,
        options: TaskOptions,
        output: OutputOptions,
    ) -> None:
        self.card, self.solver, self.options, self.output = card, solver, options, output
        self.device = choose_device(machine.device)
        self.dtype = choose_dtype(machine.dtype, self.device)
        self._denoiser: Denoiser | None = None

    @property
    def denoiser(self) -> Denoiser:
        """Loaded once, when the first picture needs it."""
        if self._denoiser is None:
            self._denoiser = load_denoiser(self.card.folder, self.device, self.dtype)
        return self._denoiser

    def restore(self, job: Job, on_step: OnStep, on_note: OnNote) -> Result:
        """Restore and write one picture; PictureError says what is wrong with it."""
        began = time.monotonic()
        problem = pose(job, self.options, Setting(self.card, self.solver, on_note))
        check_format(problem.source, job.output)  # before hours of work, not after
        residual = 0.0
        for stage in problem.stages():
            mu, residual = self._solve_safely(stage, on_step, on_note)
            problem.accept(stage, mu.cpu())
        record = make_record(job.input, job.mask, self.card, self.solver, self.options)
        record[FOUND] = {"noise": round(problem.noise, 6), "remark": problem.remark()}
        restored = problem.finish()
        saved = None if self.output.strip else record
        save_picture(restored, job.output, saved, self.output.quality)
        return Result(
            width=restored.width,
            height=restored.height,
            seconds=time.monotonic() - began,
            noise=problem.noise,
            residual=residual,
            remark=problem.remark(),
            record=record,
        )

    def _solve_safely(
        self, stage: Stage, on_step: OnStep, on_note: OnNote
    ) -> tuple[Tensor, float]:
        """Solve; a 16-bit type that overflows is replaced by fp32 from here on."""
        for dtype in {self.dtype: None, torch.float32: None}:
            if dtype != self.dtype:
                on_note(f"warning: {self.dtype} overflowed in the network; going on in {dtype}")
                self.dtype, self._denoiser = dtype, None
            with suppress(NotFinite):
                return self._solve(stage, on_step)
        message = "the network's output is not finite; the prior or the picture is damaged"
        raise PictureError(message, "NotFinite")

    def _solve(self, stage: Stage, on_step: OnStep) -> tuple[Tensor, float]:
        """The last mu on the stage's pixels, and its rms residual in [0, 1] units."""
        here = stage.to(self.device)
        total = evaluations(self.solver, self.denoiser)
        mu = here.start
        for done, mu in self._run(here):
            # Looked at twice only, as a look waits for the device.
            if (done <= 2 or done == total) and not bool(torch.isfinite(mu).all()):
                raise NotFinite
            on_step(done, total, partial(here.residual, mu))
        return mu, here.residual(mu)

    def _run(self, stage: Stage) -> Iterator[tuple[int, Tensor]]:
        """The solver that was asked for, on the pixels of one stage."""
        denoiser, solver, defaults = self.denoiser, self.solver, TASKS[self.options.task]
        generator = torch.Generator().manual_seed(solver.seed)

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            return stage.view.denoise(denoiser, z, t)

        def draw_noise() -> Tensor:
            # On the CPU, so that every device sees the same noise.
            return torch.randn(stage.start.shape, generator=generator).to(self.device)

        problem = (stage.y, stage.operator, denoise, denoiser.schedule, stage.start, draw_noise)
        if solver.preset == "paper":
            noisy = stage.sigma_y > 0
            weight = defaults.paper_weight_noisy if noisy else defaults.paper_weight
            return red_diff_paper(
                *problem,
                steps=solver.evaluations,
                lr=solver.lr or defaults.paper_lr,
                prior_weight=solver.prior_weight or weight,
            )
        return red_diff(
            *problem,
            steps=solver.evaluations,
            sigma_y=stage.sigma_y,
            s_start=stage.s_start,
            s_end=stage.s_end,
            prior_weight=solver.prior_weight or 1.0,
            pairs=solver.evaluations >= PAIRS_FROM,
        )


def evaluations(solver: SolverOptions, denoiser: Denoiser) -> int:
    """Network evaluations that a run really takes (the published form rounds its grid)."""
    if solver.preset == "paper":
        return len(denoiser.schedule.reference_grid(solver.evaluations))
    return solver.evaluations
