"""Blind kernel estimates against the truth: blurred, noisy crops of the user's photographs.

    python tests/benchmarks/kernels.py FOLDER [--limit 12] [--families gaussian,motion] [--seed 0]

Blurs an area around the centre of every k-th picture (valid convolution: the border is unknown)
with the families in turn (Gaussian sigma 1.2-3, motion of 7-21 pixels at any angle, disk radius
1.5-6, sharp), takes 256x256, adds noise of 0.01 of the range, and prints truth, estimate, verdict.
"""

import argparse
import random
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from reddiff_cli.blind import SHARP, estimate_kernel
from reddiff_cli.kernels import make_kernel
from reddiff_cli.kernelspec import KernelSpec
from reddiff_cli.pictures import load_picture

SIDE, MARGIN, SIGMA_Y = 256, 16, 0.02


def crop(path: Path) -> Tensor | None:
    """(1, C, SIDE + 2 MARGIN, ...) in [-1, 1] about the centre, or None of a small picture."""
    pixels = torch.from_numpy(load_picture(path).pixels.copy()).permute(2, 0, 1)[None] * 2 - 1
    side = SIDE + 2 * MARGIN
    top, left = ((size - side) // 2 for size in pixels.shape[2:])
    if min(top, left) < 0:
        return None
    return pixels[:, :, top : top + side, left : left + side]


def degrade(x: Tensor, spec: KernelSpec, seed: int) -> Tensor:
    kernel = make_kernel(spec)
    kernel = pad(kernel, (0, 1 - kernel.shape[1] % 2, 0, 1 - kernel.shape[0] % 2))
    flipped = kernel.flip(0, 1)[None, None]
    y = conv2d(x.transpose(0, 1), flipped).transpose(0, 1)
    top, left = ((size - SIDE) // 2 for size in y.shape[2:])
    y = y[:, :, top : top + SIDE, left : left + SIDE]
    y = y + SIGMA_Y * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))
    return ((y + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def draw(family: str, dice: random.Random) -> KernelSpec:
    if family == "motion":
        return KernelSpec("motion", (round(dice.uniform(7, 21), 1), float(dice.randrange(180))))
    if family == "disk":
        return KernelSpec("disk", (round(dice.uniform(1.5, 6), 2),))
    if family == "gaussian":
        return KernelSpec("gaussian", (round(dice.uniform(1.2, 3), 2),))
    return SHARP


def hits(truth: KernelSpec, found: KernelSpec) -> tuple[bool, bool]:
    """Right family; and then parameters within 20 % and 10 degrees."""
    if truth.family != found.family:
        return False, False
    close = abs(found.parameters[0] / truth.parameters[0] - 1) <= 0.2
    if truth.family == "motion":
        turn = abs((found.parameters[1] - truth.parameters[1] + 90) % 180 - 90)
        close = close and turn <= 10
    return True, close


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--families", default="gaussian,motion")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    families_drawn = options.families.split(",")
    dice = random.Random(options.seed)
    paths = sorted(p for p in options.folder.iterdir() if p.is_file())
    crops = [(p, crop(p)) for p in paths[options.seed :: max(1, len(paths) // options.limit)]]
    crops = [(path, x) for path, x in crops if x is not None][: options.limit]
    families = parameters = sure = wrong = 0
    seconds = 0.0
    for k, (path, x) in enumerate(crops):
        truth = draw(families_drawn[k % len(families_drawn)], dice)
        y = degrade(x, truth, k)
        begin = time.perf_counter()
        found = estimate_kernel(y, SIGMA_Y)
        seconds += time.perf_counter() - begin
        family, close = hits(truth, found.spec)
        families, parameters = families + family, parameters + close
        sure += found.verdict == "sure"
        wrong += found.verdict == "sure" and not close
        scores = f"evidence {found.evidence:6.1f}  margin {found.margin:6.1f}"
        others = "  ".join(f"{spec} +{cost:.1f}" for spec, cost in found.alternatives[:2])
        name = path.stem[:24]
        print(f"{name:24}  {truth!s:16} {found.spec!s:22} {found.verdict:8}  {scores}  {others}")
    print(
        f"family {families}, parameters {parameters}, sure {sure}, of them wrong {wrong}, ", end=""
    )
    print(f"of {len(crops)}; {seconds / len(crops):.1f} s a picture")


if __name__ == "__main__":
    main()
