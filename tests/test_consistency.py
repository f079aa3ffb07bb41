"""The noise that the network itself tells of tiles: its size, and whether it is white."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from doubles import gaussian_prior, told_of_tiles
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.estimation.clipping import is_recorded
from reddiff_cli.estimation.noise import wavelet_sigma
from reddiff_cli.estimation.tile_noise import (
    MIDDLE_SURE,
    PART,
    SIDE,
    SMALLEST,
    THERE,
    TileNoise,
    in_bands,
    tiles_of,
)
from reddiff_cli.metrics import psnr
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import DenoiseOptions, SuperresOptions, parse_filter
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.schedule import linear_betas
from reddiff_cli.solvers.consistency import LEAST, MOST, likeliest_noise
from reddiff_cli.tasks import Setting, pose
from reddiff_cli.tasks.problem import Probe, to_tensor

PICTURE = Path(__file__).parent / "pictures" / "coffee.png"


def draws(shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=dtype)


def told(tiles, highest, prior):
    """What is told at the end, and in how many looks."""
    draw = draws(tiles.shape, 3, tiles.dtype)
    *_, (looks, answer) = likeliest_noise(tiles, highest, prior, prior.schedule, draw)
    return answer, looks


def pictures(prior, count, seed=0):
    """Of the prior, (count, 1, side, side)."""
    root = torch.linalg.cholesky(prior.covariance)
    flat = prior.mean + draws((count, prior.side**2), seed, torch.float64)() @ root.T
    return flat.view(count, 1, prior.side, prior.side)


class Quilt:
    """20 x 20 independent pictures of a prior as one, so that what is told is a mean."""

    def __init__(self, prior):
        self.prior, self.schedule = prior, prior.schedule

    def __call__(self, z, t):
        clean = self.prior(self.cut(z), t.expand(400))
        return self.sewn(clean)

    def cut(self, z):
        return z.view(20, 12, 20, 12).transpose(1, 2).reshape(400, 1, 12, 12)

    def sewn(self, parts):
        return parts.view(20, 20, 12, 12).transpose(1, 2).reshape(1, 1, 240, 240)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("highest", [0.75, 1.0, 4.0])
def test_the_likeliest_noise_is_the_one_that_is_there(sigma, highest):
    """Under an exact prior, whose pictures are rough, however far above the search begins."""
    quilt = Quilt(gaussian_prior(12, linear_betas()))
    x = quilt.sewn(0.5 * pictures(quilt.prior, 400))
    mean, covariance = quilt.prior.mean, quilt.prior.covariance
    quilt.prior = replace(quilt.prior, mean=0.5 * mean, covariance=0.25 * covariance)
    y = x + sigma * draws(x.shape, 1, torch.float64)()
    assert float(wavelet_sigma(y.float())) > 1.1 * sigma or sigma > 0.1
    answer, looks = told(y.clamp(-0.999, 0.999), highest * sigma, quilt)
    assert float(answer[0, 0]) == pytest.approx(sigma, rel=0.1 if sigma == 0.05 else 0.05)
    assert looks <= (MOST + 1 if highest > 1 else 4)  # found, it looks no further


def test_where_there_is_none_hardly_any_is_told():
    """Pictures of this prior are nearly as rough as noise."""
    quilt = Quilt(gaussian_prior(12, linear_betas()))
    x = quilt.sewn(pictures(quilt.prior, 400)).clamp(-0.999, 0.999)
    answer, looks = told(x, 0.05, quilt)
    assert LEAST / 127.5 <= float(answer[0, 0]) < 0.01
    assert looks <= MOST + 1


@pytest.mark.parametrize("wide", [False, True])
def test_what_is_left_in_bands_tells_whether_it_is_white(wide):
    """Of flat tiles, a denoiser that leaves nothing of noise and all of what is wide."""
    noise = draws((6, 3, SIDE + 2, SIDE + 2))()
    smooth = 3 * F.avg_pool2d(noise, 3, stride=1)
    tiles = 0.1 + 0.02 * (smooth if wide else noise[..., 1:-1, 1:-1])

    def flat(z, t):
        return torch.full_like(z, 0.1)

    flat.schedule = linear_betas()
    answer, _ = told(tiles, 0.04, flat)
    found = TileNoise(tiles.mean((1, 2, 3)), answer[:, 0], answer[:, 1:4], answer[:, 4:])
    assert found.is_white(0.02) is not wide
    assert found.total == pytest.approx(0.02, rel=0.05)
    low, middle, high = found.excess
    if wide:
        assert low > middle > high
    else:
        assert max(low, middle, high) < 1.1
        assert min(low, middle, high) > 0.9


def noise_of(left, sigma=0.02):
    light, ones = torch.zeros(2), torch.ones(2, 3)
    return TileNoise(light, torch.full((2,), sigma), torch.tensor([left, left]), ones)


@pytest.mark.parametrize(
    ("left", "fine", "white"),
    [
        ([1.0, 1.0, 1.0], 0.08, True),
        ([1.0, 1.3, 1.0], 0.08, False),
        ([1.0, 1.2, 1.0], 0.08, True),
        ([1.4, 1.2, 1.0], 0.08, False),
        ([1.4, 1.05, 1.0], 0.08, True),
        ([1.3, 1.3, 1.3], 0.08, True),
        ([1.4, 1.3, 1.0], 0.021, True),  # it is in the finest details
        ([1.4, MIDDLE_SURE + 0.1, 1.0], 0.021, False),
        ([1.4, 1.3, 1.0], 1.9 * THERE / 255, False),  # where there is next to nothing
    ],
)
def test_the_verdict(left, fine, white):
    sigma = 0.02 if fine > 0.02 else fine
    assert noise_of(left, sigma).is_white(fine) is white


def test_strength_by_brightness():
    sigma = torch.tensor([0.01, 0.02, 0.03, 0.03, 0.04, 0.04, 0.05, 0.07])
    nothing = torch.zeros(8, 3)
    lights, strengths = TileNoise(torch.arange(8.0) / 8, sigma, nothing, nothing).by_light()
    assert lights.tolist() == [0.0625, 0.3125, 0.5625, 0.8125]
    assert float(strengths[0]) == pytest.approx(math.sqrt((0.01**2 + 0.02**2) / 2))
    assert float(strengths[2]) == pytest.approx(0.04)


@pytest.mark.parametrize(
    ("height", "width", "count", "side"),
    [
        (300, 500, 8, SIDE),
        (192, 192, 4, SIDE),
        (96, 96, 1, 96),
        (50, 70, None, 48),
        (31, 90, 0, 0),
    ],
)
def test_tiles(height, width, count, side):
    y = 0.5 * torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(0))
    tiles = tiles_of(y)
    if count == 0:
        assert tiles is None
        assert height < SMALLEST
        return
    assert tiles.shape[1:] == (3, side, side)
    assert side % PART == 0
    assert count is None or len(tiles) == count
    lights = tiles.mean((1, 2, 3))
    assert lights[-1] >= lights[0]


def test_the_flattest_tiles_that_are_not_clipped():
    y = 0.3 * draws((1, 3, 384, 384))().clamp(-1, 1)
    y[..., :128, :128] = 1  # as flat as can be, but clipped
    y[..., 192:, 192:] *= 0.01
    tiles = tiles_of(y)
    assert bool((is_recorded(tiles).mean((1, 2, 3)) > 0.7).all())
    assert float(tiles.std((1, 2, 3)).min()) < 0.02
    assert tiles_of(torch.ones(1, 3, 200, 200)) is None


def test_bands_hold_what_the_channels_do_not_share():
    shared = draws((2, 1, 96, 96))().expand(2, 3, 96, 96)
    assert float(in_bands(shared, shared).abs().max()) < 1e-6
    own = draws((2, 3, 96, 96))()
    torch.testing.assert_close(
        in_bands(shared + own, own), in_bands(own, own), atol=1.0, rtol=1e-3
    )


def damaged(path, noise, part=(slice(150, 342), slice(150, 342))):
    """A part of a photograph with this noise, and without it, as a tensor."""
    pixels = torch.from_numpy(load_picture(PICTURE).pixels[part])
    save_picture(Picture((pixels + noise).clamp(0, 1).numpy()), path, None)
    return pixels.permute(2, 0, 1)[None] * 2 - 1


def restored(path, options, **solver):
    solver = SolverOptions(preset="fast", **solver)
    machine, output = MachineOptions(device="cpu"), OutputOptions(overwrite=True)
    restorer = Restorer(find_model("natural"), solver, machine, options, output)
    out = path.with_name("out.png")
    result = restorer.restore(Job(options.task, path, out), lambda *_: None, print)
    return result, to_tensor(load_picture(out))


def test_where_most_is_clipped_the_best_tile_will_do():
    """As on white paper."""
    y = torch.ones(1, 3, 200, 200)
    y[..., 60:120, 60:120] = 0.1 * draws((1, 3, 60, 60))()
    tiles = tiles_of(y)
    assert len(tiles) == 1
    assert float(is_recorded(tiles).mean()) > 0.3


def denoised(tmp_path, answers, sigma, side=192, **solver):
    """The problem of white noise of sigma, of 255, and its stages; the network says `answers`.

    answers: for each probe, what it would tell.
    """
    path = tmp_path / "img.png"
    scene = torch.linspace(0.3, 0.7, side).expand(side, side)[..., None]
    scene = scene * torch.tensor([1.0, 0.9, 0.8])
    noise = sigma / 255 * draws((side, side, 3))()
    save_picture(Picture((scene + noise).clamp(0, 1).numpy()), path, None)
    setting = Setting(find_model("natural"), SolverOptions(**solver), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    clean, stages, waiting = scene.permute(2, 0, 1)[None] * 2 - 1, [], iter(answers)
    for stage in problem.stages():
        stages.append(stage)
        if stage.probe is Probe.STRENGTH:
            problem.accept(stage, torch.ones(1, 2))  # that is noise
        else:
            problem.accept(stage, next(waiting)(stage) if stage.probe else clean)
    return problem, stages


def telling(sigma, *, wide=False):
    return lambda stage: told_of_tiles(stage, sigma / 127.5, wide=wide)


@pytest.mark.parametrize("about", [{}, {"samples": 2}, {"method": "ddrm"}])
def test_white_noise_needs_no_hearing(about, tmp_path):
    problem, stages = denoised(tmp_path, [telling(4.8)], 5, **about)
    assert [stage.probe for stage in stages] == [Probe.TILES, None]
    assert 255 * problem.noise == pytest.approx(4.8)
    assert stages[-1].whitening is None
    assert stages[-1].sigma_y == 2 * problem.noise


def test_what_tiles_tell_to_be_wide_is_not_taken_for_white(tmp_path):
    """Though what is heard of it sounds white."""
    problem, stages = denoised(tmp_path, [telling(2, wide=True), telling(1)], 5)
    assert [stage.shared == 1 for stage in stages] == [False, False, True, False, False]
    assert not problem.white
    assert stages[-1].whitening is not None


def test_loud_noise_is_left_to_the_finest_details(tmp_path):
    """Unless it is no noise at all."""
    problem, stages = denoised(tmp_path, [telling(25)], 30)
    assert len(stages) == 3
    assert 255 * problem.noise == pytest.approx(30, rel=0.1)
    problem, stages = denoised(tmp_path, [telling(8), telling(6)], 30)
    assert len(stages) == 3
    assert 255 * problem.noise == pytest.approx(8)


def test_grain_is_shared_by_the_channels(tmp_path):
    """The mean of them has more of it than each has by itself."""
    problem, stages = denoised(tmp_path, [telling(0.5), telling(4.8)], 5)
    assert [stage.y.shape[1] for stage in stages[:2]] == [3, 1]
    assert stages[2].shared == 1
    problem, stages = denoised(tmp_path, [telling(2), telling(2)], 5)
    assert not stages[2].shared
    assert 255 * problem.noise == pytest.approx(2)


def test_in_small_pictures_no_more_is_taken_than_tiles_tell(tmp_path):
    """There is too little that is flat to hear what noise it is."""
    problem, _ = denoised(tmp_path, [telling(2, wide=True), telling(1)], 5, side=64)
    assert 255 * problem.noise == pytest.approx(2)


def test_noise_that_follows_the_light_is_made_even(tmp_path):
    def uneven(stage):
        answer = told_of_tiles(stage, 1.0).clone()
        answer[:, 0] = torch.linspace(3, 7, len(answer)) / 127.5
        return answer

    _, stages = denoised(tmp_path, [uneven], 5)
    whitening = stages[-1].whitening
    assert len(stages) == 2
    torch.testing.assert_close(whitening.power[3, 4].real, torch.eye(3))
    low, high = (127.5 * float(value) for value in whitening.a.aminmax())
    assert low == pytest.approx(3, abs=0.3)
    assert high == pytest.approx(7, abs=0.3)


@pytest.mark.parametrize("level", [2, 5])
def test_white_noise_of_a_photograph_is_told(level, tmp_path):
    """With the bundled prior."""
    path = tmp_path / "img.png"
    truth = damaged(path, level / 255 * draws((192, 192, 3))())
    result, x = restored(path, DenoiseOptions())
    assert 255 * result.noise == pytest.approx(level, rel=0.06)
    _, by_hand = restored(path, DenoiseOptions(), noise=level / 255)
    assert float(psnr(x, truth)) > float(psnr(by_hand, truth)) - 0.1


@pytest.mark.parametrize("level", [0, 2])
def test_texture_is_kept(level, tmp_path):
    """The coarse cloth under the cup, whose finest details show noise of 12 of 255."""
    path = tmp_path / "img.png"
    cloth = (slice(256, 384), slice(0, 128))
    truth = damaged(path, level / 255 * draws((128, 128, 3))(), cloth)
    seen = to_tensor(load_picture(path))
    assert 127.5 * float(wavelet_sigma(seen)) > 10
    result, x = restored(path, DenoiseOptions())
    assert 255 * result.noise < max(1.5, 1.2 * level)
    assert float(psnr(x, truth)) > min(50.0, float(psnr(seen, truth)))


def test_grain_that_the_channels_share_is_not_passed_over(tmp_path):
    path = tmp_path / "img.png"
    damaged(path, 5 / 255 * draws((192, 192, 1))())
    result, _ = restored(path, DenoiseOptions())
    assert 255 * result.noise > 4


def test_white_noise_is_told_before_a_picture_is_enlarged(tmp_path):
    path = tmp_path / "img.png"
    damaged(path, 3 / 255 * draws((192, 192, 3))())
    result, _ = restored(path, SuperresOptions(2, parse_filter("bicubic")), steps=2)
    assert 255 * result.noise == pytest.approx(3, rel=0.06)
