"""A diffusers folder as a network: reading, writing, and what its output means.

A folder holds `config.json` (UNet2DModel), `scheduler_config.json` and
`diffusion_pytorch_model.safetensors`. One key of ours may stand in `config.json`:
`pixel_unshuffle` = f, for a UNet that sees every f x f block of pixels as f^2 channels
(FFDNet, Zhang, Zuo and Zhang 2018, arXiv 1710.04026): 1/f of the resolution, f times the view.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import ModelMissing
from .schedule import Schedule, schedule_from_config

WEIGHTS = "diffusion_pytorch_model.safetensors"
PREDICTIONS = ("epsilon", "v_prediction", "sample")


class Network(nn.Module):
    """A UNet2DModel behind pixel-unshuffle; output channels beyond C (learned variance) are cut.

    forward: x_t (B, C, H, W), t (B,) integers -> (B, C, H, W), H and W multiples of `multiple`.
    """

    def __init__(self, unet: nn.Module, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.unet = unet
        self.config = dict(config)
        self.unshuffle = int(config.get("pixel_unshuffle", 1))
        self.channels = int(config["in_channels"]) // self.unshuffle**2
        self.multiple = self.unshuffle * 2 ** (len(config["block_out_channels"]) - 1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        x = F.pixel_unshuffle(x_t, self.unshuffle) if self.unshuffle > 1 else x_t
        channels = x.shape[1]
        x = x.contiguous(memory_format=torch.channels_last)
        out: Tensor = self.unet(x, t, return_dict=False)[0][:, :channels]
        return F.pixel_shuffle(out, self.unshuffle) if self.unshuffle > 1 else out


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


def build(config: Mapping[str, Any]) -> Network:
    """Network with random weights for a `config.json`; ModelMissing if it cannot be expressed."""
    from diffusers import UNet2DModel

    known = {
        key: value
        for key, value in config.items()
        if not key.startswith("_") and key != "pixel_unshuffle"
    }
    _refuse_unsupported(config)
    try:
        unet = UNet2DModel(**known)
    except (TypeError, ValueError, UnboundLocalError) as error:
        raise ModelMissing(f"config.json: diffusers cannot build it ({error})") from error
    return Network(unet, config)


def load_prior(folder: Path) -> Prior:
    """Network, schedule and prediction type of a diffusers folder, on the CPU in fp32.

    ModelMissing when a file is absent, damaged or of a kind that is not supported.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = _read_json(folder / "config.json")
    scheduler = _read_json(folder / "scheduler_config.json")
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ModelMissing(f"{folder}: {WEIGHTS} is missing; a prior must hold safetensors")
    prediction = str(scheduler.get("prediction_type", "epsilon"))
    if prediction not in PREDICTIONS:
        raise ModelMissing(f"{folder}: prediction_type '{prediction}' is not supported")
    try:
        schedule = schedule_from_config(scheduler)
        network = build(config)
        state = {key: value.float() for key, value in load_file(weights).items()}
        network.unet.load_state_dict(state, assign=True)
    except (SafetensorError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelMissing(f"{folder}: the prior cannot be loaded ({reason})") from error
    network.eval().requires_grad_(False)
    return Prior(network, schedule, prediction)


def save_prior(
    folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor], prediction: str
) -> None:
    """Write a diffusers folder for linear betas; every file appears whole or not at all."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    scheduler = {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": 1000,
        "beta_start": 1e-4,
        "beta_end": 0.02,
        "beta_schedule": "linear",
        "prediction_type": prediction,
    }
    temporary = folder / (WEIGHTS + ".tmp")
    save_file({key: value.contiguous() for key, value in state.items()}, temporary)
    temporary.replace(folder / WEIGHTS)
    write_json(folder / "config.json", dict(config))
    write_json(folder / "scheduler_config.json", scheduler)


def write_json(path: Path, content: object) -> None:
    """Write JSON through a temporary file, so that a reader never sees half of it."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelMissing(f"{path}: missing; give a diffusers folder or a model name") from error
    except (OSError, ValueError) as error:
        raise ModelMissing(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ModelMissing(f"{path}: does not hold a JSON object")
    return content


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    """Networks that would load but compute something else than an unconditional prior."""
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ModelMissing(f"config.json: a {kind} is not an unconditional UNet2DModel")
    if config.get("class_embed_type") or config.get("num_class_embeds"):
        raise ModelMissing("config.json: class-conditional networks are not supported")
    if config.get("attention_legacy_order"):
        raise ModelMissing("config.json: attention_legacy_order needs a conversion first")
    unshuffle = int(config.get("pixel_unshuffle", 1))
    if int(config.get("in_channels", 3)) not in (unshuffle**2, 3 * unshuffle**2):
        raise ModelMissing(f"config.json: {config['in_channels']} input channels; need 1 or 3")
