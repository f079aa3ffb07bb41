"""Toned pictures are restored in one channel, and keep their colours."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.estimation.tone import find_tone
from reddiff_cli.metrics import psnr
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import DenoiseOptions
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, pose
from reddiff_cli.tasks.problem import to_pixels, to_tensor

PHOTOGRAPH = Path(__file__).parent / "pictures" / "coffee.png"
SIDE = 400


def photograph():
    """In colours, (1, 3, SIDE, SIDE) in [-1, 1]."""
    return to_tensor(load_picture(PHOTOGRAPH))[..., :SIDE, 600 - SIDE :]


def sepia(grey):
    """In [-1, 1], (1, 1, H, W) -> (1, 3, H, W); its red is clipped in the lights."""
    light = (grey + 1) / 2
    return 2 * torch.cat([1.1 * light + 0.1, 0.8 * light**1.1 + 0.1, 0.6 * light], 1) - 1


def noise(sigma, channels, *, wide=False):
    """Of sigma, of 255; wide: as that of a film, a Gaussian of 0.9 pixels."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn((1, channels, SIDE + 8, SIDE + 8), generator=generator)
    if wide:
        taps = torch.exp(-0.5 * (torch.arange(-4, 5) / 0.9) ** 2)
        drawn = F.conv2d(drawn.transpose(0, 1), torch.outer(taps, taps)[None, None], padding=4)
        drawn = drawn.transpose(0, 1)
    drawn = drawn[..., 4:-4, 4:-4]
    return sigma / 127.5 * drawn / drawn.std()


def stored(x):
    """In 8 bits."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def test_a_tone_is_found():
    grey = photograph().mean(1, keepdim=True)
    for spoilt in (0.0, noise(2, 3)):
        tone = find_tone(stored(sepia(grey) + spoilt))
        assert tone is not None
        assert float((tone.colours_of(tone.grey) - sepia(grey).clamp(-1, 1)).std()) < 3 / 127.5
    assert find_tone(photograph()) is None
    assert find_tone(grey) is None
    assert find_tone(grey.expand(1, 3, SIDE, SIDE)) is None
    assert find_tone(stored(sepia(grey))[..., :32, :32]) is None


def test_colours_stay_and_noise_of_the_channels_own_goes():
    clean = stored(sepia(photograph().mean(1, keepdim=True)))
    clean[..., 100:108, 100:108] = torch.tensor([0.5, -0.5, -0.5])[:, None, None]  # a stamp
    tone = find_tone(clean)
    assert 127.5 * tone.own_noise < 0.5
    assert float((tone.put_on(tone.grey) - clean).abs().max()) < 2 / 127.5
    noisy = find_tone(clean + noise(3, 3))
    assert 127.5 * noisy.own_noise == pytest.approx(3, rel=0.1)
    apart = noisy.put_on(tone.grey) - clean
    assert 127.5 * float(apart.std()) < 1
    assert 127.5 * float(apart[..., 101:107, 101:107].mean((2, 3)).abs().max()) < 3


@pytest.mark.parametrize(
    ("spoilt", "told", "channels"),
    [
        (noise(6, 1, wide=True), None, 1),
        (noise(6, 1, wide=True) + noise(1.5, 3), None, 1),
        (noise(6, 1, wide=True), 0.03, 1),
        (noise(5, 3), None, 3),
        (noise(5, 3), 0.02, 3),
        (torch.zeros(1), None, 3),
    ],
)
def test_noise_that_the_channels_share_is_looked_for_in_their_mean(
    spoilt, told, channels, tmp_path
):
    path = tmp_path / "img.png"
    save_picture(
        Picture(to_pixels(sepia(photograph().mean(1, keepdim=True)) + spoilt)), path, None
    )
    setting = Setting(find_model("natural"), SolverOptions(noise=told), print)
    problem = pose(Job("denoise", path, path), DenoiseOptions(), setting)
    assert problem.y.shape[1] == channels


def test_grain_of_a_toned_scan_is_taken_away(tmp_path):
    """With the bundled prior."""
    truth = sepia(photograph().mean(1, keepdim=True)).clamp(-1, 1)
    path, out = tmp_path / "img.png", tmp_path / "out.png"
    save_picture(Picture(to_pixels(truth + noise(8, 1, wide=True))), path, None)
    options, solver = DenoiseOptions(), SolverOptions(preset="fast")
    machine, output = MachineOptions(device="cpu"), OutputOptions(overwrite=True)
    restorer = Restorer(find_model("natural"), solver, machine, options, output)
    restorer.restore(Job("denoise", path, out), lambda *_: None, print)
    before, after = (to_tensor(load_picture(file)) for file in (path, out))
    assert float(psnr(after, truth)) > float(psnr(before, truth)) + 1.4
