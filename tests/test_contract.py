"""What scripts and schedulers rely on: streams, JSON lines, shards, environment, exit codes."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import shellingham
import torch
from PIL import Image, ImageCms
from typer.testing import CliRunner

import reddiff_cli
from conftest import reddiff, scene
from reddiff_cli import run
from reddiff_cli.checkpoints.cards import known_digest
from reddiff_cli.cli import app
from reddiff_cli.denoisers.denoiser import Denoiser
from reddiff_cli.errors import DeviceMissing, ModelMissing
from reddiff_cli.formats.carriers import Metadata, read_record
from reddiff_cli.machine import memory
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.restore import WORKERS
from reddiff_cli.run import Run
from reddiff_cli.tasks import superres

RUNNER = CliRunner()
SOURCE = str(Path(reddiff_cli.__file__).parent.parent)
LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")
PLAIN = {k: v for k, v in os.environ.items() if k not in (*LAUNCHERS, "FORCE_COLOR", "NO_COLOR")}
PLAIN |= {"PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}


def shell(script, *, cwd, **environment):
    """Run a shell script in which `reddiff` is the real command."""
    function = f'reddiff() {{ "{sys.executable}" -m reddiff_cli "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", function + script],
        capture_output=True,
        cwd=cwd,
        env=PLAIN | environment,
        timeout=120,
    )


@pytest.fixture
def folder(tmp_path):
    """Five pictures in a tree, two of which collide, and one that is none."""
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for k, name in enumerate(("a.png", "b.png", "b.jpg", "sub/a.png", "sub/c.bmp")):
        Image.fromarray(scene(24, 32, seed=k)).save(root / name)
    (root / "text.png").write_text("no picture")
    return root


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def events(stdout):
    return [json.loads(line) for line in stdout.splitlines()]


# --- streams ---


def test_stdin_to_stdout(picture_file, quick, tmp_path):
    out = tmp_path / "file.png"
    reddiff("denoise", picture_file, "-o", out, *quick)
    result = RUNNER.invoke(
        app, ["denoise", "-", "-o", "-", *quick], input=picture_file.read_bytes()
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout_bytes.startswith(b"\x89PNG\r\n\x1a\n")
    restored = Image.open(BytesIO(result.stdout_bytes))
    assert np.array_equal(np.asarray(restored), np.asarray(Image.open(out)))
    assert result.stdout_bytes == out.read_bytes()
    assert result.stderr.startswith("[1/1] - -> -  ")


def test_stdin_to_a_file_and_a_file_to_stdout(picture_file, quick, tmp_path):
    out = tmp_path / "o.jpg"
    reddiff("denoise", "-", "-o", out, *quick, stdin=picture_file.read_bytes())
    assert Image.open(out).format == "JPEG"
    result = RUNNER.invoke(app, ["denoise", str(picture_file), "-o", "-", *quick])
    assert Image.open(BytesIO(result.stdout_bytes)).format == "PNG"
    assert not list(tmp_path.glob("*.denoise.*"))


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".exr"])
def test_any_kind_of_picture_comes_through_stdin(tmp_path, quick, suffix):
    path = tmp_path / f"p{suffix}"
    depth = 32 if suffix == ".exr" else 8
    save_picture(Picture(scene(24, 32) / np.float32(255), depth=depth), path, None)
    out = tmp_path / ("o.exr" if depth == 32 else "o.png")
    reddiff("denoise", "-", "-o", out, *quick, stdin=path.read_bytes())
    assert load_picture(out).depth == depth


def test_mistakes_with_streams_name_streams_and_write_nothing(
    picture_file, quick, tmp_path, tmp_path_factory
):
    png = picture_file.read_bytes()
    other = tmp_path_factory.mktemp("other") / "b.png"
    other.write_bytes(png)
    cases = [
        (["-"], png, 2, "needs -o"),
        (["-", "-", "-o", "-"], png, 2, "give it once"),
        ([picture_file, other, "-o", "-"], None, 2, "one picture"),
        ([tmp_path, "-o", "-"], None, 2, "is a folder"),
        (["-", "-o", "-"], b"", 2, "stdin is empty"),
        (["-", "-o", "-"], b"no picture", 1, "error: -: not a picture"),
        (["-", "-o", "-"], png[:900], 1, "(image file is truncated); pipe it again, or give"),
        (["-", "-o", "-", "--json"], png, 2, "--json and -o -"),
        (["-", "-o", "-", "--format", "jpg"], png, 2, "--format jpg and -o -: stdout gets a PNG"),
        (["-", "-o", "-", "--compare"], png, 2, "--compare and -o -"),
        (["-", "-o", "-", "--samples", "2"], png, 2, "--samples and -o -"),
    ]
    for arguments, stdin, code, message in cases:
        stdout, stderr = reddiff("denoise", *arguments, *quick, code=code, stdin=stdin)
        assert stdout == ""
        assert message in stderr
        assert len(stderr.splitlines()) == 1
        assert "reddiff-" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == [picture_file.name]


@pytest.mark.parametrize("flag", [None, "-o", "--mask", "--model"])
def test_a_path_that_cannot_be_is_one_line(picture_file, flag):
    """As one behind a folder that this user may not enter, which root may."""
    path = f"{'n' * 300}.png"
    words = [path] if flag is None else [picture_file, flag, path]
    stdout, stderr = reddiff("inpaint", *words, "--dry-run", code=2)
    assert stdout == ""
    assert path in stderr
    assert len(stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback(picture_file, quick, tmp_path):
    flags = " ".join(quick)
    script = f"""
        for i in $(seq 40); do cp {picture_file} p$i.png; done
        reddiff denoise p*.png -o out/ --json {flags} 2> err | head -n 1 > line
        echo "${{PIPESTATUS[0]}}" > code
        reddiff denoise missing.png --json {flags} 2> err2 >&- ; echo $? >> code
    """
    result = shell(script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr.decode()
    assert json.loads((tmp_path / "line").read_text())["status"] == "ok"
    assert "Traceback" not in (tmp_path / "err").read_text()
    assert (tmp_path / "code").read_text().split() == ["141", "2"]
    assert len(list((tmp_path / "out").glob("*.png"))) < 40


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}])
def test_no_escape_codes_where_there_is_no_terminal(folder, quick, environment):
    out = folder.parent / "out"
    _, stderr = reddiff("denoise", folder, "-o", out, *quick, code=1, env=environment)
    assert "\x1b" not in stderr
    lines = stderr.splitlines()
    (why,) = [line for line in lines if "not a picture" in line]  # is said once
    assert why.startswith(f"error: {folder}/text.png: ")
    counters = [line[:5] for line in lines if line.startswith("[")]
    assert len(counters) == 3  # the failed picture counts too, and has its own line
    assert counters == sorted(counters)
    assert set(counters) < {"[1/4]", "[2/4]", "[3/4]", "[4/4]"}
    assert lines[-2:] == [
        "3 restored, 0 skipped, 1 failed",
        f"  {folder}/text.png",
    ]


def test_colour_can_be_forced_and_a_dumb_terminal_gets_no_bars(picture_file, quick):
    # A forced terminal gets its bars, which move the cursor.
    environment = {"FORCE_COLOR": "1", "TERM": "xterm"}
    _, stderr = reddiff("denoise", picture_file, *quick, env=environment)
    assert "\x1b[" in stderr
    environment["TERM"] = "dumb"
    _, stderr = reddiff("denoise", picture_file, "--overwrite", *quick, env=environment)
    assert "\x1b[" not in stderr
    assert "[1/1]" in stderr


@pytest.mark.slow
def test_a_terminal_gets_bars(picture_file, quick, tmp_path):
    """On a pseudo-terminal, the only way to see what a person sees."""
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "reddiff_cli", "denoise", str(picture_file)]
    process = subprocess.Popen(
        [*command, "-o", str(tmp_path / "o.png"), *quick],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=PLAIN | {"TERM": "xterm"},
    )
    os.close(slave)
    text = b""
    with suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(master, 65536):
            text += part
    os.close(master)
    assert process.wait(60) == 0
    assert b"\x1b[" in text
    assert b"[1/1]" in text


def test_stdout_takes_a_picture_that_is_named_twice(folder, quick):
    name = sorted(folder.glob("*.png"))[0].name
    script = f"reddiff denoise {name} ./{name} -o - {' '.join(quick)} | head -c 4"
    assert shell(script, cwd=folder).stdout[1:] == b"PNG"


def test_what_a_folder_holds_is_counted(tmp_path, quick):
    Image.fromarray(scene(9, 8)).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no picture")
    reddiff("denoise", tmp_path, *quick)
    _, stderr = reddiff("denoise", tmp_path, "-v", *quick)
    assert f"{tmp_path}: 1 picture, 1 result of reddiff and 1 other file left out" in stderr


def test_quiet_verbose_and_traces(folder, quick, monkeypatch):
    command = ["denoise", folder, "-o", folder.parent / "out", *quick]
    _, stderr = reddiff(*command, "-q", code=1)
    told = "not a picture, damaged or cut off; copy it again, or give another"
    assert stderr == f"error: {folder}/text.png: {told}\n"
    _, stderr = reddiff(*command, "-v", "--overwrite", code=1)
    assert f"{folder}: 4 pictures, 0 results of reddiff and 0 other files left out" in stderr
    assert "on cpu" in stderr
    for flags, debug in ((["-vv"], "0"), ([], "1")):
        monkeypatch.setenv("REDDIFF_DEBUG", debug)
        _, stderr = reddiff(*command, "--overwrite", *flags, code=1)
        assert "Traceback" in stderr
        assert "3 restored, 0 skipped, 1 failed" in stderr
        _, stderr = reddiff("denoise", "none.png", *flags, code=2)
        assert "Traceback" in stderr
        assert stderr.splitlines()[-1].startswith("error: none.png")


# --- JSON lines ---

KEYS = {
    "event": str,
    "status": str,
    "task": str,
    "input": str,
    "output": str,
    "width": int,
    "height": int,
    "model": str,
    "revision": str,
    "method": str,
    "preset": str,
    "steps": int,
    "noise": float,
    "seed": int,
    "device": str,
    "dtype": str,
    "seconds": float,
    "residual": float,
    "residual_ratio": (float, type(None)),
    "verdict": str,
    "doubtful": bool,
    "notes": list,
}


def test_json_lines(folder, quick):
    out = folder.parent / "out"
    command = ["denoise", folder, "-r", "-o", out, "--json", *quick]
    stdout, stderr = reddiff(*command, "-q", code=1)
    assert stderr.startswith("error: ")
    assert len(stderr.splitlines()) == 1
    *images, summary = events(stdout)
    good = [event for event in images if event["status"] == "ok"]
    assert len(good) == 5
    for event in good:
        assert event["event"] == "image"
        for key, kind in KEYS.items():
            assert isinstance(event[key], kind), key
        assert Path(event["output"]).is_file()
        assert (event["width"], event["height"], event["steps"]) == (32, 24, 2)
        assert event["dtype"] in ("fp32", "bf16")
    (bad,) = [event for event in images if event["status"] == "failed"]
    assert bad["output"] is None
    assert bad["error"]["type"] == "Unreadable"
    assert bad["error"]["message"].startswith(str(folder / "text.png"))
    seconds = summary.pop("seconds")
    assert seconds > 0
    assert summary.pop("doubtful") == sum(event["doubtful"] for event in good)
    assert summary == {"event": "summary", "ok": 5, "skipped": 0, "failed": 1, "exit_code": 1}
    (folder / "text.png").unlink()
    stdout, stderr = reddiff(*command, "-q")
    assert stderr == ""
    *images, summary = events(stdout)
    assert {event["status"] for event in images} == {"skipped"}
    assert all(event["reason"] == "done already" for event in images)
    assert (summary["skipped"], summary["exit_code"]) == (5, 0)


def test_a_run_that_ends_early_still_adds_up(tmp_path, quick):
    Image.fromarray(scene()).save(tmp_path / "a.png", dpi=(72, 72))
    wrong = ["-o", tmp_path / "a.exr", "--depth", "8", "--json"]
    stdout, stderr = reddiff("denoise", tmp_path / "a.png", *wrong, *quick, code=2)
    assert stderr.startswith("error: ")
    assert len(stderr.splitlines()) == 1
    image, summary = events(stdout)
    assert (image["status"], image["error"]["type"]) == ("failed", "UsageError")
    assert (summary["failed"], summary["exit_code"]) == (1, 2)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--device", "cuda:99"], 4),
        (["--model", "nonesuch"], 3),
        (["-o", "{tmp}/a.png"], 2),
    ],
)
def test_a_run_that_ends_before_its_first_picture_still_adds_up(tmp_path, quick, flags, code):
    for name in ("a.png", "b.png"):
        Image.fromarray(scene()).save(tmp_path / name)
    flags = [flag.format(tmp=tmp_path) for flag in flags]
    stdout, stderr = reddiff("denoise", tmp_path, "--json", *quick, *flags, code=code)
    (summary,) = events(stdout)
    counts = [summary[key] for key in ("event", "ok", "skipped", "failed", "exit_code")]
    assert counts == ["summary", 0, 0, 0, code]
    assert stderr.splitlines()[-1].startswith("error: ")


def test_steps_are_those_that_were_taken(picture_file, tiny_prior):
    flags = ["--model", tiny_prior, "--device", "cpu", "--preset", "paper", "--steps", "3"]
    stdout, stderr = reddiff("denoise", picture_file, "--json", *flags)
    assert events(stdout)[0]["steps"] == 4  # every 333rd of 1000 time steps
    assert "took 4 network evaluations, not 3" in stderr
    # White noise takes one for each position, of which mirror images are two.
    noisy = 128 + np.random.default_rng(0).normal(0, 25, (96, 96, 3))
    path = picture_file.with_name("noisy.png")
    Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(path)
    stdout, _ = reddiff("denoise", path, "--noise", "0.1", "--json", *flags[:4])
    assert events(stdout)[0]["steps"] == 2
    record = read_record(path.with_name("noisy.denoise.png"))
    assert (record["steps"], record["found"]["evaluations"]) == (50, 2)


def test_the_residual_of_samples_is_that_of_their_mean(tmp_path, picture_file, quick):
    """Which is what is written: that of a sample would be another picture's."""
    out = tmp_path / "o.png"
    flags = ["--samples", "3", "--noise", "0.1", "--depth", "16", "--json", "-o", out]
    stdout, _ = reddiff("denoise", picture_file, *flags, *quick)
    left = load_picture(picture_file).pixels - load_picture(out).pixels
    assert events(stdout)[0]["residual"] == pytest.approx(np.sqrt(np.mean(left**2)), abs=1e-4)


