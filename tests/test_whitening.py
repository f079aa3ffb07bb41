"""Noise that is not white: what is heard of it, and what is added to it."""

import math
from pathlib import Path

import pytest
import torch

from doubles import gaussian_prior, told_of_tiles
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.estimation.coloured_noise import ColouredNoise, measure_noise
from reddiff_cli.estimation.stationary import TILE, shaping_kernel, spectrum_of
from reddiff_cli.metrics import psnr
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import DenoiseOptions
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.schedule import linear_betas
from reddiff_cli.solvers import whitening
from reddiff_cli.solvers.whitening import Whitening, mean_of_whitened, peak
from reddiff_cli.tasks import Setting, pose, solver_of
from reddiff_cli.tasks.listening import QUIET
from reddiff_cli.tasks.problem import to_tensor

PICTURE = Path(__file__).parent / "pictures" / "coffee.png"
SIDE = 192


def draws(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator)


def camera_like(seed=0, side=SIDE):
    """Noise of variance 1: wide in the colours, narrow in what they share."""
    draw = draws((1, 3, side + 4, side + 4), seed)
    colours = torch.nn.functional.avg_pool2d(draw(), 3, stride=1)[..., 1:-1, 1:-1]
    noise = 2 * colours + 0.5 * draw()[:, :1, 2:-2, 2:-2]
    return noise / noise.std()


def spectrum(noise):
    rows, columns = (range(0, length - TILE + 1, TILE) for length in noise.shape[2:])
    tiles = torch.cat([noise[..., y : y + TILE, x : x + TILE] for y in rows for x in columns])
    return spectrum_of(tiles)


POWER = spectrum(camera_like(99, 512))
EYE = torch.eye(3)


def made(a, power=POWER, y=None):
    return Whitening(torch.zeros_like(a).repeat(1, 3, 1, 1) if y is None else y, power, a)


@pytest.mark.parametrize("even", [True, False])
def test_with_what_is_added_the_noise_is_white(even):
    """Everywhere, also where the strength of the noise changes."""
    side = 2 * SIDE
    a = torch.full((1, 1, side, side), 0.1)
    if not even:
        a = torch.linspace(0.03, 0.1, side).expand(1, 1, side, side)
    s = 1.1 * 0.1 * peak(POWER)
    noise = a * camera_like(side=side)
    whitening = made(a)
    total = noise + whitening.added(s, draws(noise.shape, 5)())
    for part in (total, total[..., :64], total[..., -64:]):
        found = spectrum(part)
        white = found.diagonal(dim1=2, dim2=3).real.mean()
        assert float(white) == pytest.approx(s**2, rel=0.05)
    for border in (total[..., :4], total[..., -4:, :]):
        assert float(border.square().mean()) == pytest.approx(s**2, rel=0.1)
    whole, before = spectrum(total) / s**2, spectrum(noise) / s**2
    assert (whole - EYE).abs().mean() < 0.1
    assert (before / before.diagonal(dim1=2, dim2=3).real.mean() - EYE).abs().mean() > 0.4


def test_too_low_a_level_gets_nothing_where_the_noise_is_above_it():
    whitening = made(torch.full((1, 1, 32, 32), 0.1), EYE.expand(TILE, TILE, 3, 3))
    assert not whitening.added(0.05, torch.ones(1, 3, 32, 32)).any()


def test_levels_reach_from_the_least_noisy_places_to_the_most_noisy_ones():
    a = torch.linspace(0.02, 0.1, 100).expand(1, 1, 100, 100)
    levels = made(a).levels()
    assert len(levels) == 3 and levels == sorted(levels)
    assert 0.02 < levels[0] / peak(POWER) < 0.035
    assert 0.09 < levels[-1] / peak(POWER) < 0.1
    assert made(a).levels(2) == pytest.approx([levels[0], levels[-1]])
    assert made(a).levels(1) == pytest.approx(levels[-1:])
    assert len(made(torch.full((1, 1, 9, 9), 0.1)).levels()) == 1
    shares = made(a).shares(levels)
    assert torch.allclose(sum(shares), torch.ones_like(a))
    assert [int(share[0, 0, 0].argmax()) < 50 for share in shares] == [True, True, False]
    assert float(shares[0][..., 0].min()) == pytest.approx(1)
    assert float(shares[-1][..., -1].min()) == pytest.approx(1)


