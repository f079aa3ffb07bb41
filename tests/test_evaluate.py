"""Evaluation: what is made, measured, kept and shown; with a tiny prior and small pictures."""

import csv
import json
import math
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from conftest import reddiff, scene
from doubles import gaussian_prior
from reddiff_cli.checkpoints.cards import Card, HubOrigin
from reddiff_cli.denoisers.denoiser import Denoiser
from reddiff_cli.denoisers.symmetry import TURNS
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.evaluation import evaluate, ledger, run
from reddiff_cli.evaluation.degrade import degrade
from reddiff_cli.evaluation.hole_shapes import draw_hole
from reddiff_cli.evaluation.ledger import Ledger, summarise, table
from reddiff_cli.evaluation.options import (
    Case,
    CompressOptions,
    EvalOptions,
    HoleOptions,
    make_case,
    make_suite,
    parse_curve,
    parse_hole,
    parse_methods,
)
from reddiff_cli.evaluation.perceptual import KID, LPIPS, kid, missing
from reddiff_cli.evaluation.plot import COLOURS, SIZE, line_plot, ticks
from reddiff_cli.evaluation.report import EvalReporter
from reddiff_cli.evaluation.sheet import CELL, Panel, contact_sheet
from reddiff_cli.kernels import files as kernel_files
from reddiff_cli.metrics import psnr
from reddiff_cli.operators import Exposure
from reddiff_cli.options.common import MachineOptions, ReportOptions, SolverOptions
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import DeblurOptions, DenoiseOptions, HdrOptions, SuperresOptions
from reddiff_cli.pictures.files import Picture, load_picture
from reddiff_cli.planning.shards import Shard
from reddiff_cli.tasks import Setting
from reddiff_cli.tasks.levels import FIRST
from reddiff_cli.tasks.phase import PhaseRetrieval
from reddiff_cli.tasks.problem import to_pixels


@pytest.fixture
def quick(tiny_prior):
    return ["--model", str(tiny_prior), "--device", "cpu", "--crop", "32", "--method", "reddiff:2"]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(scene(48, 64, seed=number)).save(folder / f"p{number}.png")
    return folder


def content(folder, name="eval.json"):
    return json.loads((folder / name).read_text())


def clean(height=48, width=64, channels=3):
    pixels = scene(height, width, channels).astype(np.float32) / 255
    return Picture(pixels.reshape(height, width, channels))


def posed(specimen, **solver):
    card = Card(name="none", folder=None)
    problem = specimen.pose(Setting(card, SolverOptions(**solver), lambda _: None))
    return problem, next(iter(problem.stages()))


