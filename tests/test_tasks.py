"""Tasks: from files and options to problems and back, with every kind of picture."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, Jpeg2KImagePlugin

from conftest import scene
from doubles import told_of_tiles
from memory_used import tensors_made
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import load_model
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.estimation.verdicts import TOLD
from reddiff_cli.evaluation.degrade import degrade
from reddiff_cli.evaluation.options import make_case
from reddiff_cli.formats.deep import encode_float
from reddiff_cli.formats.kinds import FLOAT
from reddiff_cli.formats.pngchunks import insert
from reddiff_cli.light.response import Response
from reddiff_cli.methods import Solving, draws
from reddiff_cli.metrics import psnr
from reddiff_cli.operators import Blur, Chain, CircularBlur, Downsample, Inpaint
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import (
    ColorizeOptions,
    DeblurOptions,
    DenoiseOptions,
    Filter,
    HdrOptions,
    InpaintOptions,
    SuperresOptions,
    parse_filter,
)
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.sheets import Sheets
from reddiff_cli.solvers.reddiff import SIGMA_EXACT, SIGMA_FLOOR, SIGMA_SINGLE
from reddiff_cli.tasks import Setting, pose
from reddiff_cli.tasks.compose import canvas_margins
from reddiff_cli.tasks.levels import FIRST, S_END, noise_levels
from reddiff_cli.tasks.problem import Probe, to_pixels, to_tensor
from reddiff_cli.tasks.whole import WholePicture


def setting(**solver):
    notes = []
    card = Card(name="none", folder=Path())
    made = Setting(card, SolverOptions(**solver), notes.append)
    return made, notes


def posed(path, options, **solver):
    made, notes = setting(**solver)
    return pose(Job(options.task, path, path), options, made), notes


def save(tmp_path, array, name="a.png"):
    path = tmp_path / name
    Image.fromarray(array).save(path)
    return path


def finished(problem):
    """The problem's own start, taken as the result."""
    for stage in problem.stages():
        if not stage.probe:
            problem.accept(stage, stage.start)
    return problem.finish()


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        *[DenoiseOptions(), SuperresOptions(2), DeblurOptions(parse_kernel("gaussian:1"))],
        *[ColorizeOptions(), HdrOptions(), parse_degrade("blur gaussian:1 | noise 0.02")],
        InpaintOptions(),
    ],
    ids=lambda options: options.task,
)
def test_a_jpeg_2000_is_decoded_once(tmp_path, monkeypatch, options, lossless):
    """To learn whether it has lost something takes its pixels, and these a second or more."""
    path, decoded = tmp_path / "a.jp2", []
    Image.fromarray(scene(130, 159)).save(path, irreversible=not lossless)
    load = Jpeg2KImagePlugin.Jpeg2KImageFile.load

    def watched(image):
        decoded.extend(image.tile)  # nothing is left of it once it is decoded
        return load(image)

    monkeypatch.setattr(Jpeg2KImagePlugin.Jpeg2KImageFile, "load", watched)
    about, _ = setting(noise="auto") if options.task == "inpaint" else setting()
    mask = tmp_path / "m.png"
    Image.fromarray(np.eye(130, 159) > 0).save(mask)
    job = Job(options.task, path, tmp_path / "o.png")
    problem = pose(replace(job, mask=mask) if options.task == "inpaint" else job, options, about)
    assert len(decoded) == 1
    assert problem.source.smoothed is not lossless
    assert getattr(problem, "lossy", not lossless) is not lossless


def solved(problem, tells):
    """Stages of a problem of which the network tells so much noise, of 255."""
    stages = []
    for stage in problem.stages():
        stages.append(stage)
        answer = told_of_tiles(stage, tells / 127.5) if stage.probe else stage.start
        problem.accept(stage, answer)
    return stages


def test_pixels_become_tensors_and_pixels_again_with_one_copy_of_them():
    pixels = np.random.default_rng(0).random((40, 50, 3), dtype=np.float32)
    before = pixels.copy()
    with tensors_made() as tally:
        x = to_tensor(Picture(pixels))
    assert tally.bytes == pixels.nbytes
    kept = x.clone()
    with tensors_made() as tally:
        back = to_pixels(x)
    assert tally.bytes == pixels.nbytes
    assert torch.equal(x, kept)
    assert (pixels == before).all()
    assert torch.equal(x[0, 1], torch.from_numpy(pixels[:, :, 1]) * 2 - 1)
    np.testing.assert_allclose(back, pixels, atol=1e-7)
    assert not np.shares_memory(back, x.numpy())


OPTIONS = [
    DenoiseOptions(),
    DeblurOptions(parse_kernel("gaussian:1.2")),
    DeblurOptions(parse_kernel("motion:5,30"), "reflect"),
    parse_degrade("blur disk:2 | noise 0.01"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: o.task)
@pytest.mark.parametrize("shape", [(31, 43), (33, 44, 3), (20, 21, 4)])
def test_starts_look_like_the_input(tmp_path, options, shape):
    values = scene(shape[0], shape[1], 1)
    if len(shape) == 3:
        values = np.stack([values] * shape[2], -1)
        values[..., -1] //= 2
    path = save(tmp_path, values)
    problem, _ = posed(path, options)
    result = finished(problem)
    source = load_picture(path)
    assert result.pixels.shape == source.pixels.shape
    assert (result.alpha is None) == (source.alpha is None)
    np.testing.assert_allclose(result.pixels, source.pixels, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3])
def test_superres_is_exactly_scale_times_as_large(tmp_path, scale):
    values = np.dstack([scene(20, 31), np.full((20, 31), 200, np.uint8)])
    problem, _ = posed(save(tmp_path, values), SuperresOptions(scale))
    result = finished(problem)
    assert (result.height, result.width) == (20 * scale, 31 * scale)
    assert result.alpha.shape == (20 * scale, 31 * scale)
    np.testing.assert_allclose(result.alpha, 200 / 255, atol=1e-5)
    assert problem.remark().endswith(" dB")


