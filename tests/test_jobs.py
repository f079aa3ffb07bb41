"""Names, trees, collisions, and what is skipped or refused before any work."""

import os
import re
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from conftest import scene
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.options.common import OutputOptions
from reddiff_cli.pictures.files import Picture, save_picture
from reddiff_cli.planning.jobs import file_digest, list_pictures, plan_jobs
from reddiff_cli.planning.outputs import SHEETS, check_place, named_once
from reddiff_cli.planning.shards import Shard


def make(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(8, 8)).save(path)


def plan(inputs, mask=None, record=None, **options):
    return plan_jobs("inpaint", inputs, mask, OutputOptions(**options), lambda *_: record or {})


def test_beside_the_input(tmp_path):
    make(tmp_path / "a.jpg")
    (job,) = plan([tmp_path / "a.jpg"])
    assert job.output == tmp_path / "a.inpaint.png"
    assert job.action == "restore"


def test_collisions_keep_their_suffix_in_any_order(tmp_path):
    make(tmp_path / "a.jpg", tmp_path / "a.png", tmp_path / "b.png")
    for inputs in ([tmp_path], [tmp_path / "b.png", tmp_path / "a.png", tmp_path / "a.jpg"]):
        names = {job.input.name: job.output.name for job in plan(inputs, path=tmp_path / "out")}
        assert names == {"a.jpg": "a.jpg.png", "a.png": "a.png.png", "b.png": "b.png"}


def test_a_result_keeps_its_name_when_a_twin_comes_later(tmp_path):
    """Else it would be made once more, and the old one left behind."""
    folder, out = tmp_path / "in", tmp_path / "out"
    make(folder / "a.png", folder / "b.png")

    def record(job):
        return {"task": "inpaint", "input_sha256": file_digest(job.input)}

    def planned(**more):
        options = OutputOptions(path=out)
        jobs = plan_jobs("inpaint", [folder], None, options, record, **more)
        return {job.input.name: (job.output.name, job.action) for job in jobs}

    def finish(output, of, **about):
        made = {"task": "inpaint", "input_sha256": file_digest(of)} | about
        save_picture(Picture(scene(8, 8) / np.float32(255)), out / output, made)

    out.mkdir()
    finish("a.png", folder / "a.png")
    make(folder / "a.jpg", folder / "b.jpg")
    expected = {
        "a.png": ("a.png", "skip"),
        "a.jpg": ("a.jpg.png", "restore"),
        "b.png": ("b.png.png", "restore"),
        "b.jpg": ("b.jpg.png", "restore"),
    }
    assert planned() == expected
    assert planned(shard=Shard(0, 2)) | planned(shard=Shard(1, 2)) == expected
    # Of another task, or of the picture before it was changed, it is no result of this one.
    for about in ({"task": "denoise"}, {"input_sha256": "0" * 64}):
        finish("a.png", folder / "a.png", **about)
        assert planned()["a.png"] == ("a.png.png", "restore")
    # Nor is it of one twin alone where both are the same file.
    make(folder / "c.png")
    (folder / "c.bmp").write_bytes((folder / "c.png").read_bytes())
    finish("c.png", folder / "c.png")
    assert [planned()[name][0] for name in ("c.png", "c.bmp")] == ["c.png.png", "c.bmp.png"]


def test_tree_is_kept_and_results_are_not_eaten(tmp_path):
    root = tmp_path / "in"
    make(root / "x" / "a.png", root / "y" / "a.png", root / "a.inpaint.png")
    (root / "notes.txt").write_text("no picture")
    jobs = plan([root], path=tmp_path / "out", recursive=True)
    assert [job.output for job in jobs] == [
        tmp_path / "out" / "x" / "a.png",
        tmp_path / "out" / "y" / "a.png",
    ]
    with pytest.raises(UsageError, match="no picture"):
        plan([root], path=tmp_path / "out")


def test_output_file_or_folder(tmp_path):
    make(tmp_path / "a.png", tmp_path / "b.png")
    assert plan([tmp_path / "a.png"], path=tmp_path / "o.jpg")[0].output == tmp_path / "o.jpg"
    (tmp_path / "dir").mkdir()
    single = plan([tmp_path / "a.png"], path=tmp_path / "dir")
    assert single[0].output == tmp_path / "dir" / "a.png"
    make(tmp_path / "o.png")
    with pytest.raises(UsageError, match="several inputs"):
        plan([tmp_path / "a.png", tmp_path / "b.png"], path=tmp_path / "o.png")
    with pytest.raises(UsageError, match="cannot write"):
        plan([tmp_path / "a.png"], path=tmp_path / "o.gif")