TASKS = {
    "inpaint": {"hole": "random:0.5"},
    "superres": {"scale": 2, "downsample": "box"},
    "deblur": {"kernel": "gaussian:1"},
    "denoise": {},
    "colorize": {},
    "hdr": {"stops": 1.0},
    "restore": {"degrade": "blur uniform:3 | down 2 box"},
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_measurements_are_those_of_the_operator(task, noise):
    specimen = degrade(clean(), make_case(task, TASKS[task], noise), 32, 0)
    assert specimen.truth.shape == (1, 3, 32, 32)
    problem, stage = posed(specimen, noise=noise)
    assert stage.sigma_y == 2 * noise == 2 * problem.noise
    # The problem that solvers get has the operator and the measurement of the specimen.
    assert float(specimen.operator.residual(specimen.start, specimen.y)) < 4 * noise + 0.2
    if task == "inpaint":
        assert float(specimen.y[:, :, torch.from_numpy(specimen.hole)].abs().max()) == 0
        problem.accept(stage, torch.zeros_like(stage.start))
        known = ~specimen.hole
        expected = 0.5 if noise else to_pixels(specimen.truth)[known]
        np.testing.assert_allclose(problem.finish().pixels[known], expected, atol=1e-6)
    else:
        assert stage.y is specimen.y
        problem.accept(stage, stage.start)
        assert problem.finish().pixels.shape == (32, 32, 3)


@pytest.mark.parametrize("task", ["denoise", "superres", "deblur", "inpaint"])
def test_noise_has_the_level_asked_for(task):
    case, plain = make_case(task, {}, 0.1), make_case(task, {}, 0.0)
    picture = clean(160, 160)
    exact = degrade(picture, plain, 128, 0).y
    noise = degrade(picture, case, 128, 0).y - exact
    seen = noise[noise != 0]
    assert float(seen.std()) == pytest.approx(0.2, rel=0.1)  # in [-1, 1] units
    assert not torch.equal(noise, degrade(picture, case, 128, 1).y - exact)


def test_damage_follows_the_pixels_and_not_the_solver(tmp_path):
    case = Case("inpaint", HoleOptions("random", 0.5), 0.05)
    one, again = degrade(clean(), case, 32, 0), degrade(clean(), case, 32, 0)
    assert torch.equal(one.y, again.y)
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(one.y.shape, generator=generator)
    noise = degrade(clean(), make_case("denoise", {}, 0.05), 32, 0)
    drawn = (noise.y - noise.truth).flatten()
    assert abs(float(torch.corrcoef(torch.stack([drawn, own.flatten()]))[0, 1])) < 0.1


def test_blur_sees_the_photograph_around_the_crop():
    case = make_case("deblur", {"kernel": "uniform:5"}, 0.0)
    whole = clean(40, 40)
    specimen = degrade(whole, case, 32, 0)
    x = torch.from_numpy(whole.pixels).permute(2, 0, 1)[None] * 2 - 1
    expected = torch.nn.functional.avg_pool2d(x, 5, 1)[:, :, 2:-2, 2:-2]
    torch.testing.assert_close(specimen.y, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(specimen.truth, x[:, :, 4:-4, 4:-4])
    # Where the photograph ends, the picture is smaller instead of its outside invented.
    assert degrade(clean(32, 40), case, 32, 0).truth.shape == (1, 3, 28, 32)


def test_phase_is_measured_at_twice_the_pixels_and_hdr_is_clipped():
    specimen = degrade(clean(16, 20), make_case("phase", {"starts": 1, "keep": 1}, 0.0), 16, 0)
    assert specimen.y.shape == (1, 3, 32, 32)
    u = (specimen.truth + 1) / 2
    torch.testing.assert_close(specimen.y.square().sum(), u.square().sum())
    bright = degrade(clean(), make_case("hdr", {"stops": 2.0}, 0.0), 32, 0)
    assert isinstance(bright.operator, Exposure)
    assert float(bright.y.max()) == 1.0
    assert float(bright.y.mean()) > float(bright.truth.mean())


def test_jpeg_goes_through_an_encoder():
    pytest.importorskip("jpeglib")
    specimen = degrade(clean(), Case("jpeg", CompressOptions(10), 0.0), 30, 0)
    assert specimen.truth.shape == (1, 3, 30, 30)
    problem, stage = posed(specimen)
    assert float(specimen.operator.residual(specimen.start, specimen.y)) < 1
    problem.accept(stage, stage.start)
    restored = torch.from_numpy(problem.finish().pixels).permute(2, 0, 1)[None] * 2 - 1
    assert 15 < float(psnr(restored, specimen.truth)) < 60


def test_a_mask_in_a_composition_has_no_noise_below_it(tmp_path):
    mask = np.zeros((16, 16), np.uint8)
    mask[3:9, 3:9] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    degradation = f"down 2 box | mask {tmp_path / 'm.png'}"
    specimen = degrade(clean(), make_case("restore", {"degrade": degradation}, 0.1), 32, 0)
    assert specimen.hole.sum() == 36
    assert float(specimen.y[:, :, 3:9, 3:9].abs().max()) == 0


def test_pictures_that_do_not_fit():
    with pytest.raises(PictureError, match="16 pixels"):
        degrade(clean(20, 20), make_case("deblur", {"kernel": "uniform:9"}, 0.0), 32, 0)
    with pytest.raises(PictureError, match="grey"):
        degrade(clean(channels=1), make_case("colorize", {}, 0.0), 32, 0)


@pytest.mark.parametrize("text", ["random:0.7", "freeform:0.2", "box:12"])
def test_holes(text):
    options = parse_hole(text)
    hole = draw_hole(options, (40, 50), np.random.default_rng(3))
    again = draw_hole(options, (40, 50), np.random.default_rng(3))
    other = draw_hole(options, (40, 50), np.random.default_rng(4))
    assert np.array_equal(hole, again)
    assert not np.array_equal(hole, other)
    count = 144 if options.kind == "box" else round(options.value * 2000)
    assert hole.sum() == count


def test_a_box_that_fits_is_as_large_as_asked_for():
    assert draw_hole(parse_hole("box:47"), (48, 60), np.random.default_rng(0)).sum() == 47**2


@pytest.mark.parametrize(
    ("hole", "told"),
    [
        ("box:48", "a box of 48 needs more than 60x48 pixels"),
        ("box:128", "a box of 128 needs more"),
        ("random:0.00001", "a hole of 1e-05 of 60x48 pixels is 0 pixels"),
        ("random:0.99999", "is 2880 pixels"),
        ("freeform:0.00001", "is 0 pixels"),
    ],
)
def test_holes_that_cannot_be_are_refused(hole, told):
    with pytest.raises(PictureError, match=told):
        draw_hole(parse_hole(hole), (48, 60), np.random.default_rng(0))


@pytest.mark.parametrize("hole", ["box:24", "random:0.001"])
def test_a_picture_without_room_for_the_hole_fails_alone(tmp_path, photos, quick, hole):
    """Its row says why, and no mean counts it: what it had was another hole, or 100 dB."""
    Image.fromarray(scene(20, 20)).save(photos / "small.png")
    command = ["eval", "inpaint", photos, "-o", tmp_path / "out", *quick, "--hole", hole]
    _, stderr = reddiff(*command, code=1)
    assert "small.png: a " in stderr
    rows = {Path(row["input"]).name: row["status"] for row in content(tmp_path / "out")["rows"]}
    assert rows == {"p0.png": "ok", "p1.png": "ok", "small.png": "failed"}
    assert all(mean["pictures"] == 2 for mean in content(tmp_path / "out")["means"])


@pytest.fixture
def own_masks(tmp_path):
    """A folder of masks for the two photographs of 64x48, each with a hole of its own."""
    folder = tmp_path / "masks"
    folder.mkdir()
    for number in range(2):
        values = np.zeros((48, 64), dtype=np.uint8)
        values[20:26, 20 + 4 * number : 30] = 255
        Image.fromarray(values).save(folder / f"p{number}{'_mask' * number}.png")
    return folder


def holes_of(out):
    """What was hidden of each picture, in 32x32."""
    found = {}
    for row in content(out)["rows"]:
        (path,) = (out / "pictures" / "inpaint").glob(f"{Path(row['input']).stem}-*.hole.png")
        found[Path(row["input"]).name] = load_picture(path).pixels[:, :, 0] == 1
    return found


def test_masks_of_ones_own_are_what_is_filled(photos, own_masks, tmp_path, quick):
    """A folder, paired by name as `inpaint` does; masks of a picture are cropped as it is."""
    out = tmp_path / "out"
    command = ["eval", "inpaint", photos, "-o", out, *quick, "--noise", "0", "--save-pictures"]
    reddiff(*command, "--mask", own_masks)
    for number, hole in enumerate(holes_of(out).values()):
        expected = np.zeros((32, 32), dtype=bool)
        expected[12:18, 4 + 4 * number : 14] = True
        assert np.array_equal(hole, expected)
    names = [Path(row["mask"]).name for row in content(out)["rows"]]
    assert names == ["p0.png", "p0.png", "p1_mask.png", "p1_mask.png"]
    _, stderr = reddiff(*command, "--mask", own_masks, "--grow-mask", "1", code=2)
    assert "another grow_mask" in stderr
    assert "another hole" in reddiff(*command, code=2)[1]
    reddiff(*command, "--mask", own_masks, "--grow-mask", "1", "--invert-mask", "--overwrite")
    assert holes_of(out)["p0.png"].mean() > 0.9


def test_one_mask_of_the_size_of_the_crop_serves_all(photos, tmp_path, quick):
    values = np.zeros((32, 32), dtype=np.uint8)
    values[3:9, 3:9] = 255
    Image.fromarray(values).save(tmp_path / "m.png")
    Image.fromarray(scene(40, 36, seed=5)).save(photos / "other.png")
    out = tmp_path / "out"
    command = ["eval", "inpaint", photos, "-o", out, *quick, "--save-pictures"]
    reddiff(*command, "--mask", tmp_path / "m.png")
    holes = holes_of(out)
    assert len(holes) == 3
    assert all(np.array_equal(hole, values > 0) for hole in holes.values())


def test_a_mask_that_was_changed_is_measured_anew(photos, own_masks, tmp_path, quick, monkeypatch):
    """Its rows are others: nothing is measured twice, and no score of another hole is shown."""
    out = tmp_path / "out"
    command = ["eval", "inpaint", photos, "-o", out, *quick, "--noise", "0", "--mask", own_masks]
    first, _ = reddiff(*command)
    calls = []
    monkeypatch.setattr(evaluate, "degrade", lambda *a: calls.append(a) or degrade(*a))
    assert reddiff(*command)[0] == first
    assert calls == []
    values = np.zeros((48, 64), dtype=np.uint8)
    values[12:30, 20:40] = 255
    Image.fromarray(values).save(own_masks / "p0.png")
    assert reddiff(*command)[0] != first
    assert len(calls) == 1
    assert len(content(out)["rows"]) == 6


def test_masks_that_do_not_fit_fail_alone(photos, own_masks, tmp_path, quick):
    for number, (size, hole) in enumerate([((20, 20), 9), ((48, 64), 5), ((48, 64), 0)]):
        Image.fromarray(scene(48, 64, seed=9 + number)).save(photos / f"q{number}.png")
        values = np.zeros(size, dtype=np.uint8)
        values[:hole, :hole] = 255  # off the centre
        Image.fromarray(values).save(own_masks / f"q{number}.png")
    Image.fromarray(scene(48, 64, seed=20)).save(photos / "r.png")
    command = ["eval", "inpaint", photos, "-o", tmp_path / "out", *quick, "--mask", own_masks]
    _, stderr = reddiff(*command, code=1)
    assert "mask is 20x20, picture is 64x48, its crop 32x32; make it as large" in stderr
    assert "q1.png: is empty within the centre crop of 32x32; give a larger --crop" in stderr
    assert "q2.png: mask is empty" in stderr
    assert "r.png: no mask named r.*" in stderr
    assert "[2/6] p1.png" in stderr
    means = content(tmp_path / "out")["means"]
    assert [entry["pictures"] for entry in means] == [2, 2]
    # A plan tells the same.
    stdout, _ = reddiff(*command, "--dry-run", "--json", code=1)
    told = [json.loads(line)["error"] for line in stdout.splitlines()]
    kinds = [None, None, "MaskSize", "MaskEmpty", "MaskEmpty", "Mask"]
    assert [error and error["type"] for error in told] == kinds
    assert all(error["message"] in stderr for error in told if error)
    # The other way round that one leaves nothing, and is not what is missing.
    command[command.index(tmp_path / "out")] = tmp_path / "other"
    stdout, _ = reddiff(*command, "--invert-mask", "--dry-run", code=1)
    assert f"{own_masks}/q2.png: covers the whole picture" in stdout


def test_masks_below_the_pictures_are_no_pictures(photos, own_masks, tmp_path, quick):
    """With --recursive they would be damaged and restored, too."""
    own_masks.rename(photos / "masks")
    out = tmp_path / "out"
    stdout, _ = reddiff(
        *("eval", "inpaint", photos, "-r", "-o", out, *quick),
        *("--mask", photos / "masks", "--dry-run"),
    )
    assert len(stdout.splitlines()) == 2


def test_where_there_are_only_masks_something_is_said(own_masks, tmp_path, quick):
    """Nothing was planned or measured, with exit code 0; what is named by itself is meant."""
    flags = ["-o", tmp_path / "out", *quick, "--mask", own_masks, "--dry-run"]
    stdout, _ = reddiff("eval", "inpaint", own_masks / "p0.png", *flags)
    assert stdout.startswith(f"{own_masks}/p0.png: inpaint: start")
    (tmp_path / "photos").mkdir()
    below = own_masks.rename(tmp_path / "photos" / "masks")
    flags[flags.index(own_masks)] = below
    _, stderr = reddiff("eval", "inpaint", tmp_path / "photos", "-r", *flags, code=2)
    assert "no picture found" in stderr


def test_a_copy_counts_once(photos, tmp_path, quick):
    """Under another name it was measured again, and its row took the place of the first."""
    (photos / "p2 copy.png").write_bytes((photos / "p0.png").read_bytes())
    out = tmp_path / "out"
    command = ["eval", "denoise", photos, "-o", out, *quick]
    for _ in range(2):
        _, stderr = reddiff(*command)
        assert f"[3/3] {photos}/p2 copy.png: the same as {photos}/p0.png, counted once" in stderr
        assert [mean["pictures"] for mean in content(out)["means"]] == [2, 2]
        names = [Path(row["input"]).name for row in content(out)["rows"]]
        assert names == ["p0.png"] * 2 + ["p1.png"] * 2


def test_copies_are_told_to_scripts_and_fill_the_bar(photos, tmp_path, quick, monkeypatch):
    (photos / "p0 copy.png").write_bytes((photos / "p0.png").read_bytes())
    (photos / "p3.png").write_text("no picture")
    bars, real = [], EvalReporter.finish
    monkeypatch.setattr(
        EvalReporter, "finish", lambda self, *a: bars.append(self._bar.tasks[0]) or real(self, *a)
    )
    stdout, _ = reddiff(
        "eval", "denoise", photos, "-o", tmp_path / "out", *quick, "--json", code=1
    )
    events = [json.loads(line) for line in stdout.splitlines()]
    told = {"event": "copy", "case": "denoise", "same_as": f"{photos}/p0 copy.png"}
    assert told | {"input": f"{photos}/p0.png"} in events
    assert bars[0].completed == bars[0].total == 8


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (2, 2), (5, 2)])
def test_a_limit_counts_no_copies(photos, tmp_path, quick, limit, count):
    for name in ("p0 copy.png", "p0 once more.png"):
        (photos / name).write_bytes((photos / "p0.png").read_bytes())
    Image.fromarray(scene(48, 64, seed=1)).save(photos / "p1.png")
    out = tmp_path / "out"
    _, stderr = reddiff("eval", "denoise", photos, "-o", out, *quick, "--limit", limit)
    assert stderr.count("counted once") == 2
    assert [mean["pictures"] for mean in content(out)["means"]] == [count] * 2


