"""What changes while a prior is trained: weights, their average, the optimiser, randomness."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..machine.computing import cpu_has_bf16
from ..networks.network import Network, Prior, build, new_config
from ..schedule import Schedule, linear_betas
from ..signatures import NetworkFunction
from .first_weights import first_weights
from .loss import Batch, denoising_loss, timesteps
from .optimisers import make_optimiser, make_recordable
from .options import TrainOptions
from .recorded_step import RecordedStep

# Milliseconds of a step of 64 crops of 128x128 on an H200 (48-64-96-128-192, 1 layer, Muon): 43 in
# the layout of eager CUDA, 33 in channels_last, 30 where all of the network must be in it.
COMPILED: dict[str, str | int | bool | Callable[..., Any]] = {"force_layout_optimization": True}
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
    forward: NetworkFunction  # the network, compiled or as it is
    running_loss: Tensor
    learn: Callable[[Batch], Tensor] = field(init=False)
    step: int = 0
    seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.learn = self.learn_once
        if self.device.type == "cuda":
            make_recordable(self.optimiser, self.device)
            self.learn = RecordedStep(self.learn_once)

    def learn_once(self, batch: Batch) -> Tensor:
        """One step of the optimiser, as it is; returns the loss."""
        sixteen_bits = in_sixteen_bits(self.device)
        loss = denoising_loss(self.forward, batch, self.options, sixteen_bits)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    def prior(self) -> Prior:
        """The averaged weights as a prior of their own memory."""
        network = build(self.network.config)
        network.unet.load_state_dict({key: value.clone() for key, value in self.average.items()})
        network.eval().requires_grad_(False)
        return Prior(network, self.schedule, PREDICTION_TYPE[self.options.prediction])


def in_sixteen_bits(device: torch.device) -> bool:
    """Whether products of a training on this device run in bf16."""
    return device.type == "cuda" or cpu_has_bf16()


def new_trainer(options: TrainOptions, device: torch.device) -> Trainer:
    """A trainer with random weights, or those of options.init; randomness from options.seed."""
    torch.manual_seed(options.seed)
    config = new_config(
        options.channels, options.layers, options.size, options.unshuffle, options.groups
    )
    schedule = linear_betas()
    config["highest_timestep"] = int(timesteps(schedule, torch.tensor([options.s_max]))[0])
    config["zero_mean"] = options.prediction == "epsilon"
    network = build(config)
    if options.init is not None:
        wanted = Prior(network, schedule, PREDICTION_TYPE[options.prediction])
        network.unet.load_state_dict(first_weights(options.init, wanted))
    network = network.to(device)
    # Noise levels near the data need weights of 32 bits; only the products run in 16.
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
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
        schedule,
        device,
        torch.compile(network, dynamic=False, options=COMPILED) if compiled else network,
        torch.zeros((), device=device),
    )
