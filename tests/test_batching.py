"""Batches shared by threads: the same bits whatever the company, no deadlock, errors shared."""

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch

from reddiff_cli.denoisers import batching
from reddiff_cli.denoisers.batching import Batcher
from reddiff_cli.denoisers.denoiser import load_denoiser
from reddiff_cli.machine.room import Room

ROWS = 4


@pytest.fixture(scope="module")
def denoiser(tiny_prior):
    return load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)


def rows_of(seed, count, size=24, t=None):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, 3, size, size, generator=generator)
    return z, torch.full((count,), 10 * seed + 5 if t is None else t)


def test_rows_of_one_level_are_the_same_bit_for_bit(denoiser):
    alone = [Batcher(denoiser, ROWS)(*rows_of(seed, 1 + seed % 3, t=90)) for seed in range(8)]
    together = Batcher(denoiser, ROWS)
    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(together, *rows_of(seed, 1 + seed % 3, t=90)) for seed in range(8)]
        for task, expected in zip(tasks, alone, strict=True):
            assert torch.equal(task.result(timeout=60), expected)


def test_equals_the_plain_denoiser(denoiser):
    z, t = rows_of(1, 6)
    assert torch.allclose(Batcher(denoiser, ROWS)(z, t), denoiser(z, t), atol=1e-5)


def counting(seen):
    """D = z + t, noting the shape of each batch."""

    def denoise(z, t):
        seen.append(tuple(z.shape))
        return z + t[:, None, None, None]

    return denoise


def test_every_batch_has_the_same_number_of_rows_and_one_picture_size():
    seen = []
    batcher = Batcher(counting(seen), ROWS)
    requests = [rows_of(seed, 1 + seed % 5, size=8 * (1 + seed % 2)) for seed in range(12)]
    with ThreadPoolExecutor(12) as pool:
        tasks = [pool.submit(batcher, *request) for request in requests]
        for task, (z, t) in zip(tasks, requests, strict=True):
            assert torch.equal(task.result(timeout=60), z + t[:, None, None, None])
    assert {shape[0] for shape in seen} == {ROWS}
    assert sum(shape[0] for shape in seen) < sum(len(z) for z, _ in requests) * ROWS
    assert not batcher._waiting


def test_rows_of_several_threads_share_a_batch():
    seen = []
    batcher = Batcher(counting(seen), ROWS)
    gate = threading.Barrier(ROWS)

    def work(seed):
        gate.wait(timeout=30)
        return batcher(*rows_of(seed, 1))

    with ThreadPoolExecutor(ROWS) as pool:
        list(pool.map(work, range(ROWS), timeout=60))
    assert len(seen) <= ROWS  # 1 where threads arrive at once; never more than one each


def test_an_error_reaches_all_of_its_batch_and_nobody_else():
    started = threading.Event()

    def denoise(z, t):
        started.wait(30)
        if bool((t == 666).any()):
            raise RuntimeError("broken")
        return z

    batcher = Batcher(denoise, 2)
    z, _ = rows_of(0, 1)
    with ThreadPoolExecutor(6) as pool:
        bad = [pool.submit(batcher, z.repeat(3, 1, 1, 1), torch.full((3,), 666))]
        good = [pool.submit(batcher, z[..., :16], torch.tensor([k])) for k in range(4)]
        started.set()
        with pytest.raises(RuntimeError, match="broken"):
            bad[0].result(timeout=60)
        for task in good:
            assert torch.equal(task.result(timeout=60), z[..., :16])
    assert not batcher._waiting
    assert torch.equal(batcher(z, torch.tensor([1])), z)


def test_a_failed_try_lets_go_of_its_tensors_at_once():
    """Smaller windows get the memory of larger ones without waiting for the garbage collector."""
    held = []

    def denoise(z, t):
        activations = z + 1
        held.append(weakref.ref(activations))
        raise torch.OutOfMemoryError("CUDA out of memory")

    batcher = Batcher(denoise, 2)
    z, t = rows_of(0, 2)

    def attempt():
        try:
            batcher(z, t)
        except torch.OutOfMemoryError:
            return
        raise AssertionError("it did not fail")

    gc.disable()
    try:
        attempt()
        assert held[0]() is None
        with ThreadPoolExecutor(3) as pool:
            for task in [pool.submit(attempt) for _ in range(6)]:
                task.result(timeout=60)
        assert [ref() for ref in held] == [None] * len(held)
    finally:
        gc.enable()


def test_a_worker_that_stops_early_holds_nobody_up(denoiser):
    batcher = Batcher(denoiser, ROWS)

    def work(seed):
        for step in range(1 if seed % 2 else 4):
            batcher(*rows_of(seed + step, 2, size=8))
            if seed == 3:
                raise ValueError("gave up")
        return seed

    with ThreadPoolExecutor(6) as pool:
        tasks = [pool.submit(work, seed) for seed in range(6)]
        results = [task.exception(timeout=60) or task.result() for task in tasks]
    assert [r for r in results if r != 3][:2] == [0, 1]
    assert isinstance(results[3], ValueError)


def test_what_solvers_ask_for(denoiser):
    batcher = Batcher(denoiser, ROWS)
    assert batcher.schedule is denoiser.schedule
    z, t = rows_of(2, 1)
    z.requires_grad_(True)
    assert batcher.recorded(z, t).requires_grad
    assert len(batcher(z[:0], t[:0])) == 0
    with pytest.raises(ValueError, match="rows is 0"):
        Batcher(SimpleNamespace(), 0)


def test_stands_for_its_denoiser(denoiser):
    batcher = Batcher(denoiser, ROWS)
    assert batcher.device == denoiser.device
    assert batcher.schedule is denoiser.schedule


def test_large_pictures_take_smaller_batches():
    seen = []
    batcher = Batcher(counting(seen), 8)
    for side, rows in ((256, 8), (362, 4), (512, 2), (2000, 2)):
        assert batcher.rows_of((3, side, side)) == rows
    batcher(torch.zeros(3, 1, 512, 512), torch.arange(3))
    assert [shape[0] for shape in seen] == [2, 2]


def test_nobody_waits_for_others_when_all_of_them_wait(monkeypatch):
    monkeypatch.setattr(batching, "PATIENCE", 20.0)
    seen = []
    batcher = Batcher(counting(seen), ROWS)
    gate = threading.Barrier(2)

    def work(steps):
        with batcher.member():
            gate.wait(timeout=30)
            return [float(batcher(*rows_of(k, 1, size=8)).sum()) for k in range(steps)]

    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(work, steps) for steps in (2, 5)]  # one leaves early
        for task in tasks:
            task.result(timeout=60)
    assert time.monotonic() - began < 15
    assert len(seen) == 5  # the first two steps were shared


def test_room_is_for_so_many_pixels_or_for_one_picture():
    room, inside, most = Room(100), [], []
    first_two = threading.Barrier(2)
    lock = threading.Lock()

    def work(pixels):
        with room.taken(pixels):
            with lock:
                inside.append(pixels)
                most.append(list(inside))
            if pixels in (40, 60):
                first_two.wait(timeout=30)  # both are inside at once, or nobody goes on
            with lock:
                inside.remove(pixels)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [40, 60, 50, 300, 10, 100, 70, 20], timeout=60))
    assert all(sum(seen) <= 100 or len(seen) == 1 for seen in most)
    assert max(map(len, most)) > 1
    with pytest.raises(ValueError, match="broken"), room.taken(300):
        raise ValueError("broken")
    assert room._inside == 0  # what failed has left
