"""What changes while a prior is trained: weights, their average, the optimiser, randomness."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import UsageError
from .network import Network, Prior, build, layout_on, load_prior, new_config
from .optimisers import make_optimiser
from .schedule import Schedule, linear_betas
from .train_options import TrainOptions

PREDICTION_TYPE = {"v": "v_prediction", "epsilon": "epsilon"}


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