def test_the_spread_of_samples_is_called_what_it_is(picture_file, quick):
    _, stderr = reddiff("denoise", picture_file, "--samples", "2", *quick)
    assert "relative, uncalibrated" in stderr


def test_waiting_for_another_picture_is_no_work(tmp_path, quick, monkeypatch):
    for k in range(4):
        Image.fromarray(scene(24, 32, seed=k)).save(tmp_path / f"{k}.png")
    original = Denoiser._denoise

    def slow(self, z, t):
        time.sleep(0.2)
        return original(self, z, t)

    monkeypatch.setattr(Denoiser, "_denoise", slow)
    stdout, _ = reddiff("denoise", tmp_path, "-o", tmp_path / "out", "--json", *quick)
    *images, summary = events(stdout)
    assert all(event["seconds"] >= 0.4 for event in images)
    # Each picture takes 2 x 0.2 s in turn; with its waiting it would be nearly twice that.
    assert sum(event["seconds"] for event in images) < 1.6 * summary["seconds"]


def test_json_of_a_plan(folder, quick, monkeypatch):
    out = folder.parent / "out"
    command = ["denoise", folder, "-r", "-o", out, "--json", *quick]
    reddiff(*command, code=1)
    (out / "a.png").unlink()
    Image.fromarray(scene(24, 32)).save(out / "sub" / "c.png")
    monkeypatch.setattr(Denoiser, "_denoise", None)
    stdout, stderr = reddiff(*command, "--dry-run", code=1)
    assert stderr == ""
    plan = {str(Path(e["input"]).relative_to(folder)): e for e in events(stdout)}
    assert {name: event["action"] for name, event in plan.items()} == {
        "a.png": "restore",
        "b.jpg": "skip",
        "b.png": "skip",
        "sub/a.png": "skip",
        "sub/c.bmp": "fail",
        "text.png": "fail",
    }
    assert plan["sub/c.bmp"]["error"]["type"] == "Exists"
    assert plan["text.png"]["error"]["type"] == "Unreadable"
    assert plan["a.png"]["error"] is None
    assert all(set(e) == {"event", "input", "output", "action", "error"} for e in plan.values())