@pytest.mark.parametrize("limit", [[], ["--limit", "1"]])
def test_a_folder_that_cannot_be_read_fails_and_the_rest_is_measured(
    photos, tmp_path, quick, monkeypatch, limit
):
    usual, lost = os.scandir, photos / "sub"
    lost.mkdir()

    def refuse(path):
        if Path(path) == lost:
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(os, "scandir", refuse)
    out = tmp_path / "out"
    command = ["eval", "denoise", photos, "-r", "-o", out, *quick, *limit]
    stdout, _ = reddiff(*command, "--dry-run", code=1)
    told = f"{lost}: folder cannot be read (Permission denied); make it readable"
    assert stdout.splitlines()[-1] == f"{lost}: denoise: fail: {told}"
    _, stderr = reddiff(*command, code=1)
    assert f"error: {told}" in stderr
    assert [mean["pictures"] for mean in content(out)["means"]] == [1 if limit else 2] * 2
    monkeypatch.setattr(os, "scandir", usual)
    reddiff(*command)
    assert [row["status"] for row in content(out)["rows"]] == ["ok"] * (2 if limit else 4)


@pytest.mark.parametrize("lost", ["folder", "picture", "unnamed"])
def test_what_is_not_asked_for_any_more_is_no_failure(photos, tmp_path, quick, monkeypatch, lost):
    """Neither a folder nor a picture that is gone since, nor one that is not named now."""
    usual, sub, bad = os.scandir, photos / "sub", photos / "bad.png"
    bad.write_text("no picture")
    inputs = [photos]
    if lost == "folder":
        sub.mkdir()

        def refuse(path):
            if Path(path) == sub:
                raise PermissionError(13, "Permission denied", str(path))
            return usual(path)

        monkeypatch.setattr(os, "scandir", refuse)
        bad.unlink()
    out = tmp_path / "out"
    reddiff("eval", "denoise", *inputs, "-r", "-o", out, *quick, code=1)
    states = [row["status"] for row in content(out)["rows"]]
    assert sorted(states) == ["failed", *["ok"] * 4]
    monkeypatch.setattr(os, "scandir", usual)
    if lost == "folder":
        sub.rmdir()
    elif lost == "picture":
        bad.unlink()
    else:
        inputs = [photos / "p0.png"]
    _, stderr = reddiff("eval", "denoise", *inputs, "-r", "-o", out, *quick)
    assert "failed" not in stderr
    assert [row["status"] for row in content(out)["rows"]] == ["ok"] * 4


def test_failures_of_the_other_shard_stay(photos, tmp_path, quick):
    """And what is asked for, but was not tried again, stays failed."""
    for number in range(2):
        (photos / f"bad{number}.png").write_text(f"no picture {number}")
    out = tmp_path / "out"
    command = ["eval", "denoise", photos, "-o", out, *quick]
    for part in (1, 2):
        reddiff(*command, "--shard", f"{part}/2", code=1)
    for part in (1, 2):
        rows = content(out, f"eval.{part}-of-2.json")["rows"]
        assert [row["status"] for row in rows].count("failed") == 1
    reddiff(*command, code=1)
    assert [row["status"] for row in content(out)["rows"]].count("failed") == 2
    reddiff(*command, "--fail-fast", code=1)
    assert [row["status"] for row in content(out)["rows"]].count("failed") == 2


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_kernel_that_is_none_ends_it_before_anything(photos, tmp_path, quick, more):
    np.save(tmp_path / "k.npy", -np.ones((3, 3)))
    for task, flag in (("deblur", "--kernel"), ("superres", "--downsample")):
        command = ["eval", task, photos, "-o", tmp_path / "out", flag, tmp_path / "k.npy"]
        _, stderr = reddiff(*command, *quick, *more, code=2)
        assert "holds negative values" in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("task", "damage"),
    [
        ("deblur", ["--kernel", "k.npy"]),
        ("superres", ["--scale", "2", "--downsample", "k.npy"]),
        ("restore", ["--degrade", "blur k.npy | down 2 k.npy"]),
    ],
)
def test_a_kernel_file_is_read_once_a_run(photos, tmp_path, quick, monkeypatch, task, damage):
    real, read = kernel_files.read_kernel, []
    monkeypatch.setattr(kernel_files, "read_kernel", lambda path: read.append(path) or real(path))
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "k.npy", np.ones((4, 4)))
    reddiff("eval", task, photos, "-o", "out", *damage, *quick)
    assert len({row["input"] for row in content(tmp_path / "out")["rows"]}) > 1
    assert len(read) == 1
    reddiff("eval", task, photos, "-o", "out", *damage, *quick, "--dry-run")
    assert len(read) == 2


