"""What --dry-run tells of the files that a run would read: it must not pass what fails later."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from conftest import reddiff, scene
from reddiff_cli.cli import app
from reddiff_cli.kernels import files as kernel_files
from reddiff_cli.operators.hio import opposite
from reddiff_cli.pictures.files import Picture, is_grey, save_picture
from reddiff_cli.planning import rehearsal
from reddiff_cli.retrieval.diffraction import _opposite

RUNNER = CliRunner()


def plan(*arguments, code=0, run=False):
    """The events of a plan, or of the run itself."""
    flags = [] if run else ["--dry-run"]
    stdout, _ = reddiff(*arguments, "--json", *flags, code=code)
    return [json.loads(line) for line in stdout.splitlines()]


KERNELS = {
    "dimensions": np.ones((3, 3, 3)),
    "negative": -np.ones((3, 3)),
    "sum 0": np.zeros((3, 3)),
    "is 900x900": np.ones((900, 900)),
    "NaN": np.full((3, 3), np.nan),
}


@pytest.mark.parametrize("told", KERNELS)
@pytest.mark.parametrize("command", ["deblur --kernel", "superres --downsample", "restore"])
def test_kernels_that_are_none(picture_file, tmp_path, told, command):
    np.save(tmp_path / "k.npy", KERNELS[told])
    task, *flag = command.split()
    how = [*flag, tmp_path / "k.npy"] if flag else ["--degrade", f"blur {tmp_path / 'k.npy'}"]
    (event,) = plan(task, picture_file, *how, code=2)
    assert event["action"] == "fail"
    assert event["error"]["type"] == "UsageError"
    assert told in event["error"]["message"]


@pytest.mark.parametrize(("name", "told"), [("k.npy", "cannot be read"), ("k.png", "not a pic")])
def test_kernels_that_cannot_be_read(picture_file, tmp_path, name, told):
    (tmp_path / name).write_text("no kernel")
    (event,) = plan("deblur", picture_file, "--kernel", tmp_path / name, code=2)
    assert told in event["error"]["message"]


def test_a_kernel_that_is_none_fails_what_has_a_result_as_well(picture_file, tmp_path):
    """As the run, which does not begin."""
    np.save(tmp_path / "k.npy", KERNELS["sum 0"])
    picture_file.with_name("img.deblur.png").write_bytes(picture_file.read_bytes())
    command = "deblur", picture_file, "--kernel", tmp_path / "k.npy"
    (event,) = plan(*command, code=2)
    assert "sum 0" in event["error"]["message"]
    (event,) = plan(*command, code=2, run=True)
    assert event["event"] == "summary"


def test_a_kernel_larger_than_one_of_the_pictures(tmp_path):
    """As the run says it; borders of zeros do not count."""
    (tmp_path / "in").mkdir()
    Image.fromarray(scene(20, 30)).save(tmp_path / "in/small.png")
    Image.fromarray(scene(40, 60)).save(tmp_path / "in/large.png")
    np.save(tmp_path / "k.npy", np.pad(np.ones((25, 25)), 40))
    events = plan("deblur", tmp_path / "in", "--kernel", tmp_path / "k.npy", code=1)
    assert [event["action"] for event in events] == ["restore", "fail"]
    assert "kernel is 25x25, picture is 30x20" in events[1]["error"]["message"]


SMALL = {
    "deblur --kernel": {
        "gaussian:3": "kernel is 25x25",
        "motion:31,0": "kernel is 31x1,",
        "motion:25,90": "kernel is 1x25",
        "disk:11": "kernel is 23x23",
        "uniform:21": "kernel is 21x21",
        "uniform:20": "",
        "auto": "",
    },
    "restore --degrade": {
        "blur gaussian:3": "kernel is 25x25, picture is 30x20",
        "blur gaussian:3 | down 2": "",
        "down 2 | blur gaussian:3": "kernel is 25x25, picture is 30x20",
        "blur uniform:50 | down 2 | blur uniform:9": "kernel is 50x50, picture is 60x40",
        "blur k.npy | grey": "kernel is 25x25, picture is 30x20",
        "down 3 off.npy": "its filter lies outside at its borders",
        "down 3 near.npy": "",
        "down 3 off.npy | down 2": "its filter lies outside at its borders",
        "down 2 | down 2 off.npy | blur gaussian:3": "kernel is 25x25, picture is 30x20",
        "blur gaussian:3 | down 2 off.npy | grey": "its filter lies outside at its borders",
    },
    "superres --downsample": {
        "off.npy": "its filter lies outside at its borders; give one that is heaviest in its mid",
        "near.npy": "",
        "lanczos": "",
    },
}


def save_kernels():
    np.save("k.npy", np.pad(np.ones((25, 25)), 9))
    for name, shift in (("near", 1), ("off", 60)):  # of filters whose weight lies off their origin
        kernel = np.zeros((2 * shift + 1, 3))
        kernel[0, 1] = 1
        np.save(f"{name}.npy", kernel)


@pytest.mark.parametrize("command", SMALL)
def test_a_picture_smaller_than_a_kernel(tmp_path, monkeypatch, command):
    """As the run says it, without reading or restoring anything."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(20, 30)).save("small.png")
    save_kernels()
    for how, told in SMALL[command].items():
        (event,) = plan(*command.split(), how, "small.png", code=1 if told else 0)
        assert event["action"] == ("fail" if told else "restore"), how
        if told:
            assert event["error"]["type"] == "KernelSize"
            assert told in event["error"]["message"]


