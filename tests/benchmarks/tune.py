"""How the baselines of `reddiff eval` depend on their constants: a grid for each of them.

    python tests/benchmarks/tune.py FOLDER [--limit 2] [--crop 128] [--steps 25] [--noise 0.05]
        [--task superres ...] [--method diffpir ...] [--s-start 0 1 10] [--model natural]

FOLDER must hold other pictures than those of the tables that the constants are for. Prints the
mean PSNR in dB of the 8-bit results, best first; s_start 0 is the top of the schedule, which is
what the publications do. A * marks the constants that `reddiff --method` uses.
"""

import argparse
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_model
from reddiff_cli.evaluation.degrade import Specimen, degrade
from reddiff_cli.evaluation.evaluate import eight_bits
from reddiff_cli.evaluation.options import Case, make_case
from reddiff_cli.machine.computing import choose_device, choose_dtype
from reddiff_cli.methods import Solving
from reddiff_cli.metrics import psnr
from reddiff_cli.options.common import TASKS, SolverOptions
from reddiff_cli.pictures.files import load_picture
from reddiff_cli.planning.jobs import list_pictures
from reddiff_cli.restore import Restorer
from reddiff_cli.solvers import ddrm, diffpir, dps, pigdm
from reddiff_cli.solvers.reddiff import SIGMA_SINGLE
from reddiff_cli.tasks import Setting, Stage
from reddiff_cli.tasks.problem import to_pixels
from reddiff_cli.tiling import Whole

CASES = {
    "inpaint": {"hole": "random:0.7"},
    "superres": {"scale": 4, "downsample": "box"},
    "deblur": {"kernel": "gaussian:2"},
}
Constants = dict[str, float]


def solve(
    name: str,
    task: str,
    stage: Stage,
    denoiser: Denoiser,
    steps: int,
    constants: Constants,
) -> Tensor:
    """What a method makes of a stage with these constants, wired as in the command; on the CPU."""
    given = dict(constants)
    known: dict[str, Any] = {"steps": steps, "s_start": given.pop("s_start", 0) or None}
    if name == "reddiff-paper":
        solver = SolverOptions(preset="paper", **known, **given)
    else:
        solver = SolverOptions(method=name, **known)
    here = stage.to(denoiser.device)
    generator = torch.Generator().manual_seed(0)

    def draw() -> Tensor:
        one = torch.randn(here.start[:1].shape, generator=generator)  # every picture gets the same
        return one.expand(here.start.shape).to(denoiser.device)

    card = Card("none", Path())  # says only how ours is run
    solving = Solving(task, here, here.start, draw, denoiser, card, solver, given)
    *_, (_, x) = solving.run()
    return x.cpu()


def whole(specimen: Specimen) -> Stage:
    """A specimen that a method sees in one piece; what was measured has not been rounded."""
    about = (Whole(0), specimen.operator, specimen.y, specimen.start)
    return Stage(*about, s_start=1.0, sigma_y=2 * specimen.noise, sigma_least=SIGMA_SINGLE)


def grid(
    name: str, task: str, steps: int, starts: list[float], card: Card, crop: int
) -> tuple[list[Constants], Constants]:
    """All constants to try, and those that are in use."""
    zeta, weight = diffpir.SETTINGS[task]
    usual = dps.default_zeta(task, steps, crop**2)
    start = card.chain_starts.get(name, 0)
    defaults = TASKS[task]
    in_use: Constants = {
        "reddiff-paper": {"lr": defaults.paper_lr, "prior_weight": defaults.paper_weight_noisy},
        "dps": {"zeta": usual, "s_start": start},
        "pigdm": {"eta": pigdm.ETA, "s_start": start},
        "ddrm": {"eta": ddrm.ETA, "s_start": start},
        "diffpir": {"zeta": zeta, "weight": weight, "s_start": start},
    }[name]
    axes: dict[str, list[float]] = {
        "reddiff-paper": {"lr": [0.02, 0.05, 0.1, 0.25, 0.5], "prior_weight": [0.06, 0.25, 1, 4]},
        "dps": {"zeta": [usual * factor for factor in (0.3, 1, 3)], "s_start": starts},
        "pigdm": {"eta": [0, 0.5, 1], "s_start": starts},
        "ddrm": {"eta": [0, 0.5, 0.85, 1], "s_start": starts},
        "diffpir": {"zeta": [0.1, 0.3, 1], "weight": [1, 4, 7, 15], "s_start": starts},
    }[name]
    tried = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return tried if in_use in tried else [in_use, *tried], in_use


def restored(restorer: Restorer, case: Case, specimen: Specimen, solver: SolverOptions) -> Tensor:
    """What the command writes with these options, (1, C, H, W) in [-1, 1], on the CPU."""
    restorer = restorer.like(solver, case.options)
    problem = specimen.pose(Setting(restorer.card, solver, lambda _: None, restorer.machine))
    for stage in problem.stages():
        mu, _ = restorer.solve(stage)
        problem.accept(stage, mu)
    return torch.from_numpy(problem.finish().pixels).permute(2, 0, 1)[None] * 2 - 1


def score(x: Tensor, specimen: Specimen) -> float:
    pixels = torch.from_numpy(eight_bits(to_pixels(specimen.crop(x.cpu()))))
    return float(psnr(pixels.permute(2, 0, 1)[None] * 2 - 1, specimen.truth))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=2)
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--noise", type=float, default=0.05)
    parser.add_argument("--task", nargs="*", default=list(CASES), choices=list(CASES))
    methods = ["reddiff-paper", "dps", "pigdm", "ddrm", "diffpir"]
    parser.add_argument("--method", nargs="*", default=methods, choices=methods)
    parser.add_argument("--s-start", type=float, nargs="*", default=[0, 1, 10])
    parser.add_argument("--model", default="natural")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()

    card, device = find_model(asked.model), choose_device(asked.device)
    denoiser = load_model(card, device, choose_dtype("auto", device))
    paths = list_pictures([asked.folder], True)[: asked.limit]
    print(f"{len(paths)} crops of {asked.crop}x{asked.crop}, {card.name} on {device}")
    for task in asked.task:
        case = make_case(task, CASES[task], asked.noise)
        specimens = [degrade(load_picture(path), case, asked.crop, 0) for path in paths]
        began = fmean(score(specimen.start, specimen) for specimen in specimens)
        print(f"{task}: start {began:.2f} dB")
        for name in asked.method:
            if name == "ddrm" and not hasattr(specimens[0].operator, "spectrum"):
                continue
            tried, in_use = grid(name, task, asked.steps, asked.s_start, card, asked.crop)
            results = []
            for constants in tried:
                values = []
                for specimen in specimens:
                    x = solve(name, task, whole(specimen), denoiser, asked.steps, constants)
                    values.append(score(x, specimen))
                results.append((fmean(values), constants))
            for value, constants in sorted(results, key=lambda r: -r[0]):
                mark = "*" if constants == in_use else " "
                text = "  ".join(f"{key} {number:.3g}" for key, number in constants.items())
                print(f"  {name:14}{asked.steps:5d}{value:8.2f} dB {mark} {text}", flush=True)


if __name__ == "__main__":
    main()
