"""A 12-megapixel photograph: seconds and memory of one whole command.

    python tests/benchmarks/large.py PHOTO [--scratch 2000] [--steps 50] [--deblur motion:15,30]

PHOTO is enlarged to 4000x3000. By default a thin scratch is filled and an object removed; with
--deblur KERNEL the picture is blurred, gets noise of 0.005, and is restored as a whole (its memory
does not depend on --steps, its time does). Prints the command's seconds and largest resident
memory.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.operators import Blur
from reddiff_cli.options.kernelspec import parse_kernel

NOISE = 0.005


def damage(image: Image.Image, scratch: int, picture: Path, mask: Path) -> list[object]:
    """Write the picture and a mask with a scratch and a square; the flags that restore it."""
    image.save(picture, compress_level=1)
    hole = Image.new("L", image.size, 0)
    draw = ImageDraw.Draw(hole)
    x = np.linspace(900, 900 + scratch * 0.8, 9)
    y = 400 + (x - 900) * 0.75 + 40 * np.sin(np.arange(9))
    draw.line([(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill=255, width=4)
    draw.rectangle((2800, 600, 2899, 699), fill=255)
    hole.save(mask)
    print(f"{np.asarray(hole).astype(bool).sum()} pixels of 12 000 000 to fill")
    return ["inpaint", picture, "-m", mask]


def blur(image: Image.Image, kernel: str, picture: Path) -> list[object]:
    """Write the picture blurred and noisy; the flags that restore it."""
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    y = Blur(make_kernel(parse_kernel(kernel)))(x)
    y += NOISE * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    pixels = (y[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(picture, compress_level=1)
    return ["deblur", picture, "--kernel", kernel, "--noise", NOISE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--scratch", type=int, default=2000, help="length in pixels")
    parser.add_argument("--deblur", metavar="KERNEL")
    parser.add_argument("--steps", default="50")
    parser.add_argument("--keep", type=Path, help="folder for the pictures")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch_folder:
        folder = asked.keep or Path(scratch_folder)
        folder.mkdir(parents=True, exist_ok=True)
        picture, mask, out = (folder / f"{name}.png" for name in ("large", "mask", "out"))
        image = Image.open(asked.photo).convert("RGB")
        image = image.resize((4000, 3000), Image.Resampling.LANCZOS)
        if asked.deblur:
            flags = blur(image, asked.deblur, picture)
        else:
            flags = damage(image, asked.scratch, picture, mask)
        command = [sys.executable, "-m", "reddiff_cli", *flags, "-v", "-o", out]
        command += ["--steps", asked.steps, "--overwrite"]
        began = time.perf_counter()
        subprocess.run([str(part) for part in command], check=True)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
        print(f"{seconds:.1f} s, {peak:.2f} GB")


if __name__ == "__main__":
    main()
