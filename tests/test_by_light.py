"""White noise that differs between the dark and the light, or from channel to channel."""

from dataclasses import replace

import pytest
import torch

from reddiff_cli.estimation.by_light import noise_by_light
from reddiff_cli.estimation.noise import wavelet_sigma
from reddiff_cli.estimation.tile_noise import TileNoise, own_variance
from reddiff_cli.light.response import LIGHT
from reddiff_cli.options.tasks import DenoiseOptions
from reddiff_cli.tasks.listening import LOUD
from test_listening import posed, saved

SIDE = 192


def scene(side=SIDE):
    """Smooth, half of it dark, (1, 1, side, side) in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    waves = (torch.sin(x / 19) * torch.cos(y / 23) + 1) / 2
    return (0.04 + 0.8 * waves**2)[None, None]


def drawn(clean, strength):
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))
    return (2 * (clean + strength * noise) - 1).clamp(-1, 1)


def photons(peak):
    return drawn(scene(), (scene() / peak).sqrt()), (scene() / peak).sqrt()


def even_in_light(sigma):
    encoded = LIGHT.encode(scene())
    strength = sigma / LIGHT.slope(encoded)
    return drawn(encoded, strength), strength


@pytest.mark.parametrize(("made", "level"), [(photons, 60), (photons, 500), (even_in_light, 0.04)])
def test_noise_that_follows_the_brightness_is_told(made, level):
    """Where the flattest places of all are those of the least noise."""
    y, truth = made(level)
    noise = noise_by_light(y)
    assert noise is not None
    found = noise.strength_at(y) / 2
    assert float(found.square().mean().sqrt()) == pytest.approx(
        float(truth.square().mean().sqrt()), rel=0.1
    )
    assert float((found / truth).log().abs().mean()) < 0.12


@pytest.mark.parametrize("level", [2, 5, 10, 25])
def test_even_noise_is_left_to_the_flattest_places(level):
    assert noise_by_light(drawn(scene(), torch.tensor(level / 255))) is None


def test_texture_in_the_light_is_no_noise():
    """Sparse and not Gaussian; nor is noise that is slight all over asked about."""
    clean = scene()
    grain = torch.randn(clean.shape, generator=torch.Generator().manual_seed(9))
    spots = (clean > 0.4) * 0.03 * grain**3
    assert noise_by_light(drawn(clean + spots, torch.tensor(5 / 255))) is None
    assert noise_by_light(photons(20000)[0]) is None
    assert noise_by_light(torch.zeros(1, 1, 64, 64)) is None


def test_denoise_looks_at_grey_photons_in_levels(tmp_path):
    """Its stage has them made white; what is told scales that; even noise is looked at in one."""
    y, truth = photons(60)
    path = saved(tmp_path, y)
    true = float(truth.square().mean().sqrt())
    assert (wavelet_sigma(y) or 0.0) / 2 < 0.8 * true
    heard, told = posed(path, DenoiseOptions()), posed(path, DenoiseOptions(), noise=true / 2)
    heard.probing = lambda: iter(())
    stages = [stage for problem in (heard, told) for stage in problem.stages()]
    assert all(len(stage.whitening.levels()) > 1 for stage in stages)
    assert heard.noise == pytest.approx(true, rel=0.1)
    assert told.noise == true / 2
    first, second = (stage.whitening.a.mean() for stage in stages)
    assert float(second / first) == pytest.approx(true / 2 / heard.noise, rel=0.01)
    even = posed(saved(tmp_path, drawn(scene(), torch.tensor(0.05))), DenoiseOptions())
    even.probing = lambda: iter(())
    (stage,) = even.stages()
    assert stage.whitening is None


def test_noise_that_tiles_tell_to_be_no_stronger_anywhere_is_even(tmp_path):
    """What is above is texture then; of loud noise one channel tells too little."""
    for peak, looked_at in ((500, False), (40, True)):
        y = drawn(scene(), ((scene() + 0.2) / peak).sqrt())
        problem = posed(saved(tmp_path, y), DenoiseOptions())
        problem.probing = lambda: iter(())
        least = float(noise_by_light(problem.sound.y).strength.min())
        problem.tile_noise = TileNoise(
            torch.zeros(3), torch.full((3,), least), *torch.ones(2, 3, 3)
        )
        (stage,) = problem.stages()
        assert (stage.whitening is not None) == looked_at
        problem.tile_noise = replace(problem.tile_noise, sigma=1.3 * problem.tile_noise.sigma)
        (stage,) = problem.stages()
        assert stage.whitening is not None


SIGMAS = torch.tensor([22.0, 7.0, 10.0]) / 127.5


def tiles_with(sigmas, light=-0.95, texture=0.1):
    """Three tiles of three channels that share a texture and have white noise of their own."""
    generator = torch.Generator().manual_seed(3)
    shared = texture * torch.randn((3, 1, 96, 96), generator=generator)
    noise = torch.randn((3, 3, 96, 96), generator=generator)
    return light + shared + sigmas.view(3, 1, 1) * noise


def told_of(tiles, sigma):
    """As if the network told of each tile that it has so much noise."""
    ones = torch.ones(len(tiles), 3)
    return TileNoise(tiles.mean((1, 2, 3)), torch.full((len(tiles),), sigma), ones, ones)


def test_noise_that_channels_do_not_share_is_told_apart_from_texture_that_they_do():
    found = own_variance(tiles_with(SIGMAS)).mean(0).sqrt()
    assert torch.allclose(found, SIGMAS, rtol=0.1)


def test_photons_in_the_dark_are_told_by_what_the_channels_do_not_share():
    """Of their noise, which is skewed and clipped there, the network tells too little."""
    tiles = tiles_with(SIGMAS, light=-0.85, texture=0.0).clamp(-1, 1)
    true, less = float(SIGMAS.square().mean().sqrt()), 8 / 127.5
    found = told_of(tiles, less).with_photons(tiles)
    assert found.photons
    assert found.total == pytest.approx(true, rel=0.15)
    assert told_of(tiles, 30 / 127.5).with_photons(tiles).total == pytest.approx(30 / 127.5)


@pytest.mark.parametrize(
    ("sigmas", "light", "told"),
    [
        (SIGMAS, 0.0, 8.0),  # nothing is clipped
        (torch.full((3,), 0.1), -0.85, 8.0),  # the same in all channels
        (SIGMAS, -0.85, 2.0),  # what is left to tell may be texture
    ],
)
def test_other_noise_of_colours_is_left_to_the_network(sigmas, light, told):
    tiles = tiles_with(sigmas, light, texture=0.0).clamp(-1, 1)
    found = told_of(tiles, told / 127.5).with_photons(tiles)
    assert not found.photons
    assert found.total == pytest.approx(told / 127.5)


def test_photons_are_believed_though_they_are_loud(tmp_path):
    """What the finest details of a dark picture tell of them is too much."""
    y = tiles_with(1.5 * SIGMAS, light=-0.8, texture=0.0)[:1].clamp(-1, 1)
    problem = posed(saved(tmp_path, y), DenoiseOptions())
    loud = 2 * LOUD / 255 + 0.01
    problem.sound.fine, true = loud, 0.8 * loud
    problem.tile_noise = told_of(y, true)
    assert not problem._takes_as_white()
    problem.tile_noise = replace(problem.tile_noise, photons=True)
    assert problem._takes_as_white()
    assert problem.noise == pytest.approx(true / 2)
