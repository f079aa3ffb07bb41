"""What people and scripts see: progress and messages on stderr, JSON lines on stdout.

The only file that prints. On a terminal two bars; elsewhere one line per picture, no escape codes.
"""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from .errors import ExitCode, PictureError, ReddiffError
from .jobs import Job


def print_line(text: str) -> None:
    """One line on stdout, as it is."""
    sys.stdout.write(text + "\n")


def print_error(error: ReddiffError) -> None:
    """One line on stderr."""
    _write_error(f"error: {_one_line(str(error))}")


class Reporter:
    """Counts, bars and messages of one run; a context manager around it."""

    def __init__(self, total: int, *, quiet: bool = False, verbose: bool = False) -> None:
        self.total, self.quiet, self.verbose = total, quiet, verbose
        self.done = self.ok = self.skipped = 0
        self.failures: list[str] = []
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        live = self.console.is_terminal and not quiet
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=not live,
        )
        several = total > 1
        self._pictures = self.progress.add_task("pictures", total=total, visible=several, note="")
        self._steps = self.progress.add_task("evaluations", total=None, note="")
        self._last_look = 0.0

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def picture(self, job: Job) -> None:
        """A picture begins."""
        self.progress.reset(self._steps, description=job.input.name, total=None, note="")

    def step(self, done: int, total: int, residual: Callable[[], float]) -> None:
        """Evaluations of the present stage; the residual is asked for twice a second at most."""
        if self.progress.disable:
            return
        note = {}
        if time.monotonic() - self._last_look > 0.5:
            self._last_look = time.monotonic()
            note = {"note": f"residual {residual():.4f}"}
        self.progress.update(self._steps, completed=done, total=total, **note)  # type: ignore[arg-type]

    def finish(self, job: Job, seconds: float, residual_ratio: float | None) -> None:
        """A picture is restored and written."""
        self.ok += 1
        ratio = "" if residual_ratio is None else f"  residual/noise {residual_ratio:.2f}"
        self._picture_line(f"{job.input} -> {job.output}  {seconds:.1f} s{ratio}")

    def skip(self, job: Job, reason: str) -> None:
        """A picture needs nothing."""
        self.skipped += 1
        self._picture_line(f"{job.input}: skipped, {reason}")

    def fail(self, error: PictureError | ReddiffError) -> None:
        """A picture failed; the others go on."""
        message = _one_line(str(error))
        self.failures.append(message)
        self.done += 1
        self.progress.advance(self._pictures)
        self._print(f"error: {message}", always=True)

    def note(self, message: str) -> None:
        """A decision that was taken (with -v), or a warning (always)."""
        if self.verbose or message.startswith("warning"):
            self._print(message)

    def summary(self) -> ExitCode:
        """The closing lines, and the exit code they stand for."""
        if self.total > 1:
            counts = f"{self.ok} restored, {self.skipped} skipped, {len(self.failures)} failed"
            self._print(counts)
            for failure in self.failures:
                self._print(f"  {failure}")
        return ExitCode.PICTURE_FAILED if self.failures else ExitCode.OK

    def _picture_line(self, text: str) -> None:
        self.done += 1
        self.progress.advance(self._pictures)
        self._print(f"[{self.done}/{self.total}] {text}")

    def _print(self, text: str, always: bool = False) -> None:
        if always or not self.quiet:
            self.console.print(_one_line(text), markup=False)


class TrainReporter:
    """Progress of a training run."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        live = self.console.is_terminal and not quiet
        columns = (
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
        )
        self.progress = Progress(*columns, console=self.console, disable=not live)
        self.task = self.progress.add_task("train", total=1.0, step=0, loss=0.0)
        self.quiet = quiet
        self.loss = 0.0

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def step(self, step: int, loss: float, done: float) -> None:
        """One optimiser step; the loss is shown as a running mean."""
        self.loss = loss if step <= 1 else 0.98 * self.loss + 0.02 * loss
        self.progress.update(self.task, completed=done, step=step, loss=self.loss)

    def note(self, message: str) -> None:
        if not self.quiet:
            self.console.print(message, markup=False)


class FetchReporter:
    """What is fetched, how large it is and under which licence; then its bytes."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.quiet = quiet
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        live = self.console.is_terminal and not quiet
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not live)
        self.task = self.bar.add_task("fetching", total=None, visible=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def begin(self, what: str, size: int | None, licence: str) -> None:
        """One line before the first byte."""
        if not self.quiet:
            terms = f"; licence: {licence}" if licence else ""
            self.console.print(f"fetching {what}, {in_megabytes(size)}{terms}", markup=False)
        self.bar.start()
        self.bar.update(self.task, visible=True)

    def progress(self, done: int, total: int) -> None:
        """Bytes so far."""
        self.bar.update(self.task, completed=done, total=total or None)

    def end(self, text: str) -> None:
        """One line when all is there."""
        self.bar.stop()
        if not self.quiet:
            self.console.print(text, markup=False)


def in_megabytes(size: int | None) -> str:
    """A size in bytes for people."""
    return f"{size / 1e6:.1f} MB" if size else "size not known"


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout, as wide as its content where that is no terminal."""
    console = Console(highlight=False)
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    if console.is_terminal:
        console.print(table)
        return
    console.width = 10_000
    with console.capture() as text:
        console.print(table)
    for line in text.get().splitlines():
        print_line(line.rstrip())


def plan_lines(jobs: list[Job]) -> list[str]:
    """What --dry-run prints."""
    arrows = {"restore": "", "skip": "skip: ", "fail": "fail: "}
    return [
        f"{arrows[job.action]}{job.input} -> {job.output}"
        + (f" ({job.reason})" if job.reason else "")
        for job in jobs
    ]


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _write_error(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)
