"""What turns gradients into steps: AdamW, or Muon for matrices.

Muon (Jordan et al. 2024) replaces the momentum of every matrix by the nearest orthogonal one. From
random weights it learns more in the same minutes than AdamW (figures in the model card of
`natural`). Its implementation is that of the package pytorch_optimizer.
"""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .options import TrainOptions

# Steps after which no average of an optimiser has a bias left to correct.
LONG_AGO = 10**6
# Biases and norms are no matrices: under Muon AdamW takes them, at this share of Muon's rate.
PLAIN_SHARE = 1 / 20


def make_optimiser(network: nn.Module, options: TrainOptions) -> torch.optim.Optimizer:
    """The optimiser of a run; UsageError if its package is missing.

    The rate of a group of parameters is options.rate times its "scale", if it has one.
    """
    weights = list(network.parameters())
    if options.optimiser == "adamw":
        return torch.optim.AdamW(
            weights, options.rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True
        )
    try:
        package = importlib.import_module("pytorch_optimizer")
    except ImportError as error:
        raise UsageError(
            "--optimiser muon: needs a package; run pip install 'reddiff-cli[muon]'"
        ) from error
    groups: list[dict[str, Any]] = [
        {"params": [w for w in weights if w.ndim > 1], "use_muon": True},
        {"params": [w for w in weights if w.ndim < 2], "use_muon": False, "scale": PLAIN_SHARE},
    ]
    optimiser: torch.optim.Optimizer = package.Muon(groups, lr=options.rate)
    return optimiser


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The step from now on; a group's own share of it (its "scale") is kept."""
    for group in optimiser.param_groups:
        own = rate * group.get("scale", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own


def make_recordable(optimiser: torch.optim.Optimizer, device: torch.device) -> None:
    """Let nothing that changes be a number of Python, which a recorded step would keep for ever.

    Muon counts steps in Python, to correct the averages of its plain weights while they are young;
    that correction is left to the warm-up of the rate.
    """
    for group in optimiser.param_groups:
        group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=device)
        if "capturable" in group:
            group["capturable"] = True
        else:
            group["step"] = LONG_AGO
