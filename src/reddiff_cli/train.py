"""Train a prior on a folder of photographs, and write it as a diffusers folder.

Photographs lie as bytes on the device, crops are cut there, products run in 16 bits where that is
quicker, and on a GPU the network is compiled; nothing in a step waits for the device.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .denoiser import Denoiser, cpu_has_bf16
from .errors import UsageError
from .folders import write_json
from .model_card import model_card
from .network import Network, Prior, build, layout_on, load_prior, new_config, save_prior
from .optimisers import make_optimiser
from .photographs import Photographs, centre_crops, draw_crops, flatten_some, read_photographs
from .schedule import Schedule, linear_betas
from .train_loss import denoising_loss
from .train_options import TrainOptions
from .validation import colour_error, denoising_psnr

CHECKPOINT = "checkpoint.pt"
PREDICTION_TYPE = {"v": "v_prediction", "epsilon": "epsilon"}
# Reading the loss of a GPU waits for it.
REPORT_EVERY = 20
OnStep = Callable[[int, float, float], None]  # step, loss, share of the run that is done


@dataclass
class Trainer:
    """Everything that changes while training, and everything that a checkpoint holds."""

    options: TrainOptions
    network: Network
    average: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    schedule: Schedule
    device: torch.device
    forward: Callable[[Tensor, Tensor], Tensor]  # the network, compiled or as it is
    running_loss: Tensor
    step: int = 0
    seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    def prior(self) -> Prior:
        """The averaged weights as a prior of their own memory."""
        network = build(self.network.config)
        network.unet.load_state_dict({key: value.clone() for key, value in self.average.items()})
        network.eval().requires_grad_(False)
        return Prior(network, self.schedule, PREDICTION_TYPE[self.options.prediction])


def new_trainer(options: TrainOptions, device: torch.device) -> Trainer:
    """A trainer with random weights, or those of options.init; randomness from options.seed."""
    torch.manual_seed(options.seed)
    config = new_config(
        options.channels, options.layers, options.size, options.unshuffle, options.groups
    )
    network = build(config)
    if options.init is not None:
        network.unet.load_state_dict(_first_weights(options, options.init, config))
    network = network.to(device)
    # Noise levels near the data need weights of 32 bits; only the products run in 16.
    network = network.to(memory_format=layout_on(device))  # type: ignore[call-overload]
    optimiser = make_optimiser(network, options)
    average = {key: value.detach().clone() for key, value in network.unet.state_dict().items()}
    generator = torch.Generator().manual_seed(options.seed)
    compiled = device.type == "cuda" if options.compile is None else options.compile
    return Trainer(
        options,
        network,
        average,
        optimiser,
        generator,
        linear_betas(),
        device,
        torch.compile(network, dynamic=False) if compiled else network,
        torch.zeros((), device=device),
    )


def _first_weights(
    options: TrainOptions, folder: Path, config: dict[str, Any]
) -> dict[str, Tensor]:
    """Weights of an earlier prior; UsageError if its network has another shape or target."""
    prior = load_prior(folder)
    if prior.prediction != PREDICTION_TYPE[options.prediction]:
        raise UsageError(f"--init {folder}: predicts {prior.prediction}; fit --prediction to it")
    shape = ("block_out_channels", "layers_per_block", "pixel_unshuffle", "norm_num_groups")
    for key in shape:
        theirs = prior.network.config.get(key)
        if theirs != config[key]:
            raise UsageError(f"--init {folder}: its {key} is {theirs}, asked is {config[key]}")
    return dict(prior.network.unet.state_dict())


def train(
    options: TrainOptions, device: torch.device, on_step: OnStep, on_note: Callable[[str], None]
) -> Path:
    """Run to the end of the budget; returns the folder. A stop in between keeps a checkpoint."""
    torch.backends.cudnn.benchmark = True  # few shapes, many steps: the search for kernels pays
    photographs = read_photographs(options.folder, 2 * options.size).to(device)
    on_note(f"{len(photographs.names)} pictures, {photographs.megapixels:.1f} megapixels")
    for line in photographs.unreadable:
        on_note(line)
    crops = None
    if options.validation is not None:
        crops = centre_crops(read_photographs(options.validation, 256), 256)
    trainer = _resume_or_start(options, device)
    options.output.mkdir(parents=True, exist_ok=True)
    try:
        _loop(trainer, photographs, crops, on_step, on_note)
    finally:
        save_checkpoint(trainer)
        export(trainer)
    if crops is not None:
        _validate(trainer, crops, on_note)
        export(trainer)
    return options.output


def _loop(
    trainer: Trainer,
    photographs: Photographs,
    crops: Tensor | None,
    on_step: OnStep,
    on_note: Callable[[str], None],
) -> None:
    options, device = trainer.options, trainer.device
    began = last_save = time.monotonic()
    before = trainer.seconds
    while (done := _progress(trainer, time.monotonic() - began)) < 1:
        train_step(trainer, photographs, done)
        trainer.seconds = before + time.monotonic() - began
        if device.type == "cpu" or trainer.step % REPORT_EVERY == 0:
            on_step(trainer.step, float(trainer.running_loss), done)
        if time.monotonic() - last_save > 60 * options.checkpoint_minutes:
            if crops is not None:
                _validate(trainer, crops[:: max(1, len(crops) // 16)], on_note)
            save_checkpoint(trainer)
            export(trainer)
            last_save = time.monotonic()


def train_step(trainer: Trainer, photographs: Photographs, done: float) -> None:
    """One optimiser step at the share `done` of the run."""
    options = trainer.options
    wide = options.wide_every > 0 and trainer.step % options.wide_every == options.wide_every - 1
    size = options.size * (2 if wide else 1)
    batch = max(1, options.batch // 4) if wide else options.batch
    x = draw_crops(photographs, batch, size, options.reduce, trainer.generator)
    x = flatten_some(x, options.flat, trainer.generator)
    sixteen_bits = trainer.device.type == "cuda" or cpu_has_bf16()
    generator, schedule = trainer.generator, trainer.schedule
    loss = denoising_loss(trainer.forward, x, schedule, options, generator, sixteen_bits)
    rate = options.rate * _lr_factor(options, trainer.step, done)
    for group in trainer.optimiser.param_groups:
        group["lr"] = rate * group.get("scale", 1.0)  # of weights that want another rate
    trainer.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(trainer.network.parameters(), 1.0)
    trainer.optimiser.step()
    trainer.step += 1
    _update_average(trainer)
    momentum = min(0.99, trainer.step / (trainer.step + 10))
    trainer.running_loss = torch.lerp(loss.detach(), trainer.running_loss, momentum)


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


def save_checkpoint(trainer: Trainer) -> None:
    """Everything that is needed to go on exactly, through a temporary file."""
    path = trainer.options.output / CHECKPOINT
    temporary = path.with_name(path.name + ".tmp")
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
    torch.save(state, temporary)
    temporary.replace(path)


def _resume_or_start(options: TrainOptions, device: torch.device) -> Trainer:
    path = options.output / CHECKPOINT
    if not options.resume:
        if path.exists():
            raise UsageError(f"{path}: a run is there; add --resume, or choose another folder")
        return new_trainer(options, device)
    if not path.is_file():
        raise UsageError(f"{path}: nothing to resume; drop --resume")
    state = torch.load(path, map_location=device, weights_only=True)
    trainer = new_trainer(options, device)
    if state["config"] != trainer.network.config:
        raise UsageError(f"{path}: belongs to a network of another shape; use its settings")
    used = state.get("optimiser_name", "adamw")
    if used != options.optimiser:
        raise UsageError(f"{path}: was made with --optimiser {used}; use that")
    trainer.network.unet.load_state_dict(state["network"])
    trainer.optimiser.load_state_dict(state["optimiser"])
    trainer.generator.set_state(state["generator"].cpu())
    trainer.average = state["average"]
    return replace(
        trainer,
        step=state["step"],
        seconds=state["seconds"],
        curve=state["curve"],
        running_loss=torch.tensor(state["running_loss"], device=device),
    )


def export(trainer: Trainer) -> None:
    """Write the averaged weights as a diffusers folder, with training.json and a model card."""
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
    write_json(options.output / "training.json", content)
    (options.output / "README.md").write_text(
        model_card(options, trainer.step, trainer.seconds, trainer.curve), encoding="utf-8"
    )


def _plain(value: object) -> object:
    return value.name if isinstance(value, Path) else value
