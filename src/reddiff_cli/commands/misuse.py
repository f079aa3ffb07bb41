"""What Typer says of a command line that makes no sense, told as all else is: in one line.

It would draw a frame around it, below the usage; scripts that keep the last line got the frame.
And what it prints itself, as help, may find a disk full.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from ..errors import PictureError, UsageError
from ..streams import writing_stdout

# What all of it is, of which Typer exports this kind only.
_MISUSE: type[Exception] = typer.BadParameter.__mro__[1]


@contextmanager
def misuse_as_line(ctx: Any) -> Iterator[None]:  # noqa: ANN401  (Typer's Click is not exported)
    """A body in which a mistake on the command line ends in one line and exit code 2.

    ctx: of the command that was being read, if the mistake does not tell a deeper one.
    """
    try:
        yield
    except _MISUSE as error:
        from ..report import print_error

        at = getattr(error, "ctx", None) or ctx
        wrong = UsageError(f"{at.command_path}: {_told(error)}; see '{at.command_path} --help'")
        print_error(wrong)
        raise typer.Exit(int(wrong.exit_code)) from error


@contextmanager
def naming(ctx: Any) -> Iterator[None]:  # noqa: ANN401  (as above)
    """A body in which a command reads its words: what it finds wrong is of it, if of none deeper.

    Typer tells no command of a flag that lacks its value, or has one that it does not take.
    """
    try:
        yield
    except _MISUSE as error:
        vars(error)["ctx"] = getattr(error, "ctx", None) or ctx
        raise


@contextmanager
def showing_help() -> Iterator[None]:
    """A body that may print help, or the version: one line and exit code 1 if that is refused."""
    try:
        with writing_stdout(surely=False):
            yield
    except PictureError as error:
        from ..report import print_error

        print_error(error)
        raise typer.Exit(int(error.exit_code)) from error


def _told(error: Any) -> str:  # noqa: ANN401  (as above)
    """Its own words, as a part of a sentence; of a flag that is missing also what it is for."""
    words = " ".join(error.format_message().split()).rstrip(".")
    meaning = getattr(getattr(error, "param", None), "help", None)
    about = f" ({meaning.rstrip('.')})" if meaning and words.startswith("Missing") else ""
    return words[:1].lower() + words[1:] + about