def test_a_plan_finds_masks_of_a_wrong_size_without_torch(tmp_path, picture_file, tiny_prior):
    mask = tmp_path / "m.png"
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(mask)
    code = (
        "import sys; from reddiff_cli.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    command = ["inpaint", picture_file, "-m", mask, "--model", tiny_prior, "--dry-run", "--json"]
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)], capture_output=True, env=PLAIN, text=True
    )
    line, end = result.stdout.splitlines()
    assert json.loads(line)["error"]["type"] == "MaskSize"
    assert end == "1 False"


# --- names and folders ---


def test_trees_and_collisions(folder, quick):
    out = folder.parent / "out"
    reddiff("denoise", folder, "-r", "-o", out, *quick, code=1)
    names = ["a.png", "b.jpg.png", "b.png.png", "sub/a.png", "sub/c.png"]
    assert sorted(contents(out)) == names
    # Beside the inputs, and again: results are never read as inputs.
    (folder / "text.png").unlink()
    reddiff("denoise", folder, "-r", "--compare", *quick)
    before = contents(folder)
    _, stderr = reddiff("denoise", folder, "-r", "--compare", *quick)
    assert "0 restored, 5 skipped, 0 failed" in stderr
    assert contents(folder) == before


def test_one_output_for_two_pictures_is_refused(folder, quick, tmp_path):
    pair = [folder / "a.png", folder / "sub" / "a.png"]
    _, stderr = reddiff("denoise", *pair, "-o", tmp_path / "out", *quick, code=2)
    assert "would hold both" in stderr
    stdout, _ = reddiff("denoise", folder / "a.png", folder / "a.png", "--dry-run", *quick)
    assert len(stdout.splitlines()) == 1


def test_a_slash_makes_a_folder(picture_file, quick, tmp_path):
    reddiff("denoise", picture_file, "-o", f"{tmp_path}/v1.0/", *quick)
    assert (tmp_path / "v1.0" / "img.png").is_file()


def test_what_another_process_writes_meanwhile_is_not_done_twice(folder, quick, monkeypatch):
    """Both runs plan before either restores."""
    command = ["denoise", folder, "-r", "-o", folder.parent / "out", "--json", *quick]
    usual = Run._restorer
    (folder / "text.png").unlink()

    def meanwhile(*others):
        def restorer(self, *about):
            monkeypatch.setattr(Run, "_restorer", usual)
            for flags in others:
                reddiff(*command, *flags)
            return usual(self, *about)

        monkeypatch.setattr(Run, "_restorer", restorer)

    meanwhile([])
    *images, summary = events(reddiff(*command)[0])
    assert (summary["ok"], summary["skipped"], summary["failed"]) == (0, 5, 0)
    assert {event["reason"] for event in images} == {"done already"}
    # Nor is anything lost to settings that came later.
    shutil.rmtree(folder.parent / "out")
    meanwhile(["--seed", "5"])
    *images, summary = events(reddiff(*command, code=1)[0])
    assert {event["error"]["type"] for event in images} == {"Exists"}
    assert {read_record(path)["seed"] for path in (folder.parent / "out").rglob("*.png")} == {5}
    meanwhile(["--seed", "5", "--overwrite"])
    assert events(reddiff(*command, "--overwrite")[0])[-1]["ok"] == 5


def test_strip_and_format(tmp_path, quick):
    path = tmp_path / "p.jpg"
    exif = Image.Exif()
    exif[271], exif[274] = "Camera", 6
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(scene(24, 32)).save(path, exif=exif, icc_profile=icc, dpi=(300, 300))
    for suffix in ("png", "jpg", "webp", "tiff"):
        reddiff("denoise", path, "--format", suffix, *quick)
        kept = Image.open(tmp_path / f"p.denoise.{suffix}")
        assert kept.size == (24, 32)  # upright: orientation 6 is turned by 90 degrees
        assert kept.getexif().get(271) == "Camera", suffix
        assert 274 not in kept.getexif() or kept.getexif()[274] == 1
        assert kept.info["icc_profile"] == icc
        reddiff("denoise", path, "--format", suffix, "--strip", "--overwrite", *quick)
        bare = Image.open(tmp_path / f"p.denoise.{suffix}")
        assert 271 not in bare.getexif()
        assert not bare.info.get("icc_profile")
        assert b"input_sha256" not in (tmp_path / f"p.denoise.{suffix}").read_bytes()
        # Without a record nothing is known to be done.
        _, stderr = reddiff("denoise", path, "--format", suffix, "--strip", *quick, code=1)
        assert "--overwrite" in stderr


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_what_is_enlarged_keeps_its_size_in_print(tmp_path, quick, suffix):
    path = tmp_path / "p.tif"
    tags = {270: '{"shape": [16, 20, 3]}', 282: 300.0, 283: 150.0, 296: 2}
    Image.fromarray(scene(16, 20)).save(path, tiffinfo=tags)
    for command in (("superres", "--scale", "2"), ("restore", "--degrade", "down 2 box")):
        result = tmp_path / f"{command[0]}.{suffix}"
        reddiff(command[0], path, *command[1:], "--noise", "0.01", "-o", result, *quick)
        assert load_picture(result).metadata.dpi == pytest.approx((600, 300), abs=0.02)
        # tifffile would go by the shape of its own old array.
        assert 270 not in Image.open(result).getexif()
    same = tmp_path / f"same.{suffix}"
    reddiff("denoise", path, "--noise", "0.01", "-o", same, *quick)
    assert load_picture(same).metadata.dpi == pytest.approx((300, 150), abs=0.02)
    assert Image.open(same).getexif()[270] == tags[270]