def test_noise_is_given_or_estimated(tmp_path):
    rng = np.random.default_rng(0)
    noisy = np.clip(scene(96, 96).astype(float) + rng.normal(0, 12, (96, 96, 3)), 0, 255)
    path = save(tmp_path, noisy.astype(np.uint8))
    assert posed(path, DenoiseOptions(), noise=0.1)[0].noise == 0.1
    assert posed(path, DenoiseOptions())[0].noise == pytest.approx(12.6 / 255, rel=0.15)
    assert posed(path, parse_degrade("blur disk:2 | noise 0.03"))[0].noise == 0.03
    assert posed(path, parse_degrade("blur disk:2 | noise 0.03"), noise=0.2)[0].noise == 0.2
    assert posed(path, parse_degrade("blur disk:2"))[0].noise > 0.04


def test_a_jpeg_hides_its_noise(tmp_path):
    path = save(tmp_path, scene(96, 96), "a.jpg")
    problem, notes = posed(path, DenoiseOptions())
    assert problem.noise >= 2 / 255
    assert notes == []  # its coefficients are read
    flat = save(tmp_path, np.full((96, 96, 3), 90, np.uint8), "flat.webp")
    _, notes = posed(flat, DenoiseOptions())
    assert "lossy" in notes[0]


@pytest.mark.parametrize(
    "options",
    [
        DenoiseOptions(),
        SuperresOptions(2, parse_filter("box")),
        SuperresOptions(2, parse_filter("box"), "srgb"),
        DeblurOptions(parse_kernel("disk:2")),
        DeblurOptions(parse_kernel("auto")),
        parse_degrade("blur disk:2"),
    ],
)
def test_of_a_jpeg_whose_coefficients_are_not_read_noise_is_a_guess(options, tmp_path):
    path = save(tmp_path, np.full((96, 96, 3), 90, np.uint8), "flat.jpg")
    assert posed(path, options)[1] == []
    assert "a guess" in posed(path, options, preset="paper")[1][0]


@pytest.mark.parametrize(("tint", "told"), [(0.0, True), (0.005, True), (0.05, False)])
def test_colorize_says_when_no_colour_came(tmp_path, tint, told):
    problem, _ = posed(save(tmp_path, scene(20, 30, 1)), ColorizeOptions())
    tints = tint * torch.tensor([1.0, 0.0, -1.0])[:, None, None]
    for stage in problem.stages():
        problem.accept(stage, stage.start.mean(1, keepdim=True) + tints)
    assert ("hardly any colour" in problem.remark()) is told


def test_colorize(tmp_path):
    problem, notes = posed(save(tmp_path, scene(24, 24, 1)), ColorizeOptions())
    result = finished(problem)
    assert result.pixels.shape == (24, 24, 3)
    assert notes == []
    np.testing.assert_allclose(
        result.pixels, load_picture(tmp_path / "a.png").pixels.repeat(3, 2), atol=1e-6
    )
    _, notes = posed(save(tmp_path, scene(24, 24)), ColorizeOptions())
    assert "has colours" in notes[0]


def test_boundaries(tmp_path):
    path = save(tmp_path, scene(24, 30))
    spec = parse_kernel("uniform:5")
    problem, _ = posed(path, DeblurOptions(spec, "circular"))
    assert isinstance(problem.operator, CircularBlur)
    problem, _ = posed(path, DeblurOptions(spec))
    (stage,) = problem.stages()
    assert stage.start.shape == (1, 3, 28, 34)


@pytest.mark.parametrize("how", ["superres", "restore"])
def test_a_filter_that_lies_outside_is_no_fault_of_the_prior(tmp_path, how):
    """At its origin a 5x5 filter with all its weight in a corner looks past two borders."""
    path, kernel = save(tmp_path, scene(30, 24, 1)), tmp_path / "k.npy"
    values = np.zeros((5, 5))
    values[0, 0] = 1
    for corner, fits in ((0, False), (2, True)):
        np.save(kernel, np.roll(values, (corner, corner), (0, 1)))
        chosen = parse_filter(str(kernel))
        options = (
            SuperresOptions(2, chosen)
            if how == "superres"
            else parse_degrade(f"blur gaussian:1 | down 2 {kernel}")
        )
        if fits:
            posed(path, options)
            continue
        with pytest.raises(PictureError, match="its filter lies outside at its borders"):
            posed(path, options)


def test_kernel_larger_than_the_picture(tmp_path):
    path = save(tmp_path, scene(24, 30))
    for options in (DeblurOptions(parse_kernel("uniform:25")), parse_degrade("blur uniform:25")):
        with pytest.raises(PictureError, match="kernel is 25x25, picture is 30x24"):
            posed(path, options)


def test_composition_is_the_chain_of_its_parts(tmp_path):
    hole = np.zeros((12, 15), np.uint8)
    hole[3:5, 2:9] = 255
    mask = save(tmp_path, hole, "m.png")
    options = parse_degrade(f"blur uniform:3 | down 2 box | blur uniform:5 | mask {mask}")
    problem, _ = posed(save(tmp_path, scene(12, 15)), options)
    assert isinstance(problem.operator, Chain)
    first, down, second, known = problem.operator.parts
    assert isinstance(first, Blur)
    assert isinstance(down, Downsample)
    assert isinstance(known, Inpaint)
    assert canvas_margins(problem.operator.parts) == (5, 5, 5, 5)
    (stage,) = problem.stages()
    assert stage.start.shape == (1, 3, 24 + 10, 30 + 10)
    assert problem.operator(stage.start).shape == problem.y.shape == (1, 3, 12, 15)
    assert torch.equal(problem.y == 0, problem.y * (known.known) == 0)
    assert finished(problem).pixels.shape == (24, 30, 3)


