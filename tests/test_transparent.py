"""What full transparency hides, and the transparency of what is enlarged."""

import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from conftest import scene
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.foretell import pixels_seen
from reddiff_cli.holes.smooth import fill_smoothly
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import (
    ColorizeOptions,
    DeblurOptions,
    DenoiseOptions,
    HdrOptions,
    SuperresOptions,
    parse_filter,
)
from reddiff_cli.pictures.files import Picture, load_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, pose, transparent
from reddiff_cli.tasks.listening import ListeningPicture
from reddiff_cli.tasks.superres import enlarged
from reddiff_cli.tasks.transparent import unseen_of


def disc(side, diameter=0.6):
    """The opacity of a disc in the middle, of 255, with a soft edge."""
    shape = Image.new("L", (8 * side, 8 * side), 0)
    low, high = ((0.5 + way * diameter / 2) * 8 * side for way in (-1, 1))
    ImageDraw.Draw(shape).ellipse((low, low, high, high), fill=255)
    return np.asarray(shape.resize((side, side), Image.Resampling.BOX))


def cut_out(side=64, hidden=(0, 0, 0), brightness=120):
    """A bright scene behind a disc, and one colour where nothing is seen of it."""
    values = np.dstack([scene(side, side) // 2 + np.uint8(brightness), disc(side)])
    values[values[..., 3] == 0, :3] = hidden
    return values


def as_picture(values):
    return Picture((values[..., :3] / np.float32(255)), values[..., 3] / np.float32(255))


def save(path, values):
    Image.fromarray(values).save(path)
    return path


def posed(path, options, **solver):
    setting = Setting(Card("none", Path()), SolverOptions(**solver), lambda _: None)
    return pose(Job(options.task, path, path), options, setting)


def finished(problem):
    """The problem's own starts, taken as results; and its stages."""
    stages = []
    for stage in problem.stages():
        if not stage.probe:
            problem.accept(stage, stage.start)
        stages.append(stage)
    return problem.finish(), stages


@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255), (7, 90, 30)])
def test_one_colour_behind_full_transparency_is_no_part_of_a_picture(hidden):
    values = cut_out(hidden=hidden)
    unseen = unseen_of(as_picture(values))
    assert (unseen.where == (values[..., 3] == 0)).all()
    np.testing.assert_allclose(unseen.colour * 255, hidden, atol=1e-4)


def test_what_was_erased_or_means_something_else_stays():
    """Erasers keep the picture behind; textures of games have gloss in place of transparency."""
    values = cut_out()
    kept = np.dstack([scene(64, 64), values[..., 3]])
    assert unseen_of(as_picture(kept)) is None
    nowhere = kept.copy()
    nowhere[..., 3] = 0
    assert unseen_of(as_picture(nowhere)) is None
    assert unseen_of(replace(as_picture(values), alpha=None)) is None
    opaque = values.copy()
    opaque[..., 3] = np.maximum(1, opaque[..., 3])
    assert unseen_of(as_picture(opaque)) is None


def test_a_colour_counts_that_most_of_what_is_hidden_has():
    """A part that was erased in a cut-out: only what a program has filled is no picture."""
    values = cut_out()
    values[30:36, 30:36, 3] = 0
    unseen = unseen_of(as_picture(values))
    assert not unseen.where[30:36, 30:36].any()
    assert unseen.where[0, 0]


def test_telling_what_is_hidden_takes_no_sorting_of_colours():
    """Which 12 megapixels behind an eraser take half a minute for."""
    values = np.random.default_rng(0).random((700, 700, 3), dtype=np.float32)
    picture = Picture(values, np.pad(np.ones((10, 10), np.float32), 345))

    def seconds(work):
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    telling = min(seconds(lambda: unseen_of(picture)) for _ in range(3))
    assert telling < seconds(lambda: np.unique(values.reshape(-1, 3), axis=0)) / 2