def test_enlarged_light_keeps_its_size_in_print(tmp_path, quick):
    first = tmp_path / "a.exr"
    held = Picture(scene(16, 20) / np.float32(255), depth=32, metadata=Metadata(dpi=(300, 150)))
    save_picture(held, first, {})
    for name in ("b.exr", "b.tif"):
        flags = ("--scale", "2", "--noise", "0.01", "-o", tmp_path / name)
        reddiff("superres", first, *flags, *quick)
        assert load_picture(tmp_path / name).metadata.dpi == pytest.approx((600, 300), rel=1e-3)


def test_sixteen_bits_keep_depth_and_metadata(tmp_path, quick):
    path = tmp_path / "p.png"
    exif = Image.Exif()
    exif[271] = "Camera"
    told = Metadata(exif.tobytes(), b"", b"<x:xmpmeta/>", (300.0, 300.0))
    values = np.random.default_rng(0).integers(0, 65536, (24, 32, 3)).astype(np.float32) / 65535
    save_picture(Picture(values, depth=16, metadata=told), path, {})
    reddiff("denoise", path, "--noise", "0.01", *quick)
    result = load_picture(tmp_path / "p.denoise.png")
    assert result.depth == 16
    assert result.metadata.xmp == told.xmp
    assert Image.open(tmp_path / "p.denoise.png").getexif()[271] == "Camera"
    assert result.metadata.dpi == pytest.approx((300, 300), abs=0.01)


# --- several processes ---


def parts_by_flag(k):
    return ["--shard", f"{k + 1}/2"], {}


def parts_by_torchrun(k):
    return [], {"RANK": str(k), "WORLD_SIZE": "2", "LOCAL_RANK": str(k)}


def parts_by_slurm(k):
    prefix = "SLURM_ARRAY_TASK_"
    values = {"ID": str(10 + 5 * k), "COUNT": "2", "MIN": "10", "STEP": "5"}
    return [], {prefix + name: value for name, value in values.items()}


@pytest.mark.parametrize("parts", [parts_by_flag, parts_by_torchrun, parts_by_slurm])
def test_two_parts_write_the_same_bytes_as_one_run(folder, quick, parts):
    (folder / "text.png").unlink()
    whole, split = folder.parent / "whole", folder.parent / "split"
    stdout, _ = reddiff("denoise", folder, "-r", "-o", whole, "--json", *quick)
    counts = []
    for k in range(2):
        flags, environment = parts(k)
        command = ["denoise", folder, "-r", "-o", split, "--json", *quick, *flags]
        counts.append(events(reddiff(*command, env=environment)[0])[-1]["ok"])
    assert counts == [3, 2]
    assert contents(split) == contents(whole)


def test_a_task_that_names_its_own_picture_restores_it(folder, quick):
    """The usual array script: `f=$(sed -n ${SLURM_ARRAY_TASK_ID}p list)`."""
    environment = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}
    picture = sorted(folder.glob("*.png"))[0]
    reddiff("denoise", picture, "-o", folder / "out.png", *quick, env=environment)
    assert (folder / "out.png").is_file()
    _, stderr = reddiff("denoise", picture, "-o", folder / "o/", "--shard", "2/2", *quick)
    assert "part 2 of 2 holds no picture (of 1)" in stderr
    # Of torchrun, all processes get the same command line.
    environment = {"RANK": "1", "WORLD_SIZE": "2"}
    _, stderr = reddiff("denoise", picture, "-o", folder / "o/", *quick, env=environment)
    assert "part 2 of 2 (RANK=1) holds no picture (of 1)" in stderr
    assert not list(folder.glob("o/*"))


def test_parts_that_do_not_exist(folder, quick):
    for flags, environment in (
        (["--shard", "3/2"], {}),
        (["--shard", "0/2"], {}),
        (["--shard", "x"], {}),
        ([], {"RANK": "2", "WORLD_SIZE": "2"}),
        ([], {"RANK": "-1", "WORLD_SIZE": "2"}),
        ([], {"RANK": "0", "WORLD_SIZE": "0"}),
        ([], {"RANK": "a", "WORLD_SIZE": "2"}),
        ([], {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "2"}),
    ):
        _, stderr = reddiff("denoise", folder, *flags, *quick, code=2, env=environment)
        assert "--shard" in stderr
    # The flag wins over the environment; more parts than pictures leave some with nothing to do.
    environment = {"RANK": "5", "WORLD_SIZE": "2"}
    command = ["denoise", folder, "--shard", "9/9", "--json", *quick]
    stdout, stderr = reddiff(*command, env=environment)
    assert "part 9 of 9 holds no picture (of 4)" in stderr
    assert events(stdout) == [
        {"event": "summary", "ok": 0, "skipped": 0, "failed": 0, "doubtful": 0, "exit_code": 0}
        | {"seconds": events(stdout)[0]["seconds"]}
    ]


def test_local_rank_chooses_the_gpu(monkeypatch):
    from reddiff_cli.machine.computing import choose_device
    from reddiff_cli.planning.shards import local_device

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    for asked in ("auto", "cuda"):
        for rank, index in (("0", 0), ("3", 3), ("5", 1)):
            name = local_device(asked, {"LOCAL_RANK": rank})
            assert choose_device(name) == torch.device("cuda", index)
        assert local_device(asked, {}) == asked
    for asked in ("cuda:2", "cpu", "mps"):
        assert local_device(asked, {"LOCAL_RANK": "1"}) == asked
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceMissing, match="--device cuda: this machine has 0"):
        choose_device(local_device("cuda", {"LOCAL_RANK": "1"}))


# --- failures ---


def test_fail_fast_stops_and_keeps_what_is_done(tmp_path, quick):
    for k in range(12):
        Image.fromarray(scene(24, 32, seed=k)).save(tmp_path / f"{k:02}.png")
    (tmp_path / "03.png").write_text("no picture")
    command = ["denoise", tmp_path, "-o", tmp_path / "out", "--json", *quick]
    stdout, stderr = reddiff(*command, "--fail-fast", code=1)
    summary = events(stdout)[-1]
    assert summary["failed"] == 1
    assert 2 <= summary["ok"] <= 6
    assert len(list((tmp_path / "out").iterdir())) == summary["ok"]


