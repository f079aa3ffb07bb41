"""Noise that is not white, taken away direction by direction."""

from dataclasses import replace

import pytest
import torch

from doubles import gaussian_prior
from reddiff_cli.estimation.stationary import TILE, directions_of, kernel_of, white_power
from reddiff_cli.schedule import linear_betas
from reddiff_cli.solvers.descent import descend
from reddiff_cli.solvers.whitening import Filtering, Whitening, mean_of_whitened

SCHEDULE = linear_betas()


def wide_power(low=1.0, high=0.02):
    """Of one channel: much in low frequencies, little in high ones; (TILE, TILE, 1, 1)."""
    steps = torch.fft.fftfreq(TILE).abs()
    radius = (steps[:, None].square() + steps.square()).sqrt()
    power = torch.where(radius < 0.2, low, high)
    return power[..., None, None].to(torch.complex64)


def drawing(shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=dtype)


def test_a_filter_moves_nothing():
    """Also of a channel mixture: with a response of 1 it is the identity."""
    draw = drawing((1, 3, 40, 24))
    mixed = torch.randn((3, 3), generator=torch.Generator().manual_seed(3))
    power = white_power(3) @ (mixed @ mixed.T).to(torch.complex64)
    x = draw()
    whitening = Whitening(x, power, torch.linspace(0.1, 0.3, 40)[:, None].expand(1, 1, 40, 24))
    torch.testing.assert_close(
        whitening.filtered(Filtering(x, torch.ones_like, "replicate")), x, atol=1e-5, rtol=0
    )
    values, vectors = directions_of(power)
    kernel = kernel_of(torch.ones_like(values), vectors)
    assert kernel[:, :, TILE // 2 - 1, TILE // 2 - 1].allclose(torch.eye(3), atol=1e-5)


def test_the_first_level_shows_all_of_y_and_the_last_is_that_of_usual_noise():
    seen = []
    y = torch.full((1, 1, 32, 32), 0.25)

    def look(z, t):
        seen.append((float(SCHEDULE.s[t[0]]), z))
        return z

    whitening = Whitening(y, wide_power(), torch.full_like(y, 0.1))
    counts = [k for k, _ in descend(whitening, look, SCHEDULE, drawing(y.shape), 5)]
    assert counts == [1, 2, 3, 4, 5]
    levels = [s for s, _ in seen]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] == pytest.approx(0.1, rel=0.1) and levels[-1] < 0.06
    added = seen[0][1] - y
    power = torch.fft.fft2(added).abs().square() / added.numel()
    radius = torch.fft.fftfreq(32)[:, None].square() + torch.fft.fftfreq(32).square()
    low, high = (float(power[0, 0][where].mean()) for where in (radius < 0.02, radius > 0.09))
    assert low < 0.4 * high  # there y has its own noise


def test_white_noise_and_what_is_not_trusted_have_no_directions():
    y = torch.zeros(1, 3, 32, 32)
    white = Whitening(y, white_power(3), torch.full((1, 1, 32, 32), 0.1))
    assert not white.has_directions
    wide = replace(white, power=wide_power() * white.power)
    assert wide.has_directions
    assert not replace(wide, at_once=True).has_directions


def test_what_is_taken_for_stronger_is_looked_at_from_higher_up():
    levels = []

    def look(z, t):
        levels.append(float(SCHEDULE.s[t[0]]))
        return z

    y = torch.zeros(1, 1, 32, 32)
    whitening = Whitening(y, wide_power(), torch.full_like(y, 0.1)).scaled(2)
    list(descend(whitening, look, SCHEDULE, drawing(y.shape), 2))
    assert levels[0] == pytest.approx(0.2, rel=0.1)


def test_it_is_nearer_to_the_picture_than_one_level_for_all_directions():
    """Smooth pictures of a Gaussian prior, behind noise that is strong in low frequencies alone.

    And not far from the best there is, the mean of all pictures that y may show.
    """
    prior = gaussian_prior(TILE, SCHEDULE)
    covariance = prior.covariance.double()
    root = torch.linalg.cholesky(covariance)
    draw = drawing((TILE * TILE,), 5, torch.float64)
    power = wide_power(1.0, 0.004)
    spectrum = 0.5**2 * power[..., 0, 0].real.double()
    fourier = torch.fft.fft2(
        torch.eye(TILE * TILE, dtype=torch.float64).view(-1, TILE, TILE), norm="ortho"
    ).reshape(TILE * TILE, -1)
    noise_covariance = (fourier.mH * spectrum.flatten()) @ fourier
    best_of_all = covariance @ torch.linalg.inv(covariance + noise_covariance.real)
    errors = torch.zeros(3, dtype=torch.float64)
    for seed in range(12):
        x = prior.mean + root @ draw()
        white = draw().view(TILE, TILE)
        noise = torch.fft.ifft2(torch.fft.fft2(white) * spectrum.sqrt()).real.flatten()
        y = (x + noise).view(1, 1, TILE, TILE)
        whitening = Whitening(y, power, torch.full_like(y, 0.5))
        found = []
        for solve in (descend, mean_of_whitened):
            fresh = drawing(y.shape, seed, torch.float64)
            *_, (_, mean) = solve(whitening, prior, SCHEDULE, fresh, 12)
            found.append(mean.flatten())
        found.append(prior.mean + best_of_all @ (x + noise - prior.mean))
        errors += torch.stack([(mean - x).square().mean() for mean in found])
    ours, one_level, best = errors.sqrt().tolist()
    assert best < ours < 0.75 * one_level
    assert ours < 1.35 * best