def test_what_is_seen_goes_on_behind_the_transparency():
    values = cut_out()
    values[..., :3] = np.where(values[..., 3:] == 0, 0, [200, 150, 90])
    # Next to nothing is seen here, and its colour is hardly known.
    values[values[..., 3] < 4, :3] = 0
    picture = as_picture(values)
    unseen = unseen_of(picture)
    y = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None] * 2 - 1
    filled = (unseen.filled(y)[0].permute(1, 2, 0).numpy() + 1) / 2 * 255
    seen = values[..., 3] >= 16
    np.testing.assert_allclose(filled[seen], values[..., :3][seen], atol=1e-3)
    assert np.abs(filled[~seen] - [200, 150, 90]).max() < 12
    assert (unseen.blackened(y)[:, :, unseen.where] == -1).all()
    assert (unseen.blackened(y)[:, :, ~unseen.where] == y[:, :, ~unseen.where]).all()


def test_colours_that_are_hardly_seen_are_known_but_in_eight_bits():
    """Flames in files of light have next to no transparency, and all their colours."""
    values = cut_out()
    values[..., 3] = np.minimum(values[..., 3], 3)
    y = torch.from_numpy(as_picture(values).pixels).permute(2, 0, 1)[None] * 2 - 1
    seen = torch.from_numpy(values[..., 3] > 0)
    for depth in (16, 32, 8):
        filled = unseen_of(replace(as_picture(values), depth=depth)).filled(y)
        assert bool((filled[..., seen] == y[..., seen]).all()) == (depth > 8)
        assert float(filled[..., ~seen].min()) > float(y[..., seen].min()) - 1e-5


def test_pictures_are_filled_once(tmp_path, monkeypatch):
    """12 megapixels take seconds."""
    path, calls = save(tmp_path / "a.png", cut_out()), []

    def fill(y, known):
        calls.append(y.shape)
        return fill_smoothly(y, known)

    monkeypatch.setattr(transparent, "fill_smoothly", fill)
    for options in OPTIONS:
        posed(path, options)
        assert len(calls) == 1
        calls.clear()


OPTIONS = [
    DenoiseOptions(),
    DeblurOptions(parse_kernel("gaussian:1")),
    DeblurOptions(parse_kernel("motion:5,30")),
    ColorizeOptions(),
    SuperresOptions(2),
    parse_degrade("down 2 box | noise 0.01"),
    parse_degrade("blur disk:1 | noise 0.01"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: o.task)
def test_no_task_sees_the_edge_of_what_is_hidden(tmp_path, options):
    """Nor does its result have another colour there."""
    values = cut_out(hidden=(0, 0, 0))
    problem = posed(save(tmp_path / "a.png", values), options)
    result, stages = finished(problem)
    seen = values[..., 3] > 0
    least = (values[seen][:, :3].min() - 2) / 127.5 - 1  # white, grey or light: never black
    assert float(stages[-1].y.min()) > least - 0.1
    factor = result.height // 64
    hidden = (values[..., 3] == 0).repeat(factor, 0).repeat(factor, 1) & (result.alpha == 0)
    assert (result.pixels[hidden] == 0).all()
    assert hidden.mean() > 0.6
    assert result.pixels[32 * factor, 32 * factor].min() > 0.4


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: o.task)
def test_every_stage_can_be_shown(tmp_path, options):
    """As large as the result: of noise that is heard, transparency, and the picture."""
    path = save(tmp_path / "a.png", cut_out())
    problem = posed(path, options)
    factor = problem.operator.start(problem.y).shape[2] // 64
    size = (64 * factor, 64 * factor)
    stages = [problem.drowned()] if isinstance(problem, ListeningPicture) else []
    for stage in chain(stages, problem.stages()):
        if not stage.probe:
            shown = problem.preview(stage, stage.start)
            assert shown.pixels.shape[:2] == shown.alpha.shape == size
            problem.accept(stage, stage.start)
    assert problem.finish().pixels.shape[:2] == size


def test_white_that_nobody_sees_is_no_highlight(tmp_path):
    values = cut_out(hidden=(255, 255, 255), brightness=60)
    values[28:36, 28:36, :3] = 255
    problem = posed(save(tmp_path / "a.png", values), HdrOptions())
    clipped = (problem.y >= 1 - 1e-3).all(1)[0].numpy()
    assert clipped[28:36, 28:36].all()
    assert clipped.sum() < 2 * 8 * 8


HIDDEN = (128, 90, 30)  # of 255, and as light of 1, by the curve of sRGB
LIGHT = [((value / 255 + 0.055) / 1.055) ** 2.4 for value in HIDDEN]


