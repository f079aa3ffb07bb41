"""Train a prior on a folder of photographs, and write it as a diffusers folder.

Photographs lie as bytes on the device, crops are cut there, products run in 16 bits where that is
quicker, and on a GPU the network is compiled and a step is one recording
(recorded_step.py); nothing in a step waits for the device.
"""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..denoisers.denoiser import Denoiser
from ..errors import UsageError, counted
from ..interrupts import Interrupts, nothing
from ..machine.computing import cpu_has_bf16
from .checkpoints import check_output, is_saved, make_output, resume_or_start, save
from .loss import draw_batch
from .optimisers import set_rate
from .options import TrainOptions
from .photographs import (
    Photographs,
    centre_crops,
    draw_crops,
    flatten_some,
    list_photographs,
    not_among,
    read_photographs,
)
from .trainer import Trainer
from .validation import colour_error, denoising_psnr

# Reading the loss of a GPU waits for it.
REPORT_EVERY = 20
HELD_OUT = 256  # side of the crops of --val
OnStep = Callable[[int, float, float], None]  # step, loss, share of the run that is done


def train(
    options: TrainOptions,
    device: torch.device,
    on_step: OnStep,
    on_note: Callable[[str], None],
    interrupts: Interrupts | None = None,
) -> Path:
    """Run to the end of the budget; returns the folder. A stop in between keeps a checkpoint,
    but of a run whose loss is no number nothing is written.

    interrupts: what hears Ctrl-C while steps are made; the first ends the run after the step.
    """
    check_output(options)
    torch.backends.cudnn.benchmark = True  # few shapes, many steps: the search for kernels pays
    trainer = resume_or_start(options, device)  # first: its shape says what can be used
    photographs, held_out = _read(options, on_note)
    photographs = photographs.to(device)
    crops = None if held_out is None else centre_crops(held_out, HELD_OUT)
    make_output(options.output)
    begun, saved = trainer.step, is_saved(trainer)
    if _progress(trainer, 0.0) >= 1:
        on_note(
            f"warning: the run has its {counted(trainer.step, 'step')} already; give more --steps"
        )
    try:
        with interrupts or Interrupts(nothing, nothing) as heeded:
            for _ in _steps(trainer, photographs, crops, on_step, on_note):
                # Anywhere within a step it would leave weights, average and randomness of two.
                if heeded.heard:
                    heeded.throw()
    finally:
        # Else the last checkpoint is the better one, or there is nothing to keep; settings that
        # no step was made with are not those of the prior.
        new = trainer.step > begun or not saved
        if trainer.step and new and bool(trainer.running_loss.isfinite()):
            save(trainer)
    _check_loss(trainer)
    if crops is not None:
        _validate(trainer, crops, on_note)
        if new:
            save(trainer)  # a run that goes on from here keeps this row of the curve
    told = f"{counted(trainer.step, 'step')}, loss {_check_loss(trainer):.4f}"
    on_note(f"{options.output}: {told}; --model {_as_model(options.output)} takes it")
    return options.output


def _as_model(output: Path) -> str:
    """The folder as --model takes it: a word alone may be the name of another prior."""
    return str(output) if len(output.parts) > 1 else f"./{output}"


def _read(
    options: TrainOptions, on_note: Callable[[str], None]
) -> tuple[Photographs, Photographs | None]:
    """Photographs to train on, and those of --val, none of which is trained on.

    UsageError if nothing is left, or nothing usable is there.
    """
    (paths, closed), held_out, count = list_photographs(options.folder), None, 0
    if options.validation is not None:
        apart = list_photographs(options.validation)
        left = not_among(paths, apart[0])
        _check_some(options, bool(left or not paths))
        count, paths = len(paths) - len(left), left
        cure = f"give photographs of {HELD_OUT} pixels a side and more"
        held_out = read_photographs(options.validation, HELD_OUT, apart, cure)
    photographs = read_photographs(options.folder, options.smallest, (paths, closed))
    if held_out is not None:
        # Copies, too, and what was only packed otherwise: they would be praised for memory.
        others = photographs.without(held_out)
        _check_some(options, bool(others.names))
        count, photographs = count + len(photographs.names) - len(others.names), others
        if count:
            of = f"of --val {options.validation}"
            told = counted(count, f"picture {of} is", f"pictures {of} are")
            on_note(f"{told} not trained on")
    digits = 1 if photographs.megapixels >= 1 else 2
    told = f"{photographs.megapixels:.{digits}f} megapixels"
    on_note(f"{counted(len(photographs.names), 'picture')}, {told}")
    if white := photographs.white:
        told = counted(len(white), "picture is", "pictures are")
        told = f"{told} white in more than half of the pixels, as {white[0]}"
        on_note(f"warning: {told}; leave out what has its light cut")
    for line in (*photographs.unreadable, *(held_out.unreadable if held_out else ())):
        on_note(line)
    return photographs, held_out


