"""The command as a user runs it: files written, exit codes, streams, and nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import reddiff_cli
from conftest import reddiff, save_random_prior, scene
from reddiff_cli import run
from reddiff_cli.checkpoints.folders import CONFIG, SCHEDULER
from reddiff_cli.denoisers.denoiser import Denoiser
from reddiff_cli.formats import deep, kinds
from reddiff_cli.formats.carriers import read_record
from reddiff_cli.holes.smooth import bend_smoothly, fill_smoothly
from reddiff_cli.kernels import files as kernel_files
from reddiff_cli.light.response import LIGHT
from reddiff_cli.pictures.files import Picture, load_picture, save_picture


def pixels(path):
    return np.asarray(Image.open(path))


def test_restores_beside_the_input(picture_file, mask_file, quick):
    stdout, stderr = reddiff("inpaint", picture_file, "--mask", mask_file, *quick)
    output = picture_file.with_name("img.inpaint.png")
    assert stdout == ""
    assert "img.inpaint.png" in stderr
    assert "\x1b" not in stderr
    hole = pixels(mask_file) > 127
    before, after = pixels(picture_file), pixels(output)
    assert np.array_equal(after[~hole], before[~hole])
    assert (after[hole] != before[hole]).any()
    assert read_record(output)["steps"] == 2


def test_again_other_seed_overwrite(picture_file, mask_file, quick):
    command = ["inpaint", picture_file, "--mask", mask_file, *quick]
    output = picture_file.with_name("img.inpaint.png")
    reddiff(*command)
    first, before = output.read_bytes(), pixels(output)
    _, stderr = reddiff(*command)
    assert "skipped" in stderr
    _, stderr = reddiff(*command, "--seed", "5", code=1)
    assert "--overwrite" in stderr
    assert output.read_bytes() == first
    reddiff(*command, "--seed", "5", "--overwrite")
    assert (pixels(output) != before).any()  # its record holds the seed and is another anyway
    reddiff(*command, "--overwrite")
    assert output.read_bytes() == first


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (SCHEDULER, {"num_train_timesteps": None}, "the prior cannot be loaded (TypeError"),
        (CONFIG, {"norm_eps": "1e-5"}, "norm_eps = '1e-5'; it is of the wrong kind"),
        (CONFIG, {"layers_per_block": 100_000}, "for which 102 weights are too few"),
    ],
)
def test_a_damaged_prior_ends_the_run(tmp_path, name, change, told):
    """Not one picture could be restored with it: scripts stop at exit code 3."""
    prior = save_random_prior(tmp_path / "p")
    config = json.loads((prior / name).read_text())
    (prior / name).write_text(json.dumps(config | change))
    for name in ("a.png", "b.png"):
        Image.fromarray(scene()).save(tmp_path / name)
    _, err = reddiff("denoise", tmp_path, "--model", prior, "--device", "cpu", code=3)
    assert told in err
    assert "0 restored, 0 skipped, 0 failed, 2 not done" in err


def test_folder_with_good_and_bad_files(tmp_path, quick):
    inputs, masks, out = tmp_path / "in", tmp_path / "masks", tmp_path / "out"
    inputs.mkdir()
    masks.mkdir()
    for name in ("good", "empty", "size"):
        Image.fromarray(scene()).save(inputs / f"{name}.png")
    (inputs / "text.png").write_text("not a picture")
    hole = np.zeros((48, 64), dtype=np.uint8)
    Image.fromarray(hole).save(masks / "empty.png")
    hole[5:9, 5:9] = 255
    for name in ("good", "text"):
        Image.fromarray(hole).save(masks / f"{name}.png")
    Image.fromarray(hole.T.copy()).save(masks / "size.png")
    _, stderr = reddiff("inpaint", inputs, "--mask", masks, "-o", out, *quick, code=1)
    assert "1 restored, 1 skipped, 2 failed" in stderr
    assert [path.name for path in out.iterdir()] == ["good.png"]
    _, stderr = reddiff("inpaint", inputs, "--mask", masks, "-o", out, "-q", *quick, code=1)
    assert all(line.startswith("error: ") for line in stderr.strip().splitlines())


def test_the_same_picture_under_two_names_gives_the_same_pixels(tmp_path, mask_file, quick):
    for name in ("a", "b"):
        Image.fromarray(scene()).save(tmp_path / f"{name}.png")
    reddiff("inpaint", tmp_path / "a.png", tmp_path / "b.png", "--mask", mask_file, *quick)
    reddiff("inpaint", tmp_path / "b.png", "-o", tmp_path / "c.png", "-m", mask_file, *quick)
    first = pixels(tmp_path / "a.inpaint.png")
    assert np.array_equal(first, pixels(tmp_path / "b.inpaint.png"))
    assert np.array_equal(first, pixels(tmp_path / "c.png"))


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P"])
def test_kinds_of_pictures_keep_their_kind(tmp_path, mask_file, quick, mode):
    rgba = np.dstack([scene(), scene(channels=1, seed=4)])
    image = Image.fromarray(rgba).convert("RGB" if mode == "P" else mode).convert(mode)
    image.save(tmp_path / "p.png")
    reddiff("inpaint", tmp_path / "p.png", "-m", mask_file, *quick)
    result = load_picture(tmp_path / "p.inpaint.png")
    source = load_picture(tmp_path / "p.png")
    hole = pixels(mask_file) > 127
    assert result.pixels.shape == source.pixels.shape
    assert np.array_equal(result.pixels[~hole], source.pixels[~hole])
    assert (result.alpha is None) == (source.alpha is None)
    if source.alpha is not None:
        assert np.array_equal(result.alpha[~hole], source.alpha[~hole])
        assert (result.alpha[hole] == 1).all()


def test_transparent_pixels_are_filled_and_become_opaque(tmp_path, quick):
    rgba = np.dstack([scene(), np.full((48, 64), 255, dtype=np.uint8)])
    rgba[10:14, 10:30] = 0
    Image.fromarray(rgba).save(tmp_path / "p.png")
    reddiff("inpaint", tmp_path / "p.png", *quick)
    result = Image.open(tmp_path / "p.inpaint.png")
    assert result.mode == "RGB"
    assert (np.asarray(result)[10:14, 10:30] != 0).any()


def test_sixteen_bits_outside_the_mask_are_kept(tmp_path, mask_file, quick):
    from test_pictures import write_sixteen

    values = (scene().astype(np.uint16) << 8) + 77
    write_sixteen(tmp_path / "p.png", values)
    reddiff("inpaint", tmp_path / "p.png", "-m", mask_file, *quick)
    before, after = load_picture(tmp_path / "p.png"), load_picture(tmp_path / "p.inpaint.png")
    hole = pixels(mask_file) > 127
    assert after.depth == 16
    assert np.array_equal(after.pixels[~hole], before.pixels[~hole])


@pytest.mark.parametrize("size", [(1, 5), (7, 3), (333, 57)])
def test_odd_sizes(tmp_path, quick, size):
    Image.fromarray(scene(*size)).save(tmp_path / "p.png")
    mask = np.zeros(size, dtype=np.uint8)
    mask[0, 1] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    reddiff("inpaint", tmp_path / "p.png", "-m", tmp_path / "m.png", *quick)
    assert pixels(tmp_path / "p.inpaint.png").shape == (*size, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("task", ["denoise", "jpeg"])
def test_pictures_one_pixel_wide_that_were_turned(tmp_path, quick, task, size):
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        Image.fromarray(scene(*size)).save(tmp_path / f"{orientation}.jpg", exif=exif)
    reddiff(task, tmp_path, *quick)
    for orientation in range(1, 9):
        shape = pixels(tmp_path / f"{orientation}.{task}.png").shape
        assert shape == (*(size if orientation < 5 else size[::-1]), 3)


def test_wide_hole_and_windows(tmp_path, quick):
    Image.fromarray(scene(300, 600)).save(tmp_path / "p.png")
    mask = np.zeros((300, 600), dtype=np.uint8)
    mask[100:140, 300:350] = 255
    mask[20:23, 20:500] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    _, stderr = reddiff("inpaint", tmp_path / "p.png", "-m", tmp_path / "m.png", "-v", *quick)
    assert "patches" in stderr
    result = pixels(tmp_path / "p.inpaint.png")
    assert result[100:140, 300:350].std() > 5
    assert np.array_equal(result[mask == 0], pixels(tmp_path / "p.png")[mask == 0])


def test_format_that_cannot_hold_the_picture_is_refused_before_the_work(
    tmp_path, mask_file, quick, monkeypatch
):
    def never(self, z, t):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(Denoiser, "_denoise", never)
    rgba = np.dstack([scene(), np.full((48, 64), 99, dtype=np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "p.png")
    command = ["inpaint", tmp_path / "p.png", "-m", mask_file, "-o", tmp_path / "o.jpg", *quick]
    _, stderr = reddiff(*command, code=2)
    assert "transparency" in stderr


@pytest.mark.parametrize(
    ("flags", "suffix", "told"),
    [
        (["denoise"], "jpg", "JPEG cannot hold transparency; write .png"),
        (["denoise"], "webp", "WEBP holds 40 pixels a side, the result has 32x48; write .png"),
        (
            ["superres", "--scale", "2"],
            "jpeg",
            "JPEG holds 90 pixels a side, the result has 64x96",
        ),
        (["restore", "--degrade", "down 2 | down 3"], "webp", "the result has 192x288"),
    ],
)
def test_results_that_their_format_cannot_hold_are_told_at_once(
    tmp_path, quick, monkeypatch, flags, suffix, told
):
    """By --dry-run as well; size is that of the upright picture, enlarged."""

    def never(*_):
        raise AssertionError("the picture was read")

    monkeypatch.setattr("reddiff_cli.restore.pose", never)
    for kind, most in (("JPEG", 90), ("WEBP", 40)):
        monkeypatch.setitem(kinds.MOST_SIDE, kind, most)
    alpha = [np.full((32, 48), 99, dtype=np.uint8)] if "transparency" in told else []
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.dstack([scene(32, 48), *alpha])).save(tmp_path / "p.png", exif=exif)
    target = tmp_path / f"o.{suffix}"
    for dry in ([], ["--dry-run"]):
        command = [flags[0], tmp_path / "p.png", *flags[1:], "-o", target, *quick, *dry]
        out, err = reddiff(*command, code=2)
        assert told in (out if dry else err)
    out, _ = reddiff("denoise", tmp_path / "p.png", "-o", tmp_path / "o.png", *quick, "--dry-run")
    assert not out.startswith("fail")


def test_the_size_of_an_enlarged_picture_is_said_first(tmp_path, picture_file, quick):
    for task, *flags in (["superres", "--scale", "3"], ["restore", "--degrade", "down 3"]):
        command = [task, picture_file, *flags, "-o", tmp_path / "o.png", "--overwrite", *quick]
        out, _ = reddiff(*command, "--dry-run")
        assert out == f"{picture_file} -> {tmp_path}/o.png (64x48 -> 192x144)\n"
        out, err = reddiff(*command)
        assert out == ""
        assert err.startswith(f"{picture_file}: 64x48 -> 192x144\n")
        assert pixels(tmp_path / "o.png").shape == (144, 192, 3)
        assert reddiff(*command, "-q") == ("", "")
    out, err = reddiff("denoise", picture_file, "-o", tmp_path / "o.png", "--overwrite", *quick)
    assert "64x48" not in err


@pytest.mark.parametrize(
    ("name", "task", "output", "told"),
    [
        ("s.png", "denoise", "o.jpg", "JPEG holds 8 bits, the result would have 16"),
        ("s.png", "denoise", "o.webp", "WEBP holds 8 bits, the result would have 16"),
        ("s.png", "denoise", "o.exr", "EXR holds float, the result would have 16 bits"),
        ("s.exr", "denoise", "o.jpg", "JPEG cannot hold float; write .exr, or use --depth 8"),
        ("s.tif", "denoise", "o.jpg", "JPEG cannot hold float; write .exr, or use --depth 8"),
        ("s.png", "hdr", "o.exr", ""),
        ("s.exr", "denoise", "o.png", ""),
        ("s.tif", "denoise", "o.exr", ""),
    ],
)
def test_depth_that_a_format_cannot_hold_is_told_at_once(
    tmp_path, quick, name, task, output, told
):
    """By --dry-run as well, and without a warning of what such a file would lose."""
    light = np.linspace(0, 1, 32 * 40 * 3, dtype=np.float32).reshape(32, 40, 3)
    save_picture(Picture(light, depth=16 if name == "s.png" else 32), tmp_path / name, None)
    command = [task, tmp_path / name, "-o", tmp_path / output, *quick]
    out, _ = reddiff(*command, "--dry-run", code=2 if told else 0)
    assert told in out
    _, err = reddiff(*command, code=2 if told else 0)
    assert told in err
    if told:
        assert len(err.splitlines()) == 1
        _, err = reddiff(*command, "--depth", "float" if output == "o.exr" else "8")
    assert ("lossy format" in err) is (output in ("o.jpg", "o.webp"))


def test_lossy_output_is_said_once(tmp_path, picture_file, mask_file, quick):
    command = ["inpaint", picture_file, "-m", mask_file, "-o", tmp_path / "o.jpg", *quick]
    _, stderr = reddiff(*command)
    assert stderr.count("lossy format: known pixels change a little; .png keeps them") == 1
    _, stderr = reddiff("denoise", picture_file, "-o", tmp_path / "n.jpg", *quick)
    assert stderr.count("lossy format: values change a little; .png keeps them") == 1
    # Nor is it said of what is not written.
    _, stderr = reddiff(*command, "--depth", "16", "--overwrite", code=2)
    assert stderr.startswith("error: ")


def test_names_with_line_breaks_stay_on_one_line(tmp_path, mask_file, quick):
    path = tmp_path / "new\nline.png"
    Image.fromarray(scene()).save(path)
    _, stderr = reddiff("inpaint", path, "-m", mask_file, *quick)
    assert len(stderr.strip().splitlines()) == 1


def test_paper_form(picture_file, mask_file, tiny_prior):
    command = ["inpaint", picture_file, "-m", mask_file, "--model", tiny_prior]
    reddiff(*command, "--preset", "paper", "--steps", "3", "--lr", "0.1")
    assert read_record(picture_file.with_name("img.inpaint.png"))["preset"] == "paper"


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--steps", "21"], 2, "even number"),
        (["--steps", "0"], 2, "--steps 0: must lie between 1 and 100000"),
        (["--steps", "-4"], 2, "--steps -4: must lie between 1 and 100000"),
        (["--steps", f"{10**12}"], 2, f"--steps {10**12}: must lie between 1 and 100000"),
        (["--seed", f"{2**63}"], 2, f"--seed {2**63}: must lie between 0 and {2**63 - 1}"),
        (["--preset", "slow"], 2, "--preset slow"),
        (["--lr", "0.1"], 2, "--preset paper"),
        (["--noise", "7"], 2, "between 0 and 1"),
        (["--prior-weight", "nan"], 2, "--prior-weight"),
        (["--seed", "-1"], 2, "--seed"),
        (["--dtype", "fp8"], 2, "--dtype"),
        (["--grow-mask", "-2"], 2, "--grow-mask"),
        (["--mask", "none.png"], 2, "no such file"),
        (["-o", "out.gif"], 2, "cannot write"),
        (["--model", "nonesuch"], 3, "nonesuch"),
        (["--device", "warp"], 2, "warp"),
        (["--device", "auto:x"], 2, "use auto, cpu, cuda, cuda:N, mps"),
        (["--device", "cpu:7", "--dry-run"], 2, "--device cpu:7: unknown"),
        (["--quality", "0"], 2, "--quality"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    picture_file, mask_file, quick, flags, code, message
):
    before = sorted(picture_file.parent.iterdir())
    stdout, stderr = reddiff("inpaint", picture_file, "-m", mask_file, *quick, *flags, code=code)
    assert stdout == ""
    assert message in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert stderr.startswith("error: ")
    assert sorted(picture_file.parent.iterdir()) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_absent_cuda_is_never_a_silent_cpu_run(picture_file, mask_file, quick):
    _, stderr = reddiff(
        "inpaint", picture_file, "-m", mask_file, *quick, "--device", "cuda", code=4
    )
    assert "0 CUDA devices" in stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_absent_cuda_is_told_before_what_is_wrong_with_pictures(picture_file, quick):
    """Unless all is done already: then no device is needed."""
    command = ["denoise", picture_file, *quick]
    reddiff(*command)
    _, stderr = reddiff(*command, "--device", "cuda")
    assert "done already" in stderr
    _, stderr = reddiff(*command, "--device", "cuda", "--seed", "1", code=4)
    assert stderr.startswith("error: --device cuda: this machine has 0 CUDA devices")
    _, stderr = reddiff(*command, "--seed", "1", code=1)
    assert "exists with other settings" in stderr


def test_bad_pictures_and_masks(tmp_path, picture_file, mask_file, quick):
    text = tmp_path / "text.png"
    text.write_text("hello")
    white, black = tmp_path / "white.png", tmp_path / "black.png"
    Image.fromarray(np.full((48, 64), 255, dtype=np.uint8)).save(white)
    Image.fromarray(np.zeros((48, 64), dtype=np.uint8)).save(black)
    small = tmp_path / "small.png"
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(small)
    cases = [
        (tmp_path / "none.png", mask_file, 2, "no such file"),
        (text, mask_file, 1, "not a picture"),
        (picture_file, white, 1, "whole picture"),
        (picture_file, small, 1, "mask is 4x4, picture is 64x48"),
        (picture_file, text, 1, "not a picture"),
        (picture_file, black, 0, "skipped, mask is empty"),
    ]
    for picture, mask, code, message in cases:
        _, stderr = reddiff("inpaint", picture, "-m", mask, *quick, code=code)
        assert message in stderr
        assert len(stderr.strip().splitlines()) == 1
    _, stderr = reddiff("inpaint", picture_file, *quick, code=2)
    assert stderr.startswith(f"error: {picture_file}: no mask: ")
    assert not list(tmp_path.glob("*.inpaint.*"))


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_a_mask_of_the_picture_before_it_was_turned_is_told_as_that(tmp_path, quick, kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    path, mask = tmp_path / f"p.{kind}", tmp_path / "m.png"
    Image.fromarray(scene()).save(path, exif=exif)
    Image.fromarray(scene(channels=1) > 200).save(mask)
    sizes = "mask is 64x48, picture is 48x64"
    told = f"{sizes}, turned upright by its EXIF orientation; draw the mask on the upright picture"
    for task in (["inpaint", path, "-m", mask], ["restore", path, "--degrade", f"mask {mask}"]):
        for dry in ([], ["--dry-run"]):
            out, err = reddiff(*task, *quick, *dry, code=1)
            assert f"{mask}: {told}" in (out if dry else err)
    Image.fromarray(scene(64, 48)).save(path)
    _, err = reddiff("inpaint", path, "-m", mask, *quick, code=1)
    assert f"{mask}: {sizes}; make them equal" in err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user without rights")
def test_unwritable_folder(tmp_path, picture_file, mask_file, quick):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    command = ["inpaint", picture_file, "-m", mask_file, "-o", closed / "a.png", *quick]
    _, stderr = reddiff(*command, code=1)
    assert "cannot be written" in stderr


def test_output_below_a_file_cannot_be_written(picture_file, mask_file, quick):
    target = mask_file / "a.png"
    _, stderr = reddiff("inpaint", picture_file, "-m", mask_file, "-o", target, *quick, code=1)
    assert "cannot be written" in stderr


def test_overflow_is_repeated_in_fp32(picture_file, mask_file, quick, monkeypatch):
    original = Denoiser._denoise

    def overflowing(self, z, t):
        clean = original(self, z, t)
        return clean if self.dtype == torch.float32 else clean * float("nan")

    monkeypatch.setattr(Denoiser, "_denoise", overflowing)
    command = ["inpaint", picture_file, "-m", mask_file, *quick, "--dtype", "bf16"]
    _, stderr = reddiff(*command)
    assert "going on in torch.float32" in stderr


def test_network_of_nans_fails_the_picture(picture_file, mask_file, quick, monkeypatch):
    monkeypatch.setattr(Denoiser, "_denoise", lambda self, z, t: z * float("nan"))
    _, stderr = reddiff("inpaint", picture_file, "-m", mask_file, *quick, code=1)
    assert "not finite" in stderr
    assert not picture_file.with_name("img.inpaint.png").exists()


def test_interrupt_leaves_finished_pictures_and_no_half_file(
    tmp_path, mask_file, quick, monkeypatch
):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(scene()).save(folder / f"{name}.png")
    original, calls = Denoiser._denoise, []

    def interrupted(self, z, t):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, z, t)

    monkeypatch.setattr(Denoiser, "_denoise", interrupted)
    reddiff("inpaint", folder, "-m", mask_file, "-o", tmp_path / "out", *quick, code=130)
    # Two are in hand at once, and either may be first; the other may still be finished.
    left = list((tmp_path / "out").iterdir())
    assert 1 <= len(left) < 3
    assert all(path.suffix == ".png" and read_record(path) for path in left)
    calls.clear()
    flags = ["-o", tmp_path / "two", "--json", "-q"]
    stdout, stderr = reddiff("inpaint", folder, "-m", mask_file, *flags, *quick, code=130)
    *images, summary = [json.loads(line) for line in stdout.splitlines()]
    assert stderr == ""
    assert (summary["event"], summary["exit_code"]) == ("summary", 130)
    assert summary["ok"] == len(images) == len(list((tmp_path / "two").iterdir()))


def test_dry_run_writes_nothing(picture_file, mask_file, quick):
    stdout, stderr = reddiff("inpaint", picture_file, "-m", mask_file, *quick, "--dry-run")
    assert stdout.strip() == f"{picture_file} -> {picture_file.with_name('img.inpaint.png')}"
    assert stderr == ""
    assert not picture_file.with_name("img.inpaint.png").exists()


def test_a_repair_gets_the_grain_of_the_rest(tmp_path):
    """Without --grain the scratch is smooth, and the line of the picture says so."""
    light = np.linspace(60, 190, 160)[None, :, None] * np.ones((160, 1, 3))
    grainy = light + np.random.default_rng(0).normal(0, 9, light.shape)
    path, mask = tmp_path / "scan.png", tmp_path / "m.png"
    Image.fromarray(grainy.round().astype(np.uint8)).save(path)
    hole = np.zeros((160, 160), dtype=bool)
    hole[70:78, 10:150] = True
    Image.fromarray(hole).save(mask)

    command = ["inpaint", path, "-m", mask, "--steps", "4", "--device", "cpu"]
    _, stderr = reddiff(*command, "-o", tmp_path / "smooth.png")
    assert "--grain" in stderr
    _, stderr = reddiff(*command, "-o", tmp_path / "grainy.png", "--grain")
    assert "grain 0.03" in stderr
    reddiff(*command, "-o", tmp_path / "again.png", "--grain")
    smooth, restored = pixels(tmp_path / "smooth.png"), pixels(tmp_path / "grainy.png")
    np.testing.assert_array_equal(restored, pixels(tmp_path / "again.png"))
    np.testing.assert_array_equal(restored[~hole], pixels(path)[~hole])
    added = restored[hole].astype(float) - smooth[hole]
    assert added.std() == pytest.approx(9, rel=0.15)
    _, stderr = reddiff(*command, "-o", tmp_path / "grainy.png", "--grain")
    assert "skipped" in stderr


def test_clean_pictures_are_not_called_grainy(picture_file, mask_file, quick):
    _, stderr = reddiff("inpaint", picture_file, "--mask", mask_file, *quick)
    assert "grain" not in stderr


def test_trained_folder_is_a_model(tmp_path, mask_file, picture_file):
    photos = tmp_path / "photos"
    photos.mkdir()
    for k in range(4):
        Image.fromarray(scene(80, 90, seed=k)).save(photos / f"{k}.png")
    prior = tmp_path / "prior"
    small = ["--size", "16", "--channels", "8,8", "--layers", "1", "--batch", "2"]
    reddiff("train", photos, "-o", prior, "--steps", "2", "--device", "cpu", "-q", *small)
    command = ["inpaint", picture_file, "-m", mask_file, "--steps", "2"]
    reddiff(*command, "--model", prior)
    _, stderr = reddiff("train", photos, "-o", prior, "--steps", "4", *small, code=2)
    assert "--resume" in stderr
    reddiff("train", photos, "-o", prior, "--steps", "4", "--resume", "-q", *small)
    _, stderr = reddiff("train", photos, "-o", prior, code=2)
    assert "--minutes" in stderr
    other = tmp_path / "other"
    begin = ["train", photos, "-o", other, "--steps", "1", *small, "--init"]
    for init, code, told in (("natural", 2, "block_out_channels"), ("unheard", 3, "known name")):
        _, stderr = reddiff(*begin, init, code=code)
        assert told in stderr
    assert not other.exists()


def test_bundled_prior_restores_a_photograph(tmp_path):
    """The shipped network, not a random one, beats the smooth filling that it starts from."""
    folder = Path(__file__).parent / "pictures"
    photo = np.asarray(Image.open(folder / "coffee.png"))[8:104, 180:276]
    missing = np.random.default_rng(1).random((96, 96)) < 0.5
    missing &= np.asarray(Image.open(folder / "coffee-mask.png"))[8:104, 180:276] == 0
    damaged = np.where(missing[:, :, None], 0, photo).astype(np.uint8)
    Image.fromarray(damaged).save(tmp_path / "p.png")
    Image.fromarray(missing.astype(np.uint8) * 255).save(tmp_path / "m.png")
    command = ["inpaint", tmp_path / "p.png", "-m", tmp_path / "m.png", "--preset", "fast"]
    reddiff(*command, "--model", "natural", "--device", "cpu")
    restored = pixels(tmp_path / "p.inpaint.png").astype(float)

    known = torch.from_numpy(~missing)[None, None].float()
    y = torch.from_numpy(damaged).permute(2, 0, 1)[None].float() * known
    smooth = bend_smoothly(fill_smoothly(y / 127.5 - known, known), known)
    start = (smooth[0].permute(1, 2, 0).numpy() + 1) * 127.5
    errors = [np.square(v - photo)[missing].mean() for v in (restored, start)]
    assert errors[0] < 0.9 * errors[1]


def test_help_needs_no_docstrings():
    """Which `python -OO` and PYTHONOPTIMIZE=2 take away."""
    code = (
        "from typer.main import get_command; from reddiff_cli.cli import app;"
        "root = get_command(app); all = [root, *root.commands.values()];"
        "all += root.commands['models'].commands.values();"
        "print(len(all), [command.name for command in all if not command.help])"
    )
    stripped = [sys.executable, "-OO", "-c", code]
    result = subprocess.run(stripped, capture_output=True, text=True)
    assert result.stdout.split(maxsplit=1) == ["19", "[]\n"], result.stderr


def test_version():
    stdout, _ = reddiff("--version")
    assert stdout.strip() == f"reddiff {reddiff_cli.__version__}"


TASK_FLAGS = [
    ["superres", "--scale", "2"],
    ["deblur", "--kernel", "gaussian:1"],
    ["deblur", "--kernel", "motion:5,20", "--boundary", "replicate"],
    ["denoise"],
    ["denoise", "--noise", "0.1"],
    ["colorize"],
    ["restore", "--degrade", "blur uniform:3 | down 2 | noise 0.01"],
]


@pytest.mark.parametrize("flags", TASK_FLAGS, ids=" ".join)
@pytest.mark.parametrize("kind", ["colour", "grey", "alpha", "sixteen"])
def test_every_task_keeps_the_kind_of_picture(tmp_path, quick, flags, kind):
    path = tmp_path / "img.png"
    small = scene(33, 47)
    alpha = np.full((33, 47, 1), 90, np.uint8)
    if kind == "sixteen":
        save_picture(Picture(small / np.float32(255), depth=16), path, None)
    else:
        shown = {"colour": small, "grey": small[:, :, 0], "alpha": np.dstack([small, alpha])}
        Image.fromarray(shown[kind]).save(path)
    task, *rest = flags
    _, stderr = reddiff(task, path, *rest, *quick)
    assert ("noise 0." in stderr) == (task != "colorize")  # whose grey values count as exact
    before, after = load_picture(path), load_picture(tmp_path / f"img.{task}.png")
    scale = 2 if task in ("superres", "restore") else 1
    assert (after.height, after.width) == (33 * scale, 47 * scale)
    assert after.depth == before.depth
    assert (after.alpha is None) == (before.alpha is None)
    assert after.pixels.shape[2] == (3 if task == "colorize" else before.pixels.shape[2])
    _, stderr = reddiff(task, path, *rest, *quick)
    assert "done already" in stderr


def test_a_changed_mask_is_another_setting(picture_file, mask_file, quick):
    command = ["inpaint", picture_file, "--mask", mask_file, *quick]
    reddiff(*command)
    Image.fromarray(np.roll(pixels(mask_file), 5, 0)).save(mask_file)
    assert "exists with other settings" in reddiff(*command, code=1)[1]


def test_a_changed_kernel_file_is_another_setting(tmp_path, picture_file, quick):
    kernel = tmp_path / "k.npy"
    np.save(kernel, np.ones((3, 3)))
    command = ["deblur", picture_file, "--kernel", kernel, *quick]
    reddiff(*command)
    assert "done already" in reddiff(*command)[1]
    np.save(kernel, np.ones((5, 5)))
    assert "--overwrite" in reddiff(*command, code=1)[1]


BAD_TASKS = [
    (["superres", "--scale", "0"], "--scale 0", 2),
    (["superres", "--scale", "9"], "--scale 9", 2),
    (["superres", "--downsample", "nearest"], "--downsample nearest", 2),
    (["deblur"], "--kernel", 2),
    (["deblur", "--kernel", "gaussian:-1"], "gaussian:-1", 2),
    (["deblur", "--kernel", "gaussian:1", "--boundary", "mirror"], "--boundary mirror", 2),
    (
        ["deblur", "--kernel", "gaussian:1", "--response", "film"],
        "--response film: unknown; use auto, srgb",
        2,
    ),
    (["deblur", "--kernel", "uniform:64"], "kernel is 64x64, picture is 64x48", 1),
    (["denoise", "--noise", "loud"], "--noise loud", 2),
    (["denoise", "--noise", "nan"], "--noise nan", 2),
    (["denoise", "--noise", "2"], "--noise 2", 2),
    (["restore", "--degrade", "sharpen"], "'sharpen' is no part", 2),
    (["restore", "--degrade", "down 2 | blur uniform:70"], "kernel is 70x70", 1),
]


@pytest.mark.parametrize("flags, message, code", BAD_TASKS, ids=str)
def test_bad_task_flags(picture_file, quick, flags, message, code):
    task, *rest = flags
    stdout, stderr = reddiff(task, picture_file, *rest, *quick, code=code)
    assert stdout == ""
    assert message in stderr
    assert "Traceback" not in stderr
    assert not list(picture_file.parent.glob(f"*.{task}.*"))


def test_kernel_files_that_are_none(tmp_path, picture_file, quick):
    path = tmp_path / "k.npy"
    for values, message in (
        (np.zeros((3, 3)), "sum 0"),
        (-np.ones((3, 3)), "negative"),
        (np.full((3, 3), np.nan), "NaN"),
        (np.ones((3, 3)) * 1j, "real"),
        (np.ones(3), "1 dimension;"),
        (np.ones((0, 3)), "empty"),
    ):
        np.save(path, values)
        _, stderr = reddiff("deblur", picture_file, "--kernel", path, *quick, code=2)
        assert message in stderr


@pytest.mark.parametrize("task", ["deblur --kernel", "superres --downsample", "restore"])
def test_a_kernel_file_that_is_none_is_told_once(tmp_path, quick, monkeypatch, task):
    """Before anything is loaded, and whatever the pictures are."""
    path, loaded = tmp_path / "k.npy", []
    np.save(path, -np.ones((3, 3)))
    monkeypatch.setattr(run, "find_model", lambda *a, **k: loaded.append(a))
    task, *flag = task.split()
    how = [*flag, path] if flag else ["--degrade", f"blur {path}"]
    (tmp_path / "in").mkdir()
    for number in range(2):
        Image.fromarray(scene(seed=number)).save(tmp_path / f"in/{number}.png")
    stdout, stderr = reddiff(task, tmp_path / "in", *how, *quick, "--json", code=2)
    assert (
        stderr == f"error: kernel {path}: holds negative values (down to -1); a blur only adds\n"
    )
    assert json.loads(stdout)["exit_code"] == 2
    assert not loaded


def test_a_kernel_file_is_read_once_for_the_run_and_once_a_picture(tmp_path, quick, monkeypatch):
    """Once a picture, as its record tells which kernel it was restored with."""
    real, read = kernel_files.read_kernel, []
    for module in (run, kernel_files):
        monkeypatch.setattr(module, "read_kernel", lambda path: read.append(path) or real(path))
    np.save(tmp_path / "k.npy", np.ones((3, 1)))
    for number in range(3):
        Image.fromarray(scene(seed=number)).save(tmp_path / f"{number}.png")
    reddiff("deblur", tmp_path, "--kernel", tmp_path / "k.npy", *quick)
    assert len(read) == 4


def test_kernels_of_a_composition_are_not_named_by_a_flag_it_lacks(tmp_path, picture_file, quick):
    path = tmp_path / "k.npy"
    np.save(path, np.zeros((3, 3)))
    _, stderr = reddiff("restore", picture_file, "--degrade", f"blur {path}", *quick, code=2)
    assert f"kernel {path}: has the sum 0" in stderr
    assert "--kernel" not in stderr
    _, stderr = reddiff("restore", picture_file, "--degrade", "blur dsk:3", *quick, code=2)
    assert "disk:R" in stderr
    assert "auto" not in stderr  # which it cannot take
    _, stderr = reddiff("deblur", picture_file, "--kernel", "dsk:3", *quick, code=2)
    assert "auto" in stderr


def test_hdr_writes_light_and_pictures(tmp_path, picture_file, quick):
    out = tmp_path / "scene.exr"
    reddiff("hdr", picture_file, "--stops", "2", "--tonemap", "-o", out, *quick)
    light = load_picture(out)
    assert light.depth == 32
    assert float(light.pixels.max()) <= 4.001
    assert float(light.pixels.max()) > 0.5
    assert load_picture(tmp_path / "scene.tonemap.png").depth == 8
    assert "done already" in reddiff("hdr", picture_file, "--stops", "2", "-o", out, *quick)[1]
    _, stderr = reddiff("hdr", picture_file, "--stops", "1", *quick)
    assert "exposed 1 EV darker" in stderr
    assert load_picture(tmp_path / "img.hdr.png").depth == 16


@pytest.mark.parametrize("depth", ["8", "16", "float", "auto"])
def test_hdr_cuts_no_light_whatever_the_depth(tmp_path, quick, depth):
    """16 bits of TIFF are exposed darker, as a PNG is; float holds the light."""
    path, out = tmp_path / "a.png", tmp_path / "img.tif"
    Image.fromarray((scene() * 2.0).clip(0, 255).astype(np.uint8)).save(path)
    _, stderr = reddiff("hdr", path, "--stops", "2", "--depth", depth, "-o", out, *quick)
    brightest = float(load_picture(out).pixels.max())
    holds = depth in ("float", "auto")
    assert ("exposed 2 EV darker" in stderr) is not holds
    assert (brightest > 1) is holds


@pytest.mark.parametrize("name", ["dark.exr", "dark.tif", "dark.jpg"])
def test_what_cannot_hold_light_says_that_it_is_cut(tmp_path, quick, name):
    path, out = tmp_path / "a.exr", tmp_path / name
    light = scene(24, 30) / np.float32(150)
    save_picture(Picture(light, depth=32), path, None)
    depth = {"exr": "auto", "tif": "16", "jpg": "8"}[name[-3:]]
    flags = ["--noise", "0.001", "--depth", depth, "-o", out]
    _, stderr = reddiff("denoise", path, *flags, *quick)
    told = f"light above 1 is cut, up to {light.max():.1f}"
    assert (told in stderr) is not name.endswith("exr")
    assert ("write .tif or .exr to keep it" in stderr) is not name.endswith("exr")


@pytest.mark.parametrize("flags", [[], ["--depth", "8", "-o", "o.tif"], ["-o", "o.png"]])
def test_counts_that_would_all_be_white_are_refused_before_the_work(
    tmp_path, quick, monkeypatch, flags
):
    """A detector's counts are far above 1, which is the white of light."""

    def never(*_):
        raise AssertionError("the picture was restored")

    monkeypatch.chdir(tmp_path)
    counts = scene(24, 30, 1)[:, :, None] * np.float32(16)
    save_picture(Picture(counts, depth=32), Path("a.tif"), None)
    with monkeypatch.context() as patch:
        patch.setattr("reddiff_cli.restore.pose", never)
        for dry in ([], ["--dry-run"]):
            out, err = reddiff("denoise", "a.tif", *flags, *quick, *dry, code=2)
            told = out if dry else err
            assert "a.tif: 100 % of what is not black in it is above 1" in told
            assert f"up to {counts.max():g}" in told
            assert "write .tif or .exr (--format tiff)" in told
            save_picture(
                Picture(counts * (np.arange(30) < 9)[:, None], depth=32), Path("c.tif"), None
            )
            assert "c.tif: 100 %" in "".join(
                reddiff("denoise", "c.tif", *flags, *quick, *dry, code=2)
            )
    # A third is one of a photograph with a lamp.
    dark = np.where(np.arange(30)[None, :, None] < 20, counts / 4096, counts)
    save_picture(Picture(dark, depth=32), Path("b.tif"), None)
    assert "is cut" in reddiff("denoise", "b.tif", *flags, "--noise", "0.01", *quick)[1]
    reddiff("denoise", "a.tif", "--format", "tiff", "--noise", "0.01", *quick)
    assert load_picture(Path("a.denoise.tiff")).pixels.max() > 1000


