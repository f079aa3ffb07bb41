"""PSNR by hand, SSIM against scikit-image."""

import pytest
import torch
from skimage.metrics import structural_similarity

from reddiff_cli.metrics import psnr, ssim


def test_psnr_by_hand():
    x = torch.zeros(2, 3, 4, 4)
    reference = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.02)])
    torch.testing.assert_close(psnr(x, reference), torch.tensor([20.0, 40.0]).double())


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_equals_scikit_image(channels):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, channels, 40, 50, generator=generator, dtype=torch.float64) * 2 - 1
    reference = (x + 0.3 * torch.randn(x.shape, generator=generator)).clamp(-1, 1)
    expected = structural_similarity(
        (x[0].numpy() + 1) / 2,
        (reference[0].numpy() + 1) / 2,
        data_range=1,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert float(ssim(x, reference)) == pytest.approx(expected, abs=1e-6)


def test_ssim_of_flat_greys_by_hand():
    """(2 a b + c) / (a^2 + b^2 + c) with a = 127 / 255, b = 129 / 255, c = 1e-4."""
    x, reference = (torch.full((1, 1, 16, 16), 2 * n / 255 - 1) for n in (127, 129))
    assert float(ssim(x, reference)) == pytest.approx(0.999878, abs=1e-6)