def test_the_wait_for_pictures_does_not_grow_with_their_number(tmp_path, quick, monkeypatch):
    """A wait looks at all futures there are: at 100 000, every turn took a quarter of a second."""
    for k in range(12):
        Image.fromarray(scene(24, 32, seed=k)).save(tmp_path / f"{k:02}.png")
    waited, usual = [], run.wait

    def wait(futures, **how):
        waited.append(len(futures))
        return usual(futures, **how)

    monkeypatch.setattr(run, "wait", wait)
    command = ["denoise", tmp_path, "-o", tmp_path / "out", "--json", *quick]
    for status in ("ok", "skipped"):
        *images, summary = events(reddiff(*command)[0])
        assert summary[status] == len(images) == 12
    assert max(waited) <= WORKERS
    # The second time nothing is computed, and one after the other is told of.
    assert [Path(event["input"]).name for event in images] == [f"{k:02}.png" for k in range(12)]


def test_what_no_one_foresaw_fails_one_picture(folder, quick, monkeypatch):
    original = Denoiser._denoise

    def failing(self, z, t):
        if failing.calls == 0:
            failing.calls += 1
            raise ZeroDivisionError("of all things")
        return original(self, z, t)

    failing.calls = 0
    monkeypatch.setattr(Denoiser, "_denoise", failing)
    command = ["denoise", folder, "-r", "-o", folder.parent / "out", "--json", *quick]
    stdout, stderr = reddiff(*command, code=1)
    *images, summary = events(stdout)
    assert (summary["ok"], summary["failed"]) == (4, 2)
    kinds = [event["error"]["type"] for event in images if event["status"] == "failed"]
    assert sorted(kinds) == ["Unforeseen", "Unreadable"]
    assert "ZeroDivisionError: of all things" in stderr
    assert "Traceback" not in stderr


def test_environment_and_order(picture_file, tiny_prior, monkeypatch):
    variables = {"REDDIFF_MODEL": str(tiny_prior), "REDDIFF_DEVICE": "cuda:99"}
    flags = ["--steps", "2", "--dry-run"]
    reddiff("denoise", picture_file, *flags, env=variables)
    _, stderr = reddiff("denoise", picture_file, "--steps", "2", code=4, env=variables)
    assert "cuda:99" in stderr
    _, stderr = reddiff("denoise", picture_file, *flags, code=2, env={"REDDIFF_DEVICE": "warp"})
    assert stderr == "error: --device warp: unknown; use auto, cpu, cuda, cuda:N, mps\n"
    reddiff("denoise", picture_file, "--steps", "2", "--device", "cpu", env=variables)
    variables["REDDIFF_MODEL"] = "nonesuch"
    _, stderr = reddiff("denoise", picture_file, *flags, code=3, env=variables)
    assert "nonesuch" in stderr
    reddiff("denoise", picture_file, *flags, "--model", tiny_prior, env=variables)


def test_shell_completion_exists():
    """For the shell that is among the parents of this process."""
    try:
        shell, _ = shellingham.detect_shell()
    except shellingham.ShellDetectionFailure:
        pytest.skip("no shell runs this")
    if shell not in ("bash", "zsh", "fish", "powershell", "pwsh"):
        pytest.skip(f"{shell} knows no completion")
    result = subprocess.run(
        [sys.executable, "-m", "reddiff_cli", "--show-completion"],
        capture_output=True,
        env=PLAIN,
        text=True,
    )
    assert result.returncode == 0
    assert re.search("complete|compdef", result.stdout)


# --- flags that would be ignored, or cannot be ---


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("denoise P --method ddrm --prior-weight 2", "--prior-weight: ddrm weighs"),
        ("denoise P --method pigdm --prior-weight 2", "--prior-weight: pigdm weighs"),
        ("hdr P --operator paper --stops 3", "drop --stops and --response"),
        ("hdr P --operator paper --response linear", "drop --stops and --response"),
        ("jpeg P --preset paper", "--preset paper: the rounding of JPEG"),
        ("denoise P --tile 4", "--tile 4: must be 0"),
        ("denoise P --tile 64 --tile-overlap 40", "at most half of a tile of 64"),
        ("denoise P --tile 64 --tile-overlap -1", "must be 0 or more"),
    ],
)
def test_flags_that_make_no_sense_together(picture_file, tiny_prior, line, told):
    words = [str(picture_file) if word == "P" else word for word in line.split()]
    _, stderr = reddiff(*words, "--model", tiny_prior, "--device", "cpu", code=2)
    assert told in stderr


@pytest.mark.parametrize(
    ("degrade", "told", "code"),
    [
        ("mask M", "M: covers the whole picture", 1),
        ("grey | grey", "colours are lost once", 2),
    ],
)
def test_compositions_that_leave_nothing(picture_file, quick, tmp_path, degrade, told, code):
    mask = tmp_path / "M"
    Image.new("L", Image.open(picture_file).size, 255).save(mask, "PNG")
    text = degrade.replace("M", str(mask))
    _, stderr = reddiff("restore", picture_file, "--degrade", text, *quick, code=code)
    assert told in stderr


def test_too_many_steps_are_refused_before_a_hole_is_filled(tmp_path):
    """Guide and patches take most of the time; the prior's levels are known before."""
    Image.fromarray(scene(96, 96)).save(tmp_path / "p.png")
    mask = np.zeros((96, 96), np.uint8)
    mask[30:62, 30:62] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    flags = ["--method", "ddrm", "--steps", "900", "--start", "0.3", "--device", "cpu"]
    asked = ["inpaint", tmp_path / "p.png", "--mask", tmp_path / "m.png", *flags]
    _, stderr = reddiff(*asked, "-o", tmp_path / "o.png", code=2)
    assert "--steps 900: the prior has" in stderr
    assert "a wide hole" not in stderr
    assert not (tmp_path / "o.png").exists()


def test_small_tiles_and_odd_steps_need_nothing_else(picture_file, tiny_prior):
    flags = ["--model", tiny_prior, "--device", "cpu", "--overwrite"]
    reddiff("denoise", picture_file, *flags, "--steps", "2", "--tile", "32")
    reddiff("denoise", picture_file, *flags, "--steps", "21", "--preset", "perceptual")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "AVIF of brand mif1", "JPEG2000"])
