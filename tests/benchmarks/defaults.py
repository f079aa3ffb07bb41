"""Why the defaults of `red_diff` are what they are: each constant varied alone.

    python tests/benchmarks/defaults.py FOLDER [--limit 4] [--crop 128] [--steps 50] [--noise 0.02]
        [--model natural]

Centre crops of pictures spread over FOLDER; 70 % of the pixels missing, x4 bicubic, and Gaussian
blur of sigma 2. Prints the mean PSNR of the defaults in dB, and by how much it
changes with each other value: antithetic pairs off, other positions in which the network sees the
picture (denoisers/symmetry.py), the weight kappa of the prior (times the card's), the first and
last level s, no clipping of D, and noise remembered from step to step (xi <- rho xi + sqrt(1 -
rho^2) new) in place of fresh noise.
"""

import argparse
import math
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from tune import score

from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_model
from reddiff_cli.denoisers.symmetry import turned
from reddiff_cli.evaluation.degrade import Specimen, degrade
from reddiff_cli.evaluation.options import Case, make_case
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.methods import LOOKS, SEEN_END
from reddiff_cli.operators import on_device
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.pictures.files import load_picture
from reddiff_cli.planning.jobs import list_pictures
from reddiff_cli.signatures import DrawNoise
from reddiff_cli.solvers import reddiff
from reddiff_cli.solvers.given import Given
from reddiff_cli.solvers.look import Seen
from reddiff_cli.solvers.reddiff import CLIP_ABOVE, SIGMA_FLOOR, Annealing, red_diff
from reddiff_cli.solvers.through import BELIEF, Through
from reddiff_cli.tasks import Setting
from reddiff_cli.tasks.degrees import level_behind
from reddiff_cli.tasks.levels import S_END, noise_levels

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "random 70 %": ("inpaint", {"hole": "random:0.7"}),
    "superres x4": ("superres", {}),
    "gaussian:2": ("deblur", {"kernel": "gaussian:2"}),
}
VARIED: list[tuple[str, dict[str, Any]]] = [
    ("y as mu", {"as_mu": True, "s_end": S_END}),
    *((f"{count} looks", {"looks": count}) for count in (0, 4, 16)),
    ("single draws", {"pairs": False}),
    *((f"turns: {choice}", {"turns": choice}) for choice in ("none", "mirror")),
    *((f"kappa x {k:g}", {"kappa": k}) for k in (0.25, 0.5, 2.0, 4.0)),
    *((f"s_start {s:g}", {"s_start": s}) for s in (0.15, 0.5, 1.0, 3.0, 10.0)),
    ("s_start 3, no clipping", {"s_start": 3.0, "clip": False}),
    *((f"s_end {s:g}", {"s_end": s}) for s in (0.02, 0.05, 0.1)),
    *((f"noise memory {rho:g}", {"rho": rho}) for rho in (0.2, 0.5, 0.9)),
]


def defaults(case: Case, specimen: Specimen, card: Card, steps: int) -> dict[str, Any]:
    """What the commands run with."""
    task = case.task
    sigma = 2 * case.noise
    first, last = noise_levels(task, card, sigma)
    weight = Setting(card, SolverOptions(steps=steps), lambda _: None).weight(task)
    usual: dict[str, Any] = {"s_start": first, "turns": card.turns, "weight_of_mu": weight}
    if task != "inpaint":
        start = specimen.start
        first = level_behind(task, card, specimen.operator, start, sigma) or first
        return usual | {"s_start": first, "s_end": max(last, sigma), "prior_weight": BELIEF}
    return usual | {
        "s_end": max(last, SEEN_END * sigma),
        "looks": min(LOOKS, 2 * (steps // 10)),
        "prior_weight": weight,
    }


def remembering(draw: DrawNoise, rho: float, draws: int) -> DrawNoise:
    """Noise of unit variance, with correlation rho to that of the step before.

    draws: calls in a step, each of which remembers its own.
    """
    last: list[Tensor] = []

    def remembered() -> Tensor:
        new = draw()
        if len(last) == draws:
            new = rho * last.pop(0) + math.sqrt(1 - rho**2) * new
        last.append(new)
        return new

    return remembered


def restore(specimen: Specimen, denoiser: Denoiser, steps: int, settings: dict[str, Any]) -> float:
    """PSNR in dB of one picture; settings: of `red_diff`, kappa, rho, turns, as_mu, clip."""
    given = dict(settings)
    weight_of_mu, as_mu = given.pop("weight_of_mu"), given.pop("as_mu", False)
    if as_mu:
        given["prior_weight"] = weight_of_mu
    given["prior_weight"] *= given.pop("kappa", 1.0)
    generator, device = torch.Generator().manual_seed(0), denoiser.device
    start, y = specimen.start.to(device), specimen.y.to(device)
    operator, sigma = on_device(specimen.operator, device), 2 * specimen.noise
    direct = getattr(operator, "direct", None)
    seen = None if direct is None or as_mu else Seen(direct, y, sigma)
    through = Through(operator, y, sigma) if direct is None and not as_mu else None
    looks = given.pop("looks", 0)
    reddiff.CLIP_ABOVE = CLIP_ABOVE if given.pop("clip", True) else math.inf
    draw = remembering(
        lambda: torch.randn(start.shape, generator=generator).to(device),
        given.pop("rho", 0.0),
        draws=2 if through else 1,
    )
    *_, (_, mu) = red_diff(
        Given(y, operator, turned(denoiser, given.pop("turns")), denoiser.schedule, start, draw),
        Annealing(steps, max(sigma, SIGMA_FLOOR), looks=looks if seen else 0, **given),
        seen or through,
    )
    return score(mu, specimen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--noise", type=float, default=0.02)
    parser.add_argument("--model", default="natural")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    card, device = find_model(asked.model), choose_device(asked.device)
    denoiser = load_model(card, device, choose_dtype("auto", device))
    paths = list_pictures([asked.folder], True)
    paths = paths[:: max(1, len(paths) // asked.limit)][: asked.limit]
    work = []
    for name, (task, flags) in CASES.items():
        case = make_case(task, flags, asked.noise)
        specimens = [degrade(load_picture(path), case, asked.crop, 0) for path in paths]
        work.append((name, defaults(case, specimens[0], card, asked.steps), specimens))
    print(
        f"{len(paths)} crops of {asked.crop}x{asked.crop}, noise {asked.noise:g}, {asked.steps} "
        f"evaluations, {card.name}"
    )
    print(f"{'':24}" + "".join(f"{name:>14}" for name, *_ in work))
    usual: list[float] = []
    for label, changes in [("defaults", {}), *VARIED]:
        values = [
            fmean(restore(s, denoiser, asked.steps, settings | changes) for s in specimens)
            for _, settings, specimens in work
        ]
        shown = [f"{v - u:+.2f}" for v, u in zip(values, usual, strict=True)] if usual else []
        usual = usual or values
        cells = shown or [f"{value:.2f} dB" for value in values]
        print(f"{label:24}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
