"""Objects removed from photographs: a sheet to look at, as PSNR inside a large hole says little.

    python tests/benchmarks/holes.py FOLDER SHEET.png NAME:X:Y:WIDTHxHEIGHT ... [--steps 50]

Each place is a hole centred at X, Y of the picture whose name contains NAME. The sheet shows, row
by row: the photograph, the hole, its patches (the start), and the restored picture.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 300


def cell(image: Image.Image, x: int, y: int) -> Image.Image:
    left = min(max(0, x - SIDE // 2), max(0, image.width - SIDE))
    top = min(max(0, y - SIDE // 2), max(0, image.height - SIDE))
    return image.crop((left, top, left + SIDE, top + SIDE))


def patches_only(picture: Path, mask: Path) -> Image.Image:
    from reddiff_cli.holes import wide_part
    from reddiff_cli.pictures import load_picture
    from reddiff_cli.tasks.inpaint import fill_hole, fill_with_patches
    from reddiff_cli.tasks.problem import to_pixels, to_tensor

    loaded = load_picture(picture)
    hole = load_picture(mask).pixels[:, :, 0] > 0.5
    canvas = to_tensor(loaded)
    fill_hole(canvas, hole)
    fill_with_patches(canvas, wide_part(hole), hole, 0)
    return Image.fromarray(np.rint(to_pixels(canvas) * 255).astype(np.uint8))


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
            shown = [image, marked, patches_only(picture, mask), Image.open(out)]
            rows.append([cell(each, int(x), int(y)) for each in shown])
    sheet = Image.new("RGB", (4 * SIDE, len(rows) * SIDE))
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            sheet.paste(image, (j * SIDE, i * SIDE))
    sheet.save(asked.sheet)


if __name__ == "__main__":
    main()