@pytest.mark.parametrize("name", ["b.png", "b.exr", "b.tif"])
def test_highlights_have_the_hidden_colour_again(tmp_path, name):
    """As it was: in files of light as the light of it, by which a pixel that is seen has come."""
    path = save(tmp_path / "a.png", cut_out(hidden=HIDDEN))
    setting = Setting(Card("none", Path()), SolverOptions(), lambda _: None)
    problem = pose(Job("hdr", path, tmp_path / name), HdrOptions(tonemap=True), setting)
    result, shown = finished(problem)[0], problem.extras()["tonemap.png"]
    for picture, colour in (
        (result, np.divide(HIDDEN, 255) if name == "b.png" else LIGHT),
        (shown, np.divide(HIDDEN, 255)),
    ):
        hidden = picture.pixels[picture.alpha == 0]
        np.testing.assert_allclose(hidden, np.broadcast_to(colour, hidden.shape), atol=1e-5)


@pytest.mark.parametrize("name", ["b.png", "b.exr"])
def test_several_exposures_take_what_the_files_have(tmp_path, name):
    """As one file shows what another hides, no colour of the first is put back."""
    path = save(tmp_path / "a.png", cut_out(hidden=HIDDEN))
    other = save(tmp_path / "c.png", cut_out(hidden=(7, 7, 7)))
    options = HdrOptions(exposures=(0, 1), others=(other,))
    setting = Setting(Card("none", Path()), SolverOptions(), lambda _: None)
    problem = pose(Job("hdr", path, tmp_path / name), options, setting)
    assert problem.unseen is None
    result = finished(problem)[0]
    hidden = result.pixels[result.alpha == 0]
    assert not np.isclose(hidden, LIGHT if name == "b.exr" else np.divide(HIDDEN, 255)).any()


def test_what_is_written_as_nothing_seen_has_the_hidden_colour(tmp_path):
    """The prior leaves alpha of a thousandth beside an edge."""
    values = cut_out(hidden=(7, 90, 30))
    unseen = unseen_of(as_picture(values))
    alpha = np.where(unseen.where, np.float32(0.001), np.float32(1)).repeat(2, 0).repeat(2, 1)
    large = Picture(np.full((128, 128, 3), 0.5, np.float32), alpha)
    for depth, back in ((8, True), (16, False), (32, False)):
        pixels = 255 * unseen.put_back(large, depth).pixels
        assert (pixels[0, 0] == pytest.approx((7, 90, 30), abs=1e-3)) == back
        assert (pixels[64, 64] == 127.5).all()


def test_hidden_pixels_do_not_tell_the_noise(tmp_path):
    """They are flat, and as they are filled, too; a cut-out of noise is as noisy as all of it."""
    rng = np.random.default_rng(0)
    scenery = scene(192, 192) // 2 + 60.0
    noisy = np.clip(scenery + rng.normal(0, 8, scenery.shape), 0, 255).astype(np.uint8)
    whole = posed(save(tmp_path / "a.png", noisy), DenoiseOptions()).noise
    assert 255 * whole == pytest.approx(8, rel=0.15)
    for hidden in (0, 255, 90):
        values = np.dstack([noisy, disc(192)])
        values[values[..., 3] == 0, :3] = hidden
        path = save(tmp_path / "b.png", values)
        assert posed(path, HdrOptions()).noise == pytest.approx(whole, rel=0.1)
        problem = posed(path, DenoiseOptions())
        assert problem.noise == pytest.approx(whole, rel=0.1)
        assert problem.sound.fine / 2 == pytest.approx(whole, rel=0.2)


def test_a_transparency_that_is_the_same_everywhere_takes_no_evaluations(tmp_path):
    values = cut_out()
    values[..., 3] = 100
    assert posed(save(tmp_path / "a.png", values), SuperresOptions(2)).matte is None
    assert posed(save(tmp_path / "b.png", values[..., :3]), SuperresOptions(2)).matte is None


