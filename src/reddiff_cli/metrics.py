"""How close two pictures are: PSNR, and SSIM (Wang, Bovik, Sheikh, Simoncelli 2004)."""

import torch
from torch import Tensor
from torch.nn import functional as F

PEAK = 2.0  # pictures lie in [-1, 1]


def psnr(x: Tensor, reference: Tensor) -> Tensor:
    """Peak signal to noise ratio in dB of each picture; both (B, C, H, W) in [-1, 1] -> (B,)."""
    # Not every device has doubles.
    mse = (x - reference).cpu().double().square().flatten(1).mean(1)
    return 10 * torch.log10(PEAK**2 / mse)


def rms(x: Tensor) -> Tensor:
    """Root mean square of each row; (B, ...) -> (B,)."""
    return x.flatten(1).square().mean(1).sqrt()


def ssim(x: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity of each picture; both (B, C, H, W) in [-1, 1] -> (B,).

    Gaussian window of 11 pixels and width 1.5, K1 = 0.01, K2 = 0.03, the values of the paper; mean
    over the positions where the window fits, and over channels.
    """
    # Means are compared by their ratio, which needs black at 0: on [-1, 1] flat pictures of 127
    # and 129 of 255 would have 0.556, not 0.99988. In fp32 that is 2e-5 too much.
    x, y = ((picture.cpu().double() + 1) / 2 for picture in (x, reference))
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return (luminance * structure).flatten(1).mean(1)


def _blur(x: Tensor) -> Tensor:
    taps = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2)).to(x)
    taps = taps / taps.sum()
    channels = x.shape[1]
    column = taps.view(1, 1, 11, 1).expand(channels, 1, 11, 1)
    row = taps.view(1, 1, 1, 11).expand(channels, 1, 1, 11)
    return F.conv2d(F.conv2d(x, column, groups=channels), row, groups=channels)
