"""Our own UNet against diffusers' UNet2DModel, in every layout that priors come in."""

import subprocess
import sys

import pytest
import torch
from diffusers import UNet2DModel
from torch import nn

from reddiff_cli.errors import ModelMissing
from reddiff_cli.networks.convert import FAMILIES, Family, adm_config
from reddiff_cli.networks.doubled import DoubledConv, double, gains
from reddiff_cli.networks.network import new_config
from reddiff_cli.networks.unet import OURS, UNet2D, make_unet, unexpressed
from test_network import GOOGLE

DDPM_256 = GOOGLE | {"block_out_channels": [128, 128, 256, 256, 512, 512], "sample_size": 256}
CIFAR = GOOGLE | {
    "block_out_channels": [128, 256, 256, 256],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "sample_size": 32,
}
NATURAL = new_config((64, 96, 128, 192), 2, 64, 2, 8)
FULL = {
    "natural": NATURAL,
    "ddpm-256": DDPM_256,
    "cifar": CIFAR,
    **{name: adm_config(family) for name, family in FAMILIES.items()},
}
SMALL = {
    "natural": new_config((16, 24, 32, 48), 2, 64, 2, 8),
    "ddpm-256": GOOGLE,
    "cifar": CIFAR | {"block_out_channels": [32, 64, 64, 64], "norm_num_groups": 16},
    "imagenet256": adm_config(Family(32, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5), head=16)),
    "ffhq256": adm_config(Family(32, (1, 1, 2, 2, 4, 4), 1, (4,), head=16)),
    "odd-heads": CIFAR
    | {"block_out_channels": [24] * 4, "norm_num_groups": 8}
    # 24 channels hold one head of 20: the projections are narrower than the picture.
    | {"attention_head_dim": 20},
    "no-mid-attention": CIFAR
    | {"block_out_channels": [16] * 4, "norm_num_groups": 8, "add_attention": False},
    "mid-without-norm": CIFAR
    | {"block_out_channels": [16] * 4, "norm_num_groups": 8}
    | {"resnet_time_scale_shift": "scale_shift", "upsample_type": "resnet"},
    "wide-time": CIFAR
    | {"block_out_channels": [16, 16, 32, 32], "norm_num_groups": 4, "layers_per_block": 1}
    | {"time_embedding_dim": 40, "out_channels": 6, "downsample_padding": 1},
}


def theirs_of(config):
    known = {k: v for k, v in config.items() if not k.startswith("_") and k not in OURS}
    return UNet2DModel(**known)


def both(config):
    """Ours and theirs with the same random weights; norms and biases are random too."""
    torch.manual_seed(0)
    theirs = theirs_of(config).eval()
    for parameter in theirs.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn(parameter.shape)
    ours = make_unet(config).eval()
    assert isinstance(ours, UNet2D)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize("config", FULL.values(), ids=FULL)
def test_parameters_have_the_same_names_shapes_and_order(config):
    with torch.device("meta"):
        ours, theirs = make_unet(config), theirs_of(config)
    assert isinstance(ours, UNet2D)
    shapes = [(key, value.shape) for key, value in ours.state_dict().items()]
    assert shapes == [(key, value.shape) for key, value in theirs.state_dict().items()]
    # An optimiser's state counts parameters.
    assert [name for name, _ in ours.named_parameters()] == [key for key, _ in shapes]


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_equals_diffusers(config):
    ours, theirs = both(config)
    x = torch.randn(2, config["in_channels"], 32, 64)
    for t in (torch.tensor([7, 7]), torch.tensor([3, 950]), torch.tensor([7, 7])):
        with torch.no_grad():
            expected = theirs(x, t).sample
            scale = float(expected.std())
            for memory in (torch.contiguous_format, torch.channels_last):
                for fixed in (False, True):
                    ours.requires_grad_(not fixed)
                    seen = ours(x.contiguous(memory_format=memory), t)
                    assert float((seen - expected).abs().max()) < 1e-5 * max(1, scale)


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL)
def test_equals_diffusers_in_float64(config):
    ours, theirs = (network.double() for network in both(config))
    x, t = torch.randn(2, config["in_channels"], 32, 32).double(), torch.tensor([40, 40])
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t), theirs(x, t).sample, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", ["natural", "ffhq256", "cifar"])
@pytest.mark.parametrize("steps", [(9, 9), (9, 700)], ids=["one-step", "two-steps"])
def test_gradients_equal(name, steps):
    gradients = []
    for network in both(SMALL[name]):
        network.double()  # sums of gradients in fp32 differ by more than what is looked for
        torch.manual_seed(1)
        x = torch.randn(2, SMALL[name]["in_channels"], 32, 32).double().requires_grad_()
        out = network(x, torch.tensor(steps))
        out = out if isinstance(out, torch.Tensor) else out.sample
        out.square().mean().backward()
        gradients.append([x.grad, *(p.grad for p in network.parameters())])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_gradient_of_the_input_with_fixed_weights():
    ours, _ = both(SMALL["natural"])
    ours.requires_grad_(False)
    x = torch.randn(1, 12, 16, 16).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        ours(x, torch.tensor([5]))  # what is kept from here must not stand in the way
    x.requires_grad_()
    ours(x, torch.tensor([5])).sum().backward()
    assert float(x.grad.abs().sum()) > 0
    assert all(p.grad is None for p in ours.parameters())


