"""How long a stage will take on a CPU, said before its first step.

The pixels that the network will see, times what a pixel costs on this machine; those by which a
small picture is continued count as any other.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from .batching import Batcher
from .denoiser import Denoiser
from .tasks import Stage

# Side of the picture that is timed, after a smaller one that wakes the kernels up; twice, and the
# quicker one counts, as the first of every size chooses its kernels: folders of jpeg were foretold
# 1.4 and 1.9 times what they took by the first, 1.1 and 1.4 times by the second.
PROBE, FIRST, TIMES = 128, 64, 2
# Seconds of the first one from which it serves itself: a large network needs no waking up.
SLOW = 1.0
# Work below which nobody needs to know: pixels x evaluations x parameters, a few seconds' worth.
SMALL = 20 * 256**2 * 11e6
# An evaluation and the way back through it, in evaluations; measured: 2.1 to 2.5.
RECORDED = 2.5


class Foreteller:
    """Remembers what a pixel costs; one for each run."""

    def __init__(self) -> None:
        self._seconds: float | None = None

    def seconds(
        self, stage: Stage, denoiser: Denoiser | Batcher, evaluations: int, *, recorded: bool
    ) -> float | None:
        """Of all evaluations of a stage, without its data steps; None: too few to ask."""
        if isinstance(denoiser, Batcher):
            return None
        pixels = (
            pixels_seen(stage, denoiser.pixels) * evaluations * (RECORDED if recorded else 1.0)
        )
        if pixels * denoiser.parameters < SMALL:
            return None
        if self._seconds is None:
            self._seconds = _time_pixel(denoiser)
        return pixels * self._seconds


def pixels_seen(stage: Stage, of: Callable[[Tensor], int]) -> int:
    """Pixels that go through the network in one evaluation, overlaps included.

    of: how many a batch has, as the network sees it.
    """
    count = 0

    def look(z: Tensor, _: Tensor) -> Tensor:
        nonlocal count
        count += of(z)
        return z

    start = stage.start
    stage.view.denoise(look, start, torch.zeros(len(start), dtype=torch.long))
    return count


def _time_pixel(denoiser: Denoiser) -> float:
    first = _time(denoiser, FIRST)
    if first > SLOW:
        return first / denoiser.padded(FIRST) ** 2
    return min(_time(denoiser, PROBE) for _ in range(TIMES)) / denoiser.padded(PROBE) ** 2


def _time(denoiser: Denoiser, side: int) -> float:
    z = torch.zeros(1, denoiser.channels, side, side)
    began = time.perf_counter()
    denoiser(z, torch.zeros(1, dtype=torch.long))
    return time.perf_counter() - began