def test_a_mask_behind_other_damages_is_measured_by_what_is_left(photos, tmp_path, quick):
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(tmp_path / "m.png")
    damage = ["--degrade", f"down 2 box | mask {tmp_path / 'm.png'}", "--limit", "1"]
    command = ["eval", "restore", photos, "-o", tmp_path / "out", *quick, *damage]
    _, stderr = reddiff(*command, code=1)
    assert "mask is 64x48, the damaged crop is 16x16; make them equal" in stderr


def test_scores_open_in_a_spreadsheet(photos, tmp_path, quick):
    """The rows and the means of eval.json as comma-separated values."""
    (photos / "bad, really.png").write_text("no picture")
    out = tmp_path / "out"
    reddiff("eval", "denoise", photos, "-o", out, *quick, code=1)
    with (out / "eval.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = content(out)["rows"]
    assert [row["status"] for row in rows] == [row["status"] for row in kept]
    for row, other in zip(rows, kept, strict=True):
        assert row["input"] == other["input"]
        assert row["psnr"] == str(other.get("psnr", ""))
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert failed["error_type"] == "Unreadable"
    assert "not a picture" in failed["error_message"]
    with (out / "means.csv").open(newline="", encoding="utf-8") as file:
        means = list(csv.DictReader(file))
    assert [row["method"] for row in means] == ["start", "reddiff-2"]
    assert [float(row["psnr"]) for row in means] == [m["psnr"] for m in content(out)["means"]]


def test_pictures_beyond_the_sheet_are_kept_on_request(photos, tmp_path, quick, monkeypatch):
    """Those that it shows are, as a later run draws it again."""
    monkeypatch.setattr(evaluate, "SHEET_ROWS", 1)
    monkeypatch.setattr("reddiff_cli.evaluation.perceptual.missing", lambda _: "not here")
    command = ["eval", "denoise", photos, *quick]
    reddiff(*command, "-o", tmp_path / "few")
    few = {path.name.split("-")[0] for path in (tmp_path / "few" / "pictures").rglob("*.png")}
    assert few == {"p0"}
    assert not list((tmp_path / "few").rglob("*.npy"))
    reddiff(*command, "-o", tmp_path / "all", "--save-pictures")
    found = {path.name.split("-")[0] for path in (tmp_path / "all" / "pictures").rglob("*.png")}
    assert found == {"p0", "p1"}
    told = Path(__file__).parent.parent.joinpath("README.md").read_text()
    assert "the pictures that the sheet shows" in told


def symmetric_prior(side, schedule):
    """Smooth pictures around a mean that turning does not change: turned they are as likely."""
    prior = gaussian_prior(side, schedule)
    mean = prior.mean.view(1, 1, side, side)
    turned = sum(turn(mean) for turn in TURNS) / len(TURNS) ** 0.5
    return replace(prior, mean=turned.flatten())


def exact_network(monkeypatch):
    """The tiny prior answers as the exact denoiser of smooth random pictures."""

    def call(self, z, t):
        prior = symmetric_prior(z.shape[-1], self.schedule)
        channels = z.double().flatten(0, 1)[:, None]
        return prior(channels, t[:1].expand(len(channels))).view(z.shape).to(z.dtype)

    monkeypatch.setattr(Denoiser, "__call__", call)


def gaussian_picture(path, side=24, make=symmetric_prior):
    """A draw from a prior, quantised to 8 bits."""
    prior = make(side, None)
    root = torch.linalg.cholesky(prior.covariance + 1e-9 * torch.eye(side**2, dtype=torch.float64))
    generator = torch.Generator().manual_seed(1)
    draws = torch.randn(3, side**2, generator=generator, dtype=torch.float64)
    x = (prior.mean + draws @ root.T).view(3, side, side)
    eight = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0)
    Image.fromarray(eight.numpy()).save(path)


@pytest.mark.parametrize("task", ["denoise", "inpaint", "superres"])
def test_a_right_prior_gains_over_the_start(tmp_path, tiny_prior, monkeypatch, task):
    exact_network(monkeypatch)
    gaussian_picture(tmp_path / "g.png")
    common = ["--noise", "0.1", "--model", tiny_prior, "--device", "cpu", "-o", tmp_path / "out"]
    common.append("--save-pictures")
    own = ["--scale", "2", "--downsample", "box"] if task == "superres" else []
    methods = "reddiff:20,ddrm:10"
    reddiff("eval", task, tmp_path / "g.png", *common, *own, "--method", methods)
    values = {row["method"]: row["psnr"] for row in content(tmp_path / "out")["rows"]}
    assert values["reddiff-20"] > values["start"] + 0.5
    # A sample is no best guess.
    assert values["reddiff-20"] > values["ddrm-10"]
    row = content(tmp_path / "out")["rows"][1]
    assert row["evaluations"] == 20
    if task == "denoise":
        stem = tmp_path / "out" / "pictures" / task / f"g-{row['input_sha256'][:6]}"
        y = np.load(f"{stem}.measurement.npy")[0].transpose(1, 2, 0)
        left = y - (load_picture(Path(f"{stem}.reddiff-20.png")).pixels * 2 - 1)
        ratio = float(np.sqrt(np.square(left).mean())) / 0.2
        assert row["residual_ratio"] == pytest.approx(ratio, rel=0.15)  # which is clipped


def test_table_json_sheet_and_start(photos, tmp_path, quick):
    out = tmp_path / "out"
    stdout, stderr = reddiff("eval", "superres", photos, "-o", out, *quick, "--scale", "2")
    lines = [line.split() for line in stdout.splitlines()]
    assert [line[0] for line in lines] == ["method", "start", "reddiff-2"]
    assert "\x1b" not in stdout + stderr
    found = content(out)
    assert len(found["rows"]) == 4
    assert found["settings"]["superres"]["scale"] == 2
    assert found["versions"]["torch"] == torch.__version__
    for row in found["rows"]:
        assert row["status"] == "ok"
        assert math.isfinite(row["psnr"])
        assert (row["width"], row["height"]) == (32, 32)
    assert [row["evaluations"] for row in found["rows"]] == [0, 2, 0, 2]
    mean = np.mean([row["psnr"] for row in found["rows"] if row["method"] == "start"])
    assert float(lines[1][2]) == pytest.approx(mean, abs=0.006)
    with Image.open(out / "contact.png") as sheet:
        assert sheet.width > 4 * CELL
        assert sheet.height > 2 * CELL
    for name, why in found["missing"].items():
        assert why == missing(name)
        assert f"{name}" in (LPIPS, KID)


