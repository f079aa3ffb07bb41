"""How noisy a picture is, and whether a restoration agrees with that.

The estimate is the median absolute value of the diagonal db2 wavelet band over 0.6745 (Donoho and
Johnstone 1994): pictures leave little there, noise leaves all of itself.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# High-pass filter of the Daubechies wavelet with two vanishing moments, of unit norm.
DB2_HIGH = (-0.4829629131445341, 0.8365163037378079, -0.2241438680420134, -0.1294095225512604)
GAUSSIAN_MEDIAN = 0.6745
# Texture alone reads as this much noise (of 255), measured on photographs without any.
TEXTURE = 1.5
# Never less than rounding to 8 bits and a little of what the model of the damage leaves out.
FLOOR = 0.5
# Noise that JPEG or resizing has smoothed is underestimated.
FLOOR_SMOOTHED = 2.0
# Ratios of residual to noise that a right model leaves; super-resolution that is best by PSNR
# leaves 0.76.
RIGHT = (0.7, 1.2)


@dataclass(frozen=True)
class NoiseEstimate:
    """sigma in [0, 1] units; warning is empty or says why not to trust it."""

    sigma: float
    warning: str = ""


def estimate_noise(
    picture: Tensor, known: Tensor | None = None, *, smoothed: bool = False
) -> NoiseEstimate:
    """Standard deviation of the noise of one picture.

    picture: (1, C, H, W) in [-1, 1].    known: (1, 1, H, W), 1 = observed; only where all of a
    5 x 5 neighbourhood is.    smoothed: the file is a JPEG or was resized.
    """
    raw = wavelet_sigma(picture, known)
    if raw is None:
        return NoiseEstimate(FLOOR_SMOOTHED / 255, "too little to measure the noise on")
    raw = raw / 2 * 255  # [-1, 1] -> of 255
    corrected = max(raw**2 - TEXTURE**2, 0.0) ** 0.5
    if smoothed:
        low = corrected < FLOOR_SMOOTHED
        warning = "a lossy file hides its noise; the estimate is a guess" if low else ""
        return NoiseEstimate(max(corrected, FLOOR_SMOOTHED) / 255, warning)
    return NoiseEstimate(max(corrected, FLOOR) / 255)


def wavelet_sigma(picture: Tensor, known: Tensor | None = None) -> float | None:
    """The uncorrected estimate in the units of the picture, or None if nothing is left to see.

    Clipped pixels carry no noise and are left out; channels are combined by their mean square.
    """
    if min(picture.shape[2:]) < 8:
        return None
    usable = (picture.abs() < 1 - 1e-6).to(picture.dtype)
    if known is not None:
        usable = usable * _inner(known)
    taps = torch.tensor(DB2_HIGH, dtype=picture.dtype, device=picture.device)
    kernel = torch.outer(taps, taps)[None, None]
    details = F.conv2d(picture[0][:, None], kernel, stride=2).abs()
    whole = -F.max_pool2d(-usable[0][:, None], 4, stride=2) > 0.5
    squares = [
        (values[seen].median() / GAUSSIAN_MEDIAN).square()
        for values, seen in zip(details, whole, strict=True)
        if int(seen.sum()) >= 16
    ]
    return float(torch.stack(squares).mean().sqrt()) if squares else None


def judge_residual(ratio: float) -> str:
    """What rms residual over sigma says about the assumptions."""
    if ratio > RIGHT[1]:
        return "too much is left unexplained: prior weight or noise too high, or a wrong operator"
    if ratio < RIGHT[0]:
        return "noise is being fitted"
    return "right"


def _inner(known: Tensor) -> Tensor:
    """1 where a 5 x 5 neighbourhood is known."""
    return -F.max_pool2d(-known, 5, stride=1, padding=2)
