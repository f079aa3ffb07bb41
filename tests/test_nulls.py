"""Noise behind a known blur, told from what the blur leaves empty."""

import pytest
import torch

from reddiff_cli.estimation.nulls import MOSAIC, noise_in_nulls
from reddiff_cli.estimation.stationary import TILE, shaping_kernel
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.operators import Blur, Chain, CircularBlur
from reddiff_cli.options.kernelspec import parse_kernel

SIDE = 200


def texture(seed=0, side=SIDE + 40):
    """A picture that is texture everywhere, of strong contrast, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    grey = torch.randn((1, 1, side, side), generator=generator)
    colours = torch.randn((1, 3, side, side), generator=generator)
    return (0.3 * grey + 0.05 * colours).clamp(-0.95, 0.95)


def blurred(spec, sigma, seed=0, noise=None):
    kernel = make_kernel(parse_kernel(spec))
    y = Blur(kernel)(texture(seed))[..., :SIDE, :SIDE]
    if noise is None:
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed + 1))
    return y + sigma * noise, kernel


def mosaic_like(seed=1):
    """Noise of variance 1 whose spectrum falls as that of a mosaic does, in all channels alike."""
    frequency = torch.fft.fftfreq(TILE)
    radius = torch.hypot(frequency[:, None], frequency)
    edges = torch.tensor((0.0, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6))
    levels = torch.tensor((1.45, *MOSAIC))
    fall = levels[(torch.bucketize(radius, edges, right=True) - 1).clamp(max=9)]
    power = (fall**2)[..., None, None] * torch.eye(3)
    shape = (1, 3, SIDE + TILE - 1, SIDE + TILE - 1)
    white = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    noise = torch.nn.functional.conv2d(white, shaping_kernel(power.to(torch.complex64)))
    return noise / noise.std()


@pytest.mark.parametrize("spec", ["motion:9,30", "gaussian:2", "disk:4", "motion:30,80"])
@pytest.mark.parametrize("sigma", [0.004, 0.02, 0.1])
def test_texture_does_not_pass_for_noise(spec, sigma):
    y, kernel = blurred(spec, sigma)
    found = noise_in_nulls(y, kernel)
    assert found is not None
    if sigma > 0.01:
        assert found.white
        assert found.sigma == pytest.approx(sigma, rel=0.06)
    else:  # of which a little is texture, and may look wide
        assert 0.95 * sigma < found.sigma < 2.1 * sigma


@pytest.mark.parametrize("spec", ["motion:9,30", "gaussian:2", "disk:4"])
def test_noise_of_a_mosaic_is_not_white_and_counts_as_what_it_is(spec):
    y, kernel = blurred(spec, 0.03, noise=mosaic_like())
    found = noise_in_nulls(y, kernel)
    assert found is not None
    assert not found.white
    assert found.sigma == pytest.approx(0.03, rel=0.15)


def test_noise_that_channels_share_is_not_white():
    noise = torch.randn((1, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(4))
    y, kernel = blurred("motion:9,30", 0.03, noise=noise.expand(1, 3, SIDE, SIDE))
    found = noise_in_nulls(y, kernel)
    assert found is not None
    assert not found.white
    alone = noise_in_nulls(y[:, :1], kernel)
    assert alone is not None
    assert alone.white
    assert alone.sigma == pytest.approx(0.03, rel=0.1)


def test_where_nothing_is_empty_nothing_is_said():
    for spec in ("uniform:1", "gaussian:0.5", "motion:2,30"):
        y, kernel = blurred(spec, 0.02)
        assert noise_in_nulls(y, kernel) is None
    y, kernel = blurred("gaussian:2", 0.02)
    assert noise_in_nulls(y[..., :60], kernel) is None
    assert noise_in_nulls(torch.ones_like(y), kernel) is None
    assert noise_in_nulls(y[..., :80, :80], torch.ones(90, 90) / 8100) is None


def test_a_short_blur_that_passes_the_middle_calls_no_noise_white():
    """Noise that is wider than a pixel would look alike there."""
    y, kernel = blurred("gaussian:1", 0.03)
    found = noise_in_nulls(y, kernel)
    assert found is not None
    assert not found.white


def test_clipped_pixels_carry_no_noise():
    y, kernel = blurred("motion:9,30", 0.03)
    y[..., :70] = 1.0
    found = noise_in_nulls(y, kernel)
    assert found is not None
    assert 0.029 < found.sigma < 0.04  # their border is no part of the blurred picture


def test_who_has_a_kernel():
    kernel = make_kernel(parse_kernel("gaussian:2"))
    assert Chain((Blur(kernel),)).kernel is kernel
    assert Chain((Blur(kernel), Blur(kernel))).kernel is None
    assert CircularBlur(kernel).kernel is kernel
