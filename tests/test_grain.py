"""Grain is measured where nothing else is, and drawn with the same looks."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reddiff_cli.holes import continued
from reddiff_cli.holes import grain as grains
from reddiff_cli.holes.continued import Continuation
from reddiff_cli.holes.grain import AREA, VISIBLE, add_grain, measure_grain, surroundings
from reddiff_cli.holes.smooth import bend_smoothly

EVERYWHERE = torch.ones(1, 1, 320, 320)


def coarse_grain(sigma, seed=0, channels=3, size=320):
    """Means of 2x2 of white noise that channels partly share; sigma of 255, in [-1, 1] units."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn((1, channels, size + 1, size + 1), generator=generator)
    shared = white.mean(1, keepdim=True) * channels**0.5
    return sigma / 127.5 * 2 * F.avg_pool2d(0.8 * white + 0.6 * shared, 2, 1)


def soft_grain(sigma, width, seed=0, size=320):
    """Blurred white noise, grey in three channels; sigma of 255, width in pixels."""
    x = torch.arange(-12, 13) / width
    line = torch.exp(-x.square() / 2)
    kernel = torch.outer(line, line)
    white = torch.randn(
        (1, 1, size + 24, size + 24), generator=torch.Generator().manual_seed(seed)
    )
    soft = F.conv2d(white, (kernel / kernel.norm())[None, None])
    return sigma / 127.5 * soft.expand(1, 3, -1, -1)


def sky(channels=3, size=320):
    """(1, C, size, size): brighter from left to right, -0.5 to 0.5."""
    return torch.linspace(-0.5, 0.5, size).expand(1, channels, size, size).clone()


def looks(grain):
    """Standard deviation, correlation with the right neighbour, and of the first two channels."""
    centred = grain - grain.mean((2, 3), keepdim=True)
    power = centred.square().mean()
    beside = (centred[..., 1:] * centred[..., :-1]).mean() / power
    channels = (centred[:, 0] * centred[:, -1]).mean() / power
    return float(power.sqrt()), float(beside), float(channels)


@pytest.mark.parametrize("channels", [1, 3])
def test_drawn_grain_looks_like_what_was_measured(channels):
    true = coarse_grain(8, channels=channels)
    grain = measure_grain(sky(channels) + true, EVERYWHERE)
    assert grain is not None
    drawn = grain.draw(torch.zeros(1, channels, 256, 256), torch.Generator().manual_seed(1))
    for ours, theirs in zip(looks(drawn), looks(true), strict=True):
        assert ours == pytest.approx(theirs, rel=0.15)  # of independent pixels: sigma, 0, 0
    assert grain.sigma == pytest.approx(looks(true)[0], rel=0.12)


def test_strength_follows_brightness():
    true = coarse_grain(8)
    true[..., :160] /= 2  # where it is dark
    grain = measure_grain(sky() + true, EVERYWHERE)
    assert grain is not None
    generator = torch.Generator().manual_seed(2)
    dark, light = (
        looks(grain.draw(torch.full((1, 3, 200, 200), level), generator))[0]
        for level in (-0.4, 0.4)
    )
    assert light == pytest.approx(2 * dark, rel=0.2)


def test_texture_is_not_grain():
    picture = sky() + coarse_grain(4)
    picture[..., :200] += 6 * coarse_grain(10, seed=3)[..., :200]
    grain = measure_grain(picture.clamp(-0.99, 0.99), EVERYWHERE)
    assert grain is not None
    assert 127.5 * grain.sigma == pytest.approx(5, abs=1.5)


def mortar(seed=5):
    """Lines at random, thin and few: sparse edges, of the same strength as visible grain."""
    generator = torch.Generator().manual_seed(seed)
    lines = (torch.rand((1, 1, 320, 320), generator=generator) > 0.97).float()
    return -0.5 * F.avg_pool2d(lines, (1, 5), 1, (0, 2)).expand(1, 3, -1, -1)


def test_beside_a_wall_a_smooth_sky_tells_the_grain():
    """Three quarters of the picture are texture; the sky has none to weave in."""
    wall = sky() + mortar()
    wall[..., 240:] = 0.9 + 0.002 * torch.randn(80, generator=torch.Generator().manual_seed(1))
    grain = measure_grain(wall, EVERYWHERE)
    assert grain is not None
    assert 127.5 * grain.sigma < 1
    assert not grain.is_likely
    brightest = grain.draw(torch.full((1, 3, 99, 99), 0.9), torch.Generator().manual_seed(0))
    assert 127.5 * float(brightest.std()) < 1


def test_a_smooth_border_does_not_hide_the_grain_of_a_film():
    film = sky() + coarse_grain(8)
    film[..., :80] = 0.002 * torch.randn(80, generator=torch.Generator().manual_seed(1)) - 0.95
    grain = measure_grain(film, EVERYWHERE)
    assert grain is not None
    assert grain.is_likely
    inside = grain.draw(torch.zeros(1, 3, 99, 99), torch.Generator().manual_seed(0))
    assert float(inside.std()) == pytest.approx(looks(coarse_grain(8))[0], rel=0.2)