def test_metrics_are_those_of_the_files(photos, tmp_path, quick):
    out = tmp_path / "out"
    reddiff("eval", "denoise", photos, "-o", out, *quick, "--save-pictures")
    (row,) = [r for r in content(out)["rows"] if "p0" in r["input"] and r["method"] != "start"]
    stem = out / "pictures" / "denoise" / f"p0-{row['input_sha256'][:6]}"
    paths = [stem.with_name(f"{stem.name}.{what}.png") for what in ("clean", "reddiff-2")]
    files = [load_picture(path) for path in paths]
    one, other = (torch.from_numpy(file.pixels)[None] * 2 - 1 for file in files)
    assert float(psnr(other, one)) == pytest.approx(row["psnr"], abs=1e-3)
    pair = [file.pixels for file in files]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    similar = structural_similarity(*pair, data_range=1, channel_axis=-1, **settings)
    assert row["ssim"] == pytest.approx(similar, abs=2e-5)
    measured = np.load(stem.with_name(f"{stem.name}.measurement.npy"))
    assert measured.shape == (1, 3, 32, 32)


def test_again_computes_nothing(photos, tmp_path, quick, monkeypatch):
    out = tmp_path / "out"
    command = ["eval", "denoise", photos, "-o", out, *quick]
    first, _ = reddiff(*command)
    rows = content(out)["rows"]
    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "degrade", None)
        assert reddiff(*command)[0] == first
    assert content(out)["rows"] == rows
    # Another method is added to what is there.
    reddiff("eval", "denoise", photos, "-o", out, *quick[:-1], "diffpir:2")
    assert len(content(out)["rows"]) == 6
    _, stderr = reddiff(*command, "--noise", "0.2", code=2)
    assert "another noise" in stderr
    reddiff(*command, "--noise", "0.2", "--overwrite")
    assert {row["noise"] for row in content(out)["rows"]} == {0.2}


def test_a_method_that_is_added_leaves_the_means_of_the_others(photos, tmp_path, quick):
    out = tmp_path / "out"
    reddiff("eval", "denoise", photos, "-o", out, *quick)
    first = content(out)["means"]
    table, _ = reddiff("eval", "denoise", photos, "-o", out, *quick[:-1], "diffpir:2")
    methods = ["start", "reddiff-2", "diffpir-2"]
    assert [line.split()[0] for line in table.splitlines()[1:]] == methods
    assert content(out)["means"][:2] == first
    lines = (out / "means.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == methods


@pytest.mark.parametrize("what", ["ssim", "evaluations"])
def test_rows_that_were_measured_otherwise_are_not_mixed_in(photos, tmp_path, quick, what):
    """SSIM was taken on [-1, 1] before, evaluations were added; settings did not name it."""
    out = tmp_path / "out"
    command = ["eval", "denoise", photos, "-o", out, *quick]
    reddiff(*command)
    stored = content(out)
    del stored["settings"]["denoise"][what]
    (out / "eval.json").write_text(json.dumps(stored))
    _, stderr = reddiff(*command, code=2)
    assert f"was made with another {what}; choose another -o, or use --overwrite" in stderr
    reddiff(*command, "--overwrite")
    assert what in content(out)["settings"]["denoise"]


def test_a_broken_run_goes_on_where_it_stopped(photos, tmp_path, quick, monkeypatch):
    out = tmp_path / "out"
    command = ["eval", "denoise", photos, "-o", out, *quick]
    real, calls = evaluate.degrade, []

    def stop_at_second(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(evaluate, "degrade", stop_at_second)
        reddiff(*command, code=130)
    assert len(content(out)["rows"]) == 2
    calls.clear()
    monkeypatch.setattr(evaluate, "degrade", lambda *a: calls.append(1) or real(*a))
    reddiff(*command)
    assert len(calls) == 1
    assert len(content(out)["rows"]) == 4


def test_a_method_that_cannot_is_a_row_or_an_error(photos, tmp_path, quick):
    common = [*quick[:-1], "reddiff:2,ddrm:2", "--limit", "1"]
    stdout, stderr = reddiff("eval", "superres", photos, "-o", tmp_path / "a", *common)
    assert "ddrm-2" in stdout
    assert "only averaging over blocks" in stderr
    (row,) = [r for r in content(tmp_path / "a")["rows"] if r["method"] == "ddrm-2"]
    assert row["status"] == "refused"
    alone = [*quick[:-1], "ddrm:2"]
    for task in ("superres", "hdr"):
        _, stderr = reddiff("eval", task, photos, "-o", tmp_path / task, *alone, code=2)
        assert "--method ddrm" in stderr


def test_curve(photos, tmp_path, quick):
    out = tmp_path / "out"
    methods = [*quick[:-1], "reddiff,diffpir", "--curve", "2,4", "--limit", "1"]
    reddiff("eval", "denoise", photos, "-o", out, *methods)
    labels = [row["method"] for row in content(out)["rows"]]
    assert labels == ["start", "reddiff-2", "reddiff-4", "diffpir-2", "diffpir-4"]
    with Image.open(out / "curve.png") as plot:
        assert plot.size == SIZE
        drawn = {colour for _, colour in plot.getcolors(1 << 20)}
    for colour in COLOURS[:2]:
        assert tuple(bytes.fromhex(colour[1:])) in drawn


def test_shards_share_the_work_and_are_found_again(photos, tmp_path, quick, monkeypatch):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    command = ["eval", "denoise", photos, *quick]
    expected, _ = reddiff(*command, "-o", whole)
    for number in (1, 2):
        reddiff(*command, "-o", parts, "--shard", f"{number}/2")
        assert len(content(parts, f"eval.{number}-of-2.json")["rows"]) == 2
    monkeypatch.setattr(evaluate, "degrade", None)
    reddiff(*command, "-o", parts)
    for one, other in zip(content(whole)["rows"], content(parts)["rows"], strict=True):
        assert (one["input"], one["method"]) == (other["input"], other["method"])
        assert (one["psnr"], one["ssim"]) == (other["psnr"], other["ssim"])


def test_a_failed_picture_is_left_out(photos, tmp_path, quick):
    (photos / "bad.png").write_text("no picture")
    out = tmp_path / "out"
    stdout, stderr = reddiff("eval", "denoise", photos, "-o", out, *quick, "--json", code=1)
    events = [json.loads(line) for line in stdout.splitlines()]
    assert [e["event"] for e in events] == ["row"] * 5 + ["mean"] * 2 + ["summary"]
    assert [e["status"] for e in events if e["event"] == "row"].count("failed") == 1
    assert all(e["pictures"] == 2 for e in events if e["event"] == "mean")
    assert events[-1]["failed"] == 1
    assert events[-1]["exit_code"] == 1
    assert "bad.png: not a picture" in stderr


def test_a_failure_belongs_to_its_file(photos, tmp_path, quick):
    """Of files that cannot be read nobody knows the contents; mended, they have not failed."""
    mended = (photos / "p0.png").read_bytes()
    bad = [photos / "a.png", photos / "b.png", photos / "c.png"]
    for path in bad[:2]:
        path.symlink_to("nowhere.png")
    bad[2].write_text("no picture")
    command = ["eval", "denoise", photos, "-o", tmp_path / "out", *quick]

    def failed():
        rows = content(tmp_path / "out")["rows"]
        return {row["input"] for row in rows if row["status"] == "failed"}

    reddiff(*command, code=1)
    assert failed() == set(map(str, bad))
    for path in bad:
        path.unlink()
        path.write_bytes(mended + path.name.encode())
    reddiff(*command)
    assert failed() == set()
    assert len(content(tmp_path / "out")["rows"]) == 2 * 5


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--device", "cuda:99"], 4),
        (["--model", "nonesuch"], 3),
    ],
)
def test_a_run_that_ends_before_its_first_row_still_sums_up(photos, tmp_path, quick, flags, code):
    command = ["eval", "denoise", photos, "-o", tmp_path / "out", *quick, "--json"]
    stdout, stderr = reddiff(*command, *flags, code=code)
    assert_sums_up(stdout, 0, code)
    assert stderr.splitlines()[-1].startswith("error: ")