def test_a_lossy_picture_from_stdin_is_known_as_one(tmp_path, quick, kind):
    """Its noise is measured as that of the same file by name."""
    buffer = BytesIO()
    name, brand = kind.split()[0], kind.split()[-1]
    Image.fromarray(scene(96, 96)).save(buffer, name)
    content = buffer.getvalue()
    if brand == "mif1":
        assert content[4:12] == b"ftypavif"
        assert b"avif" in content[16:40]
        content = content[:8] + b"mif1" + content[12:]
    suffix = {"JPEG": ".jpg", "WEBP": ".webp", "AVIF": ".avif", "JPEG2000": ".jp2"}[name]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    reddiff("denoise", path, "-o", tmp_path / "named.png", *quick)
    reddiff("denoise", "-", "-o", tmp_path / "piped.png", *quick, stdin=content)
    named, piped = (load_picture(tmp_path / f"{n}.png").pixels for n in ("named", "piped"))
    assert np.array_equal(named, piped)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("denoise a.png -o - > /dev/full", 1, "error: stdout cannot be written (No space"),
        ("denoise a.png -o - >&-", 1, "error: stdout cannot be written (closed)"),
        ("denoise - -o x.png <&-", 2, "error: -: stdin is closed; pipe a picture into it"),
        ("denoise a.png --json -o x.png > /dev/full", 1, "error: stdout cannot be written (No"),
        ("denoise a.png --dry-run > /dev/full", 1, "error: stdout cannot be written (No space"),
        ("--help > /dev/full", 1, "error: stdout cannot be written (No space left on device)"),
        ("> /dev/full", 1, "error: stdout cannot be written (No space left on device)"),
        ("models fetch --help > /dev/full", 1, "error: stdout cannot be written (No space"),
        ("eval -h > /dev/full", 1, "error: stdout cannot be written (No space left on device)"),
        ("--version > /dev/full", 1, "error: stdout cannot be written (No space left on device)"),
        # What nobody can be told ends nothing, and changes no exit code.
        ("denoise a.png --seed abc 2> /dev/full", 2, ""),
        ("denoise b.png -v 2> /dev/full", 2, ""),
        ("denoise a.png -v --steps 2 -o x.png 2> /dev/full", 0, ""),
    ],
)
def test_streams_that_take_or_give_nothing(tmp_path, tiny_prior, script, code, told):
    Image.fromarray(scene(24, 32)).save(tmp_path / "a.png")
    ran = shell(f"reddiff {script}", cwd=tmp_path, REDDIFF_MODEL=str(tiny_prior))
    stderr = ran.stderr.decode()
    assert ran.returncode == code, stderr
    assert told in stderr
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr


def test_nothing_is_restored_for_a_closed_stdout(tmp_path, picture_file, tiny_prior):
    ran = shell(
        f"reddiff denoise {picture_file} -o - >&-", cwd=tmp_path, REDDIFF_MODEL=str(tiny_prior)
    )
    assert ran.stderr == b"error: stdout cannot be written (closed)\n"


@pytest.mark.skipif(os.name == "nt", reason="ulimit")
def test_stdin_that_finds_no_room_is_told(tmp_path):
    """`ulimit -f` refuses what is longer, as a full disk does."""
    (tmp_path / "long.png").write_bytes(b"0" * 100_000)
    script = "ulimit -f 8; reddiff denoise - -o x.png < long.png"
    ran = shell(script, cwd=tmp_path, TMPDIR=str(tmp_path))
    told = f"error: -: 100000 bytes of stdin cannot be kept in {tmp_path} (File too large); "
    assert (ran.returncode, ran.stderr.decode()) == (
        1,
        f"{told}set TMPDIR to a folder with room\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["long.png"]


def test_an_empty_mask_leaves_stdout_empty_and_says_so(tmp_path, picture_file, quick):
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(tmp_path / "m.png")
    flags = ["inpaint", str(picture_file), "-m", str(tmp_path / "m.png"), "-o", "-", *quick]
    result = RUNNER.invoke(app, flags)
    assert result.exit_code == 1
    assert result.stdout_bytes == b""
    assert "mask is empty; there is nothing to write" in result.stderr


@pytest.mark.parametrize(
    ("line", "module"), [("denoise", "run"), ("eval denoise -o scores", "evaluation.run")]
)
def test_offline_is_heard_of_where_a_prior_is_looked_up(picture_file, monkeypatch, line, module):
    def find_model(name, *, offline, **_):
        asked.append(offline)
        raise ModelMissing(name)

    asked = []
    monkeypatch.setattr(f"reddiff_cli.{module}.find_model", find_model)
    for flags in ([], ["--offline"]):
        reddiff(*line.split(), picture_file, *flags, code=3)
    assert asked == [False, True]


def test_a_failure_in_a_folder_names_its_picture(folder, quick):
    (folder / "text.png").unlink()
    _, stderr = reddiff("inpaint", folder, *quick, code=2)
    lines = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 3
    assert {line.split()[1].rstrip(":") for line in lines} == {
        str(folder / name) for name in ("a.png", "b.png", "b.jpg")
    }


def test_a_mistake_in_the_flags_is_one_for_a_folder_too(folder, quick, tmp_path):
    """Exit code 2: no picture can be restored like this, so a loop need not go on."""
    (folder / "text.png").unlink()
    flags = ["--format", "jpg", "--depth", "16", "-o", tmp_path / "out/"]
    _, stderr = reddiff("denoise", folder, *flags, *quick, code=2)
    assert "0 restored, 0 skipped, 3 failed" in stderr


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_mistake_of_one_picture_is_none_of_the_whole_folder(tmp_path, quick, dry):
    """Exit code 1: only one of them is transparent, which JPEG cannot hold."""
    shown = np.full((24, 32, 1), 100, np.uint8)
    for name, more in (("a", []), ("b", [shown])):
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.dstack([scene(24, 32), *more])).save(path)
    flags = ["-o", tmp_path / "out/", "--format", "jpg", *dry]
    stdout, stderr = reddiff("denoise", tmp_path / "in", *flags, *quick, code=1)
    assert (stdout.count("fail: ") == 1) if dry else ("1 restored, 0 skipped, 1 failed" in stderr)
    # Which one it is, is said of it by its own name.
    assert dry or f"error: {tmp_path / 'in' / 'b.png'}: " in stderr


def test_a_prior_is_the_same_however_its_folder_is_spelt(picture_file, tiny_prior, monkeypatch):
    monkeypatch.chdir(tiny_prior.parent)
    flags = ["--steps", "2", "--device", "cpu", "--model"]
    reddiff("denoise", picture_file, *flags, tiny_prior)
    for name in (f"./{tiny_prior.name}/", f"../{tiny_prior.parent.name}/{tiny_prior.name}"):
        _, stderr = reddiff("denoise", picture_file, *flags, name)
        assert "done already" in stderr


def test_another_schedule_makes_another_prior(tmp_path, picture_file, tiny_prior):
    prior = tmp_path / "prior"
    shutil.copytree(tiny_prior, prior)
    flags = ["--steps", "2", "--device", "cpu", "--model", prior]
    reddiff("denoise", picture_file, *flags)
    path = prior / "scheduler_config.json"
    path.write_text(path.read_text().replace("0.02", "0.021"))
    known_digest.cache_clear()  # another run has another memory
    _, stderr = reddiff("denoise", picture_file, *flags, code=1)
    assert "exists with other settings" in stderr


def test_what_holds_no_settings_is_not_called_other_settings(picture_file, quick):
    reddiff("denoise", picture_file, "--strip", *quick)
    for flags in (["--strip"], []):
        _, stderr = reddiff("denoise", picture_file, *flags, *quick, code=1)
        assert "says not how it was made; use --overwrite" in stderr


def test_a_trace_plays_once(picture_file, quick):
    reddiff("denoise", picture_file, "--trace", *quick)
    with Image.open(picture_file.with_name(f"{picture_file.stem}.denoise.trace.gif")) as trace:
        assert "loop" not in trace.info