@pytest.mark.parametrize("name", ["a.exr", "a.png"])
def test_hdr_shows_the_photograph_itself_before(tmp_path, picture_file, quick, name):
    reddiff("hdr", picture_file, "--stops", "1", "--compare", "-o", tmp_path / name, *quick)
    seen = load_picture(tmp_path / "a.compare.png").pixels
    before = load_picture(picture_file).pixels
    np.testing.assert_allclose(seen[: before.shape[0], : before.shape[1]], before, atol=1 / 255)


@pytest.mark.parametrize(("value", "told"), [(255, "everything is clipped"), (90, "nothing is")])
def test_hdr_of_a_picture_that_tells_nothing_is_warned_of(tmp_path, quick, value, told):
    Image.fromarray(np.full((32, 40, 3), value, np.uint8)).save(tmp_path / "flat.png")
    stderr = reddiff("hdr", tmp_path / "flat.png", *quick)[1]
    assert f"flat.png: {told}" in " ".join(stderr.split())


def test_hdr_paper_speaks_of_no_exposure(tmp_path, picture_file, quick):
    """It halves contrast about grey, in light as in pixels."""
    files = tmp_path / "a.exr", tmp_path / "a.png"
    for file in files:
        _, stderr = reddiff("hdr", picture_file, "--operator", "paper", "-o", file, *quick)
        assert "darker" not in stderr
    light, pixels = (load_picture(file).pixels for file in files)
    np.testing.assert_allclose(LIGHT.encode(light), pixels, atol=1e-3)


