"""The tables of README.md beside this: RED-diff and its peers, every peer tuned, measured alike.

    python tests/benchmarks/comparison.py FOLDER --state DIR [--shard I/N] [--crop 256]
        [--tuning-crop 64] [--limit 12] [--noise 0 0.05] [--method reddiff ...]
        [--ours 20 50 100] [--dps 50] [--case "free-form 20 %"] [--group 1] [--show]
        [--model natural]

FOLDER: photographs. The two whose centres have the median activity serve for tuning, --limit
others, spread over the sorted names, for the table. Centre crops; free-form holes of 20 %, 70 % of
the pixels missing, x4 by box means, Gaussian blur of sigma 3 with a circular border (so that DDRM
has its singular values). The free-form holes have wide parts, which every method gets filled with
patches, as `reddiff` does, but for the published form of RED-diff, which starts from grey;
elsewhere peers start from the smooth filling.

Tuning: PSNR on the 2 pictures (free-form holes: on crops of twice the side, with their patches),
one constant after the other until none gets better, from the published ones; the first noise level
s_start among them, as the top of the schedule lies beyond what a small prior was trained for.
PiGDM is tuned at 30 evaluations, DPS and DiffPIR at 50; zeta of DPS goes with the side of the
crop, as the norm in its step does, and falls as evaluations rise. Ours runs as `reddiff` does by
default. --ours and --dps say at how many evaluations each of them stands in the table.

DIR keeps what is done, so that a run goes on where it was stopped: tuned-*.json, rows-*.jsonl.
Shards split first the tuning and then the pictures among processes; --method tunes and measures
these alone (start, ddrm, pigdm, dps, diffpir, reddiff-paper, reddiff), --case measures one column.
--group measures peers on so many pictures in one batch, which a GPU needs to be busy; `seconds`
are then those of the batch, shared equally. Noise and results are those of single pictures.
--show prints the table of the methods asked for, on the pictures that all of them have done.
"""

import argparse
import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from tune import Constants, restored, score, solve, whole

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.evaluation.degrade import Specimen, degrade
from reddiff_cli.evaluation.evaluate import eight_bits
from reddiff_cli.evaluation.options import Case, make_case
from reddiff_cli.machine.computing import choose_device
from reddiff_cli.machine.memory import forget_peak, peak_memory
from reddiff_cli.metrics import ssim
from reddiff_cli.operators import Inpaint
from reddiff_cli.options.common import TASKS, MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.pictures.files import load_picture
from reddiff_cli.planning.jobs import list_pictures
from reddiff_cli.restore import Restorer
from reddiff_cli.solvers import ddrm, diffpir, dps, pigdm
from reddiff_cli.tasks import Setting
from reddiff_cli.tasks.problem import to_pixels

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "free-form 20 %": ("inpaint", {"hole": "freeform:0.2"}),
    "random 70 %": ("inpaint", {"hole": "random:0.7"}),
    "superres x4": ("superres", {"scale": 4, "downsample": "box"}),
    "gaussian:3": ("deblur", {"kernel": "gaussian:3", "boundary": "circular"}),
}
# Cases whose holes have wide parts.
PATCHED = ("free-form 20 %",)
# Evaluations in the table, and while tuning.
PEERS = {
    "ddrm": ([20], 20),
    "pigdm": ([50], 30),
    "dps": ([50], 50),
    "diffpir": ([50], 50),
    "reddiff-paper": ([100], 100),
}
OURS = [20, 50, 100]
# Axes that go on beyond their ends while it gets better there, up to so many values.
OPEN_ENDED, LONGEST = ("factor", "weight", "lr", "prior_weight"), 16
LEVELS = (0.3, 1.0, 3.0, 10.0)


@dataclass
class Bench:
    """What all rows share."""

    restorer: Restorer
    state: Path
    shard: str
    methods: dict[str, list[int]]  # what is asked for, and at how many evaluations

    def rows(self) -> list[dict[str, Any]]:
        """Everything measured so far, by any shard."""
        found = []
        for path in sorted(self.state.glob("rows-*.jsonl")):
            found += [json.loads(line) for line in path.read_text().splitlines()]
        return found

    def add(self, row: dict[str, Any]) -> None:
        with (self.state / f"rows-{self.shard}.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")


