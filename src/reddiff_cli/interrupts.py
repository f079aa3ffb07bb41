"""Signals in the midst of work: Ctrl-C, SIGTERM and SIGHUP end a run in order, a second Ctrl-C
at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Self

from .errors import HungUp, Terminated

# What a scheduler or a closed terminal sends, and what it raises here. Windows has no SIGHUP.
ENDING: dict[int, type[Terminated]] = {signal.SIGTERM: Terminated}
if hasattr(signal, "SIGHUP"):
    ENDING[signal.SIGHUP] = HungUp


class Interrupts:
    """Within the context the first Ctrl-C or signal that ends is `heard`; a second Ctrl-C leaves.

    Left to itself, the second would end the wait for the threads, and tear down the interpreter
    below them: the C++ runtime aborts then (exit code 134). A second SIGTERM says nothing new:
    `timeout` sends each twice, to the process and to its group. Afterwards signals do again what
    they did before.

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
        # A shell that starts a job in the background has it ignore Ctrl-C, and nohup has it ignore
        # SIGHUP, which stays so.
        usual: dict[int, tuple[object, ...]] = dict.fromkeys(ENDING, (signal.SIG_DFL, _end))
        usual[signal.SIGINT] = (signal.default_int_handler,)
        for number, handlers in usual.items():
            if _is_main() and (before := signal.getsignal(number)) in handlers:
                signal.signal(number, self._hear)
                self._before[number] = before
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            # What a command says at its end is not to be cut off by another, which is ignored
            # until `ending_in_order` gives all back.
            deaf = self.heard in ENDING and before == _end
            signal.signal(number, signal.SIG_IGN if deaf else before)  # type: ignore[arg-type]

    def throw(self) -> None:
        """Raise what the signal that was heard stands for."""
        raise ENDING.get(self.heard, KeyboardInterrupt)

    @property
    def told(self) -> str:
        """What people are told of the signal that was heard."""
        if self.heard in ENDING:
            return f"stopping, as {signal.Signals(self.heard).name} asks; Ctrl-C stops at once"
        return "stopping; Ctrl-C again stops at once"

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
def ending_in_order() -> Iterator[None]:
    """A body in which SIGTERM and SIGHUP raise what they would have ended the process for."""
    heeded = [n for n in ENDING if _is_main() and signal.getsignal(n) == signal.SIG_DFL]
    for number in heeded:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def dying_at_once() -> Iterator[None]:
    """A body in which Ctrl-C ends the process without a word, as nothing has begun.

    In the midst of an import it would be a traceback, or leave a library half there.
    """
    before = signal.getsignal(signal.SIGINT)
    heeded = _is_main() and before is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if heeded:
            signal.signal(signal.SIGINT, before)


def end_as_told(end: SystemExit) -> None:
    """Die of the signal that an exit stands for, as other tools do: shells show 128 + its number.

    After SIGTERM and SIGHUP, and where nobody reads stdout any more, of which Typer makes an exit
    with 1.
    """
    number = next((n for n, error in ENDING.items() if end.code == error.exit_code), 0)
    if isinstance(end.__context__, BrokenPipeError) and hasattr(signal, "SIGPIPE"):
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


def _end(number: int, frame: FrameType | None) -> None:
    for other in ENDING:  # once is enough, as above
        if signal.getsignal(other) == _end:
            signal.signal(other, signal.SIG_IGN)
    raise ENDING[number]
