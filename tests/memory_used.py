"""What a computation takes of memory: arrays of NumPy at their peak, tensors all together."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_of_arrays(compute: Callable[[], object]) -> int:
    """Most bytes that NumPy and Python hold at once beyond what they held before."""
    tracemalloc.start()
    try:
        compute()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Tally(TorchDispatchMode):
    """bytes: of all tensors that operations made; largest: of the largest one."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.largest = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        given = {_place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for made in tree_leaves(result):
            if isinstance(made, Tensor) and _place(made) not in given:
                size = made.untyped_storage().nbytes()
                self.bytes, self.largest = self.bytes + size, max(self.largest, size)
        return result


def _place(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


@contextmanager
def tensors_made() -> Iterator[Tally]:
    """What is computed within is counted."""
    with Tally() as tally:
        yield tally
