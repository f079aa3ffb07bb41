"""Flags that mean the same in every restoring command, defined once.

A command's function names its own flags and returns its options; `restores` adds the shared ones,
runs the task, and turns errors into one line and an exit code.
"""

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_type_hints

import typer

from .errors import ExitCode, ReddiffError
from .options import TASKS, MachineOptions, OutputOptions, SolverOptions, parse_noise
from .task_options import TaskOptions

OUTPUT, SOLVER, MACHINE, MESSAGES = "Output", "Solver", "Machine", "Messages"

Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures or folders.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="REDDIFF_DEVICE",
        help="auto, cpu, cuda, cuda:1, mps.",
        rich_help_panel=MACHINE,
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Errors only.", rich_help_panel=MESSAGES)
]
Verbose = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, help="Decisions; -vv: traces.", rich_help_panel=MESSAGES
    ),
]


@dataclass(frozen=True)
class Shared:
    """Values of the shared flags."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="File or folder; without it {stem}.{task}.png beside the input.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    recursive: Annotated[
        bool,
        typer.Option("-r", "--recursive", help="Descend into folders.", rich_help_panel=OUTPUT),
    ] = False
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=OUTPUT),
    ] = False
    strip: Annotated[
        bool,
        typer.Option(
            "--strip", help="Write no metadata and no settings record.", rich_help_panel=OUTPUT
        ),
    ] = False
    quality: Annotated[
        int,
        typer.Option("--quality", help="JPEG and WebP quality, 1 to 100.", rich_help_panel=OUTPUT),
    ] = 95
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show what would be done.", rich_help_panel=OUTPUT),
    ] = False
    model: Annotated[
        str,
        typer.Option(
            "--model",
            envvar="REDDIFF_MODEL",
            help="A prior's name or folder.",
            rich_help_panel=SOLVER,
        ),
    ] = "natural"
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="fast, standard, best: 20, 50, 100 network evaluations; "
            "paper: the published form.",
            rich_help_panel=SOLVER,
        ),
    ] = "standard"
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", help="Network evaluations per picture or window.", rich_help_panel=SOLVER
        ),
    ] = None
    prior_weight: Annotated[
        float | None,
        typer.Option(
            "--prior-weight", help="1 is neutral; with paper: lambda.", rich_help_panel=SOLVER
        ),
    ] = None
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Adam's step; only with paper.", rich_help_panel=SOLVER),
    ] = None
    start: Annotated[
        float | None,
        typer.Option("--start", help="First noise level s.", rich_help_panel=SOLVER),
    ] = None
    noise: Annotated[
        str | None,
        typer.Option(
            "--noise",
            metavar="auto|FLOAT",
            help="Standard deviation of the picture's noise, 0 to 1.",
            rich_help_panel=SOLVER,
        ),
    ] = None
    seed: Annotated[
        int,
        typer.Option(
            "--seed", help="Of the noise; the same for every picture.", rich_help_panel=SOLVER
        ),
    ] = 0
    device: Device = "auto"
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype", help="Of the network: auto, fp32, bf16, fp16.", rich_help_panel=MACHINE
        ),
    ] = "auto"
    quiet: Quiet = False
    verbose: Verbose = 0

    def solver(self) -> SolverOptions:
        """How to restore."""
        return SolverOptions(
            preset=self.preset,
            steps=self.steps,
            prior_weight=self.prior_weight,
            lr=self.lr,
            s_start=self.start,
            noise=parse_noise(self.noise),
            seed=self.seed,
        )

    def outputs(self) -> OutputOptions:
        """Where results go."""
        return OutputOptions(self.output, self.overwrite, self.strip, self.recursive, self.quality)


def restores(
    app: typer.Typer, task: str, example: str
) -> Callable[[Callable[..., TaskOptions]], None]:
    """Make a command of a function that turns its own flags into the options of a task."""

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
            *_keywords(make_options, own_hints),
            *_keywords(Shared, shared_hints),
        ]
        vars(command)["__signature__"] = inspect.Signature(parameters)
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        command.__doc__ = make_options.__doc__
        defaults = TASKS[task]
        epilog = f"Example: {example}\n\nDefaults: --noise {defaults.noise}"
        app.command(task, epilog=epilog)(command)

    return register


def _keywords(source: Callable[..., object], hints: dict[str, Any]) -> list[inspect.Parameter]:
    known = inspect.signature(source).parameters
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=known[name].default,
            annotation=hint,
        )
        for name, hint in hints.items()
    ]


def _run(options: TaskOptions, inputs: list[Path], shared: Shared) -> None:
    solver, outputs = shared.solver(), shared.outputs()
    machine = MachineOptions(shared.device, shared.dtype)
    from .run import Run

    run = Run(
        options, inputs, shared.model, solver, machine, outputs, shared.quiet, shared.verbose
    )
    code = run.show_plan() if shared.dry_run else run.restore()
    if code:
        raise typer.Exit(int(code))


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
