"""Whether what was heard as noise is noise to the network, and not texture."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from doubles import GaussianPrior, gaussian_prior, told_of_tiles
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.estimation.coloured_noise import ColouredNoise
from reddiff_cli.estimation.noise import FLOOR, RISE
from reddiff_cli.estimation.stationary import (
    TILE,
    apart,
    of_mean,
    of_side,
    shaping_kernel,
    white_power,
)
from reddiff_cli.estimation.tile_noise import TileNoise
from reddiff_cli.metrics import psnr
from reddiff_cli.operators import Identity
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.options.tasks import DenoiseOptions
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.schedule import linear_betas
from reddiff_cli.solvers.confirmation import (
    FIRST,
    LEAST,
    STEP,
    confirmed_share,
    likeliest_shares,
    shares_of,
)
from reddiff_cli.solvers.whitening import Whitening
from reddiff_cli.tasks import Setting, pose
from reddiff_cli.tasks.confirmed import FEWEST, TIMES
from reddiff_cli.tasks.denoise import Denoising
from reddiff_cli.tasks.listening import AGAIN, OVER_FINE, UNHEARD
from reddiff_cli.tasks.problem import Probe, to_tensor

PICTURE = Path(__file__).parent / "pictures" / "coffee.png"
SIDE, TILES = 12, 8


def draws(shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=dtype)


@dataclass
class Colours:
    """(n, 3, TILES * 12, TILES * 12): independent pictures of a prior, each 12 x 12."""

    prior: GaussianPrior

    def __call__(self, z, t):
        parts = z.view(-1, TILES, SIDE, TILES, SIDE).transpose(2, 3).reshape(-1, 1, SIDE, SIDE)
        return self.sewn(self.prior(parts, t[:1].expand(len(parts))), len(z))

    def sewn(self, parts, count):
        quilt = parts.view(-1, TILES, TILES, SIDE, SIDE).transpose(2, 3)
        return quilt.reshape(count, 3, TILES * SIDE, TILES * SIDE)

    def pictures(self, count):
        root = torch.linalg.cholesky(self.prior.covariance)
        flat = draws((count * 3 * TILES**2, SIDE**2))() @ root.T
        return self.sewn((self.prior.mean + flat).view(-1, 1, SIDE, SIDE), count)


def colours():
    prior = gaussian_prior(SIDE, linear_betas())
    return Colours(replace(prior, mean=0.2 * prior.mean, covariance=0.1 * prior.covariance))


def wide_power(channels=3):
    """As of a camera's colours: falling with the frequency, 1 in the mean."""
    f = torch.fft.fftfreq(TILE)
    falling = torch.exp(-20 * (f[:, None].square() + f.square()))
    return white_power(channels) * (falling / falling.mean())[..., None, None]


def noise_of(power, shape, seed):
    kernel = shaping_kernel(power).double()
    around = torch.nn.functional.pad(draws(shape, seed)(), (8, 7, 8, 7), mode="circular")
    return torch.nn.functional.conv2d(around, kernel)


def answer(y, power, sigma, prior):
    heard = Whitening(y, power, torch.full_like(y[:, :1], sigma))
    *_, (looks, told) = confirmed_share(heard, prior, prior.prior.schedule, draws(y.shape, 3))
    return float(told), looks


@pytest.mark.parametrize("true", [1.0, 0.8])
def test_noise_that_is_there_is_confirmed(true):
    """Under an exact prior; one level is enough to know."""
    prior = colours()
    x, power = prior.pictures(4), wide_power()
    y = (x + true * 0.1 * noise_of(power, x.shape, 5)).clamp(-0.999, 0.999)
    assert answer(y, power, 0.1, prior) == (1.0, 2)


@pytest.mark.parametrize("true", [0.35, 0.18])
def test_of_noise_that_was_heard_too_loud_as_much_is_left_as_there_is(true):
    prior = colours()
    x, power = prior.pictures(4), wide_power()
    y = (x + true * 0.1 * noise_of(power, x.shape, 5)).clamp(-0.999, 0.999)
    share, looks = answer(y, power, 0.1, prior)
    assert true / STEP <= share <= true * STEP
    assert looks > 2


def test_texture_is_none():
    prior = colours()
    share, _ = answer(prior.pictures(4).clamp(-0.999, 0.999), wide_power(), 0.1, prior)
    assert share * 0.1 * 127.5 < LEAST * STEP


