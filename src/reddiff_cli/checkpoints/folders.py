"""Diffusers folders as files: what lies where, and what can be told without reading the weights.

Two layouts exist: config.json, scheduler_config.json and the weights side by side, or `unet/` and
`scheduler/` as in a saved pipeline.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelMissing

CONFIG, SCHEDULER = "config.json", "scheduler_config.json"
WEIGHTS, PICKLE = "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"
# How a prior is to be used, where somebody has said so; at the top of either layout.
CARD = "card.json"
FLAT = (CONFIG, SCHEDULER, WEIGHTS)
NESTED = (f"unet/{CONFIG}", f"scheduler/{SCHEDULER}", f"unet/{WEIGHTS}")


@dataclass(frozen=True)
class Parts:
    """The three files of a prior; they need not exist."""

    config: Path
    scheduler: Path
    weights: Path

    @property
    def missing(self) -> list[Path]:
        """Those that are not there."""
        return [path for path in (self.config, self.scheduler, self.weights) if not path.is_file()]


def locate(folder: Path, weights: str = WEIGHTS) -> Parts:
    """Where the parts lie in a folder of either layout; `weights` is the name of that file."""
    name = Path(weights).name
    if (folder / NESTED[0]).is_file() and not (folder / CONFIG).is_file():
        return Parts(folder / NESTED[0], folder / NESTED[1], folder / "unet" / name)
    return Parts(folder / CONFIG, folder / SCHEDULER, folder / name)


def native_size(config: Mapping[str, Any]) -> int | None:
    """Side in pixels of the pictures that a network with attention was trained on.

    None for a network without attention, which takes any size, or if the size is not written.
    ModelMissing if what is written there is of the wrong kind.
    """
    attentive = attends(config)
    try:
        size = config.get("sample_size")
        if isinstance(size, list):
            size = max(size, default=None)
        if not attentive or not size:
            return None
        return int(size) * int(config.get("pixel_unshuffle", 1))
    except (TypeError, ValueError) as error:
        raise _of_the_wrong_kind(error) from error


def attends(config: Mapping[str, Any]) -> bool:
    """True for a network with attention, which sees all of a picture at once.

    ModelMissing if what is written of its blocks is of the wrong kind.
    """
    try:
        kinds = [*config.get("down_block_types", ()), *config.get("up_block_types", ())]
        return bool(config.get("add_attention", True)) or any("Attn" in kind for kind in kinds)
    except TypeError as error:
        raise _of_the_wrong_kind(error) from error


def _of_the_wrong_kind(error: Exception) -> ModelMissing:
    told = f"{CONFIG}: its blocks or sizes are of the wrong kind ({error})"
    return ModelMissing(f"{told}; fetch or convert the prior again")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ModelMissing if the file is absent or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelMissing(f"{path}: missing; give a diffusers folder or a model name") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelMissing(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ModelMissing(f"{path}: does not hold a JSON object")
    return content
