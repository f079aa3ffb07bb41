"""Noise that reaches the network through a linear operator: exact covariances and posteriors."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from doubles import gaussian_prior
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import load_model
from reddiff_cli.evaluation.degrade import degrade
from reddiff_cli.evaluation.options import make_case
from reddiff_cli.methods import Solving, draws
from reddiff_cli.metrics import rms
from reddiff_cli.operators import (
    Blur,
    Chain,
    CircularBlur,
    Identity,
    Inpaint,
    PaddedBlur,
    Whitened,
    rec601,
)
from reddiff_cli.operators.downsample import bicubic, box
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.schedule import linear_betas
from reddiff_cli.solvers.through import Through
from reddiff_cli.tasks import Setting, Stage, degrees, pose
from reddiff_cli.tasks.degrees import first_level, told_share
from reddiff_cli.tiling import Whole

PICTURE = Path(__file__).parent / "pictures" / "coffee.png"
SCHEDULE = linear_betas()
CARD = Card("none", None, turns="none")
SIDE = 6
PIXELS = SIDE**2
LINE = torch.tensor([[0.2, 0.5, 0.3]], dtype=torch.float64)
OPERATORS = {
    "box": box(2),
    "bicubic": bicubic(2),
    "blur": Blur(LINE),
    "square": Blur(torch.tensor([[0.0, 0.3], [0.5, 0.2]], dtype=torch.float64)),
    "circular": CircularBlur(LINE),
    "padded": PaddedBlur(LINE, "reflect"),
    "chain": Chain((CircularBlur(LINE), box(2))),
}


def canvas(rows=1):
    return torch.zeros(rows, 1, SIDE, SIDE, dtype=torch.float64)


def units(like):
    """All pictures of like's shape that are 1 at a single place, as a batch."""
    count = like[0].numel()
    return torch.eye(count, dtype=torch.float64).view(count, *like.shape[1:])


def matrix_of(linear, like):
    """M with M x.flatten() = linear(x).flatten(), x of like's shape."""
    return torch.stack([linear(unit[None]).flatten() for unit in units(like)], 1)


