"""Functions of fixed shapes, recorded once and replayed: CUDA graphs.

A small picture on a large GPU is bound by the launches of some five hundred kernels; a graph
launches them as one. Inputs are copied into the tensors that were recorded, the output is copied
out. On a CPU there is nothing to record, but the copies are the same, so that their correctness is
tested there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from ..signatures import NetworkFunction

Key = tuple[object, ...]
WARM_UPS = 3  # libraries choose their kernels and allocate before anything is recorded
# A graph holds the memory of its activations; windows and pictures come in few shapes.
GRAPHS = 4


@dataclass(frozen=True)
class Tape:
    """The tensors that a recording reads, and how to run it again."""

    inputs: tuple[Tensor, ...]
    run: Callable[[], Tensor]

    def play(self, *inputs: Tensor) -> Tensor:
        """The function of other inputs of the same shapes."""
        for recorded, given in zip(self.inputs, inputs, strict=True):
            recorded.copy_(given)
        return self.run().clone()


def record(function: Callable[..., Tensor], *inputs: Tensor) -> Tape:
    """A recording, which computes nothing yet; on CUDA the function ran `aside` a few times."""
    kept = tuple(x.clone() for x in inputs)
    if kept[0].device.type != "cuda":
        return Tape(kept, lambda: function(*kept))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = function(*kept)

    def run() -> Tensor:
        graph.replay()
        return out

    return Tape(kept, run)


@contextmanager
def aside(device: torch.device) -> Iterator[None]:
    """A stream of its own for what is about to be recorded."""
    if device.type != "cuda":
        yield
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream(device).wait_stream(stream)


class Replay:
    """function(x, t) for autograd-free calls, recorded at the first call with new shapes.

    Off unless asked for. Later shapes than the first few are computed as ever.
    """

    def __init__(self, function: NetworkFunction) -> None:
        self._function = function
        self._tapes: dict[Key, Tape] = {}

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        key = (x.shape, x.dtype, t.dtype, x.device)
        if key not in self._tapes:
            if len(self._tapes) >= GRAPHS:
                return self._function(x, t)
            if x.device.type == "cuda":
                with aside(x.device):
                    for _ in range(WARM_UPS):
                        self._function(x, t)
            self._tapes[key] = record(self._function, x, t)
        return self._tapes[key].play(x, t)
