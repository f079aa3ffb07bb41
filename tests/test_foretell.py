"""The time that a restoration on a CPU will take, said before its first step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import scene
from doubles import windows_everywhere
from reddiff_cli import foretell
from reddiff_cli.denoisers.denoiser import Denoiser, load_denoiser
from reddiff_cli.foretell import RECORDED, Foreteller, pixels_seen
from reddiff_cli.operators import Identity
from reddiff_cli.reporting import report
from reddiff_cli.tasks import Stage
from reddiff_cli.tiling import Whole
from test_cli import reddiff


def stage(view, start):
    return Stage(view, Identity(), start, start, s_start=1.0, sigma_y=0.1)


def plain(z):
    """Pixels of a batch that nothing continues."""
    return len(z) * z.shape[2] * z.shape[3]


def test_pixels_of_all_windows_count():
    start = torch.zeros(2, 3, 40, 60)
    assert pixels_seen(stage(Whole(0), start), plain) == 2 * 40 * 60
    assert pixels_seen(stage(Whole(64), start), plain) == 2 * 40 * 60
    tiles = Whole(32, 8)
    rows, columns = tiles.axes(40, 60)
    assert (rows.count, columns.count) == (2, 3)
    assert pixels_seen(stage(tiles, start), plain) == 2 * 6 * rows.size * columns.size
    windows = windows_everywhere(40, 60, 16, 4)
    flat = windows.take(start[:1])
    assert pixels_seen(stage(windows, flat), plain) == len(windows.index) * 16 * 16


@pytest.mark.parametrize("taken", [2.0, 0.5])  # a slow network is timed at one size only
def test_what_a_small_picture_is_continued_by_counts(tiny_prior, monkeypatch, taken):
    """A network that was trained on 256x256 sees so many pixels of any smaller picture."""
    denoiser = load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)
    denoiser.smallest = 256
    monkeypatch.setattr(foretell, "SMALL", 0)
    monkeypatch.setattr(foretell, "_time", lambda *_: taken)
    for side in (64, 256):
        work = stage(Whole(0), torch.zeros(1, 3, side, side))
        assert pixels_seen(work, denoiser.pixels) == 256**2
        told = Foreteller().seconds(work, denoiser, 1, recorded=False)
        assert told == pytest.approx(taken)


def test_a_grey_network_sees_each_channel(tiny_prior):
    denoiser = load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)
    denoiser.channels = 1
    assert pixels_seen(stage(Whole(0), torch.zeros(1, 3, 64, 64)), denoiser.pixels) == 3 * 64**2


def test_only_long_work_is_timed(tiny_prior, monkeypatch):
    denoiser = load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)
    work, calls = stage(Whole(0), torch.zeros(1, 3, 64, 64)), []
    original = Denoiser.__call__

    def counted(self, z, t):
        calls.append(z.shape)
        return original(self, z, t)

    monkeypatch.setattr(Denoiser, "__call__", counted)
    foreteller = Foreteller()
    assert foreteller.seconds(work, denoiser, 50, recorded=False) is None
    assert calls == []
    monkeypatch.setattr(foretell, "SMALL", 0)
    once = foreteller.seconds(work, denoiser, 50, recorded=False)
    assert once > 0
    assert foreteller.seconds(work, denoiser, 100, recorded=False) == pytest.approx(2 * once)
    back = foreteller.seconds(work, denoiser, 50, recorded=True)
    assert back == pytest.approx(RECORDED * once)
    assert len(calls) == 4  # for all


@pytest.mark.parametrize(
    ("taken", "cost"), [([0.2, 4.0, 3.0, 3.5], 3 / 128**2), ([2.0], 2 / 64**2)]
)
def test_what_only_the_first_of_a_size_takes_does_not_count(tiny_prior, monkeypatch, taken, cost):
    """Choosing kernels; a network that is slow at once is not asked again."""
    denoiser = load_denoiser(tiny_prior, torch.device("cpu"), torch.float32)
    left = iter(taken)
    monkeypatch.setattr(foretell, "SMALL", 0)
    monkeypatch.setattr(foretell, "_time", lambda *_: next(left))
    work = stage(Whole(0), torch.zeros(1, 3, 64, 64))
    seconds = Foreteller().seconds(work, denoiser, 50, recorded=False)
    assert seconds == pytest.approx(50 * 64**2 * cost)
    assert next(left, None) is None


def test_it_is_said_before_the_first_step(tmp_path, tiny_prior, monkeypatch):
    Image.fromarray(scene()).save(tmp_path / "a.png")
    flags = ["--noise", "0.1", "--model", tiny_prior, "--steps", "2", "--device", "cpu"]
    flags += ["--start", "0.2"]  # a path of levels, in one stage
    monkeypatch.setattr(foretell, "SMALL", 0)
    monkeypatch.setattr(report, "LONG", 0.0)
    monkeypatch.setattr(foretell, "_time_pixel", lambda _: 300 / (2 * 48 * 64))
    lines = reddiff("denoise", tmp_path / "a.png", *flags)[1].splitlines()
    assert lines[0] == f"{tmp_path / 'a.png'}: about 5 min"
    assert lines[1].startswith("[1/1]")
    assert len(lines) == 2
    quiet = reddiff("denoise", tmp_path / "a.png", *flags, "--overwrite", "-q")[1]
    assert quiet == ""
    assert np.asarray(Image.open(tmp_path / "a.denoise.png")).shape == (48, 64, 3)


def test_a_stage_that_is_not_the_last_says_so(tmp_path, tiny_prior, monkeypatch):
    """How long the others take is not known then: they depend on what it finds."""
    Image.fromarray(scene(96, 96)).save(tmp_path / "a.png")
    flags = ["--model", tiny_prior, "--steps", "2", "--device", "cpu"]
    monkeypatch.setattr(foretell, "SMALL", 0)
    monkeypatch.setattr(report, "LONG", 0.0)
    monkeypatch.setattr(foretell, "_time_pixel", lambda _: 1e-3)
    *stages, last = reddiff("denoise", tmp_path / "a.png", *flags)[1].splitlines()
    assert last.startswith("[1/1]")
    assert len(stages) > 1
    assert [line.endswith(", and then another stage") for line in stages[:-1]] == [True] * (
        len(stages) - 1
    )
    assert stages[-1].split(": about ")[1].split()[1:] in (["s"], ["min"])


def test_thin_parts_of_a_hole_come_before_the_wide_ones(tmp_path, tiny_prior, monkeypatch):
    mask = np.zeros((160, 160), np.uint8)
    mask[20:120, 20:120], mask[150:152, 10:150] = 255, 255
    Image.fromarray(scene(160, 160)).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    flags = ["-m", tmp_path / "m.png", "--model", tiny_prior, "--steps", "2", "--device", "cpu"]
    monkeypatch.setattr(foretell, "SMALL", 0)
    monkeypatch.setattr(report, "LONG", 0.0)
    monkeypatch.setattr(foretell, "_time_pixel", lambda _: 1e-3)
    *stages, _ = reddiff("inpaint", tmp_path / "a.png", *flags)[1].splitlines()
    assert [", and then another stage" in line for line in stages] == [True, False]


def test_of_a_cut_out_the_picture_is_foretold_with_its_transparency(
    tmp_path, tiny_prior, monkeypatch
):
    alpha = np.zeros((96, 96), np.uint8)
    alpha[::7], alpha[20:70, 20:70] = 128, 255  # edges all over
    Image.fromarray(np.dstack([scene(96, 96), alpha])).save(tmp_path / "a.png")
    flags = ["--scale", "2", "--noise", "0.02", "--model", tiny_prior, "--steps", "20"]
    monkeypatch.setattr(foretell, "SMALL", 0)
    monkeypatch.setattr(report, "LONG", 0.0)
    monkeypatch.setattr(foretell, "_time_pixel", lambda _: 100 / (10 * 192 * 192))
    *lines, _ = reddiff("superres", tmp_path / "a.png", *flags, "--device", "cpu")[1].splitlines()
    # 10 evaluations and 20, then 20.
    assert [line.split(": about ")[1] for line in lines[-2:]] == ["5 min", "3 min"]


def test_data_steps_that_take_longer_than_the_network_are_told_at_the_second(monkeypatch):
    now, told, steps = [0.0], [], []
    monkeypatch.setattr(foretell.time, "monotonic", lambda: now[0])
    for pace, again in ((1.4, []), (4.0, [(9.0 + 9 * 4, False)])):
        told.clear()
        work = replace(stage(Whole(0), torch.zeros(1, 3, 8, 8)), more=True)
        call = foretell.watched(
            work, lambda _: 20.0, lambda *step: steps.append(step), lambda *of: told.append(of)
        )
        assert told == [(20.0, False)]
        now[0] += 5  # the first wakes something up
        for done in range(2, 22, 2):
            now[0] += pace
            call(done, 20, float)
        assert told[1:] == again
    assert len(steps) == 20


def test_what_is_not_foretold_may_take_long_by_its_data_steps(monkeypatch):
    now, told = [0.0], []
    monkeypatch.setattr(foretell.time, "monotonic", lambda: now[0])
    work = stage(Whole(0), torch.zeros(1, 3, 8, 8))
    call = foretell.watched(work, lambda _: None, lambda *_: None, lambda *of: told.append(of))
    assert told == []
    for done in (2, 4):
        now[0] += 10
        call(done, 20, float)
    assert told == [(100.0, True)]
