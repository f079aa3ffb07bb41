"""What one run over many pictures saves against one call for each of them.

    python tests/benchmarks/folder.py FOLDER [--count 16] [--side 64] [--preset fast]

FOLDER: photographs, of which the middle is taken. Prints seconds a picture, and the ratio.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    photos = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    flags = ["--noise", "0.1", "--preset", options.preset, "--device", options.device, "-q"]
    command = [sys.executable, "-m", "reddiff_cli", "denoise"]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "in").mkdir()
        inputs = []
        for k in range(options.count):
            with Image.open(photos[k % len(photos)]) as image:
                small = ImageOps.fit(image.convert("RGB"), (options.side, options.side))
            inputs.append(root / "in" / f"{k:03}.png")
            small.save(inputs[-1])
        one = seconds([[*command, root / "in", "-o", root / "one", *flags]])
        each = [[*command, path, "-o", root / "each" / path.name, *flags] for path in inputs]
        many = seconds(each)
        for path in inputs:
            equal = (root / "one" / path.name).read_bytes() == (
                root / "each" / path.name
            ).read_bytes()
            assert equal, path.name
    count = options.count
    print(f"{count} pictures of {options.side}x{options.side}, --preset {options.preset}")
    print(f"one run      {one / count:6.2f} s a picture")
    print(f"single calls {many / count:6.2f} s a picture, {many / one:.1f} times as long")


def seconds(commands: list[list[object]]) -> float:
    began = time.monotonic()
    for command in commands:
        subprocess.run([str(part) for part in command], check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
