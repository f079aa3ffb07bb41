"""Results that are cut off are made once more, and whole ones are told at once."""

import json

import numpy as np
import pytest
from PIL import Image

from conftest import reddiff, scene
from reddiff_cli.formats import endings
from reddiff_cli.formats.endings import is_whole
from reddiff_cli.options.common import OutputOptions
from reddiff_cli.pictures.files import Picture, save_picture
from reddiff_cli.planning.jobs import plan_jobs

KINDS = [
    *[("png", 8), ("png", 16), ("jpg", 8), ("webp", 8), ("tif", 8), ("tif", 16), ("tif", 32)],
    *[("exr", 32), ("hdr", 32)],
]


def write(path, depth, record=None, size=(60, 90)):
    save_picture(Picture(scene(*size) / np.float32(255), depth=depth), path, record)
    return path.read_bytes()


@pytest.mark.parametrize("record", [None, {"seed": 1}])
@pytest.mark.parametrize(("suffix", "depth"), KINDS)
def test_what_is_cut_off_is_not_whole(tmp_path, suffix, depth, record):
    path = tmp_path / f"a.{suffix}"
    content = write(path, depth, record)
    assert is_whole(path)
    for left in (len(content) - 1, len(content) - 40, len(content) // 2, 20, 0):
        path.write_bytes(content[:left])
        assert not is_whole(path), left


def test_what_others_append_or_leave_out_is_no_damage(tmp_path):
    content = write(tmp_path / "a.png", 8)
    (tmp_path / "a.png").write_bytes(content + b"what a program says of itself")
    assert is_whole(tmp_path / "a.png")
    for kind in ("tif", "jpg", "webp", "png"):
        Image.fromarray(scene()).save(tmp_path / f"other.{kind}")
        assert is_whole(tmp_path / f"other.{kind}")


def test_no_pixels_are_decoded_to_look_through_a_folder(tmp_path, monkeypatch):
    """The end of a PNG is one read, however large it is."""

    def never(*_):
        raise AssertionError("chunks were followed")

    monkeypatch.setattr(endings, "reaches_end", never)
    for depth in (8, 16):
        write(tmp_path / "a.png", depth, {"seed": 1})
        assert is_whole(tmp_path / "a.png")


@pytest.mark.parametrize(("suffix", "depth"), [k for k in KINDS if k[0] != "webp"])
def test_a_result_that_is_cut_off_is_made_once_more(tmp_path, suffix, depth):
    Image.fromarray(scene()).save(tmp_path / "in.png")
    output, record = tmp_path / f"out.{suffix}", {"seed": 1}
    content = write(output, depth, record)
    flags = [tmp_path / "in.png"], None, OutputOptions(path=output), lambda _: record
    (job,) = plan_jobs("denoise", *flags)
    assert (job.action, job.reason) == ("skip", "done already")
    output.write_bytes(content[:-9])
    (job,) = plan_jobs("denoise", *flags)
    assert job.action == "restore"
    assert job.reason == f"{output}: is cut off, and made once more"


def test_scripts_are_told_of_results_that_are_made_once_more(tmp_path, tiny_prior):
    Image.fromarray(scene(32, 32)).save(tmp_path / "in.png")
    output = tmp_path / "out.png"
    quick = ["--model", str(tiny_prior), "--steps", "2", "--device", "cpu", "--json"]
    command = ["denoise", str(tmp_path / "in.png"), "-o", str(output), *quick]
    reddiff(*command)
    output.write_bytes(output.read_bytes()[:-9])
    told = json.loads(reddiff(*command)[0].splitlines()[0])
    assert f"warning: {output}: is cut off, and made once more" in told["notes"]
