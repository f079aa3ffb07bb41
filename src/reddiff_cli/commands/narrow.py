"""Help where it is narrow: names stand above what they mean, as a table would cut its words."""

import textwrap
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import typer
from typer.core import TyperGroup

from .misuse import misuse_as_line, showing_help

# Columns below which tables of Typer end words, and names of flags, by dots.
NARROW = 68


def told_narrowly(command: Any, ctx: Any) -> bool:  # noqa: ANN401  (Typer's Click is not exported)
    """Print the help of a command for a narrow terminal; False, and nothing, where it is wide."""
    from rich.console import Console  # which help loads anyway, and nothing else

    width = Console().width
    if width >= NARROW:
        return False
    for indent, text in _paragraphs(command, ctx):
        deeper = " " * indent
        room = max(1, width - 1)  # scripts may have COLUMNS=0
        fold = textwrap.TextWrapper(room, deeper, deeper, break_on_hyphens=False)
        typer.echo(fold.fill(text))
    return True


def _paragraphs(command: Any, ctx: Any) -> Iterator[tuple[int, str]]:  # noqa: ANN401
    """(columns to indent it by, text), in their order."""
    yield 0, " ".join(command.get_usage(ctx).split())
    for text in (command.help or "").split("\n\n"):
        yield from ((0, ""), (0, " ".join(text.split())))
    panels: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panel = getattr(parameter, "rich_help_panel", None) or kind
        if record := parameter.get_help_record(ctx):
            panels.setdefault(panel, []).append(record)
    if isinstance(command, TyperGroup):
        below = (command.commands[name] for name in command.list_commands(ctx))
        panels["Commands"] = [(c.name or "", c.get_short_help_str(1000)) for c in below]
    for panel in sorted(panels, key=lambda name: name not in ("Arguments", "Options")):
        yield from ((0, ""), (0, f"{panel}:"))
        for name, meaning in panels[panel]:
            yield from ((2, name), (6, meaning))
    for text in (command.epilog or "").split("\n\n"):
        yield from ((0, ""), (0, " ".join(text.split())))


class FoldingGroup(TyperGroup):
    """Commands below a name, whose help can be read on narrow terminals, too.

    Mistakes on the command line are told in one line.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (not exported)
        """As Typer does; without any words it shows the help, by an error that stays one."""
        with showing_help(), misuse_as_line(ctx) if args else nullcontext():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  (as above)
        """As Typer does."""
        with misuse_as_line(ctx):
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  (not exported)
        """As Typer does, where there is room for it."""
        if not told_narrowly(self, ctx):
            super().format_help(ctx, formatter)
