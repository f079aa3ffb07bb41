"""Pictures that were JPEG once, told from their pixels."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.errors import PictureError
from reddiff_cli.formats.jpeg import read_jpeg
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import DenoiseOptions, JpegOptions, SuperresOptions
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, pose
from reddiff_cli.tasks.encoding import Encoding, traces_in
from reddiff_cli.traces.resaved import find_traces

COFFEE = Path(__file__).parent / "pictures" / "coffee.png"
CUT = (slice(5, None), slice(11, None))


@pytest.fixture(scope="module")
def photograph():
    """A part of one, smaller than it was, so that no encoder has seen it as it is; with a frame
    that is clipped.
    """
    with Image.open(COFFEE) as image:
        small = image.convert("RGB").resize((480, 320), Image.Resampling.LANCZOS)
    part = small.crop((120, 40, 376, 296))
    ImageDraw.Draw(part).rectangle((0, 200, 256, 256), (255, 255, 255))
    return part


def decoded(image, quality=75, **options):
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    with Image.open(buffer) as again:
        return np.array(again)


@pytest.mark.parametrize("quality", [30, 75, 92])
@pytest.mark.parametrize("sampling", [0, 1, 2])
def test_coefficients_are_those_of_the_file(tmp_path, photograph, quality, sampling):
    pytest.importorskip("jpeglib")
    path = tmp_path / "a.jpg"
    photograph.save(path, quality=quality, subsampling=sampling)
    traces, stored = find_traces(np.array(Image.open(path))), read_jpeg(path)
    assert traces is not None
    assert traces.quality == quality
    file = traces.file
    assert (file.height, file.width, file.top, file.left, file.orientation) == (256, 256, 0, 0, 1)
    for found, true in zip(file.components, stored.components, strict=True):
        assert found.shrink == true.shrink
        taken = np.broadcast_to(found.table, found.coefficients.shape)
        usual = (taken == true.table).all((2, 3))  # others, at clipped edges, are taken as shown
        assert usual.mean() > 0.98
        assert (found.coefficients != true.coefficients)[usual].mean() < 0.02


def test_a_part_of_a_picture_tells_where_its_blocks_were(photograph):
    whole, part = (find_traces(decoded(photograph)[place]) for place in ((), CUT))
    assert whole is not None
    assert part is not None
    assert (part.file.top, part.file.left) == (5, 11)  # chroma has blocks of 16
    inner = (slice(1, 15), slice(1, 15))
    for found, true in zip(part.file.components, whole.file.components, strict=True):
        wrong = found.coefficients[inner] != true.coefficients[: len(found.coefficients)][inner]
        assert wrong.mean() < 0.03


@pytest.mark.parametrize("turned", [Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE])
@pytest.mark.parametrize("sampling", [1, 2])
def test_pictures_that_were_turned_have_tables_that_lie_on_their_side(
    photograph, turned, sampling
):
    shown = Image.fromarray(decoded(photograph, subsampling=sampling))
    straight, found = (find_traces(np.array(seen)) for seen in (shown, shown.transpose(turned)))
    assert straight is not None
    assert found is not None
    assert found.quality == straight.quality == 75
    for on_side, upright in zip(found.file.components, straight.file.components, strict=True):
        np.testing.assert_array_equal(on_side.table, upright.table.T)
        assert on_side.shrink == upright.shrink[::-1]


def test_flips_leave_tables_as_they_are(photograph):
    straight, found = (find_traces(decoded(photograph)[::step, ::step].copy()) for step in (1, -1))
    assert straight is not None
    assert found is not None
    for flipped, upright in zip(found.file.components, straight.file.components, strict=True):
        np.testing.assert_array_equal(flipped.table, upright.table)


# Steps as no quality of libjpeg has them.
LEVEL = np.full((8, 8), 9)
RISING = 5 + 3 * np.add.outer(np.arange(8), np.arange(8))


@pytest.mark.parametrize(("sampling", "place"), [(0, ()), (2, ()), (0, CUT)])
def test_steps_of_other_encoders_are_told_too(tmp_path, photograph, sampling, place):
    pytest.importorskip("jpeglib")
    path, tables = tmp_path / "a.jpg", (RISING, LEVEL)
    steps = [table.flatten().tolist() for table in tables]
    photograph.save(path, qtables=steps, subsampling=sampling)
    found, stored = find_traces(np.array(Image.open(path))[place].copy()), read_jpeg(path)
    assert found is not None
    assert found.quality is None
    assert found.remark == "was JPEG once"
    for c, (seen, true) in enumerate(zip(found.file.components, stored.components, strict=True)):
        assert seen.shrink == true.shrink
        nonzero = (true.coefficients != 0).sum((0, 1))
        assert np.average(seen.table == tables[c > 0], weights=nonzero) > (0.75 if c else 0.97)
        if place == ():
            assert (seen.coefficients != true.coefficients).mean() < 0.02


def test_grey_pictures_have_one_component(photograph):
    found = find_traces(decoded(photograph.convert("L"))[:, :, None])
    assert found is not None
    assert (found.file.colour, len(found.file.components)) == ("grey", 1)


def altered(photograph):
    """What no encoder has written as it is."""
    once = Image.fromarray(decoded(photograph))
    noise = np.random.default_rng(0).normal(0, 2, (256, 256, 3))
    yield "clean", np.array(photograph)
    yield "smaller", np.array(once.resize((200, 200), Image.Resampling.BICUBIC))
    yield "larger", np.array(once.resize((300, 300), Image.Resampling.BICUBIC))
    yield "brighter", np.array(once.point(lambda value: round(255 * (value / 255) ** 0.8)))
    yield "noisy", (np.array(once) + noise).round().clip(0, 255).astype(np.uint8)
    yield "one colour", np.full((256, 256, 3), 90, np.uint8)
    rows, columns = np.mgrid[:256, :256].astype(np.float64)
    # What is smooth is explained by any quality, and has few different coefficients.
    for name, drawn in (
        ("ramp", 20 + columns / 2),
        ("slope", 30 + (rows + columns) / 3),
        ("waves", 128 + 90 * np.sin(columns / 17) * np.cos(rows / 23)),
    ):
        yield name, (drawn[..., None] * [1.0, 0.9, 0.7]).round().astype(np.uint8)
    yield "tiny", decoded(photograph)[:40, :40]
    yield "noise", np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)


def test_others_show_no_traces(photograph):
    assert {name for name, seen in altered(photograph) if find_traces(seen) is not None} == set()


def test_what_was_drawn_on_a_picture_does_not_hide_them(photograph):
    seen = Image.fromarray(decoded(photograph))
    ImageDraw.Draw(seen).text((20, 20), "written on it later", (255, 0, 0))
    found = find_traces(np.array(seen))
    assert found is not None
    drawn = (found.file.components[0].table == 1).all((2, 3))
    assert drawn[3, 4:8].all()  # and is kept as it is
    assert drawn[6:].mean() < 0.02
    assert found.file.steps.shape == (8, 8)


def posed(path, options, **solver):
    asked = SolverOptions(**solver)
    setting = Setting(find_model("natural"), asked, lambda _: None, MachineOptions(device="cpu"))
    return pose(Job(options.task, path, path), options, setting)


def saved(tmp_path, values, name="a.png"):
    Image.fromarray(values).save(tmp_path / name)
    return tmp_path / name


def test_a_picture_is_taken_for_what_it_was(tmp_path, photograph):
    path = saved(tmp_path, decoded(photograph, 60))
    problem = posed(path, SuperresOptions(2))
    assert problem.decoding is not None
    assert problem.lossy
    assert problem.origin.table.tolist() == problem.decoding.file.components[0].table.tolist()
    assert posed(path, DenoiseOptions()).decoding is not None
    with pytest.raises(PictureError, match="is no JPEG, and shows no traces of one"):
        posed(saved(tmp_path, np.array(photograph), "b.png"), JpegOptions())


def test_the_published_algorithm_and_cut_outs_get_what_is_shown(tmp_path, photograph):
    values = decoded(photograph, 60)
    path = saved(tmp_path, values)
    assert posed(path, SuperresOptions(2), preset="paper").decoding is None
    alpha = np.full((256, 256, 1), 255, np.uint8)
    opaque = posed(saved(tmp_path, np.concatenate([values, alpha], 2)), SuperresOptions(2))
    assert opaque.decoding is not None
    alpha[:20] = 0
    cut_out = posed(saved(tmp_path, np.concatenate([values, alpha], 2)), SuperresOptions(2))
    assert (cut_out.decoding, cut_out.lossy) == (None, False)


def test_files_without_traces_are_not_lossy(tmp_path, photograph):
    path = saved(tmp_path, np.array(photograph))
    setting = Setting(find_model("natural"), SolverOptions(), lambda _: None)
    picture = posed(path, SuperresOptions(2)).source
    assert Encoding.of(path, picture, setting) == Encoding()
    assert traces_in(picture) is None


@pytest.mark.parametrize("place", [(), CUT])
def test_it_comes_back_better(tmp_path, photograph, place):
    """With the bundled prior, and as the file itself does; the whole picture and a part."""
    values = decoded(photograph, 50)[place]
    path, result = saved(tmp_path, values), tmp_path / "out.png"
    solver, machine = SolverOptions(preset="fast"), MachineOptions(device="cpu")
    restorer = Restorer(find_model("natural"), solver, machine, JpegOptions(), OutputOptions())
    found = restorer.restore(Job("jpeg", path, result), lambda *_: None, print)
    assert "was JPEG of quality 50 once" in found.remark
    assert Image.open(result).size == Image.open(path).size
    truth = np.asarray(photograph, dtype=float)[place]
    before, after = (
        np.square(np.asarray(seen, dtype=float) - truth).mean()
        for seen in (values, Image.open(result))
    )
    assert 10 * np.log10(before / after) > 0.8
