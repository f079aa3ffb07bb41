"""Noise, blur and reduction in JPEG files: what reading the file's coefficients first gains.

    python tests/benchmarks/lossy.py FOLDER [--limit 12] [--size 256] [--quality 75 92]
        [--task superres ...] [--camera 0] [--first 0 [--cut]] [--resaved]

The centres of --limit photographs are blurred or reduced, get the noise of the mosaic of a
simulated camera (--camera, of 255), and are written as JPEG with chroma of half the size: first of
the quality --first, if there is one, which is opened and saved again. --resaved saves the file
again as PNG, whose pixels must tell the coefficients then. Prints mean PSNR in dB of what the
command makes of the file by itself (`--preset fast`), from what decoders show and from the
coefficients (with --first: from those of the last file and from those of the first), and by how
much the second is better in the worst case.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from camera import camera, eight_bits
from torch.nn import functional as F
from tune import restored

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.evaluation.degrade import degrade
from reddiff_cli.evaluation.options import Case, make_case
from reddiff_cli.metrics import psnr
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import JpegOptions
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job, list_pictures
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Problem, Setting, encoding, pose
from reddiff_cli.tasks.problem import to_pixels

# Seed of the noise: not that of the solver, which would add the same noise once more.
DRAW = 7_000
CUT = (5, 3)
CASES: tuple[tuple[str, dict[str, str | int]], ...] = (
    ("jpeg", {}),
    ("denoise", {}),
    ("superres", {"scale": 2}),
    ("superres", {"scale": 4}),
    ("deblur", {"kernel": "gaussian:2"}),
    ("deblur", {"kernel": "motion:9,30"}),
)
Reader = Callable[[Any], object]
READERS: dict[str, Reader] = {
    name: getattr(encoding, name) for name in ("find_jpeg", "traces_in", "find_earlier")
}


def nothing(_: object) -> None:
    """No coefficients."""


def scores(
    restorer: Restorer, case: Case, asked: argparse.Namespace, quality: int, folder: Path
) -> list[float]:
    """PSNR of each photograph."""
    found = []
    paths = list_pictures([asked.folder], True)
    for path in paths[:: max(1, len(paths) // asked.limit)][: asked.limit]:
        damaged = case
        if case.task == "jpeg":  # whose own damage is the file
            damaged, case = make_case("denoise", {}, 0.0), replace(case, options=JpegOptions())
        specimen, file = degrade(load_picture(path), damaged, asked.size, 0), folder / "y.jpg"
        y = eight_bits(specimen.y)
        if asked.camera:
            y = camera(y, asked.camera, torch.Generator().manual_seed(DRAW))
        rows, columns = CUT if asked.cut else (0, 0)
        whole = F.pad(y, (columns, 0, rows, 0), mode="reflect")
        save_picture(Picture(to_pixels(whole)), file, None, asked.first or quality)
        if asked.first:
            part = load_picture(file).pixels[rows:, columns:]
            save_picture(Picture(part), file, None, quality)
        if asked.resaved:
            save_picture(load_picture(file), file.with_suffix(".png"), None)
            file = file.with_suffix(".png")

        def posed(setting: Setting, file: Path = file, case: Case = case) -> Problem:
            return pose(Job(case.task, file, file), case.options, setting)

        specimen = replace(specimen, pose=posed)
        solver = SolverOptions(preset="fast")
        found.append(float(psnr(restored(restorer, case, specimen, solver), specimen.truth)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--quality", type=int, nargs="+", default=[75, 92])
    parser.add_argument("--task", nargs="*", default=["superres", "deblur"])
    parser.add_argument("--camera", type=float, default=0.0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cut", action="store_true")
    parser.add_argument("--resaved", action="store_true")
    asked = parser.parse_args()
    if asked.cut and not asked.first:
        parser.error("--cut: what was cut off a first file; give its quality, --first")
    restorer = Restorer(
        find_model("natural"),
        SolverOptions(preset="fast"),
        MachineOptions(device="cpu"),
        make_case("denoise", {}, 0.0).options,
        OutputOptions(),
        together=False,
    )
    without = {"find_earlier"} if asked.first else {"find_jpeg", "traces_in"}
    with tempfile.TemporaryDirectory() as folder:
        for task, flags in (case for case in CASES if case[0] in asked.task):
            for quality in asked.quality:
                both = []
                for left_out in (without, ()):
                    for name, reader in READERS.items():
                        setattr(encoding, name, nothing if name in left_out else reader)
                    both.append(
                        scores(restorer, make_case(task, flags, 0.0), asked, quality, Path(folder))
                    )
                worst = min(b - a for a, b in zip(*both, strict=True))
                print(" ".join((task, *map(str, flags.values()))), f"quality {quality}", end=": ")
                print(f"{fmean(both[0]):.2f} -> {fmean(both[1]):.2f} dB", end=", ")
                print(f"{worst:+.2f} at worst", flush=True)


if __name__ == "__main__":
    main()
