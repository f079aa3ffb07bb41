"""White noise of grey pictures that differs between the dark and the light."""

from dataclasses import replace

import pytest
import torch

from reddiff_cli.estimation.by_light import noise_by_light
from reddiff_cli.estimation.tile_noise import TileNoise
from reddiff_cli.noise import wavelet_sigma
from reddiff_cli.response import LIGHT
from reddiff_cli.task_options import DenoiseOptions
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
