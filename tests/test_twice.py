"""JPEG files that were coarser JPEG before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.formats.jpeg import read_jpeg
from reddiff_cli.operators import measure_jpeg
from reddiff_cli.operators.jpeg import BLOCK, basis, dct_of
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import DenoiseOptions, JpegOptions
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, encoding, pose
from reddiff_cli.traces import twice
from reddiff_cli.traces.displaced import errors_between
from reddiff_cli.traces.encoder import _uncrossed
from reddiff_cli.traces.steps import standard_table
from reddiff_cli.traces.twice import find_earlier

pytest.importorskip("jpeglib")
COFFEE = Path(__file__).parent / "pictures" / "coffee.png"


@pytest.fixture(scope="module")
def photograph():
    """A part of one, smaller than it was, so that no encoder has seen it as it is."""
    with Image.open(COFFEE) as image:
        small = image.convert("RGB").resize((480, 320), Image.Resampling.LANCZOS)
    return small.crop((120, 40, 371, 289))


@pytest.fixture
def saved(tmp_path):
    """Saves a picture as JPEG once after another, and says where."""

    def save(image, *ways):
        paths = []
        for way in ways:
            paths.append(tmp_path / f"{len(paths)}.jpg")
            image.save(paths[-1], **way)
            image = Image.open(paths[-1])
        return paths

    return save


def way(quality, sampling=2):
    return {"quality": quality, "subsampling": sampling}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (way(30), way(90)),
        (way(60), way(88)),
        (way(75), way(92, 0)),
        (way(75, 0), way(95, 0)),
        (way(60, 0), way(92, 0)),
        (way(85, 1), way(95, 0)),
    ],
)
def test_coefficients_are_those_of_the_first_file(photograph, saved, first, second):
    once, again = (read_jpeg(path) for path in saved(photograph, first, second))
    found = find_earlier(again)
    assert found is not None
    assert found.quality == first["quality"]
    assert found.remark == f"was JPEG of quality {first['quality']} once"
    np.testing.assert_array_equal(found.file.steps, once.steps)
    for told, true in zip(found.file.components, once.components, strict=True):
        assert told.shrink == true.shrink
        same = alike(told, true)
        assert same[:-1, :-1].mean() > 0.9  # of the last ones a part is cut off
        assert (told.coefficients != true.coefficients)[same].mean() < 0.01


def alike(told, true):
    """(rows, columns): the blocks that are held to the steps of the first file."""
    return (told.table == true.table).all((-1, -2)) & np.ones(told.coefficients.shape[:2], bool)


@pytest.mark.parametrize(("first", "second"), [(60, 92), (75, 90), (75, 95)])
def test_chroma_that_was_reduced_later_stays_that_of_the_second_file(
    photograph, saved, first, second
):
    paths = saved(photograph, way(first, 0), way(second))
    once, again = (read_jpeg(path) for path in paths)
    found = find_earlier(again)
    assert found is not None
    luma, *chroma = found.file.components
    same = alike(luma, once.components[0])
    assert same[:-1, :-1].mean() > 0.9
    assert (luma.coefficients != once.components[0].coefficients)[same].mean() < 0.01
    for told, stored in zip(chroma, again.components[1:], strict=True):
        assert told is stored


@pytest.mark.parametrize("corner", [(8, 8), (13, 0)])
def test_luma_lies_where_chroma_does_that_stays(photograph, saved, corner):
    """Of a part that lacks a block of luma, and half of one of chroma."""
    again = read_jpeg(saved(photograph, way(60, 0), way(92))[-1])
    top, left = corner
    size = {"height": again.height - top, "width": again.width - left}
    part = replace(again, top=top, left=left, **size)
    found = find_earlier(part)
    assert found is not None
    assert found.file.components[1] is part.components[1]
    before, after = (_shown(file) for file in (part, found.file))
    assert np.sqrt(np.square(after - before).mean()) < 4  # of 255


def _shown(file):
    """(3, H, W), of 255."""
    operator, y = measure_jpeg(file.components, file.colour)
    rows, columns = slice(file.top, file.top + file.height), slice(file.left, None)
    return 127.5 * operator.start(y)[0, :, rows, columns][..., : file.width].numpy()


def test_grey_files(photograph, saved):
    found = find_earlier(read_jpeg(saved(photograph.convert("L"), way(60), way(92))[-1]))
    assert found is not None
    assert (found.quality, found.file.colour) == (60, "grey")


def test_steps_of_another_encoder(photograph, saved):
    steps = [(7 + 2 * np.add.outer(np.arange(8), np.arange(8))).flatten().tolist()] * 2
    paths = saved(photograph, {"qtables": steps, "subsampling": 0}, way(95, 0))
    once, found = read_jpeg(paths[0]), find_earlier(read_jpeg(paths[1]))
    assert found is not None
    assert found.quality is None
    for told, true in zip(found.file.components, once.components, strict=True):
        nonzero = (true.coefficients != 0)[:-1, :-1].sum((0, 1))
        steps = np.broadcast_to(told.table, told.coefficients.shape)
        assert np.average(np.median(steps, (0, 1)) == true.table, weights=nonzero) > 0.7


def never_coarser(photograph):
    """Pictures, and how each was saved the last time."""
    once = Image.open(COFFEE.parent / "coffee.png").convert("RGB")
    yield "as it is", photograph, way(90)
    yield "fine", photograph, way(95, 0)
    yield "coarse", photograph, way(60)
    yield "larger than the prior sees", once, way(92)
    rows, columns = np.mgrid[:256, :256]
    ramp = np.repeat((20 + (rows + columns) / 3)[..., None], 3, 2).astype(np.uint8)
    yield "ramp", Image.fromarray(ramp), way(92)
    page = Image.new("RGB", (256, 256), "white")
    for top in range(8, 250, 16):
        ImageDraw.Draw(page).text((8, top), "written on it, line after line", (0, 0, 0))
    yield "page", page, way(92)
    yield "tiny", photograph.crop((0, 0, 40, 40)), way(92)


def test_files_that_were_never_coarser_stay_what_they_are(photograph, saved):
    found = [
        name
        for name, image, how in never_coarser(photograph)
        if find_earlier(read_jpeg(saved(image, how)[0])) is not None
    ]
    assert found == []


def test_what_was_scaled_between_the_files_is_not_told(photograph, saved):
    """It is no longer what the first file held."""
    (first,) = saved(photograph, way(60))
    shown = Image.open(first)
    for size in ((240, 240), (251, 240), (502, 498)):
        assert find_earlier(read_jpeg(saved(shown.resize(size), way(92))[0])) is None


def cut(photograph, saved, first, second, corner):
    """A file, a part of it that was saved again, and what that tells of the file."""
    (path,) = saved(photograph, first)
    once, (top, left) = read_jpeg(path), corner
    part = Image.open(path).crop((left, top, *photograph.size))
    again = read_jpeg(saved(part, second)[0])
    return once, again, find_earlier(again)


@pytest.mark.parametrize(
    ("first", "second", "corner", "chroma"),
    [
        (way(60), way(92), (5, 3), True),
        (way(60), way(92), (8, 13), True),
        (way(60), way(92), (4, 2), True),
        (way(30), way(90), (14, 0), True),
        (way(60), way(92, 0), (5, 3), True),
        (way(75, 0), way(95, 0), (1, 7), True),
        (way(60, 0), way(92), (3, 0), False),
    ],
)
def test_a_part_tells_what_the_blocks_of_the_whole_held(
    photograph, saved, first, second, corner, chroma
):
    """Also of chroma whose samples in the second file cover halves of two of the first."""
    once, again, found = cut(photograph, saved, first, second, corner)
    assert found is not None
    assert abs(found.quality - first["quality"]) <= 1  # tables of neighbours are nearly the same
    pairs = list(zip(found.file.components, once.components, strict=True))
    for told, true in pairs if chroma else pairs[:1]:
        assert told.shrink == true.shrink
        rows, columns = (
            (at + begins - before) // (BLOCK * shrink)
            for at, begins, before, shrink in zip(
                corner, told.begins, (found.file.top, found.file.left), told.shrink, strict=True
            )
        )
        true = true.coefficients[rows:, columns:]
        # Of those at the border a part is cut off.
        inner = (told.coefficients != true)[1:-1, 1:-1]
        assert inner.mean() < 0.02
    if not chroma:
        kept = found.file.components[1].coefficients
        np.testing.assert_array_equal(kept, again.components[1].coefficients)


@pytest.mark.parametrize("first", [0, 2], ids=["luma", "all"])
@pytest.mark.parametrize("corner", [(5, 3), (3, 0), (0, 6)])
def test_a_part_shows_what_the_whole_showed(photograph, saved, corner, first):
    """Luma and chroma, whose blocks may begin at different places, lie where they belong."""
    once, again, found = cut(photograph, saved, way(60, first), way(92), corner)
    assert found is not None
    there = _shown(once)[:, corner[0] :, corner[1] :]
    told, second = (np.square(_shown(file) - there).mean() for file in (found.file, again))
    assert told < (0.5 if first else 0.95) * second  # chroma of the second is most of it


@pytest.mark.parametrize("axis", [2, 3])
def test_means_of_neighbours_tell_what_they_are_of(axis):
    """All but the finest waves, of which next to nothing is left in them."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 1, 12, 10, generator=generator)
    samples = F.interpolate(coarse, (48, 40), mode="bicubic")
    padded = F.pad(samples, (1, 1, 1, 1), mode="replicate")
    middle = padded.narrow(5 - axis, 1, samples.shape[5 - axis])
    before, beside, after = (
        middle.narrow(axis, begin, samples.shape[axis]) for begin in (0, 1, 2)
    )
    means = before / 4 + beside / 2 + after / 4
    assert (means - samples).abs().max() > 0.1
    torch.testing.assert_close(_uncrossed(means, axis), samples, atol=0.03, rtol=0)


