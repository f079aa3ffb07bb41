"""The whole command over a folder of hostile files: nothing crashes, hangs, lies or gets lost."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hostile
import reddiff_cli
from conftest import scene
from reddiff_cli.pictures.files import load_picture

LIMIT = 120  # seconds; alone on a machine it takes about 10


def digests(folder: Path) -> dict[str, str]:
    """Of all files of a tree, links and pipes by their kind."""
    found = {}
    for top, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(top) / name
            data = str(path.readlink()).encode() if path.is_symlink() else b""
            if path.is_file() and not path.is_symlink():
                data = path.read_bytes()
            found[os.path.relpath(path, folder)] = hashlib.sha256(data).hexdigest()
    return found


def reddiff(*arguments, cwd):
    """The real command in a process of its own; a hang is a failure of the test."""
    environment = os.environ | {
        "PYTHONPATH": str(Path(reddiff_cli.__file__).parent.parent),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "reddiff_cli", *map(str, arguments)],
        capture_output=True,
        cwd=cwd,
        env=environment,
        timeout=LIMIT,
    )


def shown(name: str) -> str:
    """A name as JSON holds it: bytes that are no UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile")
    return root, hostile.build(root / "in")


@pytest.mark.slow
def test_a_hostile_folder(ground, tiny_prior):
    root, expected = ground
    assert len(expected) >= 150
    before = digests(root / "in")
    flags = ["--model", tiny_prior, "--steps", "2", "--device", "cpu", "--json"]
    result = reddiff("denoise", root / "in", "-r", "-o", root / "out", *flags, cwd=root)
    stderr = result.stderr.decode()
    assert result.returncode == 1, stderr
    assert "Traceback" not in stderr
    assert "\x1b" not in stderr
    assert "Unforeseen" not in result.stdout.decode()
    assert all(
        line.startswith(("error: ", "warning: ", "[", "  ")) or "restored, " in line
        for line in stderr.splitlines()
    ), stderr
    events = [json.loads(line) for line in result.stdout.decode().splitlines()]
    json.dumps(events, ensure_ascii=False).encode()  # no half characters
    *images, summary = events
    told = {
        os.path.relpath(event["input"], shown(str(root / "in"))): event["status"]
        for event in images
    }
    assert set(told) == {shown(name) for name in expected}
    wrong = []
    for name, fate in expected.items():
        if fate != "any" and told[shown(name)] != {"good": "ok", "bad": "failed"}[fate]:
            wrong.append((name, told[shown(name)]))
    assert not wrong, stderr
    count = Counter(event["status"] for event in images)
    assert (summary["ok"], summary["failed"], summary["skipped"]) == (
        count["ok"],
        count["failed"],
        0,
    )
    assert summary["exit_code"] == 1
    assert digests(root / "in") == before
    assert sorted(path.name for path in root.iterdir()) == ["in", "out"]
    written = [path for path in (root / "out").rglob("*") if path.is_file()]
    assert len([path for path in written if path.suffix != ".json"]) == count["ok"]
    for path in written:
        if path.suffix != ".json":
            load_picture(path)


@pytest.mark.slow
def test_again_all_that_was_done_is_skipped(ground, tiny_prior):
    root, _ = ground
    if not (root / "out").exists():
        pytest.skip("the test above was not run")
    before = digests(root / "out")
    flags = ["--model", tiny_prior, "--steps", "2", "--device", "cpu", "--json", "-q"]
    result = reddiff("denoise", root / "in", "-r", "-o", root / "out", *flags, cwd=root)
    summary = json.loads(result.stdout.decode().splitlines()[-1])
    assert summary["ok"] == 0
    assert summary["skipped"] == len([n for n in before if Path(n).suffix in (".png", ".exr")]) + (
        len([n for n in before if Path(n).suffix == ".hdr"])
    )
    assert digests(root / "out") == before


def test_plan_of_a_hostile_folder(ground):
    root, expected = ground
    flags = ["--dry-run", "--json"]
    result = reddiff("denoise", root / "in", "-r", "-o", root / "planned", *flags, cwd=root)
    assert result.returncode == 1
    assert result.stderr == b""
    plan = [json.loads(line) for line in result.stdout.decode().splitlines()]
    assert len(plan) == len(expected)
    assert {event["action"] for event in plan} == {"restore", "fail"}
    assert not (root / "planned").exists()


