"""Data steps behind noise that is not white, against what matrices say."""

import pytest
import torch

from reddiff_cli.estimation.stationary import TILE, white_power
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.operators import (
    Blur,
    CircularBlur,
    Coloured,
    PaddedBlur,
    coloured,
    noise_of,
    on_device,
    passed_by,
)
from reddiff_cli.operators.coloured import DOUBT
from reddiff_cli.options.kernelspec import parse_kernel

SIDE, SIGMA = 11, 0.05  # no product of 2, 3 and 5, so that the torus is larger
KERNEL = make_kernel(parse_kernel("motion:3,30")).double()
BLURS = [Blur(KERNEL), CircularBlur(KERNEL), PaddedBlur(KERNEL, "reflect")]


def spectrum(seed=0):
    """Some (TILE, TILE, 3, 3) of noise that is wide, and shared by channels; float64."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn((40, 3, TILE, TILE), generator=generator, dtype=torch.float64)
    draws = draws + 0.7 * draws.roll(1, 1) + draws.roll(1, 2) + draws.roll(1, 3)
    f = torch.fft.fft2(draws).permute(2, 3, 0, 1)
    power = torch.einsum("yxnc,yxnd->yxcd", f, f.conj())
    return power / power.diagonal(dim1=2, dim2=3).real.mean()


def strength():
    """Of mean square 1, stronger to the right."""
    a = torch.linspace(0.6, 1.4, SIDE, dtype=torch.float64).expand(1, 1, SIDE, SIDE)
    return a / a.square().mean().sqrt()


def behind(operator, power=None):
    noise = noise_of(spectrum() if power is None else power, strength())
    y = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)
    return Coloured(operator, noise, passed_by(operator, noise.size, y)), y


def matrix(linear, shape):
    """Of a linear map of (1, C, H, W)."""
    eye = torch.eye(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.stack([linear(row.view(1, *shape)).flatten() for row in eye], 1)


@pytest.fixture
def exact(monkeypatch):
    monkeypatch.setattr(coloured, "NEARLY", 1e-12)
    monkeypatch.setattr(coloured, "MANY", 2000)


def drawn(*shape, seed=3):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("blur", BLURS, ids=lambda blur: type(blur).__name__)
@pytest.mark.parametrize("r", [0.01, 1.0])
def test_data_step_is_that_of_the_matrices(blur, r, exact):
    """x = d + A^T (A A^T + r N)^-1 (y - A d)."""
    operator, y = behind(blur)
    x = blur.start(y)
    a, n = matrix(blur, x.shape[1:]), matrix(operator.noise.covariance, y.shape[1:])
    d, y = drawn(*x.shape), drawn(*y.shape, seed=4)
    wanted = d.flatten() + a.T @ torch.linalg.solve(a @ a.T + r * n, y.flatten() - a @ d.flatten())
    assert operator.data_step(d, y, r).flatten() == pytest.approx(wanted, abs=1e-6)


def test_covariance_is_one():
    """N is symmetric and positive."""
    operator, y = behind(BLURS[0])
    n = matrix(operator.noise.covariance, y.shape[1:])
    assert n == pytest.approx(n.T, abs=1e-12)
    assert float(torch.linalg.eigvalsh(n)[0]) > 0


@pytest.mark.parametrize("blur", BLURS[1:], ids=lambda blur: type(blur).__name__)
def test_white_noise_is_no_other_case(blur, exact):
    """Even and white, with no more of it in doubt."""
    power = white_power(3).to(torch.complex128) / (1 + DOUBT)
    operator, y = behind(blur, power)
    even = noise_of(power, torch.ones_like(strength()))
    operator = Coloured(blur, even, operator.passed)
    d, y = drawn(*blur.start(y).shape), drawn(*y.shape, seed=4)
    found, wanted = operator.data_step(d, y, 0.3), blur.data_step(d, y, 0.3)
    assert found == pytest.approx(wanted, abs=1e-3)


def test_steps_with_an_exact_denoiser_end_at_the_posterior_mean(exact):
    """x ~ N(0, I): D(x) = x / (1 + s^2), and the mean is A^T (A A^T + sigma^2 N)^-1 y."""
    operator, y = behind(BLURS[0])
    y, s = drawn(*y.shape), 0.5
    mu = torch.zeros_like(BLURS[0].start(y))
    a, n = matrix(BLURS[0], mu.shape[1:]), matrix(operator.noise.covariance, y.shape[1:])
    for _ in range(300):
        mu = operator.data_step(mu / (1 + s**2), y, SIGMA**2 * (1 + s**2) / s**2)
    wanted = a.T @ torch.linalg.solve(a @ a.T + SIGMA**2 * n, y.flatten())
    assert mu.flatten() == pytest.approx(wanted, abs=1e-5)


def test_what_a_blur_passes_is_told_by_one_point():
    y = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)
    circular = CircularBlur(KERNEL)
    wanted = circular.transfer(y).abs().square()
    assert passed_by(circular, (SIDE, SIDE), y) == pytest.approx(wanted, abs=1e-12)


def test_noise_moves_to_a_device_as_all_of_an_operator():
    operator, _ = behind(BLURS[0])
    moved = on_device(operator, torch.device("meta"))
    assert moved.noise.power.is_meta
    assert moved.passed.is_meta
    assert moved.operator.kernel.is_meta
    assert on_device(operator, torch.device("cpu")) is operator


def test_a_spectrum_that_was_measured_may_be_negative_somewhere():
    """Chance makes it so; as variances these count as 0, and doubt is added."""
    power = spectrum()
    power[3, 5] = -power[3, 5]
    noise = noise_of(power, strength())
    own = torch.linalg.eigvalsh(noise.power.permute(2, 3, 0, 1))
    assert float(own.min()) > 0
