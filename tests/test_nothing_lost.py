"""Whatever the command line says, no file is lost that the user did not give up."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from conftest import scene
from reddiff_cli.cli import app
from reddiff_cli.pictures.files import load_picture

RUNNER = CliRunner()


@pytest.fixture
def work(tmp_path, tiny_prior, monkeypatch):
    """A folder of three exposures, a mask and a kernel; relative names are below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDDIFF_MODEL", str(tiny_prior))
    for number, name in enumerate(("dark", "middle", "bright")):
        Image.fromarray(scene(32, 40, seed=number)).save(f"{name}.png")
    mask = np.zeros((32, 40), np.uint8)
    mask[10:14, 5:30] = 255
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(np.array([[0, 90, 0], [90, 255, 90], [0, 90, 0]], np.uint8)).save("kernel.png")
    return tmp_path


def reddiff(line, code=0, stdin=None):
    words = [*line.split(), "--steps", "2", "--device", "cpu"]
    result = RUNNER.invoke(app, words, input=stdin)
    assert result.exit_code == code, f"{result.stdout}\n{result.stderr}\n{result.exception}"
    return result.stderr


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize(
    "line",
    [
        "hdr dark.png middle.png bright.png --exposures -2,0,2 -o middle.png",
        "denoise dark.png dark.denoise.compare.png --compare",
        "inpaint dark.png -m mask.png -o mask.png",
        "inpaint dark.png -m mask.png -o mask.png --compare",
        "inpaint dark.png -m masks -o masks/",
        "deblur dark.png --kernel kernel.png -o kernel.png",
        "superres dark.png --downsample kernel.png --scale 2 -o kernel.png",
        "restore dark.png -o mask.png --degrade mask_mask.png",
    ],
)
def test_what_is_read_is_never_written(work, line):
    (work / "dark.denoise.compare.png").write_bytes((work / "bright.png").read_bytes())
    (work / "masks").mkdir()
    (work / "masks/dark.png").write_bytes((work / "mask.png").read_bytes())
    before = contents(work) | contents(work / "masks")
    words = line.replace("mask_mask.png", "@").split()
    words = ["mask mask.png" if word == "@" else word for word in words]
    arguments = [*words, "--steps", "2", "--device", "cpu", "--overwrite"]
    result = RUNNER.invoke(app, arguments)
    assert result.exit_code == 2, result.stderr
    assert "choose another -o" in result.stderr
    assert contents(work) | contents(work / "masks") == before


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("r.tonemap.png", "hdr dark.png --tonemap -o r.exr"),
        ("r.hdr.json", "hdr dark.png -o r.hdr"),
        ("r.compare.png", "denoise dark.png -o r.png --compare"),
        ("r.trace.gif", "denoise dark.png -o r.png --trace"),
        ("r.std.npy", "denoise dark.png -o r.png --samples 2"),
    ],
)
def test_files_beside_a_result_are_kept(work, name, line):
    (work / name).write_text("mine")
    assert f"{name}: exists; use --overwrite" in reddiff(line, code=1)
    assert (work / name).read_text() == "mine"
    assert not list(work.glob("r.png")) + list(work.glob("r.exr")) + list(work.glob("r.hdr"))
    reddiff(f"{line} --overwrite")
    assert (work / name).read_bytes() != b"mine"