def test_composition_of_a_grey_picture(tmp_path):
    problem, _ = posed(save(tmp_path, scene(12, 15)), parse_degrade("grey | down 2"))
    assert problem.y.shape == (1, 1, 12, 15)
    assert finished(problem).pixels.shape == (24, 30, 3)


BAD = [
    ("", "is no part"),
    ("blur", "is no part"),
    ("blur gaussian:-1", "^--degrade 'blur gaussian:-1': blur gaussian:-1: S"),
    ("blur auto", "must be given"),
    ("down 9", "between 2 and 8"),
    ("down 2.5", "is no part"),
    ("down 2 nearest", "unknown"),
    ("mask nowhere.png", "no such file"),
    ("noise 0.1 | down 2", "noise comes last"),
    ("noise 0.1", "names no damage"),
    ("down 2 | noise", "one number"),
    ("down 2 | noise -1", "one number"),
    ("sharpen 3", "is no part"),
    ("down 2 |", "is no part"),
]


@pytest.mark.parametrize("text, message", BAD)
def test_bad_compositions(text, message):
    with pytest.raises(UsageError, match=message):
        parse_degrade(text)


def test_a_mask_comes_last(tmp_path):
    mask = save(tmp_path, np.zeros((4, 4), np.uint8), "m.png")
    with pytest.raises(UsageError, match="the mask comes last"):
        parse_degrade(f"mask {mask} | down 2")


def test_names_of_files_in_a_composition_may_hold_blanks(tmp_path):
    kernel, mask = tmp_path / "k  1.npy", tmp_path / "m  y.png"
    np.save(kernel, np.ones((3, 3)))
    mask.write_bytes(b"")
    parts = parse_degrade(f"blur {kernel} | down 2  {kernel} | mask {mask}").parts
    assert [parts[0].kernel.path, parts[1].filter.path, parts[2].path] == [kernel, kernel, mask]


@pytest.mark.parametrize(
    "text", ["nearest", "gaussian", "gaussian:0", "gaussian:x", "gaussian:nan"]
)
def test_bad_filters(text):
    with pytest.raises(UsageError, match="--downsample"):
        parse_filter(text)


def test_filters(tmp_path):
    assert parse_filter("bicubic") == Filter("bicubic")
    assert parse_filter("gaussian:1.5") == Filter("gaussian", 1.5)
    path = tmp_path / "k.npy"
    np.save(path, np.ones((4, 4)))
    assert parse_filter(str(path)).path == path
    problem, _ = posed(save(tmp_path, scene(8, 9)), SuperresOptions(2, parse_filter(str(path))))
    assert problem.operator.taps.shape == (4, 4)


@pytest.mark.parametrize("scale", [0, 1, 9, -2])
def test_bad_scales(scale):
    with pytest.raises(UsageError, match="between 2 and 8"):
        SuperresOptions(scale)


@pytest.mark.parametrize("noise", [0.0, 0.004, 0.05, 0.5])
def test_levels_of_denoising_follow_the_noise(picture_file, noise):
    problem, _ = posed(picture_file, DenoiseOptions(), noise=noise, steps=20)
    for stage in problem.stages():  # noise that is not there is listened for first
        problem.accept(stage, stage.start)
    assert stage.sigma_y == 2 * noise
    assert 0.01 < stage.s_end < stage.s_start <= 1
    assert stage.s_start == pytest.approx(min(1, FIRST * max(SIGMA_FLOOR, 2 * noise)))
    assert stage.s_end <= max(0.0101, stage.sigma_y / 8)
    given, _ = posed(picture_file, DenoiseOptions(), noise=noise, s_start=0.7)
    assert next(given.stages()).s_start == 0.7


def test_the_weight_of_the_prior_falls_with_the_steps(picture_file):
    def weight(**solver):
        problem, _ = posed(picture_file, DenoiseOptions(), noise=0.1, **solver)
        *_, stage = problem.stages()
        return stage.weight

    assert weight(steps=20) == 1  # ten pairs
    assert weight(steps=10) == 1  # ten single draws
    assert weight(steps=80) == pytest.approx(0.5)
    assert weight(steps=40, preset="perceptual") == pytest.approx(0.5)
    problem, _ = posed(picture_file, ColorizeOptions(), noise=0.1, steps=80)
    assert next(problem.stages()).weight == 1


def test_holes_in_noise_are_restored_as_noise_is():
    """The more is known, the more the weight is that of denoising; levels reach as high."""
    weights = {"inpaint": 0.5, "denoise": 1.0}
    card = Card(name="none", folder=Path(), prior_weights=weights, hole_start=0.15)
    made = Setting(card, SolverOptions(steps=20), print)
    assert made.weight("inpaint", 0.1) == made.weight("inpaint", 0.3) == 0.5
    assert made.weight("inpaint", 0.65) == pytest.approx(0.75)
    assert made.weight("inpaint", 1.0) == made.weight("denoise") == 1
    assert noise_levels("inpaint", card, 0.0) == (0.15, S_END)
    assert noise_levels("inpaint", card, 0.2)[0] == pytest.approx(FIRST * 0.2)
    assert noise_levels("inpaint", replace(card, hole_start=10.0), 0.2)[0] == 10