def test_what_is_opaque_or_hidden_all_around_stays_so(tmp_path):
    values = np.dstack([scene(32, 32), disc(32)])
    problem = posed(save(tmp_path / "a.png", values), SuperresOptions(3))
    large = np.random.default_rng(0).random((96, 96), dtype=np.float32)
    problem.matte.restored = 2 * torch.from_numpy(large)[None, None] - 1
    certain = problem.matte.alpha
    assert (certain[:20, :20] == 0).all()
    assert (certain[40:56, 40:56] == 1).all()
    edge = (certain != 0) & (certain != 1)
    np.testing.assert_allclose(certain[edge], large[edge], atol=1e-6)
    assert 0.1 < edge.mean() < 0.5


def test_the_prior_looks_at_edges_of_the_transparency_alone(tmp_path):
    """One pixel of 254, and a figure in a wide frame: elsewhere D is what is certain."""
    values = np.dstack([scene(256, 256), np.full((256, 256), 255, np.uint8)])
    values[100, 100, 3] = 254
    stage = next(posed(save(tmp_path / "a.png", values), SuperresOptions(2)).stages())
    assert stage.shared

    def count(z):
        return z[:, 0].numel()

    assert pixels_seen(stage, count) == 64**2
    values[..., 3] = np.pad(disc(64), 96)
    stage = next(posed(save(tmp_path / "b.png", values), SuperresOptions(2)).stages())
    assert pixels_seen(stage, count) < 0.2 * 512**2
    z, t = torch.full_like(stage.start, 0.3), torch.zeros(1, dtype=torch.long)
    found = stage.view.denoise(lambda z, _: z + 0.1, z, t)[0, 0].numpy()
    here = np.isclose(found, 0.4)
    assert (here | (found == -1) | (found == 1)).all()
    around = (stage.y[0, 0].numpy() > -1).repeat(2, 0).repeat(2, 1)
    assert (found[~around & ~here] == -1).all()
    assert here[around & (found < 1)].all()


@pytest.mark.parametrize("asked", [{"steps": 4}, {"preset": "paper"}, {"method": "dps"}])
def test_a_transparency_is_restored_in_one_way_whatever_the_picture_is(tmp_path, asked):
    path = save(tmp_path / "a.png", cut_out())
    usual, other = (
        next(posed(path, SuperresOptions(2), **solver).stages()) for solver in ({}, asked)
    )
    for name in ("s_start", "s_end", "weight", "shared", "sigma_y", "sigma_least"):
        assert getattr(usual, name) == getattr(other, name), name
    assert torch.equal(usual.start, other.start)


def test_lanczos_leaves_no_second_rim(tmp_path):
    """Where the prior is not asked: behind several damages."""
    hard = np.where(disc(32) > 127, 255, 0).astype(np.uint8)
    large = enlarged(as_picture(np.dstack([scene(32, 32), hard])), 4).alpha
    far = np.asarray(Image.fromarray(hard).resize((128, 128), Image.Resampling.NEAREST))
    grown = torch.nn.functional.max_pool2d(torch.from_numpy(far / 255.0)[None, None], 9, 1, 4)
    assert (large[grown[0, 0].numpy() == 0] == 0).all()
    assert large.min() == 0
    assert large.max() == 1


def test_cut_outs_are_enlarged_without_rims(tmp_path):
    """With the bundled prior: a crisp edge of the right colour, laid on white and on black."""
    truth = np.dstack([np.full((96, 96, 3), (230, 190, 80), np.uint8), disc(96)])
    small = np.array(Image.fromarray(truth).resize((48, 48), Image.Resampling.BOX))
    small[small[..., 3] == 0] = 0
    path, out = save(tmp_path / "a.png", small), tmp_path / "b.png"
    solver, machine = SolverOptions(steps=8), MachineOptions(device="cpu")
    options = SuperresOptions(2, parse_filter("box"))
    restorer = Restorer(find_model("natural"), solver, machine, options, OutputOptions())
    restorer.restore(Job("superres", path, out), lambda *_: None, lambda _: None)
    result = load_picture(out)
    error = np.abs(result.alpha - truth[..., 3] / 255)
    lanczos = enlarged(load_picture(path), 2).alpha
    plain = np.abs(lanczos - truth[..., 3] / 255)
    assert np.square(error).mean() < 0.5 * np.square(plain).mean()
    # Where little is seen, the small file has rounded its colour away.
    off = np.abs(255 * result.pixels - (230, 190, 80)).max(2) * result.alpha
    assert off.max() < 8
    assert (result.pixels[result.alpha == 0] == 0).mean() > 0.9