def test_sheets_show_linear_light_as_a_screen_does(tmp_path, quick):
    """A grey field of 0.2 in linear light is 124 of 255 in both panels."""
    light = Picture(np.full((24, 32, 3), 0.2, np.float32), depth=32)
    save_picture(light, tmp_path / "a.exr", None)
    reddiff("denoise", tmp_path / "a.exr", "--compare", "--trace", "--noise", "0.01", *quick)
    sheet = np.asarray(Image.open(tmp_path / "a.denoise.compare.png")).astype(int)
    assert abs(sheet[:, :32].mean() - 124) < 1
    with Image.open(tmp_path / "a.denoise.trace.gif") as trace:
        assert abs(np.asarray(trace.convert("RGB"))[..., 1].mean() - sheet[:, -32:, 1].mean()) < 20


def test_another_picture_under_the_same_name_is_told_from_other_settings(tmp_path, quick):
    """--overwrite would lose the first result."""
    for number, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        Image.fromarray(scene(24, 32, seed=number)).save(tmp_path / name / "a.png")
    flags = ["-o", tmp_path / "out/", *quick]
    reddiff("denoise", tmp_path / "one/a.png", *flags)
    _, stderr = reddiff("denoise", tmp_path / "two/a.png", *flags, code=1)
    assert "is the result of another picture; give another -o" in stderr
    _, stderr = reddiff("denoise", tmp_path / "one/a.png", *flags, "--seed", "1", code=1)
    assert "exists with other settings" in stderr


def test_a_folder_into_a_file_is_told_as_that(folder, quick, tmp_path):
    _, stderr = reddiff("denoise", folder, "-o", tmp_path / "o.png", *quick, code=2)
    assert f"is one file, and {folder} is a folder" in stderr


@pytest.mark.parametrize(
    "flags", ["superres {} --scale 4", "restore {} --degrade 'down 2|down 2'"]
)
def test_what_is_too_large_for_memory_fails_alone(tmp_path, quick, monkeypatch, flags):
    """Linux would kill the process, with all that it has still to do."""
    for name, side in (("a.png", 40), ("b.png", 20)):
        Image.fromarray(scene(side, side)).save(tmp_path / name)
    free = tmp_path / "meminfo"
    free.write_text("MemAvailable: 2000 kB\nSwapFree: 1000 kB\n")  # 143x143 pixels
    monkeypatch.setattr(memory, "_MEMINFO", free)
    command = shlex.split(flags.format(tmp_path))
    _, stderr = reddiff(*command, "-o", tmp_path / "out/", *quick, code=1)
    assert (
        "a.png: enlarged 4 times it has 0.0256 megapixels and takes more than 0.0038 GB" in stderr
    )
    assert "1 restored, 0 skipped, 1 failed" in stderr
    assert (tmp_path / "out" / "b.png").exists()


def test_memory_that_is_kept_from_earlier_pictures_is_not_missed(tmp_path, quick, monkeypatch):
    """Freed pages stay with the process until they are handed back."""
    Image.fromarray(scene(40, 40)).save(tmp_path / "a.png")
    free = tmp_path / "meminfo"
    free.write_text("MemAvailable: 10 kB\nSwapFree: 0 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", free)
    whole = "MemAvailable: 9000000 kB\nSwapFree: 0 kB\n"
    monkeypatch.setattr(superres, "return_pages", lambda: free.write_text(whole))
    reddiff("superres", tmp_path / "a.png", *quick)


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("MemAvailable: 5 kB\nSwapFree: 2 kB\n", "max\n", 7 * 1024),
        ("MemAvailable: 5 kB\nSwapFree: 2 kB\n", "3000\n", 3000),
        ("MemAvailable: 5 kB\nSwapFree: 2 kB\n", None, 7 * 1024),
        ("MemTotal: 5 kB\n", None, None),
        (None, None, None),
    ],
)
def test_how_much_memory_is_free(tmp_path, monkeypatch, text, limit, expected):
    for name, content in (("_MEMINFO", text), ("_LIMIT", limit)):
        monkeypatch.setattr(memory, name, tmp_path / name)
        if content is not None:
            (tmp_path / name).write_text(content)
    assert memory.available_memory() == expected


def test_scripts_hear_what_people_are_told(tmp_path, quick):
    """The verdict, and the notes of each picture alone, with -q as well."""
    alpha = np.full((40, 40, 1), 255, np.uint8)
    for name, rim in (("a", 120), ("b", 0)):
        alpha[10:20, 10:20] = rim
        alpha[12:18, 12:18] = 0
        Image.fromarray(np.dstack([scene(40, 40), alpha])).save(tmp_path / f"{name}.png")
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    stdout, _ = reddiff("inpaint", *files, "-o", tmp_path / "o/", "--json", "-q", *quick)
    told = {Path(e["input"]).stem: e["notes"] for e in map(json.loads, stdout.splitlines()[:2])}
    assert any("64 partly transparent pixels stay" in note for note in told["a"])
    assert not any("partly" in note for note in told["b"])
    flags = ["--noise", "0.04", "--overwrite", "--json"]
    stdout, stderr = reddiff("denoise", files[0], "-o", tmp_path / "o/", *flags, *quick)
    verdict = json.loads(stdout.splitlines()[0])["verdict"]
    assert verdict
    assert f", {verdict}" in stderr


def test_what_scripts_hear_of_stdin_names_it(tmp_path, quick):
    """And not the file that holds it meanwhile: notes, and errors."""
    alpha = np.full((24, 32), 255, np.uint8)
    alpha[3:6, 3:20], alpha[10, 5] = 0, 100
    buffer = BytesIO()
    Image.fromarray(np.dstack([scene(24, 32), alpha])).save(buffer, "PNG")
    flags = ["-o", tmp_path / "o.png", "--json", *quick]
    stdout, _ = reddiff("inpaint", "-", *flags, stdin=buffer.getvalue())
    assert any("-: 1 partly transparent" in note for note in events(stdout)[0]["notes"])
    assert "stdin" not in stdout
    flags.append("--overwrite")
    stdout, _ = reddiff("denoise", "-", *flags, stdin=b"no picture", code=1)
    failed = events(stdout)[0]
    assert failed["input"] == "-"
    assert failed["error"]["message"].startswith("-: not a picture")
    assert "stdin" not in stdout


def test_what_a_format_cannot_hold_is_told_of_the_result(picture_file, tmp_path, quick):
    """The picture has 8 bits; --depth asked for more."""
    flags = ["-o", tmp_path / "x.jpg", "--depth", "16"]
    _, stderr = reddiff("denoise", picture_file, *flags, *quick, code=2)
    assert "holds 8 bits, the result would have 16; write .png, or use --depth 8" in stderr


@pytest.mark.parametrize(
    ("flags", "told", "code"),
    [
        (["-o", "x.jpg"], "JPEG cannot hold transparency; write .png instead", 2),
        (["-o", "x.png", "--depth", "float"], "cannot hold float", 2),
        (["-o", "x.png", "--method", "ddrm"], "only averaging over blocks has", 2),
        (["-o", "x.png", "--downsample", "k.npy"], "kernel k.npy: holds negative values", 2),
    ],
)
def test_mistakes_are_told_before_sizes(tmp_path, quick, monkeypatch, flags, told, code):
    """`64x48 -> 256x192` looked like the beginning of work."""
    monkeypatch.chdir(tmp_path)
    np.save("k.npy", -np.ones((3, 3)))
    pixels = np.dstack([scene(), np.full((48, 64), 255, np.uint8)])
    pixels[:9, :9, 3] = 0
    Image.fromarray(pixels).save("img.png")
    stdout, stderr = reddiff("superres", "img.png", *flags, *quick, code=code)
    assert stdout == ""
    assert len(stderr.splitlines()) == 1
    assert told in stderr


