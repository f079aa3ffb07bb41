"""Network batches of one shape, shared by several threads that each restore a picture.

Rows that wait are grouped by (C, H, W) and run so many at a time as their size is worth; what is
missing is filled with copies of the first. So the network always sees the same shapes and takes
the same kernels, and a row comes out the same bit for bit, whatever company it had.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..schedule import Schedule
from .denoiser import Denoiser

# Seconds that the first waiting row gives others to join it while the network is idle.
PATIENCE = 0.002
# Pixels of the pictures that `rows` is for: of larger ones fewer keep a GPU busy. Both signs of a
# noise pair go together, so there are always two rows.
AREA, LEAST = 256 * 256, 2

Shape = tuple[int, ...]


@dataclass(eq=False)
class _Request:
    """What one thread waits for: D of z, row by row."""

    z: Tensor  # (B, C, H, W)
    t: Tensor  # (B,)
    clean: list[Tensor | None] = field(default_factory=list)
    missing: int = 0
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.clean = [None] * len(self.z)
        self.missing = len(self.z)

    @property
    def done(self) -> bool:
        return self.error is not None or not self.missing


Row = tuple[_Request, int]


class Batcher:
    """denoiser(z, t) -> D as of a Denoiser, for any number of threads at once.

    There is no thread of its own: whoever waits while the network is idle runs the next batch, for
    all whose rows are in it. An error of the network reaches everyone in its batch, and nobody
    else. Threads that say that they are members are not waited for once they all wait.

    rows: of every batch of pictures of AREA pixels or fewer.
    """

    def __init__(self, denoiser: Denoiser, rows: int) -> None:
        if rows < 1:
            raise ValueError(f"rows is {rows}; must be 1 or more")
        self.denoiser, self.rows = denoiser, rows
        self._waiting: dict[Shape, deque[Row]] = {}
        self._running = False
        self._members = 0
        self._change = threading.Condition()

    @contextmanager
    def member(self) -> Iterator[None]:
        """Within the context a thread counts as one that may ask at any time."""
        with self._change:
            self._members += 1
        try:
            yield
        finally:
            with self._change:
                self._members -= 1
                self._change.notify_all()

    def rows_of(self, shape: Shape) -> int:
        """Rows of a batch of pictures (C, H, W)."""
        fit = self.rows * AREA // (shape[1] * shape[2])
        return min(self.rows, max(LEAST, fit))

    @property
    def schedule(self) -> Schedule:
        """Of the denoiser."""
        return self.denoiser.schedule

    @property
    def device(self) -> torch.device:
        """Of the denoiser."""
        return self.denoiser.device

    def recorded(self, z: Tensor, t: Tensor) -> Tensor:
        """D recorded for autograd: never shared, as a graph belongs to one thread."""
        return self.denoiser.recorded(z, t)

    def __call__(self, z: Tensor, t: Tensor) -> Tensor:
        if not len(z):
            return z.clone()
        request = _Request(z, t)
        with self._change:
            queue = self._waiting.setdefault(tuple(z.shape[1:]), deque())
            queue.extend((request, row) for row in range(len(z)))
            self._change.notify_all()
        while batch := self._next_batch(request):
            self._run(batch)
        error, request.error = request.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback holds this frame, and this frame held it
        return torch.stack([row for row in request.clean if row is not None])

    def _next_batch(self, request: _Request) -> list[Row]:
        """The rows that this thread is to run now; none when its own are done."""
        with self._change:
            patient = True
            while not request.done:
                if not self._running and (not patient or self._full() or self._all_wait()):
                    self._running = True
                    return self._take()
                patient = self._change.wait(PATIENCE) or self._running
            return []

    def _full(self) -> bool:
        return any(len(queue) >= self.rows_of(shape) for shape, queue in self._waiting.items())

    def _all_wait(self) -> bool:
        """Whether nobody is left who could still join."""
        asking = {id(request) for queue in self._waiting.values() for request, _ in queue}
        return len(asking) == self._members

    def _take(self) -> list[Row]:
        """Rows of one shape: as many as its batches hold, at most."""
        # The fullest, for its size; of two, the one that was asked for first.
        shape = max(self._waiting, key=lambda s: min(1, len(self._waiting[s]) / self.rows_of(s)))
        queue = self._waiting[shape]
        batch = [queue.popleft() for _ in range(min(self.rows_of(shape), len(queue)))]
        if not queue:
            del self._waiting[shape]
        return batch

    def _run(self, batch: list[Row]) -> None:
        """Rows through the network, and back to those who wait for them."""
        clean, error = None, None
        try:
            clean = self._denoise(batch)
        except BaseException as problem:  # those who wait must hear of it, whatever it is
            error = problem
        with self._change:
            for place, (request, row) in enumerate(batch):
                if clean is None:
                    request.error = error
                else:
                    request.clean[row] = clean[place]
                    request.missing -= 1
            if clean is None:
                self._forget({request for request, _ in batch})
            self._running = False
            self._change.notify_all()
        # A traceback holds this frame: it would keep the tensors of the failed try in a circle.
        del error, batch, request

    def _denoise(self, batch: list[Row]) -> Tensor:
        """D of the rows, computed among copies of the first up to the full number of rows."""
        request, row = batch[0]
        padded = batch + batch[:1] * (self.rows_of(request.z[row].shape) - len(batch))
        z = torch.stack([request.z[row] for request, row in padded])
        t = torch.stack([request.t[row] for request, row in padded])
        return self.denoiser(z, t)

    def _forget(self, failed: set[_Request]) -> None:
        """Rows of failed requests wait no longer."""
        for shape, queue in list(self._waiting.items()):
            kept = deque(row for row in queue if row[0] not in failed)
            if kept:
                self._waiting[shape] = kept
            else:
                del self._waiting[shape]
