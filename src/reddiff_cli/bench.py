"""How fast this machine is: start-up, the network alone, and the solver's loop around it.

Everything that is compared takes turns, so that other load on the machine meets all alike; figures
are medians, and a GPU is waited for before a clock is read.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .checkpoints.cards import Card
from .denoisers.denoiser import Denoiser, load_model
from .kernels.tensors import make_kernel
from .machine.memory import peak_memory
from .methods import LOOKS, Solving, Steps, draws
from .operators import Blur, Identity, Inpaint, Operator
from .operators.downsample import bicubic
from .options.common import STEPS, SolverOptions
from .options.kernelspec import parse_kernel
from .tasks import Stage
from .tasks.levels import noise_levels
from .tiling import Whole, patchwork

SIGMA = 0.02  # noise of the measurements, in [-1, 1] units
# Rows of the batches whose evaluations are timed.
BATCHES = (1, 4, 8)
SOLVED = ("denoise", "superres", "deblur", "inpaint")


@dataclass(frozen=True)
class Loop:
    """Seconds per step of one task, of the loop and of the bare network in turns with it.

    rows: evaluations of a step, in one batch: both signs of the noise, or one look at a noisy
    picture.
    """

    task: str
    loop: list[float]
    network: list[float]
    rows: int = 2

    @property
    def overhead(self) -> float:
        """What the loop takes beyond the network, in percent: the middle one of all turns."""
        ratios = [a / b for a, b in zip(self.loop, self.network, strict=True)]
        return 100 * (statistics.median(ratios) - 1)


def scene(size: int, channels: int = 3) -> Tensor:
    """Waves and a few edges, (1, channels, size, size) in [-1, 1]."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = [torch.sin(x / (5.0 + c)) * torch.cos(y / (9.0 - c)) for c in range(channels)]
    edges = ((x // 24 + y // 40) % 2) * 0.6 - 0.3
    return (0.6 * torch.stack(waves) + edges)[None]


def make_stage(task: str, size: int, card: Card, channels: int = 3) -> Stage:
    """A measurement of the scene, on the CPU, as the task's command would pose it.

    channels: those of the prior; one that is grey would see three pictures for each of colour.
    """
    x = scene(size, channels)
    generator = torch.Generator().manual_seed(0)
    known = (torch.rand(1, 1, size, size, generator=generator) > 0.3).float()
    operators: dict[str, Operator] = {
        "denoise": Identity(),
        "superres": bicubic(4),
        "deblur": Blur(make_kernel(parse_kernel("gaussian:2"))),
        "inpaint": Inpaint(known),
    }
    operator = operators[task]
    y = operator(x)
    y = y + SIGMA * torch.randn(y.shape, generator=generator)
    start = operator.start(y)
    s_start, s_end = noise_levels(task, card, SIGMA)
    weight = card.prior_weights.get(task, 1.0)
    stage = Stage(Whole(0), operator, y, start, s_start, SIGMA, s_end, weight)
    if task != "inpaint":
        return stage
    work = patchwork((size, size), [(0, 0)], size, 0)
    known, y, start = (work.take(part) for part in (known, y, start))
    return replace(stage, view=work, operator=Inpaint(known), y=y, start=start)


def solve(stage: Stage, task: str, denoiser: Denoiser, card: Card, steps: int) -> Steps:
    """The default solver on a stage, step by step."""
    here = stage.to(denoiser.device)
    solver = SolverOptions(steps=steps)
    return Solving(task, here, here.start, draws(here.start, 0), denoiser, card, solver).run()


def in_turns(
    calls: Mapping[str, Callable[[], object]], repeats: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each call, `repeats` times, one after the other in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(clocked(call, device))
    return seconds


def clocked(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call, until the device has done what it was told."""
    _wait(device)
    began = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def bare_call(denoiser: Denoiser, batch: int, height: int, width: int) -> Callable[[], Tensor]:
    """The network alone on pictures of its own type and layout."""
    shape = (batch, denoiser.channels, height, width)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    x = x.to(denoiser.device, denoiser.dtype)
    t = torch.full((batch,), 100, device=denoiser.device)

    @torch.no_grad()
    def call() -> Tensor:
        out: Tensor = denoiser.network(x, t)
        return out

    return call


def measure_loop(task: str, denoiser: Denoiser, card: Card, size: int, repeats: int) -> Loop:
    """The loop of one task and the bare network in turns, after one step of warming up."""
    stage = make_stage(task, size, card, denoiser.channels)
    rows = 1 if task == "denoise" else 2
    # What is measured ends before the looks at noisy pixels, which have one row.
    steps = solve(stage, task, denoiser, card, max(20, 2 * (repeats + 1)) + LOOKS)
    next(steps)
    # A canvas may be larger than the picture, and is padded for the network.
    height, width = (size, size) if task == "inpaint" else stage.start.shape[2:]
    bare = bare_call(denoiser, rows, denoiser.padded(height), denoiser.padded(width))
    bare()
    seconds = in_turns({"loop": lambda: next(steps), "network": bare}, repeats, denoiser.device)
    return Loop(task, seconds["loop"], seconds["network"], rows)


def measure(
    card: Card,
    device: torch.device,
    dtype: torch.dtype,
    *,
    size: int = 256,
    repeats: int = 5,
    graphs: bool = False,
) -> dict[str, Any]:
    """Everything that `reddiff bench` tells; keys are never renamed."""
    began = time.perf_counter()
    denoiser = load_model(card, device, dtype, graphs)
    _wait(device)
    loaded = time.perf_counter()
    calls = {batch: bare_call(denoiser, batch, *[denoiser.padded(size)] * 2) for batch in BATCHES}
    first = clocked(calls[BATCHES[0]], device)
    evaluations = []
    for batch, call in calls.items():
        call()
        seconds = statistics.median(in_turns({"": call}, repeats, device)[""])
        evaluations.append({"batch": batch, "seconds": round(seconds / batch, 5)})
    loops = [measure_loop(task, denoiser, card, size, repeats) for task in SOLVED]
    each = statistics.median(second / loop.rows for loop in loops for second in loop.loop)
    return {
        "model": card.name,
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "path": f"{denoiser.path}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "size": size,
        "load_seconds": round(loaded - began, 3),
        "first_evaluation_seconds": round(first, 3),
        "evaluations": evaluations,
        "loops": [
            {
                "task": loop.task,
                "network_seconds": round(statistics.median(loop.network) / loop.rows, 5),
                "loop_seconds": round(statistics.median(loop.loop) / loop.rows, 5),
                "overhead_percent": round(loop.overhead, 1),
            }
            for loop in loops
        ],
        "pictures_per_minute": round(60 / (each * STEPS["standard"]), 2),
        "peak_memory_mb": peak_memory(device)[0],
    }
