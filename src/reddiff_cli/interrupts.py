"""Signals in the midst of work: Ctrl-C and SIGTERM end a run in order, a second Ctrl-C at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self

from .errors import ExitCode, Terminated

Handler = Callable[[int, FrameType | None], None]


class Interrupts:
    """Within the context the first Ctrl-C or SIGTERM is `heard`, and a second Ctrl-C leaves.

    Left to itself, the second would end the wait for the threads, and tear down the interpreter
    below them: the C++ runtime aborts then (exit code 134). A second SIGTERM says nothing new:
    `timeout` sends each twice, to the process and to its group.

    on_leave: what must be done before all ends, without waiting for a thread.
    on_first: what the first does, wherever it comes; by default it raises what it stands for.
    """

    def __init__(
        self, on_leave: Callable[[], None], on_first: Callable[[], None] | None = None
    ) -> None:
        self.heard = 0  # the number of the first signal
        self._on_leave = on_leave
        self._on_first = on_first or self.throw
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        # A shell that starts a job in the background has it ignore Ctrl-C, which stays so.
        usual: dict[int, tuple[object, ...]] = {
            signal.SIGINT: (signal.default_int_handler,),
            signal.SIGTERM: (signal.SIG_DFL, _terminate),
        }
        for number, handlers in usual.items():
            if _is_main() and (before := signal.getsignal(number)) in handlers:
                signal.signal(number, self._hear)
                self._before[number] = before
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_IGN if number == self._ended_by else before)  # type: ignore[arg-type]

    def throw(self) -> None:
        """Raise what the signal that was heard stands for."""
        raise Terminated if self.heard == signal.SIGTERM else KeyboardInterrupt

    @property
    def told(self) -> str:
        """What people are told of the signal that was heard."""
        if self.heard == signal.SIGTERM:
            return "stopping, as SIGTERM asks; Ctrl-C stops at once"
        return "stopping; Ctrl-C again stops at once"

    @property
    def _ended_by(self) -> int:
        """SIGTERM, if that was heard: what is said at the end is not to be cut off by another."""
        return self.heard if self.heard == signal.SIGTERM else 0

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self.heard:
            self.heard = number
            self._on_first()
        elif number == signal.SIGINT or self.heard == signal.SIGINT:
            try:
                self._on_leave()
            finally:
                os._exit(128 + number)


@contextmanager
def heeding_sigterm() -> Iterator[None]:
    """A body in which SIGTERM raises Terminated, where it would have ended the process at once."""
    heeds = _is_main() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if heeds:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if heeds:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def end_as_told(end: SystemExit) -> None:
    """Die of the signal that an exit stands for, as other tools do: shells show 128 + its number.

    After SIGTERM, and where nobody reads stdout any more, of which Typer makes an exit with 1.
    """
    number = 0
    if end.code == ExitCode.TERMINATED:
        number = signal.SIGTERM
    elif isinstance(end.__context__, BrokenPipeError) and hasattr(signal, "SIGPIPE"):
        number = signal.SIGPIPE
    if number and os.name == "posix":
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it
                stream.flush()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def nothing() -> None:
    """Where Ctrl-C needs neither words nor cleaning."""


def _is_main() -> bool:
    """Only the first thread of a process may say what signals do."""
    return threading.current_thread() is threading.main_thread()


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough, as above
    raise Terminated
