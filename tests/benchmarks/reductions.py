"""What it costs `superres` to take pictures that were reduced in light for pictures of values.

    python tests/benchmarks/reductions.py FOLDER [--limit 11] [--size 192] [--preset fast]

The centres of --limit photographs are reduced in light by WAYS and rounded to 8 bits. Prints the
mean PSNR of the command by itself, with `--response srgb`, and as it is without.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import fmean

from camera import eight_bits

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.evaluation.degrade import degrade
from reddiff_cli.evaluation.options import make_case
from reddiff_cli.metrics import psnr
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import SuperresOptions, parse_filter
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job, list_pictures
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks.problem import to_pixels, to_tensor

WAYS = ((2, "box"), (4, "bicubic"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=11)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--preset", default="fast")
    asked = parser.parse_args()
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    about = SolverOptions(preset=asked.preset), MachineOptions()
    with tempfile.TemporaryDirectory() as folder:
        small, large = (Path(folder) / name for name in ("small.png", "large.png"))
        for scale, name in WAYS:
            found = {"srgb": [], "linear": []}
            flags = {"scale": scale, "downsample": name, "response": "srgb"}
            for path in paths:
                made = degrade(
                    load_picture(path), make_case("superres", flags, 0.0), asked.size, 0
                )
                save_picture(Picture(to_pixels(eight_bits(made.y))), small, None)
                for response, values in found.items():
                    options = SuperresOptions(scale, parse_filter(name), response)
                    restorer = Restorer(find_model("natural"), *about, options, OutputOptions())
                    restorer.restore(
                        Job("superres", small, large), lambda *_: None, lambda _: None
                    )
                    values.append(float(psnr(to_tensor(load_picture(large)), made.truth)))
            right, wrong = (fmean(found[response]) for response in ("srgb", "linear"))
            print(
                f"x{scale} {name}: --response srgb {right:.2f} dB, without {wrong:.2f}", flush=True
            )


if __name__ == "__main__":
    main()
