"""Weight files as dictionaries of tensors, and the two dialects that need translating.

Files of 2022 name attention layers `query`, `key`, `value`, `proj_attn`. Ports of ADM networks
(Dhariwal and Nichol 2021, arXiv 2105.05233) written by a fork of diffusers keep the rows of their
attention in ADM's order, which a stock network would read wrongly without any error.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelMissing
from ..files import replacing

State = dict[str, Tensor]
_OLD_ATTENTION = re.compile(r"(\.attentions\.\d+\.)(query|key|value|proj_attn)\.")
_NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
# What every ADM network has, and what the ports' configurations leave out or name differently.
ADM_SETTINGS = {
    "time_embedding_type": "positional",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "norm_num_groups": 32,
    "attn_norm_num_groups": 32,
    "norm_eps": 1e-5,
}


def read_state(path: Path) -> State:
    """Tensors by name, mapped from the file where possible, on the CPU.

    Safetensors, or a pickle read with weights_only=True, which runs no code from the file.
    ModelMissing if it is damaged or holds anything but tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelMissing(f"{path}: cannot be loaded ({_reason(error)})") from error
    content = _read_pickle(path)
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelMissing(
            f"{path}: not a plain state dict (names with tensors); extract it first"
        )
    return {str(key): value for key, value in content.items()}


def _read_pickle(path: Path) -> object:
    # Files older than torch 1.6 are no archives and cannot be mapped.
    mapped = zipfile.is_zipfile(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise ModelMissing(
            f"{path}: holds more than tensors, or is damaged; it is not opened, as it could run "
            "code; only plain state dicts are read"
        ) from error
    except Exception as error:  # a damaged pickle fails in any way, KeyError included
        raise ModelMissing(f"{path}: cannot be loaded ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def write_state(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write safetensors so that a reader never sees half; OSError if the disk takes them not."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {key: value.contiguous() for key, value in state.items()}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(_reason(error)) from error


def read_as_stock(path: Path, config: dict[str, Any]) -> tuple[State, dict[str, Any]]:
    """Tensors of a file and a configuration that a stock network understands, in either dialect.

    config: of the file.    ModelMissing as of `read_state`.
    """
    state = rename_old_attention(read_state(path))
    if is_adm_port(config):
        return repair_adm_state(config, state), repair_adm_config(config)
    return state, config


def rename_old_attention(state: Mapping[str, Tensor]) -> State:
    """The same tensors under today's names of attention layers."""
    return {
        _OLD_ATTENTION.sub(lambda m: f"{m[1]}{_NEW_NAMES[m[2]]}.", key): value
        for key, value in state.items()
    }


def split_heads(qkv: Tensor, head: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of ADM's joint projection, laid out (heads, {q, k, v}, head), as three matrices.

    qkv: (3 C, ...), C a multiple of `head` -> three times (C, ...), with memory of their own.
    """
    rows = qkv.reshape(-1, 3, head, *qkv.shape[1:])
    q, k, v = (rows[:, part].flatten(0, 1).clone() for part in range(3))
    return q, k, v


def is_adm_port(config: Mapping[str, Any]) -> bool:
    """True for a configuration that only a fork of diffusers understands."""
    legacy = bool(config.get("attention_legacy_order"))
    return legacy or config.get("time_embedding_type") == "adm"


def repair_adm_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration of the stock network that computes what the port was trained to compute."""
    known = {key: value for key, value in config.items() if key != "attention_legacy_order"}
    return {**known, **ADM_SETTINGS}


def repair_adm_state(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> State:
    """Weights for `repair_adm_config`; config is the port's own, and must name the head width."""
    if not config.get("attention_legacy_order"):
        return dict(state)
    head = config.get("attention_head_dim")
    if not isinstance(head, int) or head < 1:
        raise ModelMissing("config.json: attention_legacy_order needs attention_head_dim")
    repaired = dict(state)
    for key in state:
        if ".attentions." in key and ".to_q." in key:
            names = [key.replace(".to_q.", f".{part}.") for part in ("to_q", "to_k", "to_v")]
            if any(name not in state or len(state[name]) % head for name in names):
                raise ModelMissing(f"{key}: does not fit heads of {head} channels")
            joint = torch.cat([state[name] for name in names])
            repaired.update(zip(names, split_heads(joint, head), strict=True))
    return repaired
