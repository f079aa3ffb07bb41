"""One command over its pictures: plan, restore one by one, report, and say how it went."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ExitCode, PictureError, UsageError
from .jobs import Job, Record, plan_jobs
from .masks import NothingToFill
from .models import Card, find_model
from .options import MachineOptions, MaskOptions, OutputOptions, SolverOptions
from .pictures import LOSSY, format_of
from .record import make_record
from .report import FetchReporter, Reporter, plan_lines, print_line

if TYPE_CHECKING:
    from .restore import Restorer


@dataclass(frozen=True)
class Run:
    """A task, its inputs and all options; nothing is touched before a method is called."""

    task: str
    inputs: list[Path]
    model: str
    solver: SolverOptions
    machine: MachineOptions
    mask: MaskOptions
    output: OutputOptions
    quiet: bool
    verbose: int

    def show_plan(self) -> ExitCode:
        """Print what would be done; torch is not imported, and nothing is fetched."""
        jobs = self._plan(find_model(self.model, offline=True))
        for line in plan_lines(jobs):
            print_line(line)
        failed = any(job.action == "fail" for job in jobs)
        return ExitCode.PICTURE_FAILED if failed else ExitCode.OK

    def restore(self) -> ExitCode:
        """Restore every picture that needs it; one failure never ends the run."""
        with FetchReporter(self.quiet) as watcher:
            card = find_model(self.model, watcher=watcher)
        jobs = self._plan(card)
        with Reporter(len(jobs), quiet=self.quiet, verbose=self.verbose > 0) as reporter:
            restorer = None
            if any(job.action == "restore" for job in jobs):
                from .restore import Restorer

                restorer = Restorer(card, self.solver, self.machine, self.mask, self.output)
                where = f"{restorer.device}, {restorer.dtype}"
                reporter.note(f"model {card.name} ({card.revision}) on {where}")
                if card.source and not card.folder.is_dir():
                    reporter.note(f"converting {card.source.name} once, to {card.folder}")
            if any(format_of(job.output) in LOSSY for job in jobs):
                reporter.note(
                    "warning: lossy format: known pixels change a little; .png keeps them"
                )
            for job in jobs:
                self._restore_one(job, restorer, reporter, only=len(jobs) == 1)
        return reporter.summary()

    def _plan(self, card: Card) -> list[Job]:
        def record_of(path: Path, mask: Path | None) -> Record:
            return make_record(self.task, path, mask, card, self.solver, self.mask)

        return plan_jobs(self.task, self.inputs, self.mask.path, self.output, record_of)

    def _restore_one(
        self, job: Job, restorer: "Restorer | None", reporter: Reporter, only: bool
    ) -> None:
        if job.action == "fail":
            reporter.fail(PictureError(job.reason, job.kind))
            return
        if job.action == "skip" or restorer is None:
            reporter.skip(job, job.reason)
            return
        reporter.picture(job)
        try:
            result = restorer.restore(job, reporter.step, reporter.note)
        except NothingToFill as nothing:
            reporter.skip(job, str(nothing))
        except (PictureError, UsageError) as error:
            # A usage error that only this picture has does not stop the others.
            if self.verbose > 1 or (only and isinstance(error, UsageError)):
                raise
            reporter.fail(error)
        else:
            reporter.finish(job, result.seconds, result.residual_ratio)