def axes(name: str, task: str) -> tuple[Constants, dict[str, list[float]]]:
    """Published constants, and what is tried of each; `factor` multiplies zeta of DPS."""
    if name == "ddrm":
        return {"s_start": 1, "eta": ddrm.ETA}, {"s_start": [*LEVELS], "eta": [0, 0.5, 0.85, 1]}
    if name == "pigdm":
        return {"s_start": 1, "eta": pigdm.ETA}, {"s_start": [*LEVELS], "eta": [0, 0.5, 1]}
    if name == "dps":
        return {"s_start": 1, "factor": 1}, {"s_start": [*LEVELS], "factor": [0.1, 0.3, 1, 3]}
    if name == "diffpir":
        zeta, weight = diffpir.SETTINGS[task]
        tried = {"s_start": [*LEVELS], "zeta": [0.1, 0.3, 1.0], "weight": [1.0, 4.0, 15.0]}
        return {"s_start": 1, "zeta": zeta, "weight": weight}, tried
    known = TASKS[task]
    tried = {"lr": [0.02, 0.05, 0.1, 0.25, 0.5], "prior_weight": [0.25, 1.0, 4.0, 16.0]}
    return {"lr": known.paper_lr, "prior_weight": known.paper_weight_noisy}, tried


def run_peer(
    name: str, case: Case, specimen: Specimen, bench: Bench, steps: int, constants: Constants
) -> Tensor:
    """The result of one peer that sees the specimen in one piece, (1, C, H, W) on the CPU."""
    given = scaled(constants, case, specimen, steps)
    return solve(name, case.task, whole(specimen), bench.restorer.denoiser, steps, given)


def run_patched(
    name: str, case: Case, specimen: Specimen, bench: Bench, steps: int, constants: Constants
) -> Tensor:
    """A peer with what the command gives to all methods: patches in wide holes, windows."""
    if name == "reddiff-paper":
        return run_peer(name, case, specimen, bench, steps, constants)  # it starts from grey
    given = scaled(constants, case, specimen, steps)
    solver = SolverOptions(method=name, noise=case.noise)
    setting = Setting(bench.restorer.card, solver, lambda _: None, bench.restorer.machine)
    problem = specimen.pose(setting)
    ours = bench.restorer.like(solver, case.options)
    for stage in problem.stages():
        if stage.shared:
            x, _ = ours.solve(stage)
        else:
            x = solve(name, case.task, stage, bench.restorer.denoiser, steps, given)
        problem.accept(stage, x)
    return torch.from_numpy(problem.finish().pixels).permute(2, 0, 1)[None] * 2 - 1


def scaled(constants: Constants, case: Case, specimen: Specimen, steps: int) -> Constants:
    """The constants for pictures of this size."""
    given = dict(constants)
    if "factor" in given:
        pixels = specimen.truth.shape[-1] ** 2
        given["zeta"] = given.pop("factor") * dps.default_zeta(case.task, steps, pixels)
    return given


def together(specimens: list[Specimen]) -> Specimen:
    """One batch of specimens that differ in picture and hole alone."""
    operators = [s.operator for s in specimens]
    operator = operators[0]
    if isinstance(operator, Inpaint):
        operator = Inpaint(torch.cat([o.known for o in operators if isinstance(o, Inpaint)]))
    pictures = {
        key: torch.cat([getattr(s, key) for s in specimens]) for key in ("truth", "y", "start")
    }
    return replace(specimens[0], operator=operator, **pictures)


def run_ours(case: Case, specimen: Specimen, bench: Bench, steps: int) -> Tensor:
    """What the command writes by default at these evaluations, (1, C, H, W)."""
    return restored(bench.restorer, case, specimen, SolverOptions(steps=steps, noise=case.noise))


def typical(paths: list[Path], crop: int) -> list[Path]:
    """The two pictures in the middle, ordered by how much neighbours differ in their centres."""
    case = make_case("denoise", {}, 0.0)

    def activity(path: Path) -> float:
        x = degrade(load_picture(path), case, crop, 0).truth
        return float(x.diff(dim=2).abs().mean() + x.diff(dim=3).abs().mean())

    middle = len(paths) // 2 - 1
    return sorted(paths, key=activity)[middle : middle + 2]


