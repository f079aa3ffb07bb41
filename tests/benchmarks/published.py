"""RED-diff as it was published against our default: seconds and PSNR, same network, same picture.

    python tests/benchmarks/published.py FOLDER [--limit 1] [--size 128] [--steps 20]
        [--published-steps 100] [--task inpaint ...] [--dtype auto] [--noise 0]

The published form as its authors run it (Mardani et al. 2023, arXiv 2305.04391): fp32, one draw a
step, the network recorded for autograd and its output detached afterwards, mean losses, Adam with
betas (0.9, 0.99), time steps from high to low, start from the pseudo-inverse. Ours: `red_diff` at
--steps evaluations in the type that `auto` chooses. Centre crops of the first pictures of FOLDER;
inpainting of 70 % missing pixels, super-resolution x4 (mean of 4 x 4 pixels, as published), and
Gaussian blur of sigma 2 with a circular border. Both take turns, task by task.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_denoiser
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.methods import Solving, draws
from reddiff_cli.metrics import psnr
from reddiff_cli.operators import CircularBlur, Inpaint, Operator
from reddiff_cli.operators.downsample import box
from reddiff_cli.options.common import TASKS, SolverOptions
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.schedule import Schedule
from reddiff_cli.tasks import Setting, Stage
from reddiff_cli.tasks.levels import noise_levels
from reddiff_cli.tiling import Whole
from reddiff_cli.training.photographs import centre_crops, read_photographs


def published(
    y: Tensor,
    operator: Operator,
    eps_hat: Callable[[Tensor, Tensor], Tensor],
    schedule: Schedule,
    start: Tensor,
    *,
    steps: int,
    lr: float,
    weight: float,
) -> Tensor:
    """The loop of the paper's own experiments; eps_hat(x_t, t) is recorded for autograd."""
    generator = torch.Generator().manual_seed(0)
    mu = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([mu], lr=lr, betas=(0.9, 0.99), weight_decay=0.0)
    shown = start
    for t in schedule.reference_grid(steps):
        alpha_bar = schedule.alpha_bar[t].float()
        eps = torch.randn(start.shape, generator=generator)
        x_t = alpha_bar.sqrt() * mu + (1 - alpha_bar).sqrt() * eps
        difference = (eps_hat(x_t, torch.full((len(mu),), t)) - eps).detach()
        s = float(schedule.s[t])
        loss = weight * s * (difference * mu).mean() + (y - operator(mu)).square().mean() / 2
        adam.zero_grad()
        loss.backward()
        shown = mu.detach().clone()  # the last picture before its last update, as published
        adam.step()
    return shown


def damage(task: str, x: Tensor, sigma: float) -> tuple[Operator, Tensor, Tensor]:
    """The operator, what it measures of x with noise, and the start of the published form."""
    generator = torch.Generator().manual_seed(1)
    size = x.shape[2]
    if task == "inpaint":
        known = (torch.rand(1, 1, size, size, generator=generator) > 0.7).float()
        operator: Operator = Inpaint(known)
    elif task == "superres":
        operator = box(4)
    else:
        operator = CircularBlur(make_kernel(parse_kernel("gaussian:2")), (size, size))
    y = operator(x)
    y = y + sigma * torch.randn(y.shape, generator=generator)
    start = y
    if task == "inpaint":
        y = y * operator.known
        start = y
    elif task == "superres":
        start = F.interpolate(y, scale_factor=4, mode="nearest")
    else:
        # Pseudo-inverse, with the cut that the published operators make.
        transfer = operator.transfer(x)
        inverse = torch.where(transfer.abs() > 0.03, 1 / transfer, 0)
        start = torch.fft.irfft2(torch.fft.rfft2(y) * inverse, x.shape[2:])
    return operator, y, start


def ours(
    task: str,
    y: Tensor,
    operator: Operator,
    denoiser: Denoiser,
    card: Card,
    steps: int,
    sigma: float,
) -> Tensor:
    """Our default at `steps` evaluations."""
    solver = SolverOptions(steps=steps)
    start = operator.start(y)
    s_start, _ = noise_levels(task, card, sigma)
    weight = Setting(card, solver, lambda _: None).weight(task)
    stage = Stage(Whole(0), operator, y, start, s_start, sigma, weight=weight)
    *_, (_, mu) = Solving(task, stage, start, draws(start, 0), denoiser, card, solver).run()
    return mu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=1)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--published-steps", type=int, default=100)
    parser.add_argument("--task", nargs="*", default=["inpaint", "superres", "deblur"])
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--noise", type=float, default=0.0, help="of [0, 1]")
    parser.add_argument("--model", default="natural")
    asked = parser.parse_args()
    device = choose_device("cpu")
    card = find_model(asked.model)
    exact = load_denoiser(card.folder, device, torch.float32)
    fast = load_denoiser(card.folder, device, choose_dtype(asked.dtype, device))
    schedule, sigma = exact.schedule, 2 * asked.noise

    def eps_hat(x_t: Tensor, t: Tensor) -> Tensor:
        alpha_bar = schedule.alpha_bar[int(t[0])].float()
        z = x_t / alpha_bar.sqrt()
        return (z - exact.recorded(z, t)) / ((1 - alpha_bar) / alpha_bar).sqrt()

    crops = centre_crops(read_photographs(asked.folder, asked.size), asked.size)
    crops = crops[:: max(1, len(crops) // asked.limit)][: asked.limit]
    print(f"{len(crops)} crops of {asked.size}x{asked.size}, noise {asked.noise}, {card.name}")
    print(f"{'task':10}{'published s':>12}{'dB':>8}{'ours s':>9}{'dB':>8}{'times':>7}{'gain':>8}")
    for task in asked.task:
        defaults = TASKS[task]
        weight = defaults.paper_weight_noisy if sigma else defaults.paper_weight
        totals = torch.zeros(4, dtype=torch.float64)
        for x in torch.split(crops, 1):
            operator, y, start = damage(task, x, sigma)
            clock = [time.perf_counter()]
            a = published(
                y,
                operator,
                eps_hat,
                schedule,
                start,
                steps=asked.published_steps,
                lr=defaults.paper_lr,
                weight=weight,
            )
            clock.append(time.perf_counter())
            b = ours(task, y, operator, fast, card, asked.steps, sigma)
            clock.append(time.perf_counter())
            quality = [float(psnr(p.clamp(-1, 1), x)) for p in (a, b)]
            row = [clock[1] - clock[0], quality[0], clock[2] - clock[1], quality[1]]
            totals += torch.tensor(row, dtype=torch.float64) / len(crops)
        first, worse, second, better = totals.tolist()
        print(
            f"{task:10}{first:12.2f}{worse:8.2f}{second:9.2f}{better:8.2f}"
            f"{first / second:7.1f}{better - worse:+8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
