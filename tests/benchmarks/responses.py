"""How often `deblur --response auto` tells rightly whether light or values were blurred.

    python tests/benchmarks/responses.py FOLDER [--limit 24] [--size 208] [--only curved]

The centres of --limit photographs are blurred in light and in values by KERNELS and along PATHS,
get white noise, and are rounded to 8 bits, or written as JPEG. Prints how many are told rightly in
each way, and of those that were not, which were blurred in light.
"""

import argparse
import itertools
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from camera import eight_bits
from torch import Tensor

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.evaluation.degrade import degrade
from reddiff_cli.evaluation.options import make_case
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import list_pictures
from reddiff_cli.tasks.blurred_light import AUTO, LIGHT, VALUES, choose_response
from reddiff_cli.tasks.origin import find_origin
from reddiff_cli.tasks.problem import to_pixels, to_tensor
from reddiff_cli.tasks.setting import Setting

KERNELS = ("motion:9,30", "motion:13,25", "disk:3")
# Shaken hands: length in pixels, and seed.
PATHS = ((10, 1), (16, 2), (24, 3), (24, 4), (40, 5))
SAMPLES = 2000
Way = tuple[float, int | None]
# Standard deviation of the noise, and quality of the JPEG.
WAYS: tuple[Way, ...] = ((0.004, None), (0.02, None), (0.004, 90), (0.004, 75))


def save_path(length: int, seed: int, folder: Path) -> Path:
    """The kernel of a smooth random path, as a file."""
    generator, turns = np.random.default_rng(seed), np.linspace(0, math.pi, SAMPLES)
    path = np.zeros((2, SAMPLES))
    for order in (1, 2, 3):
        even, odd = generator.normal(0, order**-1.5, (2, 2, 1))
        path += even * np.cos(order * turns) + odd * np.sin(order * turns)
    path *= length / np.hypot(*np.diff(path, axis=1)).sum()
    path -= path.mean(1, keepdims=True)
    reach = int(np.abs(path).max()) + 2
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    column, row = path + reach
    for y in (np.floor(row), np.floor(row) + 1):
        for x in (np.floor(column), np.floor(column) + 1):
            share = (1 - np.abs(row - y)) * (1 - np.abs(column - x))
            np.add.at(kernel, (y.astype(int), x.astype(int)), share)
    file = folder / f"path-{length}-{seed}.npy"
    np.save(file, kernel)
    return file


def is_told(y: Tensor, quality: int | None, kernel: str, light: bool, folder: Path) -> bool:
    """Whether what is chosen for a file that holds y is right."""
    file = folder / ("y.png" if quality is None else "y.jpg")
    save_picture(Picture(to_pixels(y)), file, None, quality or 95)
    picture = load_picture(file)
    seen = to_tensor(picture)
    setting = Setting(find_model("natural"), SolverOptions(), lambda _: None)
    origin = find_origin("deblur", file, picture, seen, setting, blurred=True)
    spec = parse_kernel(kernel)
    about = AUTO, spec, make_kernel(spec), seen, origin
    return choose_response(*about, linear=False) == (LIGHT if light else VALUES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--size", type=int, default=208)
    parser.add_argument("--only", choices=("straight", "curved"), default="")
    asked = parser.parse_args()
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        curved = [str(save_path(*path, folder)) for path in PATHS]
        for title, kernels in (("straight and disks", KERNELS), ("curved", curved)):
            if title.startswith(asked.only):
                print(title, flush=True)
                measure(paths, kernels, asked.size, folder)


def measure(paths: list[Path], kernels: Sequence[str], size: int, folder: Path) -> None:
    """Print how many of all crops behind these kernels are told rightly."""
    right: dict[Way, list[tuple[bool, bool]]] = {way: [] for way in WAYS}
    for path in paths:
        picture = load_picture(path)
        for kernel, light in itertools.product(kernels, (True, False)):
            flags = {"kernel": kernel, "response": "srgb" if light else "linear"}
            clean = degrade(picture, make_case("deblur", flags, 0.0), size, 0).y
            noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
            for sigma, quality in WAYS:
                y = eight_bits(clean + 2 * sigma * noise)
                told = is_told(y, quality, kernel, light, folder)
                right[sigma, quality].append((told, light))
    for (sigma, quality), told in right.items():
        show(f"noise {sigma}" if quality is None else f"noise {sigma}, JPEG {quality}", told)
    show("all", [one for told in right.values() for one in told])


def show(title: str, told: list[tuple[bool, bool]]) -> None:
    """A line of those told rightly."""
    wrong = [light for right, light in told if not right]
    known = len(told) - len(wrong)
    print(f"  {title}: {known} of {len(told)}, {sum(wrong)} wrong in light", flush=True)


if __name__ == "__main__":
    main()