def test_a_grey_part(photograph, saved):
    once, _, found = cut(photograph.convert("L"), saved, way(60), way(92), (2, 5))
    assert found is not None
    assert found.quality == 60
    np.testing.assert_array_equal(found.file.steps, once.steps)


def test_a_part_comes_back_better_by_the_first_file(photograph, saved, tmp_path, monkeypatch):
    (once,) = saved(photograph.crop((60, 60, 200, 200)), way(40))
    part = Image.open(once).crop((3, 5, 140, 140))
    (again,) = saved(part, way(92))
    solver, machine = SolverOptions(preset="fast"), MachineOptions(device="cpu")
    restorer = Restorer(find_model("natural"), solver, machine, JpegOptions(), OutputOptions())
    truth = np.asarray(photograph.crop((63, 65, 200, 200)), dtype=float)
    errors = []
    for told in (True, False):
        if not told:
            monkeypatch.setattr(encoding, "find_earlier", lambda _: None)
        job = Job("jpeg", again, tmp_path / f"{told}.png")
        remark = restorer.restore(job, lambda *_: None, print).remark
        assert ("was JPEG of quality 40 once" in remark) is told
        errors.append(np.square(np.asarray(Image.open(job.output), dtype=float) - truth).mean())
    assert errors[0] < 0.9 * errors[1]