def test_strokes_start_higher_than_single_pixels(picture_file, tmp_path):
    card = Card(name="none", folder=Path(), hole_start=0.5)
    assert noise_levels("inpaint", card, 0.0, solid=1.0)[0] == 0.5  # no level of their own
    card = replace(card, stroke_start=2.0)
    first = [noise_levels("inpaint", card, 0.0, solid)[0] for solid in (0, 0.45, 0.5, 0.55, 1)]
    assert first == pytest.approx([0.5, 0.5, 1, 2, 2])
    width, height = Image.open(picture_file).size
    pixels, stroke = (np.zeros((height, width), np.uint8) for _ in range(2))
    pixels[::2, ::2] = stroke[10:18] = 255
    for hole, start in ((pixels, 0.5), (stroke, 2.0)):
        mask = save(tmp_path, hole, "mask.png")
        job = Job("inpaint", picture_file, picture_file, mask)
        made, _ = setting(noise=0.0)
        (stage,) = pose(job, InpaintOptions(), replace(made, card=card)).stages()
        assert stage.s_start == pytest.approx(start)
        made, _ = setting(noise=0.0, s_start=0.7)
        (stage,) = pose(job, InpaintOptions(), replace(made, card=card)).stages()
        assert stage.s_start == 0.7


def test_the_stage_of_a_hole_knows_how_much_is_known(picture_file, tmp_path):
    width, height = Image.open(picture_file).size
    for share in (0.2, 0.7):
        hole = np.zeros((height, width), np.uint8)
        hole[:: 2 if share < 0.5 else 1, ::2] = 255
        mask = save(tmp_path, hole, f"{share}.png")
        made, _ = setting(noise=0.05, steps=20)
        made = replace(made, card=replace(made.card, prior_weights={"inpaint": 0.2}))
        (stage,) = pose(
            Job("inpaint", picture_file, picture_file, mask), InpaintOptions(), made
        ).stages()
        known = 0.75 if share < 0.5 else 0.5
        assert stage.weight == pytest.approx(0.2 + 0.8 * (known - 0.3) / 0.7, abs=0.02)


# At little noise the data hold mu back from what a good network makes in one look.
@pytest.mark.parametrize(("noise", "within"), [(0.02, 0.6), (0.1, 0.3)])
def test_denoising_is_as_good_as_one_look_of_the_network(noise, within):
    card, cpu = find_model("natural"), torch.device("cpu")
    denoiser = load_model(card, cpu, torch.float32)
    case = make_case("denoise", {}, noise)
    specimen = degrade(load_picture(Path(__file__).parent / "pictures/coffee.png"), case, 96, 0)
    problem = specimen.pose(Setting(card, SolverOptions(noise=noise, steps=20), print))
    (stage,) = problem.stages()
    solving = Solving(
        "denoise",
        stage,
        stage.start,
        draws(stage.start, 0),
        denoiser,
        card,
        SolverOptions(noise=noise, steps=20),
    )
    *_, (_, mu) = solving.run()
    level = int((denoiser.schedule.s <= 2 * noise).sum()) - 1
    once = denoiser(specimen.y, torch.tensor([level]))
    assert float(psnr(mu, specimen.truth)) > float(psnr(once, specimen.truth)) - within


def test_exact_measurements_are_believed_more_than_rounded_ones():
    """A file of 8 bits has the noise of its rounding; what was never rounded gives more back."""
    card, cpu = find_model("natural"), torch.device("cpu")
    denoiser = load_model(card, cpu, torch.float32)
    case = make_case("deblur", {"kernel": "gaussian:2", "boundary": "circular"}, 0.0)
    specimen = degrade(load_picture(Path(__file__).parent / "pictures/coffee.png"), case, 64, 0)
    solver = SolverOptions(noise=0.0, steps=10)
    quality = {}
    for least in (SIGMA_SINGLE, SIGMA_EXACT, SIGMA_FLOOR):
        problem = specimen.pose(Setting(card, solver, print))
        assert isinstance(problem, WholePicture)
        assert problem.sigma_least == SIGMA_SINGLE
        problem.sigma_least = least
        (stage,) = problem.stages()
        noise = draws(stage.start, 0)
        solving = Solving("deblur", stage, stage.start, noise, denoiser, card, solver)
        *_, (_, mu) = solving.run()
        quality[least] = float(psnr(mu, specimen.truth))
    assert quality[SIGMA_SINGLE] > quality[SIGMA_EXACT] + 0.5
    assert quality[SIGMA_EXACT] > quality[SIGMA_FLOOR] + 0.5


@pytest.mark.parametrize(("kind", "least"), [("uint8", SIGMA_FLOOR), ("uint16", SIGMA_EXACT)])
def test_depth_of_a_file_tells_the_noise_of_its_rounding(tmp_path, kind, least):
    path = save(tmp_path, np.full((16, 16), 100, dtype=kind))
    problem, _ = posed(path, DenoiseOptions(), noise=0.0)
    (stage,) = problem.stages()
    assert stage.sigma_least == least


def test_eight_bits_are_rounded_whatever_the_result_will_be(tmp_path):
    """hdr writes 16 bits or float; its photograph may still have had 8."""
    for kind, least in (("uint8", SIGMA_FLOOR), ("uint16", SIGMA_EXACT)):
        path = save(tmp_path, np.full((16, 16), 100, dtype=kind), f"{kind}.png")
        problem, _ = posed(path, HdrOptions(stops=1.0), noise=0.0)
        (stage,) = problem.stages()
        assert stage.sigma_least == least
    specimen = degrade(load_picture(path), make_case("hdr", {"stops": 1.0}, 0.0), 16, 0)
    made, _ = setting(noise=0.0)
    assert next(specimen.pose(made).stages()).sigma_least == SIGMA_SINGLE


def test_noise_decides_what_counts_as_clipped_for_the_papers_operator(tmp_path):
    path = save(tmp_path, np.full((16, 16), 100, dtype=np.uint8))
    for noise, tolerance in ((0.0, 1.5 / 127.5), (0.05, 0.3)):
        problem, _ = posed(path, HdrOptions(operator="paper"), noise=noise)
        assert problem.operator.tolerance == pytest.approx(tolerance)
        case = make_case("hdr", {"operator": "paper"}, noise)
        made = degrade(load_picture(path), case, 16, 0).operator
        assert made.tolerance == pytest.approx(tolerance)


