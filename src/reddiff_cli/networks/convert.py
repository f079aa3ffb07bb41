"""guided-diffusion files as diffusers folders (ADM, Dhariwal and Nichol 2021, arXiv 2105.05233).

The networks that RED-diff was published with come as bare weights: what they compute is not
written in them, so the family is named, and everything else follows from it. The result is a stock
`UNet2DModel`; names, heads and settings are translated, no number is changed.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.folders import CARD, CONFIG, PICKLE, SCHEDULER, WEIGHTS, locate, read_json
from ..errors import ModelMissing, UsageError
from ..files import write_json
from .network import build, damage_told, read_process
from .weights import ADM_SETTINGS, State, read_as_stock, read_state, split_heads, write_state

Pairs = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class Family:
    """What the weights do not say. attention: levels (0 = full resolution) that have it."""

    channels: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    size: int = 256
    head: int = 64

    @property
    def levels(self) -> int:
        """Number of resolutions."""
        return len(self.multipliers)


# ADM attends at 32, 16 and 8 pixels of 256; the FFHQ network (Chung et al. 2022, arXiv 2209.14687)
# at 16 alone.
_ADM_256 = Family(256, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5))
FAMILIES = {
    "imagenet256": _ADM_256,
    "lsun256": _ADM_256,
    "ffhq256": Family(128, (1, 1, 2, 2, 4, 4), 1, (4,)),
}
ADM_SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
    "variance_type": "learned_range",
}


def adm_config(family: Family) -> dict[str, Any]:
    """`config.json` of the stock network; 6 output channels, of which the first 3 are epsilon."""
    attends = [level in family.attention for level in range(family.levels)]
    down = ["AttnDownBlock2D" if yes else "ResnetDownsampleBlock2D" for yes in attends]
    up = ["AttnUpBlock2D" if yes else "ResnetUpsampleBlock2D" for yes in reversed(attends)]
    return {
        "_class_name": "UNet2DModel",
        "sample_size": family.size,
        "in_channels": 3,
        "out_channels": 6,
        "block_out_channels": [family.channels * factor for factor in family.multipliers],
        "layers_per_block": family.blocks,
        "down_block_types": down,
        "up_block_types": up,
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "resnet_time_scale_shift": "scale_shift",
        "attention_head_dim": family.head,
        "act_fn": "silu",
        **ADM_SETTINGS,
    }


def convert_state(state: Mapping[str, Tensor], family: Family) -> State:
    """Weights of `adm_config(family)`, fp32, from those of guided-diffusion.

    ModelMissing if a name or shape does not fit the family: then it is another network.
    """
    if "label_emb.weight" in state:
        raise ModelMissing("label_emb.weight: a class-conditional network; not supported")
    found: State = {}
    left = dict(state)
    try:
        for old, new in _layers(family):
            for kind in ("weight", "bias"):
                found[f"{new}.{kind}"] = left.pop(f"{old}.{kind}").float()
        for old, new in _attentions(family):
            for kind in ("weight", "bias"):
                qkv = left.pop(f"{old}.qkv.{kind}").float()
                shape = (len(qkv), -1) if kind == "weight" else (-1,)
                parts = split_heads(qkv.reshape(shape), family.head)
                found.update(zip(_names(new, kind), parts, strict=True))
                output = left.pop(f"{old}.proj_out.{kind}").float()
                found[f"{new}.to_out.0.{kind}"] = output.flatten(1) if kind == "weight" else output
        for old, new in _shortcuts(family):
            for kind in ("weight", "bias"):
                if f"{old}.{kind}" in left:
                    found[f"{new}.{kind}"] = left.pop(f"{old}.{kind}").float()
    except KeyError as error:
        raise ModelMissing(f"{error.args[0]} is missing; the family is another one") from error
    except RuntimeError as error:
        reason = f"its attention has other heads; the family is another one ({error})"
        raise ModelMissing(reason) from error
    if left:
        raise ModelMissing(f"{min(left)} has no place in it; the family is another one")
    _check_shapes(found, adm_config(family))
    return found


def convert_file(source: Path, folder: Path, family: str) -> Path:
    """Write a guided-diffusion file as a diffusers folder, which appears whole or not at all."""
    if family not in FAMILIES:
        raise ModelMissing(f"family '{family}': unknown; use {', '.join(FAMILIES)}")
    _refuse_existing(folder)
    try:
        state = convert_state(read_state(source), FAMILIES[family])
    except ModelMissing as error:
        message = str(error)
        if message.startswith(str(source)):
            raise
        raise ModelMissing(f"{source}: not a network of family {family}: {message}") from error
    return _write(folder, adm_config(FAMILIES[family]), ADM_SCHEDULER, state)


def convert_folder(source: Path, folder: Path) -> Path:
    """Write a diffusers folder anew as safetensors, with names and order of today.

    The source may hold a pickle (read as plain tensors, never run) or a port of an ADM network.
    ModelMissing, and nothing is written, if `load_prior` would refuse what is.
    """
    _refuse_existing(folder)
    parts = locate(source)
    if not parts.weights.is_file():
        parts = locate(source, PICKLE)
    config, scheduler = read_json(parts.config), read_json(parts.scheduler)
    if not parts.weights.is_file():
        raise ModelMissing(f"{source}: neither {WEIGHTS} nor {PICKLE} is there")
    with damage_told(source):
        read_process(config, scheduler)
        state, config = read_as_stock(parts.weights, config)
        _check_shapes(state, config)
    card = read_json(source / CARD) if (source / CARD).is_file() else {}
    return _write(folder, config, scheduler, state, card)


def _write(
    folder: Path,
    config: Mapping[str, Any],
    scheduler: Mapping[str, Any],
    state: State,
    card: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """All files in a folder of another name, which then takes its own; card: if it has one."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        write_state(temporary / WEIGHTS, state)
        write_json(temporary / CONFIG, dict(config))
        write_json(temporary / SCHEDULER, dict(scheduler))
        if card:
            write_json(temporary / CARD, dict(card))
        temporary.rename(folder)
    except OSError as error:
        # Another process may have been faster; its folder holds the same.
        if not (folder / WEIGHTS).is_file():
            reason = error.strerror or error
            raise ModelMissing(f"{folder}: cannot be written ({reason})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise UsageError(f"{folder}: exists already; give a new folder")


def _check_shapes(state: State, config: Mapping[str, Any]) -> None:
    """ModelMissing at the first tensor that is not exactly what the stock network holds, or if it
    is no prior.
    """
    with torch.device("meta"):
        expected = build(config, len(state)).unet.state_dict()
    for key in sorted(expected.keys() | state.keys()):
        theirs = tuple(state[key].shape) if key in state else None
        ours = tuple(expected[key].shape) if key in expected else None
        if theirs != ours:
            raise ModelMissing(f"{key} has shape {theirs}, the network has {ours}")


def _names(attention: str, kind: str) -> list[str]:
    return [f"{attention}.{part}.{kind}" for part in ("to_q", "to_k", "to_v")]


def _residuals(family: Family) -> Pairs:
    """Residual blocks, also those that change the resolution: old and new prefix."""
    n, last = 1, family.levels - 1
    for level in range(family.levels):
        for block in range(family.blocks):
            yield f"input_blocks.{n}.0", f"down_blocks.{level}.resnets.{block}"
            n += 1
        if level < last:
            yield f"input_blocks.{n}.0", f"down_blocks.{level}.downsamplers.0"
            n += 1
    yield "middle_block.0", "mid_block.resnets.0"
    yield "middle_block.2", "mid_block.resnets.1"
    n = 0
    for step, level in enumerate(reversed(range(family.levels))):
        for block in range(family.blocks + 1):
            yield f"output_blocks.{n}.0", f"up_blocks.{step}.resnets.{block}"
            n += 1
        if step < last:
            place = 2 if level in family.attention else 1
            yield f"output_blocks.{n - 1}.{place}", f"up_blocks.{step}.upsamplers.0"


def _attentions(family: Family) -> Pairs:
    """Attention layers: each follows a residual block of a level that has attention."""
    yield "middle_block.1", "mid_block.attentions.0"
    attending_up = {family.levels - 1 - level for level in family.attention}
    for old, new in _residuals(family):
        side, level, kind, *block = new.split(".")
        attending = family.attention if side == "down_blocks" else attending_up
        if kind == "resnets" and side != "mid_block" and int(level) in attending:
            yield old[:-1] + "1", f"{side}.{level}.attentions.{block[0]}"


def _layers(family: Family) -> Pairs:
    """Layers that are copied as they are."""
    yield "time_embed.0", "time_embedding.linear_1"
    yield "time_embed.2", "time_embedding.linear_2"
    yield "input_blocks.0.0", "conv_in"
    yield "out.0", "conv_norm_out"
    yield "out.2", "conv_out"
    for old, new in _residuals(family):
        yield f"{old}.in_layers.0", f"{new}.norm1"
        yield f"{old}.in_layers.2", f"{new}.conv1"
        yield f"{old}.emb_layers.1", f"{new}.time_emb_proj"
        yield f"{old}.out_layers.0", f"{new}.norm2"
        yield f"{old}.out_layers.3", f"{new}.conv2"
    for old, new in _attentions(family):
        yield f"{old}.norm", f"{new}.group_norm"


def _shortcuts(family: Family) -> Pairs:
    """Convolutions around residual blocks, there only where the width changes."""
    for old, new in _residuals(family):
        yield f"{old}.skip_connection", f"{new}.conv_shortcut"
