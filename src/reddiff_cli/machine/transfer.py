"""Small tensors on their way from the CPU to a device, without anybody waiting."""

import torch
from torch import Tensor


def send(x: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on a device.

    A GPU copies pinned memory when it comes to it; from other memory the copy would first wait for
    all work that was queued before.
    """
    if device.type == "cuda":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)
