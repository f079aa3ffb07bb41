"""The weights with which training goes on from an earlier prior, if that prior fits."""

from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UsageError
from ..networks.blocks import Layout
from ..networks.network import Network, Prior, load_prior
from ..networks.unet import UNet2D
from .grow import deepen


def first_weights(folder: Path, wanted: Prior) -> dict[str, Tensor]:
    """Weights of the prior in a folder for the network of `wanted`, which may have more layers.

    UsageError if its network has another shape, or was trained for something else.
    """
    prior = load_prior(folder)
    if prior.prediction != wanted.prediction:
        raise UsageError(f"--init {folder}: predicts {prior.prediction}; fit --prediction to it")
    theirs, ours = prior.schedule.alpha_bar, wanted.schedule.alpha_bar
    if theirs.shape != ours.shape or not torch.allclose(theirs, ours):
        raise UsageError(f"--init {folder}: its betas are not the linear ones of `reddiff train`")
    _check_layout(folder, prior.network, wanted.network)
    has, asked = (_layers(network) for network in (prior.network, wanted.network))
    if has > asked:
        raise UsageError(f"--init {folder}: give --layers {has}, as it has, or more")
    return deepen(prior.network.unet.state_dict(), wanted.network.unet.state_dict(), asked - has)


def _check_layout(folder: Path, theirs: Network, ours: Network) -> None:
    """UsageError where two networks differ in anything but their depth."""
    if not isinstance(theirs.unet, UNet2D) or not isinstance(ours.unet, UNet2D):
        raise UsageError(f"--init {folder}: another kind of network than `reddiff train` makes")
    pairs = {"pixel_unshuffle": (theirs.unshuffle, ours.unshuffle)}
    names = [each.name for each in fields(Layout) if each.name != "layers_per_block"]
    for name in ("block_out_channels", *names):  # what can be told by a flag comes first
        pairs[name] = tuple(getattr(u.layout, name) for u in (theirs.unet, ours.unet))
    for name, (has, asked) in pairs.items():
        if _listed(has) != _listed(asked):
            told = f"--init {folder}: its {name} is {has}, here {asked}"
            raise UsageError(f"{told}; only what `reddiff train` makes, in its shape, can go on")


def _layers(network: Network) -> int:
    """Residual blocks of a level, also where a configuration leaves them to the default."""
    return int(network.config.get("layers_per_block", Layout.layers_per_block))


def _listed(value: object) -> object:
    """A default is a tuple where JSON has a list."""
    return list(value) if isinstance(value, tuple) else value
