"""Making commands: a function names its own flags and returns its options; the rest is shared.

`restores` adds the shared flags, runs the task, and turns errors into one line and an exit code.
"""

import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import typer
from typer.core import TyperCommand

from ..errors import ReddiffError, Terminated, UsageError, code_of, wants_traces
from ..interrupts import dying_at_once, ending_in_order
from ..options.common import TASKS, check_solver
from ..options.tasks import TaskOptions
from ..reporting.streams import STREAM, spooled
from .flags import Inputs, Shared
from .misuse import naming, showing_help
from .narrow import told_narrowly


def restores(
    app: typer.Typer, task: str, *, example: str, help: str
) -> Callable[[Callable[..., TaskOptions]], None]:
    """Make a command of a function that turns its own flags into the options of a task.

    help: what it does, for people; no docstring, as `python -OO` takes those away.
    """

    def register(make_options: Callable[..., TaskOptions]) -> None:
        def command(**values: Any) -> None:  # noqa: ANN401  (checked by Typer)
            shared = Shared(**{name: values.pop(name) for name in shared_hints})
            inputs = values.pop("inputs")
            with errors_as_lines(shared.verbose):
                _run(make_options(**values), inputs, shared)

        own_hints = get_type_hints(make_options, include_extras=True)
        own_hints.pop("return")
        shared_hints = get_type_hints(Shared, include_extras=True)
        parameters = [
            inspect.Parameter("inputs", inspect.Parameter.KEYWORD_ONLY, annotation=Inputs),
            *keywords(make_options, own_hints),
            *keywords(Shared, shared_hints),
        ]
        vars(command)["__signature__"] = inspect.Signature(parameters)
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        defaults = TASKS[task]
        epilog = f"Example: {example}\n\nDefaults: --noise {defaults.noise}"
        app.command(task, cls=_Restoring, help=help, epilog=epilog)(command)

    return register


class Command(TyperCommand):
    """A command that takes no empty word: as a path it would be the folder that one is in.

    Nor does it begin where that folder is gone: libraries of torch end the process there.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (not exported)
        """As Typer does; an empty word, as a script gives whose variable is empty, is refused."""
        with errors_as_lines(0):
            if not ctx.resilient_parsing:  # a shell that completes words
                self._check(args)
        with showing_help(), naming(ctx, list(args)):
            return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401  (not exported)
        """As Typer does, where there is room for it."""
        if not told_narrowly(self, ctx):
            super().format_help(ctx, formatter)

    def _check(self, args: list[str]) -> None:
        """UsageError for an empty word, and for a folder that is gone."""
        try:
            Path.cwd()
        except OSError as error:
            told = "the folder that this runs in is gone, or closed; change to another"
            raise UsageError(told) from error
        options = [p for p in self.params if p.param_type_name == "option"]
        known = {name for option in options for name in option.opts}
        taking = (o for o in options if not (getattr(o, "is_flag", 0) or getattr(o, "count", 0)))
        flags = {name for option in taking for name in option.opts}
        for before, word in zip(["", *args], args, strict=False):
            flag, joined, value = word.partition("=")
            blank = not word.strip()
            if (blank and before in flags) or (flag in flags and joined and not value.strip()):
                flag = before if blank else flag
                raise UsageError(f"{flag} '': is empty; give a value, or drop {flag}")
            if blank:
                raise UsageError("'': is an empty name; give a file or a folder")
            if joined and flag in flags and re.fullmatch("-[a-z]", flag):  # it would be a part
                raise UsageError(f"{word}: {flag} takes no '='; write {flag} {value}")
            if joined and flag in known and re.fullmatch("-[a-z]", flag):
                raise UsageError(f"{word}: {flag} takes no value; write {flag}")


class _Restoring(Command):
    """A command that says how to name a file which begins with a dash."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  (not exported)
        """As above; a file that is taken for flags, as of `*.png`, gets a line of its own."""
        files = [a for a in args if re.match("-[^-]", a) and os.path.lexists(a)]
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            flag = getattr(error, "option_name", "")  # one that there is not
            file = next((file for file in files if flag[1:] and flag[1:] in file), "")
            if not file:
                raise
            with errors_as_lines(0):
                raise UsageError(f"{file}: is taken for flags; write ./{file}") from error


def keywords(source: Callable[..., object], hints: dict[str, Any]) -> list[inspect.Parameter]:
    """Parameters of a command from annotated names, with the defaults that `source` has."""
    known = inspect.signature(source).parameters
    return [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=known[name].default, annotation=hint
        )
        for name, hint in hints.items()
    ]


def _run(options: TaskOptions, inputs: list[Path], shared: Shared) -> None:
    target = None if shared.output is None else Path(shared.output)
    from ..planning.outputs import named_once

    _check_stdout(options, shared, target)
    _, pictures = options.claim(inputs)
    solver, machine = shared.solver(), shared.machine()
    check_solver(solver, options.task, spectral=options.spectral)
    with dying_at_once():
        from ..run import Run
    with spooled(inputs, target, len(named_once(pictures))) as files:
        run = Run(
            *options.claim(files.inputs),
            shared.model,
            solver,
            machine,
            shared.outputs(files.output),
            shared.reports(files.aliases),
            shared.part(),
            shared.offline,
        )
        code = run.show_plan() if shared.dry_run else run.restore()
    if code:
        raise typer.Exit(int(code))


def _check_stdout(options: TaskOptions, shared: Shared, target: Path | None) -> None:
    """UsageError if more than one thing is to go to stdout."""
    if target != STREAM:
        return
    if shared.json:
        raise UsageError("--json and -o -: both go to stdout; drop one")
    if shared.format not in ("auto", "png"):
        told = f"--format {shared.format} and -o -: stdout gets a PNG"
        raise UsageError(f"{told}; drop --format, or give -o FILE")
    beside = {
        "--compare": shared.compare,
        "--trace": shared.trace,
        "--samples": shared.samples > 1,
        "--tonemap": getattr(options, "tonemap", False),
    }
    for flag, given in beside.items():
        if given:
            raise UsageError(f"{flag} and -o -: stdout holds one picture; give -o FILE")


class errors_as_lines:  # noqa: N801  (reads as a statement)
    """Turn our errors into one line and an exit code; -vv and REDDIFF_DEBUG=1 keep the trace."""

    def __init__(self, verbose: int) -> None:
        self.trace = wants_traces(verbose)
        self._heeding = ending_in_order()

    def __enter__(self) -> None:
        self._heeding.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._heeding.__exit__(None, None, None)
        if isinstance(error, OSError) and error.filename:  # no way to it, or too long a name
            told = f"{error.filename}: {error.strerror}; give another path"
            error = UsageError(told).with_traceback(error.__traceback__)
        if isinstance(error, ReddiffError):
            from ..reporting.report import print_error

            print_error(error, trace=self.trace)
            raise typer.Exit(int(code_of(error)))
        if isinstance(error, Terminated) or (
            isinstance(error, KeyboardInterrupt) and not self.trace
        ):
            raise typer.Exit(int(code_of(error)))
