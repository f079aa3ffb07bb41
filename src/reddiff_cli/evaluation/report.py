"""What an evaluation tells: a line per picture on stderr, the table or JSON lines on stdout."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from ..errors import ExitCode, PictureError, ReddiffError, code_of
from ..options.common import ReportOptions
from ..reporting.progress import bars_on, on_stderr
from ..reporting.report import one_line, print_event
from ..reporting.tables import print_table
from .ledger import FAILED, OK, Means, Row, table


class EvalReporter:
    """Counts, a bar and messages of one evaluation; a context manager around it, which sums up
    for scripts what an error or Ctrl-C has ended.
    """

    def __init__(self, options: ReportOptions) -> None:
        self.options, self.pictures = options, 0
        self._methods = 0  # rows of a picture
        self.began = time.monotonic()
        self.failures: list[str] = []
        self.done = self.fresh = self.kept = 0  # fresh: rows that were measured now
        self.console = on_stderr()
        self._bar = bars_on(
            self.console,
            TextColumn("{task.fields[now]}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            quiet=options.quiet,
        )
        self._task = self._bar.add_task("rows", now="")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._bar.stop()
        if self.options.json and isinstance(error, ReddiffError | KeyboardInterrupt):
            with suppress(PictureError):  # stdout takes nothing: the error says so
                print_event(self._summary(code_of(error)))

    def expect(self, pictures: int, methods: int) -> None:
        """How much is to be measured, before the first row.    methods: rows of a picture."""
        self.pictures, self._methods = pictures, methods
        self._bar.update(self._task, total=pictures * methods)
        self._bar.start()

    def begin(self, case: str, picture: str, method: str) -> None:
        """A row is being measured."""
        self._bar.update(self._task, now=one_line(f"{picture} {case} {method}"))

    def row(self, row: Row, *, kept: bool = False) -> None:
        """A row is there; kept: from an earlier run."""
        self.kept += kept
        self.fresh += row["status"] == OK and not kept
        self._bar.advance(self._task)
        if self.options.json:
            print_event({"event": "row", **row, "kept": kept})
        if row["status"] == FAILED:
            self._pass()
            message = one_line(row["error"]["message"])
            self.failures.append(message)
            self.say(f"error: {message}", always=True)

    def picture(self, case: str, picture: str, rows: list[Row]) -> None:
        """All rows of one picture are there."""
        self._pass()
        parts = [f"{row['method']} {row['psnr']:.2f} dB" for row in rows if row["status"] == OK]
        text = f"[{self.done}/{self.pictures}] {picture}: {case}; {', '.join(parts)}"
        self.say(text)

    def twin(self, case: str, path: Path, first: Path) -> None:
        """A picture has the contents of one that counts already."""
        self._pass()
        if self.options.json:
            told = {"case": case, "input": str(path), "same_as": str(first)}
            print_event({"event": "copy", **told})
        self.say(f"[{self.done}/{self.pictures}] {path}: the same as {first}, counted once")

    def note(self, message: str) -> None:
        """A decision (with -v), or a warning (always)."""
        if self.options.verbose or message.startswith("warning"):
            self.say(message)

    def finish(
        self, means: list[Means], several: bool, kid: dict[tuple[str, str], float]
    ) -> ExitCode:
        """The table, the failures, and the exit code that they stand for."""
        self._bar.stop()
        code = ExitCode.PICTURE_FAILED if self.failures else ExitCode.OK
        if self.options.json:
            for entry in means:
                value = kid.get((entry.case, entry.method))
                print_event({"event": "mean", **entry.facts(), "kid": value})
            print_event(self._summary(code))
        elif means:
            head, *lines = table(means, several, kid)
            print_table(head, lines)
        for entry in means:
            if entry.reason:
                self.say(f"{entry.case}: {entry.method} not measured: {entry.reason}")
        if self.failures:
            self.say(f"{len(self.failures)} failed, left out of the means")
        return code

    def _pass(self) -> None:
        """One picture more is done with, whatever became of its rows."""
        self.done += 1
        self._bar.update(self._task, completed=self.done * self._methods)

    def _summary(self, code: ExitCode) -> dict[str, Any]:
        seconds = round(time.monotonic() - self.began, 3)
        counts = {"ok": self.fresh, "skipped": self.kept, "failed": len(self.failures)}
        return {"event": "summary", **counts, "seconds": seconds, "exit_code": int(code)}

    def say(self, text: str, always: bool = False) -> None:
        """One line; to those who want errors only, if they are always to read it."""
        if always or not self.options.quiet:
            self.console.print(one_line(text))
