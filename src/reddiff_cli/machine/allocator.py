"""What malloc does with memory that was freed: keep it, as the next step wants as much again.

glibc hands large blocks back to the system at once, and the next one comes with fresh pages, each
of which the kernel clears at its first touch. The spectra of a data step and the activations of a
window are such blocks. 3 megapixels, `deblur` with 4 evaluations, on one core: 124 s, of which the
kernel 43 s, and 81 s with what is done here; memory rises from 1.5 to 1.8 GB.
"""

import ctypes
import os
import sys

# Of <malloc.h>. Threads besides the first have arenas that are made of small mappings of their
# own, and give these back; with one arena there are none. Without mappings, blocks of more than
# 32 MB are kept as well (the first two alone: 103 s instead of 81).
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
KEEP = {_ARENA_MAX: 1, _TRIM_THRESHOLD: -1, _MMAP_MAX: 0}


def keep_pages() -> bool:
    """Keep freed memory from now on; before threads begin. False where malloc is not glibc's.

    Whoever has set malloc up by its variables of the environment is not contradicted.
    """
    libc = _glibc()
    if libc is None or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    return all(libc.mallopt(parameter, value) == 1 for parameter, value in KEEP.items())


def return_pages() -> None:
    """Hand back what was kept."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    # musl has neither; glibc alone tells its version.
    return libc if hasattr(libc, "gnu_get_libc_version") else None
