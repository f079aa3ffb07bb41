"""Ctrl-C in the midst of work: the first ends a run in order, the second at once."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self

from .errors import ExitCode


class Interrupts:
    """Within the context the first Ctrl-C is `heard`, and the second leaves.

    Left to itself, the second would end the wait for the threads, and tear down the interpreter
    below them: the C++ runtime aborts then (exit code 134).

    on_leave: what must be done before all ends, without waiting for a thread.
    on_first: what the first does, wherever it comes; by default it raises KeyboardInterrupt.
    """

    def __init__(
        self, on_leave: Callable[[], None], on_first: Callable[[], None] | None = None
    ) -> None:
        self.heard = False
        self._on_leave = on_leave
        self._on_first = on_first or _raise
        self._listening = False

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        # A shell that starts a job in the background has it ignore Ctrl-C, which stays so.
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._hear)
            self._listening = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._listening:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.heard:
            try:
                self._on_leave()
            finally:
                os._exit(ExitCode.INTERRUPTED)
        self.heard = True
        self._on_first()


def nothing() -> None:
    """Where Ctrl-C needs neither words nor cleaning."""


def _raise() -> None:
    raise KeyboardInterrupt
