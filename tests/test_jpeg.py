"""JPEG files as they are stored, the encoder's model, and the projection on its intervals."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import scene
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.errors import PictureError
from reddiff_cli.estimation.noise import estimate_noise
from reddiff_cli.formats.jpeg import find_jpeg, find_luminance_table, read_jpeg
from reddiff_cli.metrics import rms
from reddiff_cli.operators import ComponentLayout, Jpeg, measure_jpeg
from reddiff_cli.operators.jpeg import SIGMA, to_planes
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.tasks import DenoiseOptions, SuperresOptions, parse_filter
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, pose
from reddiff_cli.tasks.origin import DECODING

pytest.importorskip("jpeglib")

# Options of Pillow's encoder; (down, across) of chroma; width, height.
KINDS = {
    "444": ({"subsampling": 0}, (1, 1), (101, 67)),
    "422": ({"subsampling": 1}, (1, 2), (101, 67)),
    "420": ({"subsampling": 2}, (2, 2), (101, 67)),
    "progressive": ({"subsampling": 2, "progressive": True}, (2, 2), (64, 48)),
    "optimised": ({"subsampling": 0, "optimize": True}, (1, 1), (33, 9)),
    "restarts": ({"subsampling": 2, "restart_marker_rows": 1}, (2, 2), (101, 67)),
    "tiny": ({"subsampling": 2}, (2, 2), (3, 5)),
}


def photograph(width, height, mode="RGB"):
    """Smooth shapes and some texture."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + k) * np.cos(y / (7 + k)) + 0.3 * np.sin(x * y / 90) for k in range(3)]
    rgb = 127 + 80 * np.stack(waves, 2) + np.random.default_rng(0).normal(0, 6, (height, width, 3))
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).convert(mode)


def stored(tmp_path, image, **options):
    path = tmp_path / "a.jpg"
    image.save(path, **options)
    file = read_jpeg(path)
    operator, y = measure_jpeg(file.components, file.colour)
    return file, operator, y.double()


def as_canvas(image, operator):
    """The picture in [-1, 1] on the operator's canvas, its edge repeated as encoders do."""
    values = np.atleast_3d(np.asarray(image)).astype(np.float64)
    height, width = operator.canvas
    margins = ((0, height - values.shape[0]), (0, width - values.shape[1]), (0, 0))
    values = np.pad(values, margins, mode="edge")
    return torch.from_numpy(values).permute(2, 0, 1)[None] / 127.5 - 1