def test_scaled():
    whitening = made(torch.full((1, 1, 9, 9), 0.1))
    assert whitening.scaled(2).levels()[0] == pytest.approx(2 * whitening.levels()[0])
    assert torch.equal(whitening.scaled(2).a, whitening.a)  # no more is there than there is
    assert torch.allclose(whitening.scaled(0.5).a, 0.5 * whitening.a)
    assert whitening.scaled(0.5).levels()[0] == pytest.approx(0.5 * whitening.levels()[0])
    assert whitening.scaled(0.5).scaled(2).levels() == pytest.approx(whitening.levels())


def test_the_mean_of_many_looks_forgets_what_was_added():
    """With a linear denoiser it is D of y itself, at the level that the added noise made."""
    schedule = linear_betas()
    prior = gaussian_prior(TILE, schedule)
    power = torch.eye(1).expand(TILE, TILE, 1, 1)
    y = torch.randn((1, 1, TILE, TILE), generator=torch.Generator().manual_seed(1)).double()
    a = torch.full_like(y, 0.1)
    whitening = Whitening(y, power, a).scaled(3)
    generator = torch.Generator().manual_seed(2)

    def draw():
        return torch.randn(y.shape, generator=generator, dtype=torch.float64)

    *_, (count, mean) = mean_of_whitened(whitening, prior, schedule, draw, 400)
    t = schedule.nearest_t(0.3)
    assert count == 400
    assert torch.allclose(mean, prior(y, torch.tensor([t])), atol=0.08)
    lower = torch.tensor([schedule.nearest_t(0.1)])
    assert not torch.allclose(mean, prior(y, lower), atol=0.08)


def test_every_place_is_shown_from_the_first_look_on():
    a = torch.linspace(0.02, 0.1, 32).expand(1, 1, 32, 32)
    whitening = made(a, y=torch.full((1, 3, 32, 32), 0.5))
    steps = mean_of_whitened(whitening, lambda z, t: z, linear_betas(), draws((1, 3, 32, 32)), 6)
    for _, mean in steps:
        assert torch.isfinite(mean).all() and mean.abs().amin(1).min() > 0


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_looks_are_at_few_levels(count):
    """Of one the most noisy places have the say, of two they and the least noisy ones."""
    a = torch.linspace(0.02, 0.1, 32).expand(1, 1, 32, 32)
    schedule, seen = linear_betas(), []

    def look(z, t):
        seen.append(float(schedule.s[t[0]]))
        return z

    list(mean_of_whitened(made(a), look, schedule, draws((1, 3, 32, 32)), count))
    levels = made(a).levels(count)
    wanted = [levels[k % len(levels)] for k in range(count)]
    assert seen == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize("strengths", [(0.05, 0.05), (0.1, 0.04)])
