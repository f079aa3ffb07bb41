"""A wide hole in the middle of photographs: how far guide and patches are from what was there.

    python tests/benchmarks/guide.py FOLDER [--limit 14] [--side 256] [--hole 64x90]
        [--set FIRST_START=10 FIRST_STEPS=20 ...]

--limit photographs, spread over the sorted names, centre crops; prints the mean PSNR inside the
hole of the smooth filling, of patches alone, of the guide, and of patches that follow it, which
share of the details finer than two pixels (rms) the last have of those that were there, and the
seconds that the guide takes. --set: constants of tasks/guide.py, holes/guiding.py or
holes/voting.py in place of their own.
"""

import argparse
import time
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.holes import guiding, voting
from reddiff_cli.holes.shape import Region, wide_part
from reddiff_cli.holes.smooth import blurred
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import InpaintOptions
from reddiff_cli.pictures.files import load_picture
from reddiff_cli.pictures.pixels import Hole
from reddiff_cli.planning.jobs import list_pictures
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, guide
from reddiff_cli.tasks.problem import to_tensor
from reddiff_cli.tasks.wide import fill_hole, fill_with_patches


def centre(path: Path, side: int) -> Tensor:
    """The middle of a photograph, (1, C, side, side); smaller if it is."""
    x = to_tensor(load_picture(path))
    top, left = (max(0, (length - side) // 2) for length in x.shape[2:])
    return x[:, :, top : top + side, left : left + side]


def inside(x: Tensor, truth: Tensor, hole: Hole) -> float:
    """PSNR of the pixels of the hole, for values in [0, 1]."""
    error = ((x.clamp(-1, 1) - truth) / 2)[:, :, torch.from_numpy(hole)]
    return float(-10 * torch.log10(error.square().mean()))


def details(x: Tensor, hole: Hole) -> float:
    """rms of what is finer than two pixels, of the pixels of the hole."""
    fine = (x - blurred(x, 2.0))[:, :, torch.from_numpy(hole)]
    return float(fine.square().mean().sqrt())


def fill(truth: Tensor, hole: Hole, restorer: Restorer) -> dict[str, float]:
    """PSNR of each way to fill the hole, details of the last, and the seconds of the guide."""
    smooth = truth.masked_fill(torch.from_numpy(hole), 0)
    fill_hole(smooth, hole)
    wide = wide_part(hole)
    began = time.perf_counter()
    setting = Setting(restorer.card, restorer.solver, lambda _: None)
    made = guide.Guide(smooth, hole, wide, 0.0, setting)
    for stage in made.stages():
        mu, _ = restorer.solve(stage)
        made.accept(stage, mu)
    seconds = time.perf_counter() - began
    alone, guided = smooth.clone(), smooth.clone()
    fill_with_patches(alone, wide, hole, 0)
    fill_with_patches(guided, wide, hole, 0, made)
    guess = made.area(Region(0, 0, *hole.shape))
    shown = {"smooth": smooth, "patches alone": alone, "guide": guess, "guided patches": guided}
    found = {name: inside(x, truth, hole) for name, x in shown.items()}
    share = details(guided, hole) / details(truth, hole)
    return found | {"details": share, "seconds of the guide": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=14)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--hole", default="64x90")
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--model", default="natural")
    asked = parser.parse_args()
    for name, value in (change.split("=") for change in asked.set):
        module = next(one for one in (guide, guiding, voting) if hasattr(one, name))
        setattr(module, name, type(getattr(module, name))(value))
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    width, height = (int(length) for length in asked.hole.split("x"))
    machine, output = MachineOptions(), OutputOptions()
    card = find_model(asked.model)
    restorer = Restorer(card, SolverOptions(), machine, InpaintOptions(), output)
    _ = restorer.denoiser
    rows = []
    for path in paths:
        truth = centre(path, asked.side)
        rows_there, columns = truth.shape[2:]
        top, left = (rows_there - height) // 2, (columns - width) // 2
        if min(top, left) < 8:
            print(f"{path.name}: too small")
            continue
        hole = np.zeros((rows_there, columns), dtype=bool)
        hole[top : top + height, left : left + width] = True
        rows.append(fill(truth, hole, restorer))
        print(
            f"{path.name}: " + ", ".join(f"{k} {v:.2f}" for k, v in rows[-1].items()), flush=True
        )
    print(f"{len(rows)} photographs: ", end="")
    print(", ".join(f"{key} {fmean(row[key] for row in rows):.2f}" for key in rows[0]))


if __name__ == "__main__":
    main()