def random(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("quality", [10, 60])
def test_our_encoder_is_the_file_s(tmp_path, kind, quality):
    options, shrink, size = KINDS[kind]
    image = photograph(*size)
    file, operator, y = stored(tmp_path, image, quality=quality, **options)
    assert (file.width, file.height, file.colour) == (*size, "ycbcr")
    assert [part.shrink for part in file.components] == [(1, 1), shrink, shrink]
    ours = operator(as_canvas(image, operator))
    # libjpeg works in integers; so a coefficient may fall on the other side of a rounding.
    assert float((ours - y).abs().max()) <= 1
    assert float((ours == y).double().mean()) > 0.99


@pytest.mark.parametrize(("mode", "colour"), [("L", "grey"), ("RGB", "rgb")])
def test_grey_and_plain_rgb(tmp_path, mode, colour):
    image = photograph(50, 41, mode)
    options = {"keep_rgb": True} if colour == "rgb" else {}
    file, operator, y = stored(tmp_path, image, quality=40, **options)
    assert file.colour == colour
    assert float((operator(as_canvas(image, operator)) == y).double().mean()) > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_start_is_what_decoders_show(tmp_path, kind):
    options, _, size = KINDS[kind]
    file, operator, y = stored(tmp_path, photograph(*size), quality=50, **options)
    shown = np.asarray(Image.open(tmp_path / "a.jpg")).astype(np.float64)
    start = (operator.start(y)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    difference = np.abs(start[: file.height, : file.width] - shown)
    assert difference.mean() < 1.5


def test_orientation_is_handed_on(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    file, *_ = stored(tmp_path, photograph(40, 24), exif=exif)
    assert (file.width, file.height, file.orientation) == (40, 24, 6)


def test_what_is_not_a_sound_jpeg_is_refused_in_one_line(tmp_path):
    whole = tmp_path / "whole.jpg"
    photograph(101, 67).save(whole, quality=50)
    content = whole.read_bytes()
    contents = {"text.jpg": b"hello", "empty.jpg": b"", "head.jpg": content[:400]}
    contents["cut.jpg"] = content[: len(content) * 3 // 4]
    for name, damaged in contents.items():
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(PictureError, match=name) as caught:
            read_jpeg(tmp_path / name)
        assert "\n" not in str(caught.value)
    Image.fromarray(scene()).save(tmp_path / "png.jpg", "PNG")
    with pytest.raises(PictureError, match="is PNG"):
        read_jpeg(tmp_path / "png.jpg")
    photograph(20, 20, "CMYK").save(tmp_path / "cmyk.jpg")
    with pytest.raises(PictureError, match="colours are CMYK, not RGB or grey; use denoise"):
        read_jpeg(tmp_path / "cmyk.jpg")
    with pytest.raises(PictureError, match="no such file"):
        read_jpeg(tmp_path / "none.jpg")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("r", [1e-3, 5.0, 1e9])
def test_result_is_encoded_as_the_file(tmp_path, kind, r):
    options, _, size = KINDS[kind]
    _, operator, y = stored(tmp_path, photograph(*size), quality=20, **options)
    d = operator.start(y) + 0.3 * random((1, 3, *operator.canvas), 1)
    assert float((operator(d) == y).double().mean()) < 0.95
    x = operator.data_step(d, y, r)
    inward = x + 1e-9 * (operator.data_step(d, y, 1e-9) - x)  # off the ends of the intervals
    assert torch.equal(operator(inward), y)


def test_a_picture_that_fits_stays_and_a_certain_prior_wins(tmp_path):
    image = photograph(64, 48)
    _, operator, _ = stored(tmp_path, image, quality=20)
    x = as_canvas(image, operator)
    y = operator(x)
    torch.testing.assert_close(operator.data_step(x, y, 1e12), x, atol=1e-9, rtol=0)


@pytest.mark.parametrize("shrink", [(1, 1), (2, 2)])
@pytest.mark.parametrize("r", [0.5, 30.0])
def test_data_step_is_the_constrained_minimum(shrink, r):
    """No small step inside the intervals lowers |E(x) - y|^2 + r |x - d|^2 in YCbCr."""
    table = (torch.arange(64.0).view(8, 8) + 10).double()
    blocks = 2 if shrink == (1, 1) else 1
    colour = ComponentLayout(blocks, blocks, shrink, 2 * table)
    operator = Jpeg((ComponentLayout(2, 2, (1, 1), table), colour, colour))
    y = operator(0.5 * random((1, 3, 16, 16), 2).tanh())
    d = 0.8 * random((1, 3, 16, 16), 3).tanh()

    def cost(x):
        spread = (to_planes(x, operator.colour) - to_planes(d, operator.colour)) / 127.5
        return (numbers(x) - y).square().sum() + r * spread.square().sum()

    def numbers(x):
        fine = Jpeg(
            tuple(ComponentLayout(p.rows, p.columns, p.shrink, p.table / 1e9) for p in parts)
        )
        return fine(x) / 1e9

    parts = operator.layouts
    best = operator.data_step(d, y, r)
    lowest = float(cost(best))
    for seed in range(20):
        other = best + 0.02 * random(best.shape, 10 + seed)
        inside = operator.data_step(other, y, 1e12)  # the nearest picture that is allowed
        for share in (1e-3, 0.1, 1.0):
            assert float(cost(best + share * (inside - best))) >= lowest - 1e-6


def test_components_may_begin_at_different_places():
    """As that of luma alone on its part of the canvas, and those of chroma on theirs."""
    table = (torch.arange(64.0).view(8, 8) + 10).double()
    luma = ComponentLayout(3, 2, (1, 1), table, (5, 3))
    colour = ComponentLayout(2, 1, (2, 2), 2 * table, (0, 2))
    operator = Jpeg((luma, colour, colour))
    assert operator.canvas == (32, 19)
    x = 0.5 * random((2, 3, 32, 19), 5).tanh()
    y = operator(x)
    apart = Jpeg((replace(luma, begins=(0, 0)),) * 3), Jpeg((replace(colour, begins=(0, 0)),) * 3)
    parts = [apart[0](x[..., 5:29, 3:19]), apart[1](x[..., 0:32, 2:18])]
    expected = [part.chunk(3, 1)[c] for c, part in enumerate((parts[0], parts[1], parts[1]))]
    assert torch.equal(y, torch.cat(expected, 1))
    d = x + 0.3 * random(x.shape, 6)
    assert float(operator.residual(operator.data_step(d, y, 1.0), y).max()) < 1e-6
    assert float(operator.residual(d, y).max()) > 0.1
    luma_seen = to_planes(operator.decoded(y))[:, 0, 5:29, 3:19]
    luma_alone = to_planes(apart[0].decoded(parts[0]))[:, 0]
    torch.testing.assert_close(luma_seen, luma_alone)


def test_rounding_has_the_deviation_that_is_claimed():
    table = torch.full((8, 8), 16.0, dtype=torch.float64)
    coarse, fine = (
        Jpeg((ComponentLayout(16, 16, (1, 1), t),), "grey") for t in (table, table / 1e6)
    )
    x = 0.5 * random((1, 1, 128, 128), 4)
    error = fine(x) / 1e6 - coarse(x)
    assert float(error.std()) == pytest.approx(SIGMA, rel=0.03)


def test_pure_and_row_by_row(tmp_path):
    _, operator, y = stored(tmp_path, photograph(40, 24), quality=30)
    x, d = random((2, 3, *operator.canvas), 6), random((2, 3, *operator.canvas), 7)
    kept = d.clone()
    pair = operator(x)
    before = pair.clone()
    step, start = operator.data_step(d, pair, 0.3), operator.start(pair)
    for i in range(2):
        row = slice(i, i + 1)
        assert torch.equal(operator(x[row]), pair[row])
        torch.testing.assert_close(operator.data_step(d[row], pair[row], 0.3), step[row])
        torch.testing.assert_close(operator.start(pair[row]), start[row])
    start.add_(1)
    step.add_(1)
    assert torch.equal(pair, before)
    assert torch.equal(d, kept)
    assert y.shape == (1, sum(part.numbers for part in operator.layouts))


# --- pictures behind a blur or a reduction, in JPEG files ---

COFFEE = Path(__file__).parent / "pictures" / "coffee.png"


def posed(path, options, turns="none", **solver):
    setting = Setting(Card("none", None, turns=turns), SolverOptions(**solver), lambda _: None)
    return pose(Job("any", path, path), options, setting)


@pytest.mark.parametrize(
    ("mode", "orientation"), [("RGB", 1), ("RGB", 6), ("RGB", 3), ("L", 1), ("L", 5)]
)
def test_y_is_told_from_the_coefficients(tmp_path, mode, orientation):
    """Upright, of the picture's size: what the encoder's intervals leave differs little."""
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = orientation
    photograph(61, 43, mode).save(path, quality=90, exif=exif)
    problem = posed(path, SuperresOptions(2, parse_filter("box")))
    before = problem.y.clone()
    stages = problem.stages()
    stage = next(stages)
    assert stage.shared == DECODING
    problem.accept(stage, stage.start + 0.001)
    assert problem.y.shape == before.shape
    assert 0 < float(rms(problem.y - before).max()) < 0.03
    second = next(stages)
    assert not second.shared
    assert torch.equal(second.y, problem.y)
    assert problem.decoding is None


@pytest.mark.parametrize(
    ("mode", "solver", "evaluations"),
    [
        ("RGB", {}, 8),
        ("RGB", {"preset": "fast"}, 4),
        ("RGB", {"noise": 0.01}, 8),
        ("RGB", {"steps": 100}, 20),
        ("RGB", {"noise": 0.1}, None),  # more than the encoder takes away
        ("L", {"noise": 0.01}, None),
        ("L", {"noise": 0.005}, 8),
    ],
)
def test_who_takes_the_errors_out_before_the_noise(tmp_path, mode, solver, evaluations):
    path = tmp_path / "a.jpg"
    Image.fromarray(scene(128, 160)).convert(mode).save(path, quality=85)
    problem = posed(path, DenoiseOptions(), turns="all", **solver)
    shared = []
    for stage in problem.stages():
        shared.append(stage.shared)
        problem.accept(stage, stage.start)
    assert shared[-1] == 0
    assert (shared[0] if shared[0] > 1 else None) == evaluations
    assert problem.finish().pixels.shape[:2] == (128, 160)


def test_strong_noise_is_not_decoded_away(tmp_path):
    """It outlasts the encoder in the finest details, and its intervals would keep it."""
    path = tmp_path / "a.jpg"
    noise = np.random.default_rng(0).normal(0, 12, (128, 160, 3))
    Image.fromarray((scene(128, 160) + noise).clip(0, 255).astype(np.uint8)).save(path, quality=92)
    assert posed(path, DenoiseOptions()).decoding is None


def test_noise_is_estimated_anew_behind_an_encoder(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(scene(96, 96)).save(path, quality=85)
    problem = posed(path, DenoiseOptions(), turns="all")
    before = problem.noise
    stages = problem.stages()
    stage = next(stages)
    problem.accept(stage, stage.start)
    next(stages)
    assert problem.least == before
    assert problem.noise == estimate_noise(problem.y).sigma != before


def test_previews_of_both_stages_have_one_size(tmp_path):
    path = tmp_path / "a.jpg"
    photograph(40, 32).save(path)
    problem, shared = posed(path, SuperresOptions(3, parse_filter("bicubic"))), []
    for stage in problem.stages():
        shared.append(stage.shared)
        assert problem.preview(stage, stage.start).pixels.shape == (96, 120, 3)
        problem.accept(stage, stage.start)
    assert shared == [DECODING, 0]


def test_a_composition_keeps_its_holes_and_its_grey(tmp_path):
    path, mask = tmp_path / "a.jpg", tmp_path / "m.png"
    photograph(40, 32).save(path)
    hole = np.zeros((32, 40), np.uint8)
    hole[10:13, 10:30] = 255
    Image.fromarray(hole).save(mask)
    problem = posed(path, parse_degrade(f"grey | mask {mask}"))
    stages = problem.stages()
    stage = next(stages)
    assert stage.shared == DECODING
    problem.accept(stage, stage.start)
    assert problem.y.shape == (1, 1, 32, 40)
    assert float(problem.y[0, 0][torch.from_numpy(hole > 0)].abs().max()) == 0


@pytest.mark.parametrize("reason", ["png", "paper", "no extra"])
def test_else_y_is_what_decoders_show(tmp_path, monkeypatch, reason):
    path = tmp_path / ("a.png" if reason == "png" else "a.jpg")
    photograph(40, 32).save(path)
    if reason == "no extra":
        monkeypatch.setitem(sys.modules, "jpeglib", None)
    solver = {"preset": "paper"} if reason == "paper" else {}
    problem = posed(path, SuperresOptions(2, parse_filter("box")), **solver)
    assert problem.decoding is None
    assert all(stage.probe or not stage.shared for stage in problem.stages())


def test_no_file_no_coefficients(tmp_path):
    assert find_jpeg(tmp_path / "none.jpg") is None
    path = tmp_path / "cut.jpg"
    photograph(40, 32).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert find_jpeg(path) is None
    assert find_jpeg(COFFEE) is None


def test_a_photograph_comes_back_better(tmp_path):
    """With the bundled prior: errors of the encoder are not enlarged with the picture."""
    truth = Image.open(COFFEE).convert("RGB").crop((200, 100, 328, 228))
    path = tmp_path / "small.jpg"
    truth.resize((64, 64), Image.Resampling.BICUBIC).save(path, quality=60)
    options, solver = SuperresOptions(2, parse_filter("bicubic")), SolverOptions(steps=10)
    restorer = Restorer(
        find_model("natural"), solver, MachineOptions(device="cpu"), options, OutputOptions()
    )

    def restored(decode):
        setting = Setting(restorer.card, solver, lambda _: None, restorer.machine)
        problem = pose(Job("superres", path, path), options, setting)
        problem.decoding = problem.decoding if decode else None
        for stage in problem.stages():
            problem.accept(stage, restorer.solve(stage)[0])
        return problem.finish().pixels

    errors = [np.square(restored(d) - np.asarray(truth) / 255).mean() for d in (False, True)]
    assert 10 * np.log10(errors[0] / errors[1]) > 0.3


@pytest.mark.parametrize(("mode", "orientation"), [("RGB", 1), ("RGB", 6), ("RGB", 2), ("L", 8)])
def test_the_table_of_the_luminance_lies_as_the_picture_is_shown(tmp_path, mode, orientation):
    """As the optional package reads it, which knows nothing of turning."""
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = orientation
    photograph(48, 32, mode).save(path, quality=60, exif=exif)
    table = read_jpeg(path).components[0].table
    assert not (table == table.T).all()
    found = find_luminance_table(path)
    assert found is not None
    assert (found == (table.T if orientation >= 5 else table)).all()


def test_other_files_have_no_table(tmp_path):
    photograph(32, 32).save(tmp_path / "a.png")
    photograph(32, 32, "CMYK").save(tmp_path / "cmyk.jpg")
    photograph(32, 32).save(tmp_path / "rgb.jpg", keep_rgb=True)
    (tmp_path / "text.jpg").write_bytes(b"hello")
    for name in ("a.png", "cmyk.jpg", "rgb.jpg", "text.jpg", "none.jpg"):
        assert find_luminance_table(tmp_path / name) is None


def test_threads_read_coefficients_one_after_the_other(tmp_path, monkeypatch):
    """The library is not made for two at once, which damages the heap."""
    jpeglib = pytest.importorskip("jpeglib")
    path = tmp_path / "a.jpg"
    photograph(40, 32).save(path)
    inside, together, guard = [], [], threading.Lock()

    class Slow:
        def __init__(self, stored):
            self.stored = stored

        def __getattr__(self, name):
            if name == "Cr":  # the last that is read
                time.sleep(0.01)
                with guard:
                    inside.pop()
            return getattr(self.stored, name)

    read = jpeglib.read_dct

    def entered(name):
        with guard:
            inside.append(name)
            together.append(len(inside))
        return Slow(read(name))

    monkeypatch.setattr(jpeglib, "read_dct", entered)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_jpeg, [path] * 8))
    assert together == [1] * 8
    assert len({each.components[0].coefficients.tobytes() for each in found}) == 1


def test_what_is_coded_in_a_way_that_is_not_read_is_not_called_damaged(tmp_path, monkeypatch):
    """Arithmetic coding, for one, which Pillow decodes."""
    Image.fromarray(scene(16, 16)).save(tmp_path / "a.jpg")

    def refuse(_):
        raise OSError("reading info failed")

    monkeypatch.setattr(pytest.importorskip("jpeglib"), "read_dct", refuse)
    with pytest.raises(
        PictureError, match=r"\(reading info failed\); use denoise, which takes any"
    ):
        read_jpeg(tmp_path / "a.jpg")
    assert find_jpeg(tmp_path / "a.jpg") is None
