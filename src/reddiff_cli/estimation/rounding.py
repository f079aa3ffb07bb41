"""Noise behind a blur in a JPEG file: what the encoder has left of it, and its own errors.

An encoder sets to 0 most of the noise that the picture had, and its errors, which blurs turned
back enlarge as they do noise, are in the coefficients that it kept. Measured on JPEG files whose
coefficients were read first (tasks/compressed.py), 106 blurs of training photographs of 160x160
and 192x192 (Gaussians of 0.9 to 3, disks of 1.5 to 5, motions of 6 to 20 pixels; quality 50 to 95;
a mosaic's noise of 0 to 4 of 255, or white noise of 2): without noise the best to tell goes with
the square root of the mean step of the low frequencies, in every picture alike; with noise that
was there, its square adds to that.
"""

import math

from torch import Tensor

# Coefficients along these diagonals of a block are low frequencies.
DIAGONALS = 5
# What is told, over the square root of their mean step. Less is worse where there was noise: of
# the 106 blurs the mean loss from the best of six values is 0.19 / 0.15 / 0.15 dB by 0.8 / 0.9 /
# 1, of those without noise 0.13 / 0.15 / 0.18; by twice what the nulls have, and at least 2 of
# 255 whatever the steps are, 0.34 and 0.21. (WebP of which no steps are known loses up to 5 dB
# so, at as much rounding as quality 85 has.)
COUNTED = 0.9
# Where a blur lets nothing through there is so many times less noise than there was, times what
# rounding leaves: the larger the steps, the more of it they hide. As much as that is believed of
# an estimate from flat places, which texture deceives.
HIDDEN = 1.3


def rounding_noise(table: Tensor) -> float:
    """What the errors of an encoder count as behind a blur, standard deviation of 255.

    table: (8, 8), the steps of a JPEG's luminance.
    """
    low = [float(table[row, k - row]) for k in range(DIAGONALS) for row in range(k + 1)]
    return COUNTED * math.sqrt(sum(low) / len(low))


def noise_beside(rounding: float, estimated: float, in_nulls: float, least: float) -> float:
    """What to tell of noise in all, of 255.

    rounding: as of `rounding_noise`.    estimated: noise in flat places.    in_nulls: where the
    blur lets nothing through, counted `least` times at least.
    """
    most = max(least, HIDDEN * rounding) * in_nulls
    return math.hypot(rounding, min(estimated, most))
