"""Phase retrieval at twice oversampling: HIO alone against HIO and the prior.

    python tests/benchmarks/phase.py FOLDER [--limit 12] [--size 128] [--noise 0 0.01] [--colour]

Takes the middle square of every k-th picture of FOLDER, reduced to SIZE so that it holds a scene,
and measures orthonormal FFT magnitudes of [0, 1] pixels with noise on the amplitudes. Prints dB
after alignment of the best HIO run by residual (plain HIO with as many starts), of the best run of
our search, and of the final picture; residual, verdict, and whether the verdict is right (25 dB).
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reddiff_cli.alignment import align
from reddiff_cli.denoiser import choose_device, choose_dtype, load_denoiser
from reddiff_cli.diffraction import Diffraction
from reddiff_cli.metrics import psnr
from reddiff_cli.models import find_model
from reddiff_cli.phase_options import PhaseOptions
from reddiff_cli.phase_pipeline import conclude, gather, plain_hio, refine, search
from reddiff_cli.phase_problem import prepare
from reddiff_cli.pictures import PICTURE_SUFFIXES

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
    denoiser = load_denoiser(find_model(asked.model).folder, device, choose_dtype("auto", device))
    options = PhaseOptions(
        data="amplitude", support=(asked.size, asked.size), starts=asked.starts, scale=1.0
    )
    pictures = scenes(asked.folder, asked.limit, asked.size, asked.colour)
    for noise in asked.noise:
        print(f"\nnoise {noise:g}, {len(pictures)} pictures of {asked.size}x{asked.size}")
        print(
            f"{'picture':34}{'HIO':>7}{'search':>8}{'final':>8}{'residual':>10}{'s':>7}  verdict"
        )
        rows, right = [], 0
        for number, (name, u) in enumerate(pictures):
            problem = prepare(measure(u, noise, number), options)
            baseline = decibels(plain_hio(problem, options)[:1], u)
            began = time.perf_counter()
            problem, runs = search(problem, options)
            steps = refine(
                problem, gather(problem, runs), denoiser, denoiser.schedule, steps=asked.steps
            )
            *_, (_, mu) = steps
            result = conclude(problem, runs, mu)
            spent = time.perf_counter() - began
            row = (baseline, decibels(runs[:1], u), decibels(result.x, u))
            agrees = (result.verdict == "converged") == (row[2] > FOUND)
            right += agrees
            rows.append(row)
            print(
                f"{name[:32]:34}{row[0]:7.1f}{row[1]:8.1f}{row[2]:8.1f}{result.residual:10.2e}"
                f"{spent:7.1f}  {result.verdict}{'' if agrees else ' (wrong)'}",
                flush=True,
            )
        mean = np.minimum(rows, 60).mean(axis=0)  # exact recovery has no end of decibels
        found = sum(row[2] > FOUND for row in rows)
        print(f"{'mean (at most 60 each)':34}{mean[0]:7.1f}{mean[1]:8.1f}{mean[2]:8.1f}")
        print(f"above {FOUND:g} dB: {found} of {len(rows)}; verdicts right: {right}")


if __name__ == "__main__":
    main()