def _check_some(options: TrainOptions, some: bool) -> None:
    """UsageError where nothing is left to train on."""
    if not some:
        told = f"--val {options.validation}: holds all pictures of {options.folder}"
        raise UsageError(f"{told}; give a folder of others")


def _steps(
    trainer: Trainer,
    photographs: Photographs,
    crops: Tensor | None,
    on_step: OnStep,
    on_note: Callable[[str], None],
) -> Iterator[None]:
    """Make the steps, one before each yield, with their checkpoints."""
    options, device = trainer.options, trainer.device
    began = last_save = time.monotonic()
    before = trainer.seconds
    while (done := _progress(trainer, time.monotonic() - began)) < 1:
        train_step(trainer, photographs, done)
        trainer.seconds = before + time.monotonic() - began
        if device.type == "cpu" or trainer.step % REPORT_EVERY == 0:
            on_step(trainer.step, _check_loss(trainer), done)
        if time.monotonic() - last_save > 60 * options.checkpoint_minutes:
            _check_loss(trainer)
            if crops is not None:
                _validate(trainer, crops[:: max(1, len(crops) // 16)], on_note)
            save(trainer)
            last_save = time.monotonic()
        yield


def _check_loss(trainer: Trainer) -> float:
    """The running loss; UsageError if it is no number: then the weights are none either."""
    loss = float(trainer.running_loss)
    if not math.isfinite(loss):
        told = f"--lr {trainer.options.rate:g}: the loss is no number after"
        raise UsageError(f"{told} {counted(trainer.step, 'step')}; give a smaller one")
    return loss


def train_step(trainer: Trainer, photographs: Photographs, done: float) -> None:
    """One optimiser step at the share `done` of the run."""
    options = trainer.options
    wide = options.wide_every > 0 and trainer.step % options.wide_every == options.wide_every - 1
    size = options.size * (2 if wide else 1)
    rows = max(1, options.batch // 4) if wide else options.batch
    x = draw_crops(photographs, rows, size, options.reduce, trainer.generator, options.turns)
    x = flatten_some(x, options.flat, trainer.generator)
    batch = draw_batch(x, trainer.schedule, options, trainer.generator)
    set_rate(trainer.optimiser, options.rate * _lr_factor(options, trainer.step, done))
    loss = trainer.learn(batch)
    trainer.step += 1
    _update_average(trainer)
    momentum = min(0.99, trainer.step / (trainer.step + 10))
    trainer.running_loss = torch.lerp(loss, trainer.running_loss, momentum)


def _progress(trainer: Trainer, elapsed: float) -> float:
    """Share of the run that is done, 0 to 1."""
    if trainer.options.steps is not None:
        return trainer.step / trainer.options.steps
    return elapsed / (60 * (trainer.options.minutes or 0.0) + 1e-9)


def _lr_factor(options: TrainOptions, step: int, done: float) -> float:
    """Warm-up, hold, linear decay: a run can be prolonged without knowing its end beforehand."""
    rise = min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0
    return rise * min(1.0, (1 - done) / options.decay) if options.decay else rise


@torch.no_grad()
def _update_average(trainer: Trainer) -> None:
    """Exponential average of the weights, shorter at the beginning."""
    decay = min(trainer.options.ema, (1 + trainer.step) / (10 + trainer.step))
    weights = dict(trainer.network.unet.named_parameters())
    torch._foreach_lerp_(
        list(trainer.average.values()), [weights[key] for key in trainer.average], 1 - decay
    )


def _validate(trainer: Trainer, crops: Tensor, on_note: Callable[[str], None]) -> None:
    """Append PSNR and colour errors of the averaged weights to the curve."""
    dtype = torch.float32
    if trainer.device.type == "cpu" and cpu_has_bf16():
        dtype = torch.bfloat16
    denoiser = Denoiser(trainer.prior(), trainer.device, dtype)
    row: dict[str, Any] = {
        "step": trainer.step,
        "minutes": round(trainer.seconds / 60, 1),
        "loss": round(float(trainer.running_loss), 5),
        "crops": len(crops),
        "psnr": denoising_psnr(denoiser, trainer.schedule, crops.to(trainer.device)),
        "colour_error": colour_error(denoiser, trainer.schedule, trainer.device),
    }
    trainer.curve.append(row)
    quality = " / ".join(f"{value:.2f}" for value in row["psnr"].values())
    colour = " / ".join(f"{value:.1f}" for value in row["colour_error"].values())
    on_note(f"step {trainer.step}: {quality} dB on {len(crops)} crops, colour error {colour}")
