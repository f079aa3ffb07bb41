"""A diffusers folder as a network: reading, writing, and what its output means.

A folder holds `config.json` (UNet2DModel), `scheduler_config.json` and
`diffusion_pytorch_model.safetensors` (layouts in checkpoints/folders.py). Three keys of ours may
stand in `config.json`: `pixel_unshuffle` = f, for a UNet that sees every f x f block of pixels as
f^2 channels (FFDNet, Zhang, Zuo and Zhang 2018, arXiv 1710.04026): 1/f of the resolution, f times
the view; `highest_timestep`, the last one that the network was trained on (denoisers/denoiser.py
asks for none above it); and `zero_mean` of an epsilon network, whose noise has no mean colour.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checkpoints.folders import (
    CONFIG,
    PICKLE,
    SCHEDULER,
    WEIGHTS,
    locate,
    native_size,
    read_json,
)
from ..errors import ModelMissing
from ..files import write_json
from ..machine.memory import is_out_of_memory
from ..schedule import Schedule, schedule_from_config
from .blocks import Attention, Layout, Residual
from .unet import make_unet, mistyped
from .weights import is_adm_port, read_as_stock, write_state

PREDICTIONS = ("epsilon", "v_prediction", "sample")


class Network(nn.Module):
    """A UNet2DModel behind pixel-unshuffle; output channels beyond C (learned variance) are cut.

    forward: x_t (B, C, H, W), t (B,) integers -> (B, C, H, W), H and W multiples of `multiple`, of
    x_t's type; fp32 with `zero_mean`.
    smallest: side below which a picture is unlike anything that the network has seen.
    highest: the last time step that it was trained on; None: all of them.
    """

    def __init__(self, unet: nn.Module, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.unet = unet
        self.config = dict(config)
        self.unshuffle = int(config.get("pixel_unshuffle", 1))
        self.channels = int(config["in_channels"]) // self.unshuffle**2
        self.multiple = self.unshuffle * 2 ** (len(config["block_out_channels"]) - 1)
        self.smallest = native_size(config) or 1
        self.highest: int | None = config.get("highest_timestep")
        self.zero_mean = bool(config.get("zero_mean", False))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        x = F.pixel_unshuffle(x_t, self.unshuffle) if self.unshuffle > 1 else x_t
        channels = x.shape[1]
        x = x.contiguous(memory_format=layout_on(x.device))
        told = self.unet(x, t)
        # A network of diffusers wraps its output.
        out: Tensor = (told if isinstance(told, Tensor) else told.sample)[:, :channels]
        out = F.pixel_shuffle(out, self.unshuffle) if self.unshuffle > 1 else out
        return _without_mean(out) if self.zero_mean else out

    def heed(self, check: Callable[[], None]) -> None:
        """Call `check` before every block from now on: what it raises ends an evaluation."""
        for module in self.unet.modules():
            if isinstance(module, Residual | Attention):
                module.register_forward_pre_hook(lambda *_: check())


def _without_mean(eps: Tensor) -> Tensor:
    """eps without its mean colour, of which x_t says next to nothing.

    The colours of pictures differ by far more than the mean of noise does, s / sqrt(H W), so that
    the best guess of that is nothing, and a network's only adds its own bias, which grows when D
    is applied again and again.
    """
    eps = eps.float()  # in 16 bits values near 1 would stay what they are
    return eps - eps.mean((2, 3), keepdim=True)


def layout_on(device: torch.device) -> torch.memory_format:
    """How activations lie in memory.

    channels_last is quicker on CPUs. An H200 takes 1.2 to 1.4 times as long in it (fp16, batches
    of 8 and more, `tests/benchmarks/gpu.py`).
    """
    return torch.contiguous_format if device.type == "cuda" else torch.channels_last


@dataclass(frozen=True)
class Prior:
    """A network together with its schedule and the meaning of its output."""

    network: Network
    schedule: Schedule
    prediction: str


def clean_from_output(out: Tensor, z: Tensor, alpha_bar: Tensor, prediction: str) -> Tensor:
    """D(z, t) from the network's output at x_t = sqrt(alpha_bar) z.

    epsilon: D = z - s eps.   v (Salimans and Ho 2022, arXiv 2202.00512; v = sqrt(alpha_bar) eps -
    sqrt(1 - alpha_bar) x): D = alpha_bar z - sqrt(1 - alpha_bar) v.   sample: D = out.

    out, z: (B, C, H, W).    alpha_bar: broadcastable to them.
    """
    if prediction == "epsilon":
        return z - ((1 - alpha_bar) / alpha_bar).sqrt() * out
    if prediction == "v_prediction":
        return alpha_bar * z - (1 - alpha_bar).sqrt() * out
    if prediction == "sample":
        return out
    raise ValueError(f"prediction type '{prediction}' is not one of {', '.join(PREDICTIONS)}")


def new_config(
    channels: Sequence[int], layers: int, size: int, unshuffle: int, groups: int
) -> dict[str, Any]:
    """Configuration of a fully convolutional UNet2DModel for 3-channel pictures."""
    levels = len(channels)
    return {
        "_class_name": "UNet2DModel",
        "sample_size": size // unshuffle,
        "in_channels": 3 * unshuffle**2,
        "out_channels": 3 * unshuffle**2,
        "layers_per_block": layers,
        "block_out_channels": list(channels),
        "down_block_types": ["DownBlock2D"] * levels,
        "up_block_types": ["UpBlock2D"] * levels,
        "norm_num_groups": groups,
        "add_attention": False,
        "pixel_unshuffle": unshuffle,
    }


def build(config: Mapping[str, Any], tensors: int | None = None) -> Network:
    """Network with random weights for a `config.json`; ModelMissing if it cannot be expressed.

    tensors: how many weights there are for it; to build one of far more could take for ever.
    """
    _refuse_unsupported(config)
    if tensors is not None:
        levels = len(config["block_out_channels"])
        layers = config.get("layers_per_block", Layout.layers_per_block)
        if levels * layers > tensors:  # each has several
            asked = f"{levels} levels with {layers} layers_per_block"
            raise ModelMissing(f"{CONFIG}: {asked}, for which {tensors} weights are too few")
    return Network(make_unet(config), config)


def load_prior(folder: Path, weights: str = WEIGHTS, dtype: torch.dtype = torch.float32) -> Prior:
    """Network, schedule and prediction type of a diffusers folder, on the CPU in `dtype`.

    weights: name of the file; another one than the default must have been checked by its sha256.
    ModelMissing when a file is absent, damaged or of a kind that is not supported.
    """
    with damage_told(folder):
        return _load(folder, weights, dtype)


@contextmanager
def damage_told(folder: Path) -> Iterator[None]:
    """ModelMissing that names the folder in place of whatever its files raise."""
    try:
        yield
    except ModelMissing:
        raise
    except Exception as error:  # what somebody has written into a configuration fails in any way
        if is_out_of_memory(error):
            raise
        reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
        if not isinstance(error, RuntimeError | ValueError):
            reason = f"{type(error).__name__}: {reason}"
        told = f"{folder}: the prior cannot be loaded ({reason[:300]})"
        cause = "it is damaged (fetch it again), or of a kind that is not supported"
        raise ModelMissing(f"{told}; {cause}") from error


def _load(folder: Path, weights: str, dtype: torch.dtype) -> Prior:
    parts = locate(folder, weights)
    config, scheduler = read_json(parts.config), read_json(parts.scheduler)
    if not parts.weights.is_file():
        raise ModelMissing(_no_weights(folder, parts.weights))
    schedule, prediction = read_process(config, scheduler)
    state, config = read_as_stock(parts.weights, config)
    # Weights are mapped from the file and cast once: no random start, no second copy.
    with torch.device("meta"):
        network = build(config, len(state))
    network.unet.load_state_dict({k: v.to(dtype) for k, v in state.items()}, assign=True)
    network.eval().requires_grad_(False)
    return Prior(network, schedule, prediction)


def read_process(config: Mapping[str, Any], scheduler: Mapping[str, Any]) -> tuple[Schedule, str]:
    """Schedule and prediction type; ModelMissing if the network was trained on something else."""
    prediction = str(scheduler.get("prediction_type", "epsilon"))
    if prediction not in PREDICTIONS:
        raise ModelMissing(f"{SCHEDULER}: prediction_type '{prediction}' is not supported")
    _refuse_other_processes(config, scheduler)
    if config.get("zero_mean") and prediction != "epsilon":
        raise ModelMissing(f"{CONFIG}: zero_mean is for epsilon, not for {prediction}")
    return schedule_from_config(scheduler), prediction


def _no_weights(folder: Path, weights: Path) -> str:
    if weights.with_name(PICKLE).is_file() and weights.name != PICKLE:
        return (
            f"{folder}: holds {PICKLE}, a pickle, which is not opened unchecked; run "
            f"'reddiff models convert {folder} NEWFOLDER' if you trust it"
        )
    return f"{folder}: {weights.name} is missing; a prior must hold safetensors"


def save_prior(
    folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor], prediction: str
) -> None:
    """Write a diffusers folder for linear betas; every file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    scheduler = {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": 1000,
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "prediction_type": prediction,
    }
    write_state(folder / WEIGHTS, state)
    write_json(folder / CONFIG, dict(config))
    write_json(folder / SCHEDULER, scheduler)


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    """Networks that would load but compute something else than an unconditional prior."""
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ModelMissing(f"config.json: a {kind} is not an unconditional UNet2DModel")
    for key in ("in_channels", "block_out_channels"):
        if key not in config:
            raise ModelMissing(f"config.json: {key} is missing; fetch or convert the prior again")
    mistaken = mistyped(config)
    if mistaken:
        raise ModelMissing(f"config.json: {mistaken}; it is of the wrong kind")
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise ModelMissing("config.json: class-conditional networks are not supported")
    if is_adm_port(config):
        raise ModelMissing("config.json: attention_legacy_order needs a repair first")
    unshuffle = int(config.get("pixel_unshuffle", 1))
    if int(config["in_channels"]) not in (unshuffle**2, 3 * unshuffle**2):
        raise ModelMissing(f"config.json: {config['in_channels']} input channels; need 1 or 3")
    channels, out = int(config["in_channels"]), int(config.get("out_channels", 3))
    if out not in (channels, 2 * channels):  # the second half is a learned variance
        told = f"{channels} input and {out} output channels"
        raise ModelMissing(f"config.json: {told}; need as many, or twice as many")
    highest = config.get("highest_timestep")
    if highest is not None and not (isinstance(highest, int) and highest >= 0):
        raise ModelMissing(f"config.json: highest_timestep {highest!r}; must be 0 or more")
    zero_mean = config.get("zero_mean", False)
    if not isinstance(zero_mean, bool):
        raise ModelMissing(f"config.json: zero_mean {zero_mean!r}; must be true or false")


def _refuse_other_processes(config: Mapping[str, Any], scheduler: Mapping[str, Any]) -> None:
    """Networks that were not trained on x_t = sqrt(alpha_bar) x + sqrt(1 - alpha_bar) eps."""
    kind = str(scheduler.get("_class_name", ""))
    if config.get("time_embedding_type") == "fourier" or "Sde" in kind:
        raise ModelMissing(
            f"{CONFIG}: a score network of a stochastic differential equation (NCSN++), fed with "
            "log sigma; only networks with a table of betas (DDPM, ADM) are supported"
        )
    betas = (scheduler.get(key) for key in ("beta_start", "beta_schedule", "trained_betas"))
    if all(value is None for value in betas):
        raise ModelMissing(f"{SCHEDULER}: {kind} names no betas; only DDPM and ADM networks fit")
    if scheduler.get("rescale_betas_zero_snr"):
        raise ModelMissing(f"{SCHEDULER}: rescale_betas_zero_snr is not supported")
    if scheduler.get("use_flow_sigmas"):
        raise ModelMissing(f"{SCHEDULER}: use_flow_sigmas is not supported; it is a flow model")
