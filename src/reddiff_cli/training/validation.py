"""How good a prior is: denoising PSNR on photographs, and whether its colours hold still.

FFDNet (Zhang, Zuo and Zhang 2018), the classical yardstick, reaches 35.25 / 32.90 / 29.69 dB at
sigma 15 / 25 / 50 on the centre 256x256 crops of the 67 validation photographs.
"""

import torch
from torch import Tensor

from ..metrics import psnr
from ..schedule import Schedule
from ..signatures import DenoiseFunction

SIGMAS = (15, 25, 50)
COLOUR_LEVELS = (0.3, 1.0, 3.0)
SIDE = 128  # of the constant pictures


def denoising_psnr(
    denoiser: DenoiseFunction, schedule: Schedule, crops: Tensor
) -> dict[str, float]:
    """Mean PSNR in dB of D at each of SIGMAS (of 255) over crops (N, 3, H, W) in [-1, 1]."""
    result = {}
    for sigma in SIGMAS:
        t = schedule.nearest_t(2 * sigma / 255)
        generator = torch.Generator().manual_seed(sigma)
        total = 0.0
        for x in torch.split(crops, 1):
            noise = torch.randn(x.shape, generator=generator).to(x.device)
            restored = denoiser(x + 2 * sigma / 255 * noise, torch.tensor([t], device=x.device))
            total += psnr(restored.clamp(-1, 1), x).item()
        result[str(sigma)] = total / len(crops)
    return result


def colour_error(
    denoiser: DenoiseFunction, schedule: Schedule, device: torch.device
) -> dict[str, float]:
    """Rms error (of 255) of the mean colour of D on 20 noisy constant pictures, per level s."""
    generator = torch.Generator().manual_seed(20)
    colours = torch.rand(20, 3, 1, 1, generator=generator) * 2 - 1
    result = {}
    for level in COLOUR_LEVELS:
        t = schedule.nearest_t(level)
        s = float(schedule.s[t])
        noise = torch.randn(20, 3, SIDE, SIDE, generator=generator)
        z = (colours + s * noise).to(device)
        mean = denoiser(z, torch.full((20,), t, device=device)).mean((2, 3), keepdim=True).cpu()
        result[f"{level:g}"] = float((mean - colours).square().mean().sqrt()) * 127.5
    return result