@pytest.mark.parametrize("task", ["denoise", "superres", "deblur --kernel disk:1", "inpaint"])
def test_light_that_is_checked_is_read_once(tmp_path, mask_file, quick, monkeypatch, task):
    """Whether it fits into the output is told before the work, of all its pixels."""
    real, read = deep.read_float, []
    monkeypatch.setattr(deep, "read_float", lambda path: read.append(path) or real(path))
    paths = [tmp_path / "in" / f"{number}.exr" for number in range(3)]
    (tmp_path / "in").mkdir()
    for number, path in enumerate(paths):
        light = scene(seed=number).astype(np.float32) / 255
        save_picture(Picture(light, depth=kinds.FLOAT), path, None)
    task, *flags = task.split()
    flags += ["--mask", mask_file] if task == "inpaint" else []
    command = [task, tmp_path / "in", *flags, "--noise", "0.02", "-o", tmp_path / "out", *quick]
    reddiff(*command, "--format", "png")
    assert sorted(read) == paths


def test_hdr_of_several_exposures_minds_no_order(tmp_path, quick):
    """Each counts as its noise says, and that of the least noisy is printed."""
    generator = np.random.default_rng(0)
    values = scene(64, 80).astype(np.float32) / 255
    shots = {"dark": (0.3 * values + 0.03 * generator.normal(size=values.shape), 0)}
    shots["bright"] = (1.3 * values, 2)
    for name, (pixels, _) in shots.items():
        save_picture(Picture(pixels.clip(0, 1).astype(np.float32)), tmp_path / f"{name}.png", None)
    noise, light = [], []
    for order in (("dark", "bright"), ("bright", "dark")):
        files = [tmp_path / f"{name}.png" for name in order]
        exposures = ",".join(str(shots[name][1]) for name in order)
        flags = ["--exposures", exposures, "-o", tmp_path / "x.exr", "--json", "--overwrite"]
        stdout, _ = reddiff("hdr", *files, *flags, *quick)
        noise.append(json.loads(stdout.splitlines()[0])["noise"])
        light.append(load_picture(tmp_path / "x.exr").pixels)
    assert noise[0] == noise[1]
    np.testing.assert_allclose(light[0], light[1], atol=2e-3)