def noise_of(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(("s", "sigma"), [(0.1, 0.1), (0.5, 0.1), (2.0, 0.02), (0.05, 0.3)])
def test_noise_of_z_is_white_and_of_its_level_in_every_direction(name, s, sigma):
    """sigma^2 C C^T of y's own noise and what is added make s^2 I, exactly."""
    operator, zero = OPERATORS[name], canvas()
    nothing = torch.zeros_like(operator(zero))
    through = Through(operator, nothing, sigma)
    own = matrix_of(lambda y: replace(through, y=y).around(zero, s, zero, zero)[0], nothing)
    first = matrix_of(lambda xi: through.around(zero, s, xi, zero)[1], zero)
    second = matrix_of(lambda other: through.around(zero, s, zero, other)[1], zero)
    covariance = sigma**2 * own @ own.T + first @ first.T + second @ second.T
    expected = s**2 * torch.eye(PIXELS, dtype=torch.float64)
    # Kernels that are no column times a row get a few conjugate gradients.
    atol = (0.05 if name == "square" else 0.002) * s**2
    torch.testing.assert_close(covariance, expected, atol=atol, rtol=0)


def test_z_is_y_where_y_is_less_noisy_and_mu_elsewhere():
    operator, draw = box(2), noise_of((1, 1, SIDE, SIDE))
    mu, truth = draw(), draw()
    y = operator(truth)
    centre, _ = Through(operator, y, 1e-4).around(mu, 1.0, draw(), draw())
    torch.testing.assert_close(operator(centre), y, atol=1e-6, rtol=0)
    hidden = centre - 4 * operator.adjoint(operator(centre))
    torch.testing.assert_close(hidden, mu - 4 * operator.adjoint(operator(mu)))
    centre, _ = Through(operator, y, 100.0).around(mu, 0.01, draw(), draw())
    torch.testing.assert_close(centre, mu, atol=1e-6, rtol=0)


class Remembering:
    """A denoiser that remembers the levels that it was asked for."""

    schedule = SCHEDULE

    def __init__(self, prior):
        self.prior, self.levels = prior, []

    def __call__(self, z, t):
        self.levels += [float(SCHEDULE.s[k]) for k in t]
        return self.prior(z, t)


def solved(task, operator, y, sigma, denoiser, **asked):
    stage = Stage(Whole(0), operator, y, operator.start(y), s_start=1.0, sigma_y=sigma)
    solver = SolverOptions(**({"steps": 50} | asked))
    solving = Solving(task, stage, stage.start, draws(stage.start, 0), denoiser, CARD, solver)
    *_, (_, mu) = solving.run()
    return mu


@pytest.mark.parametrize(
    ("task", "flags"),
    [("superres", {"scale": 2}), ("deblur", {"kernel": "gaussian:2"})],
)
def test_it_restores_noisy_pictures_better_than_without(task, flags, monkeypatch):
    """With the bundled network, which an exact denoiser of Gaussian pictures cannot stand for."""
    specimen = degrade(load_picture(PICTURE), make_case(task, flags, 0.05), 64, 0)
    card = find_model("natural")
    denoiser = load_model(card, torch.device("cpu"), torch.float32)

    def error():
        stage = next(specimen.pose(Setting(card, SolverOptions(noise=0.05), print)).stages())
        solver = SolverOptions(steps=12)
        about = (task, stage, stage.start, draws(stage.start, 0), denoiser, card, solver)
        *_, (_, mu) = Solving(*about).run()
        return float(rms(specimen.crop(mu) - specimen.truth))

    ours = error()
    monkeypatch.setattr(Solving, "_through", lambda _: None)
    assert ours < 0.93 * error()


def test_levels_end_at_the_noise():
    prior, operator = gaussian_prior(SIDE, SCHEDULE), box(2)
    for sigma, end in ((0.2, 0.2), (0.01, 0.03)):
        denoiser = Remembering(prior)
        solved("superres", operator, operator(canvas()), sigma, denoiser)
        assert min(denoiser.levels) == pytest.approx(end, rel=0.06)


@pytest.mark.parametrize(
    ("task", "operator", "sigma", "used"),
    [
        ("superres", box(2), 0.1, True),
        ("deblur", Blur(LINE.float()), 0.1, True),
        ("restore", Chain((Blur(LINE.float()), box(2))), 0.1, True),
        ("colorize", rec601(), 0.1, True),
        ("deblur", Blur(LINE.float()), 0.004, False),  # what rounding leaves is not noise
        ("superres", box(2), 0.0, False),
        ("inpaint", Inpaint(torch.ones(1, 1, SIDE, SIDE)), 0.1, False),
        ("restore", Chain((Whitened(torch.ones(1, 1, SIDE, SIDE)),)), 0.1, False),
        ("denoise", Identity(), 0.1, False),
    ],
)
def test_who_sees_through(task, operator, sigma, used):
    """Pixels that are shown as they are go by `Seen`; exact measurements need no noise."""
    y = operator(torch.zeros(1, 3, SIDE, SIDE))
    stage = Stage(Whole(0), operator, y, operator.start(y), s_start=1.0, sigma_y=sigma)
    denoiser = Remembering(None)
    about = (task, stage, stage.start, draws(stage.start, 0), denoiser, CARD, SolverOptions())
    through = Solving(*about)._through()
    assert (through is not None) is used
    if through is not None:
        assert through.sigma == sigma
        assert through.y is y


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("task", ["deblur", "superres", "colorize"])
def test_noise_wider_than_a_pixel_counts_more(task, wide, tmp_path):
    """The commands ask whether y's noise is white; its sigma in z follows, whatever was told."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn((1, 3, 404, 404), generator=generator)
    if wide:
        noise = 3 * torch.nn.functional.avg_pool2d(noise, 3, stride=1)
    channels = 1 if task == "colorize" else 3
    scene = torch.linspace(0.2, 0.8, 400).expand(1, channels, 400, 400)
    pixels = scene + 0.04 * noise[:, :channels, :400, :400]
    path = tmp_path / "img.png"
    save_picture(Picture(pixels.clamp(0, 1)[0].permute(1, 2, 0).numpy()), path, None)
    flags = {"deblur": {"kernel": "gaussian:2"}, "superres": {"scale": 2}}.get(task, {})
    options = make_case(task, flags, 0.0).options
    setting = Setting(CARD, SolverOptions(noise=0.06), print)
    stage = next(pose(Job(task, path, path), options, setting).stages())
    about = (task, stage, stage.start, None, Remembering(None), CARD, SolverOptions())
    through = Solving(*about)._through()
    assert through is not None
    assert through.sigma == pytest.approx(0.12 * (1.6 if wide else 1.0))


@pytest.mark.parametrize(("method", "calls"), [("reddiff", 1), ("dps", 0)])
@pytest.mark.parametrize("faint_start", [0.0, 2.0])
def test_nobody_asks_what_is_told_in_vain(method, calls, faint_start, monkeypatch):
    """Neither for a card that knows no other level, nor for methods with levels of their own."""
    asked = []
    monkeypatch.setattr(degrees, "told_share", lambda *_: asked.append(1) or 0.5)
    specimen = degrade(load_picture(PICTURE), make_case("superres", {"scale": 2}, 0.01), 48, 0)
    card = replace(CARD, faint_start=faint_start)
    next(specimen.pose(Setting(card, SolverOptions(method=method), print)).stages())
    assert len(asked) == (calls if faint_start else 0)


@pytest.mark.parametrize(("factor", "sigma"), [(2, 0.001), (3, 0.001), (2, 0.05)])
def test_what_is_told_are_the_degrees_of_freedom(factor, sigma):
    """Means of f x f pixels have 1 / f^2 of x's directions, each with a = 1 / f."""
    a = 1 / factor**2
    expected = a * a / (a + (4 * sigma) ** 2)
    found = told_share(box(factor), torch.zeros(1, 3, 60, 60), sigma)
    assert found == pytest.approx(expected, rel=0.05)
    assert told_share(box(factor), torch.zeros(1, 3, 60, 60), sigma) == found


@pytest.mark.parametrize(
    ("operator", "channels"),
    [(box(2), 1), (rec601(), 3), (Chain((box(2), rec601())), 3), (Chain((box(2), box(2))), 1)],
)
def test_one_channel_tells_of_all_where_colours_do_not_mix(operator, channels, monkeypatch):
    seen, step = [], type(operator).data_step

    def watched(operator, d, y, r):
        seen.append(d.shape)
        return step(operator, d, y, r)

    monkeypatch.setattr(type(operator), "data_step", watched)
    told_share(operator, torch.zeros(1, 3, 12, 16), 0.01)
    assert seen == [(1, channels, 12, 16)]


def test_where_little_is_told_solvers_start_higher():
    card = replace(CARD, starts={"deblur": 1.0}, faint_start=2.0)
    levels = [first_level("deblur", card, share) for share in (0.5, 0.16, 0.12, 0.08, 0.01)]
    assert levels == pytest.approx([1, 1, 2**0.5, 2, 2])
    assert first_level("deblur", replace(card, faint_start=0.0), 0.01) == 1
    assert first_level("deblur", replace(card, starts={"deblur": 3.0}), 0.01) == 3


@pytest.mark.parametrize(
    ("task", "flags", "level"),
    [("superres", {"scale": 4}, 2.0), ("superres", {"scale": 2}, 1.0), ("colorize", {}, 0.5)],
)
def test_stages_start_by_what_is_told(task, flags, level):
    """Colours are not told either, but are no matter of `faint_start`."""
    card = Card("none", None, starts={"superres": 1.0, "colorize": 0.5}, faint_start=2.0)
    specimen = degrade(load_picture(PICTURE), make_case(task, flags, 0.01), 96, 0)
    stage = next(specimen.pose(Setting(card, SolverOptions(noise=0.01), print)).stages())
    assert stage.s_start == pytest.approx(level)
    asked = SolverOptions(noise=0.01, s_start=0.7)
    assert next(specimen.pose(Setting(card, asked, print)).stages()).s_start == 0.7