def test_a_picture_that_is_named_twice_is_one_input(tmp_path):
    """In any spelling; links are pictures of their own."""
    make(tmp_path / "a.png", tmp_path / "b.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    twice, notes = [tmp_path / "a.png", tmp_path / "sub" / ".." / "a.png"], []
    options = OutputOptions(path=tmp_path / "o.jpg")
    about = None, options, lambda _: {}, notes.append
    (job,) = plan_jobs("inpaint", twice, *about)
    assert job.output == tmp_path / "o.jpg"
    assert notes == ["1 picture named more than once, to be restored once"]
    for other in ("b.png", "link.png"):
        with pytest.raises(UsageError, match="several inputs"):
            plan_jobs("inpaint", [*twice, tmp_path / other], *about)
    mixed = [tmp_path / "b.png", *twice, tmp_path / "b.png"]
    assert named_once(mixed) == [tmp_path / "b.png", tmp_path / "a.png"]
    assert [job.input.name for job in plan(mixed)] == ["b.png", "a.png"]


def test_an_input_is_never_overwritten(tmp_path):
    make(tmp_path / "a.png")
    with pytest.raises(UsageError, match="is an input"):
        plan([tmp_path / "a.png"], path=tmp_path / "a.png", overwrite=True)
    with pytest.raises(UsageError, match="is an input"):
        plan([tmp_path / "a.png"], path=tmp_path, overwrite=True)


def test_nor_through_a_link(tmp_path):
    """A mask or a kernel neither."""
    make(tmp_path / "a.png", tmp_path / "m.png")
    (tmp_path / "link").symlink_to(tmp_path)
    for given, out in ((tmp_path, tmp_path / "link"), (tmp_path / "link", tmp_path)):
        with pytest.raises(UsageError, match="is an input"):
            plan([given / "a.png"], path=out / "a.png", overwrite=True)
        options = OutputOptions(path=out / "m.png", overwrite=True)
        with pytest.raises(UsageError, match="is read as well"):
            reads = [given / "m.png"]
            plan_jobs("deblur", [tmp_path / "a.png"], None, options, lambda _: {}, reads=reads)
        with pytest.raises(UsageError, match="is read as well"):
            plan([tmp_path / "a.png"], given / "m.png", path=out / "m.png", overwrite=True)


def test_the_results_of_the_last_run_among_named_files_are_left_out(tmp_path):
    """What `denoise *.png` becomes when it is said again."""
    make(tmp_path / "a.png", tmp_path / "b.denoise.png", tmp_path / "a.denoise.compare.png")
    save_picture(Picture(scene(8, 8) / np.float32(255)), tmp_path / "a.denoise.png", {"seed": 1})
    notes = []

    def named(task, *names, **options):
        jobs = plan_jobs(
            task,
            [tmp_path / name for name in names],
            None,
            OutputOptions(**options),
            lambda *_: {"seed": 1},
            notes.append,
        )
        return {job.input.name: job.action for job in jobs}

    everything = sorted(path.name for path in tmp_path.iterdir())
    # Who made b.denoise.png nobody knows.
    assert named("denoise", *everything) == {"a.png": "skip", "b.denoise.png": "restore"}
    assert named("denoise", *everything, compare=True)["a.png"] == "skip"
    (note, _) = notes
    assert note.startswith("warning: 2 left out")
    # Of other tasks, and by themselves, they are pictures as others are.
    assert set(named("superres", *everything)) == set(everything)
    assert named("denoise", "a.denoise.png") == {"a.denoise.png": "restore"}
    assert len(notes) == 2


def test_sheets_of_every_kind_are_left_out_among_named_files(tmp_path):
    """`denoise photos/* --trace` can be said again."""
    ends = ("compare.png", "std.png", "std.npy", "tonemap.png", "trace.gif", "hdr.json")
    make(tmp_path / "a.png")
    for end in ends:
        (tmp_path / f"a.denoise.{end}").touch()
    save_picture(Picture(scene(8, 8) / np.float32(255)), tmp_path / "a.denoise.png", {"seed": 1})
    asked = {"compare": True, "trace": True}
    named = sorted(tmp_path.iterdir())
    jobs = plan_jobs("denoise", named, None, OutputOptions(**asked), lambda *_: {"seed": 1})
    assert [job.input.name for job in jobs] == ["a.png"]


def test_results_among_named_files_are_not_looked_for_one_by_one(tmp_path, monkeypatch):
    """A comparison for each pair of a picture and a result takes minutes where there are many."""
    inputs = [tmp_path / f"{k}{end}.png" for k in range(30) for end in ("", ".inpaint")]
    for path in inputs:
        save_picture(Picture(scene(8, 8) / np.float32(255)), path, {"seed": 1})
    compared, usual = [], Path.__eq__

    def equal(one, other):
        compared.append(one)
        return usual(one, other)

    monkeypatch.setattr(Path, "__eq__", equal)
    monkeypatch.setattr(Path, "__hash__", PurePath.__hash__)
    assert [job.input for job in plan(inputs, record={"seed": 1})] == inputs[::2]
    assert len(compared) < 10 * len(inputs)


def test_names_in_braces_are_refused(tmp_path):
    make(tmp_path / "a.png")
    with pytest.raises(UsageError, match="braces"):
        plan([tmp_path / "a.png"], path=tmp_path / "x_{stem}.png")
    (tmp_path / "{here}").mkdir()
    (job,) = plan([tmp_path / "a.png"], path=tmp_path / "{here}")
    assert job.output == tmp_path / "{here}" / "a.png"


def test_missing_input(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        plan([tmp_path / "none.png"])


def test_done_already_or_other_settings(tmp_path):
    make(tmp_path / "a.png")
    picture = Picture(scene(8, 8).astype(np.float32) / 255)
    save_picture(picture, tmp_path / "a.inpaint.png", {"seed": 1})
    assert plan([tmp_path / "a.png"], record={"seed": 1})[0].action == "skip"
    (other,) = plan([tmp_path / "a.png"], record={"seed": 2})
    assert (other.action, other.kind) == ("fail", "Exists")
    assert plan([tmp_path / "a.png"], record={"seed": 2}, overwrite=True)[0].action == "restore"


def test_of_other_shards_only_the_names_are_looked_at(tmp_path):
    """a.jpg and a.png are told apart although they belong to different shards."""
    make(*(tmp_path / name for name in ("a.jpg", "a.png", "b.png", "c.png")))
    for name in ("a.jpg.png", "a.png.png", "b.png", "c.png"):
        save_picture(Picture(scene(8, 8) / np.float32(255)), tmp_path / "out" / name, {"seed": 1})
    looked = []

    def record(job):
        looked.append(job.input.name)
        return {"seed": 1}

    planned = []
    for index in range(2):
        options = OutputOptions(path=tmp_path / "out")
        jobs = plan_jobs("denoise", [tmp_path], None, options, record, shard=Shard(index, 2))
        assert [job.action for job in jobs] == ["skip"] * 2
        planned.append([job.output.name for job in jobs])
    assert planned == [["a.jpg.png", "b.png"], ["a.png.png", "c.png"]]
    assert looked == ["a.jpg", "b.png", "a.png", "c.png"]


def test_missing_mask_in_a_folder_fails_that_picture_only(tmp_path):
    make(tmp_path / "in" / "a.png", tmp_path / "in" / "b.png", tmp_path / "masks" / "b.png")
    actions = [job.action for job in plan([tmp_path / "in"], tmp_path / "masks")]
    assert actions == ["fail", "restore"]


def test_the_folder_that_is_read_takes_no_results(tmp_path):
    """The second run would restore the results of the first."""
    make(tmp_path / "in" / "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for output in (tmp_path / "in", tmp_path / "in" / ".", tmp_path / "link"):
        with pytest.raises(UsageError, match="is the folder that is read"):
            plan([tmp_path / "in"], path=output)
    assert plan([tmp_path / "in" / "a.jpg"], path=tmp_path / "in")  # by name: no folder is read


def test_masks_below_the_pictures_are_no_pictures(tmp_path):
    make(tmp_path / "a.png", tmp_path / "masks" / "a.png")
    (job,) = plan([tmp_path], mask=tmp_path / "masks", recursive=True)
    assert (job.input, job.mask) == (tmp_path / "a.png", tmp_path / "masks" / "a.png")


def test_what_macos_keeps_beside_a_picture_is_none(tmp_path):
    make(tmp_path / "a.png")
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7")
    assert [job.input.name for job in plan([tmp_path])] == ["a.png"]


def test_a_folder_that_cannot_be_read_fails_and_the_rest_is_restored(tmp_path, monkeypatch):
    make(tmp_path / "a.png", tmp_path / "sub" / "b.png")
    usual = os.scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path)

    monkeypatch.setattr(os, "scandir", refuse)
    done, lost = plan([tmp_path, tmp_path], recursive=True, path=tmp_path / "out.jpg", folder=True)
    assert (done.input, done.action) == (tmp_path / "a.png", "restore")
    assert (lost.input, lost.action, lost.kind) == (tmp_path / "sub", "fail", "Unreadable")
    assert lost.reason.startswith(f"{tmp_path / 'sub'}: folder cannot be read (Permission denied)")
    assert [job.action for job in plan([tmp_path / "sub"])] == ["fail"]
    assert [job.action for job in plan([tmp_path])] == ["restore"]  # it is not asked for
    with pytest.raises(PictureError, match="sub: folder cannot be read"):
        list_pictures([tmp_path], recursive=True)


def test_a_picture_that_is_spelt_in_two_ways_is_one(tmp_path):
    make(tmp_path / "a" / "x.png")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    spelt = [tmp_path / "a" / "x.png", tmp_path / "a" / ".." / "a" / "x.png"]
    for inputs in (spelt, [*spelt, tmp_path / "link" / "x.png"]):
        (job,) = plan(inputs, path=tmp_path / "out")
        assert job.output == tmp_path / "out" / "x.png"
    # Another name may be that of a link, and gets a result of its own.
    (tmp_path / "a" / "y.png").symlink_to(tmp_path / "a" / "x.png")
    assert len(plan([tmp_path / "a"], path=tmp_path / "out")) == 2


def test_what_lies_beside_results_is_no_picture(tmp_path):
    make(tmp_path / "a.png", *(tmp_path / f"a.hdr.{sheet}.png" for sheet in SHEETS))
    assert set(SHEETS) == {"compare", "std", "tonemap", "trace"}
    assert [job.input.name for job in plan([tmp_path])] == ["a.png"]


@pytest.mark.parametrize("suffix", [".exr", ".hdr", ".HDR"])
def test_linear_light_stays_what_it_is(tmp_path, suffix):
    """A png could not hold it."""
    (tmp_path / f"a{suffix}").touch()
    (job,) = plan([tmp_path / f"a{suffix}"])
    assert job.output.name == f"a.inpaint{suffix.lower()}"


def test_pictures_that_are_called_like_results_are_told(tmp_path):
    """Those with a record of reddiff are results, and nobody needs to hear of them."""
    make(tmp_path / "a.png", tmp_path / "sunset.hdr.png", tmp_path / "b.denoise.compare.png")
    picture = Picture(scene(8, 8) / np.float32(255))
    save_picture(picture, tmp_path / "a.denoise.png", {"task": "denoise"})
    notes = []
    jobs = plan_jobs("denoise", [tmp_path], None, OutputOptions(), lambda _: {}, notes.append)
    assert [job.input.name for job in jobs] == ["a.png"]
    (warning,) = [note for note in notes if note.startswith("warning")]
    assert "1 left out" in warning
    assert "(sunset.hdr.png)" in warning


@pytest.mark.parametrize("several", [False, True])
def test_a_suffix_alone_is_no_hidden_folder(tmp_path, several):
    """Somebody forgot a name, or meant --format."""
    make(tmp_path / "a.png", tmp_path / "b.png")
    inputs = [tmp_path / "a.png", tmp_path / "b.png"][: 1 + several]

    def outputs(path, **options):
        chosen = OutputOptions(path=path, **options)
        return [job.output for job in plan_jobs("denoise", inputs, None, chosen, lambda _: {})]

    for name in (".png", ".JPG", ".bmp", ".exr"):
        suffix = ".png" if name == ".bmp" else name
        told = f"-o {tmp_path / name}: is a suffix without a name; give NAME{suffix}, or "
        with pytest.raises(UsageError, match=re.escape(told)):
            outputs(tmp_path / name)
        assert outputs(tmp_path / name, folder=True)[0] == tmp_path / name / "a.png"
    assert outputs(tmp_path / ".hidden")[0] == tmp_path / ".hidden" / "a.png"
    (tmp_path / ".png").mkdir()
    assert outputs(tmp_path / ".png")[0] == tmp_path / ".png" / "a.png"


def test_an_output_below_a_file_is_told_what_to_do(tmp_path):
    make(tmp_path / "a.png")
    with pytest.raises(PictureError, match=r"\(Not a directory\); choose another -o$"):
        check_place(tmp_path / "a.png" / "b.png")


def test_several_inputs_do_not_go_into_a_folder_called_like_a_picture(tmp_path):
    make(tmp_path / "a.png", tmp_path / "b.png")
    inputs = [tmp_path / "a.png", tmp_path / "b.png"]
    with pytest.raises(UsageError, match="is one file, and there are several inputs"):
        plan(inputs, path=tmp_path / "both.png")
    options, told = OutputOptions(path=tmp_path / "both.exr"), "or --exposures if they are of one"
    with pytest.raises(UsageError, match=told):
        plan_jobs("hdr", inputs, None, options, lambda _: {})
    assert plan(inputs, path=tmp_path / "both.png", folder=True)  # a slash was given
    assert plan(inputs, path=tmp_path / "v1.0")
