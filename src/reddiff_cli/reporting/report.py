"""What people and scripts see: progress and messages on stderr, JSON lines on stdout.

All that is printed of restored pictures goes through here: on a terminal with two bars, elsewhere
one line per picture, without escape codes.
"""

import json
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Protocol, Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn

from ..errors import ExitCode, ReddiffError, UsageError
from ..options.common import ReportOptions
from ..planning.jobs import Job
from .progress import bars_on, give_cursor_back, on_stderr
from .streams import renamed, writing_stdout

# Seconds above which people are told how long a picture will take.
LONG = 20.0
# Noise below which four digits say too little of it.
FAINT = 0.001
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def print_line(text: str) -> None:
    """One line on stdout, as it is and at once; PictureError if stdout takes nothing."""
    with writing_stdout():
        known = sys.stdout.encoding or "utf-8"  # other letters are spelled out, as on stderr
        sys.stdout.write(text.encode(known, "backslashreplace").decode(known) + "\n")
        sys.stdout.flush()


def print_error(error: ReddiffError, *, trace: bool = False) -> None:
    """One line on stderr; after its traceback, if that is asked for."""
    if trace:
        _write_error(_traceback(error))
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

    @property
    def doubtful(self) -> bool: ...

    def facts(self) -> dict[str, Any]: ...


