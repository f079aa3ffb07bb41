"""Restore one picture: pose its problem, solve the stages, finish, save."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .denoiser import Denoiser, choose_device, choose_dtype, load_model
from .errors import PictureError
from .jobs import FOUND, Job, Record
from .methods import Solving, draws, evaluations
from .models import Card
from .noise import judge_residual
from .options import MachineOptions, OutputOptions, SolverOptions
from .pictures import DEPTHS, Picture, check_format, save_picture, with_depth
from .record import make_record
from .sheets import Sheets
from .task_options import TaskOptions
from .tasks import Problem, Setting, Stage, pose

# Evaluations done, evaluations of this stage, and how to get the residual (which takes time).
OnStep = Callable[[int, int, Callable[[], float]], None]
OnNote = Callable[[str], None]
# A stage and its present mu, for the animated trace.
OnLook = Callable[[Stage, Tensor], None]


class NotFinite(Exception):
    """The network's output holds NaN or infinity: its 16-bit type overflowed."""


@dataclass(frozen=True)
class Result:
    """What became of one picture.

    noise: as used, and residual: rms, both in [0, 1] units.    remark: what a person should know.
    found: the verdict of phase retrieval.
    """

    width: int
    height: int
    seconds: float
    noise: float
    residual: float
    remark: str
    record: Record
    device: str
    dtype: str
    found: str = ""

    @property
    def residual_ratio(self) -> float | None:
        """Residual over noise, or None without noise."""
        return self.residual / self.noise if self.noise else None

    @property
    def verdict(self) -> str:
        """What that ratio says about the assumptions."""
        return "" if self.residual_ratio is None else judge_residual(self.residual_ratio)

    def facts(self) -> dict[str, Any]:
        """What scripts are told; keys are never renamed."""
        names = ("model", "revision", "method", "preset", "steps", "seed")
        ratio = self.residual_ratio
        return {
            "width": self.width,
            "height": self.height,
            **{name: self.record[name] for name in names},
            "noise": round(self.noise, 6),
            "device": self.device,
            "dtype": self.dtype,
            "seconds": round(self.seconds, 3),
            "residual": round(self.residual, 6),
            **({"verdict": self.found} if self.found else {}),
            "residual_ratio": None if ratio is None else round(ratio, 4),
            "remark": self.remark,
        }


class Restorer:
    """Everything that stays the same from picture to picture; several threads may restore.

    On a CPU one picture computes at a time, while others are read and written.
    """

    def __init__(
        self,
        card: Card,
        solver: SolverOptions,
        machine: MachineOptions,
        options: TaskOptions,
        output: OutputOptions,
    ) -> None:
        self.card, self.solver, self.options, self.output = card, solver, options, output
        self.machine = machine
        self.device = choose_device(machine.device)
        wanted = "fp32" if machine.deterministic else machine.dtype
        self.dtype = choose_dtype(wanted, self.device)
        if machine.deterministic:
            compute_exactly()
        self._denoiser: Denoiser | None = None
        self._turn = threading.RLock()

    @property
    def denoiser(self) -> Denoiser:
        """Loaded once, when the first picture needs it."""
        with self._turn:
            if self._denoiser is None:
                self._denoiser = load_model(self.card, self.device, self.dtype)
            return self._denoiser

    def restore(self, job: Job, on_step: OnStep, on_note: OnNote) -> Result:
        """Restore and write one picture; PictureError says what is wrong with it."""
        began = time.monotonic()
        setting = Setting(self.card, self.solver, on_note, self.machine)
        problem = pose(job, self.options, setting)
        check_format(self._as_asked(problem.source), job.output)  # before hours of work
        sheets = Sheets(job.output, problem, self.output)
        residual = 0.0
        solved = []
        for stage in problem.stages():
            with self._turn:
                mu, residual = self._solve_safely(stage, on_step, on_note, sheets.look)
            problem.accept(stage, mu.mean(0, keepdim=True) if self.sampling else mu)
            solved.append((stage, mu))
        record = make_record(job.input, job.mask, self.card, self.solver, self.options)
        record[FOUND] = {"noise": round(problem.noise, 6), "remark": problem.remark()}
        restored = self._average(problem, solved, sheets) if self.sampling else problem.finish()
        saved = None if self.output.strip else record
        restored = self._as_asked(restored)
        save_picture(restored, job.output, saved, self.output.quality)
        sheets.save(restored)
        return Result(
            width=restored.width,
            height=restored.height,
            seconds=time.monotonic() - began,
            noise=problem.noise,
            residual=residual,
            remark=problem.remark(),
            record=record,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            found=getattr(problem, "verdict", ""),
        )

    def _as_asked(self, picture: Picture) -> Picture:
        """The picture with the depth of --depth."""
        depth = self.output.depth
        return picture if depth == "auto" else with_depth(picture, DEPTHS[depth])

    @property
    def sampling(self) -> bool:
        """True in sample mode, where every stage is solved for several seeds at once."""
        return self.solver.samples > 1

    def _average(
        self, problem: Problem, solved: list[tuple[Stage, Tensor]], sheets: Sheets
    ) -> Picture:
        """Mean of the samples; their standard deviation goes to the sheets."""
        pictures = []
        for row in range(self.solver.samples):
            for stage, mu in solved:
                problem.accept(stage, mu[row : row + 1])
            pictures.append(problem.finish())
        return sheets.average(pictures)

    def _solve_safely(
        self, stage: Stage, on_step: OnStep, on_note: OnNote, on_look: OnLook
    ) -> tuple[Tensor, float]:
        """Solve; a 16-bit type that overflows is replaced by fp32 from here on."""
        for dtype in {self.dtype: None, torch.float32: None}:
            if dtype != self.dtype:
                on_note(f"warning: {self.dtype} overflowed in the network; going on in {dtype}")
                self.dtype, self._denoiser = dtype, None
            with suppress(NotFinite):
                return self._solve(stage, on_step, on_look)
        message = "the network's output is not finite; the prior or the picture is damaged"
        raise PictureError(message, "NotFinite")

    def _solve(self, stage: Stage, on_step: OnStep, on_look: OnLook) -> tuple[Tensor, float]:
        """The last mu, on the CPU, and its rms residual in [0, 1] units."""
        here = stage.to(self.device)
        total = evaluations(self.solver, self.denoiser)
        mu = here.start
        for done, mu in self._run(here):
            # Looked at twice only, as a look waits for the device.
            if (done <= 2 or done == total) and not bool(torch.isfinite(mu).all()):
                raise NotFinite
            on_step(done, total, partial(here.residual, mu))
            on_look(stage, mu)
        return mu.cpu(), here.residual(mu)

    def _run(self, stage: Stage) -> Iterator[tuple[int, Tensor]]:
        """The solver that was asked for, on the pixels of one stage."""
        solver = self.solver
        start = stage.start
        if self.sampling:
            start = start.repeat_interleave(solver.samples, 0)
        noise = draws(start, solver.seed)
        task = self.options.task
        return Solving(task, stage, start, noise, self.denoiser, self.card, solver).run()


def compute_exactly() -> None:
    """The same bits every time: no TF32, deterministic kernels only."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
