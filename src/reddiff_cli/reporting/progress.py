"""Progress of long jobs that are no restorations: training and fetching; on stderr."""

import os
import sys
from contextlib import suppress
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


def on_stderr() -> Console:
    """Lines as they are, without colours and as long as they are."""
    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def bars_on(
    console: Console, *columns: ProgressColumn, quiet: bool, transient: bool = True
) -> Progress:
    """Bars, on a terminal that can move its cursor.

    Where stdout is a terminal, its lines go above them. Else Rich would take what is meant for a
    file or a pipe to the terminal as well.
    """
    return Progress(
        *columns,
        console=console,
        transient=transient,
        redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        disable=quiet or not console.is_terminal or console.is_dumb_terminal,
    )


class TrainReporter:
    """Progress of a training run."""

    def __init__(self, quiet: bool) -> None:
        self.console = on_stderr()
        self.progress = bars_on(
            self.console,
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            quiet=quiet,
            transient=False,
        )
        self.task = self.progress.add_task("train", total=1.0, step=0, loss=0.0)
        self.quiet = quiet

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def step(self, step: int, loss: float, done: float) -> None:
        """What optimiser step has been made, and the running loss."""
        self.progress.update(self.task, completed=done, step=step, loss=loss)

    def note(self, message: str) -> None:
        if not self.quiet:
            self.console.print(message)

    def stopping(self, told: str) -> None:
        """A signal was heard; past the console, in which it may have been heard."""
        with suppress(OSError):  # a terminal that is closed
            os.write(2, f"{told}, without saving after this step\n".encode())

    def leave(self) -> None:
        """Give the terminal back as it was, past the console."""
        give_cursor_back(self.progress)


class FetchReporter:
    """What is fetched, how large it is and under which licence; then its bytes."""

    def __init__(self, quiet: bool) -> None:
        self.console, self.quiet = on_stderr(), quiet
        self.bar = bars_on(
            self.console,
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            quiet=quiet,
        )
        self.task = self.bar.add_task("fetching", total=None, visible=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def begin(self, what: str, size: int | None, licence: str) -> None:
        """One line before the first byte."""
        if not self.quiet:
            terms = f"; licence: {licence}" if licence else ""
            self.console.print(f"fetching {what}, {in_megabytes(size)}{terms}")
        self.bar.start()
        self.bar.update(self.task, visible=True)

    def progress(self, done: int, total: int) -> None:
        """Bytes so far."""
        self.bar.update(self.task, completed=done, total=total or None)

    def end(self, text: str) -> None:
        """One line when all is there."""
        self.bar.stop()
        if not self.quiet:
            self.console.print(text)


def give_cursor_back(progress: Progress) -> None:
    """Show what bars hide, past the console, as the process leaves at once."""
    if not progress.disable:
        with suppress(OSError):
            os.write(2, b"\n\x1b[?25h")


def in_megabytes(size: int | None) -> str:
    """A size in bytes for people."""
    return f"{size / 1e6:.1f} MB" if size else "size not known"
