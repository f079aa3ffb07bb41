"""Several processes over one list of pictures: each takes every N-th, none talks to another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import UsageError

T = TypeVar("T")
# Launchers: variable of the index, of the count, of the first index (0 where there is none), and
# of the distance from one index to the next (1).
_ARRAY = "SLURM_ARRAY_TASK"
LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "", ""),
    (f"{_ARRAY}_ID", f"{_ARRAY}_COUNT", f"{_ARRAY}_MIN", f"{_ARRAY}_STEP"),
)


@dataclass(frozen=True)
class Shard:
    """The `index`-th (from 0) of `count` equal parts.    launcher: what said so, if no flag."""

    index: int = 0
    count: int = 1
    launcher: str = ""

    def __str__(self) -> str:
        by = f" ({self.launcher})" if self.launcher else ""
        return f"part {self.index + 1} of {self.count}{by}"

    def take(self, items: Sequence[T]) -> list[T]:
        """Every count-th item: balances sorted folders better than contiguous pieces."""
        return list(items[self.index :: self.count])


WHOLE = Shard()


def find_shard(text: str | None, environment: Mapping[str, str]) -> Shard:
    """`I/N` (I from 1), or what torchrun or a SLURM array says, or everything."""
    if text is not None:
        return _parse(text)
    for index, count, first, step in LAUNCHERS:
        if index in environment and count in environment:
            try:
                base = int(environment.get(first, "0"))
                stride = max(1, int(environment.get(step, "1")))
                place, parts = (int(environment[index]) - base) // stride, int(environment[count])
            except ValueError as error:
                raise UsageError(f"{index}, {count}: not numbers; use --shard I/N") from error
            if not 0 <= place < parts:
                raise UsageError(
                    f"{index}={environment[index]}, {count}={parts}: no such part; use --shard I/N"
                )
            return Shard(place, parts, f"{index}={environment[index]}")
    return WHOLE


def local_device(device: str, environment: Mapping[str, str]) -> str:
    """`auto` and `cuda` below a launcher of several processes a machine: the GPU of this one."""
    rank = environment.get("LOCAL_RANK", "")
    return f"{device}@{int(rank)}" if device in ("auto", "cuda") and rank.isdecimal() else device


def _parse(text: str) -> Shard:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UsageError(f"--shard {text}: give I/N with I from 1 to N, as in 2/8")
    return Shard(int(index) - 1, int(count))
