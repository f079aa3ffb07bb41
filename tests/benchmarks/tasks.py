"""Every restoration against its start and against the plain tool a user has.

    python tests/benchmarks/tasks.py FOLDER [--limit 12] [--size 256] [--steps 50] [--noise 0.01]
        [--task superres ...] [--s-start S ...] [--s-end S ...] [--weight W ...] [--model natural]

Takes the centre crop of every k-th picture of FOLDER, damages it with known noise (standard
deviation, of [0, 1]), and prints mean PSNR in dB of the plain tool, of the solver's start and of
the result, how far the result is above the plain tool (mean, and for the worst picture), and the
rms residual over the noise (1 is right). For hdr only the clipped pixels count.

Plain tools: Pillow's bicubic; the better of scikit-image's Wiener and unsupervised Wiener filters
on reflected borders (chosen with the truth, over three settings); the blurred picture itself; one
evaluation of the bare network; clipping; the JPEG decoder.

--weight acts where the weight of the prior is the card's: not on noisy blur and super-resolution
(solvers/through.py).
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.restoration import unsupervised_wiener, wiener
from torch import Tensor
from torch.nn import functional as F

from reddiff_cli.budget import looking
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_denoiser
from reddiff_cli.formats.jpeg import read_jpeg
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.light.response import Response
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.methods import Solving, draws
from reddiff_cli.metrics import psnr
from reddiff_cli.operators import Blur, Exposure, Identity, Operator, measure_jpeg
from reddiff_cli.operators.downsample import bicubic, box
from reddiff_cli.operators.jpeg import SIGMA
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.tasks import Stage
from reddiff_cli.tasks.degrees import level_behind
from reddiff_cli.tasks.jpeg import S_END as JPEG_END
from reddiff_cli.tasks.levels import S_END, noise_levels
from reddiff_cli.tasks.setting import Setting
from reddiff_cli.tiling import Whole
from reddiff_cli.training.photographs import centre_crops, read_photographs

MARGIN = 32  # photograph around a crop, for operators that look beyond it


@dataclass(frozen=True)
class Case:
    """One damaged crop: y, and the truth that `crop` shows of a restored canvas.

    plain: what the plain tool makes of it.    region: where PSNR is taken (None: everywhere).
    """

    operator: Operator
    y: Tensor
    truth: Tensor
    plain: Callable[[Denoiser], Tensor]
    sigma_y: float
    crop: Callable[[Tensor], Tensor] = Tensor.clone
    region: Tensor | None = None
    s_end: float = S_END

    def score(self, x: Tensor) -> float:
        """PSNR of a picture in dB."""
        if self.region is None:
            return float(psnr(x.clamp(-1, 1), self.truth))
        error = (x.clamp(-1, 1) - self.truth)[self.region].double().square().mean()
        return float(10 * torch.log10(4 / error))


Make = Callable[[Tensor, float, torch.Generator], Case]


def noisy(clean: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    return clean + 2 * noise * torch.randn(clean.shape, generator=generator)


def inner(wide: Tensor) -> Tensor:
    return wide[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]


def superres(make: Callable[[int], Operator]) -> Make:
    def case(wide: Tensor, noise: float, generator: torch.Generator) -> Case:
        truth, operator = inner(wide), make(4)
        y = noisy(operator(truth), noise, generator)
        return Case(operator, y, truth, lambda _: pillow_bicubic(y), 2 * noise)

    return case


def pillow_bicubic(y: Tensor) -> Tensor:
    size = (4 * y.shape[3], 4 * y.shape[2])
    planes = [Image.fromarray(c).resize(size, Image.Resampling.BICUBIC) for c in y[0].numpy()]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes]))[None]


def deblur(text: str, *, filtered: bool) -> Make:
    def case(wide: Tensor, noise: float, generator: torch.Generator) -> Case:
        blur, truth = Blur(make_kernel(parse_kernel(text))), inner(wide)
        (top, bottom), (left, right) = blur.margins
        canvas = F.pad(wide, [left - MARGIN, right - MARGIN, top - MARGIN, bottom - MARGIN])
        y = noisy(blur(canvas), noise, generator)

        def plain(_: Denoiser) -> Tensor:
            return best_wiener(blur, y, truth) if filtered else y

        return Case(blur, y, truth, plain, 2 * noise, crop=blur.crop)

    return case


def best_wiener(blur: Blur, y: Tensor, truth: Tensor) -> Tensor:
    pad = 2 * max(blur.kernel.shape)
    padded = F.pad(y, [pad] * 4, mode="reflect")[0].numpy()
    psf = blur.kernel.numpy()
    results = [
        np.stack([wiener(c, psf, balance, clip=False) for c in padded])
        for balance in (0.001, 0.01, 0.1)
    ]
    rng = np.random.default_rng(0)
    automatic = [unsupervised_wiener(c, psf, clip=False, rng=rng)[0] for c in padded]
    tensors = [torch.from_numpy(r)[None].float() for r in (*results, np.stack(automatic))]
    cut = [t[:, :, pad:-pad, pad:-pad].clamp(-1, 1) for t in tensors]
    return max(cut, key=lambda t: float(psnr(t, truth)))


def denoise(wide: Tensor, noise: float, generator: torch.Generator) -> Case:
    truth = inner(wide)
    y = noisy(truth, noise, generator)

    def bare(denoiser: Denoiser) -> Tensor:
        t = denoiser.schedule.nearest_t(2 * noise)
        return denoiser(y, torch.full((len(y),), t))

    return Case(Identity(), y, truth, bare, 2 * noise)


def hdr(wide: Tensor, noise: float, generator: torch.Generator) -> Case:
    """The photograph is the scene; its highlights are lost by 2 stops of over-exposure."""
    truth = inner(wide)
    operator = Exposure(2.0, Response(), max(1.5 / 255, 3 * noise))
    clean = operator(truth)
    y = noisy(clean, noise, generator).clamp(-1, 1)
    level = 2 * operator.level() - 1
    clipped = operator.clipped(y)

    def clipping(_: Denoiser) -> Tensor:
        return torch.where(clipped, torch.full_like(truth, level), operator.start(y))

    region = truth >= level
    return Case(operator, y, truth, clipping, 2 * noise, region=region)


def jpeg(wide: Tensor, noise: float, generator: torch.Generator) -> Case:
    truth = inner(wide)
    eight = ((truth[0] + 1) * 127.5).round().permute(1, 2, 0).to(torch.uint8).numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jpg"
        Image.fromarray(eight).save(path, quality=10)
        file = read_jpeg(path)
        decoded = np.asarray(Image.open(path))
    operator, y = measure_jpeg(file.components, file.colour)
    shown = torch.from_numpy(decoded.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    size = (slice(None), slice(None), slice(file.height), slice(file.width))
    return Case(operator, y, truth, lambda _: shown, SIGMA, crop=lambda x: x[size], s_end=JPEG_END)


CASES: dict[str, tuple[str, Make, float | None]] = {
    "superres": ("superres", superres(bicubic), None),
    "superres-box": ("superres", superres(box), None),
    "gaussian-blurred": ("deblur", deblur("gaussian:2", filtered=False), None),
    "gaussian-wiener": ("deblur", deblur("gaussian:2", filtered=True), None),
    "motion-blurred": ("deblur", deblur("motion:15,30", filtered=False), None),
    "motion-wiener": ("deblur", deblur("motion:15,30", filtered=True), None),
    "hdr": ("hdr", hdr, None),
    "jpeg": ("jpeg", jpeg, None),
    "denoise": ("denoise", denoise, 25 / 255),
}
# The same restoration against two plain tools need not be run twice.
DEFAULT = ["superres", "gaussian-wiener", "motion-wiener", "hdr", "jpeg", "denoise"]


def restore(
    task: str,
    case: Case,
    denoiser: Denoiser,
    card: Card,
    solver: SolverOptions,
    s: float,
    end: float,
    weight: float,
) -> Tensor:
    """The default solver's result on a case."""
    start = case.operator.start(case.y)
    stage = Stage(Whole(0), case.operator, case.y, start, s, case.sigma_y, end, weight)
    here = stage.to(denoiser.device)
    noise = draws(here.start, seed=0)
    return last(Solving(task, here, here.start, noise, denoiser, card, solver).run()).cpu()