@pytest.mark.parametrize("overlap", [64, 128])
def test_tiles_overlap_as_asked(overlap):
    machine = MachineOptions(tile=256, tile_overlap=overlap)
    made = Setting(Card(name="none", folder=Path()), SolverOptions(), print, machine)
    assert made.view().overlap == overlap
    # Half of a tile of the card's at most.
    made = replace(
        made, machine=MachineOptions(tile_overlap=overlap), card=Card("a", Path(), tile=96)
    )
    assert made.view().overlap == 48


def test_tiles_are_as_the_prior_and_the_user_want_them():
    """Any shape of as many pixels where the network takes any; what was asked for is a limit."""
    made, natural = setting()[0], find_model("natural")

    def sizes(card, shape, tile=None):
        view = replace(made, card=card, machine=MachineOptions(tile=tile)).view()
        return [axis.size for axis in view.axes(*shape)]

    assert sizes(natural, (784, 784)) == [784, 784]
    assert sizes(natural, (600, 800)) == [600, 800]
    assert sizes(natural, (1000, 1000)) == [1000, 544]
    assert sizes(natural, (600, 800), 768) == [600, 448]
    assert sizes(natural, (600, 800), 0) == [600, 800]
    attending = replace(natural, window=256, smallest=256, tile=256)
    assert sizes(attending, (200, 300)) == [200, 256]
    assert sizes(attending, (1000, 300)) == [256, 256]


def save_light(path, spark):
    """Linear light of 0.5 with one pixel of another brightness."""
    light = np.full((24, 24, 3), 0.5, dtype=np.float32)
    light[12, 12] = spark
    save_picture(Picture(light, depth=FLOAT), path, None)
    return path


def test_light_in_a_hole_does_not_set_the_scale_of_the_rest(tmp_path):
    path = save_light(tmp_path / "a.exr", 1e4)
    hole = np.zeros((24, 24), np.uint8)
    hole[11:14, 11:14] = 255
    job = Job("inpaint", path, tmp_path / "b.exr", save(tmp_path, hole, "m.png"))
    made, _ = setting(noise=0.0)
    problem = pose(job, InpaintOptions(), made)
    for stage in problem.stages():
        problem.accept(stage, stage.start + 0.002)  # an error as a network makes it
    restored = problem.finish().pixels
    assert abs(restored - 0.5).max() < 0.01


def test_a_small_hole_does_not_cost_as_much_as_the_picture(tmp_path):
    """The picture becomes a tensor once, and no more than the hole becomes pixels again."""
    hole = np.zeros((300, 300), np.uint8)
    hole[11:14, 11:14] = 255
    mask = save(tmp_path, hole, "m.png")
    path = save(tmp_path, scene(300, 300))
    made, _ = setting()
    canvas = 4 * 3 * 300**2
    with tensors_made() as tally:
        problem = pose(Job("inpaint", path, path, mask), InpaintOptions(), made)
    assert tally.bytes < 2.5 * canvas
    problem.accept(stage := next(problem.stages()), stage.start + 0.1)
    with tensors_made() as tally:
        restored = problem.finish().pixels
    assert tally.bytes < 0.1 * canvas
    source = load_picture(path).pixels
    assert (restored[hole == 0] == source[hole == 0]).all()
    assert not np.shares_memory(restored, problem.source.pixels)


@pytest.mark.parametrize(("spark", "told"), [(4.0, False), (500.0, True)])
def test_a_spark_that_squeezes_the_rest_is_told(tmp_path, spark, told):
    path = save_light(tmp_path / "a.exr", spark)
    _, notes = posed(path, DenoiseOptions(), noise=0.0)
    assert any(f"{path}: its brightest pixel" in note for note in notes) == told


def test_a_spark_that_leaves_nothing_of_the_rest_is_an_error(tmp_path):
    with pytest.raises(PictureError, match="1e.06 times as bright as 99 %"):
        posed(save_light(tmp_path / "a.exr", 5e5), DenoiseOptions(), noise=0.0)


def test_sound_light_is_not_refused(tmp_path):
    """Black, dark, green alone, and stars on a black sky."""
    stars = np.zeros((40, 40, 3), np.float32)
    stars[::9, ::9] = 30.0
    green = np.zeros((800, 1000, 3), np.float32)
    green[..., 1] = 2.0
    dark = np.full((24, 24, 3), 5e-5, np.float32)
    for k, light in enumerate((stars, green, dark, 0 * dark)):
        save_picture(Picture(light, depth=FLOAT), tmp_path / f"{k}.exr", None)
        _, notes = posed(tmp_path / f"{k}.exr", DenoiseOptions(), noise=0.0)
        assert not any("times as bright" in note for note in notes)
    night = np.zeros((64, 64, 3), np.uint8)
    night[3, 3] = 255
    path = save(tmp_path, night)
    made, _ = setting(noise=0.01)
    pose(Job("hdr", path, tmp_path / "o.exr"), HdrOptions(stops=1.0), made)


@pytest.mark.parametrize(
    ("text", "blurred"),
    [
        ("blur gaussian:1.5", True),
        ("blur gaussian:1.5 | noise 0.02", True),
        ("blur gaussian:1.5 | down 2 box", False),
        ("down 2 box", False),
        ("grey", False),
    ],
)
def test_only_blur_that_nothing_reduces_leaves_a_picture_without_texture(text, blurred):
    assert parse_degrade(text).blurred == blurred


