"""What a prior is trained to do: to predict v or epsilon at random noise levels.

v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x (Salimans and Ho 2022, arXiv 2202.00512). The
logarithm of a crop's error makes every noise level and every crop count the same, as they do in a
mean of decibels; a plain mean follows levels near the data, where nothing can be predicted. By
min-SNR (Hang et al. 2023, arXiv 2303.09556) the squared error of x counts 1 / s^2, and 5 at most.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..machine.transfer import send
from ..schedule import Schedule
from ..signatures import NetworkFunction
from .options import TrainOptions

# What the logarithm of an error never falls below: bytes are not known any better.
LOG_FLOOR = 1e-6
# Levels s at which most of a restoration happens.
FOCUS = (0.05, 1.0)
# Largest weight of the error of x under min-SNR, as in the paper.
LARGEST_SNR = 5.0


@dataclass(frozen=True)
class Batch:
    """What the network sees and what it should say; all on the network's device.

    x_t, target: (B, 3, H, W).    t: (B,), integers.    alpha_bar: (B, 1, 1, 1).
    """

    x_t: Tensor
    target: Tensor
    t: Tensor
    alpha_bar: Tensor


def draw_batch(
    x: Tensor, schedule: Schedule, options: TrainOptions, generator: torch.Generator
) -> Batch:
    """Crops with noise of random levels.

    x: (B, 3, H, W) in [-1, 1] on the network's device.    generator: on the CPU.
    """
    s = draw_levels(options, len(x), generator)
    t = timesteps(schedule, s)
    alpha_bar = send(schedule.alpha_bar[t].float()[:, None, None, None], x.device)
    eps = draw_noise(x, generator)
    x_t = alpha_bar.sqrt() * x + (1 - alpha_bar).sqrt() * eps
    target = eps
    if options.prediction == "v":
        target = alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * x
    return Batch(x_t, target, send(t, x.device), alpha_bar)


def timesteps(schedule: Schedule, s: Tensor) -> Tensor:
    """The first time steps at least as noisy as the levels s, (B,)."""
    return torch.searchsorted(schedule.s, s.to(schedule.s)).clamp(max=len(schedule.s) - 1)


def denoising_loss(
    network: NetworkFunction, batch: Batch, options: TrainOptions, sixteen_bits: bool
) -> Tensor:
    """The mean over crops of the squared error of the network's own target, or of its logarithm.

    No tensor changes its shape or waits for the device, so that it can be recorded.
    """
    with torch.autocast(batch.x_t.device.type, torch.bfloat16, enabled=sixteen_bits):
        out = network(batch.x_t, batch.t)
    errors: Tensor = (out.float() - batch.target).square().mean((1, 2, 3))
    if options.loss == "log":
        errors = (errors + LOG_FLOOR).log()
    elif options.loss == "min-snr":
        errors = errors * _min_snr(batch.alpha_bar.flatten(), options.prediction)
    return errors.mean()


def _min_snr(alpha_bar: Tensor, prediction: str) -> Tensor:
    """min(SNR, 5) times what turns a squared error of v or epsilon into one of x, (B,)."""
    snr = alpha_bar / (1 - alpha_bar)
    to_x = 1 - alpha_bar if prediction == "v" else 1 / snr
    return snr.clamp(max=LARGEST_SNR) * to_x


def draw_levels(options: TrainOptions, count: int, generator: torch.Generator) -> Tensor:
    """Noise levels s, (count,) float64: log-uniform, a share `focus` of them in FOCUS alone."""
    coin, place = torch.rand(2, count, generator=generator, dtype=torch.float64)
    inner = coin < options.focus
    low = torch.where(inner, FOCUS[0], options.s_min).double()
    high = torch.where(inner, FOCUS[1], options.s_max).double()
    levels: Tensor = low * (high / low) ** place
    return levels


def draw_noise(like: Tensor, generator: torch.Generator) -> Tensor:
    """N(0, I) of a tensor's shape on its device; decided by the generator, which is on the CPU."""
    if like.device.type == "cpu":
        return torch.randn(like.shape, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    there = torch.Generator(like.device).manual_seed(seed)
    return torch.randn(like.shape, generator=there, device=like.device)
