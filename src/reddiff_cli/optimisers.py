"""What turns gradients into steps: AdamW, or Muon for matrices.

Muon (Jordan et al. 2024) replaces the momentum of every matrix by the nearest orthogonal one. From
random weights it learns more in the same minutes than AdamW (figures in the model card of
`natural`). Its implementation is that of the package pytorch_optimizer.
"""

import importlib
from typing import Any

import torch
from torch import nn

from .errors import UsageError
from .train_options import TrainOptions

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