def test_without_a_picture_it_still_sums_up(tmp_path, quick):
    (tmp_path / "empty").mkdir()
    command = ["eval", "denoise", tmp_path / "empty", "-o", tmp_path / "out", *quick]
    stdout, _ = reddiff(*command, "--json", code=2)
    assert_sums_up(stdout, 0, 2)
    assert reddiff(*command, code=2)[0] == ""  # people read the error


@pytest.mark.parametrize("measured", [0, 1])
def test_an_interrupted_run_still_sums_up(photos, tmp_path, quick, monkeypatch, measured):
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) > measured:
            raise KeyboardInterrupt
        return degrade(*arguments)

    monkeypatch.setattr(evaluate, "degrade", interrupted)
    command = ["eval", "denoise", photos, "-o", tmp_path / "out", *quick, "--json"]
    stdout, _ = reddiff(*command, code=130)
    assert_sums_up(stdout, 2 * measured, 130)


def assert_sums_up(stdout, rows, code):
    *before, summary = [json.loads(line) for line in stdout.splitlines()]
    assert [event["event"] for event in before] == ["row"] * rows
    counts = [summary[key] for key in ("event", "ok", "skipped", "failed", "exit_code")]
    assert counts == ["summary", rows, 0, 0, code]


def test_phase_is_aligned_before_it_is_measured(tmp_path, tiny_prior, monkeypatch):
    exact_network(monkeypatch)
    # The search mixes a picture that is nearly its own twin with it.
    gaussian_picture(tmp_path / "g.png", make=gaussian_prior)
    out = tmp_path / "out"
    common = ["--noise", "0", "--model", tiny_prior, "--device", "cpu", "--method", "reddiff:4"]
    search = ["--starts", "12", "--keep", "2"]
    finish = PhaseRetrieval.finish

    def twin(self):
        found = finish(self)
        return replace(found, pixels=np.roll(found.pixels[::-1, ::-1], (5, 7), (0, 1)))

    # Which of the twins is found is left to chance.
    monkeypatch.setattr(PhaseRetrieval, "finish", twin)
    reddiff("eval", "phase", tmp_path / "g.png", "-o", out, *common, *search)
    values = {row["method"]: row["psnr"] for row in content(out)["rows"]}
    # Not aligned, a turned picture of the same grey values has about 12 dB.
    assert values["reddiff-4"] > 25


def test_methods_share_the_search_of_phase():
    case = make_case("phase", {"starts": 2, "keep": 1}, 0.01)
    specimen = degrade(clean(16, 16), case, 16, 0)
    (first, one), (second, other) = posed(specimen, noise=0.01), posed(specimen, noise=0.01)
    assert first is not second
    assert torch.equal(one.start, other.start)
    first.accept(one, one.start)
    with pytest.raises(ValueError, match="has not been solved"):
        second.finish()  # results are not shared
    second.accept(other, other.start)
    np.testing.assert_array_equal(first.finish().pixels, second.finish().pixels)


def test_the_solver_can_be_told_something_else(photos, tmp_path, quick):
    common = [*quick, "--limit", "1", "--noise", "0.1"]
    reddiff("eval", "denoise", photos, "-o", tmp_path / "a", *common, "--assume-noise", "0.02")
    assert content(tmp_path / "a")["rows"][1]["assumed_noise"] == 0.02
    reddiff("eval", "denoise", photos, "-o", tmp_path / "b", *common, "--assume-noise", "auto")
    assert content(tmp_path / "b")["rows"][1]["assumed_noise"] not in (0.1, 0.02)


def test_what_rows_were_made_with_is_kept_apart(photos, tmp_path, quick):
    """What the solvers are told, and all that a card says."""
    command = ["eval", "denoise", photos, "-o", tmp_path / "a", *quick, "--limit", "1"]
    reddiff(*command)
    assert "another assumed_noise" in reddiff(*command, "--assume-noise", "0.2", code=2)[1]
    case, card = (
        make_case("denoise", {}, 0.1),
        Card("none", tmp_path, origin=HubOrigin("a/b", "c")),
    )
    options = EvalOptions((case,), tuple(parse_methods("reddiff:2", SolverOptions())))
    about = options, [], "none", MachineOptions("cpu"), tmp_path, ReportOptions()
    settings = [
        run.EvalRun(*about)._settings(case, replace(card, **changes))
        for changes in ({}, {"starts": {"denoise": 0.7}}, {"wide_noise": 0.2}, {"tile": 512})
    ]
    assert all(other != settings[0] for other in settings[1:])


def test_the_first_failure_ends_an_evaluation_that_asks_for_it(photos, tmp_path, quick):
    (photos / "a.png").write_text("no picture")
    command = ["eval", "denoise", photos, "-o", tmp_path / "out", *quick, "--fail-fast"]
    reddiff(*command, code=1)
    assert [row["status"] for row in content(tmp_path / "out")["rows"]] == ["failed"]


def test_noise_of_a_composition_is_what_is_added():
    for text, noise in (("blur gaussian:1 | noise 0.02", 0.02), ("blur gaussian:1", 0.05)):
        assert make_case("restore", {"degrade": text}, None).noise == noise
    assert make_case("restore", {"degrade": "grey | noise 0.02"}, 0.1).noise == 0.1


