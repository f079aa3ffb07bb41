"""Memory that runs out, and values that overflow: less at a time, then smaller windows."""

import json
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import reddiff, scene
from reddiff_cli import restore, run
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.denoisers.denoiser import Denoiser, is_out_of_memory, load_denoiser
from reddiff_cli.machine import memory
from reddiff_cli.machine.memory import free_memory
from reddiff_cli.restore import Restorer

FAILURES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    MemoryError(),
]
ORIGINAL = Denoiser._denoise


def limited(monkeypatch, rows=10**9, pixels=10**9, error=FAILURES[0]):
    """A network that fails above so many rows or pixels; the list of shapes that it was given."""
    seen = []

    def denoise(self, z, t):
        seen.append(tuple(z.shape))
        if len(z) > rows or z.shape[2] * z.shape[3] > pixels:
            raise error
        return ORIGINAL(self, z, t)

    monkeypatch.setattr(Denoiser, "_denoise", denoise)
    return seen


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_batches_halve_until_they_fit(tiny_prior, monkeypatch, error):
    denoiser = load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)
    z = torch.randn(13, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    t = torch.full((13,), 300)
    expected = denoiser(z, t)
    seen = limited(monkeypatch, rows=3, error=error)
    assert torch.allclose(denoiser(z, t), expected, atol=1e-5)
    assert [shape[0] for shape in seen] == [13, 6, 3, 3, 3, 3, 1]
    del seen[:]
    denoiser(z, t)  # it does not forget
    assert max(shape[0] for shape in seen) == 3


def test_every_kind_of_device_hands_its_cache_back(monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: emptied.append("mps"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append("cuda"))
    monkeypatch.setattr(memory, "return_pages", lambda: emptied.append("cpu"))
    for kind in ("mps", "cuda", "cpu"):
        free_memory(torch.device(kind))
    assert emptied == ["mps", "cuda", "cpu"]


def test_a_single_row_that_does_not_fit_is_given_up(tiny_prior, monkeypatch):
    denoiser = load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)
    limited(monkeypatch, rows=0)
    with pytest.raises(torch.OutOfMemoryError):
        denoiser(torch.zeros(4, 3, 16, 16), torch.zeros(4, dtype=torch.long))


def test_other_errors_are_not_taken_for_it(tiny_prior, monkeypatch):
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))
    denoiser = load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)
    seen = limited(monkeypatch, rows=0, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        denoiser(torch.zeros(4, 3, 16, 16), torch.zeros(4, dtype=torch.long))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("tile", "smallest", "given", "sizes"),
    [
        (512, 64, None, [256, 128]),
        (256, 64, None, [128]),
        (256, 256, None, []),
        (256, 64, 1024, [512, 256, 128]),
        (256, 64, 0, []),
        (200, 64, None, []),
    ],
)
def test_windows_halve_down_to_what_the_prior_can_see(tmp_path, tile, smallest, given, sizes):
    card = Card("x", folder=tmp_path, tile=tile, smallest=smallest)
    assert card.smaller_tiles(given) == sizes


def test_smaller_windows_are_tried_and_the_result_is_whole(tmp_path, tiny_prior, monkeypatch):
    path = tmp_path / "p.png"
    Image.fromarray(scene(300, 270)).save(path)
    limits = limited(monkeypatch, pixels=130 * 130)
    flags = ["--model", tiny_prior, "--steps", "2", "--device", "cpu"]
    _, stderr = reddiff("denoise", path, *flags)
    assert "out of memory; trying windows of 128 pixels" in stderr
    assert Image.open(tmp_path / "p.denoise.png").size == (270, 300)
    assert max(shape[2] for shape in limits) > 128
    assert limits[-1][2:] == (128, 128)
    # The record does not hold tiles: it is the same result.
    assert "done already" in reddiff("denoise", path, *flags)[1]


def test_windows_of_a_hole_become_smaller_too(tmp_path, tiny_prior, monkeypatch):
    Image.fromarray(scene(200, 260)).save(tmp_path / "p.png")
    mask = np.zeros((200, 260), dtype=np.uint8)
    mask[10:190, 120:124] = mask[100:104, 10:250] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    limited(monkeypatch, pixels=128 * 128)
    command = ["inpaint", tmp_path / "p.png", "-m", tmp_path / "m.png", "--model", tiny_prior]
    reddiff(*command, "--preset", "paper", "--steps", "2", "--device", "cpu")
    before, after = (np.asarray(Image.open(tmp_path / n)) for n in ("p.png", "p.inpaint.png"))
    assert np.array_equal(before[mask == 0], after[mask == 0])


