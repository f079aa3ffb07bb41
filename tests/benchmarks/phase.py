"""Phase retrieval at twice oversampling: HIO alone against HIO and the prior.

    python tests/benchmarks/phase.py FOLDER [--limit 12] [--size 128] [--noise 0 0.01] [--colour]

Takes the middle square of every k-th picture of FOLDER, reduced to SIZE so that it holds a scene,
and measures orthonormal FFT magnitudes of [0, 1] pixels with noise on the amplitudes. Prints dB
after alignment of the best HIO run by residual (plain HIO with as many starts), of what our search
gives the prior to start from, and of the final picture; and whether the verdict is right (25 dB).
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reddiff_cli.alignment import align
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_model
from reddiff_cli.formats.kinds import PICTURE_SUFFIXES
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.methods import Solving, draws
from reddiff_cli.metrics import psnr
from reddiff_cli.operators.hio import tournament
from reddiff_cli.options.common import MachineOptions, SolverOptions
from reddiff_cli.retrieval.diffraction import Diffraction
from reddiff_cli.retrieval.options import PhaseOptions
from reddiff_cli.retrieval.problem import PhaseProblem, prepare
from reddiff_cli.tasks import Setting
from reddiff_cli.tasks import phase as task

FOUND = 25.0  # dB


def scenes(folder: Path, limit: int, size: int, colour: bool) -> list[tuple[str, Tensor]]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    rows = []
    for path in paths[:: max(1, len(paths) // limit)][:limit]:
        with Image.open(path) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("RGB" if colour else "L")
            square = square.crop((left, top, left + side, top + side))
            pixels = np.asarray(square.resize((size, size), Image.Resampling.LANCZOS))
        values = pixels.reshape(size, size, -1).astype(np.float32) / 255
        rows.append((path.name, torch.from_numpy(values).permute(2, 0, 1)[None]))
    return rows


def measure(u: Tensor, noise: float, seed: int) -> Diffraction:
    detector = (2 * u.shape[2], 2 * u.shape[3])
    y = torch.fft.fft2(u[0].double(), s=detector, norm="ortho").abs()
    generator = torch.Generator().manual_seed(seed)
    y += noise * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    known = np.ones(detector, dtype=np.bool_)
    return Diffraction(y.clamp(min=0).float().numpy(), known, "corner", False, ())


def decibels(x: Tensor, u: Tensor) -> float:
    return psnr(align(x, u * 2 - 1), u * 2 - 1).item()


def plain_hio(problem: PhaseProblem, options: PhaseOptions) -> Tensor:
    """What HIO alone finds (300 iterations and ER, every channel for itself), to compare with.

    (starts, C, h, w) in [-1, 1], best first; channels are turned to face as the first does.
    """
    generator = torch.Generator().manual_seed(0)

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=generator)

    measured, support = problem.measured, problem.operator.support
    stages = [(options.starts, 300, 0)]
    found = [
        tournament(measured.channel(c), support, draw, stages, problem.ceiling)
        for c in range(problem.y.shape[1])
    ]
    return torch.cat([align(u, found[0]) for u in found], 1) * 2 - 1


def restored(
    measurement: Diffraction, options: PhaseOptions, steps: int, card: Card, denoiser: Denoiser
) -> tuple[Tensor, Tensor, str]:
    """What the command does: the best of the search, the final picture, and the verdict."""
    solver = SolverOptions(steps=steps)
    setting = Setting(card, solver, lambda _: None, MachineOptions("cpu"))
    problem = task.PhaseRetrieval(measurement, options, setting)
    (stage,) = problem.stages()
    solving = Solving("phase", stage, stage.start, draws(stage.start, 0), denoiser, card, solver)
    *_, (_, mu) = solving.run()
    problem.accept(stage, mu)
    x = torch.from_numpy(problem.finish().pixels).permute(2, 0, 1)[None] * 2 - 1
    return stage.start[:1], x, problem.verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.01])
    parser.add_argument("--starts", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--model", default="natural")
    asked = parser.parse_args()

    device = choose_device("cpu")
    card = find_model(asked.model)
    denoiser = load_model(card, device, choose_dtype("auto", device))
    options = PhaseOptions(
        data="amplitude", support=(asked.size, asked.size), starts=asked.starts, scale=1.0
    )
    pictures = scenes(asked.folder, asked.limit, asked.size, asked.colour)
    for noise in asked.noise:
        print(f"\nnoise {noise:g}, {len(pictures)} pictures of {asked.size}x{asked.size}")
        print(f"{'picture':34}{'HIO':>7}{'search':>8}{'final':>8}{'s':>7}  verdict")
        rows, right = [], 0
        for number, (name, u) in enumerate(pictures):
            measurement = measure(u, noise, number)
            baseline = decibels(plain_hio(prepare(measurement, options), options)[:1], u)
            began = time.perf_counter()
            found, x, verdict = restored(measurement, options, asked.steps, card, denoiser)
            spent = time.perf_counter() - began
            row = (baseline, decibels(found, u), decibels(x, u))
            agrees = (verdict == "converged") == (row[2] > FOUND)
            right += agrees
            rows.append(row)
            print(
                f"{name[:32]:34}{row[0]:7.1f}{row[1]:8.1f}{row[2]:8.1f}{spent:7.1f}  "
                f"{verdict}{'' if agrees else ' (wrong)'}",
                flush=True,
            )
        mean = np.minimum(rows, 60).mean(axis=0)  # exact recovery has no end of decibels
        found = sum(row[2] > FOUND for row in rows)
        print(f"{'mean (at most 60 each)':34}{mean[0]:7.1f}{mean[1]:8.1f}{mean[2]:8.1f}")
        print(f"above {FOUND:g} dB: {found} of {len(rows)}; verdicts right: {right}")


if __name__ == "__main__":
    main()
