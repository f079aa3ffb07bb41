"""The command line: flags become options, and each command calls one function.

Nothing heavy is imported at module level, so that `--help` and mistakes answer at once.
"""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from . import __version__, commands_models
from .errors import ExitCode, ReddiffError, UsageError
from .options import (
    MachineOptions,
    MaskOptions,
    OutputOptions,
    SolverOptions,
    TrainOptions,
)

EPILOG = (
    "Exit codes: 0 all done, 1 a picture failed, 2 usage, 3 model not available, "
    "4 device not available, 130 interrupted."
)

app = typer.Typer(
    name="reddiff",
    help="Restore damaged pictures with one diffusion prior and an honest model of the damage.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Pictures or folders.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="File or folder; without it {stem}.inpaint.png beside the input."
    ),
]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Descend into folders.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")]
Strip = Annotated[bool, typer.Option("--strip", help="Write no metadata and no settings record.")]
Quality = Annotated[int, typer.Option("--quality", help="JPEG and WebP quality, 1 to 100.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")]
Model = Annotated[
    str, typer.Option("--model", envvar="REDDIFF_MODEL", help="A prior's name or folder.")
]
Preset = Annotated[
    str,
    typer.Option(
        "--preset",
        help="fast, standard, best: 20, 50, 100 network evaluations; paper: the published form.",
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", help="Network evaluations per window.")]
PriorWeight = Annotated[
    float | None, typer.Option("--prior-weight", help="1 is neutral; with paper: lambda.")
]
LearningRate = Annotated[float | None, typer.Option("--lr", help="Adam's step; only with paper.")]
Start = Annotated[float | None, typer.Option("--start", help="First noise level s.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the noise; the same for every picture.")]
Device = Annotated[
    str,
    typer.Option("--device", envvar="REDDIFF_DEVICE", help="auto, cpu, cuda, cuda:1, mps."),
]
Dtype = Annotated[str, typer.Option("--dtype", help="Of the network: auto, fp32, bf16, fp16.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, help="Decisions; -vv: traces.")
]


Validation = Annotated[
    Path | None, typer.Option("--val", help="Photographs to measure the denoising PSNR on.")
]
Init = Annotated[Path | None, typer.Option("--init", help="Start from the weights of this prior.")]


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"reddiff {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Restore damaged pictures with one diffusion prior and an honest model of the damage."""


@app.command(epilog="Example: reddiff inpaint photo.jpg --mask scratches.png")
def inpaint(
    inputs: Inputs,
    mask: Annotated[
        Path | None,
        typer.Option(
            "-m",
            "--mask",
            help="White = fill; a file, or a folder paired by name. Without it: transparent "
            "pixels, else magenta (255, 0, 255).",
        ),
    ] = None,
    invert_mask: Annotated[bool, typer.Option("--invert-mask", help="Black = fill.")] = False,
    grow_mask: Annotated[int, typer.Option("--grow-mask", help="Dilate by pixels.")] = 0,
    output: Output = None,
    recursive: Recursive = False,
    overwrite: Overwrite = False,
    strip: Strip = False,
    quality: Quality = 95,
    dry_run: DryRun = False,
    model: Model = "natural",
    preset: Preset = "standard",
    steps: Steps = None,
    prior_weight: PriorWeight = None,
    lr: LearningRate = None,
    start: Start = None,
    noise: Annotated[
        float | None,
        typer.Option("--noise", help="Standard deviation of the picture's noise, 0 to 1 [0]."),
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Fill holes: scratches, missing pixels, removed objects. Known pixels stay bit-identical."""
    with _errors_as_lines(verbose):
        solver = SolverOptions(preset, steps, prior_weight, lr, start, noise, seed)
        masks = MaskOptions(mask, invert_mask, grow_mask)
        outputs = OutputOptions(output, overwrite, strip, recursive, quality)
        machine = MachineOptions(device, dtype)
        from .run import Run

        run = Run("inpaint", inputs, model, solver, machine, masks, outputs, quiet, verbose)
        code = run.show_plan() if dry_run else run.restore()
        if code:
            raise typer.Exit(int(code))


@app.command(epilog="Example: reddiff train photos --val held-out -o my-prior --minutes 60")
def train(
    folder: Annotated[Path, typer.Argument(help="Photographs, searched recursively.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the new prior.")],
    val: Validation = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps in all.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Length of this run.")] = None,
    size: Annotated[int, typer.Option("--size", help="Side of the crops.")] = 64,
    channels: Annotated[
        str, typer.Option("--channels", help="Width of each level.")
    ] = "64,96,128,192",
    layers: Annotated[int, typer.Option("--layers", help="Residual blocks per level.")] = 2,
    unshuffle: Annotated[int, typer.Option("--unshuffle", help="Pixel-unshuffle factor.")] = 2,
    batch: Annotated[int, typer.Option("--batch", help="Crops per step.")] = 8,
    lr: Annotated[float, typer.Option("--lr", help="AdamW's step.")] = 1e-3,
    ema: Annotated[float, typer.Option("--ema", help="Decay of the averaged weights.")] = 0.999,
    prediction: Annotated[str, typer.Option("--prediction", help="v or epsilon.")] = "v",
    reduce: Annotated[
        float, typer.Option("--reduce", help="Share of crops taken at half resolution.")
    ] = 0.3,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    checkpoint_minutes: Annotated[
        float, typer.Option("--checkpoint-minutes", help="Time between checkpoints.")
    ] = 5.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    init: Init = None,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Train a prior on photographs; the folder it writes can be given to --model."""
    with _errors_as_lines(verbose):
        options = TrainOptions(
            folder=folder,
            output=output,
            validation=val,
            size=size,
            channels=_parse_channels(channels),
            layers=layers,
            unshuffle=unshuffle,
            batch=batch,
            steps=steps,
            minutes=minutes,
            lr=lr,
            ema=ema,
            prediction=prediction,
            reduce=reduce,
            seed=seed,
            checkpoint_minutes=checkpoint_minutes,
            resume=resume,
            init=init,
        )
        from .denoiser import choose_device
        from .report import TrainReporter
        from .train import train as run

        with TrainReporter(quiet) as reporter:
            run(options, choose_device(device), reporter.step, reporter.note)


commands_models.register(app)


def _parse_channels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--channels {text}: give numbers, as in 64,96,128,192") from error


class _errors_as_lines:  # noqa: N801  (reads as a statement)
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


def main() -> None:
    """Entry point of the `reddiff` command."""
    # Threads that wait by spinning stall each other when several processes share the cores (as
    # under `xargs -P`): 16 s instead of more than 120 s for one picture beside another process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
