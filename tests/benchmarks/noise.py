"""How well the noise of a photograph is estimated, and what a wrong estimate costs.

    python tests/benchmarks/noise.py FOLDER [--limit 24] [--size 256] [--camera] [--grain]
        [--network] [--restore [--task denoise] [--levels 1 2 5 10]]

Adds white noise to the centres of --limit photographs, clips and rounds to 8 bits, and prints
mean, largest and rms error of the estimate, of 255, in colour and in grey. --camera: the noise is
that of the mosaic of a simulated camera, and wider than a pixel after its colours are filled in
(`camera.py`); pictures need 360 pixels then, except blurred ones. --grain: it is that of film, a
Gaussian of 0.9 pixels, the same in all channels. --network: what the network tells of tiles of
them, and how many are called white. --restore: PSNR of `denoise`, and of `deblur` and `superres`
at 20 evaluations, with the noise that was added, with 1.5 and 2 times as much, and with what the
command makes of it by itself; mean, and the worst picture beside the first.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from camera import camera, eight_bits
from torch import Tensor
from torch.nn import functional as F
from tune import restored

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_model
from reddiff_cli.estimation.noise import FLOOR, estimate_noise, wavelet_sigma
from reddiff_cli.estimation.tile_noise import TileNoise, tiles_of
from reddiff_cli.evaluation.degrade import Specimen, degrade
from reddiff_cli.evaluation.options import Case, make_case
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.methods import draws
from reddiff_cli.metrics import psnr
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.pictures.files import Picture, load_picture
from reddiff_cli.planning.jobs import list_pictures
from reddiff_cli.restore import Restorer
from reddiff_cli.solvers.consistency import likeliest_noise
from reddiff_cli.tasks.kinds import KINDS
from reddiff_cli.tasks.problem import to_pixels
from reddiff_cli.tasks.setting import Setting
from reddiff_cli.tasks.whole import WholePicture

# Seed of the noise: not that of the solver, which would add the same noise once more.
DRAW = 7_000
LEVELS = (0, 1, 2, 5, 10, 25, 50)
RESTORED = (1, 2, 5, 10)
TIMES = (1.0, 1.5, 2.0)
GRAIN = 0.9  # pixels
CASES: tuple[tuple[str, dict[str, str | int]], ...] = (
    ("denoise", {}),
    ("deblur", {"kernel": "gaussian:1"}),
    ("deblur", {"kernel": "motion:9,30"}),
    ("superres", {"scale": 2}),
)
Spoil = Callable[[Tensor, float, torch.Generator], Tensor]


def white(x: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """8-bit values of x with this noise, in [-1, 1]."""
    return eight_bits(x + level / 127.5 * torch.randn(x.shape, generator=generator))


def grainy(x: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """x with the grain of film, of 255, as a file of 8 bits has it."""
    bell = torch.exp(-torch.arange(-4.0, 5).square() / (2 * GRAIN**2))
    kernel = bell[:, None] * bell
    noise = torch.randn(x[:, :1].shape, generator=generator)
    around = F.pad(noise, (4, 4, 4, 4), mode="circular")
    grain = F.conv2d(around, (kernel / kernel.norm())[None, None])
    return eight_bits(x + level / 127.5 * grain)


def estimates(pictures: list[Tensor], spoil: Spoil, name: str) -> None:
    for level in LEVELS:
        generator = torch.Generator().manual_seed(0)
        found = torch.tensor(
            [255 * estimate_noise(spoil(x, level, generator)).sigma for x in pictures]
        )
        error = (found - max(level, FLOOR)).square().mean().sqrt()
        print(f"{name:7} {level:3}  mean {found.mean():5.2f}  max {found.max():5.1f}", end="")
        print(f"  rms error {error:.2f}", flush=True)


def told_by_network(pictures: list[Tensor], spoil: Spoil, denoiser: Denoiser) -> None:
    """The same of what tiles tell, and the share that is called white."""
    for level in LEVELS[:-2]:
        generator = torch.Generator().manual_seed(0)
        found, white = [], []
        for x in pictures:
            y = spoil(x, level, generator)
            tiles, fine = tiles_of(y), max(wavelet_sigma(y) or 0.0, 2 * FLOOR / 255)
            if tiles is None:
                continue
            draw = draws(tiles, 0)
            *_, (_, told) = likeliest_noise(tiles, fine, denoiser, denoiser.schedule, draw)
            noise = TileNoise(tiles.mean((1, 2, 3)), told[:, 0], told[:, 1:4], told[:, 4:])
            found.append(127.5 * noise.total)
            white.append(noise.is_white(fine))
        sigmas = torch.tensor(found).clamp(min=FLOOR)
        error = (sigmas - max(level, FLOOR)).square().mean().sqrt()
        print(f"network {level:3}  mean {sigmas.mean():5.2f}  max {sigmas.max():5.1f}", end="")
        print(f"  rms error {error:.2f}  white {sum(white)} of {len(white)}", flush=True)


def specimens(
    paths: list[Path], case: Case, size: int, spoil: Spoil, level: int
) -> list[Specimen]:
    """What the case makes of the pictures, with this noise, as files of 8 bits have it."""
    found = []
    for path in paths:
        specimen = degrade(load_picture(path), case, size, 0)
        y = spoil(specimen.y, level, torch.Generator().manual_seed(DRAW))
        found.append(replace(specimen, y=y, pose=poser(specimen, case, y)))
    return found


def poser(specimen: Specimen, case: Case, y: Tensor) -> Callable[[Setting], WholePicture]:
    """The problem of a file that holds y."""

    def pose(setting: Setting) -> WholePicture:
        noise = setting.noise(case.task, Path("file.png"), y, blurred=case.options.blurred)
        source = Picture(to_pixels(specimen.truth))
        about = case.task, source, specimen.operator, y, noise, setting, specimen.crop
        white = setting.white(specimen.operator, y, noise)
        return KINDS.get(type(case.options), WholePicture)(*about, white=white)

    return pose


def cost(paths: list[Path], size: int, spoil: Spoil, only: str | None, levels: list[int]) -> None:
    first = make_case("denoise", {}, 0.0).options
    machine = MachineOptions(device="cpu")
    restorer = Restorer(
        find_model("natural"), SolverOptions(), machine, first, OutputOptions(), together=False
    )
    for task, flags in CASES:
        if only not in (None, task):
            continue
        case = make_case(task, flags, 0.0)
        for level in levels:
            damaged = specimens(paths, case, size, spoil, level)
            line: list[list[float]] = []
            told: list[float | str] = [times * level / 255 for times in TIMES]
            for noise in (*told, "auto"):
                solver = SolverOptions(preset="fast", noise=noise)
                line.append(
                    [float(psnr(restored(restorer, case, s, solver), s.truth)) for s in damaged]
                )
            worst = min(b - a for a, b in zip(line[0], line[-1], strict=True))
            *by_hand, guessed = (f"{fmean(found):.2f}" for found in line)
            print(" ".join((task, *map(str, flags.values()), str(level))), end=": ")
            print(f"told {TIMES} times the noise {' / '.join(by_hand)} dB", end="")
            print(f", by itself {guessed} dB, worst {worst:+.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--size", type=int, default=256)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--camera", action="store_true")
    kind.add_argument("--grain", action="store_true")
    parser.add_argument("--levels", type=int, nargs="+", default=RESTORED)
    parser.add_argument("--network", action="store_true")
    parser.add_argument("--restore", action="store_true")
    parser.add_argument("--task", choices=sorted({task for task, _ in CASES}))
    asked = parser.parse_args()
    spoil = camera if asked.camera else grainy if asked.grain else white
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    if asked.restore:
        cost(paths, asked.size, spoil, asked.task, asked.levels)
        return
    case = make_case("denoise", {}, 0.0)
    pictures = [degrade(load_picture(path), case, asked.size, 0).truth for path in paths]
    if asked.network:
        device = choose_device("cpu")
        denoiser = load_model(find_model("natural"), device, choose_dtype("auto", device))
        told_by_network([x for x in pictures if x.shape[1] == 3], spoil, denoiser)
        return
    estimates([x for x in pictures if x.shape[1] == 3], spoil, "colour")
    if not asked.camera:
        estimates([x.mean(1, keepdim=True) for x in pictures], spoil, "grey")


if __name__ == "__main__":
    main()