BAD = [
    (["eval", "denoise", "PHOTOS", "-o", "x", "--mask", "m"], "--mask: is no flag of denoise"),
    (["eval", "denoise", "PHOTOS", "-o", "x", "--grow-mask", "1"], "--grow-mask: is no flag"),
    (["eval", "inpaint", "PHOTOS", "-o", "x", "--mask", "nowhere"], "--mask nowhere: no such"),
    (["eval", "inpaint", "PHOTOS", "-o", "x", "--invert-mask"], "--invert-mask: is for masks"),
    (["eval", "inpaint", "PHOTOS", "-o", "x", "--hole", "box:9", "--mask", "PHOTOS"], "drop one"),
    (["eval", "PHOTOS", "-o", "x", "--suite", "paper", "--mask", "PHOTOS"], "drop --mask"),
    (["eval", "superres", "PHOTOS"], "-o: missing"),
    (["eval", "sharpen", "PHOTOS", "-o", "x"], "no such task"),
    (["eval", "denoise", "-o", "x"], "no pictures"),
    (["eval", "denoise", "PHOTOS", "-o", "x", "--scale", "2"], "--scale: is no flag of denoise"),
    (["eval", "inpaint", "PHOTOS", "-o", "x", "--hole", "round:3"], "--hole round:3"),
    (["eval", "inpaint", "PHOTOS", "-o", "x", "--hole", "random:1.5"], "above 0 and below 1"),
    (["eval", "inpaint", "PHOTOS", "-o", "x", "--hole", "box:0.5"], "give whole pixels"),
    (["eval", "inpaint", "PHOTOS", "-o", "x", "--hole", "ring:2"], "--hole ring:2: unknown"),
    (["eval", "denoise", "PHOTOS", "-o", "x", "--method", "magic"], "--method magic"),
    (["eval", "denoise", "PHOTOS", "-o", "x", "--method", "reddiff,reddiff"], "twice"),
    (
        ["eval", "denoise", "PHOTOS", "-o", "x", "--method", "reddiff:0"],
        "--method reddiff:0: must",
    ),
    (["eval", "denoise", "PHOTOS", "-o", "x", "--curve", "10,x"], "--curve 10,x"),
    (["eval", "jpeg", "PHOTOS", "-o", "x", "--noise", "0.1"], "--noise 0.1"),
    (["eval", "deblur", "PHOTOS", "-o", "x", "--kernel", "auto"], "--kernel auto"),
    (["eval", "deblur", "PHOTOS", "-o", "x", "--response", "auto"], "--response auto"),
    (["eval", "deblur", "PHOTOS", "-o", "x", "--response", "film"], "--response film: unknown"),
    (["eval", "restore", "PHOTOS", "-o", "x"], "--degrade: missing"),
    (["eval", "denoise", "PHOTOS", "-o", "x", "--suite", "paper"], "drop denoise"),
    (["eval", "PHOTOS", "-o", "x", "--suite", "all"], "--suite all: unknown"),
    (["eval", "denoise", "nowhere", "-o", "x"], "no such file or folder"),
    (["eval", "denoise", "PHOTOS", "-o", "x", "--crop", "4"], "--crop 4"),
]


@pytest.mark.parametrize("arguments, message", BAD)
def test_bad_command_lines(photos, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    given = [str(photos) if a == "PHOTOS" else a for a in arguments]
    _, stderr = reddiff(*given, code=2)
    assert message in stderr
    assert not (tmp_path / "x").exists()


def test_plan_writes_nothing(photos, tmp_path, quick):
    out = tmp_path / "out"
    stdout, _ = reddiff("eval", photos, "-o", out, *quick, "--suite", "paper", "--dry-run")
    assert len(stdout.splitlines()) == 2 * len(make_suite("paper", None))
    assert "start, reddiff-2" in stdout
    assert not out.exists()


def test_suite_is_one_table(photos, tmp_path, quick, monkeypatch):
    cases = [case for case in make_suite("paper", None) if case.task in ("inpaint", "hdr")]
    monkeypatch.setattr("reddiff_cli.commands.eval.make_suite", lambda *_: tuple(cases))
    out = tmp_path / "out"
    stdout, stderr = reddiff("eval", photos, "-o", out, *quick, "--suite", "paper", "--limit", "1")
    assert "KID" in stdout.splitlines()[0]
    assert len(stdout.splitlines()) == 5
    assert "nonlinear deblur is not available" in stderr
    assert {row["case"] for row in content(out)["rows"]} == {case.name for case in cases}
    assert (out / "contact.hdr-paper.png").is_file()


def test_methods_and_curves():
    methods = parse_methods("reddiff:20, reddiff-paper:30,dps", SolverOptions())
    assert [method.label for method in methods] == ["reddiff-20", "reddiff-paper-30", "dps-1000"]
    assert methods[1].solver.preset == "paper"
    assert parse_curve("50,10,10") == (10, 50)
    with pytest.raises(UsageError, match="--curve says"):
        parse_methods("reddiff:20", SolverOptions(), (10,))


def test_the_published_form_begins_where_the_bundled_prior_was_never_trained(tmp_path):
    """From s = 157 on; what it says there must not throw the picture away."""
    picture = Path(__file__).parent / "pictures/coffee.png"
    damage = ["--crop", "32", "--hole", "freeform:0.3", "--noise", "0"]
    methods = ["--method", "reddiff-paper:50"]
    reddiff("eval", "inpaint", picture, "-o", tmp_path / "s", *damage, *methods, "-q")
    means = {entry["method"]: entry["psnr"] for entry in content(tmp_path / "s")["means"]}
    # 27 dB; 9 where it is only told of the last level it knows.
    assert means["reddiff-paper-50"] > 20


def test_a_first_noise_level_is_for_all_but_the_published_form(photos, tmp_path, quick):
    methods = parse_methods("reddiff:2,reddiff-paper:2,diffpir:2", SolverOptions(s_start=1.0))
    assert [method.solver.s_start for method in methods] == [1.0, None, 1.0]
    out = tmp_path / "out"
    command = ["eval", "denoise", photos, "-o", out, *quick, "--limit", "1"]
    reddiff(*command, "--start", "0.5")
    _, stderr = reddiff(*command, "--start", "5", code=2)
    assert "another start" in stderr


def test_weights_that_are_not_here_are_never_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in (LPIPS, KID):
        assert missing(name)
    assert list(tmp_path.iterdir()) == []


def test_means_leave_failures_out():
    case = make_case("denoise", {}, 0.1)
    good = {"case": "denoise", "method": "start", "status": "ok", "evaluations": 0}
    good |= dict.fromkeys(("ssim", "lpips", "residual_ratio", "seconds", "peak_memory_mb"))
    rows = [good | {"psnr": 20.0}, good | {"psnr": 24.0}]
    rows.append({"case": "denoise", "method": "", "status": "failed"})
    (entry,) = summarise(rows, [case], [])
    assert entry.pictures == 2
    assert entry.values["psnr"] == pytest.approx((22.0, 8**0.5))
    assert entry.values["lpips"] is None


def test_evaluations_of_the_table_are_those_of_all_pictures():
    """Of white noise a method takes 4, and of other noise 50."""
    case = make_case("denoise", {}, 0.1)
    row = dict.fromkeys(("psnr", "ssim", "lpips", "residual_ratio", "seconds", "peak_memory_mb"))
    row |= {"case": "denoise", "method": "reddiff", "status": "ok"}
    rows = [row | {"evaluations": count} for count in (4, 4, 50)]
    (entry,) = summarise(rows, [case], ["reddiff"])
    assert entry.evaluations == 19.3
    assert table([entry], False, {})[1][1] == "19.3"


def test_evaluations_are_those_of_a_picture_or_window(tmp_path, quick, monkeypatch):
    """Thin and wide parts of a hole are two stages, of other windows each."""
    Image.fromarray(scene(96, 96)).save(tmp_path / "a.png")
    hole = np.zeros((96, 96), dtype=bool)
    hole[20:60, 20:60], hole[80:82, 10:80] = True, True
    monkeypatch.setattr("reddiff_cli.evaluation.degrade.draw_hole", lambda *_: hole)
    method = [*quick[:4], "--method", "reddiff:2", "--noise", "0", "--crop", "96"]
    reddiff("eval", "inpaint", tmp_path / "a.png", "-o", tmp_path / "out", *method)
    assert [row["evaluations"] for row in content(tmp_path / "out")["rows"]] == [0, 2]


def test_kid_by_hand_and_by_distribution():
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]])
    # Off the diagonal k(0, 2) = 1 and k(1, 1) = 8; across (1 + 1 + 27 + 27) / 4 = 14.
    assert kid(x, y) == pytest.approx(1 + 8 - 2 * 14)
    generator = torch.Generator().manual_seed(0)
    one, other, far = (torch.randn(200, 16, generator=generator) + m for m in (0, 0, 1))
    assert abs(kid(one, other)) < 0.1 < kid(one, far)


