"""One command over its pictures: plan, restore, report, and say how it went."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from .budget import fit
from .checkpoints.cards import Card
from .checkpoints.models import find_model
from .errors import ExitCode, PictureError, ReddiffError, UsageError, code_of
from .formats.kinds import LOSSY, format_of
from .interrupts import Interrupts
from .kernels.files import background_of, read_kernel
from .machine.room import Room
from .options.common import MachineOptions, OutputOptions, ReportOptions, SolverOptions
from .options.tasks import InpaintOptions, TaskOptions
from .pictures.masks import NothingToFill
from .planning.headers import change_of_size, check_output, checked, result_size
from .planning.jobs import Job, MakeRecord, OnNote, plan_job, plan_jobs
from .planning.record import files_of, make_record
from .planning.rehearsal import Rehearsal
from .planning.shards import WHOLE, Shard
from .reporting.progress import FetchReporter
from .reporting.report import Reporter, print_plan

if TYPE_CHECKING:
    from .restore import Restorer

# Pixels of the results in hand at once where batches are shared; a larger one is alone. Eight of
# 6 megapixels, `inpaint`: 1.7 GB of the host instead of 3.8.
IN_HAND = 16_000_000


class Stopped(Exception):
    """Another picture ended the run; this one is given up."""


@dataclass(frozen=True)
class Run:
    """What was damaged and how, the inputs, all options; touches nothing by itself."""

    options: TaskOptions
    inputs: list[Path]
    model: str
    solver: SolverOptions
    machine: MachineOptions
    output: OutputOptions
    report: ReportOptions
    shard: Shard = WHOLE
    offline: bool = False

    def show_plan(self) -> ExitCode:
        """Print what would be done; torch is not imported, and nothing is fetched."""
        jobs = self._plan(find_model(self.model, offline=True), lambda _: None)
        rehearsal = Rehearsal(self.options)
        jobs = [rehearsal.of(checked(job, self.options, self.output.depth)) for job in jobs]
        print_plan(jobs, self.report)
        failed = [job for job in jobs if job.action == "fail"]
        if failed and all(job.kind == UsageError.__name__ for job in jobs):
            return ExitCode.USAGE  # no picture could be restored this way
        return ExitCode.PICTURE_FAILED if failed else ExitCode.OK

    def restore(self) -> ExitCode:
        """Restore every picture that needs it; one failure never ends the run."""
        notes: list[str] = []
        try:
            warnings = self._read_kernels()
            with FetchReporter(self.report.quiet) as watcher:
                card = find_model(self.model, offline=self.offline, watcher=watcher)
            jobs = self._plan(card, notes.append)
        except (ReddiffError, KeyboardInterrupt) as error:
            _sum_up(Reporter(0, self.report), error)
            raise
        with Reporter(len(jobs), self.report) as reporter:
            for note in notes:
                reporter.note(note)
            try:
                stop = threading.Event()
                restorer = self._restorer(card, jobs, reporter, stop)
                for warning in warnings if restorer else ():
                    reporter.note(warning)
                self._restore_all(jobs, restorer, reporter, stop)
            except (ReddiffError, KeyboardInterrupt) as error:
                _sum_up(reporter, error)
                raise
            return reporter.summary()

    def _restorer(
        self, card: Card, jobs: list[Job], reporter: Reporter, stop: threading.Event
    ) -> "Restorer | None":
        """What restores the pictures, if there is one to restore; and what is noted beforehand."""
        restorer = None
        # Where a device is named that is not there, no picture has failed by itself.
        sure = self.machine.device == "cpu" or self.machine.device.startswith("auto")
        if any(job.action == "restore" or (job.action == "fail" and not sure) for job in jobs):
            from .restore import Restorer

            solver = fit(card, self.solver)
            about = card, solver, self.machine, self.options, self.output
            restorer = Restorer(*about, check=partial(_go_on, stop))
            where = f"{restorer.device}, {restorer.dtype}"
            reporter.note(f"model {card.name} ({card.revision}) on {where}")
            if card.source and not card.folder.is_dir():
                reporter.note(f"converting {card.source.name} once, to {card.folder}")
        lossy = (job for job in jobs if job.action != "fail" and format_of(job.output) in LOSSY)
        if any(checked(job, self.options, self.output.depth).action != "fail" for job in lossy):
            holed = self.options.task == "inpaint" or self.options.shared_mask
            changed = "known pixels change" if holed else "values change"
            reporter.note(f"warning: lossy format: {changed} a little; .png keeps them")
        return restorer

    def _read_kernels(self) -> list[str]:
        """Warnings of kernel files with a background, which would blur all of the picture.

        UsageError for one that holds no kernel, as all pictures would fail by it.
        """
        warnings = []
        for path in self.options.kernel_files:
            if share := background_of(read_kernel(path)):
                told = f"does not fall to 0, its border is at {100 * share:.0f} % of its maximum"
                cure = "that blurs all of the picture; subtract it"
                warnings.append(f"warning: kernel {path}: {told}; {cure}")
        return warnings

    def _plan(self, card: Card, on_note: OnNote) -> list[Job]:
        record_of = self._record_of(card, fit(card, self.solver))
        masks = self.options.mask if isinstance(self.options, InpaintOptions) else None
        return plan_jobs(
            *(self.options.task, self.inputs, masks, self.output, record_of, on_note),
            reads=files_of(self.options),
            sheets=self._sheets(),
            shard=self._part(),
        )

    def _record_of(self, card: Card, solver: SolverOptions) -> MakeRecord:
        """What makes the record that the result of a job is to hold."""
        return lambda job: make_record(job, card, solver, self.options, self.output)

    def _again(self, job: Job, restorer: "Restorer | None") -> Job:
        """The job as it is to be done now: another process may have written its result meanwhile.

        Then it is done already; and a result with other settings is no more lost than before.
        """
        if job.action != "restore" or restorer is None:
            return job
        record_of = self._record_of(restorer.card, restorer.solver)
        return plan_job(job, self.output, record_of, self._sheets())

    def _part(self) -> Shard:
        """Which of the pictures: all, where the tasks of a script each name one of their own."""
        single = len(self.inputs) == 1 and not self.inputs[0].is_dir()
        return WHOLE if single and self.shard.launcher.startswith("SLURM") else self.shard

    def _sheets(self) -> list[str]:
        """What is written beside every result, by what comes after its stem."""
        asked = {
            "compare.png": self.output.compare,
            "trace.gif": self.output.trace,
            "std.png": self.solver.samples > 1,
            "std.npy": self.solver.samples > 1,
            "tonemap.png": getattr(self.options, "tonemap", False),
        }
        return [suffix for suffix, wanted in asked.items() if wanted]

    def _restore_all(
        self,
        jobs: list[Job],
        restorer: "Restorer | None",
        reporter: Reporter,
        stop: threading.Event,
    ) -> None:
        """All jobs, a few at a time; stops at Ctrl-C, and with --fail-fast at a failure."""
        single = len(jobs) == 1
        workers = min(restorer.workers if restorer else 1, len(jobs))
        pending, turn, room = iter(jobs), threading.Lock(), Room(IN_HAND)

        def work() -> None:
            while not stop.is_set():
                with turn:
                    job = next(pending, None)
                if job is None:
                    return
                with room.taken(self._pixels(job, restorer)):
                    if not stop.is_set():
                        job = self._again(job, restorer)
                        self._restore_one(job, restorer, reporter, stop, single)

        with Interrupts(partial(self._leave, reporter)) as interrupts:
            pool = ThreadPoolExecutor(workers or 1)
            try:
                # Not a future for each picture: each wait looks at all that there are.
                waiting: set[Future[None]] = {pool.submit(work) for _ in range(workers)}
                while waiting:
                    # Short waits, as only between them can Ctrl-C be heard.
                    done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
            finally:
                stop.set()
                if interrupts.heard:
                    reporter.stopping(interrupts.told)
                pool.shutdown()

    def _pixels(self, job: Job, restorer: "Restorer | None") -> int:
        """Of the result, as the header tells, where as many are in hand as there is room for."""
        shares = restorer is not None and restorer.shared and self.options.task != "phase"
        if job.action == "restore" and shares:
            with suppress(Exception):  # said when it is read
                return math.prod(result_size(job, self.options)) * self.solver.samples
        return 0

    def _leave(self, reporter: Reporter) -> None:
        """What is left to do where the process ends at once; whole files stay whole."""
        reporter.leave()
        for path in self.report.aliases:  # for stdin and stdout, in a folder of their own
            rmtree(Path(path).parent, ignore_errors=True)

    def _restore_one(
        self,
        job: Job,
        restorer: "Restorer | None",
        reporter: Reporter,
        stop: threading.Event,
        single: bool,
    ) -> None:
        if job.action == "fail":
            self._fail(job, PictureError(job.reason, job.kind), reporter, stop)
            return
        if job.action == "skip" or restorer is None:
            reporter.skip(job, job.reason)
            return
        notes: list[str] = []

        def on_note(message: str) -> None:
            notes.append(message)
            reporter.note(message)

        def on_step(done: int, total: int, residual: Callable[[], float]) -> None:
            _go_on(stop)
            reporter.step(job, done, total, residual)

        try:
            # What is wrong with the command line is told before what will be done.
            check_output(job, self.options, self.output.depth, restorer.readings)
            sizes = ""
            with suppress(Exception):  # said when it is read
                sizes = change_of_size(job, self.options)
            reporter.picture(job, sizes)
            if job.reason:
                on_note(f"warning: {job.reason}")
            result = restorer.restore(job, on_step, on_note, partial(reporter.foretell, job))
        except NothingToFill as nothing:
            if str(job.output) in self.report.aliases:  # stdout would stay empty
                told = f"{job.input}: {nothing}; there is nothing to write"
                self._fail(job, PictureError(told, "NothingToFill"), reporter, stop)
            else:
                reporter.skip(job, str(nothing))
        except Stopped:
            return
        except (PictureError, UsageError) as error:
            # A usage error that only this picture has does not stop the others.
            if single and isinstance(error, UsageError):
                reporter.count(job, error)
                raise
            self._fail(job, error, reporter, stop)
        except (ReddiffError, BrokenPipeError):
            raise  # no model, no device, nobody who reads: no picture could be restored
        except Exception as error:  # whatever a picture does to a library, the others go on
            message = f"{job.input}: {type(error).__name__}: {error}; -vv shows where"
            unforeseen = PictureError(message, "Unforeseen").with_traceback(error.__traceback__)
            self._fail(job, unforeseen, reporter, stop)
        else:
            reporter.finish(job, result, notes)

    def _fail(
        self, job: Job, error: ReddiffError, reporter: Reporter, stop: threading.Event
    ) -> None:
        reporter.fail(job, error)
        if self.report.fail_fast:
            stop.set()


def _go_on(stop: threading.Event) -> None:
    """Stopped where the run is to end."""
    if stop.is_set():
        raise Stopped


def _sum_up(reporter: Reporter, error: BaseException) -> None:
    """The closing lines of a run that an error has ended."""
    with suppress(PictureError):  # where stdout takes nothing, the error is what people hear of
        reporter.summary(code_of(error))