RUNS = (
    "deblur --kernel disk:11",
    "restore --degrade blur_uniform:50|down_2",
    "superres --downsample off.npy",
    "superres --scale 2 --downsample gaussian:50",
    "restore --degrade blur_gaussian:0.5|down_3_off.npy",
    "restore --degrade blur_k.npy|mask_full.png",
)


def test_the_run_says_of_a_small_picture_what_its_plan_says(tmp_path, tiny_prior, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(20, 30)).save("small.png")
    Image.fromarray(np.full((20, 30), 255, np.uint8)).save("full.png")
    Image.fromarray(scene(1, 1)).save("tiny.png")
    save_kernels()
    for line in RUNS:
        name = "tiny.png" if "gaussian:50" in line else "small.png"
        command = [word.replace("_", " ") for word in f"{line} {name} --model".split()]
        told = [plan(*command, tiny_prior, code=1, run=run)[0]["error"] for run in (0, 1)]
        assert told[0] == told[1]


MASKS = {
    "full": ("MaskFull", np.full((48, 64), 255)),
    "dark": ("MaskDark", np.full((48, 64), 60)),
    "size": ("MaskSize", np.full((40, 64), 255)),
}


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("task", ["inpaint", "restore"])
def test_masks_that_cannot_be_used(picture_file, tmp_path, name, task):
    kind, values = MASKS[name]
    mask = tmp_path / "mask.png"
    Image.fromarray(values.astype(np.uint8)).save(mask)
    how = ["--mask", mask] if task == "inpaint" else ["--degrade", f"mask {mask}"]
    (event,) = plan(task, picture_file, *how, code=1)
    assert (event["action"], event["error"]["type"]) == ("fail", kind)


def test_an_empty_mask_is_skipped_as_the_run_skips_it(picture_file, tmp_path, tiny_prior):
    mask = tmp_path / "mask.png"
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(mask)
    command = ["inpaint", picture_file, "--mask", mask, "--model", tiny_prior]
    (event,) = plan(*command)
    assert event["action"] == "skip"
    image, _ = plan(*command, run=True)
    assert image["status"] == "skipped"
    # All of it, that way round; and behind other damages there is something left to do.
    assert plan(*command, "--invert-mask", code=1)[0]["error"]["type"] == "MaskFull"
    assert plan("restore", picture_file, "--degrade", f"mask {mask}")[0]["action"] == "restore"


