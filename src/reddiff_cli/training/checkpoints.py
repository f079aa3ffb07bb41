"""The folder of a training run: its checkpoint to go on from, and the prior to be used."""

import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..checkpoints.folder_card import WITHOUT_ATTENTION
from ..checkpoints.folders import CARD, locate, read_json
from ..errors import ModelMissing, ReddiffError, UsageError
from ..files import TEMPORARY, replacing, write_json
from ..networks.network import save_prior
from .model_card import model_card
from .options import TrainOptions
from .trainer import PREDICTION_TYPE, Trainer, new_trainer

CHECKPOINT, TRAINING = "checkpoint.pt", "training.json"
# What a checkpoint holds; those of earlier versions do not name their optimiser.
KEYS = frozenset(("config", "network", "average", "optimiser", "generator"))
KEYS |= {"step", "seconds", "curve", "running_loss"}
# What flags say of a network's configuration.
FLAGS = {
    "block_out_channels": "--channels",
    "layers_per_block": "--layers",
    "pixel_unshuffle": "--unshuffle",
    "sample_size": "--size",
}


def save(trainer: Trainer) -> None:
    """The checkpoint and the prior, each file whole or as it was before.

    ReddiffError if the disk does not take them: the last checkpoint stays.
    """
    folder = trainer.options.output
    try:
        _save_checkpoint(trainer)
        _export(trainer)
    except OSError as error:
        known = (folder / CHECKPOINT).exists()
        cure = "go on from the last checkpoint with --resume" if known else "start again"
        told = f"{folder}: step {trainer.step} cannot be saved ({error.strerror or error})"
        raise ReddiffError(f"{told}; mend that, then {cure}") from error


def is_saved(trainer: Trainer) -> bool:
    """Whether the prior of this very step lies there: a kill may come before it is written."""
    folder = trainer.options.output
    try:
        steps = read_json(folder / TRAINING).get("steps")
    except ModelMissing:
        return False
    return bool(steps == trainer.step) and not locate(folder).missing


def _save_checkpoint(trainer: Trainer) -> None:
    """Everything that is needed to go on exactly."""
    state = {
        "config": trainer.network.config,
        "network": trainer.network.unet.state_dict(),
        "average": trainer.average,
        "optimiser": trainer.optimiser.state_dict(),
        "optimiser_name": trainer.options.optimiser,
        "generator": trainer.generator.get_state(),
        "step": trainer.step,
        "seconds": trainer.seconds,
        "curve": trainer.curve,
        "running_loss": float(trainer.running_loss),
    }
    with (
        replacing(trainer.options.output / CHECKPOINT) as temporary,
        temporary.open("wb") as file,  # given a path, torch takes no name that begins with a dot
    ):
        try:
            torch.save(state, file)
        except RuntimeError as error:  # torch's own error hides what the disk said
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def make_output(output: Path) -> None:
    """The folder of a run, without what was half written when an earlier one was killed."""
    output.mkdir(parents=True, exist_ok=True)
    for path in output.glob(f"{TEMPORARY}*"):
        path.unlink()


def check_output(options: TrainOptions) -> None:
    """UsageError where the new prior would replace files of somebody else, or another run."""
    output, checkpoint = options.output, options.output / CHECKPOINT
    if output.exists() and not output.is_dir():
        raise UsageError(f"-o {output}: is a file; give a folder")
    _check_place(output)
    if options.resume:
        if not checkpoint.is_file():
            raise UsageError(f"{checkpoint}: nothing to resume; drop --resume")
        return
    if checkpoint.exists():
        raise UsageError(f"{checkpoint}: a run is there; add --resume, or choose another folder")
    if not output.is_dir():
        return
    names = {path.name for path in output.iterdir() if not path.name.startswith(TEMPORARY)}
    if names:
        raise UsageError(f"-o {output}: holds other files; give a new or an empty folder")


def _check_place(output: Path) -> None:
    """UsageError where no folder can be made, or nothing written into it."""
    folder = output.absolute()
    try:
        while not folder.exists():
            folder = folder.parent
    except OSError as error:  # too long a name, for example
        raise UsageError(f"-o {output}: cannot be written ({error.strerror})") from error
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"-o {output}: cannot be written below {folder}; give another folder")


def resume_or_start(options: TrainOptions, device: torch.device) -> Trainer:
    """A new trainer, or the one that a checkpoint holds; after `check_output`.

    UsageError if it does not fit, ModelMissing if it is damaged.
    """
    if not options.resume:
        return new_trainer(options, device)
    path = options.output / CHECKPOINT
    state = _read(path, device)
    trainer = new_trainer(options, device)
    _check_shape(path, state["config"], trainer.network.config)
    used = state.get("optimiser_name", "adamw")
    if used != options.optimiser:
        raise UsageError(f"{path}: was made with --optimiser {used}; use that")
    try:
        return _continued(trainer, state)
    except Exception as error:  # of the right names, but not of the right kinds
        raise _damaged(path, error) from error


def _check_shape(path: Path, has: dict[str, Any], asked: dict[str, Any]) -> None:
    """UsageError, with the flags that would fit, where a checkpoint is of another network."""
    if has == asked:
        return
    unlike = [name for name in FLAGS if has.get(name) != asked.get(name)]
    flags = " ".join(f"{FLAGS[name]} {_spelled(has.get(name))}" for name in unlike)
    cure = f"give {flags}, as it has" if flags else "use its settings"
    raise UsageError(f"{path}: belongs to a network of another shape; {cure}")


def _spelled(value: object) -> str:
    """As a flag takes it."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way
        raise _damaged(path, error) from error
    lacks = KEYS - state.keys() if isinstance(state, dict) else KEYS
    if lacks:
        told = f"{path}: is no checkpoint of `reddiff train`, it lacks {', '.join(sorted(lacks))}"
        raise ModelMissing(f"{told}; train anew in another folder")
    return dict(state)


def _damaged(path: Path, error: Exception) -> ModelMissing:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return ModelMissing(f"{path}: cannot be loaded ({reason}); train anew in another folder")


def _continued(trainer: Trainer, state: dict[str, Any]) -> Trainer:
    trainer.network.unet.load_state_dict(state["network"])
    trainer.optimiser.load_state_dict(state["optimiser"])
    trainer.generator.set_state(state["generator"].cpu())
    trainer.average = state["average"]
    return replace(
        trainer,
        step=int(state["step"]),
        seconds=float(state["seconds"]),
        curve=list(state["curve"]),
        running_loss=torch.tensor(float(state["running_loss"]), device=trainer.device),
    )


def _export(trainer: Trainer) -> None:
    """The averaged weights as a diffusers folder, how they are used, training.json, a README."""
    options = trainer.options
    save_prior(
        options.output,
        trainer.network.config,
        {key: value.cpu() for key, value in trainer.average.items()},
        PREDICTION_TYPE[options.prediction],
    )
    settings = {key: _plain(value) for key, value in asdict(options).items()}
    content = {
        "settings": settings,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "steps": trainer.step,
        "minutes": round(trainer.seconds / 60, 1),
        "curve": trainer.curve,
    }
    write_json(options.output / TRAINING, content)
    if not (options.output / CARD).exists():  # people change it, and go on with the run
        write_json(options.output / CARD, {"turns": options.turns, **WITHOUT_ATTENTION})
    card = model_card(options, trainer.step, trainer.seconds, trainer.curve)
    with replacing(options.output / "README.md") as temporary:
        temporary.write_text(card, encoding="utf-8")


def _plain(value: object) -> object:
    return value.name if isinstance(value, Path) else value
