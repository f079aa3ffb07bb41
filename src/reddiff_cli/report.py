"""What people and scripts see: progress and messages on stderr, JSON lines on stdout.

The only file that prints. On a terminal two bars; elsewhere one line per picture, no escape codes.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from .errors import ExitCode, PictureError, ReddiffError
from .jobs import Job
from .options import ReportOptions


def print_line(text: str) -> None:
    """One line on stdout, as it is."""
    sys.stdout.write(text + "\n")


def print_error(error: ReddiffError) -> None:
    """One line on stderr."""
    _write_error(f"error: {one_line(str(error))}")


class Outcome(Protocol):
    """What is told of a restored picture."""

    @property
    def seconds(self) -> float: ...

    @property
    def noise(self) -> float: ...

    @property
    def remark(self) -> str: ...

    @property
    def residual_ratio(self) -> float | None: ...

    @property
    def verdict(self) -> str: ...

    def facts(self) -> dict[str, Any]: ...


class Reporter:
    """Counts, bars and messages of one run; a context manager around it.

    Safe to be called by several threads at once.
    """

    def __init__(self, total: int, options: ReportOptions) -> None:
        self.total, self.options = total, options
        self.done = self.ok = self.skipped = 0
        self.failures: list[str] = []
        self.began = time.monotonic()
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        live = self.console.is_terminal and not options.quiet
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
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
        self._bars: dict[Job, TaskID] = {}
        self._looks: dict[Job, float] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def picture(self, job: Job) -> None:
        """A picture begins."""
        with self._lock:
            name = one_line(job.input.name)
            self._bars[job] = self.progress.add_task(name, total=None, note="")

    def step(self, job: Job, done: int, total: int, residual: Callable[[], float]) -> None:
        """Evaluations of the present stage; the residual is asked for twice a second at most."""
        if self.progress.disable:
            return
        note = {}
        if time.monotonic() - self._looks.get(job, 0.0) > 0.5:
            self._looks[job] = time.monotonic()
            note = {"note": f"residual {residual():.4f}"}
        self.progress.update(self._bars[job], completed=done, total=total, **note)  # type: ignore[arg-type]

    def finish(self, job: Job, result: Outcome) -> None:
        """A picture is restored and written."""
        parts = [f"{job.input} -> {job.output}  {result.seconds:.1f} s"]
        if result.residual_ratio is not None:
            parts.append(f"noise {result.noise:.4f}")
            parts.append(f"residual/noise {result.residual_ratio:.2f}, {result.verdict}")
        parts += [result.remark] if result.remark else []
        with self._lock:
            self.ok += 1
            self._event(picture_event(job, "ok", str(job.output)) | result.facts())
            self._picture_line(job, "; ".join(parts))

    def skip(self, job: Job, reason: str) -> None:
        """A picture needs nothing."""
        with self._lock:
            self.skipped += 1
            self._event(picture_event(job, "skipped", str(job.output)) | {"reason": reason})
            self._picture_line(job, f"{job.input}: skipped, {reason}")

    def fail(self, job: Job, error: ReddiffError) -> None:
        """A picture failed; the others go on."""
        message = one_line(str(error))
        kind = error.kind if isinstance(error, PictureError) else type(error).__name__
        with self._lock:
            self.failures.append(message)
            told = {"error": {"type": kind, "message": message}}
            self._event(picture_event(job, "failed", None) | told)
            self._advance(job)
            self._print(f"error: {message}", always=True)

    def note(self, message: str) -> None:
        """A decision that was taken (with -v), or a warning (always)."""
        if self.options.verbose or message.startswith("warning"):
            self._print(message)

    def summary(self) -> ExitCode:
        """The closing lines, and the exit code they stand for."""
        code = ExitCode.PICTURE_FAILED if self.failures else ExitCode.OK
        counts = {"ok": self.ok, "skipped": self.skipped, "failed": len(self.failures)}
        seconds = round(time.monotonic() - self.began, 3)
        self._event({"event": "summary", **counts, "seconds": seconds, "exit_code": int(code)})
        if self.total > 1:
            self._print(f"{self.ok} restored, {self.skipped} skipped, {len(self.failures)} failed")
            for failure in self.failures:
                self._print(f"  {failure}")
        return code

    def _picture_line(self, job: Job, text: str) -> None:
        self._advance(job)
        self._print(f"[{self.done}/{self.total}] {text}")

    def _advance(self, job: Job) -> None:
        self.done += 1
        self.progress.advance(self._pictures)
        if job in self._bars:
            self.progress.remove_task(self._bars.pop(job))

    def _event(self, event: dict[str, Any]) -> None:
        if self.options.json:
            print_event(event)

    def _print(self, text: str, always: bool = False) -> None:
        if always or not self.options.quiet:
            self.console.print(one_line(text), markup=False, emoji=False)


def picture_event(job: Job, status: str, output: str | None) -> dict[str, Any]:
    """What every line about a picture holds."""
    told = {"event": "image", "status": status, "task": job.task}
    return told | {"input": str(job.input), "output": output}


def print_event(event: dict[str, Any]) -> None:
    """One JSON object on one line of stdout, at once."""
    print_line(json.dumps(event))
    sys.stdout.flush()


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


def print_plan(jobs: list[Job], as_json: bool) -> None:
    """What --dry-run prints."""
    for job in jobs:
        if as_json:
            failed = job.action == "fail"
            error = {"type": job.kind, "message": job.reason} if failed else None
            told = {"input": str(job.input), "output": str(job.output), "action": job.action}
            print_event({"event": "plan", **told, "error": error})
        else:
            arrow = "" if job.action == "restore" else f"{job.action}: "
            reason = f" ({job.reason})" if job.reason else ""
            print_line(one_line(f"{arrow}{job.input} -> {job.output}{reason}"))


def one_line(text: str) -> str:
    """Text that stays on one line, whatever a file is called."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _write_error(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False, emoji=False)