def test_samples_of_thin_holes_survive_the_stage_of_wide_ones(tmp_path):
    """Both stages see the scratch; it is the first that fills it, in every sample anew."""
    hole = np.zeros((64, 64), np.uint8)
    hole[8:32, 8:32] = 255
    hole[40:43, 5:50] = 255
    job = Job("inpaint", save(tmp_path, scene(64, 64)), tmp_path / "o.png")
    job = replace(job, mask=save(tmp_path, hole, "m.png"))
    made = Setting(find_model("natural"), SolverOptions(samples=2), lambda _: None)
    problem = pose(job, InpaintOptions(), made)
    solved = []
    for stage in problem.stages():
        if stage.shared:
            problem.accept(stage, stage.start)
            continue
        rows = torch.stack([stage.start[0] + shift for shift in (-0.1, 0.1)])
        problem.accept(stage, rows.mean(0, keepdim=True))
        solved.append((stage, rows))
    assert len(solved) == 2
    pictures = []
    for row in range(2):
        for stage, rows in solved:
            problem.accept(stage, rows[row : row + 1])
        pictures.append(problem.finish().pixels)
    spread = np.abs(pictures[1] - pictures[0]).max(2)
    assert (spread[hole > 0] > 0.09).mean() > 0.95  # but where light ends at black or white
    assert (spread[hole == 0] == 0).all()


@pytest.mark.parametrize("side", [4, 40])
def test_patches_and_grain_have_the_seed_that_was_asked_for(tmp_path, side):
    """A scratch is filled without a draw, and gets its grain; a wide hole gets patches."""
    noise = np.random.default_rng(0).normal(0, 9, (160, 160, 3))
    rgba = np.dstack([(128 + noise).round().astype(np.uint8), np.full((160, 160), 255, np.uint8)])
    rgba[60 : 60 + side, 60:100, 3] = 0
    path = save(tmp_path, rgba)
    card = Card("none", None, wide_hole="patches")
    found = []
    for seed in (0, 0, 1):
        made = Setting(card, SolverOptions(seed=seed), lambda _: None)
        problem = pose(Job("inpaint", path, path), InpaintOptions(grain=side == 4), made)
        found.append(finished(problem).pixels)
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()


def test_holes_start_where_they_are_told_to(tmp_path):
    """Thin ones and wide ones, whatever the card says."""
    alpha = np.full((64, 64), 255, np.uint8)
    alpha[8:32, 8:32] = alpha[40:43, 5:50] = 0
    path = save(tmp_path, np.dstack([scene(64, 64), alpha]))
    card = Card("none", None, wide_hole="patches")
    for asked in (None, 1.5):
        made = Setting(card, SolverOptions(s_start=asked), lambda _: None)
        stages = list(pose(Job("inpaint", path, path), InpaintOptions(), made).stages())
        assert len(stages) == 2
        assert [stage.s_start == 1.5 for stage in stages] == [asked == 1.5] * 2


@pytest.mark.parametrize("method", ["reddiff", "pigdm", "diffpir", "ddrm", "dps"])
def test_peers_trust_patches_alike_in_any_number_of_steps(tmp_path, method):
    """Only our form has a weight that falls with the steps, and that must be weighed."""
    hole = np.zeros((64, 64), np.uint8)
    hole[16:48, 16:48] = 255
    job = Job("inpaint", save(tmp_path, scene(64, 64)), tmp_path / "o.png")
    job = replace(job, mask=save(tmp_path, hole, "m.png"))
    trusts = []
    for steps in (10, 90):
        solver = SolverOptions(method=method, steps=steps)
        made = Setting(find_model("natural"), solver, lambda _: None)
        (stage,) = (s for s in pose(job, InpaintOptions(), made).stages() if not s.shared)
        trusts.append(
            float(stage.operator.known.min()) / (stage.weight if method == "reddiff" else 1)
        )
    assert trusts[0] == pytest.approx(trusts[1], rel=1e-4)
    assert trusts[0] == pytest.approx((SIGMA_FLOOR / 0.03) ** 2, rel=1e-4)


@pytest.mark.parametrize(("told", "within"), [(None, 4 / 255), ("auto", 4 / 255), (0.05, 0.15)])
def test_an_estimate_of_noise_makes_few_values_clipped(tmp_path, told, within):
    """It may be of skin; who tells the noise of a photograph is believed."""
    rng = np.random.default_rng(0)
    noisy = np.clip(scene(96, 96).astype(float) + rng.normal(0, 12, (96, 96, 3)), 0, 255)
    path = save(tmp_path, noisy.astype(np.uint8))
    made, _ = setting(noise=told)
    problem = pose(Job("hdr", path, tmp_path / "o.exr"), HdrOptions(), made)
    assert problem.noise > 0.04
    assert problem.operator.tolerance == pytest.approx(within)


@pytest.mark.parametrize("first", [0, 1])
def test_the_noisiest_exposure_says_what_may_be_clipped(tmp_path, first):
    """Its clipped values lie as far below white; those of the others next to white say little."""
    rng = np.random.default_rng(0)
    paths = []
    for k, sigma in enumerate((0.4, 1.25)):
        noisy = 100 + rng.normal(0, sigma, (96, 96, 3))
        paths.append(save(tmp_path, np.rint(noisy).clip(0, 255).astype(np.uint8), f"{k}.png"))
    made, _ = setting()
    noises = [made.noise("hdr", path, to_tensor(load_picture(path))) for path in paths]
    assert 3 * noises[0] < 2 / 255 < 3 * noises[1] < 4 / 255
    options = HdrOptions(others=(paths[1 - first],), exposures=(0.0, 2.0))
    problem = pose(Job("hdr", paths[first], tmp_path / "o.exr"), options, made)
    assert problem.noise == noises[0]
    assert problem.operator.tolerance == pytest.approx(3 * noises[1], rel=0.15)


@pytest.mark.parametrize("first", [0, 1])
def test_exposures_are_believed_as_far_as_the_coarsest_was_rounded(tmp_path, first):
    kinds = ("uint8", "uint16")
    paths = [save(tmp_path, np.full((16, 16), 100, kind), f"{kind}.png") for kind in kinds]
    options = HdrOptions(others=(paths[1 - first],), exposures=(0.0, 2.0))
    made, _ = setting(noise=0.0)
    problem = pose(Job("hdr", paths[first], tmp_path / "o.exr"), options, made)
    (stage,) = problem.stages()
    assert stage.sigma_least == SIGMA_FLOOR


