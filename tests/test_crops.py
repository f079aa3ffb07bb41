"""What an evaluation cuts out of a picture, and that its plan tells of what cannot be cut."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import scene
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.evaluation.crops import Crop, crop_of
from reddiff_cli.kernels.files import Kernels
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import DeblurOptions, DenoiseOptions
from reddiff_cli.pictures.files import Picture, save_picture
from test_evaluate import reddiff


def crop(options, side=32):
    return crop_of(options, (100, 80), side, Kernels())


def test_the_centre_is_cut_with_what_is_looked_at_around_it():
    assert crop(DenoiseOptions()) == Crop(slice(24, 56), slice(34, 66))
    line = crop(DeblurOptions(parse_kernel("uniform:4")))
    assert line == Crop(slice(23, 58), slice(33, 68), (1, 2, 1, 2))
    chain = crop(parse_degrade("blur uniform:4 | down 3 | blur uniform:3 | down 2"))
    assert chain.margins == (1 + 3, 2 + 3, 1 + 3, 2 + 3)
    assert chain.size == (30 + 9, 30 + 9)  # a multiple of 6
    padded = DeblurOptions(parse_kernel("uniform:4"), "reflect")
    assert crop(padded).size == (32, 32)


def test_beside_a_border_the_crop_makes_way_for_its_margins():
    options = DeblurOptions(parse_kernel("uniform:60"))
    assert crop(options) == Crop(slice(0, 80), slice(5, 96), (29, 30, 29, 30))
    with pytest.raises(PictureError, match="needs 16 pixels and margins of 69"):
        crop(DeblurOptions(parse_kernel("uniform:70")))


# Of 64x48 pixels; the crop is 32.
CASES = {
    "deblur --kernel uniform:40": "picture is 64x48, the damage needs 16 pixels and margins of 39",
    "deblur --kernel uniform:40 --boundary circular": "kernel is 40x40, picture is 32x32",
    "deblur --kernel disk:3": "",
    "deblur --kernel off.npy": "the damage needs 16 pixels and margins of 59",
    "superres --scale 2 --downsample off.npy": "its filter lies outside at its borders",
    "superres --scale 2 --crop 16": "",
    "restore --degrade blur_uniform:34|down_4": "the damage needs 16 pixels and margins of 33",
    "restore --degrade down_4|blur_uniform:10": "the damage needs 16 pixels and margins of 36",
    "restore --degrade blur_disk:1|down_2_off.npy": "its filter lies outside at its borders",
    "restore --degrade down_2_box|mask_m.png": "mask is 64x48, the damaged crop is 16x16",
    "restore --degrade mask_m.png": "mask is 64x48, the damaged crop is 32x32",
    "restore --degrade mask_full.png": "full.png: covers the whole picture",
    "inpaint --hole box:32": "a box of 32 needs more than 32x32 pixels",
    "inpaint --hole random:0.0001": "is 0 pixels; give a share",
    "inpaint --mask m.png": "m.png: is empty within the centre crop of 32x32",
    "inpaint --mask m.png --invert-mask": "m.png: covers the whole picture; leave something",
    "inpaint --mask white.png": "white.png: covers the whole picture",
    "inpaint --mask dark.png": "its brightest value is 60 of 255",
    "inpaint --mask black.png": "mask is empty; mark what is to be filled",
    "inpaint --mask copy.png": "copy.png: is a photograph, not a mask",
    "inpaint --mask part.png": "part.png: is a photograph, not a mask",
    "inpaint --mask small.png": "mask is 20x20, picture is 64x48, its crop 32x32",
    "colorize": "picture is grey; colorize is measured on colours",
    "denoise": "",
}


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_light_that_is_not_taken_is_told_by_the_plan(tmp_path, tiny_prior, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    pixels = scene().astype(np.float32) / 255
    pixels[3, 4] = value
    save_picture(Picture(pixels, depth=32), Path("a.exr"), None)
    command = ["eval", "denoise", "a.exr", "-o", "out", "--model", tiny_prior, "--json"]
    planned, _ = reddiff(*command, "--dry-run", code=1)
    run, _ = reddiff(*command, code=1)
    error = json.loads(planned.splitlines()[0])["error"]
    assert error["type"] in ("NotFinite", "Negative")
    assert error == json.loads(run.splitlines()[0])["error"]


@pytest.mark.parametrize("line", CASES)
def test_a_plan_says_what_the_run_says(tmp_path, tiny_prior, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    task, *flags = line.split()
    told = CASES[line]
    picture = scene(48, 64, 1 if task == "colorize" or "copy" in line or "part" in line else 3)
    Image.fromarray(picture).save("a.png")
    picture[:9, :9] = 255
    Image.fromarray(picture).save("copy.png")
    Image.fromarray(picture[8:40, 16:48].copy()).save("part.png")
    values = np.zeros((48, 64), np.uint8)
    for name, value in (("white", 255), ("dark", 60), ("black", 0)):
        Image.fromarray(values + np.uint8(value)).save(f"{name}.png")
    values[:5, :5] = 255  # off the centre
    Image.fromarray(values).save("m.png")
    Image.fromarray(values[:20, :20]).save("small.png")
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save("full.png")
    kernel = np.zeros((61, 3))
    kernel[0, 1] = 1
    np.save("off.npy", kernel)
    flags = [flag.replace("_", " ") for flag in flags]
    quick = ["--model", tiny_prior, "--crop", "32", "--method", "reddiff:2", "--json"]
    command = ["eval", task, "a.png", "-o", "out", *quick, *flags]
    planned, _ = reddiff(*command, "--dry-run", code=1 if told else 0)
    run, _ = reddiff(*command, code=1 if told else 0)
    error = json.loads(planned.splitlines()[0])["error"]
    row = json.loads(run.splitlines()[0])
    assert error == row.get("error")
    assert bool(error) == bool(told)
    if told:
        assert error["message"].startswith("a.png: ")
        assert told in error["message"]


@pytest.mark.parametrize("line", ["deblur --kernel off.npy", "superres", "inpaint", "colorize"])
def test_no_plan_of_an_evaluation_loads_torch(tmp_path, line):
    np.save(tmp_path / "off.npy", np.ones((3, 3)))
    Image.fromarray(scene()).save(tmp_path / "a.png")
    code = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules));"
    code += "from reddiff_cli.cli import main; main()"
    task, *flags = line.split()
    words = ["eval", task, "a.png", "-o", "out", *flags, "--dry-run"]
    command = [sys.executable, "-c", code, *words]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    "line", ["deblur", "superres", "superres --downsample box --response srgb"]
)
def test_the_only_method_is_refused_before_anything(tmp_path, tiny_prior, line, more):
    task, *flags = line.split()
    Image.fromarray(scene()).save(tmp_path / "a.png")
    command = ["eval", task, tmp_path / "a.png", "-o", tmp_path / "out", *flags]
    command += ["--crop", "32", "--model", tiny_prior, "--method", "ddrm"]
    stdout, stderr = reddiff(*command, *more, code=2)
    assert "has a singular value decomposition" in stderr
    assert stdout == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_folder_that_cannot_be_is_told_before_anything(tmp_path, tiny_prior, more):
    Image.fromarray(scene()).save(tmp_path / "a.png")
    out = tmp_path / "a.png" / "scores"
    command = ["eval", "denoise", tmp_path / "a.png", "-o", out, "--model", tiny_prior]
    _, stderr = reddiff(*command, *more, code=1)
    told = "scores/eval.json: cannot be written (Not a directory); choose another -o\n"
    assert stderr.endswith(told)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_rows_of_other_settings_refuse_a_plan_as_the_run(tmp_path, tiny_prior, more):
    Image.fromarray(scene()).save(tmp_path / "a.png")
    command = ["eval", "denoise", tmp_path / "a.png", "-o", tmp_path / "out", "--crop", "32"]
    command += ["--model", tiny_prior, "--method", "reddiff:2"]
    reddiff(*command)
    _, stderr = reddiff(*command, "--noise", "0.1", *more, code=2)
    assert "eval.json: was made with another noise; choose another -o" in stderr


def test_a_crop_that_is_too_small_for_a_reduction_is_told_of_the_crop():
    options = parse_degrade("down 3 | down 2")
    assert crop(options, 18).size == (18, 18)
    with pytest.raises(UsageError, match="--crop 17: leaves 12 pixels a side, a multiple of 6; "):
        crop(options, 17)