def test_without_a_mask_the_marks_are_looked_for(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(scene()).save(tmp_path / "in/none.png")
    marked = scene()
    marked[3:9, 3:9] = (255, 0, 255)
    Image.fromarray(marked).save(tmp_path / "in/marked.png")
    events = plan("inpaint", tmp_path / "in", code=1)
    assert [event["action"] for event in events] == ["restore", "fail"]
    assert "no mask: the picture has no transparent" in events[1]["error"]["message"]


def test_marks_that_cover_all_are_told_with_their_picture(tmp_path, tiny_prior):
    """A loop over pictures ends here, and has to be told at which."""
    path = tmp_path / "marked.png"
    Image.new("RGB", (9, 8), (255, 0, 255)).save(path)
    told = [plan("inpaint", path, "--model", tiny_prior, code=1, run=run)[0] for run in (0, 1)]
    cure = "the marks cover the whole picture; leave something known"
    assert [event["error"]["message"] for event in told] == [f"{path}: {cure}"] * 2


def light(value=0.5):
    pixels = scene(40, 48).astype(np.float32) / 255
    pixels[3, 5] = value
    return pixels


def save_inputs():
    """Pictures that a header, or light that is read, tells not to be taken."""
    Image.fromarray(scene(40, 48)).save("a.png")
    Image.fromarray(scene(40, 48)).save("a.jpg")
    Image.fromarray(scene(40, 48, 1)).save("grey.png")
    Image.fromarray(scene(40, 40)).save("small.png")
    Image.fromarray(scene(40, 48)).convert("CMYK").save("cmyk.jpg")
    Image.fromarray(scene(40, 48, 1).astype(np.int32) * 9999).save("i32.tif")
    save_picture(Picture(light(), depth=16), Path("deep.png"), None)
    for name, value in (
        ("light", 0.5),
        ("nan", np.nan),
        ("inf", np.inf),
        ("negative", -1),
        ("spark", 1e6),
    ):
        for suffix in ("exr", "tif"):
            save_picture(Picture(light(value), depth=32), Path(f"{name}.{suffix}"), None)
    alpha = np.ones((40, 48), np.float32)
    alpha[:9] = 0
    save_picture(Picture(light(), alpha, 32), Path("alpha.exr"), None)
    save_picture(Picture(light(), alpha, 16), Path("alpha.png"), None)
    save_picture(Picture(light()[:, :, :1], alpha, 16), Path("greyalpha.png"), None)
    save_picture(Picture(light()[:, :, :1], alpha, 16), Path("greyalpha.tif"), None)
    Path("text.exr").write_text("no picture")
    Path("text.hdr").write_text("no picture")
    Path("empty.exr").write_bytes(b"")
    painted = scene(40, 48, 1)
    painted[3:9, 3:9] = 255
    Image.fromarray(painted).save("copy.png")
    os.mkfifo("pipe.png")


TOLD = {
    "denoise nan.exr -o out.exr": "1 pixel is not a number, or infinite",
    "denoise inf.tif -o out.tif": "1 pixel is not a number, or infinite",
    "superres negative.exr -o out.exr": "1 pixel is negative, the least is -1",
    "denoise spark.exr": "its brightest pixel is",
    "superres spark.tif": "its brightest pixel is",
    "jpeg spark.exr": "is no JPEG, and shows no traces of one",
    "denoise i32.tif -o out.exr --depth 8": "32 bits per channel; convert it",
    "denoise i32.tif": "32 bits per channel; convert it",
    "denoise text.exr": "text.exr: not a picture, damaged or cut off",
    "denoise text.hdr": "text.hdr: not a picture, damaged or cut off",
    "denoise empty.exr": "empty.exr: is empty (0 bytes); copy it again",
    "hdr light.exr": "light.exr: is linear light already",
    "hdr nan.tif": "1 pixel is not a number",
    "hdr a.png light.tif --exposures 0,2": "light.tif: is linear light already",
    "hdr a.png negative.exr --exposures 0,2": "1 pixel is negative",
    "hdr a.png small.png --exposures 0,2": "small.png: is 40x40, a.png is 48x40",
    "hdr grey.png a.jpg --exposures 0,2": "grey.png: is grey, and not all exposures are",
    "hdr a.png pipe.png --exposures 0,2": "pipe.png: is no file but a pipe or a device",
    "hdr a.png missing.png --exposures 0,2": "missing.png: cannot be read (No such file",
    "hdr a.png i32.tif --exposures 0,2": "32 bits per channel",
    "hdr a.png -o out.jpg": "out.jpg: JPEG holds 8 bits, the result would have 16",
    "hdr a.png -o out.webp": "out.webp: WEBP holds 8 bits, the result would have 16",
    "denoise alpha.exr -o out.jpg --depth 8": "out.jpg: JPEG cannot hold transparency",
    "denoise alpha.exr -o out.hdr": "out.hdr: HDR cannot hold transparency",
    "denoise alpha.png -o out.jpg --depth 8": "out.jpg: JPEG cannot hold transparency",
    "jpeg cmyk.jpg": "cmyk.jpg: its colours are CMYK, not RGB or grey; use denoise",
    "jpeg deep.png": "is no JPEG, and shows no traces of one",
    "jpeg light.exr": "is no JPEG, and shows no traces of one",
    "inpaint grey.png --mask copy.png": "copy.png: is a photograph, not a mask",
    "restore grey.png --degrade mask_copy.png": "copy.png: is a photograph, not a mask",
}


@pytest.mark.parametrize("line", TOLD)
def test_a_plan_tells_of_pictures_that_are_not_taken(tmp_path, tiny_prior, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    save_inputs()
    command = [word.replace("_", " ") for word in f"{line} --model".split()]
    code = 2 if TOLD[line].startswith("out.") else 1
    told = [plan(*command, tiny_prior, code=code, run=run)[0]["error"] for run in (0, 1)]
    assert TOLD[line] in told[0]["message"]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "line",
    [
        "denoise alpha.png alpha2.png -o out/ --format jpg",
        "inpaint a.png small.png -m small.png -o out/",
        "restore a.png small.png --degrade mask_grey.png -o out/",
    ],
)
def test_of_several_pictures_the_plan_names_each_that_fails_as_the_run_does(
    tmp_path, tiny_prior, monkeypatch, line
):
    monkeypatch.chdir(tmp_path)
    save_inputs()
    Path("alpha2.png").write_bytes(Path("alpha.png").read_bytes())
    command = [word.replace("_", " ") for word in f"{line} --steps 2 --model".split()]
    told = []
    for run in (False, True):
        code = 2 if "jpg" in line else 1
        events = plan(*command, tiny_prior, code=code, run=run)
        errors = {event["input"]: event["error"] for event in events if event.get("error")}
        assert all(error["message"].startswith(path) for path, error in errors.items())
        told.append(errors)
    assert told[0]
    assert told[0] == told[1]


def test_a_picture_without_marks_is_named_by_the_plan_as_by_the_run(picture_file, tiny_prior):
    command = ["inpaint", picture_file, "--model", tiny_prior]
    told = [plan(*command, code=2, run=run)[0]["error"] for run in (0, 1)]
    assert told[0]["message"].startswith(f"{picture_file}: no mask: ")
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["greyalpha.png", "greyalpha.tif"])
def test_grey_of_16_bits_with_alpha_is_grey_and_no_light(tmp_path, tiny_prior, monkeypatch, name):
    """To Pillow it is RGBA, or nothing that it knows."""
    monkeypatch.chdir(tmp_path)
    save_inputs()
    assert is_grey(Path(name))
    command = ["hdr", "grey.png", name, "--exposures", "0,2", "--model", tiny_prior]
    assert plan(*command)[0]["action"] == "restore"
    assert plan(*command, "--steps", "2", run=True)[0]["status"] == "ok"


