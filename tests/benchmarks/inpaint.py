"""Randomly missing pixels: our default against the published form, on the user's photographs.

    python tests/benchmarks/inpaint.py FOLDER [--limit 8] [--missing 0.7] [--published]
        [--model natural]

Takes the centre 256x256 crop of every k-th picture of FOLDER, hides pixels at random, and prints
mean PSNR and SSIM of each method on the whole crop, its network evaluations, seconds per picture,
and the ratio of its seconds to those of our default at 20 evaluations.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from skimage.restoration import inpaint_biharmonic
from torch import Tensor

from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_denoiser
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.methods import Solving
from reddiff_cli.metrics import psnr, ssim
from reddiff_cli.operators import Inpaint
from reddiff_cli.options.common import TASKS, SolverOptions
from reddiff_cli.solvers.given import Given
from reddiff_cli.solvers.reddiff import red_diff_paper
from reddiff_cli.tasks import Setting, Stage
from reddiff_cli.tasks.levels import noise_levels
from reddiff_cli.tiling import Whole
from reddiff_cli.training.photographs import centre_crops, read_photographs

Method = Callable[[Tensor, Inpaint, float], Tensor]


def ours(denoiser: Denoiser, card: Card, steps: int) -> Method:
    solver = SolverOptions(steps=steps)
    setting = Setting(card, solver, lambda _: None)

    def run(y: Tensor, operator: Inpaint, sigma_y: float) -> Tensor:
        start = operator.start(y)
        s_start, s_end = noise_levels("inpaint", card, sigma_y)
        weight = setting.weight("inpaint", float(operator.known.mean()))
        stage = Stage(Whole(0), operator, y, start, s_start, sigma_y, s_end, weight)
        return last(Solving("inpaint", stage, start, draws(start), denoiser, card, solver).run())

    return run


def published(denoiser: Denoiser, steps: int, lr: float | None = None) -> Method:
    defaults = TASKS["inpaint"]

    def run(y: Tensor, operator: Inpaint, sigma_y: float) -> Tensor:
        weight = defaults.paper_weight_noisy if sigma_y else defaults.paper_weight
        settings = {"steps": steps, "lr": lr or defaults.paper_lr, "prior_weight": weight}
        given = Given(y, operator, denoiser, denoiser.schedule, y, draws(y))
        return last(red_diff_paper(given, **settings))

    return run


def smooth(y: Tensor, operator: Inpaint, sigma_y: float) -> Tensor:
    return operator.start(y)


def biharmonic(y: Tensor, operator: Inpaint, sigma_y: float) -> Tensor:
    picture = y[0].permute(1, 2, 0).double().numpy()
    hole = operator.known[0, 0].numpy() == 0
    filled = inpaint_biharmonic(picture, hole, channel_axis=-1)
    return torch.from_numpy(np.asarray(filled)).permute(2, 0, 1)[None].float()


def draws(like: Tensor) -> Callable[[], Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda: torch.randn(like.shape, generator=generator).to(like.device)


def last(iterator: Iterator[tuple[int, Tensor]]) -> Tensor:
    *_, (_, mu) = iterator
    return mu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--missing", type=float, default=0.7)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.05])
    parser.add_argument("--steps", type=int, nargs="*", default=[20, 50])
    parser.add_argument("--model", default="natural")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--published", action="store_true", help="the published form, too")
    asked = parser.parse_args()

    card = find_model(asked.model)
    device = choose_device(asked.device)
    denoiser = load_denoiser(card.folder, device, choose_dtype("auto", device))
    crops = centre_crops(read_photographs(asked.folder, 256), 256)
    crops = crops[:: max(1, len(crops) // asked.limit)][: asked.limit]
    methods: list[tuple[str, int, Method]] = [
        (f"ours, {steps}", steps, ours(denoiser, card, steps)) for steps in asked.steps
    ]
    if asked.published:
        methods += [
            ("paper, 100", 100, published(denoiser, 100)),
            ("paper, 100, lr 0.1", 100, published(denoiser, 100, 0.1)),
        ]
    methods += [
        ("start (smooth filling)", 0, smooth),
        ("biharmonic (scikit-image)", 0, biharmonic),
    ]
    print(f"{len(crops)} crops of 256x256, {asked.missing:.0%} missing, {card.name} on {device}")
    denoiser(crops[:2].to(device), torch.tensor([9, 9], device=device))  # warm-up
    for noise in asked.noise:
        print(f"\nnoise {noise:g}")
        print(f"{'method':28}{'PSNR':>7}{'SSIM':>8}{'evals':>7}{'s':>8}{'ratio':>7}")
        reference = None
        for name, evaluations, method in methods:
            rows, seconds = [], []
            for number, x in enumerate(torch.split(crops, 1)):
                generator = torch.Generator().manual_seed(number)
                known = (torch.rand(1, 1, 256, 256, generator=generator) >= asked.missing).float()
                operator = Inpaint(known.to(device))
                noisy = x + 2 * noise * torch.randn(x.shape, generator=generator)
                y = operator(noisy.to(device))
                began = time.perf_counter()
                restored = method(y, operator, 2 * noise).cpu().clamp(-1, 1)
                seconds.append(time.perf_counter() - began)
                rows.append((psnr(restored, x).item(), ssim(restored, x).item()))
            spent = float(np.mean(seconds))
            reference = reference or spent
            quality = np.mean(rows, axis=0)
            print(
                f"{name:28}{quality[0]:7.2f}{quality[1]:8.4f}{evaluations:7d}{spent:8.2f}"
                f"{spent / reference:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