def test_noise_is_measured_where_the_picture_is_flat(strengths):
    """Its spectrum, and how strong it is in the dark and in the light."""
    side = 3 * SIDE
    left = torch.arange(side) < side // 2
    scene = torch.where(left, -0.5, 0.5).expand(1, 3, side, side).clone()
    texture = torch.zeros_like(scene)
    texture[..., : side // 2, :] = 0.2 * draws((1, 3, side // 2, side), 3)()
    a = torch.where(left, *strengths)
    y = scene + texture + a * camera_like(side=side)
    found = measure_noise(y, scene + texture / 2)  # which has lost half of the texture
    assert found is not None
    at = found.strength_at(scene)[..., side // 2 + 8 :, :]
    assert float(at[..., : side // 2 - 8].mean()) == pytest.approx(strengths[0], rel=0.1)
    assert float(at[..., side // 2 + 8 :].mean()) == pytest.approx(strengths[1], rel=0.1)
    assert peak(found.power) == pytest.approx(peak(POWER), rel=0.15)


def test_nothing_is_measured_where_nothing_is_flat_or_all_is_clipped():
    small = torch.zeros(1, 3, 12, 40)
    assert measure_noise(small, small) is None
    clipped = torch.ones(1, 3, SIDE, SIDE)
    assert measure_noise(clipped, clipped) is None


@pytest.mark.parametrize(("textured", "heard"), [(0, 0.05), (1, 0.05), (3, 0.05), (4, None)])
def test_texture_that_was_left_everywhere_tells_nothing_of_noise(textured, heard):
    """Of four brightnesses, some have no flat places: what was taken away is texture, too."""
    side = 4 * SIDE
    stripe = torch.arange(side) * 4 // side
    scene = (stripe * 0.4 - 0.6).expand(1, 3, side, side).clone()
    texture = 0.1 * draws(scene.shape, 3)() * (stripe < textured)
    y = scene + texture + 0.05 * camera_like(side=side)
    found = measure_noise(y, scene + 0.7 * texture)
    assert (found is None) == (heard is None)
    if heard is not None:
        assert found.loudness == pytest.approx(heard, rel=0.15)
    assert measure_noise(y, scene + 0.7 * texture, math.inf) is not None


def test_constant_pictures_have_no_noise():
    flat = torch.zeros(1, 3, SIDE, SIDE)
    found = measure_noise(flat, flat)
    assert found is not None and float(found.strength.max()) < 1e-4


@pytest.mark.parametrize(
    ("kind", "white"), [("white", True), ("wide", False), ("shared", False), ("camera", False)]
)
def test_what_is_white(kind, white):
    draw = draws((1, 3, SIDE + 2, SIDE + 2))
    noise = {
        "white": draw()[..., 1:-1, 1:-1],
        "wide": 2 * torch.nn.functional.avg_pool2d(draw(), 3, stride=1),
        "shared": draw()[:, :1, 1:-1, 1:-1].expand(1, 3, SIDE, SIDE)
        + 0.1 * draw()[..., 1:-1, 1:-1],
        "camera": camera_like(),
    }[kind]
    clean = torch.zeros_like(noise)
    found = measure_noise(0.05 * noise, clean)
    assert found is not None
    assert found.is_white(0.05) is white


def test_as_white():
    noise = ColouredNoise(POWER, torch.tensor([-0.5, 0.5]), torch.tensor([0.1, 0.05]))
    uneven = noise.as_white(0.02, even=1.5)
    assert peak(uneven.power) == pytest.approx(1)
    assert float(uneven.strength.square().mean().sqrt()) == pytest.approx(0.02)
    assert float(uneven.strength[0] / uneven.strength[1]) == pytest.approx(2)
    assert len(noise.as_white(0.02, even=3).strength) == 1


def test_shaping_kernel_gives_white_noise_the_spectrum():
    kernel = shaping_kernel(POWER)
    white = draws((1, 3, 512 + TILE - 1, 512 + TILE - 1))()
    shaped = torch.nn.functional.conv2d(white, kernel)
    assert (spectrum(shaped) - POWER).abs().mean() < 0.1 * POWER.abs().mean()


@pytest.mark.parametrize(("sigma", "heard"), [(0.0, False), (3 / 127.5, True)])
def test_pictures_without_noise_are_not_listened_to(sigma, heard, tmp_path):
    """Some of their texture would pass for noise."""
    y = torch.linspace(-0.5, 0.5, 400).expand(1, 3, 400, 400)
    y = y * torch.tensor([0.8, 0.9, 1.0]).view(3, 1, 1)  # else it would be taken for grey
    y = (y + sigma * draws(y.shape)()).round(decimals=4)
    path = tmp_path / "img.png"
    save_picture(Picture(((y[0].permute(1, 2, 0) + 1) / 2).numpy()), path, None)
    setting = Setting(find_model("natural"), SolverOptions(), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    assert bool(next(problem.stages()).shared) == heard


@pytest.mark.parametrize("preset", ["fast", "standard", "best"])
def test_next_to_no_noise_takes_a_few_looks(preset, tmp_path):
    """Whether it is white or not, which a small photograph does not tell."""
    photograph = load_picture(PICTURE)
    path = tmp_path / "img.png"
    save_picture(Picture(photograph.pixels[:160, :160]), path, None)
    setting = Setting(find_model("natural"), SolverOptions(preset=preset), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    assert 255 * problem.noise < QUIET
    assert not problem.white
    *_, stage = problem.stages()
    assert solver_of(stage, setting.solver).evaluations == (2 if preset == "fast" else 4)


def test_little_noise_that_was_told_is_not_called_white(tmp_path):
    """It scales what is heard."""
    path = tmp_path / "img.png"
    save_picture(Picture(load_picture(PICTURE).pixels[:160, :160]), path, None)
    setting = Setting(find_model("natural"), SolverOptions(noise=1 / 255), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    next(problem.stages())
    assert not problem.white


def test_noise_that_clips_a_tenth_of_every_tile_is_heard():
    """As in the dark of what a camera develops; it is told for a little less than it is."""
    clean = torch.linspace(-0.93, -0.87, SIDE).expand(1, 3, SIDE, SIDE)
    y = (clean + 0.08 * camera_like()).clamp(-1, 1)
    assert (y == -1).float().mean() > 0.08
    heard = measure_noise(y, clean)
    assert heard is not None and 0.06 < heard.loudness < 0.08


def noisy(noise, folder):
    """A gradient, and the problem that it poses under noise of 0.08 of the scale's half."""
    scene = torch.linspace(-0.5, 0.5, SIDE).expand(1, 3, SIDE, SIDE)
    path = folder / "img.png"
    pixels = ((scene + 0.08 * noise)[0].permute(1, 2, 0) + 1) / 2
    save_picture(Picture(pixels.numpy()), path, None)
    setting = Setting(find_model("natural"), SolverOptions(), print)
    return scene, pose(Job("denoise", path, path), DenoiseOptions(), setting)


@pytest.mark.parametrize("wide", [False, True])
def test_what_is_heard_decides_in_small_pictures(wide, tmp_path):
    """They alone cannot tell noise that is wider than a pixel."""
    noise = draws((1, 3, SIDE + 2, SIDE + 2))()
    noise = (
        2 * torch.nn.functional.avg_pool2d(noise, 3, stride=1) if wide else noise[..., 1:-1, 1:-1]
    )
    scene, problem = noisy(noise, tmp_path)
    assert problem.white
    for stage in problem.stages():
        problem.accept(stage, told_of_tiles(stage, 0.08, wide=wide) if stage.probe else scene)
    assert (stage.whitening is not None) == wide


@pytest.mark.parametrize("wide", [False, True])
def test_white_noise_that_leaves_too_much_in_middle_frequencies_is_listened_to(wide, tmp_path):
    """As that of a camera does in places; it is white if nothing wide is heard."""
    white = draws((1, 3, SIDE + 2, SIDE + 2))()
    noise = white[..., 1:-1, 1:-1]
    if wide:
        noise = 2 * torch.nn.functional.avg_pool2d(white, 3, stride=1) + 0.3 * noise
    scene, problem = noisy(noise, tmp_path)
    heard = 0
    for stage in problem.stages():
        answer = scene
        if stage.probe:
            answer = told_of_tiles(stage, problem.sound.fine).clone()
            if stage.whitening is None:
                answer[:, 2:3] = 1.4  # middle frequencies; 1 in the others
        heard += bool(stage.shared and not stage.probe)
        problem.accept(stage, answer)
    assert heard and (stage.whitening is not None) == wide
    assert problem.white == (not wide)


def restored(path, **solver):
    """What `denoise` makes of a file, and in how many evaluations."""
    options, asked = DenoiseOptions(), SolverOptions(**solver)
    restorer = Restorer(
        find_model("natural"), asked, MachineOptions(device="cpu"), options, OutputOptions()
    )
    done = []
    problem = pose(Job("denoise", path, path), options, Setting(restorer.card, asked, print))
    for stage in problem.stages():
        mu, _ = restorer.solve(stage, lambda count, *_: done.append(count))
        problem.accept(stage, mu)
    return to_tensor(problem.finish()), len(done), problem.noise


def test_wide_noise_is_taken_away_better_than_through_levels(tmp_path):
    """Of a photograph, with the bundled prior, and in fewer evaluations."""
    clean = 0.7 * to_tensor(load_picture(PICTURE))[..., 150:342, 150:342]
    noise = 0.1 * camera_like()
    path = tmp_path / "img.png"
    pixels = ((clean + noise).clamp(-1, 1)[0].permute(1, 2, 0) + 1) / 2
    save_picture(Picture(pixels.numpy()), path, None)
    heard, looks, sigma = restored(path)
    through, steps, _ = restored(path, s_start=1.0, steps=20)
    assert looks <= 20 < steps * 2
    assert sigma == pytest.approx(0.05, rel=0.2)
    assert psnr(heard, clean) > psnr(through, clean) + 0.5
    told, _, sigma = restored(path, noise=0.1)
    assert sigma == 0.1
    assert told.std() < heard.std()  # more is taken away
    heavier, _, _ = restored(path, prior_weight=4.0)
    assert psnr(heavier, told) > psnr(heavier, heard) + 3 and heavier.std() < heard.std()


def test_noise_is_shaped_in_strips_where_a_processor_has_no_onednn(monkeypatch):
    """PyTorch's own convolution copies all that lies under the kernel, for the whole strip."""
    made = Whitening(torch.zeros(1, 3, 90, 70), POWER, torch.full((1, 1, 90, 70), 0.1))
    xi = torch.randn(made.y.shape, generator=torch.Generator().manual_seed(0))
    whole = made.added(0.4, xi)
    strips, convolve = [], whitening.F.conv2d

    def counted(x, kernel):
        strips.append((x.shape[2] - kernel.shape[2] + 1) * x.shape[3] * kernel[0].numel())
        return convolve(x, kernel)

    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    monkeypatch.setattr(whitening.F, "conv2d", counted)
    monkeypatch.setattr(whitening, "COPIED", 700_000)
    torch.testing.assert_close(made.added(0.4, xi), whole, atol=1e-5, rtol=0)
    assert len(strips) > 5
    assert max(strips) <= 700_000