class Reporter:
    """Counts, bars and messages of one run; a context manager around it.

    Safe to be called by several threads at once.
    """

    def __init__(self, total: int, options: ReportOptions) -> None:
        self.total, self.options = total, options
        self.done = self.ok = self.skipped = 0
        self.doubtful = 0  # of those that are restored
        self.failures: list[str] = []  # what failed; why was said then
        self.mistakes = 0  # of the failures: of the command line, not of a picture
        self.began = time.monotonic()
        self.console = on_stderr()
        self.progress = bars_on(
            self.console,
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            quiet=options.quiet,
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

    def picture(self, job: Job, sizes: str = "") -> None:
        """A picture begins.    sizes: what becomes of its own, if that changes."""
        with self._lock:
            if sizes and (self.total == 1 or self.options.verbose):
                self._print(f"{job.input}: {sizes}")
            name = one_line(renamed(str(job.input), self.options.aliases).rpartition("/")[2])
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

    def foretell(self, job: Job, seconds: float, last: bool) -> None:
        """Before the first step of a stage: how long it will take, if that is long."""
        if seconds > LONG:
            minutes = f"{seconds / 60:.0f} min" if seconds > 120 else f"{seconds:.0f} s"
            more = "" if last else ", and then another stage"
            self._print(f"{job.input}: about {minutes}{more}")

    def finish(self, job: Job, result: Outcome, notes: Sequence[str] = ()) -> None:
        """A picture is restored and written; notes: what was said of it on the way."""
        parts = [f"{job.input} -> {job.output}  {result.seconds:.1f} s"]
        if result.residual_ratio is not None:
            digits = 4 if result.noise >= FAINT else 6
            parts.append(f"noise {result.noise:.{digits}f}")
            judged = f", {result.verdict}" if result.verdict else ""
            parts.append(f"residual/noise {result.residual_ratio:.2f}{judged}")
        parts += [result.remark] if result.remark else []
        with self._lock:
            self.ok += 1
            self.doubtful += result.doubtful
            said = {"notes": [renamed(note, self.options.aliases) for note in notes]}
            self._event(self._about(job, "ok") | result.facts() | said)
            self._picture_line(job, "; ".join(parts))

    def skip(self, job: Job, reason: str) -> None:
        """A picture needs nothing."""
        with self._lock:
            self.skipped += 1
            self._event(self._about(job, "skipped") | {"reason": reason})
            self._picture_line(job, f"{job.input}: skipped, {reason}")

    def fail(self, job: Job, error: ReddiffError) -> None:
        """A picture failed; the others go on."""
        with self._lock:
            message = self.count(job, error)
            if self.options.traces and error.__traceback__:
                _write_error(_traceback(error))
            self._print(f"error: {message}", always=True)

    def count(self, job: Job, error: ReddiffError) -> str:
        """Count a failure and tell scripts of it, not people; returns what it is."""
        text = _of_picture(job, str(error), self.total)
        message = one_line(renamed(text, self.options.aliases))
        with self._lock:
            self.failures.append(renamed(str(job.input), self.options.aliases))
            self.mistakes += isinstance(error, UsageError)
            told = {"error": {"type": error.kind, "message": message}}
            self._event(self._about(job, "failed") | {"output": None} | told)
            self._advance(job)
        return message

    def note(self, message: str) -> None:
        """A decision that was taken (with -v), or a warning (always)."""
        if self.options.verbose or message.startswith("warning"):
            self._print(message)

    def stopping(self, told: str) -> None:
        """A signal was heard: said even to those who want errors only, as it may take long."""
        self._print(told, always=True)

    def leave(self) -> None:
        """Give the terminal back as it was; past the console, which a thread may hold."""
        give_cursor_back(self.progress)

    def summary(self, ended: ExitCode | None = None) -> ExitCode:
        """The closing lines, and the exit code they stand for; ended: what cut the run short."""
        code = ended or (ExitCode.PICTURE_FAILED if self.failures else ExitCode.OK)
        if not ended and self.mistakes and self.mistakes == self.total:
            code = ExitCode.USAGE  # no picture could be restored this way
        counts = {"ok": self.ok, "skipped": self.skipped, "failed": len(self.failures)}
        counts["doubtful"] = self.doubtful
        seconds = round(time.monotonic() - self.began, 3)
        self._event({"event": "summary", **counts, "seconds": seconds, "exit_code": int(code)})
        if self.total > 1:
            left = self.total - self.ok - self.skipped - len(self.failures)
            given_up = f", {left} not done" if left else ""
            doubts = f" ({self.doubtful} of them doubtful)" if self.doubtful else ""
            restored = f"{self.ok} restored{doubts}"
            counted = f"{restored}, {self.skipped} skipped, {len(self.failures)} failed"
            self._print(counted + given_up)
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

    def _about(self, job: Job, status: str) -> dict[str, Any]:
        """What every line about a picture holds."""
        told = {"event": "image", "status": status, "task": job.task}
        names = (renamed(str(p), self.options.aliases) for p in (job.input, job.output))
        return told | dict(zip(("input", "output"), names, strict=True))

    def _print(self, text: str, always: bool = False) -> None:
        if always or not self.options.quiet:
            self.console.print(one_line(renamed(text, self.options.aliases)))


def print_event(event: dict[str, Any]) -> None:
    """One JSON object on one line of stdout, at once.

    Bytes of a file's name that are no UTF-8 are written as `\\udcXX`: a lone surrogate would be
    refused by many parsers.
    """
    print_line(json.dumps({key: _as_text(value) for key, value in event.items()}))


def print_plan(jobs: list[Job], options: ReportOptions) -> None:
    """What --dry-run prints; of failures what the run would say."""
    for job in jobs:
        fails = job.action == "fail"
        why = _of_picture(job, job.reason, len(jobs)) if fails else job.reason
        source, output, reason = (
            renamed(str(text), options.aliases) for text in (job.input, job.output, why)
        )
        if options.json:
            error = {"type": job.kind, "message": one_line(reason)} if fails else None
            told = {"input": source, "output": output, "action": job.action}
            print_event({"event": "plan", **told, "error": error})
        else:
            arrow = "" if job.action == "restore" else f"{job.action}: "
            because = f" ({reason})" if reason else ""
            print_line(one_line(f"{arrow}{source} -> {output}{because}"))


def _of_picture(job: Job, text: str, total: int) -> str:
    """What is wrong, with its picture where there are several, or where nothing is named."""
    several = total > 1 or ": " not in text
    return f"{job.input}: {text}" if several and str(job.input) not in text else text


def one_line(text: str) -> str:
    """Text that stays on one line and moves no cursor, whatever a file is called."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], _as_text(text))


def _as_text(value: Any) -> Any:  # noqa: ANN401  (any value of an event)
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_text(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _traceback(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(map(one_line, lines))


def _write_error(text: str) -> None:
    on_stderr().print(text)
