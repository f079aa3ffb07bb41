"""Every restoration against its start and against the plain tool a user has.

    python tests/benchmarks/tasks.py FOLDER [--limit 6] [--size 256] [--steps 50] [--noise 0.01]
        [--task superres ...] [--s-start S ...] [--s-end S ...] [--model natural]

Takes the centre crop of every k-th picture of FOLDER, damages it with known noise (standard
deviation, of [0, 1]), and prints mean PSNR in dB of the plain tool, of the solver's start and of
the result, and the rms residual over the noise (1 is right).
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.restoration import unsupervised_wiener, wiener
from torch import Tensor
from torch.nn import functional as F

from reddiff_cli.denoiser import choose_device, choose_dtype, load_denoiser
from reddiff_cli.kernels import make_kernel
from reddiff_cli.kernelspec import parse_kernel
from reddiff_cli.metrics import psnr
from reddiff_cli.models import find_model
from reddiff_cli.operators import Blur, Identity, Operator, on_device, rec601
from reddiff_cli.operators.downsample import bicubic, box
from reddiff_cli.options import TASKS
from reddiff_cli.photographs import centre_crops, read_photographs
from reddiff_cli.solvers.reddiff import red_diff
from reddiff_cli.tasks.problem import S_END

MARGIN = 32  # photograph around a crop, for operators that look beyond it


@dataclass(frozen=True)
class Case:
    """One damaged crop: y = A(canvas) + noise; truth is what `crop` shows of the canvas."""

    operator: Operator
    canvas: Tensor
    crop: Callable[[Tensor], Tensor]
    plain: Callable[[Tensor, float], Tensor]


def whole(x: Tensor) -> Tensor:
    return x


def superres(wide: Tensor) -> Case:
    operator = bicubic(4)
    return Case(operator, inner(wide), whole, lambda y, noise: pillow_bicubic(y))


def superres_box(wide: Tensor) -> Case:
    operator = box(4)
    return Case(operator, inner(wide), whole, lambda y, noise: pillow_bicubic(y))


def pillow_bicubic(y: Tensor) -> Tensor:
    size = (4 * y.shape[3], 4 * y.shape[2])
    planes = [Image.fromarray(c).resize(size, Image.Resampling.BICUBIC) for c in y[0].numpy()]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None]


def deblur(text: str) -> Callable[[Tensor], Case]:
    def make(wide: Tensor) -> Case:
        blur = Blur(make_kernel(parse_kernel(text)))
        (top, bottom), (left, right) = blur.margins
        padding = [left - MARGIN, right - MARGIN, top - MARGIN, bottom - MARGIN]
        return Case(blur, F.pad(wide, padding), blur.crop, best_wiener(blur, inner(wide)))

    return make


def best_wiener(blur: Blur, truth: Tensor) -> Callable[[Tensor, float], Tensor]:
    """The better of scikit-image's two Wiener filters, with reflected borders against ringing."""

    def run(y: Tensor, noise: float) -> Tensor:
        pad = 2 * max(blur.kernel.shape)
        padded = F.pad(y, [pad] * 4, mode="reflect")[0].numpy()
        psf = blur.kernel.numpy()
        results = []
        for balance in (0.001, 0.01, 0.1):
            results.append([wiener(c, psf, balance, clip=False) for c in padded])
        rng = np.random.default_rng(0)
        results.append([unsupervised_wiener(c, psf, clip=False, rng=rng)[0] for c in padded])
        tensors = [torch.from_numpy(np.stack(r))[None].float() for r in results]
        cut = [t[:, :, pad:-pad, pad:-pad].clamp(-1, 1) for t in tensors]
        return max(cut, key=lambda t: float(psnr(t, truth)))

    return run


def denoise(wide: Tensor) -> Case:
    return Case(Identity(), inner(wide), whole, lambda y, noise: y)


