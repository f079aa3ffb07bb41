"""Properties that every operator must have, over one list of operators."""

import pytest
import torch

from reddiff_cli.filling import bend_smoothly, fill_smoothly
from reddiff_cli.operators import Inpaint

SHAPE = (2, 3, 9, 11)


def mask(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(1, 1, *SHAPE[2:], generator=generator) < 0.6).double()


def soft_mask():
    return torch.where(mask() > 0, 1.0, 0.3).double()


LINEAR = [Inpaint(mask()), Inpaint(torch.ones(1, 1, *SHAPE[2:], dtype=torch.float64))]
ALL = [*LINEAR, Inpaint(soft_mask())]


def random(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("operator", LINEAR)
def test_adjoint_by_autograd(operator):
    u = random(SHAPE, 1).requires_grad_(True)
    y = operator(u)
    v = random(y.shape, 2)
    (adjoint,) = torch.autograd.grad(y, u, v)
    difference = (y * v).sum() - (u * adjoint).sum()
    assert difference.item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("operator", LINEAR)
@pytest.mark.parametrize("r", [1e-3, 1.0, 50.0])
def test_data_step_is_at_its_minimum(operator, r):
    d, y = random(SHAPE, 3), operator(random(SHAPE, 4))
    x = operator.data_step(d, y, r).requires_grad_(True)
    objective = (operator(x) - y).square().sum() + r * (x - d).square().sum()
    (gradient,) = torch.autograd.grad(objective, x)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-10, rtol=0)


def test_soft_value_is_a_weight():
    """A pixel of weight w counts as if it were measured with noise sigma / sqrt(w)."""
    weight, r = soft_mask(), 0.2
    d, y = random(SHAPE, 3), random(SHAPE, 4)
    x = Inpaint(weight).data_step(d, y, r).requires_grad_(True)
    objective = (weight * (x - y).square()).sum() + r * (x - d).square().sum()
    (gradient,) = torch.autograd.grad(objective, x)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-10, rtol=0)


@pytest.mark.parametrize("operator", ALL)
def test_start_explains_the_measurement_and_has_its_own_memory(operator):
    y = operator(random(SHAPE, 5))
    before = y.clone()
    start = operator.start(y)
    start.add_(1)
    assert torch.equal(y, before)
    torch.testing.assert_close(operator(operator.start(y)), y, atol=1e-10, rtol=0)


@pytest.mark.parametrize("operator", ALL)
def test_pure_and_deterministic(operator):
    x, d = random(SHAPE, 6), random(SHAPE, 7)
    copies = x.clone(), d.clone()
    y = operator(x)
    assert torch.equal(operator(x), y)
    assert torch.equal(operator.data_step(d, y, 0.1), operator.data_step(d, y, 0.1))
    assert torch.equal(x, copies[0])
    assert torch.equal(d, copies[1])


@pytest.mark.parametrize("operator", ALL)
def test_row_of_a_batch_equals_the_row_alone(operator):
    x, d = random(SHAPE, 8), random(SHAPE, 9)
    y = operator(x)
    for i in range(SHAPE[0]):
        row = slice(i, i + 1)
        assert torch.equal(operator(x[row]), y[row])
        torch.testing.assert_close(operator.start(y[row]), operator.start(y)[row])
        alone = operator.data_step(d[row], y[row], 0.1)
        torch.testing.assert_close(alone, operator.data_step(d, y, 0.1)[row])


def test_smooth_filling_stays_between_its_neighbours():
    known = torch.ones(1, 1, 33, 41)
    known[:, :, 5:20, 8:30] = 0
    y = known * torch.linspace(-1, 1, 41).expand(1, 3, 33, 41)
    filled = fill_smoothly(y, known)
    torch.testing.assert_close(filled * known, y)
    assert float(filled.min()) >= -1
    assert float(filled.max()) <= 1
    ramp = torch.linspace(-1, 1, 41).expand(1, 3, 33, 41)
    assert float((filled - ramp).abs().max()) < 0.5


def test_nothing_known_is_filled_with_grey():
    assert torch.equal(
        fill_smoothly(torch.zeros(1, 3, 7, 5), torch.zeros(1, 1, 7, 5)), torch.zeros(1, 3, 7, 5)
    )


def test_bent_filling_equals_scikit_image_on_thin_holes():
    from skimage.restoration import inpaint_biharmonic

    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    picture = torch.stack([torch.sin(x / 7), torch.cos(y / 5), torch.sin((x + y) / 9)]).double()
    known = (torch.rand(1, 1, 40, 50, generator=generator) < 0.5).double()
    known[:, :, :3] = known[:, :, -3:] = known[..., :3] = known[..., -3:] = 1
    damaged = picture[None] * known
    filled = bend_smoothly(fill_smoothly(damaged, known), known)
    expected = inpaint_biharmonic(
        damaged[0].numpy().transpose(1, 2, 0), known[0, 0].numpy() == 0, channel_axis=-1
    )
    expected = torch.from_numpy(expected).permute(2, 0, 1)
    torch.testing.assert_close(filled[0], expected, atol=2e-3, rtol=0)
    assert float((filled - picture).abs().max()) < 0.05
    assert torch.equal(filled * known, damaged)
