"""Cut-out figures, reduced and enlarged again: how much of their edges comes back.

    python tests/benchmarks/cutouts.py FOLDER [--limit 4] [--side 256] [--scale 2] [--preset fast]

Centre crops of photographs, cut out along shapes (a disc and a bar, letters and a wire, a bunch of
thin lines), black where nothing is seen, reduced by Pillow. Prints the PSNR of the transparency,
enlarged by Lanczos and by `superres`, and that of the picture within 4 pixels of an edge of it,
laid on black and on white.
"""

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import SuperresOptions
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer

FINE = 4  # of what a shape is drawn in, for one pixel
NEAR = 9  # side of the square around an edge that counts as near to it

Values = NDArray[np.float64]


def disc(draw: ImageDraw.ImageDraw, side: int) -> None:
    """And a bar across it."""
    draw.ellipse([side * share for share in (0.15, 0.22, 0.88, 0.78)], fill=255)
    draw.rectangle([side * share for share in (0.39, 0.05, 0.47, 0.93)], fill=255)


def letters(draw: ImageDraw.ImageDraw, side: int) -> None:
    """And a wire below them."""
    font = ImageFont.load_default(side // 4)
    draw.text((side // 16, side // 5), "Reddiff", fill=255, font=font)
    draw.line([side * share for share in (0.05, 0.68, 0.96, 0.88)], fill=255, width=9)


def bunch(draw: ImageDraw.ImageDraw, side: int) -> None:
    """Sixty lines of one pixel from below to random places."""
    for x, y in np.random.default_rng(1).random((60, 2)):
        draw.line((side / 2, side, x * side, 0.8 * y * side), fill=255, width=FINE)


SHAPES: dict[str, Callable[[ImageDraw.ImageDraw, int], None]] = {
    "disc": disc,
    "letters": letters,
    "lines": bunch,
}


def cut_out(photograph: Image.Image, name: str, side: int) -> Image.Image:
    """The middle of a photograph behind a shape."""
    left, top = ((length - side) // 2 for length in photograph.size)
    figure = photograph.crop((left, top, left + side, top + side))
    shape = Image.new("L", (FINE * side, FINE * side), 0)
    SHAPES[name](ImageDraw.Draw(shape), FINE * side)
    figure.putalpha(shape.resize((side, side), Image.Resampling.BOX))
    return figure


def reduced(figure: Image.Image, scale: int) -> Image.Image:
    """Smaller, and black where nothing is seen."""
    size = figure.width // scale, figure.height // scale
    values = np.array(figure.resize(size, Image.Resampling.BICUBIC))
    values[values[..., 3] == 0] = 0
    return Image.fromarray(values)


def laid_on(figure: Image.Image, ground: int) -> Values:
    """What is seen of it on black (0) or white (255), (H, W, 3) of 255."""
    values = np.asarray(figure, dtype=np.float64)
    opaque = values[..., 3:] / 255
    return values[..., :3] * opaque + ground * (1 - opaque)


def psnr(one: Values, other: Values) -> float:
    return float(20 * math.log10(255) - 10 * math.log10(((one - other) ** 2).mean()))


def scores(restored: Image.Image, small: Image.Image, truth: Image.Image) -> dict[str, float]:
    """PSNR of the transparency and near its edges, in dB."""
    alpha = truth.getchannel("A")
    most = np.asarray(alpha.filter(ImageFilter.MaxFilter(NEAR)))
    least = np.asarray(alpha.filter(ImageFilter.MinFilter(NEAR)))
    near = (most > 0) & (least < 255)
    plain = small.getchannel("A").resize(truth.size, Image.Resampling.LANCZOS)
    wanted = np.asarray(alpha, dtype=np.float64)
    found = {
        "transparency, Lanczos": psnr(np.asarray(plain, dtype=np.float64), wanted),
        "transparency": psnr(np.asarray(restored.getchannel("A"), dtype=np.float64), wanted),
    }
    for ground, called in ((0, "black"), (255, "white")):
        on_it = laid_on(restored, ground)[near], laid_on(truth, ground)[near]
        found[f"edges on {called}"] = psnr(*on_it)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--preset", default="fast")
    asked = parser.parse_args()
    paths = sorted(asked.folder.glob("*.jpg"))
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    options = SuperresOptions(asked.scale)
    solver = SolverOptions(preset=asked.preset)
    card = find_model("natural")
    restorer = Restorer(card, solver, MachineOptions(), options, OutputOptions())
    for name in SHAPES:
        rows = []
        for path in paths:
            truth = cut_out(Image.open(path).convert("RGB"), name, asked.side)
            small = reduced(truth, asked.scale)
            with tempfile.TemporaryDirectory() as folder:
                given, made = Path(folder) / "small.png", Path(folder) / "large.png"
                small.save(given)
                job = Job("superres", given, made)
                restorer.restore(job, lambda *_: None, lambda _: None)
                rows.append(scores(Image.open(made).convert("RGBA"), small, truth))
        means = {key: fmean(row[key] for row in rows) for key in rows[0]}
        print(name, *(f"{key} {value:.2f} dB" for key, value in means.items()), sep="  ")


if __name__ == "__main__":
    main()