def tune(name: str, title: str, case: Case, specimens: list[Specimen], bench: Bench) -> Constants:
    """The best constants, one after the other until none gets better; kept in a file."""
    slug = re.sub("[^a-z0-9]+", "-", title).strip("-")  # Windows allows no colon in a name
    path = bench.state / f"tuned-{name}-{slug}-{case.noise:g}.json"
    if path.exists():
        return dict(json.loads(path.read_text())["constants"])
    best, tried = axes(name, case.task)
    seen: dict[str, float] = {}

    def value(constants: Constants) -> float:
        key = json.dumps(constants, sort_keys=True)
        most, schedule = max(bench.methods[name]), bench.restorer.denoiser.schedule
        if "s_start" in constants and schedule.levels_from(constants["s_start"]) < most:
            return -math.inf
        if key not in seen:
            run, steps = run_patched if title in PATCHED else run_peer, PEERS[name][1]
            seen[key] = fmean(
                score(run(name, case, s, bench, steps, constants), s) for s in specimens
            )
        return seen[key]

    before = None
    while before != best:
        before = best
        for axis, values in tried.items():
            best = max((best, *(best | {axis: v} for v in values)), key=value)
            at_an_end = best[axis] in (min(values), max(values))
            if axis in OPEN_ENDED and at_an_end and len(values) < LONGEST:
                values.append(best[axis] * (4 if best[axis] == max(values) else 0.25))
                before = None
    path.write_text(json.dumps({"constants": best, "psnr": value(best), "tried": seen}, indent=1))
    print(f"tuned {name}, {title}, noise {case.noise:g}: {best} {value(best):.2f} dB", flush=True)
    return best


def measure(paths: list[Path], title: str, case: Case, crop: int, bench: Bench) -> Iterator[str]:
    """All rows of some pictures that are missing."""
    done = {(r["case"], r["noise"], r["picture"], r["method"]) for r in bench.rows()}
    for name, steps, label in rows_asked(bench):
        missing = [p for p in paths if (title, case.noise, p.name, label) not in done]
        if not missing:
            continue
        specimens = [degrade(load_picture(path), case, crop, 0) for path in missing]
        device = bench.restorer.device
        forget_peak(device)
        began = time.perf_counter()
        if name == "start":
            results = [s.crop(s.start) for s in specimens]
        elif name == "reddiff":
            results = [run_ours(case, s, bench, steps) for s in specimens]
        else:
            constants = tune(name, title, case, [], bench)
            if title in PATCHED:
                results = [run_patched(name, case, s, bench, steps, constants) for s in specimens]
            else:
                batch = together(specimens)
                results = list(
                    batch.crop(run_peer(name, case, batch, bench, steps, constants)).split(1)
                )
        cost = {
            "seconds": (time.perf_counter() - began) / len(missing),
            "mb": peak_memory(device)[0],
            "device": device.type,
        }
        for path, specimen, x in zip(missing, specimens, results, strict=True):
            shown = torch.from_numpy(eight_bits(to_pixels(x))).permute(2, 0, 1)[None] * 2 - 1
            about = {"case": title, "noise": case.noise, "picture": path.name, "method": label}
            quality = {"psnr": score(x, specimen), "ssim": float(ssim(shown, specimen.truth))}
            bench.add(about | {"nfe": steps} | quality | cost)
            yield f"{title}, noise {case.noise:g}, {path.name}: {label} {quality['psnr']:.2f} dB"


def rows_asked(bench: Bench) -> list[tuple[str, int, str]]:
    """Method, evaluations and label of each row of the table."""
    pairs = [(name, steps) for name, counts in bench.methods.items() for steps in counts]
    return [(name, steps, f"{name}-{steps}" if steps else name) for name, steps in pairs]


