"""What Typer finds wrong with a command line, told as all else is: `thing: what is wrong; cure`.

It would draw a frame around it, below the usage; scripts that keep the last line got the frame.
And what it prints itself, as help, may find a disk full.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import typer

from ..errors import PictureError, UsageError
from ..reporting.streams import writing_stdout

# What all of it is, of which Typer exports this kind only.
_MISUSE: type[Exception] = typer.BadParameter.__mro__[1]

# How alike a name must be to be offered instead (difflib): `--noise` is not what `--sise` meant.
NEAR = 0.7


@contextmanager
def misuse_as_line(ctx: Any) -> Iterator[None]:  # noqa: ANN401  (Typer's Click is not exported)
    """A body in which a mistake on the command line ends in one line and exit code 2.

    ctx: of the command that was being read, if the mistake does not tell a deeper one.
    """
    try:
        yield
    except _MISUSE as error:
        from ..reporting.report import print_error

        wrong = UsageError(_told(error, getattr(error, "ctx", None) or ctx))
        print_error(wrong)
        raise typer.Exit(int(wrong.exit_code)) from error


@contextmanager
def naming(ctx: Any, words: Sequence[str]) -> Iterator[None]:  # noqa: ANN401  (as above)
    """A body in which a command reads its words: what it finds wrong is of it, if of none deeper.

    Typer tells no command of a flag that lacks its value, or has one that it does not take; nor
    the value that it could not read.
    """
    try:
        yield
    except _MISUSE as error:
        vars(error)["ctx"] = getattr(error, "ctx", None) or ctx
        vars(error)["words"] = tuple(words)
        raise


@contextmanager
def showing_help() -> Iterator[None]:
    """A body that may print help, or the version: one line and exit code 1 if that is refused."""
    try:
        with writing_stdout(surely=False):
            yield
    except PictureError as error:
        from ..reporting.report import print_error

        print_error(error)
        raise typer.Exit(int(error.exit_code)) from error


def _told(error: Any, ctx: Any) -> str:  # noqa: ANN401  (as above)
    """The whole line.    ctx: of the command that was being read."""
    name, see = ctx.command_path, f"see '{ctx.command_path} --help'"
    match type(error).__name__:
        case "NoSuchOption":
            return f"{error.option_name}: is no flag of {name}; {_instead(error, ctx)}{see}"
        case "BadOptionUsage" if "does not take" in error.message:
            return f"{error.option_name}: takes no value; drop '=' and what follows, or {see}"
        case "BadOptionUsage":
            return f"{error.option_name}: lacks its value; give one, or {see}"
        case "MissingParameter" if _has(error, "--suite"):  # which says the task
            return f"{name} --suite: no pictures; give files or folders, or {see}"
        case "MissingParameter":
            about = getattr(error.param, "help", None) or ""
            meaning = f" ({about.rstrip('.')})" if about else ""
            return f"{name}: {_shown(error.param)} is missing{meaning}; {see}"
        case "BadParameter" if error.param is not None:
            return f"{_value(error)}: {_wrong_in(error)} {see}"
    if command := re.match(r"No such command (['\"])(.*?)\1", error.message):
        word = command[2]
        use = _nearest(word, ctx.command.commands)
        cure = f"use {use}, or {see}" if use else see
        return f"{word or repr(word)}: is no command of {name}; {cure}"
    if error.message.startswith("Got unexpected extra"):
        words = error.message.partition("(s) (")[2].removesuffix(")")
        return f"{words}: is more than {name} takes; drop it, or {see}"
    words = " ".join(error.format_message().split()).rstrip(".")
    return f"{name}: {words[:1].lower()}{words[1:]}; {see}"


def _has(error: Any, flag: str) -> bool:  # noqa: ANN401  (as above)
    """Whether a flag was given."""
    return any(word.partition("=")[0] == flag for word in getattr(error, "words", ()))


def _instead(error: Any, ctx: Any) -> str:  # noqa: ANN401  (as above)
    """What may have been meant by a flag that the command does not have."""
    flag = error.option_name
    if use := _nearest(flag, _flags_of(ctx.command)):
        return f"use {use}, or "
    below = getattr(ctx.command, "commands", {}).values()
    if any(flag in _flags_of(command) for command in below):
        return "give it after the command, "
    return ""


def _flags_of(command: Any) -> list[str]:  # noqa: ANN401  (as above)
    options = (p for p in command.params if p.param_type_name == "option")
    return [flag for option in options for flag in option.opts if flag.startswith("--")]


def _nearest(word: str, names: Iterable[str]) -> str:
    """The name that was begun or mistyped; nothing if none is near."""
    bare = {name.lstrip("-"): name for name in names}
    typed = word.lstrip("-")
    begun = [name for name in bare if len(typed) > 1 and name.startswith(typed)]
    near = begun if len(begun) == 1 else get_close_matches(typed, bare, 1, NEAR)
    return bare[near[0]] if near else ""


def _shown(parameter: Any) -> str:  # noqa: ANN401  (as above)
    """As the usage line calls it."""
    if parameter.param_type_name == "option":
        return str(parameter.opts[0])
    return str(parameter.metavar or parameter.name.upper())


def _value(error: Any) -> str:  # noqa: ANN401  (as above)
    """A flag with the value that it was given last, `--seed abc`."""
    flags, words, found = error.param.opts, getattr(error, "words", ()), _shown(error.param)
    for word, after in zip(words, (*words[1:], ""), strict=True):
        if word in flags:
            found = f"{word} {after}"
        elif word.partition("=")[0] in flags:
            found = word.replace("=", " ", 1)
    return found


def _wrong_in(error: Any) -> str:  # noqa: ANN401  (as above)
    """What is wrong with a value, and what else to give."""
    for kind, name in (("integer", "whole number"), ("number", "number")):
        if f"valid {kind}" in error.message:
            return f"is no {name}; give one, or"
    words = " ".join(error.message.split()).rstrip(".")
    return f"{words[:1].lower()}{words[1:]};"