def test_what_looks_like_texture_is_not_called_grain():
    """It is as strong as grain that is."""
    for picture, likely in ((sky() + mortar(), False), (sky() + coarse_grain(5), True)):
        grain = measure_grain(picture, EVERYWHERE)
        assert grain is not None
        assert 127.5 * grain.sigma > VISIBLE
        assert grain.is_likely == likely


def test_clean_pictures_have_next_to_none():
    grain = measure_grain(sky(), EVERYWHERE)
    assert grain is not None
    assert 127.5 * grain.sigma < VISIBLE / 10


def test_holes_and_clipped_places_are_not_looked_at():
    picture = sky() + coarse_grain(4)
    known = EVERYWHERE.clone()
    known[..., :100, :] = 0
    picture[..., :100, :] = 10 * coarse_grain(10, seed=4)[..., :100, :]
    picture[..., 250:, :] = 1.0
    grain = measure_grain(picture, known)
    assert grain is not None
    assert 127.5 * grain.sigma == pytest.approx(127.5 * looks(coarse_grain(4))[0], rel=0.15)
    assert measure_grain(picture, torch.zeros_like(known)) is None
    assert measure_grain(torch.ones_like(picture), EVERYWHERE) is None
    assert measure_grain(picture[..., :12], EVERYWHERE[..., :12]) is None


