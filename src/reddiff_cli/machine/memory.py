"""Memory: the largest amount that was in use, running out of it, and giving it back."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from ..errors import UsageError
from .allocator import return_pages

# What the system can still give (Linux), and what a control group may have in all.
_MEMINFO, _LIMIT = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
# Linux: a 5 written here makes the largest resident size of the process begin anew.
_CLEAR = Path("/proc/self/clear_refs")


def is_out_of_memory(error: BaseException) -> bool:
    """True for what PyTorch, its CPU allocator and Python raise when memory runs out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "defaultcpuallocator" in text
    )


@contextmanager
def within_memory(asked: str, cure: str) -> Iterator[None]:
    """UsageError where memory runs out, for flags that ask for more than there is."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UsageError(f"{asked}: out of memory; {cure}") from error


def available_memory() -> int | None:
    """Bytes that are free, with swap, within what a control group may have in all; None where the
    system does not say.

    Linux hands out more, and then kills who uses it, without an error that could be caught.
    """
    try:
        lines = dict(line.split(":") for line in _MEMINFO.read_text().splitlines())
        free = sum(1024 * int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError, IndexError):
        return None
    with suppress(OSError, ValueError):  # "max": no limit
        free = min(free, int(_LIMIT.read_text()))
    return free


def is_short_of(wanted: int) -> bool:
    """True if the system says that it has less than so many bytes."""
    free = available_memory()
    return free is not None and wanted > free


def free_memory(device: torch.device) -> None:
    """Hand cached memory back, so that smaller pieces find room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    else:
        return_pages()


def peak_memory(device: torch.device) -> tuple[float | None, str | None]:
    """(MB, of what): of the device since `forget_peak`, or of the process.

    Of the process since `forget_peak` on Linux, elsewhere since it began. (None, None) where the
    system does not say.
    """
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1), "device"
    try:
        import resource
    except ImportError:  # Windows
        return None, None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1), "process"


def forget_peak(device: torch.device) -> None:
    """Begin to measure the memory of a device anew."""
    if device.type == "cuda":
        torch.cuda.init()  # type: ignore[no-untyped-call]  # else the device is "invalid"
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        _CLEAR.write_text("5")
