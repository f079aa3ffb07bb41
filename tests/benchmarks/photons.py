"""What `denoise` makes of grey photographs with the noise of photons.

    python tests/benchmarks/photons.py FOLDER [--limit 12] [--size 192] [--peak 30 60 200 1000]

Reduces photographs by 2, takes their centres in grey, draws photons (Poisson, so many at white, of
four fifths of 16 bits) and prints for each peak the mean noise that is there and that is found,
and mean PSNR in dB by itself, with the true noise told, and of the worst picture by itself.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from reddiff_cli.jobs import Job, list_pictures
from reddiff_cli.models import find_model
from reddiff_cli.options import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.pictures import Picture, Pixels, load_picture, save_picture
from reddiff_cli.restore import Restorer
from reddiff_cli.task_options import DenoiseOptions

PEAKS, WHITE = (30, 60, 200, 1000), 0.8


def scene(path: Path, size: int) -> Pixels:
    """Grey, (size, size, 1) in [0, 1]."""
    with Image.open(path) as opened:
        grey = opened.convert("L").reduce(2)
    x, y = (grey.width - size) // 2, (grey.height - size) // 2
    pixels = np.asarray(grey.crop((x, y, x + size, y + size)), np.float32) / 255
    return pixels[:, :, None]


def psnr(x: Pixels, truth: Pixels) -> float:
    return float(-10 * np.log10(np.mean((x - truth) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--peak", type=int, nargs="+", default=PEAKS)
    asked = parser.parse_args()
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    solver, machine = SolverOptions(preset="fast"), MachineOptions(device="cpu")
    about = DenoiseOptions(), OutputOptions()
    restorer = Restorer(find_model("natural"), solver, machine, *about, together=False)
    with TemporaryDirectory() as folder:
        job = Job("denoise", Path(folder, "y.png"), Path(folder, "x.png"))
        for peak in asked.peak:
            rows = []
            for k, path in enumerate(paths):
                clean = scene(path, asked.size)
                drawn = np.random.default_rng(k).poisson(clean * peak) / peak * WHITE
                y, truth = drawn.clip(0, 1).astype(np.float32), clean * np.float32(WHITE)
                save_picture(Picture(y, depth=16), job.input, None)
                sigma = float(np.sqrt(np.mean((y - truth) ** 2)))
                found = []
                for noise in (None, sigma):
                    one = restorer.like(replace(solver, noise=noise), DenoiseOptions())
                    result = one.restore(job, lambda *_: None, lambda _: None)
                    found += [result.noise, psnr(load_picture(job.output).pixels, truth)]
                rows.append((sigma, found[0], found[1], found[3]))
            there, told, itself, by_hand = (fmean(column) for column in zip(*rows, strict=True))
            worst = min(row[2] - row[3] for row in rows)
            print(
                f"peak {peak}: noise {there:.4f}, found {told:.4f}; by itself {itself:.2f} dB",
                end="",
            )
            print(f", told {by_hand:.2f} dB, worst {worst:+.2f}", flush=True)


if __name__ == "__main__":
    main()