def test_hostile_masks(tmp_path, tiny_prior):
    pictures, masks = tmp_path / "in", tmp_path / "masks"
    pictures.mkdir()
    masks.mkdir()
    wanted = {}

    def add(name, make_mask, status):
        Image.fromarray(scene(20, 28)).save(pictures / f"{name}.png")
        make_mask(masks / f"{name}.png")
        wanted[name] = status

    hole = np.zeros((20, 28), dtype=np.uint8)
    hole[4:8, 4:20] = 255
    add("good", Image.fromarray(hole).save, "ok")
    add("one-bit", Image.fromarray(hole).convert("1").save, "ok")
    add("palette", Image.fromarray(hole).convert("P").save, "ok")
    add("colour", Image.fromarray(hole).convert("RGB").save, "ok")
    add("empty", Image.fromarray(hole * 0).save, "skipped")
    add("full", Image.fromarray(hole | 255).save, "failed")
    add("turned", Image.fromarray(hole.T.copy()).save, "failed")
    add("text", lambda path: path.write_text("white"), "failed")
    add("zero", lambda path: path.write_bytes(b""), "failed")
    add("pipe", os.mkfifo, "failed")
    add("folder", Path.mkdir, "failed")
    add("broken", lambda path: path.symlink_to("nowhere"), "failed")
    add("bomb", lambda path: path.write_bytes(hostile.png(60000, 60000, 8, 0, b"0")), "failed")
    marked = scene(20, 28)
    marked[3:6, 3:6] = (255, 0, 255)
    flags = ["--model", tiny_prior, "--steps", "2", "--device", "cpu", "--json"]
    command = ["inpaint", pictures, "-m", masks, "-o", tmp_path / "out", *flags]
    result = reddiff(*command, cwd=tmp_path)
    assert result.returncode == 1, result.stderr.decode()
    assert b"Traceback" not in result.stderr
    events = [json.loads(line) for line in result.stdout.decode().splitlines()[:-1]]
    assert {Path(e["input"]).stem: e["status"] for e in events} == wanted
    # Marked by magenta, or not at all: the latter fails alone among several.
    Image.fromarray(marked).save(pictures / "marked.png")
    inputs = [pictures / f"{name}.png" for name in ("marked", "good")]
    result = reddiff("inpaint", *inputs, "-o", f"{tmp_path / 'magenta'}/", *flags, cwd=tmp_path)
    statuses = [json.loads(line).get("status") for line in result.stdout.decode().splitlines()]
    assert sorted(statuses[:2]) == ["failed", "ok"]
    assert b"no magenta" in result.stderr


@pytest.mark.parametrize("named", ["pipe", "/dev/null", "folder-without-pictures"])
def test_what_is_no_file_is_refused_at_once(tmp_path, tiny_prior, named):
    if named == "pipe":
        os.mkfifo(tmp_path / "pipe")
    if named.startswith("folder"):
        (tmp_path / named).mkdir()
    result = reddiff("denoise", named, "-o", "o.png", "--model", tiny_prior, cwd=tmp_path)
    assert result.returncode in (1, 2)
    assert len(result.stderr.decode().strip().splitlines()) == 1
    assert not (tmp_path / "o.png").exists()


PIPES = {
    "denoise photo.png -o pipe.png": "-o pipe.png: is a device or a pipe",
    "denoise photo.png -o pipe.png --overwrite": "-o pipe.png: is a device or a pipe",
    "denoise photo.png -o out": "out/photo.png: is a device or a pipe; choose another -o",
    "denoise photo.png pipe.denoise.png -o other": "pipe.denoise.png: is no file but a pipe",
    "denoise . -o other": "1 left out that are called like results but hold no record",
    "eval denoise pipe.png -o other": "pipe.png: is no file but a pipe",
    "eval denoise pipe.png -o other --dry-run": "pipe.png: cannot be decoded (it is a pipe)",
    "inpaint photo.png --mask pipe.png": "--mask pipe.png: is a pipe or a device; give a file",
}


@pytest.mark.parametrize("command", PIPES)
def test_nothing_waits_for_a_pipe(tmp_path, tiny_prior, command):
    """Named as a result, an input or a mask: nobody may ever write to it, or read it."""
    Image.fromarray(scene(20, 24)).save(tmp_path / "photo.png")
    (tmp_path / "out").mkdir()
    for name in ("pipe.png", "pipe.denoise.png", "out/photo.png"):
        os.mkfifo(tmp_path / name)
    words = [*command.split(), "--model", str(tiny_prior), "--steps", "2"]
    result = reddiff(*words, cwd=tmp_path)
    told = result.stderr.decode() + result.stdout.decode()
    assert PIPES[command] in told, told
    assert result.returncode in (1, 2)
    assert (tmp_path / "pipe.png").is_fifo()
    assert (tmp_path / "out/photo.png").is_fifo()
