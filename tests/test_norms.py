"""Group normalisation of our own against PyTorch's, there and back."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from reddiff_cli.networks.network import build, new_config
from reddiff_cli.networks.norms import GroupNorm, group_norm

LAST = torch.channels_last
SHAPES = ((1, 8, 6, 5), (3, 12, 4, 4), (2, 4, 9, 2))
GROUPS, EPS = 4, 1e-5


def example(shape, offset=0.0):
    """x (each channel with a scale of its own), weight, bias, and a gradient of y, float64."""
    torch.manual_seed(0)
    scale = torch.rand(shape[1], dtype=torch.float64)[:, None, None] + 0.5
    x = (torch.randn(shape, dtype=torch.float64) + offset) * scale
    weight, bias = torch.randn(2, shape[1], dtype=torch.float64)
    gradient = torch.randn(shape, dtype=torch.float64)
    return [
        x.contiguous(memory_format=LAST),
        weight,
        bias,
        gradient.contiguous(memory_format=LAST),
    ]


def there_and_back(norm, x, weight, bias, gradient):
    """y, and what `gradient` of it gives for x, weight and bias."""
    leaves = [value.detach().requires_grad_() for value in (x, weight, bias)]
    y = norm(leaves[0], GROUPS, *leaves[1:], EPS)
    return [y.detach(), *torch.autograd.grad(y, leaves, gradient)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_equals_torch(shape, offset):
    given = example(shape, offset)
    expected = there_and_back(F.group_norm, *given)
    for ours, theirs in zip(there_and_back(group_norm, *given), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.is_contiguous(memory_format=LAST) or ours.dim() == 1


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-7)])
@pytest.mark.parametrize("mixed", [False, True])
def test_rounds_no_worse_than_the_type_does(dtype, bound, mixed):
    """mixed: weights in fp32, as in training. An offset, as sums cancel where there is one."""
    exact = example((2, 16, 24, 24), offset=1.0)
    rounded = [value.to(dtype) for value in exact]
    known = [value.double() for value in rounded]
    if mixed:
        rounded[1:3] = [value.float() for value in rounded[1:3]]
    expected = there_and_back(F.group_norm, *known)
    for ours, truth in zip(there_and_back(group_norm, *rounded), expected, strict=True):
        assert float((ours - truth).norm() / truth.norm()) < bound


def test_the_gradient_of_what_is_asked_for_alone():
    x, weight, bias, gradient = example(SHAPES[0])
    norm = GroupNorm(GROUPS, x.shape[1], EPS).double().requires_grad_(False)
    norm.load_state_dict({"weight": weight, "bias": bias})
    leaf = x.clone().requires_grad_()
    y = norm(leaf)
    y.backward(gradient)
    assert type(y.grad_fn).__name__ == "_NormedBackward"  # or this test would show nothing
    assert norm.weight.grad is None
    torch.testing.assert_close(leaf.grad, there_and_back(F.group_norm, *example(SHAPES[0]))[1])
    with torch.no_grad():
        assert torch.equal(norm(x), F.group_norm(x, GROUPS, weight, bias, EPS))


def test_a_gradient_of_the_gradient_is_refused():
    """PyTorch would take what is stored for constants, and be wrong without a word."""
    x, weight, bias, _ = example(SHAPES[0])
    y = group_norm(x.requires_grad_(), GROUPS, weight, bias, EPS)
    (slope,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


def test_other_layouts_are_left_to_torch():
    x, weight, bias, _ = example(SHAPES[0])
    y = group_norm(x.contiguous().requires_grad_(), GROUPS, weight, bias, EPS)
    assert type(y.grad_fn).__name__ == "NativeGroupNormBackward0"


def test_every_norm_of_a_network_is_ours():
    network = build(new_config((8, 16), 1, 16, 2, 4))
    norms = [part for part in network.modules() if isinstance(part, nn.GroupNorm)]
    assert norms
    assert all(isinstance(norm, GroupNorm) for norm in norms)
