"""What the commands share: errors of ours become one line and an exit code."""

import os
from typing import NoReturn

import typer

from .errors import ExitCode, ReddiffError


class errors_as_lines:  # noqa: N801  (reads as a statement)
    """Turn our errors into one line and an exit code; -vv and REDDIFF_DEBUG=1 keep the trace."""

    def __init__(self, verbose: int) -> None:
        self.trace = verbose > 1 or os.environ.get("REDDIFF_DEBUG") == "1"

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self.trace:
            return
        if isinstance(error, ReddiffError):
            from .report import print_error

            print_error(error)
            _exit(error.exit_code)
        if isinstance(error, KeyboardInterrupt):
            _exit(ExitCode.INTERRUPTED)


def _exit(code: ExitCode) -> NoReturn:
    raise typer.Exit(int(code))
