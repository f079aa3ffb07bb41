"""How often `deblur --response auto` tells rightly whether light or values were blurred.

    python tests/benchmarks/responses.py FOLDER [--limit 24] [--size 208]

The centres of --limit photographs are blurred in light and in values by KERNELS, get white noise,
and are rounded to 8 bits, or written as JPEG. Prints how many are told rightly in each way.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from camera import eight_bits
from torch import Tensor

from reddiff_cli.evaluation.degrade import degrade
from reddiff_cli.evaluation.options import make_case
from reddiff_cli.jobs import list_pictures
from reddiff_cli.kernelspec import parse_kernel
from reddiff_cli.models import find_model
from reddiff_cli.options import SolverOptions
from reddiff_cli.pictures import Picture, load_picture, save_picture
from reddiff_cli.tasks.blurred_light import AUTO, LIGHT, VALUES, choose_response
from reddiff_cli.tasks.origin import find_origin
from reddiff_cli.tasks.problem import to_pixels, to_tensor
from reddiff_cli.tasks.setting import Setting

KERNELS = ("motion:9,30", "motion:13,25", "disk:3")
# Standard deviation of the noise, and quality of the JPEG.
WAYS = ((0.004, None), (0.02, None), (0.004, 90), (0.004, 75))


def is_told(y: Tensor, quality: int | None, kernel: str, light: bool, folder: Path) -> bool:
    """Whether what is chosen for a file that holds y is right."""
    file = folder / ("y.png" if quality is None else "y.jpg")
    save_picture(Picture(to_pixels(y)), file, None, quality or 95)
    picture = load_picture(file)
    seen = to_tensor(picture)
    setting = Setting(find_model("natural"), SolverOptions(), lambda _: None)
    origin = find_origin("deblur", file, picture, seen, setting, blurred=True)
    spec = parse_kernel(kernel)
    return choose_response(AUTO, spec, seen, origin, linear=False) == (LIGHT if light else VALUES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--size", type=int, default=208)
    asked = parser.parse_args()
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    right = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            picture = load_picture(path)
            for kernel in KERNELS:
                for light in (True, False):
                    flags = {"kernel": kernel, "response": "srgb" if light else "linear"}
                    clean = degrade(picture, make_case("deblur", flags, 0.0), asked.size, 0).y
                    generator = torch.Generator().manual_seed(0)
                    noise = torch.randn(clean.shape, generator=generator)
                    for sigma, quality in WAYS:
                        y = eight_bits(clean + 2 * sigma * noise)
                        told = is_told(y, quality, kernel, light, Path(folder))
                        right[sigma, quality].append(told)
    for (sigma, quality), told in right.items():
        print(f"noise {sigma}", end="" if quality is None else f", JPEG {quality}")
        print(f": {sum(told)} of {len(told)}", flush=True)
    every = [one for told in right.values() for one in told]
    print(f"all: {sum(every)} of {len(every)}")


if __name__ == "__main__":
    main()