def test_a_problem_has_an_answer_to_everything_that_is_asked(tmp_path):
    """Whatever its task has nothing to say to."""
    problem, _ = posed(save(tmp_path, scene(64, 64)), DenoiseOptions())
    assert (problem.residual, problem.verdict, problem.grounds) == (None, "", TOLD)
    assert (problem.hole, problem.extras()) == (None, {})
    assert problem.before is problem.source


@pytest.mark.parametrize(
    ("tells", "taken"), [(1.2, 1.2), (0.1, 0.5), (30, None)], ids=["texture", "nothing", "more"]
)
def test_hdr_asks_the_network_for_noise(tmp_path, tells, taken):
    """Texture is no noise, and edges of what is clipped make it tell too much."""
    rng = np.random.default_rng(0)
    cloth = np.clip(scene(96, 96).astype(float) + rng.normal(0, 4, (96, 96, 3)), 0, 255)
    problem, _ = posed(save(tmp_path, cloth.astype(np.uint8)), HdrOptions())
    estimated = problem.noise
    probe, *_ = solved(problem, tells)
    assert probe.probe is Probe.TILES
    assert problem.preview(probe, None).depth == 8
    wanted = estimated if taken is None else taken / 255
    assert problem.noise == pytest.approx(wanted)
    assert problem.operator.tolerance == pytest.approx(max(1.5, min(3 * 255 * wanted, 4)) / 255)


def test_hdr_does_not_ask_where_noise_is_told_or_hidden_or_averaged(tmp_path):
    noisy = scene(96, 96)
    path, lossy = save(tmp_path, noisy), save(tmp_path, noisy, "a.jpg")
    assert len(solved(posed(path, HdrOptions())[0], 1)) > 1
    assert len(solved(posed(path, HdrOptions(), noise=0.02)[0], 1)) == 1
    assert len(solved(posed(lossy, HdrOptions())[0], 1)) == 1
    several = HdrOptions(exposures=(0.0, 2.0), others=(path,))
    assert len(solved(posed(path, several)[0], 1)) == 1


@pytest.mark.parametrize("level", [1.5, 4.0])
def test_exposures_of_cloth_tell_their_noise_by_what_differs(tmp_path, level):
    """Those of files that have smoothed it do not."""
    rng = np.random.default_rng(0)
    cloth = np.clip(scene(128, 128) / 255 * 0.4 + rng.normal(0, 0.04, (128, 128, 3)), 0.01, 1)
    found = {}
    for suffix in ("png", "jpg"):
        paths = [tmp_path / f"{k}.{suffix}" for k in range(3)]
        for path, stops in zip(paths, (-1, 0, 1), strict=True):
            values = 255 * Response().expose(cloth, 2.0**stops)[0]
            values = values + rng.normal(0, level, values.shape)
            save(tmp_path, values.round().clip(0, 255).astype(np.uint8), path.name)
        options = HdrOptions(exposures=(-1.0, 0.0, 1.0), others=tuple(paths[1:]))
        made, _ = setting()
        alone = [made.noise("hdr", path, to_tensor(load_picture(path))) for path in paths]
        found[suffix] = posed(paths[0], options)[0].noise, min(alone)
        assert posed(paths[0], options, noise=0.05)[0].noise == 0.05
    assert 255 * found["png"][0] == pytest.approx(level, rel=0.2)
    assert 255 * found["png"][1] > 1.5 * level
    assert found["jpg"][0] == found["jpg"][1]


def test_light_of_alpha_0_that_is_lost_is_told(tmp_path):
    """A flame in the frame of a film."""
    stored = np.full((24, 24, 4), 0.5, np.float32)
    stored[4:9, 4:9, 3] = 0
    path = tmp_path / "a.exr"
    colours, alpha = stored[..., :3], stored[..., 3]
    path.write_bytes(encode_float(colours, alpha, ".exr", b"", stored=colours))
    flame = load_picture(path)
    assert flame.glows
    for options, name, lost in [
        (DenoiseOptions(), "o.exr", False),
        (DenoiseOptions(), "o.png", True),
        (SuperresOptions(2), "o.exr", True),
    ]:
        made, notes = setting(noise=0.01)
        pose(Job(options.task, path, tmp_path / name), options, made)
        assert any("light of alpha 0" in note for note in notes) == lost
    made, notes = setting(noise=0.01)
    save_picture(replace(flame, alpha=np.ones_like(alpha)), path, None)
    pose(Job("denoise", path, tmp_path / "o.png"), DenoiseOptions(), made)
    assert not any("light of alpha 0" in note for note in notes)


@pytest.mark.parametrize("space", ["sRGB", "LAB", "damaged"])
def test_profile_of_highlights_stays_or_is_told(tmp_path, space):
    """Darker values keep curve and primaries, linear light has another curve."""
    icc = b"damaged"
    if space != "damaged":
        icc = ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
    path = tmp_path / "a.png"
    Image.fromarray(scene(24, 24)).save(path, icc_profile=icc)
    for options, name, depth in [
        (HdrOptions(), "o.png", "auto"),
        (HdrOptions(), "o.exr", "auto"),
        (DenoiseOptions(), "o.png", "auto"),
        (DenoiseOptions(), "o.exr", "float"),
    ]:
        made, notes = setting(noise=0.01)
        job = Job(options.task, path, tmp_path / name)
        source = pose(job, options, replace(made, depth=depth)).source
        light = name == "o.exr"
        assert source.metadata.icc == (b"" if light and options.task == "hdr" else icc)
        told = [note for note in notes if "colour profile" in note]
        assert bool(told) == (light and space != "sRGB")
        assert all(("Lab identity" if space == "LAB" else "without a name") in n for n in told)


