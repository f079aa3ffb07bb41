"""`reddiff train`: flags of a training run."""

from pathlib import Path
from typing import Annotated

import typer

from ..checkpoints.models import find_model
from ..errors import UsageError
from ..interrupts import Interrupts, dying_at_once
from ..training.options import TrainOptions
from .flags import Device, Quiet, Verbose
from .making import Command, errors_as_lines

CHANNELS = ",".join(map(str, TrainOptions.channels))
HELP = "Train a prior on photographs; the folder it writes can be given to --model."
EXAMPLE = "Example: reddiff train photos --val held-out -o my-prior --minutes 60"

Validation = Annotated[
    Path | None,
    typer.Option(
        "--val", help="Photographs to measure the denoising PSNR on, and not to train on."
    ),
]
Channels = Annotated[str, typer.Option("--channels", help="Width of each level.")]
Layers = Annotated[int, typer.Option("--layers", help="Residual blocks per level.")]
Unshuffle = Annotated[int, typer.Option("--unshuffle", help="Pixel-unshuffle factor.")]
Batch = Annotated[int, typer.Option("--batch", help="Crops per step.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Its step: 0.001, muon 0.01.")]
Average = Annotated[float, typer.Option("--ema", help="Decay of the averaged weights.")]
Prediction = Annotated[str, typer.Option("--prediction", help="epsilon or v.")]
Loss = Annotated[
    str, typer.Option("--loss", help="Of a crop: log of its squared error, mse or min-snr.")
]
Decay = Annotated[
    float, typer.Option("--decay", help="Share of the run in which the step falls to zero.")
]
WideEvery = Annotated[
    int, typer.Option("--wide-every", help="Every so many steps crops of twice the side; 0 off.")
]
Reduce = Annotated[
    float, typer.Option("--reduce", help="Share of crops taken at half resolution.")
]
Turns = Annotated[
    str,
    typer.Option("--turns", help="Positions of crops: all of a square, mirror (images) or none."),
]
Seed = Annotated[
    int, typer.Option("--seed", help="Of the first weights, the crops and their noise.")
]
CheckpointMinutes = Annotated[
    float, typer.Option("--checkpoint-minutes", help="Time between checkpoints.")
]
Optimiser = Annotated[str, typer.Option("--optimiser", help="adamw, or muon (extra `muon`).")]
Init = Annotated[
    str | None,
    typer.Option(
        "--init", help="Start from this prior (name or folder); more --layers deepen it."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to an app."""
    app.command("train", cls=Command, help=HELP, epilog=EXAMPLE)(train)


def train(
    folder: Annotated[Path, typer.Argument(help="Photographs, searched recursively.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the new prior.")],
    val: Validation = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps in all.")] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Length of this run.")] = None,
    size: Annotated[int, typer.Option("--size", help="Side of the crops.")] = TrainOptions.size,
    channels: Channels = CHANNELS,
    layers: Layers = TrainOptions.layers,
    unshuffle: Unshuffle = TrainOptions.unshuffle,
    batch: Batch = TrainOptions.batch,
    optimiser: Optimiser = TrainOptions.optimiser,
    lr: Rate = TrainOptions.lr,
    ema: Average = TrainOptions.ema,
    prediction: Prediction = TrainOptions.prediction,
    loss: Loss = TrainOptions.loss,
    decay: Decay = TrainOptions.decay,
    wide_every: WideEvery = TrainOptions.wide_every,
    reduce: Reduce = TrainOptions.reduce,
    turns: Turns = TrainOptions.turns,
    seed: Seed = TrainOptions.seed,
    checkpoint_minutes: CheckpointMinutes = TrainOptions.checkpoint_minutes,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    init: Init = None,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = 0,
) -> None:
    """Make options of the flags, and run them."""
    with errors_as_lines(verbose):
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
            optimiser=optimiser,
            lr=lr,
            ema=ema,
            prediction=prediction,
            loss=loss,
            decay=decay,
            wide_every=wide_every,
            reduce=reduce,
            turns=turns,
            seed=seed,
            checkpoint_minutes=checkpoint_minutes,
            resume=resume,
            init=None if init is None else find_model(init, offline=True).folder,
        )
        _run(options, device, quiet, verbose)


def _run(options: TrainOptions, device: str, quiet: bool, verbose: int) -> None:
    with dying_at_once():
        from ..machine.computing import choose_device
        from ..machine.memory import within_memory
        from ..reporting.progress import TrainReporter
        from ..training.train import train as run
        from ..training.trainer import in_sixteen_bits

    where = choose_device(device)
    with TrainReporter(quiet) as reporter:
        if verbose:
            dtype = "bf16" if in_sixteen_bits(where) else "fp32"
            side = f"{options.size}x{options.size}"
            reporter.note(
                f"on {where}, products in {dtype}, {options.batch} crops of {side} a step"
            )
        interrupts = Interrupts(reporter.leave, lambda: reporter.stopping(interrupts.told))
        asked = f"--batch {options.batch} --size {options.size}"
        with within_memory(asked, "give a smaller --batch or --size"):
            run(options, where, reporter.step, reporter.note, interrupts)


def _parse_channels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--channels {text}: give numbers, as in 64,96,128,192") from error