def test_ticks_are_round_and_cover():
    for low, high in ((22.31, 30.9), (0.1, 0.1), (-3, 1000)):
        found = ticks(low, high)
        assert found[0] <= low + 1e-9
        assert found[-1] >= high - 1e-9
        assert 2 <= len(found) <= 12
        steps = np.diff(found)
        np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
        assert f"{steps[0]:e}"[:3] in ("1.0", "2.0", "5.0")


def test_plot_puts_points_where_they_belong():
    image = line_plot({"a": [(10, 20.0), (100, 30.0)]}, "t", "x", "y")
    blue = tuple(bytes.fromhex(COLOURS[0][1:]))
    array = np.asarray(image)[:, : SIZE[0] - 200]
    rows, columns = np.nonzero((array == blue).all(2))
    left, right = rows[columns < columns.mean()], rows[columns > columns.mean()]
    assert left.mean() > right.mean()  # the line rises to the right
    with pytest.raises(ValueError, match="nothing to draw"):
        line_plot({}, "t", "x", "y")


def test_only_the_pictures_of_the_sheet_are_gathered(tmp_path, monkeypatch):
    """Thousands were: all rows for each picture, for a sheet of eight."""
    case, asked, drawn = make_case("denoise", {}, 0.1), [], []
    options = EvalOptions((case,), tuple(parse_methods("reddiff:2", SolverOptions(), (), None)))
    rows = [
        {"method": method, "input": f"{k}.png", "input_sha256": f"{k}", "psnr": 9.0 + k}
        | {"status": ledger.FAILED if k == 1 else ledger.OK, "error": {"message": "no"}}
        for k in range(20)
        for method in ("start", "reddiff-2")
    ]

    def shot(case, path, digest):
        asked.append(digest)
        return SimpleNamespace(file=lambda what: tmp_path / f"{digest}-{what}.png")

    monkeypatch.setattr(run, "contact_sheet", lambda titles, lines: drawn.extend(lines))
    machine, report = MachineOptions("cpu"), ReportOptions()
    evaluation = run.EvalRun(options, [], "natural", machine, tmp_path, report)
    evaluation._sheet(SimpleNamespace(shot=shot), case, rows)
    assert asked == [str(k) for k in range(evaluate.SHEET_ROWS + 1) if k != 1]
    assert [line[0].text for line in drawn] == [f"{k}.png" for k in map(int, asked)]
    assert [line[-1].text for line in drawn] == [f"{9 + int(k):.2f} dB" for k in asked]


def test_sheet_without_a_picture_shows_the_reason(tmp_path):
    sheet = contact_sheet(["a", "b"], [[Panel(None, "because"), Panel(tmp_path / "none.png")]])
    assert sheet.width > 2 * CELL
    assert (np.asarray(sheet)[CELL + 22 :] < 128).any()


@pytest.mark.parametrize("task", ["superres", "denoise", "hdr", "deblur"])
def test_a_method_meets_the_settings_of_the_command(task, tmp_path):
    """What eval measures is what the command runs: first level and weight of the prior's card."""
    card = Card(
        name="none",
        folder=tmp_path,
        starts={task: 0.37},
        prior_weights={task: 0.61},
    )
    options = {
        "superres": SuperresOptions(2),
        "denoise": DenoiseOptions(),
        "hdr": HdrOptions(),
        "deblur": DeblurOptions(parse_kernel("uniform:3")),
    }[task]
    picture = Picture(scene(40, 44) / np.float32(255))
    specimen = degrade(picture, Case(task, options, 0.05), 24, 0)
    setting = Setting(card, SolverOptions(), lambda _: None)
    problem = specimen.pose(setting)
    for stage in problem.stages():
        problem.accept(stage, stage.start)
    assert stage.s_start == pytest.approx(
        min(0.37, FIRST * stage.sigma_y) if task == "denoise" else 0.37
    )
    # 50 evaluations are 25 steps, and the card speaks of 10.
    assert stage.weight == pytest.approx(0.61 if task == "hdr" else 0.61 * 0.4**0.5)


def test_what_failed_is_not_summed_up_as_measured(photos, tmp_path, quick):
    (photos / "bad.png").write_text("no picture")
    command = ["eval", "denoise", photos, "-o", tmp_path / "out", *quick, "--json"]
    for measured, kept in ((4, 0), (0, 4)):
        summary = json.loads(reddiff(*command, code=1)[0].splitlines()[-1])
        counts = [summary[name] for name in ("ok", "skipped", "failed")]
        assert counts == [measured, kept, 1]


def test_what_nobody_foresaw_ends_one_picture_alone(photos, tmp_path, quick, monkeypatch):
    def damage(picture, *rest):
        if picture.pixels[0, 0, 0] == scene(48, 64, seed=1)[0, 0, 0] / np.float32(255):
            raise errors.pop()
        return degrade(picture, *rest)

    monkeypatch.setattr(evaluate, "degrade", damage)
    for error, word in ((ValueError("odd"), "odd"), (MemoryError(), "smaller --crop")):
        errors = [error]
        out = tmp_path / word
        _, stderr = reddiff("eval", "denoise", photos, "-o", out, *quick, code=1)
        assert word in stderr
        assert "Traceback" not in stderr
        statuses = [row["status"] for row in content(out)["rows"]]
        assert sorted(statuses) == ["failed", "ok", "ok"]


def test_more_steps_than_levels_are_a_row_with_the_reason(photos, tmp_path, quick):
    methods = [*quick[:-1], "reddiff:2,diffpir:100", "--start", "0.1", "--limit", "1"]
    _, stderr = reddiff("eval", "denoise", photos, "-o", tmp_path / "out", *methods)
    assert "noise levels from --start 0.1 down" in stderr
    statuses = {row["method"]: row["status"] for row in content(tmp_path / "out")["rows"]}
    assert statuses == {"start": "ok", "reddiff-2": "ok", "diffpir-100": "refused"}


def test_rows_are_written_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    """The file is rewritten as a whole: after every row, thousands of them would take hours."""

    def kept():
        return [row["method"] for row in content(tmp_path)["rows"]]

    clock = [0.0]
    monkeypatch.setattr(ledger.time, "monotonic", lambda: clock[0])
    row = {"case": "c", "input_sha256": "x", "status": "ok"}
    rows = [row | {"method": method} for method in "abcde"]
    with suppress(KeyboardInterrupt), Ledger(tmp_path, {"c": {}}, Shard()) as book:
        book.add(rows[0])
        assert kept() == ["a"]  # a folder that cannot be written is told of at once
        book.add(rows[1])
        book.add(rows[2])
        assert kept() == ["a"]
        clock[0] = ledger.EVERY
        book.add(rows[3])
        assert kept() == ["a", "b", "c", "d"]
        book.add(rows[4])
        raise KeyboardInterrupt
    assert kept() == ["a", "b", "c", "d", "e"]


def test_a_folder_is_not_given_to_another_task(tmp_path):
    """Its table and its sheets would be lost."""
    one, two = {"superres": {"crop": 64}}, {"denoise": {"crop": 64}}
    Ledger(tmp_path, one, Shard()).write()
    with pytest.raises(UsageError, match="holds superres; choose another -o"):
        Ledger(tmp_path, two, Shard())
    with pytest.raises(UsageError, match="another crop"):
        Ledger(tmp_path, {"superres": {"crop": 32}}, Shard())
    Ledger(tmp_path, one | two, Shard())  # a suite that goes on
    Ledger(tmp_path, two, Shard(), overwrite=True)
