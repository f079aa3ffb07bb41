"""One function of fixed shapes, recorded once and replayed: CUDA graphs around the network.

A small picture on a large GPU is bound by the launches of some five hundred kernels; a graph
launches them as one. Inputs are copied into the tensors that were recorded, the output is copied
out. Off unless asked for; on a CPU there is nothing to record, but the copies are the same, so
that their correctness is tested there.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[[Tensor, Tensor], Tensor]
Key = tuple[object, ...]
WARM_UPS = 3  # libraries choose their kernels and allocate before anything is recorded
# A graph holds the memory of its activations; windows and pictures come in few shapes.
GRAPHS = 4


@dataclass(frozen=True)
class Tape:
    """The tensors that a recording reads and writes, and how to run it again."""

    x: Tensor
    t: Tensor
    out: Tensor
    run: Callable[[], None]


class Replay:
    """function(x, t), recorded at the first call with new shapes; nothing for autograd.

    Later shapes than the first few are computed as ever.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._tapes: dict[Key, Tape] = {}

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        key = (x.shape, x.dtype, t.dtype, x.device)
        if key not in self._tapes:
            if len(self._tapes) >= GRAPHS:
                return self._function(x, t)
            self._tapes[key] = self._record(x, t)
        tape = self._tapes[key]
        tape.x.copy_(x)
        tape.t.copy_(t)
        tape.run()
        return tape.out.clone()

    def _record(self, x: Tensor, t: Tensor) -> Tape:
        record = _record_cuda if x.device.type == "cuda" else _record_plainly
        return record(self._function, x.clone(), t.clone())


def _record_plainly(function: Function, x: Tensor, t: Tensor) -> Tape:
    """Without graphs: every run computes anew, into the same output."""
    out = function(x, t).clone()

    def run() -> None:
        out.copy_(function(x, t))

    return Tape(x, t, out, run)


def _record_cuda(function: Function, x: Tensor, t: Tensor) -> Tape:
    stream = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(x.device))
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            function(x, t)
    torch.cuda.current_stream(x.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = function(x, t)
    return Tape(x, t, out, graph.replay)