@pytest.mark.parametrize("apart", [(0, 0), (3, 0), (5, 2)])
def test_errors_of_other_blocks_are_told(apart):
    """Rounding of normal coefficients, in blocks that lie so far from the first ones."""
    generator = torch.Generator().manual_seed(0)
    steps = standard_table(90)
    waves = basis(steps)
    errors = steps * (torch.rand(120, 120, BLOCK, BLOCK, generator=generator) - 0.5)
    plane = (waves.T @ errors @ waves).transpose(1, 2).reshape(960, 960)
    top, left = apart
    moved = dct_of(plane[top : top + 952, left : left + 952])
    expected = errors_between(steps, apart) / 12**0.5
    torch.testing.assert_close(moved.flatten(0, 1).std(0), expected, rtol=0.04, atol=0)


@pytest.mark.parametrize("sampling", [0, 2])
def test_what_was_drawn_between_the_files_is_as_the_second_has_it(photograph, saved, sampling):
    """Held to the first steps, letters would get the rings of a coarse JPEG."""
    once = Image.open(saved(photograph, way(50))[0])
    ImageDraw.Draw(once).text((100, 100), "written later", (255, 255, 255))
    again = read_jpeg(saved(once, way(92, sampling))[0])
    found = find_earlier(again)
    assert found is not None
    odd = alike(found.file.components[0], again.components[0])
    assert odd[13, 13:19].all()
    assert odd[:11].mean() < 0.02