def test_input_is_left_alone():
    ours, _ = both(SMALL["ffhq256"])
    x = torch.randn(1, 3, 32, 32)
    before = x.clone()
    with torch.no_grad():
        ours(x, torch.tensor([5]))
    assert torch.equal(x, before)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
def test_what_is_kept_follows_the_weights(memory):
    ours, _ = both(SMALL["natural"])
    ours.requires_grad_(False)
    x, t = torch.randn(1, 12, 16, 16).contiguous(memory_format=memory), torch.tensor([5])
    first = ours(x, t)
    ours.load_state_dict({k: v * 1.1 for k, v in ours.state_dict().items()})
    fresh = make_unet(SMALL["natural"]).requires_grad_(False)
    fresh.load_state_dict(ours.state_dict())
    assert torch.equal(ours(x, t), fresh(x, t))
    assert not torch.equal(ours(x, t), first)
    assert ours.to(torch.bfloat16)(x.bfloat16(), t).dtype == torch.bfloat16


@pytest.mark.parametrize("shape", [(1, 5, 7), (2, 8, 8), (3, 1, 2)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_nothing_is_enlarged_to_be_convolved(shape, dtype, monkeypatch):
    if not gains(dtype):
        pytest.skip("this CPU is not known to gain")
    torch.manual_seed(0)
    conv = DoubledConv(6, 10).requires_grad_(False)
    x = torch.randn(shape[0], 6, *shape[1:])
    expected = nn.Conv2d.forward(conv, double(x))
    monkeypatch.setattr(
        "reddiff_cli.networks.doubled.double", None
    )  # as it would be called otherwise
    seen = conv.to(dtype)(x.to(dtype).contiguous(memory_format=torch.channels_last))
    assert seen.dtype == dtype
    assert seen.is_contiguous(memory_format=torch.channels_last)
    error = (seen.float() - expected).abs().max() / expected.std()
    assert float(error) < (1e-5 if dtype == torch.float32 else 0.03)


def test_sixteen_bits_are_near():
    ours, theirs = both(SMALL["natural"])
    x, t = torch.randn(2, 12, 32, 32), torch.tensor([300, 300])
    with torch.no_grad():
        exact = ours(x, t)
        error = (ours.bfloat16()(x.bfloat16(), t).float() - exact).square().mean().sqrt()
        other = (theirs.bfloat16()(x.bfloat16(), t).sample.float() - exact).square().mean().sqrt()
    assert float(error / exact.std()) < 0.03
    assert float(error) < 1.2 * float(other)


@pytest.mark.parametrize(
    "change",
    [
        {"act_fn": "gelu"},
        {"center_input_sample": True},
        {"down_block_types": ["DownBlock2D", "SkipDownBlock2D"]},
        {"mid_block_scale_factor": 1.4},
        {"mid_block_type": None},
    ],
    ids=str,
)
def test_what_is_not_expressed_is_left_to_diffusers(change):
    config = new_config((16, 16), 1, 32, 1, 8) | change
    assert unexpressed({k: v for k, v in config.items() if k[0] != "_"})
    assert isinstance(make_unet(config), UNet2DModel)


@pytest.mark.parametrize(
    "change",
    [{"down_block_types": ["NoBlock2D"] * 2}, {"colour": 3}, {"norm_num_groups": 7}],
    ids=str,
)
def test_what_nobody_can_build_is_refused(change):
    config = {k: v for k, v in new_config((16, 16), 1, 32, 1, 8).items()}
    with pytest.raises(ModelMissing, match=r"config\.json"):
        make_unet(config | change)


def test_diffusers_is_not_imported_for_our_own(tiny_prior):
    code = (
        "import sys, pathlib; from reddiff_cli.networks.network import load_prior; "
        f"load_prior(pathlib.Path({str(tiny_prior)!r})); print('diffusers' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "False", result.stderr
