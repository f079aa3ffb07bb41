"""How well the noise of a photograph is estimated, and what a wrong estimate costs.

    python tests/benchmarks/noise.py FOLDER [--limit 24] [--size 256] [--restore]

Adds white noise to the centres of --limit photographs, clips and rounds to 8 bits, and prints
mean, largest and rms error of the estimate, of 255, in colour and in grey. --restore: PSNR of
`denoise`, and of `deblur` of gaussian:1, at 20 evaluations, with the true noise and the estimate.
"""

import argparse
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from tune import restored

from reddiff_cli.degrade import degrade
from reddiff_cli.eval_options import Case, make_case
from reddiff_cli.jobs import list_pictures
from reddiff_cli.metrics import psnr
from reddiff_cli.models import find_model
from reddiff_cli.noise import FLOOR, estimate_noise
from reddiff_cli.options import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.pictures import load_picture
from reddiff_cli.restore import Restorer

LEVELS = (0, 1, 2, 5, 10, 25, 50)
RESTORED = (2, 5, 10)


def noisy(x: Tensor, level: int, generator: torch.Generator) -> Tensor:
    """8-bit values of x with this noise, in [-1, 1]."""
    z = x + level / 127.5 * torch.randn(x.shape, generator=generator)
    return ((z.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def estimates(pictures: list[Tensor], name: str) -> None:
    for level in LEVELS:
        generator = torch.Generator().manual_seed(0)
        found = torch.tensor(
            [255 * estimate_noise(noisy(x, level, generator)).sigma for x in pictures]
        )
        error = (found - max(level, FLOOR)).square().mean().sqrt()
        print(f"{name:7} {level:3}  mean {found.mean():5.2f}  max {found.max():5.1f}", end="")
        print(f"  rms error {error:.2f}", flush=True)


def cost(paths: list[Path], size: int) -> None:
    first = make_case("denoise", {}, 0.0).options
    machine = MachineOptions(device="cpu")
    restorer = Restorer(
        find_model("natural"), SolverOptions(), machine, first, OutputOptions(), together=False
    )

    def quality(case: Case, noise: float | str) -> float:
        solver = SolverOptions(steps=20, noise=noise)
        specimens = (degrade(load_picture(path), case, size, 0) for path in paths)
        return fmean(float(psnr(restored(restorer, case, s, solver), s.truth)) for s in specimens)

    for task, flags in (("denoise", {}), ("deblur", {"kernel": "gaussian:1"})):
        for level in RESTORED:
            case = make_case(task, flags, level / 255)
            right, guessed = quality(case, level / 255), quality(case, "auto")
            print(f"{task} {level}: true noise {right:.2f} dB, estimated {guessed:.2f} dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--restore", action="store_true")
    asked = parser.parse_args()
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    if asked.restore:
        cost(paths, asked.size)
        return
    case = make_case("denoise", {}, 0.0)
    pictures = [degrade(load_picture(path), case, asked.size, 0).truth for path in paths]
    estimates(pictures, "colour")
    estimates([x.mean(1, keepdim=True) for x in pictures], "grey")


if __name__ == "__main__":
    main()
