"""A 12-megapixel photograph with a thin scratch and a removed object: seconds and memory.

    python tests/benchmarks/large.py PHOTO [--scratch 2000] [--steps 50]

PHOTO is enlarged to 4000x3000. Prints the whole command's seconds and its largest resident memory.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--scratch", type=int, default=2000, help="length in pixels")
    parser.add_argument("--steps", default="50")
    parser.add_argument("--keep", type=Path, help="folder for the pictures")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch_folder:
        folder = asked.keep or Path(scratch_folder)
        folder.mkdir(parents=True, exist_ok=True)
        picture, mask, out = (folder / f"{name}.png" for name in ("large", "mask", "out"))
        image = Image.open(asked.photo).convert("RGB").resize((4000, 3000), Image.LANCZOS)
        image.save(picture, compress_level=1)
        hole = Image.new("L", image.size, 0)
        draw = ImageDraw.Draw(hole)
        x = np.linspace(900, 900 + asked.scratch * 0.8, 9)
        y = 400 + (x - 900) * 0.75 + 40 * np.sin(np.arange(9))
        draw.line([(float(a), float(b)) for a, b in zip(x, y, strict=True)], fill=255, width=4)
        draw.rectangle((2800, 600, 2899, 699), fill=255)
        hole.save(mask)
        command = [sys.executable, "-m", "reddiff_cli", "inpaint", picture, "-m", mask, "-v"]
        command += ["-o", out, "--steps", asked.steps, "--overwrite"]
        began = time.perf_counter()
        subprocess.run([str(part) for part in command], check=True)
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        share = np.asarray(hole).astype(bool).sum()
        print(f"{share} pixels of 12 000 000 filled: {seconds:.1f} s, {peak:.2f} GB")


if __name__ == "__main__":
    main()