def colorize(wide: Tensor) -> Case:
    return Case(rec601(), inner(wide), whole, lambda y, noise: y.expand(-1, 3, -1, -1))


def inner(wide: Tensor) -> Tensor:
    return wide[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]


CASES = {
    "superres": ("superres", superres, None),
    "superres-box": ("superres", superres_box, None),
    "deblur-gaussian": ("deblur", deblur("gaussian:2"), None),
    "deblur-motion": ("deblur", deblur("motion:15,30"), None),
    "denoise": ("denoise", denoise, 25 / 255),
    "colorize": ("colorize", colorize, None),
}


def last(iterator: Iterator[tuple[int, Tensor]]) -> Tensor:
    *_, (_, mu) = iterator
    return mu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=6)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, nargs="*", default=[50])
    parser.add_argument("--noise", type=float, default=0.01)
    parser.add_argument("--task", nargs="*", default=list(CASES))
    parser.add_argument("--s-start", type=float, nargs="*", default=[0.0])
    parser.add_argument("--s-end", type=float, nargs="*", default=[0.0])
    parser.add_argument("--weight", type=float, nargs="*", default=[1.0])
    parser.add_argument("--model", default="natural")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()

    card = find_model(asked.model)
    device = choose_device(asked.device)
    denoiser = load_denoiser(card.folder, device, choose_dtype("auto", device))
    size = asked.size + 2 * MARGIN
    crops = centre_crops(read_photographs(asked.folder, size), size)
    crops = crops[:: max(1, len(crops) // asked.limit)][: asked.limit]
    print(f"{len(crops)} crops of {asked.size}x{asked.size}, {card.name} on {device}")
    print(f"{'task':18}{'evals':>6}{'s':>6}{'s_end':>7}{'weight':>7}", end="")
    print(f"{'plain':>8}{'start':>8}{'result':>8}{'gain':>7}{'ratio':>7}")
    for name in asked.task:
        task, make, fixed = CASES[name]
        noise = asked.noise if fixed is None else fixed
        default = card.starts.get(task, TASKS[task].s_start)
        for steps in asked.steps:
            for s_start in asked.s_start:
                for s_end in asked.s_end:
                    for weight in asked.weight:
                        chosen = s_start or default
                        end = s_end or S_END
                        rows = []
                        for number, wide in enumerate(torch.split(crops, 1)):
                            case = make(wide)
                            generator = torch.Generator().manual_seed(number)
                            clean = case.operator(case.canvas)
                            y = clean + 2 * noise * torch.randn(clean.shape, generator=generator)
                            operator = on_device(case.operator, device)
                            start = operator.start(y.to(device))
                            draws = torch.Generator().manual_seed(0)

                            def draw(
                                shape: torch.Size = start.shape, g: torch.Generator = draws
                            ) -> Tensor:
                                return torch.randn(shape, generator=g).to(device)

                            mu = last(
                                red_diff(
                                    y.to(device),
                                    operator,
                                    denoiser,
                                    denoiser.schedule,
                                    start,
                                    draw,
                                    steps=steps,
                                    sigma_y=2 * noise,
                                    s_start=chosen,
                                    s_end=end,
                                    prior_weight=weight,
                                )
                            )
                            truth = case.crop(case.canvas)
                            shown = [case.plain(y, noise), case.crop(start.cpu())]
                            shown.append(case.crop(mu.cpu()))
                            values = [float(psnr(x.clamp(-1, 1), truth)) for x in shown]
                            ratio = float(operator.residual(mu, y.to(device))) / (2 * noise)
                            rows.append([*values, ratio])
                        mean = np.mean(rows, axis=0)
                        print(
                            f"{name:18}{steps:6d}{chosen:6.2f}{end:7.3f}{weight:7.2f}"
                            f"{mean[0]:8.2f}{mean[1]:8.2f}{mean[2]:8.2f}{mean[2] - mean[0]:7.2f}"
                            f"{mean[3]:7.2f}",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