def test_a_picture_that_does_not_fit_fails_with_advice_and_the_others_go_on(
    tmp_path, tiny_prior, monkeypatch
):
    for name, side in (("a", 40), ("b", 150), ("c", 40)):
        Image.fromarray(scene(side, side)).save(tmp_path / f"{name}.png")
    limited(monkeypatch, pixels=100 * 100)
    flags = ["--model", tiny_prior, "--steps", "2", "--device", "cpu", "--json"]
    for more, advice in (([], "smaller picture"), (["--tile", "0"], "--tile 256")):
        command = ["denoise", tmp_path, "-o", tmp_path / "out", "--overwrite", *flags, *more]
        stdout, stderr = reddiff(*command, code=1)
        *images, summary = map(json.loads, stdout.splitlines())
        assert (summary["ok"], summary["failed"]) == (2, 1)
        (failed,) = [event for event in images if event["status"] == "failed"]
        assert failed["error"]["type"] == "OutOfMemory"
        assert advice in failed["error"]["message"]
        assert "b.png" in failed["input"]


def test_types_widen_one_after_the_other(tmp_path, tiny_prior, monkeypatch):
    """On a GPU fp16, then bf16, then fp32; here the device only says that it is one."""
    from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
    from reddiff_cli.options.tasks import DenoiseOptions

    card = Card("x", folder=tiny_prior)
    restorer = Restorer(
        card, SolverOptions(), MachineOptions("cpu", "fp16"), DenoiseOptions(), OutputOptions()
    )
    restorer.device = torch.device("cuda")
    notes = []
    restorer._widen(torch.float16, notes.append)
    restorer._widen(torch.float16, notes.append)  # another thread, that found the same
    assert restorer.dtype == torch.bfloat16
    restorer._widen(torch.bfloat16, notes.append)
    assert restorer.dtype == torch.float32
    assert [note.rpartition(" ")[2] for note in notes] == ["torch.bfloat16", "torch.float32"]


def test_a_restorer_that_shares_batches_gives_the_same_picture(tmp_path, tiny_prior, monkeypatch):
    """What CUDA does, on the CPU: eight pictures at once over one network.

    And as there, time is projected row by row: a CPU looks at t and makes it a bias where all rows
    of a batch, by chance, have the same, which rounds differently.
    """
    from reddiff_cli import restore
    from reddiff_cli.networks import unet

    monkeypatch.setattr(unet.UNet2D, "_projections", unet.UNet2D._project)

    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(6):
        Image.fromarray(scene(24, 32, seed=k % 3)).save(folder / f"{k}.png")
    flags = ["--model", tiny_prior, "--steps", "20", "--device", "cpu", "--dtype", "fp32"]
    reddiff("denoise", folder, "-o", tmp_path / "plain", *flags)
    monkeypatch.setattr(restore, "SHARING_DEVICES", ("cpu",))
    seen = limited(monkeypatch)
    reddiff("denoise", folder, "-o", tmp_path / "shared", *flags)
    reddiff("denoise", folder / "4.png", "-o", tmp_path / "alone.png", *flags)
    assert {shape[0] for shape in seen} == {restore.SHARED_ROWS}
    assert len(seen) < 7 * 10  # batches were shared
    load = {p.stem: np.asarray(Image.open(p)) for p in (tmp_path / "shared").iterdir()}
    for k in range(3):
        assert np.array_equal(load[str(k)], load[str(k + 3)])
        plain = np.asarray(Image.open(tmp_path / "plain" / f"{k}.png")).astype(int)
        assert abs(plain - load[str(k)]).max() <= 1
    assert np.array_equal(load["4"], np.asarray(Image.open(tmp_path / "alone.png")))


def test_as_many_pictures_are_in_hand_as_host_memory_has_room_for(
    tmp_path, tiny_prior, monkeypatch
):
    """On a GPU eight may be, which take as much memory as their size is."""
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(6):
        Image.fromarray(scene(24, 32, seed=k)).save(folder / f"{k}.png")
    (folder / "none.png").write_text("no picture")
    monkeypatch.setattr(restore, "SHARING_DEVICES", ("cpu",))
    inside, most, lock = [], [], threading.Lock()
    usual = Restorer.restore

    def watched(self, job, *rest):
        with lock:
            inside.append(job)
            most.append(len(inside))
        time.sleep(0.05)
        try:
            return usual(self, job, *rest)
        finally:
            with lock:
                inside.remove(job)

    monkeypatch.setattr(Restorer, "restore", watched)
    flags = ["--model", tiny_prior, "--steps", "2", "--device", "cpu", "-q", "--overwrite"]
    for task, scale, pictures in (
        ("denoise", 1, 2),
        ("superres", 2, 2),
        ("denoise", 1, 0),
    ):
        most.clear()
        monkeypatch.setattr(run, "IN_HAND", pictures * 24 * 32 * scale**2)
        more = ["--scale", scale] if task == "superres" else []
        reddiff(task, folder, "-o", tmp_path / "out", *flags, *more, code=1)
        # What is no picture takes no room.
        assert max(most) <= max(pictures, 1) + 1
        assert len(list((tmp_path / "out").iterdir())) == 6
