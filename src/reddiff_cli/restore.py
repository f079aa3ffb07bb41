"""Restore one picture: pose its problem, solve the stages, finish, save."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .checkpoints.cards import Card
from .denoisers.batching import Batcher
from .denoisers.denoiser import Denoiser, load_model
from .errors import PictureError, counted
from .foretell import Foreteller, OnEstimate, OnStep, watched
from .formats.kinds import DEPTHS, format_of
from .machine.computing import DTYPES, choose_device, choose_dtype, compute_exactly
from .machine.memory import free_memory, is_out_of_memory
from .machine.room import Room
from .methods import Solving, draws, evaluations
from .options.common import RECORDING, MachineOptions, OutputOptions, SolverOptions
from .options.tasks import TaskOptions
from .pictures.files import Picture, check_format, save_picture, told_of_cut, with_depth
from .pictures.readings import Readings
from .planning.jobs import FOUND, Job, OnNote
from .planning.record import make_record
from .result import Result
from .sheets import UNCALIBRATED, Sheets
from .tasks import Problem, Setting, Stage, pose, solver_of

# A stage and its present mu, for the animated trace.
OnLook = Callable[[Stage, Tensor], None]

# Pictures in hand at once: while one is computed, the next is read and the last one written.
WORKERS = 2
# On a GPU they share batches of so many rows.
SHARING_DEVICES = ("cuda",)
WORKERS_SHARED, SHARED_ROWS = 8, 8
# A network of so many parameters is busy with half as many rows: on an H200 in fp16 two rows of
# 256x256 take one of 113 M 13.9 ms, eight 31.6 ms; one of 11 M 6.5 and 7.4 ms.
HEAVY = 50_000_000
# Pixels of the pictures that are computed at once there, which bounds their memory.
SHARED_PIXELS = 32_000_000
NAMES = {dtype: name for name, dtype in DTYPES.items()}


class NotFinite(Exception):
    """The network's output holds NaN or infinity: its 16-bit type overflowed."""