def test_what_is_clipped_says_nothing():
    """There is no noise, and all that is added goes: as if there were too little."""
    prior = colours()
    x, power = prior.pictures(4), wide_power()
    y = (x + 0.1 * noise_of(power, x.shape, 5)).clamp(-0.999, 0.999)
    y[..., : TILES * SIDE // 2] = 1

    class Knows(Colours):
        def __call__(self, z, t):
            return torch.where(y == 1, 1.0, super().__call__(z, t))

    assert answer(y, power, 0.1, Knows(prior.prior)) == (1.0, 2)


@pytest.mark.parametrize(
    ("mean", "apart"), [(1.0, 1.0), (0.9, 0.9), (0.5, 0.5), (0.3, 1.0), (1.0, 0.3), (0.2, 0.4)]
)
def test_noise_that_was_heard_too_loud_is_told_closely(mean, apart):
    """In the mean of the channels and in their differences, under an exact prior."""
    prior = colours()
    x, power = prior.pictures(4), wide_power()
    loud = ColouredNoise(power, torch.zeros(1), torch.tensor([0.1])).scaled(1 / mean, 1 / apart)
    y = (x + 0.1 * noise_of(power, x.shape, 5)).clamp(-0.999, 0.999)
    heard = Whitening(y, loud.power, torch.full_like(y[:, :1], float(loud.strength)))
    *_, (_, told) = likeliest_shares(heard, prior, prior.prior.schedule, draws(y.shape, 3))
    for share, truth in zip(told[0].tolist(), (mean, apart), strict=True):
        assert share == (1.0 if truth > STEP**-0.5 else pytest.approx(truth, rel=0.25))


def test_texture_is_no_noise_either_where_it_is_told_closely():
    prior, sigma = colours(), 0.1
    y = prior.pictures(4).clamp(-0.999, 0.999)
    heard = Whitening(y, wide_power(), torch.full_like(y[:, :1], sigma))
    *_, (_, told) = likeliest_shares(heard, prior, prior.prior.schedule, draws(y.shape, 3))
    mean, apart_ = told[0].tolist()
    assert mean < 0.4  # a third as many values tell it
    assert apart_ < 0.2


def test_noise_is_scaled_in_the_mean_of_channels_and_apart():
    noise = ColouredNoise(wide_power(), torch.zeros(1), torch.tensor([0.1]))
    scaled = noise.scaled(0.5, 0.25)
    before, after = (one.loudness**2 * one.power for one in (noise, scaled))
    torch.testing.assert_close(of_mean(after), 0.25 * of_mean(before))
    torch.testing.assert_close(apart(after), 0.0625 * apart(before))
    assert float(scaled.power.real.diagonal(dim1=2, dim2=3).mean()) == pytest.approx(1)


def test_shares_fall_to_the_least_noise():
    y = torch.zeros(2, 3, 32, 32)

    def shares(sigma):
        return shares_of(Whitening(y, wide_power(), torch.full_like(y[:, :1], sigma / 127.5)))

    assert shares(0.5) == shares(2.0) == [FIRST]
    falling = shares(10)
    assert falling[0] == FIRST
    assert LEAST <= 10 * falling[-1] < LEAST * STEP


def test_apart_is_what_channels_do_not_share():
    power = torch.zeros(TILE, TILE, 3, 3, dtype=torch.complex64)
    torch.testing.assert_close(apart(power + 5), torch.zeros(TILE, TILE))  # the same in all
    torch.testing.assert_close(apart(2 * white_power(3) + 5), torch.full((TILE, TILE), 2.0))


def test_of_side_keeps_the_frequencies():
    power = torch.exp(-20 * torch.fft.fftfreq(TILE).square()).expand(TILE, TILE)
    torch.testing.assert_close(of_side(power, TILE), power)
    wider = of_side(power, 96)
    torch.testing.assert_close(wider[0, ::6], power[0])
    torch.testing.assert_close(wider[7, :3], power[0, :1].expand(3))


def stages_of(tmp_path, answer, *, noise="auto", grey=False, shared=0.0, **solver):
    """The problem of wide noise of 5 of 255 in a flat file that smooths noise, and its stages.

    answer: what the network confirms.    shared: what it tells of the mean of the channels.
    """
    path = tmp_path / "img.png"
    scene = torch.linspace(0.3, 0.7, 192).expand(1, 1, 192, 192).expand(1, 3, 192, 192)
    x = scene + 5 / 255 * noise_of(wide_power(), scene.shape, 4).float()
    x = x.mean(1, keepdim=True).expand_as(x) if grey else x
    save_picture(Picture(x[0].permute(1, 2, 0).clamp(0, 1).numpy()), path, None)
    setting = Setting(find_model("natural"), SolverOptions(noise=noise, **solver), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    problem.lossy = True  # nobody asks about white noise
    stages = []
    for stage in problem.stages():
        stages.append(stage)
        told = torch.tensor([[answer]]) if stage.whitening else told_of_tiles(stage, shared)
        problem.accept(stage, told if stage.probe else scene * 2 - 1)
    return problem, stages


def test_texture_is_looked_at_as_a_part_of_the_picture(tmp_path):
    whole, before = stages_of(tmp_path, 1.0)
    part, after = stages_of(tmp_path, 0.25)
    heard = [None, None]  # again, as nearly half of what was added was heard
    assert [stage.probe for stage in before] == [*heard, Probe.SHARE, None]
    assert [stage.probe for stage in after] == [*heard, Probe.SHARE, Probe.MEANS, None]
    assert before[1].sigma_y == pytest.approx(OVER_FINE * 2 * whole.noise, rel=0.1)
    assert 255 * whole.noise == pytest.approx(5, rel=0.15)
    assert part.noise == pytest.approx(0.25 * whole.noise)
    torch.testing.assert_close(after[-1].whitening.a, 0.25 * before[-1].whitening.a)


def _scene():
    return torch.linspace(0.3, 0.7, 192).expand(1, 3, 192, 192)


def _posed_with_wide_noise(folder):
    path = folder / "img.png"
    x = _scene() + 5 / 255 * noise_of(wide_power(), _scene().shape, 4).float()
    save_picture(Picture(x[0].permute(1, 2, 0).numpy()), path, None)
    setting = Setting(find_model("natural"), SolverOptions(), print)
    return pose(Job("denoise", path, path), DenoiseOptions(), setting)


def test_what_is_heard_is_heard_again_until_its_own_noise_hardly_counts(tmp_path):
    """A denoiser that leaves nothing of what it is shown hears as much as there is at once."""
    problem, scene = _posed_with_wide_noise(tmp_path), _scene()
    problem.lossy = True  # all is listened to

    def added(takes):
        found = []
        for stage in problem.listening():
            found.append(stage.sigma_y)
            clean = scene * 2 - 1
            problem.accept(stage, clean + (1 - takes(stage)) * (problem.y - clean))
        return found

    assert len(added(lambda _: 0.1)) == 1  # little is heard, and that is that
    assert len(added(lambda stage: 20 * stage.sigma_y)) == 1 + AGAIN
    first, second = added(lambda stage: 1.0)
    assert second == pytest.approx(OVER_FINE * 10 / 255, rel=0.15)
    assert first < second


def test_grain_that_the_channels_share_is_noise(tmp_path):
    """Though the differences of the channels, which are asked about first, have none of it."""
    grain, _ = stages_of(tmp_path, 0.25, shared=5 / 127.5)
    assert 255 * grain.noise == pytest.approx(5, rel=0.15)


@pytest.mark.parametrize("about", [{"samples": 2}, {"s_start": 1.0}, {"method": "ddrm"}])
def test_what_goes_through_levels_takes_what_is_heard_a_little_stronger(about, tmp_path):
    looked_at, _ = stages_of(tmp_path, 1.0)
    problem, stages = stages_of(tmp_path, 1.0, **about)
    assert problem.noise == pytest.approx(RISE * looked_at.noise)
    assert stages[-1].sigma_y == 2 * problem.noise


@pytest.mark.parametrize("about", [{"noise": 0.02}, {"grey": True}])
def test_noise_that_was_told_and_that_of_grey_pictures_is_not_asked_about(about, tmp_path):
    _, stages = stages_of(tmp_path, 0.25, **about)
    assert not any(stage.probe for stage in stages)


@pytest.mark.parametrize(
    ("noise", "about", "asked"),
    [
        (2, {}, True),
        (1.4, {}, False),  # is left as it is
        (4, {"white": True}, False),
        (4, {"asked": True}, False),
        (4, {"lossy": True}, True),
        (2, {"lossy": True}, False),  # takes little along
        (4, {"lossy": True, "step": 8.0}, True),
        (4, {"lossy": True, "step": 10.0}, False),  # would leave no grain to tell
        (9, {"lossy": True, "step": math.inf}, False),  # a lossy file of unknown steps
    ],
)
def test_what_may_be_texture(noise, about, asked):
    setting = Setting(find_model("natural"), SolverOptions(), print)
    picture = load_picture(PICTURE)
    problem = Denoising("denoise", picture, Identity(), to_tensor(picture), noise / 255, setting)
    for name, value in ({"white": False} | about).items():
        setattr(problem, name, value)
    assert problem._may_be_texture() == asked


@pytest.mark.parametrize(("lossy", "most"), [(True, 0.02), (False, 0.8)])
def test_where_much_is_clipped_nothing_is_asked(lossy, most, tmp_path):
    path = tmp_path / "img.png"
    save_picture(Picture(load_picture(PICTURE).pixels[:192, :192]), path, None)
    setting = Setting(find_model("natural"), SolverOptions(), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    noise = ColouredNoise(wide_power(), torch.zeros(1), torch.tensor([0.05]))
    problem.lossy = lossy
    for share, asked in ((0.0, 1), (most / 2, 1), (1.1 * most, 0)):
        specks = torch.rand((1, 1, 192, 192), generator=torch.Generator().manual_seed(0)) < share
        problem.y = torch.where(specks, 1.0, problem.y.clamp(-0.99, 0.99))
        assert len(list(problem.asking(noise))) == asked


def test_where_nothing_is_heard_there_is_rounding_left(tmp_path):
    path = tmp_path / "img.png"
    x = torch.linspace(0.3, 0.7, 192).expand(1, 3, 192, 192)
    x = x + 5 / 255 * noise_of(wide_power(), x.shape, 4).float()
    save_picture(Picture(x[0].permute(1, 2, 0).numpy()), path, None)
    setting = Setting(find_model("natural"), SolverOptions(), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    problem.lossy = True
    for stage in problem.stages():
        problem.accept(stage, problem.y)
    assert problem.noise == FLOOR / 255


@pytest.mark.parametrize("quality", [85, 92])
def test_texture_of_a_jpeg_is_kept(quality, denoise, tmp_path):
    """The coarse cloth under the cup, which sounds like noise of 10 of 255."""
    path, out = tmp_path / "img.jpg", tmp_path / "out.png"
    pixels = load_picture(PICTURE).pixels[256:384, :128]
    save_picture(Picture(pixels), path, None, quality)
    result = denoise(path, out)
    truth = to_tensor(Picture(pixels))
    before, after = (psnr(to_tensor(load_picture(file)), truth) for file in (path, out))
    assert 255 * result.noise < 2
    assert float(after) > float(before) - 0.1  # 5 dB less, if its texture were taken for noise


@pytest.mark.parametrize(
    ("grey", "middle", "sigma", "looks"),
    [(True, 2.2, 4, 2), (True, 1.6, 4, 1), (True, 2.2, 0.2, 1), (False, 1.0, 0.2, 1 + TIMES)],
)
def test_where_nothing_is_heard_it_is_listened_to_again(grey, middle, sigma, looks, tmp_path):
    """Its own noise may have left nothing flat.

    With more, if the network has told that it is wide, or can tell how much of what is heard then
    is noise.
    """
    problem = _posed_with_wide_noise(tmp_path)
    if grey:
        problem.y = problem.y.mean(1, keepdim=True).expand_as(problem.y)
    left = torch.tensor([[1.5, middle, 1.0]])
    told = torch.tensor([sigma / 127.5])
    problem.tile_noise = TileNoise(torch.zeros(1), told, left, torch.ones(1, 3))
    found = []
    for stage in problem.listening():
        found.append(stage.sigma_y)
        problem.accept(stage, problem.y)  # nothing is taken away, and nothing is flat
        assert problem.heard is None
    assert found == [found[0] * UNHEARD**k for k in range(looks)]


def test_few_tiles_are_not_asked_about_what_only_more_noise_makes_heard(tmp_path):
    """One tile of texture is taken for noise then."""
    looks = []
    for side in (128, 192):
        problem = _posed_with_wide_noise(tmp_path)
        problem.y = problem.y[..., :side, :side]
        assert (len(problem.sound.tiles) < FEWEST) == (side == 128)
        looks.append(0)
        for _ in problem.listening():
            problem.heard = None
            looks[-1] += 1
        assert problem.raised == (side == 192)
    assert looks == [1, 1 + TIMES]
