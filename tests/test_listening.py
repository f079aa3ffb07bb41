"""Noise that is heard before a blur is told from the picture, or taken away."""

import re

import pytest
import torch

from doubles import told_of_tiles
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.errors import PictureError
from reddiff_cli.estimation.blind import SHARP, KernelEstimate, estimate_kernel
from reddiff_cli.estimation.coloured_noise import ColouredNoise, measure_noise
from reddiff_cli.estimation.stationary import TILE, spectrum_of
from reddiff_cli.estimation.tile_noise import TileNoise
from reddiff_cli.estimation.welch import luminance_weights, measure_spectrum
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.operators import Blur
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.kernelspec import KernelSpec, parse_kernel
from reddiff_cli.options.tasks import DeblurOptions, DenoiseOptions, SuperresOptions, parse_filter
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, pose
from reddiff_cli.tasks.degraded import LOW
from reddiff_cli.tasks.problem import Probe, to_pixels
from test_blind import leaves

SIDE = 192


def wide(seed, side=SIDE):
    """Noise of variance 1 that is wider than a pixel, as that of a camera."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((1, 3, side + 2, side + 2), generator=generator)
    noise = torch.nn.functional.avg_pool2d(noise, 3, stride=1)
    return noise / noise.std()


def white(seed, side=SIDE):
    return torch.randn((1, 3, side, side), generator=torch.Generator().manual_seed(seed))


def blurred(spec, noise, level, side=SIDE, seed=1):
    """An 8-bit picture in [-1, 1] with noise of this level, of 255."""
    kernel = make_kernel(parse_kernel(spec)).flip(0, 1)[None, None]
    y = torch.nn.functional.conv2d(0.8 * leaves(seed).transpose(0, 1), kernel)
    y = y.transpose(0, 1)[:, :, :side, :side] + level / 127.5 * noise(seed, side)
    return ((y.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def spectrum_of_wide(level):
    noise = wide(7, 512)
    tiles = noise.unfold(2, TILE, TILE).unfold(3, TILE, TILE)
    tiles = tiles.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, TILE, TILE)
    one = torch.tensor([level / 127.5])
    return ColouredNoise(spectrum_of(tiles), one * 0, one).of_mean(luminance_weights(3))


def saved(folder, y, name="y.png"):
    path = folder / name
    save_picture(Picture(to_pixels(y)), path, None, 95)
    return path


def posed(path, options, **solver):
    setting = Setting(find_model("natural"), SolverOptions(**solver), lambda _: None)
    return pose(Job(options.task, path, path.with_name("out.png")), options, setting)


def test_the_spectrum_of_the_luminances_noise():
    """White noise of the channels has the sum of their squared weights in it, everywhere."""
    power = torch.eye(3).expand(TILE, TILE, 3, 3).to(torch.complex64)
    noise = ColouredNoise(power, torch.zeros(2), torch.tensor([0.1, 0.3]))
    weights = luminance_weights(3)
    expected = float(weights.square().sum()) * (0.1**2 + 0.3**2) / 2
    found = noise.of_mean(weights)
    torch.testing.assert_close(found, torch.full((TILE, TILE), expected))


def test_a_measured_spectrum_is_the_floor_of_the_pictures():
    y = 0.05 * wide(3, 512) + torch.linspace(-0.9, 0.9, 512) * 0.2
    y[..., ::32] += 0.5  # some structure to weigh by
    told = spectrum_of_wide(0.05 * 127.5)
    found = measure_spectrum(y, told)
    assert found is not None
    high = torch.hypot(found.row, found.column) > 0.3
    high &= found.noise > 0.1 * found.noise.max()  # a mean of 3x3 pixels has zeros
    ratio = (found.log_power - found.noise.log())[high]
    assert abs(float(ratio.mean())) < 0.25


@pytest.mark.parametrize("spec", ["gaussian:2", "motion:13,40"])
def test_a_kernel_is_found_behind_wide_noise_by_its_spectrum(spec):
    """Where the same noise, told as if it were white, misleads."""
    y, truth = blurred(spec, wide, 5), parse_kernel(spec)
    found = estimate_kernel(y, spectrum_of_wide(5))
    assert (found.spec.family, found.verdict) == (truth.family, "sure")
    assert found.spec.parameters[0] == pytest.approx(truth.parameters[0], rel=0.2)
    misled = estimate_kernel(y, 5 / 127.5)
    assert misled.verdict == "not sure" or misled.spec.family != truth.family


@pytest.mark.parametrize(
    ("spec", "sure"),
    [
        (KernelSpec("disk", (1.1,)), False),
        (KernelSpec("gaussian", (0.5,)), False),
        (KernelSpec("motion", (40.0, 3.0)), False),
        (KernelSpec("gaussian", (1.2,)), True),
    ],
)
def test_nobody_is_sure_of_what_was_not_looked_for(spec, sure, monkeypatch):
    """Lenses and mosaics are that soft; and at the end of the grid there may be more."""
    answered({spec.family: (spec, 0.0)}, 80.0, monkeypatch)
    assert estimate_kernel(blurred("gaussian:2", white, 2), 0.02).verdict == (
        "sure" if sure else "not sure"
    )


def answered(found, sharp, monkeypatch):
    """As if searches found these (kernel, cost) of each family, and no blur cost so much."""
    others = {name: (parse_kernel(f"{name}:9"), 50.0) for name in ("gaussian", "disk")}
    answers = others | {"motion": (parse_kernel("motion:9,0"), 50.0)} | found
    costs, search = (f"reddiff_cli.estimation.blind.{name}" for name in ("_costs", "_search"))
    monkeypatch.setattr(costs, lambda specs, *_, **__: [sharp] * len(specs))
    monkeypatch.setattr(search, lambda starts, _: answers[starts[0].family])


@pytest.mark.parametrize(
    ("spec", "evidence", "sure"),
    [
        ("motion:9,30", 9.9, False),
        ("motion:9,30", 10.1, True),
        ("disk:3", 5.9, False),
        ("disk:3", 6.1, True),
    ],
)
def test_a_motion_must_explain_more(spec, evidence, sure, monkeypatch):
    kernel = parse_kernel(spec)
    answered({kernel.family: (kernel, 0.0)}, evidence, monkeypatch)
    found = estimate_kernel(blurred("gaussian:2", white, 2), 0.02)
    assert (found.spec, found.evidence, found.verdict == "sure") == (kernel, evidence, sure)


@pytest.mark.parametrize(
    ("margin", "white_noise", "sure"),
    [
        (0.9, True, False),
        (1.1, True, True),
        (1.9, False, False),
        (2.1, False, True),
    ],
)
def test_round_kernels_and_motion_must_differ(margin, white_noise, sure, monkeypatch):
    """By more where the spectrum of the noise was measured."""
    found = {"disk": (parse_kernel("disk:3"), 0.0), "motion": (parse_kernel("motion:9,0"), margin)}
    answered(found, 80.0, monkeypatch)
    noise = 0.02 if white_noise else spectrum_of_wide(2)
    estimate = estimate_kernel(blurred("gaussian:2", white, 2), noise)
    assert (estimate.margin, estimate.verdict == "sure") == (pytest.approx(margin), sure)


@pytest.mark.parametrize(
    ("cost", "sigma", "chosen", "offered"),
    [
        (1.1, 2, "gaussian", False),  # of the disk more than of the Gaussian
        (0.9, 2, "disk", True),
        (-0.9, 2, "disk", True),
        (-1.1, 2, "disk", False),
        (0.9, 5.2, "disk", False),  # beyond what is looked for
    ],
)
def test_when_a_gaussian_is_taken_and_when_it_is_offered(
    cost, sigma, chosen, offered, monkeypatch
):
    kernels = {"gaussian": (parse_kernel(f"gaussian:{sigma}"), 1.0)}
    answered(kernels | {"disk": (parse_kernel("disk:3"), 1.0 + cost)}, 80.0, monkeypatch)
    found = estimate_kernel(blurred("gaussian:2", white, 2), 0.02)
    assert found.spec.family == chosen
    assert (found.gaussian is not None) is offered


class Restoring:
    """The command without its command line."""

    def __init__(self, options, **solver):
        self.notes, self.task = [], options.task
        machine = MachineOptions(device="cpu", dtype="fp32")
        self.restorer = Restorer(
            find_model("natural"),
            SolverOptions(**({"steps": 12} | solver)),
            machine,
            options,
            OutputOptions(overwrite=True),
        )

    def __call__(self, path):
        out = path.with_name("out.png")
        result = self.restorer.restore(
            Job(self.task, path, out), lambda *_: None, self.notes.append
        )
        return result, load_picture(out)


AUTO = DeblurOptions(KernelSpec("auto"))


@pytest.mark.parametrize("noise", [wide, white])
def test_a_photographs_kernel_is_found_and_used(noise, tmp_path):
    """As if it had been given, but that the noise is heard in one evaluation more."""
    path = saved(tmp_path, blurred("motion:13,40", noise, 4))
    result, picture = Restoring(AUTO)(path)
    kernel = result.remark.removeprefix("kernel ").split(" ")[0]
    assert result.remark.endswith("(estimated)")
    length, angle = parse_kernel(kernel).parameters
    assert (length, angle) == (pytest.approx(13, rel=0.1), pytest.approx(40, abs=4))
    told, by_hand = Restoring(DeblurOptions(parse_kernel(kernel)), noise=result.noise)(path)
    assert result.steps == told.steps == 12
    if noise is white:
        assert (picture.pixels == by_hand.pixels).all()


def test_a_jpegs_blur_is_found_and_what_else_it_may_be_is_said(tmp_path):
    path = saved(tmp_path, blurred("gaussian:2", wide, 2), "y.jpg")
    result, _ = Restoring(AUTO)(path)
    kernel, sigma = re.fullmatch(
        r"kernel (\S+) \(estimated; gaussian:(\S+) may be right as well\)", result.remark
    ).groups()
    assert parse_kernel(kernel).family == "disk"
    assert float(sigma) == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(
    ("name", "spec", "sure"),
    [
        ("y.jpg", "disk:3", True),
        ("y.webp", "disk:3", False),
        ("y.webp", "uniform:1", False),
        ("y.webp", "motion:9,30", True),
    ],
)
def test_compression_of_unknown_steps_may_be_what_looks_like_a_blur(name, spec, sure, tmp_path):
    problem = posed(saved(tmp_path, blurred("gaussian:2", wide, 2), name), AUTO)
    estimate = KernelEstimate(parse_kernel(spec), "sure", 30.0, 20.0, ((SHARP, 30.0),))
    if sure:
        assert problem.believe(estimate) == estimate.spec
    else:
        with pytest.raises(
            PictureError, match="not sure what blurred it .its compression hides it"
        ):
            problem.believe(estimate)


def test_where_nothing_is_left_it_is_not_said_that_there_is_no_blur(tmp_path):
    problem = posed(saved(tmp_path, blurred("gaussian:2", wide, 2), "y.jpg"), AUTO)
    with pytest.raises(PictureError, match="too little of it is left"):
        problem.believe(KernelEstimate(SHARP, "not sure", 0.0, 0.0))


def test_a_sharp_photograph_with_wide_noise_is_left_alone(tmp_path):
    path = saved(tmp_path, blurred("uniform:1", wide, 4))
    with pytest.raises(PictureError, match=r"not sure what blurred it|no Gaussian"):
        Restoring(AUTO)(path)
    assert not (tmp_path / "out.png").exists()


def test_noise_that_cannot_be_told_leaves_the_kernel_open(tmp_path, monkeypatch):
    path = saved(tmp_path, blurred("gaussian:2", wide, 5))
    problem = posed(path, AUTO)
    problem.white = False
    stages = problem.stages()
    monkeypatch.setattr("reddiff_cli.tasks.listening.measure_noise", lambda *_: None)
    problem.accept(next(stages), problem.y)
    with pytest.raises(PictureError, match="too little of it is flat to tell its noise"):
        next(stages)


def test_without_noise_nothing_is_heard(tmp_path):
    path = saved(tmp_path, blurred("motion:13,40", white, 0))
    (stage,) = posed(path, AUTO, noise=0.0).stages()
    assert not stage.shared


# Of the second, nothing is so weak that it shows the noise alone.
MOTION, KNOWN = (DeblurOptions(parse_kernel(text)) for text in ("motion:9,30", "gaussian:0.5"))


@pytest.mark.parametrize(
    ("options", "noise", "level", "name", "solver", "listens"),
    [
        (KNOWN, wide, 5, "y.png", {}, True),
        (KNOWN, wide, 5, "y.png", {"method": "dps"}, True),
        (KNOWN, wide, 5, "y.png", {"noise": 0.02}, False),
        (KNOWN, wide, 5, "y.jpg", {}, False),
        (KNOWN, white, 5, "y.png", {}, False),
        (KNOWN, white, 0, "y.png", {}, False),
        (SuperresOptions(2, parse_filter("bicubic")), white, 5, "y.png", {}, False),
        (parse_degrade("blur gaussian:0.5"), wide, 5, "y.png", {}, True),
    ],
)
def test_who_listens(options, noise, level, name, solver, listens, tmp_path):
    """Where nobody told the noise and it seems to be wide, which lossy files would hide."""
    path = saved(tmp_path, blurred("gaussian:0.5", noise, level), name)
    stages = list(posed(path, options, **solver).stages())
    heard = [stage for stage in stages if stage.shared == 1]
    assert bool(heard) is listens
    assert {stage.y.shape for stage in (*heard, stages[-1])} == {(1, 3, SIDE, SIDE)}


def test_a_composition_with_a_hole_does_not_listen(tmp_path):
    y = blurred("motion:9,30", wide, 5)
    mask = -torch.ones(1, 1, SIDE, SIDE)
    mask[..., 90:92, 40:150] = 1
    path, hole = saved(tmp_path, y), saved(tmp_path, mask, "m.png")
    first = next(posed(path, parse_degrade(f"blur motion:9,30 | mask {hole}")).stages())
    assert not first.shared


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_noise_that_is_clipped_in_the_dark_is_not_taken_for_less(depth, tmp_path):
    """Tiles of half of the noise are not what the network knows, and told next to nothing."""
    place = torch.linspace(0, 9, SIDE)
    dark = 0.5 * (place.sin() * place.cos()[:, None]).clamp(min=0) + 0.02
    y = dark + 5 / 255 * torch.randn(dark.shape, generator=torch.Generator().manual_seed(0))
    path = tmp_path / f"y{depth}.png"
    pixels = y.clamp(0, 1)[:, :, None].numpy()
    save_picture(Picture(pixels, depth=depth), path, None)
    problem = posed(path, DenoiseOptions())
    about = SolverOptions(), MachineOptions(device="cpu"), DenoiseOptions(), OutputOptions()
    restorer = Restorer(find_model("natural"), *about)
    for stage in problem.stages():
        problem.accept(stage, restorer.solve(stage)[0])
    assert 255 * problem.noise == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize(("depth", "least"), [(8, 0.5), (16, 0.0)])
def test_files_of_16_bits_may_have_less_noise_than_rounding_to_8(depth, least, tmp_path):
    place = torch.linspace(0, 9, SIDE)
    scene = 0.4 + 0.3 * place.sin() * place.cos()[:, None]
    y = scene + 0.05 / 255 * torch.randn(scene.shape, generator=torch.Generator().manual_seed(0))
    path = tmp_path / f"y{depth}.png"
    save_picture(Picture(y.clamp(0, 1)[:, :, None].numpy(), depth=depth), path, None)
    noise = 255 * posed(path, DenoiseOptions()).noise
    assert noise == pytest.approx(least or 0.05, rel=0.2)


def test_a_picture_of_a_small_range_is_spread_out(tmp_path):
    notes, path = [], tmp_path / "faint.png"
    ramp = torch.linspace(0, 0.05, SIDE).expand(SIDE, SIDE)
    setting = Setting(find_model("natural"), SolverOptions(), notes.append)
    job = Job("denoise", path, tmp_path / "o.png")
    tops = []
    for depth in (8, 16):
        save_picture(Picture(ramp[:, :, None].numpy(), depth=depth), path, None)
        tops.append(float(pose(job, DenoiseOptions(), setting).y.max() + 1) / 2)
    assert tops == pytest.approx([0.05, 0.4], rel=0.02)
    [note] = notes
    assert "its values reach 5 % of white; the prior sees them 8 times as bright" in note


def test_grey_pictures_are_heard_in_one_channel(tmp_path):
    y = blurred("gaussian:0.5", wide, 5)[:, :1].expand(1, 3, SIDE, SIDE)
    heard, _ = posed(saved(tmp_path, y), KNOWN).stages()
    assert heard.shared == 1
    assert heard.y.shape == (1, 1, SIDE, SIDE)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (KNOWN, False),
        (parse_degrade("blur gaussian:0.5 | down 2 box"), False),
        (parse_degrade("down 2 box"), True),
        (SuperresOptions(2, parse_filter("bicubic")), True),
        (SuperresOptions(2, parse_filter("bicubic"), "srgb"), True),
    ],
)
def test_tiles_are_asked_about_white_noise_where_nothing_is_blurred(options, asked, tmp_path):
    """Behind a blur the network takes noise for less than there is, and there is no need."""
    y = blurred("gaussian:0.5", white, 5)
    problem = posed(saved(tmp_path, y), options)
    assert (next(problem.stages()).probe is Probe.TILES) == asked
    if not asked:
        assert 255 * problem.noise == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("options", [MOTION, parse_degrade("blur motion:9,30")])
@pytest.mark.parametrize(("noise", "white"), [(wide, False), (white, True)])
def test_behind_a_long_blur_texture_is_no_noise(noise, white, options, tmp_path):
    """Where the blur lets nothing through there is noise alone.

    What is not white is heard as well: for its spectrum, or behind blurs of light its strength.
    """
    generator = torch.Generator().manual_seed(0)
    x = (0.3 * torch.randn((1, 1, SIDE + 9, SIDE + 9), generator=generator)).expand(1, 3, -1, -1)
    kernel = make_kernel(parse_kernel("motion:9,30"))
    y = Blur(kernel)(x.clamp(-0.9, 0.9))[..., :SIDE, :SIDE] + 3 / 127.5 * noise(2)
    problem = posed(saved(tmp_path, y), options)
    estimated = problem.noise
    *heard, stage = problem.stages()
    assert len(heard) == (not white)
    assert not stage.shared
    assert stage.white is white
    assert estimated > 8 / 255
    most = 3.2 if white else 6.5
    assert 2.8 / 255 < stage.sigma_y / 2 < most / 255


@pytest.mark.parametrize(("options", "level"), [(KNOWN, 5), (DenoiseOptions(), 15), (AUTO, 5)])
def test_what_was_heard_is_measured_once(options, level, tmp_path, monkeypatch):
    calls, where = [], "reddiff_cli.tasks.listening.measure_noise"
    monkeypatch.setattr(where, lambda *told: calls.append(told) or measure_noise(*told))
    problem = posed(saved(tmp_path, blurred("motion:13,40", wide, level)), options)
    looks = 0
    for stage in problem.stages():
        answer = told_of_tiles(stage, 0.08, wide=True) if stage.probe else stage.start
        looks += stage.shared == 1
        problem.accept(stage, answer)
    assert len(calls) == looks > 0


def test_what_is_heard_is_that_of_the_present_measurement(tmp_path):
    problem = posed(saved(tmp_path, blurred("gaussian:0.5", white, 5)), KNOWN)
    before = problem.sound
    assert problem.sound is before
    problem.y = problem.y / 2
    assert problem.sound.y is problem.y
    assert problem.sound.fine == pytest.approx(before.fine / 2)


def settled(tmp_path, estimated, heard, colour=True):
    """Noise of 255 that a picture is restored with, and whether it is white."""
    problem = posed(saved(tmp_path, blurred("motion:9,30", wide, 5)), KNOWN)
    problem.noise, problem.clean = estimated / 255, problem.y
    power = spectrum_of((wide if colour else white)(5, TILE).expand(2, 3, TILE, TILE))
    strength = torch.tensor([2 * heard / 255])
    found = ColouredNoise(power, torch.zeros(1), strength)
    problem.heard = found
    problem._sounds_white = lambda _: not colour
    problem._settle()
    raised = 1 if problem.white else 255 * problem.noise / heard
    assert problem.grounds.raised == pytest.approx(raised)
    return problem.noise * 255, problem.white


def test_the_estimate_stands_within_what_is_heard(tmp_path):
    assert settled(tmp_path, 7, 4) == (pytest.approx(7), False)
    assert settled(tmp_path, 12, 4) == (pytest.approx(8), False)
    assert settled(tmp_path, 5, 4) == (pytest.approx(6), False)
    fine = posed(tmp_path / "y.png", KNOWN).sound.fine / 2
    assert settled(tmp_path, 12, 4, colour=False) == (pytest.approx(255 * fine), True)


def test_no_simple_blur_is_not_called_no_blur(tmp_path):
    """A curved shake is nearest to none of the kernels that are tried."""
    problem = posed(saved(tmp_path, blurred("uniform:1", wide, 2), "y.png"), AUTO)
    with pytest.raises(PictureError, match="no Gaussian, disk or straight motion found"):
        problem.believe(KernelEstimate(SHARP, "sure", 0.0, 1.0, ((SHARP, 1.0),)))


def heard_as(level):
    """Noise wider than a pixel of this level, of 255, that no channel shares with another."""
    power = spectrum_of(wide(5, TILE).expand(2, 3, TILE, TILE))
    return ColouredNoise(power, torch.zeros(1), torch.tensor([2 * level / 255]))


def hears(problem, found):
    """Whatever the network is asked tells the same."""

    def hear(_):
        problem.clean, problem.heard = problem.y, found

    problem._hear = hear


REDUCED = SuperresOptions(2, parse_filter("bicubic"))


def test_grain_that_nothing_explains_is_taken_stronger_where_nothing_is_blurred(tmp_path):
    problem = posed(saved(tmp_path, blurred("gaussian:0.5", white, 5)), REDUCED)
    doubted = []

    def doubting(*, white):
        doubted.append(white)
        problem.heard = heard_as(4)
        return iter(())

    problem.probing, problem.doubting = lambda: iter(()), doubting
    (stage,) = problem.stages()
    assert doubted == [False]
    assert not stage.white
    assert 255 * stage.sigma_y / 2 == pytest.approx(LOW * 4)
    assert problem.grounds.raised == pytest.approx(LOW)


@pytest.mark.parametrize(("estimated", "taken"), [(5, 6), (7, 7), (12, 8)])
def test_wide_noise_is_asked_about_where_nothing_is_blurred(estimated, taken, tmp_path):
    """Then the estimate stands within what was heard."""
    problem = posed(saved(tmp_path, blurred("gaussian:0.5", white, 5)), REDUCED)
    asked = []
    hears(problem, heard_as(4))
    problem.noise, problem._doubts = estimated / 255, lambda: True
    problem.probing, problem.asking = lambda: iter(()), lambda found: asked.append(found) or ()
    problem.doubting = lambda *, white: iter(())
    problem._sounds_white = lambda _: False
    for stage in problem.stages():
        problem.accept(stage, stage.start)
    assert len(asked) == 1
    assert 255 * stage.sigma_y / 2 == pytest.approx(taken)


@pytest.mark.parametrize(
    ("heard", "nulls", "taken"),
    [(None, False, 7), (4, False, 7), (2, False, 4), (4, True, 7), (6, True, LOW * 6)],
)
def test_behind_a_blur_of_light_noise_is_as_strong_as_heard(heard, nulls, taken, tmp_path):
    """No weaker than where the blur lets nothing through; nothing heard changes nothing."""
    options = DeblurOptions(parse_kernel("gaussian:0.5"), response="srgb")
    problem = posed(saved(tmp_path, blurred("gaussian:0.5", wide, 5)), options)
    problem.noise, problem.white = 7 / 255, False
    hears(problem, None if heard is None else heard_as(heard))
    problem._looks_in_nulls = lambda: nulls
    problem._sounds_white = lambda _: False
    problem._is_coloured = lambda _: True
    *_, stage = solved_stages(problem)
    assert problem.spectrum is None
    assert 255 * stage.sigma_y / 2 == pytest.approx(taken)


def solved_stages(problem):
    """All stages, each of which changes nothing."""
    for stage in problem.stages():
        problem.accept(stage, stage.start)
        yield stage


def test_too_little_noise_behind_a_blur_is_not_heard(tmp_path):
    problem = posed(saved(tmp_path, blurred("gaussian:0.5", wide, 5)), KNOWN)
    problem._is_loud, problem._looks_in_nulls = lambda: False, lambda: False
    (stage,) = problem.stages()
    assert not stage.shared


def test_one_channel_tells_no_doubt_of_white_noise(tmp_path):
    """As its middle frequencies tell nothing: what tiles tell is taken as it is."""
    y = blurred("gaussian:0.5", white, 5)
    grey, colours = y[:, :1].expand(1, 3, SIDE, SIDE), y
    listened = []
    for picture in (grey, colours):
        problem = posed(saved(tmp_path, picture), DenoiseOptions())
        left = torch.tensor([[1.0, 2.0, 1.0]])
        about = torch.zeros(1), torch.tensor([5 / 127.5]), left, torch.ones(1, 3)
        problem.tile_noise = TileNoise(*about)
        hears(problem, None)
        problem._listens_again = lambda _: False
        listened.append(len(list(problem.doubting(white=True))))
        problem.tile_noise = None
        assert not list(problem.doubting(white=True))
    assert listened == [0, 1]
