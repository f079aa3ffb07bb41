"""What `denoise`, or (--behind) `superres` or `deblur`, makes of photographs with photons' noise.

    python tests/benchmarks/photons.py FOLDER [--limit 12] [--size 192] [--peak 30 60 200 1000]
    python tests/benchmarks/photons.py FOLDER --colour [--mosaic [--matrix]] --peak 200 500 2000
    python tests/benchmarks/photons.py FOLDER --colour --mosaic --matrix --behind 2 --peak 1000
    python tests/benchmarks/photons.py FOLDER --colour --mosaic --matrix --behind gaussian:1.5
    python tests/benchmarks/photons.py FOLDER --colour --mosaic --matrix --behind disk:3 --light

Reduces photographs by 2, takes their centres in grey, draws photons (Poisson, so many at white, of
four fifths of 16 bits) and prints for each peak the mean noise that is there and that is found,
and mean PSNR in dB by itself, with the true noise told, and of the worst picture by itself.

--colour: in three channels, as a sensor without a mosaic has them: of the light, so many at white
in green, fewer in red and blue, which are amplified, with a noise of readout, encoded. --mosaic:
as one with a mosaic has them; the truth is what that leaves of the picture without noise, and, in
parentheses, the scene itself, as false colours that a mosaic makes of fine detail are no truth.
--matrix: its colours are not those of sRGB but broader, and are told apart when it is developed,
which makes noise of colours stronger than that of brightness, as in most cameras.

--behind: the camera sees the photograph behind this kernel, or reduced so many times (bicubic);
PSNR is that of the photograph, and 1.5 times the true noise is told, as colours that were filled
in wrongly are errors, too. --light: the kernel blurs light, as cameras do, not values.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import torch
from camera import filled_in
from numpy.typing import NDArray
from PIL import Image

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.light.response import LIGHT
from reddiff_cli.operators import Blur, Downsample
from reddiff_cli.operators.downsample import bicubic
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import DeblurOptions, DenoiseOptions, SuperresOptions, TaskOptions
from reddiff_cli.pictures.files import Picture, Pixels, load_picture, save_picture
from reddiff_cli.planning.jobs import Job, list_pictures
from reddiff_cli.restore import Restorer

PEAKS, WHITE = (30, 60, 200, 1000), 0.8
# Of the noise that is told where more happened than that.
TOLD_BEHIND = 1.5
# Amplification of red, green and blue; electrons of noise in every value.
GAINS, READOUT = np.array((2.0, 1.0, 1.6)), 4.0
# sRGB of what a camera sees; rows sum to 1.
MATRIX = np.array(((1.6, -0.5, -0.1), (-0.25, 1.5, -0.25), (0.0, -0.6, 1.6)))


def scene(path: Path, size: int, mode: str = "L") -> Pixels:
    """Grey, (size, size, 1) in [0, 1], or in colours (mode RGB)."""
    with Image.open(path) as opened:
        small = opened.convert(mode).reduce(2)
    x, y = (small.width - size) // 2, (small.height - size) // 2
    pixels = np.asarray(small.crop((x, y, x + size, y + size)), np.float32) / 255
    return pixels.reshape(size, size, -1)


def drawn(
    clean: Pixels, peak: int, seed: int, *, mosaic: bool, matrix: bool = False
) -> tuple[Pixels, Pixels]:
    """Photons, and what they would be without their noise."""
    rng = np.random.default_rng(seed)
    if clean.shape[2] == 1:
        y = rng.poisson(clean * peak) / peak * WHITE
        return y.clip(0, 1).astype(np.float32), clean * np.float32(WHITE)
    colours = MATRIX if matrix else np.eye(3)
    light = LIGHT.decode(clean.astype(np.float64)) @ np.linalg.inv(colours).T
    light = light.clip(0) / GAINS
    read = (rng.poisson(light * peak) + rng.normal(0, READOUT, light.shape)) / peak
    return _encoded(read, colours, mosaic=mosaic), _encoded(light, colours, mosaic=mosaic)


def _encoded(light: NDArray[np.float64], colours: NDArray[np.float64], *, mosaic: bool) -> Pixels:
    x = torch.from_numpy(GAINS * light)
    if mosaic:
        x = filled_in(x.permute(2, 0, 1)[None])[0].permute(1, 2, 0)
    return LIGHT.encode((x.numpy() @ colours.T).clip(0, 1)).astype(np.float32)


@dataclass(frozen=True)
class Behind:
    """What happens to a photograph before the camera sees it, and the task that undoes it."""

    task: str = "denoise"
    options: TaskOptions = DenoiseOptions()
    operator: Downsample | Blur | None = None
    light: bool = False

    def in_light(self) -> Self:
        """The same, of light."""
        options = replace(self.options, response=LIGHT.kind)
        return replace(self, options=options, light=True)

    @classmethod
    def of(cls, told: str) -> Self:
        if told.isdigit():
            return cls("superres", SuperresOptions(int(told)), bicubic(int(told)))
        kernel = parse_kernel(told)
        options = DeblurOptions(kernel, response="linear")
        return cls("deblur", options, Blur(make_kernel(kernel)))

    def size(self, seen: int) -> int:
        """Side of the photograph of which so much is seen."""
        if isinstance(self.operator, Blur):
            return seen + max(self.operator.kernel.shape) - 1
        return seen * self.operator.scale if self.operator else seen

    def __call__(self, x: Pixels) -> tuple[Pixels, Pixels]:
        """What is seen, and what is to be restored; (H, W, C)."""
        if self.operator is None:
            return x, x
        canvas = torch.from_numpy(x).permute(2, 0, 1)[None]
        blurred = self.operator(LIGHT.decode(canvas) if self.light else canvas).clamp(0, 1)
        seen = (LIGHT.encode(blurred) if self.light else blurred)[0].permute(1, 2, 0).numpy()
        if isinstance(self.operator, Blur):
            canvas = self.operator.crop(canvas)
        return seen, canvas[0].permute(1, 2, 0).numpy()


def psnr(x: Pixels, truth: Pixels) -> float:
    return float(-10 * np.log10(np.mean((x - truth) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--peak", type=int, nargs="+", default=PEAKS)
    parser.add_argument("--colour", action="store_true")
    parser.add_argument("--mosaic", action="store_true")
    parser.add_argument("--matrix", action="store_true")
    parser.add_argument("--behind", type=Behind.of, default=Behind())
    parser.add_argument("--light", action="store_true")
    asked = parser.parse_args()
    if asked.light and not isinstance(asked.behind.operator, Blur):
        parser.error("--light: of a blur; give --behind KERNEL")
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    solver, machine = SolverOptions(preset="fast"), MachineOptions(device="cpu")
    behind: Behind = asked.behind.in_light() if asked.light else asked.behind
    about = behind.options, OutputOptions()
    restorer = Restorer(find_model("natural"), solver, machine, *about, together=False)
    with TemporaryDirectory() as folder:
        job = Job(behind.task, Path(folder, "y.png"), Path(folder, "x.png"))
        for peak in asked.peak:
            rows = []
            for k, path in enumerate(paths):
                whole = scene(path, behind.size(asked.size), "RGB" if asked.colour else "L")
                seen, clean = behind(whole)
                y, truth = drawn(seen, peak, k, mosaic=asked.mosaic, matrix=asked.matrix)
                save_picture(Picture(y, depth=16), job.input, None)
                sigma = float(np.sqrt(np.mean((y - truth) ** 2)))
                found = []
                told = sigma if behind.operator is None else min(1.0, TOLD_BEHIND * sigma)
                for noise in (None, told):
                    one = restorer.like(replace(solver, noise=noise), behind.options)
                    result = one.restore(job, lambda *_: None, lambda _: None)
                    x = load_picture(job.output).pixels
                    made = truth if behind.operator is None else clean
                    found += [result.noise, psnr(x, made), psnr(x, clean)]
                rows.append((sigma, *found[:3], *found[4:]))
            there, told, *quality = (fmean(column) for column in zip(*rows, strict=True))
            worst = min(row[2] - row[4] for row in rows)
            itself, by_hand = (
                f"{one:.2f}" + (f" ({scene:.2f})" if asked.mosaic and not behind.operator else "")
                for one, scene in (quality[:2], quality[2:])
            )
            print(
                f"peak {peak}: noise {there:.4f}, found {told:.4f}; by itself {itself} dB", end=""
            )
            print(f", told {by_hand} dB, worst {worst:+.2f}", flush=True)


if __name__ == "__main__":
    main()
