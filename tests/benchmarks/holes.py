"""Objects removed from photographs: a sheet to look at, as PSNR inside a large hole says little.

    python tests/benchmarks/holes.py FOLDER SHEET.png NAME:X:Y:WIDTHxHEIGHT ... [--steps 50]

Each place is a hole centred at X, Y of the picture whose name contains NAME. The sheet shows, row
by row: the photograph, the hole, what the prior says of it in the large (the guide), the patches
that follow that (the start), and the restored picture.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import InpaintOptions
from reddiff_cli.pictures.files import Picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, pose

SIDE = 300


def cell(image: Image.Image, x: int, y: int) -> Image.Image:
    left = min(max(0, x - SIDE // 2), max(0, image.width - SIDE))
    top = min(max(0, y - SIDE // 2), max(0, image.height - SIDE))
    return image.crop((left, top, left + SIDE, top + SIDE))


def starts(picture: Path, mask: Path, model: str) -> tuple[Image.Image, Image.Image]:
    """What the guide says of the hole, and the patches that follow it."""
    options = InpaintOptions()
    solver, machine = SolverOptions(), MachineOptions()
    restorer = Restorer(find_model(model), solver, machine, options, OutputOptions())
    setting = Setting(restorer.card, solver, lambda _: None, machine)
    problem = pose(Job("inpaint", picture, picture, mask), options, setting)
    guess = problem.source
    for stage in problem.stages():
        if not stage.shared:
            problem.accept(stage, stage.start)
            continue
        mu, _ = restorer.solve(stage)
        guess = problem.preview(stage, mu)
        problem.accept(stage, mu)
    return shown(guess), shown(problem.finish())


def shown(picture: Picture) -> Image.Image:
    pixels = np.rint(picture.pixels * 255).astype(np.uint8)
    return Image.fromarray(pixels.repeat(3 // pixels.shape[2], axis=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("places", nargs="+")
    parser.add_argument("--steps", default="50")
    parser.add_argument("--model", default="natural")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for place in asked.places:
            name, x, y, size = place.split(":")
            width, height = (int(v) for v in size.split("x"))
            source = next(p for p in sorted(asked.folder.iterdir()) if name in p.name)
            picture, mask, out = (Path(folder) / f"{n}.png" for n in ("a", "m", "o"))
            image = Image.open(source).convert("RGB")
            image.save(picture)
            left, top = int(x) - width // 2, int(y) - height // 2
            hole = Image.new("L", image.size, 0)
            hole.paste(255, (left, top, left + width, top + height))
            hole.save(mask)
            began = time.perf_counter()
            command = [sys.executable, "-m", "reddiff_cli", "inpaint", picture, "-m", mask]
            command += ["-o", out, "--steps", asked.steps, "--model", asked.model, "--overwrite"]
            subprocess.run([str(part) for part in command], check=True)
            print(f"{place}: {time.perf_counter() - began:.1f} s", flush=True)
            marked = image.copy()
            marked.paste((255, 0, 255), (left, top), Image.new("L", (width, height), 255))
            cells = [image, marked, *starts(picture, mask, asked.model), Image.open(out)]
            rows.append([cell(each, int(x), int(y)) for each in cells])
    sheet = Image.new("RGB", (5 * SIDE, len(rows) * SIDE))
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            sheet.paste(image, (j * SIDE, i * SIDE))
    sheet.save(asked.sheet)


if __name__ == "__main__":
    main()