def test_two_results_never_share_a_sheet(work):
    reddiff("hdr dark.png -o both.exr")
    (work / "both.png").write_bytes((work / "dark.png").read_bytes())
    reddiff("denoise both.exr both.png -o out/ --compare")
    results = ["both.exr.compare.png", "both.exr.exr", "both.png.compare.png", "both.png.png"]
    assert sorted(path.name for path in (work / "out").iterdir()) == results
    reddiff("denoise both.exr both.png -o more/")
    assert sorted(path.name for path in (work / "more").iterdir()) == ["both.exr", "both.png"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("--depth 16", "exists with other settings"),
        ("--strip", "exists with other settings"),
    ],
)
def test_a_result_that_is_asked_for_otherwise_is_not_done(work, more, told):
    reddiff("denoise dark.png -o r.png")
    before = (work / "r.png").read_bytes()
    assert told in reddiff(f"denoise dark.png -o r.png {more}", code=1)
    assert (work / "r.png").read_bytes() == before
    reddiff(f"denoise dark.png -o r.png {more} --overwrite")
    if more == "--depth 16":
        assert load_picture(work / "r.png").depth == 16
        assert "done already" in reddiff(f"denoise dark.png -o r.png {more}")


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("denoise dark.png", "--steps 50"),
        ("denoise dark.png", "--start 1"),
        ("restore dark.png --degrade blur_gaussian:1_|_noise_0.2", "--noise auto"),
        ("phase pattern.npy --data amplitude --starts 2 --keep 1", "--start 0.4"),
    ],
)
def test_a_default_is_another_setting_than_the_same_said(work, line, more):
    """By default 4 looks at white noise are enough; 50 are taken where 50 are asked for."""
    np.save("pattern.npy", np.abs(np.fft.fft2(scene(12, 12, 1), (24, 24))))
    command = [word.replace("_", " ") for word in f"{line} -o r.png --device cpu".split()]
    for words, told in ((command, "r.png"), ([*command, *more.split()], "other settings")):
        assert told in RUNNER.invoke(app, words).stderr
    assert "done already" in RUNNER.invoke(app, command).stderr


def test_the_quality_of_lossy_formats_is_a_setting_of_theirs_alone(work):
    for name in ("r.png", "r.jpg"):
        reddiff(f"denoise dark.png -o {name}")
    assert "done already" in reddiff("denoise dark.png -o r.png --quality 10")
    assert "exists with other" in reddiff("denoise dark.png -o r.jpg --quality 10", code=1)
    before = (work / "r.jpg").stat().st_size
    reddiff("denoise dark.png -o r.jpg --quality 10 --overwrite")
    assert (work / "r.jpg").stat().st_size < before


@pytest.mark.parametrize("more", ["--compare", "--trace", "--samples 2"])
def test_a_sheet_that_is_missing_is_made(work, more):
    """A run that was killed between a result and its sheets is finished by the same command."""
    reddiff(f"denoise dark.png -o r.png {more}")
    whole = contents(work)
    for sheet in work.glob("r.[cts]*.*"):
        sheet.unlink()
        reddiff(f"denoise dark.png -o r.png {more}")
        assert contents(work) == whole
    assert "done already" in reddiff(f"denoise dark.png -o r.png {more}")


def test_results_below_the_input_folder_are_not_inputs(work):
    (work / "in/sub").mkdir(parents=True)
    for name in ("in/a.png", "in/sub/a.png", "in/a.jpg"):
        Image.open(work / "dark.png").save(work / name)
    reddiff("denoise in -r -o in/out/")
    names = sorted(p.relative_to(work / "in/out").as_posix() for p in work.glob("in/out/**/*.*"))
    assert names == ["a.jpg.png", "a.png.png", "sub/a.png"]
    assert reddiff("denoise in -r -o in/out/").count("done already") == 3


def test_an_exposure_from_stdin(work):
    stdin = (work / "bright.png").read_bytes()
    reddiff("hdr dark.png bright.png --exposures 0,2 -o one.exr")
    reddiff("hdr dark.png - --exposures 0,2 -o other.exr", stdin=stdin)
    first, other = (load_picture(work / name).pixels for name in ("one.exr", "other.exr"))
    assert np.array_equal(first, other)
    told = reddiff("hdr dark.png bright.png --exposures 0,2 -o - --json", code=2)
    assert "both go to stdout" in told


def test_a_name_too_long_for_a_sheet_is_found_before_the_work(work):
    name = "n" * 245 + ".png"
    told = reddiff(f"denoise dark.png -o {name} --compare", code=1)
    assert "cannot be written" in told
    assert not (work / name).exists()
    reddiff(f"denoise dark.png -o {name}")