def test_damaged_words_of_a_picture_fail_neither_plan_nor_run(tmp_path, tiny_prior):
    Image.fromarray(scene(40, 48)).save(tmp_path / "a.png", exif=b"Exif\0\0" + bytes(40))
    command = ["denoise", tmp_path / "a.png", "--model", tiny_prior, "--steps", "2"]
    assert plan(*command)[0]["action"] == "restore"
    assert plan(*command, run=True)[0]["status"] == "ok"


def test_what_only_the_run_can_tell_is_said(picture_file):
    """Whether a PNG was JPEG once: that takes more than its header, and torch."""
    result = RUNNER.invoke(app, ["jpeg", str(picture_file), "--dry-run"])
    assert result.exit_code == 0
    assert "(is no JPEG, and fails if it shows no traces of one)" in result.stdout


def test_measurements_of_phase_are_read(tmp_path):
    np.save(tmp_path / "good.npy", np.abs(np.fft.fft2(scene(32, 32, 1), (64, 64))))
    np.save(tmp_path / "zero.npy", np.zeros((64, 64)))
    (tmp_path / "bad.npy").write_text("no array")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "detector.png")
    names = [tmp_path / f"{name}.npy" for name in ("good", "zero", "bad")]
    events = plan("phase", *names, "--data", "amplitude", "-o", tmp_path / "out/", code=1)
    assert [event["action"] for event in events] == ["restore", "fail", "fail"]
    detector = ["--detector-mask", tmp_path / "detector.png"]
    (event,) = plan("phase", names[0], "--data", "amplitude", *detector, code=1)
    assert event["error"]["type"] == "MaskSize"