@pytest.mark.parametrize("space", ["sRGB", "LAB"])
def test_a_profile_of_light_that_values_cannot_keep_is_told(tmp_path, space):
    """Editors of photographs write float TIFF in light of wide colours."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()
    light = scene(24, 24).astype(np.float32) / 255
    (tmp_path / "a.tif").write_bytes(encode_float(light, None, ".tif", icc))
    for name in ("o.png", "o.tif", "o.exr"):
        made, notes = setting(noise=0.01)
        pose(Job("denoise", tmp_path / "a.tif", tmp_path / name), DenoiseOptions(), made)
        told = [note for note in notes if "colour profile (Lab identity" in note]
        assert bool(told) == (name == "o.png" and space == "LAB")
        assert all("write .tif to keep it" in note for note in told)


@pytest.mark.parametrize(
    ("primaries", "told"),
    [
        ((0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329), False),
        ((0.64, 0.33), False),  # damaged
        ((0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.3217, 0.3377), True),
    ],
)
def test_colours_that_only_exr_files_tell_are_told(tmp_path, primaries, told):
    light, path = scene(24, 24).astype(np.float32) / 255, tmp_path / "a.exr"
    said = (("chromaticities", f"float[{len(primaries)}]", primaries),)
    path.write_bytes(encode_float(light, None, ".exr", b"", said))
    for name in ("o.png", "o.tif", "o.hdr", "o.exr"):
        made, notes = setting(noise=0.01)
        pose(Job("denoise", path, tmp_path / name), DenoiseOptions(), made)
        strange = [note for note in notes if "not sRGB (chromaticities)" in note]
        assert bool(strange) == (told and name != "o.exr")
        assert all("write .exr, or convert" in note for note in strange)


P3 = (b"cICP", bytes((12, 13, 0, 1)))
USUAL = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
WIDE = (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000))
LIGHT = (b"gAMA", struct.pack(">I", 100_000))


@pytest.mark.parametrize(
    ("chunks", "told"),
    [
        ([P3], "cICP"),
        ([P3, (b"sRGB", b"\0")], "cICP"),
        ([(b"cICP", bytes((1, 13, 0, 1))), WIDE], ""),
        ([LIGHT], "gAMA"),
        ([LIGHT, WIDE], "cHRM, gAMA"),
        ([LIGHT, WIDE, (b"sRGB", b"\0")], ""),
        ([USUAL, (b"gAMA", struct.pack(">I", 45470))], ""),
    ],
)
def test_colours_that_only_png_files_tell_are_told(tmp_path, chunks, told):
    """They would look wrong without a word."""
    path = tmp_path / "a.png"
    Image.fromarray(scene(24, 24)).save(path)
    path.write_bytes(insert(path.read_bytes(), chunks))
    for name in ("o.png", "o.jpg", "o.webp", "o.tif", "o.exr"):
        made, notes = setting(noise=0.01)
        pose(Job("denoise", path, tmp_path / name), DenoiseOptions(), made)
        notes = [note for note in notes if "not sRGB" in note]
        assert len(notes) == bool(told and name != "o.png")
        assert all(f"a.png: its colours are not sRGB ({told}), which" in note for note in notes)
    made, notes = setting(noise=0.01)
    pose(Job("denoise", path, tmp_path / "o.jpg"), DenoiseOptions(), replace(made, strip=True))
    assert not any("not sRGB" in note for note in notes)  # nobody wants to be told


@pytest.mark.parametrize("samples", [2, 3, 7])
def test_samples_that_agree_are_their_mean(tmp_path, samples):
    """To the last bit, as known pixels have to stay; others differ by n - 1."""
    rng = np.random.default_rng(0)
    known = rng.random((24, 24, 3)).astype(np.float32)
    drawn = [known.copy() for _ in range(samples)]
    for number, pixels in enumerate(drawn):
        pixels[0, 0] = number
    sheets = Sheets(tmp_path / "o.exr", None, OutputOptions())
    mean = sheets.average([Picture(pixels, depth=FLOAT) for pixels in drawn]).pixels
    assert np.array_equal(mean[1:], known[1:])
    np.testing.assert_allclose(mean[0, 0], (samples - 1) / 2)
    assert not sheets._spread[1:].any()
    np.testing.assert_allclose(sheets._spread[0, 0], np.arange(samples).std(ddof=1), rtol=1e-6)


def test_partly_transparent_pixels_that_stay_are_told(tmp_path):
    """A soft eraser leaves a rim."""
    alpha = np.full((40, 40, 1), 255, np.uint8)
    alpha[10:20, 10:20] = 120
    alpha[12:18, 12:18] = 0
    path = save(tmp_path, np.dstack([scene(40, 40), alpha]))
    _, notes = posed(path, InpaintOptions())
    assert any("64 partly transparent pixels stay" in note for note in notes)
    alpha[alpha == 120] = 255
    _, notes = posed(save(tmp_path, np.dstack([scene(40, 40), alpha])), InpaintOptions())
    assert not any("partly" in note for note in notes)


def test_a_noisy_exposure_counts_as_its_noise_says(tmp_path):
    rng = np.random.default_rng(0)
    values = scene(96, 96).astype(float)
    calm = save(tmp_path, values.astype(np.uint8), "calm.png")
    noisy = np.clip(values + rng.normal(0, 20, values.shape), 0, 255).astype(np.uint8)
    other = save(tmp_path, noisy, "noisy.png")
    problem, _ = posed(calm, HdrOptions(exposures=(0.0, 1.0), others=(other,)))
    made, _ = setting()
    noises = [made.noise("hdr", path, to_tensor(load_picture(path))) for path in (calm, other)]
    assert problem.operator.trust == pytest.approx((1, (noises[0] / noises[1]) ** 2), rel=0.15)
    assert problem.operator.trust[1] < 0.1
    assert problem.noise == noises[0]