class Restorer:
    """Everything that stays the same from picture to picture; several threads may restore.

    On a CPU one picture computes at a time, while others are read and written. On a GPU all of
    them do, and share the batches of the network.
    """

    def __init__(
        self,
        card: Card,
        solver: SolverOptions,
        machine: MachineOptions,
        options: TaskOptions,
        output: OutputOptions,
        *,
        together: bool = True,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """together: whether several pictures may share batches, where the device gains by it.
        check: called often while something computes; what it raises ends that.
        """
        self.card, self.solver, self.options, self.output = card, solver, options, output
        self.machine = machine
        self.device = choose_device(machine.device)
        wanted = "fp32" if machine.deterministic else machine.dtype
        self.dtype = choose_dtype(wanted, self.device)
        if machine.deterministic:
            compute_exactly()
        else:  # in 16 bits a network gains nothing by TF32, and data steps would lose by it
            torch.backends.cudnn.allow_tf32 = False
        self._denoiser: Denoiser | Batcher | None = None
        self._check, self.readings = check, Readings()
        self._lock = threading.RLock()
        self._foreteller = Foreteller()
        # Recorded evaluations hold much memory: of these methods, one picture at a time.
        gains = self.device.type in SHARING_DEVICES and solver.method not in RECORDING
        self.shared = together and gains
        self.workers = WORKERS_SHARED if self.shared else WORKERS
        self._room = Room(SHARED_PIXELS if self.shared else 0)

    @property
    def denoiser(self) -> Denoiser | Batcher:
        """Loaded once, when the first picture needs it."""
        with self._lock:
            if self._denoiser is None:
                denoiser = load_model(self.card, self.device, self.dtype)
                denoiser.heed(self._check)
                rows = SHARED_ROWS // 2 if denoiser.parameters > HEAVY else SHARED_ROWS
                self._denoiser = Batcher(denoiser, rows) if self.shared else denoiser
            return self._denoiser

    def like(self, solver: SolverOptions, options: TaskOptions) -> "Restorer":
        """Another solver or task with the same network, which is loaded now."""
        other = copy(self)
        other._denoiser, other.solver, other.options = self.denoiser, solver, options
        return other

    def restore(
        self, job: Job, on_step: OnStep, on_note: OnNote, on_estimate: OnEstimate = lambda *_: None
    ) -> Result:
        """Restore and write one picture; PictureError says what is wrong with it.

        on_estimate: seconds that a stage on a CPU will take, before its first; if it is the last.

        Where memory runs out although the network sees one window at a time, it is tried again
        with smaller windows.
        """
        tile: int | None = None
        for smaller in (*self.card.smaller_tiles(self.machine.tile), None):
            try:
                return self._attempt(job, tile, on_step, on_note, on_estimate)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            free_memory(self.device)
            if smaller:
                on_note(f"warning: {job.input}: out of memory; trying windows of {smaller} pixels")
            tile = smaller
        other = "--tile 256" if self.machine.tile == 0 else "--device cpu, or a smaller picture"
        raise PictureError(f"{job.input}: out of memory; give {other}", "OutOfMemory")

    def _attempt(
        self, job: Job, tile: int | None, on_step: OnStep, on_note: OnNote, on_estimate: OnEstimate
    ) -> Result:
        """One try, with windows of at most `tile` pixels (None: as usual)."""
        began = time.monotonic()
        problem = pose(job, self.options, self._setting(tile, on_note))
        check_format(self._as_asked(problem.source, job.output), job.output)  # before the work
        asked = time.monotonic()
        steps = self._evaluations(on_note)  # refused before the work, if it cannot be done
        began += time.monotonic() - asked  # loading the network is no work on this picture
        sheets = Sheets(job.output, problem, self.output)
        residual = 0.0
        solved = []
        for stage in problem.stages():
            asked = time.monotonic()
            samples = solver_of(stage, self.solver).samples
            with self._room.taken(stage.start[:, 0].numel() * samples):
                began += time.monotonic() - asked  # nor is waiting for the turn
                watch = self._foretell(stage, on_step, on_estimate)
                mu, residual = self.solve(stage, watch, on_note, sheets.look)
            problem.accept(stage, mu.mean(0, keepdim=True) if samples > 1 else mu)
            if not stage.shared:
                solved.append((stage, mu))
                steps = evaluations(solver_of(stage, self.solver), self.denoiser, self.card)
        record = make_record(job, self.card, self.solver, self.options, self.output)
        unit = problem.source.unit
        noise, remark = unit * problem.noise, problem.remark()
        record[FOUND] = {"noise": round(noise, 6), "remark": remark, "evaluations": steps}
        made = self._average(problem, solved, sheets) if self.sampling else problem.finish()
        restored = self._as_asked(made, job.output)
        if made.shines and not restored.linear:
            on_note(f"warning: {job.input}: {told_of_cut(made)}")
        kept = None if self.output.strip else record
        save_picture(restored, job.output, kept, self.output.quality)
        sheets.save(made)  # whose unit is that of the picture before
        return Result(
            width=restored.width,
            height=restored.height,
            seconds=time.monotonic() - began,
            noise=noise,
            residual=unit * (residual if problem.residual is None else problem.residual),
            remark=self._with_caveat(remark),
            record=record,
            device=str(self.device),
            dtype=NAMES[self.dtype],
            steps=steps,
            found=problem.verdict,
            grounds=problem.grounds,
            unit=unit,
        )

    def _foretell(self, stage: Stage, on_step: OnStep, on_estimate: OnEstimate) -> OnStep:
        """Say how long a stage will take, where that is worth knowing; what watches its steps."""
        if self.device.type != "cpu":
            return on_step
        return watched(stage, self._seconds, on_step, on_estimate)

    def _seconds(self, stage: Stage) -> float | None:
        solver = solver_of(stage, self.solver)
        count = solver.samples * evaluations(solver, self.denoiser, self.card)
        recorded = solver.method in RECORDING
        return self._foreteller.seconds(stage, self.denoiser, count, recorded=recorded)

    def _with_caveat(self, remark: str) -> str:
        """What the task has to say, and in sample mode what the spread is not."""
        return "; ".join(filter(None, (remark, f"spread is {UNCALIBRATED}" * self.sampling)))

    def _evaluations(self, on_note: OnNote) -> int:
        """What a picture or window takes: not always as asked, nor as by default."""
        count, asked = evaluations(self.solver, self.denoiser, self.card), self.solver.evaluations
        if count != asked:
            why = "published grid" if count > asked else "prior's levels"
            on_note(f"warning: the {why} took {counted(count, 'network evaluation')}, not {asked}")
        return count

    def _setting(self, tile: int | None, on_note: OnNote) -> Setting:
        """What tasks need to know; with windows and tiles of at most `tile` pixels."""
        card, machine = self.card, self.machine
        if tile is not None:
            window = min(card.window, tile)
            # smallest = window: nor does a small picture go through in one piece.
            card = replace(card, window=window, smallest=window, tile=tile)
            machine = replace(machine, tile=None)
        about = card, self.solver, on_note, machine, self.output.depth, self._check
        return Setting(*about, self.readings.take, self.output.strip)

    def _as_asked(self, picture: Picture, path: Path) -> Picture:
        """The picture with the depth of --depth; auto: a PNG file takes 16 bits of light."""
        depth = self.output.depth
        if depth != "auto":
            return with_depth(picture, DEPTHS[depth])
        return with_depth(picture, 16) if picture.linear and format_of(path) == "PNG" else picture

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

    def solve(
        self,
        stage: Stage,
        on_step: OnStep = lambda *_: None,
        on_note: OnNote = lambda _: None,
        on_look: OnLook = lambda *_: None,
    ) -> tuple[Tensor, float]:
        """(last mu, rms residual in [0, 1] units); a type that overflows makes way for a wider."""
        while True:
            dtype = self.dtype
            with suppress(NotFinite):
                return self._solve(stage, on_step, on_look)
            if dtype == torch.float32:
                message = "the network's output is not finite; the prior or the picture is damaged"
                raise PictureError(message, "NotFinite")
            self._widen(dtype, on_note)

    def _widen(self, dtype: torch.dtype, on_note: OnNote) -> None:
        """Go on in a type of wider range, unless another thread has seen to it already."""
        with self._lock:
            if self.dtype == dtype:
                gpu_half = dtype == torch.float16 and self.device.type != "cpu"
                wider = torch.bfloat16 if gpu_half else torch.float32
                on_note(f"warning: {dtype} overflowed in the network; going on in {wider}")
                self.dtype, self._denoiser = wider, None

    def _solve(self, stage: Stage, on_step: OnStep, on_look: OnLook) -> tuple[Tensor, float]:
        """The last mu, on the CPU, and its rms residual in [0, 1] units."""
        here = stage.to(self.device)
        denoiser = self.denoiser  # the same to the end, whatever other threads find out
        total = evaluations(solver_of(stage, self.solver), denoiser, self.card)
        mu = here.start
        with denoiser.member() if isinstance(denoiser, Batcher) else nullcontext():
            for done, mu in self._run(here, denoiser):
                # Looked at twice only, as a look waits for the device.
                if (done <= 2 or done == total) and not bool(torch.isfinite(mu).all()):
                    raise NotFinite
                on_step(done, total, partial(here.residual, mu))
                on_look(stage, mu)
        return mu.cpu(), here.residual(mu)

    def _run(self, stage: Stage, denoiser: Denoiser | Batcher) -> Iterator[tuple[int, Tensor]]:
        """The solver that was asked for, on the pixels of one stage."""
        solver = solver_of(stage, self.solver)
        start = stage.start.repeat_interleave(solver.samples, 0)
        noise = draws(start, solver.seed)
        return Solving(self.options.task, stage, start, noise, denoiser, self.card, solver).run()