def last(iterator: Iterator[tuple[int, Tensor]]) -> Tensor:
    *_, (_, mu) = iterator
    return mu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, nargs="*", default=[0])
    parser.add_argument("--noise", type=float, default=0.01)
    parser.add_argument("--task", nargs="*", default=DEFAULT, choices=list(CASES))
    parser.add_argument("--s-start", type=float, nargs="*", default=[0.0])
    parser.add_argument("--s-end", type=float, nargs="*", default=[0.0])
    parser.add_argument("--weight", type=float, nargs="*", default=[0.0])
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
    print(f"{'plain':>8}{'start':>8}{'result':>8}{'gain':>7}{'worst':>7}{'ratio':>7}")
    for name in asked.task:
        task, make, fixed = CASES[name]
        noise = asked.noise if fixed is None else fixed
        grid = product(asked.steps, asked.s_start, asked.s_end, asked.weight)
        for steps, s_start, s_end, asked_weight in grid:
            solver = SolverOptions(steps=steps or None)
            solver = looking(card, solver) if task == "denoise" else solver
            setting = Setting(card, solver, lambda _: None)
            weight = asked_weight or setting.weight(task)
            rows = []
            for number, wide in enumerate(torch.split(crops, 1)):
                case = make(wide, noise, torch.Generator().manual_seed(number))
                if case.region is not None and not case.region.any():
                    continue
                first, last = noise_levels(task, card, case.sigma_y)
                canvas = case.operator.start(case.y)
                behind = level_behind(task, card, case.operator, canvas, case.sigma_y)
                chosen = s_start or behind or first
                end = s_end or (last if task == "denoise" else case.s_end)
                mu = restore(task, case, denoiser, card, solver, chosen, end, weight)
                shown = case.plain(denoiser), case.crop(canvas), case.crop(mu)
                ratio = float(case.operator.residual(mu, case.y)) / case.sigma_y
                rows.append([*(case.score(x) for x in shown), ratio])
            values = np.array(rows)
            plain, start, result, ratio = values.mean(0)
            worst = (values[:, 2] - values[:, 0]).min()
            print(
                f"{name:18}{solver.evaluations:6d}{chosen:6.2f}{end:7.3f}{weight:7.2f}{plain:8.2f}{start:8.2f}"
                f"{result:8.2f}{result - plain:7.2f}{worst:7.2f}{ratio:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