def show(bench: Bench) -> None:
    """One Markdown table for each noise: dB, and SSIM where all rows of a cell have it; the best
    PSNR of each column in bold.
    """
    rows = comparable(bench)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    for noise in sorted({row["noise"] for row in rows}):
        print(f"\n| noise {noise:g} | evaluations | s | MB | {' | '.join(CASES)} |")
        print("|---" * (4 + len(CASES)) + "|")
        here = [row for row in rows if row["noise"] == noise]
        best = {}
        for title in CASES:
            block = [mean(here, "psnr", title, method) for method in methods]
            best[title] = max(block)
        for method in methods:
            # Seconds and memory of this device alone: rows of several may stand together.
            mine = [row for row in here if row.get("device", "cpu") == bench.restorer.device.type]
            cost = [mean(mine, key, None, method) for key in ("nfe", "seconds", "mb")]
            cells = [f"{cost[0]:.0f}", f"{cost[1]:.1f}", f"{cost[2]:.0f}"]
            for title in CASES:
                psnr = mean(here, "psnr", title, method)
                shown = f"**{psnr:.2f}**" if psnr == best[title] else f"{psnr:.2f}"
                block = [r for r in here if r["method"] == method and r["case"] == title]
                if block and all("ssim" in row for row in block):
                    shown += f" / {mean(block, 'ssim', title, method):.3f}"
                cells.append(shown)
            print(f"| {method} | {' | '.join(cells)} |")
    count = Counter((row["case"], row["noise"], row["method"]) for row in rows)
    print(f"\n{min(count.values())} to {max(count.values())} pictures a cell")


def comparable(bench: Bench) -> list[dict[str, Any]]:
    """Rows of the methods asked for, on the pictures of a block that all of them have done."""
    labels = [label for _, _, label in rows_asked(bench)]
    rows = [row for row in bench.rows() if row["method"] in labels]
    done = Counter((row["case"], row["noise"], row["picture"]) for row in rows)
    rows = [r for r in rows if done[r["case"], r["noise"], r["picture"]] == len(labels)]
    return sorted(rows, key=lambda row: labels.index(row["method"]))


def mean(rows: list[dict[str, Any]], key: str, title: str | None, method: str) -> float:
    """Of one key over the rows of a method, of one case or of all."""
    mine = [r for r in rows if r["method"] == method and title in (None, r["case"])]
    return fmean(row[key] or 0 for row in mine) if mine else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--shard", default="0/1")
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--tuning-crop", type=int, default=64)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--noise", type=float, nargs="*", default=[0.0, 0.05])
    known = ["start", *PEERS, "reddiff"]
    parser.add_argument("--method", nargs="*", default=known, choices=known)
    parser.add_argument("--ours", type=int, nargs="*", default=OURS)
    parser.add_argument("--dps", type=int, nargs="*", default=PEERS["dps"][0])
    parser.add_argument("--case", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--group", type=int, default=1)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--model", default="natural")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    asked.state.mkdir(parents=True, exist_ok=True)
    index, count = (int(part) for part in asked.shard.split("/"))
    machine = MachineOptions(device=str(choose_device(asked.device)))
    cases = {
        (title, noise): make_case(task, flags, noise)
        for title, (task, flags) in CASES.items()
        if title in asked.case
        for noise in asked.noise
    }
    first = next(iter(cases.values())).options
    card = find_model(asked.model)
    restorer = Restorer(card, SolverOptions(), machine, first, OutputOptions(), together=False)
    counts = {"start": [0]} | {name: steps for name, (steps, _) in PEERS.items()}
    counts |= {"reddiff": asked.ours, "dps": asked.dps}
    methods = {name: counts[name] for name in known if name in asked.method}
    bench = Bench(restorer, asked.state, str(index), methods)
    if asked.show:
        return show(bench)
    paths = list_pictures([asked.folder], True)
    tuning = typical(paths, asked.tuning_crop)
    others = [path for path in paths if path not in tuning]
    table = others[:: max(1, len(others) // asked.limit)][: asked.limit]
    peers = [name for name in PEERS if name in asked.method]
    for (title, _), case in list(cases.items())[index::count]:
        side = asked.tuning_crop * (2 if title in PATCHED else 1)  # wide holes need room
        specimens = [degrade(load_picture(p), case, side, 0) for p in tuning]
        for name in peers:
            tune(name, title, case, specimens, bench)
    if any(len(list(asked.state.glob(f"tuned-{n}-*.json"))) < len(cases) for n in peers):
        raise SystemExit("other shards are still tuning: run this one again when they are done")
    mine = table[index::count]
    for first_of_group in range(0, len(mine), asked.group):
        group = mine[first_of_group : first_of_group + asked.group]
        for (title, _), case in cases.items():
            for line in measure(group, title, case, asked.crop, bench):
                print(line, flush=True)
    return None


if __name__ == "__main__":
    main()
