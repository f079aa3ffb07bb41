"""Linear interpolation between a few values, at every place of a picture."""

from itertools import pairwise

import torch
from torch import Tensor

# Nodes that coincide make a step.
CLOSEST = 1e-6


def tents(values: Tensor, nodes: list[float]) -> list[Tensor]:
    """Weights of a linear interpolation between increasing nodes, constant beyond them."""
    if len(nodes) == 1:
        return [torch.ones_like(values)]
    rises = [
        ((values - left) / max(right - left, CLOSEST)).clamp(0, 1)
        for left, right in pairwise(nodes)
    ]
    ends = [torch.ones_like(values), *rises, torch.zeros_like(values)]
    return [left - right for left, right in pairwise(ends)]


def interpolated(values: Tensor, nodes: Tensor, results: Tensor) -> Tensor:
    """Between results at increasing nodes, both (n,); constant beyond. Of the shape of values."""
    weights = tents(values, nodes.tolist())
    found = torch.zeros_like(values)
    for weight, result in zip(weights, results.tolist(), strict=True):
        found += result * weight
    return found