@pytest.mark.parametrize("shape", [(4, 4), (5, 6), (3, 7, 9)])
def test_opposite_frequencies_are_the_same_with_and_without_torch(shape):
    values = np.random.default_rng(0).random(shape)
    assert np.array_equal(_opposite(values), opposite(torch.from_numpy(values)))


TASKS = ["phase", "inpaint", "inpaint -m", "deblur", "superres", "restore", "hdr", "eval"]


@pytest.mark.parametrize("task", TASKS)
def test_no_plan_loads_torch(tmp_path, task):
    """It would take more of the time of a plan than all else."""
    np.save(tmp_path / "d.npy", np.abs(np.fft.fft2(scene(32, 32, 1), (64, 64))) - 0.1)
    np.save(tmp_path / "k.npy", np.ones((3, 3)))
    marked = scene()
    marked[3:9, 3:9] = (255, 0, 255)
    Image.fromarray(marked).save(tmp_path / "p.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[20:30, 20:30] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    line = {
        "deblur": "deblur p.png --kernel disk:2",
        "superres": "superres p.png --downsample k.npy",
        "phase": "phase d.npy --data amplitude",
        "inpaint": "inpaint p.png",
        "hdr": "hdr p.png p.png --exposures 0,2",
        "inpaint -m": "inpaint p.png -m m.png",
        "restore": "restore p.png --degrade blur_k.npy|down_2_k.npy|blur_motion:9,30|mask_m.png",
        "eval": "eval inpaint p.png -o scores --mask m.png",
    }[task]
    words = [word.replace("_", " ") for word in line.split()]
    code = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules));"
    code += "from reddiff_cli.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "--dry-run"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "False"


def test_a_file_that_all_share_is_read_once(tmp_path, monkeypatch):
    for number in range(3):
        Image.fromarray(scene(seed=number)).save(tmp_path / f"{number}.png")
    values = np.zeros((48, 64), np.uint8)
    values[:9, :9] = 255
    (tmp_path / "m").mkdir()
    mask = tmp_path / "m" / "mask.png"
    Image.fromarray(values).save(mask)
    real, calls = rehearsal.check_mask, []
    monkeypatch.setattr(rehearsal, "check_mask", lambda *a: calls.append(a) or real(*a))
    assert len(plan("inpaint", tmp_path, "--mask", mask)) == 3
    assert len(calls) == 1
    kernel, read = kernel_files.read_kernel, []
    np.save(tmp_path / "k.npy", np.ones((3, 3)))
    monkeypatch.setattr(kernel_files, "read_kernel", lambda p: read.append(p) or kernel(p))
    assert len(plan("deblur", tmp_path, "--kernel", tmp_path / "k.npy")) == 3
    assert len(read) == 1