def own_grain(sigma, seed=0, size=320):
    """As `coarse_grain`, but every channel has its own."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn((1, 3, size + 1, size + 1), generator=generator)
    return sigma / 127.5 * 2 * F.avg_pool2d(white, 2, 1)


def night(size=320):
    """(1, 3, size, size): 6 to 40 of 255 from left to right."""
    return torch.linspace(6, 40, size).expand(1, 3, size, size) / 127.5 - 1


def test_in_the_dark_noise_that_is_clipped_counts():
    """No tile is without a value at 0 there."""
    noisy = (night() + own_grain(16)).clamp(-1, 1)
    assert float((noisy == -1).float().mean()) > 0.1
    grain = measure_grain(noisy, EVERYWHERE)
    assert grain is not None
    true = noisy - night()
    for part in (slice(0, 160), slice(160, 320)):
        light = night()[..., part]
        found = grain.sigma * float(grain.strength_in(light).square().mean().sqrt())
        assert found == pytest.approx(float(true[..., part].std()), rel=0.2)


def test_where_all_is_white_no_grain_is_put(monkeypatch):
    """A blown-out window; what is nearly as bright has a part of it."""
    told = []

    class Watched(Continuation):
        def __call__(self, drawn, there, hole, generator):
            told.append(bool(there.isfinite().all()))
            return super().__call__(drawn, there, hole, generator)

    monkeypatch.setattr(grains, "Continuation", Watched)
    picture = (sky() + own_grain(8)).clamp(-1, 1)
    picture[..., 100:160, 100:160] = 1.0
    grain = measure_grain(picture, EVERYWHERE)
    assert grain is not None
    hole = np.zeros((320, 320), bool)
    hole[110:150, 110:116] = hole[200:260, 110:116] = True
    result = add_grain(picture, hole, grain, seed=3)
    assert torch.equal(result[..., 110:150, 110:116], picture[..., 110:150, 110:116])
    assert not torch.equal(result[..., 200:260, 110:116], picture[..., 200:260, 110:116])
    assert told and all(told)
    between = torch.full((1, 3, 1, 1), 0.9)
    assert 0 < float(grain.strength_in(between)) < float(grain.strength_in(between - 0.4))


def test_only_the_hole_gets_grain_and_the_seed_decides():
    picture = sky() + coarse_grain(8)
    grain = measure_grain(picture, EVERYWHERE)
    assert grain is not None
    hole = np.zeros((320, 320), dtype=bool)
    hole[100:200, 40:300] = True
    hole[10, :] = True
    inside = torch.from_numpy(hole)
    filled = torch.where(inside, sky(), picture)
    once, again, other = (add_grain(filled, hole, grain, seed) for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once[..., inside], other[..., inside])
    assert torch.equal(once[..., ~inside], picture[..., ~inside])
    added = (once - filled)[..., 100:200, 40:300]
    assert looks(added)[0] == pytest.approx(looks(coarse_grain(8))[0], rel=0.15)
    scratch = (once - filled)[..., 10, :]
    assert float(scratch.std()) == pytest.approx(float(added.std()), rel=0.35)  # its border tells


def test_what_has_grain_already_gets_no_more():
    """Patches of the surroundings bring theirs along."""
    picture = sky() + coarse_grain(8)
    grain = measure_grain(picture, EVERYWHERE)
    assert grain is not None
    hole = np.zeros((320, 320), dtype=bool)
    hole[100:200, 40:300] = True
    hole[40:44, 40:300] = True
    filled = picture.clone()
    filled[..., 40:44, 40:300] = 0
    added = add_grain(filled, hole, grain, 0) - filled
    assert float(added[..., 100:200, 40:300].std()) < 0.5 * grain.sigma
    scratch = float(added[..., 40:44, 40:300].std())
    assert scratch == pytest.approx(grain.sigma, rel=0.25)


def steps(picture, columns):
    """Rms difference between these columns and the next ones, of 255."""
    return 127.5 * float(picture.diff(dim=3)[..., columns].square().mean().sqrt())


@pytest.mark.parametrize("width", [1.2, 1.5])
def test_the_low_frequencies_of_coarse_grain_count(width):
    """Flat tiles are detrended, and so have lost them."""
    true = soft_grain(10, width)
    grain = measure_grain(sky() + true, EVERYWHERE)
    assert grain is not None
    assert 127.5 * grain.sigma == pytest.approx(10, rel=0.12)


@pytest.mark.parametrize("width", [1.2, 1.5, 2.0])
def test_coarse_grain_shows_no_line_along_a_scratch(width):
    """What fills a scratch goes on from the grain at its border."""
    picture = sky() + soft_grain(12, width)
    hole = np.zeros((320, 320), dtype=bool)
    for left in range(20, 300, 20):
        hole[:, left : left + 4] = True
    inside = torch.from_numpy(hole)
    known = (~inside)[None, None].float()
    filled = bend_smoothly(torch.where(inside, sky(), picture), known)
    grain = measure_grain(picture, known)
    assert grain is not None
    grainy = add_grain(filled, hole, grain, 0)
    borders = [x for left in range(20, 300, 20) for x in (left - 1, left + 3)]
    within = [x for left in range(20, 300, 20) for x in range(left, left + 3)]
    assert steps(grainy, borders) == pytest.approx(steps(picture, borders), rel=0.3)
    assert steps(grainy, within) == pytest.approx(steps(picture, within), rel=0.3)


def test_grain_goes_on_from_piece_to_piece(monkeypatch):
    picture = sky() + soft_grain(12, 1.5)
    grain = measure_grain(picture, EVERYWHERE)
    assert grain is not None
    monkeypatch.setattr(grains, "PIECE", 40)
    hole = np.zeros((320, 320), dtype=bool)
    hole[40:280, 40:280] = True
    filled = torch.where(torch.from_numpy(hole), sky(), picture)
    added = (add_grain(filled, hole, grain, 0) - filled)[..., 40:280, 40:280]
    seams = list(range(39, 239, 40))
    assert steps(added, seams) < 1.4 * steps(added, [x + 20 for x in seams])


def conditioned(kernel, drawn, there, hole, noise):
    """The same by the covariance of every two pixels."""
    channels = len(kernel)
    height, width = (side + kernel.shape[2] - 1 for side in hole.shape)
    impulses = torch.eye(channels * height * width, dtype=kernel.dtype)
    response = F.conv2d(impulses.view(-1, channels, height, width), kernel).flatten(1)
    covariance = response.T @ response
    inside = hole.flatten().repeat(channels)
    told = covariance[~inside][:, ~inside]
    told = told + continued.UNTOLD * kernel.square().sum() / channels * torch.eye(len(told))
    missed = (there - drawn - noise).flatten()[~inside]
    result = drawn.flatten().clone()
    result[inside] += covariance[inside][:, ~inside] @ torch.linalg.solve(told, missed)
    return result.view_as(drawn)


def test_a_draw_is_given_the_grain_around_it(monkeypatch):
    """Conditional simulation, also in a corner of the picture."""
    monkeypatch.setattr(continued, "ROUNDS", 300)
    monkeypatch.setattr(continued, "SETTLED", 1e-6)
    grain = measure_grain(sky(2) + coarse_grain(8, channels=2), EVERYWHERE)
    assert grain is not None
    kernel = grain.kernel.double()
    generator = torch.Generator().manual_seed(0)
    drawn, there = torch.randn((2, 1, 2, 8, 32), generator=generator).double() * grain.sigma
    hole = torch.zeros(8, 32, dtype=torch.bool)
    hole[:4, :3] = hole[:, 20:23] = True
    ours = Continuation(kernel)(drawn, there, hole, torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(drawn.shape, generator=generator) * continued.UNTOLD**0.5 * grain.sigma
    theirs = conditioned(kernel, drawn, there, hole, noise)
    assert torch.allclose(ours[..., hole], theirs[..., hole], atol=0.01 * grain.sigma)


@pytest.mark.parametrize(
    ("size", "at", "start"),
    [
        ((3000, 200), (1500, 100), (1500 - AREA // 2, 0)),
        ((3000, 4000), (5, 3990), (0, 4000 - AREA)),
        ((300, 400), (20, 30), (0, 0)),
    ],
)
def test_grain_is_looked_for_around_the_hole(size, at, start):
    hole = np.zeros(size, dtype=bool)
    hole[at] = True
    rows, columns = surroundings(hole)
    assert (rows.start, columns.start) == pytest.approx(start, abs=1)
    assert hole[rows, columns].any()
