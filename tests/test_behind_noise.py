"""A camera's noise behind blurs and reductions: heard with its spectrum, and used."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.operators import Blur, Coloured, InLight
from reddiff_cli.operators.downsample import bicubic
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import DeblurOptions, SuperresOptions
from reddiff_cli.pictures.files import Picture, save_picture
from reddiff_cli.tasks import degraded
from test_listening import Restoring, posed, wide

COFFEE = Path(__file__).parent / "pictures" / "coffee.png"
SIDE, LEVEL = 192, 10
KERNEL = parse_kernel("gaussian:1.5")
BLUR = Blur(make_kernel(KERNEL))
DEBLUR = DeblurOptions(KERNEL, response="linear")


def coffee(side):
    with Image.open(COFFEE) as opened:
        pixels = np.asarray(opened.convert("RGB"), np.float32)[:side, :side]
    assert pixels.shape[:2] == (side, side)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]


def saved(folder, y, noise=wide, level=LEVEL):
    """In 16 bits, with noise that no channel shares with another."""
    y = y + level / 127.5 * noise(5, SIDE)[:, : y.shape[1], : y.shape[2], : y.shape[3]]
    path = folder / "y.png"
    pixels = ((y.clamp(-1, 1) + 1) / 2)[0].permute(1, 2, 0).numpy()
    save_picture(Picture(pixels.astype(np.float32), depth=16), path, None)
    return path


def psnr(picture, x):
    made = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None] * 2 - 1
    return float(-10 * torch.log10((made - x).square().mean() / 4))


@pytest.fixture
def blurred_coffee(tmp_path):
    """A file, and what it should be."""
    canvas = coffee(SIDE + len(BLUR.kernel) - 1)
    return saved(tmp_path, BLUR(canvas)), BLUR.crop(canvas)


def test_the_spectrum_tells_what_was_blurred(blurred_coffee, monkeypatch):
    """Than as so much white noise, which hides fine detail that coloured noise does not."""
    path, x = blurred_coffee
    result, picture = Restoring(DEBLUR)(path)
    assert 1 < 255 * result.noise / LEVEL < 1.6
    monkeypatch.setattr(degraded, "SHARED_BEHIND", 0)
    _, before = Restoring(DEBLUR)(path)
    assert psnr(picture, x) > psnr(before, x) + 0.3


def solved(problem):
    """The last stage, once the network has answered those before."""
    restorer = Restoring(DEBLUR).restorer
    for stage in problem.stages():
        if stage.last:
            return stage
        problem.accept(stage, restorer.solve(stage)[0])
    raise AssertionError("no stage restores the picture")


def test_a_blur_of_light_takes_it_as_white(tmp_path):
    """As strong as it is heard: where the blur lets nothing else through, there is little."""
    path = saved(tmp_path, InLight(BLUR)(coffee(SIDE + len(BLUR.kernel) - 1)))
    stage = solved(posed(path, DeblurOptions(KERNEL, response="srgb")))
    assert isinstance(stage.operator, InLight)
    assert not stage.white
    assert 1 < 127.5 * stage.sigma_y / LEVEL < 1.6


def test_a_composition_of_one_blur_is_a_blur(blurred_coffee):
    path, _ = blurred_coffee
    assert isinstance(solved(posed(path, parse_degrade("blur gaussian:1.5"))).operator, Coloured)


def test_other_methods_are_given_the_blur_alone(blurred_coffee):
    """Their noise is white."""
    path, _ = blurred_coffee
    stage = solved(posed(path, DEBLUR, method="dps"))
    assert isinstance(stage.operator, Blur)
    assert stage.sigma_y > 0


def shared(seed, side):
    """The same in all channels, as of a mosaic or of film."""
    return wide(seed, side)[:, :1].expand(-1, 3, -1, -1)


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_that_channels_share_has_no_use_for_its_spectrum(channels, tmp_path):
    y = BLUR(coffee(SIDE + len(BLUR.kernel) - 1))
    y = y if channels == 3 else y[:, :1].expand(-1, 3, -1, -1)
    problem = posed(saved(tmp_path, y, shared), DEBLUR)
    assert not isinstance(solved(problem).operator, Coloured)


def test_what_was_made_small_is_listened_to_as_in_denoise(tmp_path):
    """Though what is in its finest details does not tell that there is more."""
    x = coffee(SIDE)
    path = saved(tmp_path, bicubic(2)(x))
    result, _ = Restoring(SuperresOptions(2))(path)
    assert 1 < 255 * result.noise / LEVEL < 2.2
