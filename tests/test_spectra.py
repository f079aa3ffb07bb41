"""Singular value decompositions: V orthonormal, A = U diag(a) V^T, and U^T y / a."""

import math

import pytest
import torch
from torch.nn import functional as F

from reddiff_cli.operators import Inpaint
from reddiff_cli.operators.spectra import (
    BoxSpectrum,
    CircularSpectrum,
    ColourSpectrum,
    MaskSpectrum,
    orthonormal_from,
)

SHAPE = (2, 3, 8, 12)
WEIGHTS = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)


def random(shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


KNOWN = (random((1, 1, *SHAPE[2:]), 1) > 0).double()
KERNEL = torch.zeros(SHAPE[2:], dtype=torch.float64)
KERNEL[:3, :4] = torch.rand(3, 4, generator=torch.Generator().manual_seed(2)).double()
KERNEL /= KERNEL.sum()


def convolve(x):
    """Circular convolution with KERNEL, written as a sum of shifts."""
    total = torch.zeros_like(x)
    for i, j in KERNEL.nonzero().tolist():
        total += KERNEL[i, j] * x.roll((i, j), (2, 3))
    return total


CASES = {
    "mask": (MaskSpectrum(KNOWN), lambda x: KNOWN * x),
    "box 2": (BoxSpectrum(2), lambda x: F.avg_pool2d(x, 2)),
    "box 4": (BoxSpectrum(4), lambda x: F.avg_pool2d(x, 4)),
    "colour": (
        ColourSpectrum(WEIGHTS),
        lambda x: torch.einsum("c,bchw->bhw", WEIGHTS, x)[:, None],
    ),
    "circular": (CircularSpectrum(torch.fft.fft2(KERNEL)), convolve),
}
ALL = pytest.mark.parametrize(("spectrum", "forward"), CASES.values(), ids=CASES)


@ALL
def test_basis_is_orthonormal(spectrum, forward):
    x, other = random(SHAPE, 3), random(SHAPE, 4)
    bars, others = spectrum.to_basis(x), spectrum.to_basis(other)
    assert bars.numel() == x.numel()
    torch.testing.assert_close((bars * others).sum(), (x * other).sum())
    torch.testing.assert_close(bars.square().sum(), x.square().sum())
    torch.testing.assert_close(spectrum.from_basis(bars), x)


@ALL
def test_decomposition_is_that_of_the_forward_model(spectrum, forward):
    """A^T A = V diag(a^2) V^T, and |A x| = |diag(a) V^T x| (U has orthonormal columns)."""
    x = random(SHAPE, 5).requires_grad_(True)
    y = forward(x)
    (normal,) = torch.autograd.grad(y, x, y)
    bars = spectrum.singular_values * spectrum.to_basis(x.detach())
    torch.testing.assert_close(bars.square().sum(), y.detach().square().sum())
    expected = spectrum.from_basis(spectrum.singular_values * bars)
    torch.testing.assert_close(normal, expected)


@ALL
def test_measurement_becomes_the_coordinates_that_it_saw(spectrum, forward):
    x = random(SHAPE, 6)
    bars = spectrum.to_basis(x)
    seen = (spectrum.singular_values > 0).expand_as(bars)
    expected = torch.where(seen, bars, 0)
    torch.testing.assert_close(spectrum.measurement_to_basis(forward(x)), expected)


@ALL
def test_noise_of_the_measurement_stays_white(spectrum, forward):
    """a times (U^T n / a) is an orthonormal image of n: U^T loses nothing where a > 0."""
    y = forward(random(SHAPE, 7))
    n = forward(random(SHAPE, 8))  # within the range of A
    image = spectrum.singular_values * spectrum.measurement_to_basis(n)
    other = spectrum.singular_values * spectrum.measurement_to_basis(y)
    torch.testing.assert_close((image * other).sum(), (n * y).sum())


@ALL
def test_input_is_left_alone_and_not_shared(spectrum, forward):
    x, y = random(SHAPE, 9), forward(random(SHAPE, 10))
    copies = x.clone(), y.clone()
    for result in (
        spectrum.to_basis(x),
        spectrum.from_basis(spectrum.to_basis(x)),
        spectrum.measurement_to_basis(y),
    ):
        result.add_(1)
    assert torch.equal(x, copies[0])
    assert torch.equal(y, copies[1])


def test_weak_frequencies_count_as_unseen():
    """A box of two pixels has a zero at the highest frequency, up to rounding."""
    kernel = torch.zeros(4, 8)
    kernel[0, :2] = 0.5
    spectrum = CircularSpectrum(torch.fft.fft2(kernel))
    assert bool((spectrum.singular_values[:, 4] == 0).all())
    bars = spectrum.measurement_to_basis(torch.randn(1, 1, 4, 8))
    assert bool(bars.isfinite().all())
    assert bool((bars[..., 4] == 0).all())


@pytest.mark.parametrize(
    "vector", [[1.0, 0, 0], [-2.0, 0, 0], [0, 0, 3.0], [1.0, 1, 1], [1, -1e-9]]
)
def test_first_row_of_the_orthonormal_matrix(vector):
    vector = torch.tensor(vector, dtype=torch.float64)
    matrix = orthonormal_from(vector)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(vector), dtype=torch.float64))
    torch.testing.assert_close(matrix[0], vector / vector.norm())


def test_picture_that_does_not_divide_into_blocks():
    with pytest.raises(ValueError, match="12x8"):
        BoxSpectrum(3).to_basis(random(SHAPE))


def test_inpainting_has_a_spectrum_also_with_soft_pixels():
    """A value w is a pixel seen with noise sigma / sqrt(w)."""
    operator = Inpaint(torch.where(KNOWN > 0, 1.0, 0.25).double())
    spectrum = operator.spectrum
    assert set(spectrum.singular_values.unique().tolist()) == {0.5, 1.0}
    y = operator(random(SHAPE))
    torch.testing.assert_close(spectrum.measurement_to_basis(y), y)
    assert math.isclose(float(spectrum.singular_values.max()), 1)
