"""How much of a camera's noise repaired scratches show, without and with `inpaint --grain`.

    python tests/benchmarks/grain.py FOLDER [--limit 8] [--size 240] [--peak 400 1500]

Takes the centres of photographs that are reduced by 2, with photons in a mosaic (as `photons.py
--colour --mosaic --matrix` draws them) in 8 bits, repairs three scratches of 6 pixels across, and
prints the rms of the finest details in them, over that of the noise that was there: 1 cannot be
seen. Mean, least and largest of the pictures, and of their darkest and brightest thirds.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from photons import drawn, scene
from PIL import Image

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import InpaintOptions
from reddiff_cli.pictures.files import Picture, Pixels, load_picture, save_picture
from reddiff_cli.planning.jobs import Job, list_pictures
from reddiff_cli.restore import Restorer

ACROSS = 6
PARTS = ("all", "dark", "bright")


def scratches(size: int) -> NDArray[np.bool_]:
    """Three, from top to bottom."""
    row, column = np.mgrid[:size, :size]
    starts = (size // 8 + k * size // 3 for k in range(3))
    return np.any([abs(column - start - row // 8) < ACROSS / 2 for start in starts], axis=0)


def finest(x: Pixels) -> Pixels:
    """Differences of differences of neighbours, which have next to nothing of a photograph."""
    return np.diff(np.diff(x.astype(np.float64), axis=0), axis=1).mean(2) / 2


def rms_in(x: Pixels, where: NDArray[np.bool_]) -> float:
    return float(np.sqrt(np.mean(finest(x)[where] ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--peak", type=int, nargs="+", default=(400, 1500))
    asked = parser.parse_args()
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    about = SolverOptions(preset="fast"), MachineOptions(device="cpu"), InpaintOptions()
    restorer = Restorer(find_model("natural"), *about, OutputOptions(), together=False)
    hole = scratches(asked.size)
    inside = hole[:-1, :-1] & hole[1:, 1:] & hole[:-1, 1:] & hole[1:, :-1]
    with TemporaryDirectory() as folder:
        mask = Path(folder, "m.png")
        Image.fromarray(hole).save(mask)
        job = replace(Job("inpaint", Path(folder, "y.png"), Path(folder, "x.png")), mask=mask)
        for peak in asked.peak:
            ratios: dict[bool, list[list[float]]] = {False: [], True: []}
            for k, path in enumerate(paths):
                clean = scene(path, asked.size, "RGB")
                y, truth = drawn(clean, peak, k, mosaic=True, matrix=True)
                save_picture(Picture(y), job.input, None)
                light = truth.mean(2)[:-1, :-1]
                dark, bright = np.quantile(light[inside], (1 / 3, 2 / 3))
                parts = inside, inside & (light <= dark), inside & (light >= bright)
                for grain, rows in ratios.items():
                    one = restorer.like(about[0], InpaintOptions(grain=grain))
                    one.restore(job, lambda *_: None, lambda _: None)
                    x = load_picture(job.output).pixels
                    rows.append([rms_in(x, part) / rms_in(y, part) for part in parts])
            for grain, rows in ratios.items():
                told = [
                    f"{name} {fmean(column):.2f} ({min(column):.2f} to {max(column):.2f})"
                    for name, column in zip(PARTS, zip(*rows, strict=True), strict=True)
                ]
                name = "--grain" if grain else "without"
                print(f"peak {peak}, {name}: {'; '.join(told)}", flush=True)


if __name__ == "__main__":
    main()