@pytest.mark.parametrize(
    ("line", "fits"),
    [
        ("superres --downsample box", True),
        ("superres --downsample box --response srgb", False),
        ("deblur --kernel gaussian:1", False),
        ("deblur --kernel gaussian:1 --boundary circular", True),
        ("deblur --kernel gaussian:1 --boundary circular --response srgb", False),
    ],
)
def test_a_method_that_cannot_is_refused_by_the_plan(picture_file, line, fits):
    task, *flags = line.split()
    command = [task, picture_file, *flags, "--method", "ddrm", "--dry-run"]
    _, stderr = reddiff(*command, code=0 if fits else 2)
    assert fits or "singular value decomposition" in stderr


def test_a_file_that_begins_with_a_dash(tmp_path, quick, monkeypatch):
    """A shell makes it of `*.png`."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(24, 32)).save("-dash.png")
    _, stderr = reddiff("denoise", "-dash.png", *quick, code=2)
    assert stderr == "error: -dash.png: is taken for flags; write ./-dash.png\n"
    _, stderr = reddiff("denoise", "-x.png", *quick, code=2)
    assert "is no flag of reddiff denoise" in stderr
    reddiff("denoise", "./-dash.png", *quick)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (["denoise", ""], "'': is an empty name; give a file or a folder"),
        (["denoise", "img.png", "-q", ""], "'': is an empty name; give a file or a folder"),
        (["denoise", "img.png", "-o", ""], "-o '': is empty; give a value, or drop -o"),
        (["inpaint", "img.png", "--mask", ""], "--mask '': is empty; give a value"),
        (["inpaint", "img.png", "--mask="], "--mask '': is empty; give a value"),
        (["denoise", "img.png", "-o", " "], "-o '': is empty; give a value, or drop -o"),
        (["denoise", "img.png", "-o="], "-o '': is empty; give a value, or drop -o"),
        (["denoise", "img.png", "-o=x.png"], "-o=x.png: -o takes no '='; write -o x.png"),
        (["inpaint", "img.png", "-m=m.png"], "-m=m.png: -m takes no '='; write -m m.png"),
        (["denoise", "img.png", "--output= "], "--output '': is empty; give a value"),
        (["models", "path", ""], "'': is an empty name"),
        (["eval", "denoise", ""], "'': is an empty name"),
        (["eval", "denoise", "img.png", "-o", ""], "-o '': is empty"),
        (["train", "", "-o", "prior"], "'': is an empty name"),
        (["models", "convert", "", "prior"], "'': is an empty name"),
    ],
)
def test_an_empty_word_is_not_the_folder_one_is_in(picture_file, monkeypatch, line, told):
    """What a script says whose variable is empty."""
    monkeypatch.chdir(picture_file.parent)
    before = sorted(picture_file.parent.rglob("*"))
    out, err = reddiff(*line, code=2)
    assert (out, len(err.splitlines())) == ("", 1)
    assert err.startswith(f"error: {told}")
    assert sorted(picture_file.parent.rglob("*")) == before


@pytest.mark.parametrize("kind", [[], ["--mask", "m.png"]])
def test_what_may_not_be_read_is_told_as_that(picture_file, mask_file, quick, monkeypatch, kind):
    """As a picture, and as a mask; the others are restored."""
    monkeypatch.chdir(picture_file.parent)
    shutil.copy(picture_file, "other.png")
    closed = "m.png" if kind else "img.png"

    def refusing(usual):
        def opened(path, *about, **more):
            if str(path) == closed:
                raise PermissionError(13, "Permission denied", str(path))
            return usual(path, *about, **more)

        return opened

    monkeypatch.setattr(Path, "open", refusing(Path.open))
    monkeypatch.setattr(Image, "open", refusing(Image.open))
    monkeypatch.setattr(os, "access", lambda path, *_, **__: str(path) != closed)
    task = ["inpaint", "img.png", *kind] if kind else ["denoise", "img.png"]
    _, err = reddiff(*task, *quick, code=1)
    assert err == f"error: {closed}: cannot be read (Permission denied); make it readable\n"
    if not kind:
        out, _ = reddiff("denoise", "img.png", "other.png", "--dry-run", *quick, code=1)
        assert [line.split()[0] for line in out.splitlines()] == ["fail:", "other.png"]


def test_a_device_takes_no_picture(picture_file, quick, tmp_path):
    (tmp_path / "name").write_text("")
    for target, told in ((os.devnull, "is a device or a pipe"), (tmp_path / "name", "is a file")):
        _, err = reddiff("denoise", picture_file, "-o", target, *quick, code=2)
        assert err.startswith(f"error: -o {target}: {told}")
        assert len(err.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="keeps a folder that somebody is in")
@pytest.mark.parametrize(
    "line", ["denoise $P -o out.png", "denoise $P -o $P.png", "train $P -o x"]
)
def test_a_folder_that_is_gone_is_told_in_one_line(picture_file, tmp_path, line):
    script = f"mkdir gone; cd gone; rmdir ../gone; reddiff {line}"
    done = shell(script, cwd=tmp_path, P=str(picture_file))
    told = "error: the folder that this runs in is gone, or closed; change to another\n"
    assert (done.returncode, done.stderr.decode()) == (2, told)


@pytest.mark.parametrize(
    "task",
    [
        ["deblur", "--kernel", "k.npy"],
        ["superres", "--scale", "2", "--downsample", "k.npy"],
        ["restore", "--degrade", "down 2 | blur k.npy"],
    ],
)
def test_a_kernel_with_a_background_is_told_once(folder, tmp_path, quick, monkeypatch, task):
    monkeypatch.chdir(tmp_path)
    for level, count in ((0.05, 1), (0, 0)):
        np.save("k.npy", np.pad(np.ones((3, 3)), 3) + level)
        flags = ["--noise", "0.02", "--overwrite", "-o", "out/", *quick]
        err = reddiff(task[0], folder, *task[1:], *flags, code=1)[1]
        told = "warning: kernel k.npy: does not fall to 0, its border is at 5 % of its maximum"
        assert err.count(told) == err.count("warning: kernel") == count


def test_why_a_folder_takes_no_results_is_told(picture_file, tmp_path, quick, monkeypatch):
    _, stderr = reddiff("denoise", picture_file, "-o", picture_file / "x.png", *quick, code=1)
    assert "(Not a directory)" in stderr
    # Said by the system to all but root.
    monkeypatch.setattr(os, "access", lambda path, mode, **_: mode != os.W_OK)
    _, stderr = reddiff("denoise", picture_file, "-o", tmp_path / "x.png", *quick, code=1)
    assert f"below {tmp_path} (no write permission, or read-only); choose another -o" in stderr


def test_the_help_of_denoise_says_how_little_it_takes():
    stdout, _ = reddiff("denoise", "--help")
    text = " ".join(re.sub("[^ -~]", " ", stdout).split())
    assert "Takes 4 network evaluations (2 with --preset fast)" in text
    assert "up to 20, 50, 100" in text