def test_hdr_of_several_exposures(tmp_path, quick):
    scene_ = scene().astype(np.float32) / 255
    names = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for name, gain in zip(names, (0.25, 1, 4), strict=True):
        Image.fromarray(((scene_ * gain).clip(0, 1) * 255).astype(np.uint8)).save(name)
    out = tmp_path / "scene.hdr"
    flags = ["--exposures", "-2,0,2", "--response", "linear", "--stops", "0"]
    _, stderr = reddiff("hdr", *names, *flags, "-o", out, *quick)
    assert stderr.count("scene.hdr") == 1
    light = load_picture(out).pixels
    assert light.shape == scene_.shape
    assert abs(light - scene_).mean() < 0.02
    _, stderr = reddiff("hdr", *names[:2], *flags, "-o", out, *quick, code=2)
    assert "3 values, 2 pictures" in stderr
    _, stderr = reddiff("hdr", *names[:2], "--exposures", "1,1", "-o", out, *quick, code=2)
    assert "give different stops" in stderr


@pytest.mark.parametrize(
    ("exposures", "response", "shown"),
    [
        ("-2,0,2", "srgb", ""),
        ("2,0,-2", "srgb", "2, 0, -2 stops, by --response srgb the pictures show -2, 0, 2;"),
        ("-1,0,1", "srgb", "-1, 0, 1 stops, by --response srgb the pictures show -2, 0, 2;"),
        ("-2.1,0,2.1", "srgb", ""),
        ("-2,0,2", "gamma:1", "-2, 0, 2 stops, by --response gamma:1 the pictures show -"),
    ],
)
@pytest.mark.parametrize(("noise", "suffix"), [(0, ".png"), (0.02, ".png"), (0, ".jpg")])
def test_exposures_that_do_not_agree_are_told(
    tmp_path, quick, exposures, response, shown, noise, suffix
):
    generator, right = np.random.default_rng(0), not shown
    light = LIGHT.decode(scene(96, 128) / 255) / 2
    names = [tmp_path / f"{name}{suffix}" for name in "abc"]
    for name, gain in zip(names, (1, 4, 16), strict=True):
        values = LIGHT.encode(gain * light) + noise * generator.normal(size=light.shape)
        pixels = (values.clip(0, 1) * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(name, quality=95, subsampling=0)
    flags = ["--exposures", exposures, "--response", response, "-o", tmp_path / "scene.exr"]
    stdout, stderr = reddiff("hdr", *names, *flags, "--json", *quick)
    event = json.loads(stdout.splitlines()[0])
    verdict = event["verdict"]
    if exposures != "-2.1,0,2.1":  # nearly right
        assert ("order, steps (EV) or --response" in verdict) != right
        assert event["doubtful"] != right
        assert right or verdict in stderr
        assert not right or verdict == ""
    warned = [note for note in event["notes"] if "exposures are told as" in note]
    assert len(warned) == (not right)
    for note in warned:
        assert note.startswith(f"warning: {names[0]}: exposures are told as {shown}")
        assert "; either --exposures or their order are wrong, or the camera's curve is" in note


def test_exposures_behind_a_contrast_curve_are_not_only_called_wrong(tmp_path, quick):
    """Stops as they seem by a response that is none of the camera's would make it worse."""
    light = LIGHT.decode(scene(96, 128) / 255) / 2
    names = [tmp_path / f"{name}.jpg" for name in "abc"]
    for name, gain in zip(names, (1, 4, 16), strict=True):
        values = LIGHT.encode(gain * light).clip(0, 1)
        steep = values**2 * (3 - 2 * values)
        Image.fromarray((steep * 255).round().astype(np.uint8)).save(name, quality=92)
    flags = ["--exposures", "-2,0,2", "-o", tmp_path / "scene.exr"]
    _, stderr = reddiff("hdr", *names, *flags, *quick)
    (warning,) = [line for line in stderr.splitlines() if "are told as" in line]
    assert "by --response srgb the pictures show -" in warning
    assert (
        "curve is none of --response, as of JPEGs with much contrast: then leave the stops"
        in warning
    )


def test_exposures_that_are_not_alike(tmp_path, quick):
    first, small, grey, light = (tmp_path / name for name in ("a.png", "b.png", "c.png", "d.exr"))
    Image.fromarray(scene(24, 30)).save(first)
    Image.fromarray(scene(20, 30)).save(small)
    Image.fromarray(scene(24, 30)[..., 0]).save(grey)
    save_picture(Picture(scene(24, 30) / np.float32(255), depth=32), light, None)
    flags = ["--exposures", "0,2", "-o", tmp_path / "scene.exr", *quick]
    for other, told in [
        (small, f"{small}: is 30x20"),
        (grey, f"{grey}: is grey"),
        (light, f"{light}: is linear light"),
    ]:
        assert told in reddiff("hdr", first, other, *flags, code=1)[1]
    assert f"{grey}: is grey" in reddiff("hdr", grey, first, *flags, code=1)[1]
    assert not (tmp_path / "scene.exr").exists()


def test_jpeg_restores_within_its_intervals(tmp_path, quick):
    path = tmp_path / "a.jpg"
    Image.fromarray(scene(45, 70)).save(path, quality=20)
    _, stderr = reddiff("jpeg", path, *quick)
    assert "0.000 steps outside" in stderr
    assert load_picture(tmp_path / "a.jpeg.png").pixels.shape == (45, 70, 3)
    png = tmp_path / "b.png"
    Image.fromarray(scene()).save(png)
    assert "no JPEG" in reddiff("jpeg", png, *quick, code=1)[1]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_flags_that_a_task_cannot_heed_are_refused_before_anything_starts(
    tmp_path, quick, more, monkeypatch
):
    """Once, and not for each picture."""
    monkeypatch.setattr(run, "find_model", lambda *_, **__: pytest.fail("started"))
    for task, kind, flags, told in (
        ("jpeg", "jpg", ["--noise", "0.1"], "--noise: the file's own tables"),
        ("phase", "npy", ["--data", "amplitude", "--samples", "2"], "--samples: phase keeps"),
    ):
        files = [tmp_path / f"{name}.{kind}" for name in "ab"]
        for path in files:
            path.touch()
        out = tmp_path / f"out-{task}"
        stdout, stderr = reddiff(task, *files, *flags, "-o", f"{out}/", *quick, *more, code=2)
        assert (stdout, stderr.count(told), stderr.count("\n")) == ("", 1, 1)
        assert not out.exists()


def test_the_plan_knows_which_files_hold_arrays(tmp_path, quick):
    Image.fromarray(scene()).save(tmp_path / "s.png")
    asked = ["phase", tmp_path / "s.png", "--data", "amplitude", *quick, "--dry-run"]
    stdout, _ = reddiff(*asked, code=1)
    assert stdout.startswith("fail: ")
    assert "'.png' holds no array; use .cxi" in stdout


def test_linear_light_goes_through_other_tasks(tmp_path, quick):
    path = tmp_path / "a.exr"
    save_picture(Picture(scene(24, 30) / np.float32(100), depth=32), path, None)
    reddiff("denoise", path, "--noise", "0.001", *quick)
    result = load_picture(tmp_path / "a.denoise.exr")
    assert result.depth == 32
    assert float(result.pixels.max()) > 1.5
    tiff = tmp_path / "b.tif"
    save_picture(Picture(scene(24, 30) / np.float32(200), depth=32), tiff, None)
    _, stderr = reddiff("denoise", tiff, "--noise", "0.001", *quick)
    assert "light above 1 is cut" in stderr
    assert load_picture(tmp_path / "b.denoise.png").depth == 16
    reddiff("denoise", tiff, "--noise", "0.001", *quick, "-o", tmp_path / "c.tif")
    assert load_picture(tmp_path / "c.tif").depth == 32
    bad = tmp_path / "bad.exr"
    save_picture(Picture(np.float32(-1) * scene(24, 30), depth=32), bad, None)
    assert "negative" in reddiff("denoise", bad, *quick, code=1)[1]


def test_depth_and_format(tmp_path, picture_file, quick):
    reddiff("denoise", picture_file, "--depth", "16", *quick)
    assert load_picture(tmp_path / "img.denoise.png").depth == 16
    reddiff("denoise", picture_file, "--format", "tiff", *quick)
    assert load_picture(tmp_path / "img.denoise.tiff").depth == 8
    out = tmp_path / "x.jpg"
    assert "--format" in reddiff("denoise", picture_file, "--format", "png", "-o", out, code=2)[1]
    _, stderr = reddiff("denoise", picture_file, "--depth", "16", "-o", out, *quick, code=2)
    assert "16" in stderr


@pytest.mark.parametrize("method", ["dps", "pigdm", "ddrm", "diffpir"])
def test_other_methods(tmp_path, picture_file, mask_file, tiny_prior, method):
    flags = ["--model", tiny_prior, "--device", "cpu", "--method", method, "--steps", "3"]
    reddiff("inpaint", picture_file, "--mask", mask_file, *flags)
    assert read_record(tmp_path / "img.inpaint.png")["method"] == method
    reddiff("denoise", picture_file, *flags)


def test_methods_that_cannot(picture_file, quick):
    for task, method, more in (
        ("hdr", "ddrm", []),
        ("jpeg", "dps", []),
        ("superres", "ddrm", ["--downsample", "bicubic"]),
        ("deblur", "ddrm", ["--kernel", "gaussian:1"]),
        ("denoise", "magic", []),
    ):
        _, stderr = reddiff(task, picture_file, "--method", method, *more, *quick, code=2)
        assert f"--method {method}" in stderr
    reddiff("superres", picture_file, "--method", "ddrm", "--downsample", "box", *quick)
    kernel = ["--kernel", "gaussian:1", "--boundary", "circular"]
    reddiff("deblur", picture_file, "--method", "ddrm", *kernel, *quick)


@pytest.mark.parametrize("space", [b"RGB ", b"GRAY"])
def test_a_sheet_shows_the_colours_of_the_picture(tmp_path, mask_file, quick, space):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = icc.replace(b"RGB ", space, 1)
    picture = scene(48, 64)
    picture = picture if space == b"RGB " else picture[:, :, 0]
    Image.fromarray(picture).save(tmp_path / "a.png", icc_profile=icc)
    reddiff("inpaint", tmp_path / "a.png", "--mask", mask_file, "--compare", *quick)
    with Image.open(tmp_path / "a.inpaint.compare.png") as sheet:
        assert sheet.info.get("icc_profile") == (icc if space == b"RGB " else None)


def test_sheets(tmp_path, picture_file, mask_file, quick):
    reddiff("inpaint", picture_file, "--mask", mask_file, "--compare", "--trace", *quick)
    sheet = Image.open(tmp_path / "img.inpaint.compare.png")
    assert sheet.size == (3 * 64 + 2 * 8, 48)
    assert Image.open(tmp_path / "img.inpaint.trace.gif").n_frames >= 1
    reddiff("superres", picture_file, "--scale", "2", "--compare", *quick)
    assert Image.open(tmp_path / "img.superres.compare.png").size == (2 * 128 + 8, 96)


def test_samples(tmp_path, picture_file, mask_file, quick):
    reddiff("inpaint", picture_file, "--mask", mask_file, "--samples", "3", "--trace", *quick)
    assert Image.open(tmp_path / "img.inpaint.trace.gif").size == (64, 48)
    spread = np.load(tmp_path / "img.inpaint.std.npy")
    hole = pixels(mask_file) > 127
    assert np.abs(spread[~hole]).max() < 1e-6
    assert spread[hole].mean() > 1e-3
    assert Image.open(tmp_path / "img.inpaint.std.png").size == (64, 48)
    before, after = pixels(picture_file), pixels(tmp_path / "img.inpaint.png")
    assert np.array_equal(after[~hole], before[~hole])


def test_perceptual_preset_is_another_picture(tmp_path, picture_file, tiny_prior):
    flags = ["--model", tiny_prior, "--device", "cpu", "--steps", "20"]
    results = []
    for preset in ("standard", "perceptual"):
        out = tmp_path / f"{preset}.png"
        asked = ["--scale", "2", "--preset", preset]
        reddiff("superres", picture_file, "--noise", "0.1", *asked, "-o", out, *flags)
        assert read_record(out)["preset"] == preset
        results.append(pixels(out))
    assert (results[0] != results[1]).any()
