"""What can go wrong, and the exit code that a shell script sees.

    ReddiffError            1
    |-- UsageError          2   a flag, a path or their combination makes no sense
    |-- PictureError        1   this picture cannot be restored; the others go on
    |-- ModelMissing        3   the prior is not there, or is damaged
    `-- DeviceMissing       4   the device asked for is absent

Messages follow one form: `<path or thing>: <what is wrong, with both values>; <what to do>`.
"""

import os
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit status of every `reddiff` command."""

    OK = 0
    PICTURE_FAILED = 1
    USAGE = 2
    MODEL_MISSING = 3
    DEVICE_MISSING = 4
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


class ReddiffError(Exception):
    """A failure with a one-line message for people, an exit code and a `kind` for scripts."""

    exit_code = ExitCode.PICTURE_FAILED

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind or type(self).__name__


class UsageError(ReddiffError):
    """The command line asks for something impossible; nothing was started."""

    exit_code = ExitCode.USAGE


class PictureError(ReddiffError):
    """One picture cannot be read, restored or written; `kind` names the reason for scripts."""


class ModelMissing(ReddiffError):
    """The prior cannot be found, read or understood."""

    exit_code = ExitCode.MODEL_MISSING


class DeviceMissing(ReddiffError):
    """The device that was named does not exist on this machine."""

    exit_code = ExitCode.DEVICE_MISSING


class Terminated(KeyboardInterrupt):
    """SIGTERM, as of `timeout` or a scheduler: ends a run in order, as Ctrl-C does."""

    exit_code = ExitCode.TERMINATED


class HungUp(Terminated):
    """SIGHUP, of a terminal that was closed: the same."""

    exit_code = ExitCode.HUNG_UP


def code_of(error: BaseException) -> ExitCode:
    """The exit code of a run that ends by one of our errors, or else by Ctrl-C or a signal."""
    if isinstance(error, ReddiffError | Terminated):
        return error.exit_code
    return ExitCode.INTERRUPTED


def counted(number: int, one: str, several: str = "") -> str:
    """A number and its noun: `1 pixel`, `2 pixels`.    several: where an s is not enough."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def wants_traces(verbose: int) -> bool:
    """True if failures are to be shown with their tracebacks: with -vv or REDDIFF_DEBUG=1."""
    return verbose > 1 or os.environ.get("REDDIFF_DEBUG") == "1"
