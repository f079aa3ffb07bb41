"""Grain of film: the network takes it for texture, so what is everywhere tells it."""

from pathlib import Path

import pytest
import torch

from reddiff_cli.estimation.uniform_grain import LEAST, MOST, uniform_grain
from reddiff_cli.metrics import psnr
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.tasks.problem import to_tensor

PICTURES = Path(__file__).parent / "pictures"
SIDE = 192


def grain(sigma, size=(SIDE, SIDE)):
    """Of 255, a Gaussian of 0.9 pixels, (1, 1, H, W) in [-1, 1] units."""
    white = torch.randn(
        (1, 1, size[0] + 8, size[1] + 8), generator=torch.Generator().manual_seed(1)
    )
    bell = torch.exp(-torch.arange(-4.0, 5).square() / (2 * 0.9**2))
    kernel = bell[:, None] * bell
    return sigma / 127.5 * torch.nn.functional.conv2d(white, (kernel / kernel.norm())[None, None])


def scene(size=(SIDE, SIDE)):
    return torch.linspace(-0.6, 0.6, size[1]).expand(1, 3, *size)


@pytest.mark.parametrize("sigma", [3, 6, 10])
def test_grain_is_told_where_there_is_nothing_else(sigma):
    assert 127.5 * uniform_grain(scene() + grain(sigma)) == pytest.approx(sigma, rel=0.1)
    assert uniform_grain((scene() + grain(sigma)).mean(1, keepdim=True)) is not None


def test_grain_is_told_beside_texture():
    y = scene() + grain(6)
    y[..., :60, :] += grain(40)[..., :60, :]
    assert 127.5 * uniform_grain(y) == pytest.approx(6, rel=0.15)


@pytest.mark.parametrize("sigma", [0, 0.8 * LEAST, 1.2 * MOST])
def test_too_little_and_too_much_is_none(sigma):
    assert uniform_grain(scene() + grain(sigma)) is None


def test_what_is_weaker_somewhere_is_texture():
    y = scene() + grain(6)
    y[..., 60:110, :] = scene()[..., 60:110, :]
    assert uniform_grain(y) is None
    stronger = torch.linspace(0.2, 1, SIDE)[:, None]
    assert uniform_grain(scene() + stronger * grain(10)) is None


def test_a_photograph_has_none():
    assert uniform_grain(to_tensor(load_picture(PICTURES / "coffee.png"))) is None


@pytest.mark.parametrize("size", [(12, 12), (40, 40), (16, 200)])
def test_small_pictures_tell_nothing(size):
    assert uniform_grain(scene(size) + grain(6, size)) is None


def test_what_is_clipped_counts_for_nothing():
    bright = (scene() + 1.2 + grain(6)).clamp(-1, 1)
    assert 127.5 * uniform_grain(bright) == pytest.approx(6, rel=0.15)
    assert uniform_grain((bright + 1).clamp(-1, 1)) is None


@pytest.mark.parametrize("channels", [1, 3])
def test_grain_of_a_png_is_taken_away(channels, denoise, tmp_path):
    """Of a grey picture and of one in colours; the network by itself leaves all of it."""
    clean = scene()[:, :channels]
    pixels = ((clean + grain(6))[0].permute(1, 2, 0) + 1) / 2
    path, out = tmp_path / "img.png", tmp_path / "out.png"
    save_picture(Picture(pixels.numpy()), path, None)
    result = denoise(path, out)
    assert 255 * result.noise == pytest.approx(6, rel=0.2)
    before, after = (float(psnr(to_tensor(load_picture(p)), clean)) for p in (path, out))
    assert after > before + 5
