"""A deeper network that says at first what a shallower one says: training goes on where it ended.

Net2DeeperNet (Chen, Goodfellow and Shlens 2016, arXiv 1511.05641): new layers are identities. A
residual block is one when its last convolution is zero and its shortcut hands on its input; on
the way up, where it also sees what was skipped, its shortcut hands on the rest.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.resnets\.(\d+)\.(.+)")


def deepen(
    state: Mapping[str, Tensor], fresh: Mapping[str, Tensor], more: int
) -> dict[str, Tensor]:
    """Weights of `fresh`, a random network with `more` layers per block, that compute as `state`.

    New blocks come last on the way down; on the way up after the first one, so that every old
    block sees the same two inputs as before.
    """
    grown = {_name_in_deeper(key, more): value for key, value in state.items()}
    for key, value in fresh.items():
        if key not in grown:
            grown[key] = _identity(key, value)
    return grown


def _name_in_deeper(key: str, more: int) -> str:
    """The name of an old weight in the deeper network."""
    found = _BLOCK.fullmatch(key)
    if found is None or found[1] == "down" or found[3] == "0":
        return key
    return f"up_blocks.{found[2]}.resnets.{int(found[3]) + more}.{found[4]}"


def _identity(key: str, value: Tensor) -> Tensor:
    """A weight of a new block, as far as it decides what the block says."""
    if ".conv2." in key or key.endswith("conv_shortcut.bias"):
        return torch.zeros_like(value)
    if key.endswith("conv_shortcut.weight"):
        handed_on = torch.zeros_like(value)
        handed_on[:, : len(value), 0, 0] = torch.eye(len(value))
        return handed_on
    return value
