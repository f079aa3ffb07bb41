"""Freed memory is kept for the next step, and handed back when it is asked for."""

import subprocess
import sys

import pytest

from reddiff_cli.machine import allocator

# In a process of its own, as malloc stays as it was set up. 64 MiB are 16 384 pages.
SCRIPT = """
import resource, threading
from reddiff_cli.machine.allocator import keep_pages, return_pages

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        b = bytearray(64 * 2**20)
        for page in range(0, len(b), 4096):
            b[page] = 1
        del b
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

kept = {keep}
faults()
print(kept, faults())
thread = threading.Thread(target=lambda: print(faults()))
thread.start()
thread.join()
before = resident()
return_pages()
print(before - resident())
"""


def run(keep, **environment):
    """(what keep_pages said, page faults here, in a thread, bytes handed back)."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("{keep}", keep)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    kept, *numbers = result.stdout.split()
    return kept == "True", *map(int, numbers)


pytestmark = pytest.mark.skipif(allocator._glibc() is None, reason="malloc is not glibc's")


def test_freed_memory_is_kept_in_all_threads():
    kept, here, there, _ = run("keep_pages()")
    assert kept
    assert max(here, there) < 4 * 16384 / 10
    assert min(run("False")[1:3]) > 4 * 16384  # else nothing was shown


def test_what_is_kept_can_be_handed_back():
    assert run("keep_pages()")[3] > 48 * 2**20


def test_variables_of_the_environment_are_not_contradicted():
    kept, here, *_ = run("keep_pages()", MALLOC_ARENA_MAX="2")
    assert not kept
    assert here > 4 * 16384


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(allocator.sys, "platform", "darwin")
    assert not allocator.keep_pages()
    allocator.return_pages()
