"""Blind kernel estimates against the truth: blurred, noisy crops of the user's photographs.

    python tests/benchmarks/kernels.py FOLDER [--limit 12] [--families gaussian,motion] [--seed 0]
        [--size 256] [--noise 2.55] [--camera] [--quality 85]

Blurs an area around the centre of every k-th picture (valid convolution: the border is unknown)
with the families in turn (Gaussian sigma 1.2-3, motion of 7-21 pixels at any angle, disk radius
1.5-6, sharp), takes --size pixels a side, adds noise of --noise of 255, white or (--camera) of a
simulated mosaic (`camera.py`), writes it as PNG or (--quality) as JPEG, and prints truth, estimate
and verdict of `--kernel auto`, which hears the noise with the bundled prior.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

import torch
from camera import camera, eight_bits
from torch import Tensor
from torch.nn.functional import conv2d, pad

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.errors import PictureError
from reddiff_cli.estimation.blind import SHARP, KernelEstimate
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.kernelspec import KernelSpec
from reddiff_cli.options.tasks import DeblurOptions
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, unknown_kernel
from reddiff_cli.tasks.problem import to_pixels

MARGIN = 16
AUTO = DeblurOptions(KernelSpec("auto"))
UNTOLD = KernelEstimate(SHARP, "not sure", 0.0, 0.0)


def crop(path: Path, size: int) -> Tensor | None:
    """(1, C, size + 2 MARGIN, ...) in [-1, 1] about the centre, or None of a small picture."""
    pixels = torch.from_numpy(load_picture(path).pixels.copy()).permute(2, 0, 1)[None] * 2 - 1
    side = size + 2 * MARGIN
    top, left = ((length - side) // 2 for length in pixels.shape[2:])
    if min(top, left) < 0:
        return None
    return pixels[:, :, top : top + side, left : left + side]


def blur(x: Tensor, spec: KernelSpec, size: int) -> Tensor:
    """The middle of x, blurred."""
    kernel = make_kernel(spec)
    kernel = pad(kernel, (0, 1 - kernel.shape[1] % 2, 0, 1 - kernel.shape[0] % 2))
    flipped = kernel.flip(0, 1)[None, None]
    y = conv2d(x.transpose(0, 1), flipped).transpose(0, 1)
    top, left = ((length - size) // 2 for length in y.shape[2:])
    return y[:, :, top : top + size, left : left + size]


def noisy(y: Tensor, level: float, mosaic: bool, seed: int) -> Tensor:
    """In 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    if mosaic and y.shape[1] == 3:
        return camera(y, level, generator)
    return eight_bits(y + level / 127.5 * torch.randn(y.shape, generator=generator))


def estimate(restorer: Restorer, y: Tensor, folder: Path, quality: int) -> KernelEstimate:
    """What the command makes of a file that holds y."""
    path = folder / ("y.jpg" if quality else "y.png")
    save_picture(Picture(to_pixels(y)), path, None, quality)
    setting = Setting(restorer.card, restorer.solver, lambda _: None, restorer.machine)
    problem = unknown_kernel.pose(Job("deblur", path, path), AUTO, setting)
    drowned = problem.drowned()
    problem.accept(drowned, restorer.solve(drowned)[0])
    try:
        return problem.estimate()
    except PictureError:
        return UNTOLD


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


def is_milder(truth: KernelSpec, found: KernelSpec) -> bool:
    """A disk for a Gaussian of its width, which does no harm: 1.6 sigma, within 20 %."""
    if (truth.family, found.family) != ("gaussian", "disk"):
        return False
    return abs(found.parameters[0] / (1.6 * truth.parameters[0]) - 1) <= 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--families", default="gaussian,motion")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--noise", type=float, default=2.55)
    parser.add_argument("--camera", action="store_true")
    parser.add_argument("--quality", type=int, default=0, help="0: no JPEG")
    options = parser.parse_args()
    torch.set_num_threads(1)
    machine = MachineOptions(device="cpu")
    restorer = Restorer(
        find_model("natural"), SolverOptions(), machine, AUTO, OutputOptions(), together=False
    )
    families_drawn = options.families.split(",")
    dice = random.Random(options.seed)
    paths = sorted(p for p in options.folder.iterdir() if p.is_file())
    crops = [
        (p, crop(p, options.size))
        for p in paths[options.seed :: max(1, len(paths) // options.limit)]
    ]
    crops = [(path, x) for path, x in crops if x is not None][: options.limit]
    families = parameters = sure = wrong = mild = 0
    seconds = 0.0
    for k, (path, x) in enumerate(crops):
        truth = draw(families_drawn[k % len(families_drawn)], dice)
        y = noisy(blur(x, truth, options.size), options.noise, options.camera, k)
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = estimate(restorer, y, Path(folder), options.quality)
        seconds += time.perf_counter() - begin
        family, close = hits(truth, found.spec)
        families, parameters = families + family, parameters + close
        sure += found.verdict == "sure"
        milder = is_milder(truth, found.spec)
        mild += found.verdict == "sure" and milder
        wrong += found.verdict == "sure" and not (close or milder)
        scores = f"evidence {found.evidence:6.1f}  margin {found.margin:6.1f}"
        others = "  ".join(f"{spec} +{cost:.1f}" for spec, cost in found.alternatives[:2])
        name = path.stem[:24]
        print(f"{name:24}  {truth!s:16} {found.spec!s:22} {found.verdict:8}  {scores}  {others}")
    print(
        f"family {families}, parameters {parameters}, sure {sure}, of them wrong {wrong} "
        f"(and {mild} disks for Gaussians), ",
        end="",
    )
    print(f"of {len(crops)}; {seconds / len(crops):.1f} s a picture")


if __name__ == "__main__":
    main()