def test_the_middle_tells_all_of_a_large_picture(photograph, saved, monkeypatch):
    again = read_jpeg(saved(photograph, way(60), way(92, 0))[-1])
    whole = find_earlier(again)
    monkeypatch.setattr(twice, "SEARCHED", 20)
    monkeypatch.setattr(twice, "COMPARED", 12)
    middle = find_earlier(again)
    assert whole is not None
    assert middle is not None
    for one, other in zip(whole.file.components, middle.file.components, strict=True):
        np.testing.assert_array_equal(one.coefficients, other.coefficients)
        np.testing.assert_array_equal(one.table, other.table)


def test_blocks_that_begin_outside_of_the_picture(photograph, saved):
    """As those of a part whose coefficients were told by its pixels."""
    again = read_jpeg(saved(photograph, way(60), way(92, 0))[-1])
    whole = find_earlier(again)
    part = find_earlier(replace(again, top=5, left=3, height=again.height - 5, width=248))
    assert whole is not None
    assert part is not None
    assert (part.file.top, part.file.left) == (5, 3)
    for told, true in zip(part.file.components, whole.file.components, strict=True):
        inner = told.coefficients[1:] != true.coefficients[1:]
        assert inner[:, 1:].mean() < 0.02


def posed(path, options, **solver):
    setting = Setting(find_model("natural"), SolverOptions(**solver), lambda _: None)
    return pose(Job(options.task, path, path), options, setting)


@pytest.mark.parametrize("options", [JpegOptions(), DenoiseOptions()])
def test_tasks_take_the_first_file(photograph, saved, options):
    paths = saved(photograph, way(50), way(92))
    problem = posed(paths[-1], options)
    decoding = problem if options.task == "jpeg" else problem.decoding
    np.testing.assert_array_equal(decoding.file.steps, read_jpeg(paths[0]).steps)


def test_it_comes_back_as_from_the_first_file(photograph, saved, tmp_path):
    """Turned by EXIF, as cameras hold it, with the bundled prior."""
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = saved(photograph, way(50), way(92) | {"exif": exif})
    solver, machine = SolverOptions(preset="fast"), MachineOptions(device="cpu")
    restorer = Restorer(find_model("natural"), solver, machine, JpegOptions(), OutputOptions())
    results = []
    for path in paths:
        found = restorer.restore(Job("jpeg", path, tmp_path / "o.png"), lambda *_: None, print)
        results.append(np.asarray(Image.open(tmp_path / "o.png"), dtype=float))
    assert "was JPEG of quality 50 once" in found.remark
    results[1] = np.rot90(results[1])
    truth = np.asarray(photograph, dtype=float)
    first, second = (np.square(result - truth).mean() for result in results)
    shown = np.square(np.asarray(Image.open(paths[1]), dtype=float) - truth).mean()
    assert second < 1.1 * first < 0.8 * shown


def test_rgb_files_are_left_alone(photograph, saved):
    file = read_jpeg(saved(photograph, way(50), way(92))[-1])
    assert find_earlier(replace(file, colour="rgb")) is None
