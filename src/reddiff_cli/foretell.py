"""How long a stage will take on a CPU, said before its first step.

The pixels that the network will see, times what a pixel costs on this machine; those by which a
small picture is continued count as any other. What data steps take besides shows at the second.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from .denoisers.batching import Batcher
from .denoisers.denoiser import Denoiser
from .tasks import Stage

# Evaluations done, evaluations of this stage, and how to get the residual (which takes time).
OnStep = Callable[[int, int, Callable[[], float]], None]
# Seconds, and whether the picture is done then.
OnEstimate = Callable[[float, bool], None]

# Side of the picture that is timed, after a smaller one that wakes the kernels up; some times, and
# the quickest one counts, as the first of every size chooses its kernels: folders of jpeg were
# foretold 1.4 and 1.9 times what they took by the first, 1.1 and 1.4 times by the second; in three
# processes the second took 3.6, 3.6 and 5.9 us a pixel, the third 4.6, 3.3 and 3.4.
PROBE, FIRST, TIMES = 128, 64, 3
# Seconds of the first one from which it serves itself: a large network needs no waking up.
SLOW = 1.0
# Work below which nobody needs to know: pixels x evaluations x parameters, a few seconds' worth.
SMALL = 20 * 256**2 * 11e6
# Data steps of blurs of light may take longer than the network: told again from so many times
# what was foretold (the steps of `down 2 | blur motion:9,30 srgb` take 3.4 times what the network
# does in them, those of `gaussian:1.5` of values 1.1 times).
MUCH = 1.5
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


class Watched:
    """What is called at every step of a stage; the second tells whether all was foretold.

    The first may wake kernels up.    own, rest: seconds that were foretold of the stage, and of
    what is known of those after it.
    """

    def __init__(
        self, on_step: OnStep, told: Callable[[float], None], own: float, rest: float
    ) -> None:
        self._on_step, self._told, self._own, self._rest = on_step, told, own, rest
        self._began, self._seen = time.monotonic(), list[tuple[int, float]]()

    def __call__(self, done: int, total: int, residual: Callable[[], float]) -> None:
        """One step more."""
        if len(self._seen) < 2:
            self._seen.append((done, time.monotonic() - self._began))
            if len(self._seen) == 2:
                self._compare(total)
        self._on_step(done, total, residual)

    def _compare(self, total: int) -> None:
        (first, before), (second, now) = self._seen
        seconds = now + (total - second) * (now - before) / max(1, second - first)
        if seconds > MUCH * self._own:
            self._told(seconds + self._rest)


def watched(
    stage: Stage,
    seconds_of: Callable[[Stage], float | None],
    on_step: OnStep,
    on_estimate: OnEstimate,
) -> OnStep:
    """Say how long a stage and the one ahead will take; what to call at every step of it."""
    own, ahead = (seconds_of(one) if one else None for one in (stage, stage.ahead))
    last = stage.last or stage.ahead is not None
    own, rest = own or 0.0, ahead or 0.0
    if own + rest:
        on_estimate(own + rest, last)
    return Watched(on_step, lambda seconds: on_estimate(seconds, last), own, rest)


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
