"""The command as a user runs it: files written, exit codes, streams, and nothing lost."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import reddiff_cli
from conftest import scene
from reddiff_cli.carriers import read_record
from reddiff_cli.cli import app
from reddiff_cli.denoiser import Denoiser
from reddiff_cli.filling import bend_smoothly, fill_smoothly
from reddiff_cli.pictures import load_picture

RUNNER = CliRunner()


def reddiff(*arguments, code=0):
    """Run in this process; returns (stdout, stderr)."""
    result = RUNNER.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, f"{result.stdout}\n{result.stderr}\n{result.exception}"
    return result.stdout, result.stderr


@pytest.fixture
def quick(tiny_prior):
    return ["--model", str(tiny_prior), "--steps", "2", "--device", "cpu"]


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
    first = output.read_bytes()
    _, stderr = reddiff(*command)
    assert "skipped" in stderr
    _, stderr = reddiff(*command, "--seed", "5", code=1)
    assert "--overwrite" in stderr
    assert output.read_bytes() == first
    reddiff(*command, "--seed", "5", "--overwrite")
    assert output.read_bytes() != first
    reddiff(*command, "--overwrite")
    assert output.read_bytes() == first


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


def test_lossy_output_is_said_once(tmp_path, picture_file, mask_file, quick):
    command = ["inpaint", picture_file, "-m", mask_file, "-o", tmp_path / "o.jpg", *quick]
    _, stderr = reddiff(*command)
    assert stderr.count("lossy format") == 1


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
        (["--steps", "0"], 2, "--steps 0"),
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
        (["--device", "warp"], 4, "warp"),
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
    assert "no mask" in stderr
    assert not list(tmp_path.glob("*.inpaint.*"))


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
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_dry_run_writes_nothing(picture_file, mask_file, quick):
    stdout, stderr = reddiff("inpaint", picture_file, "-m", mask_file, *quick, "--dry-run")
    assert stdout.strip() == f"{picture_file} -> {picture_file.with_name('img.inpaint.png')}"
    assert stderr == ""
    assert not picture_file.with_name("img.inpaint.png").exists()


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


def test_help_is_light():
    code = (
        "import sys, reddiff_cli.cli;"
        "print([m for m in ('torch', 'diffusers', 'huggingface_hub') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]"
    result = subprocess.run([sys.executable, "-m", "reddiff_cli", "--help"], capture_output=True)
    assert result.returncode == 0
    assert b"inpaint" in result.stdout


def test_version():
    stdout, _ = reddiff("--version")
    assert stdout.strip() == f"reddiff {reddiff_cli.__version__}"
