"""Drawn grain that goes on from what is around a hole, by conditional simulation.

A fill goes on from the grain at its border, as from all else there. A free draw on top of that
jumps at the border, and coarse grain shows it: thin lines along scratches. So a draw d loses what
its own surroundings tell of it (Journel and Huijbregts 1978, "Mining Geostatistics"):

    u = d + C_hk (C_kk + N)^-1 (t - d - n)_k = d + e,    Q_hh e = Q_hk (d + n - t)_k,
    Q = (C + N)^-1

C: covariance of grain; h, k: hole and known; n: white noise of covariance N, for what a fill
cannot tell; t: grain that was added before, 0 in the picture. Q is a filter, so a round of
conjugate gradients costs two Fourier transforms, and holes of any shape the same.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..linear import conjugate_gradients

# How far grain is told from, at least.
REACH = 16
# Sides for Fourier transforms are multiples of this: fast ones, and few whose Q has to be made.
SIDE = 32
# Variance of n, in that of grain. A prior goes on from 0.7 of coarse grain, as kriged without n,
# and from 0.4 of fine one. Steps across the borders of scratches, of 255, in a blurred photograph
# with grain of 12 of 255 and 0.8, 1.2, 1.5 and 2.5 pixels, `inpaint --preset fast`:
#     truth 9.7 6.8 5.7 3.5    free draws 12.8 10.8 9.6 7.1
#     0.3   10.9 8.1 6.9 4.2   0.5   11.3 8.6 7.3 4.5   1   11.8 9.3 7.9 4.9
# and inside of them, where less n leaves less grain:
#     truth 9.8 6.9 5.8 3.4    free draws 10.2 7.6 6.7 4.5
#     0.3   9.0 6.3 5.7 3.7    0.5   9.2 6.5 5.8 3.8    1   9.5 6.8 6.0 3.9
UNTOLD = 0.5
# Of conjugate gradients; 3 to 11 do. 12 megapixels with 4000 specks and 8 scratches take 12
# to 15 s on one core, 8 to 9 s by free draws.
ROUNDS, SETTLED = 30, 0.02
# Least variance, in [-1, 1] units: of pictures without grain.
LEAST = 1e-8
# So many Q are kept: the largest has 12 MB.
KEPT = 8


class Continuation:
    """kernel: (C, C, T, T), turns white noise into grain, as of `Grain`."""

    def __init__(self, kernel: Tensor) -> None:
        self._kernel = kernel
        variance = float(kernel.square().sum() / len(kernel))
        self._untold = max(LEAST, UNTOLD * variance)
        self._filters: dict[tuple[int, int], Tensor] = {}

    def __call__(
        self, drawn: Tensor, there: Tensor, hole: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Grain that goes on from `there` into a hole; of no use outside of it.

        drawn: (1, C, H, W), a free draw.    there: as `drawn`, t of the known pixels.    hole:
        (H, W), true where nothing is known.
        """
        height, width = hole.shape
        # Nothing is known beyond the borders, and they meet there.
        sides = (_fast_side(height), _fast_side(width))
        beyond = (0, sides[1] - width, 0, sides[0] - height)
        precision = self._precision(sides)
        noise = torch.randn(drawn.shape, generator=generator) * self._untold**0.5
        told = F.pad((drawn + noise - there) * ~hole, beyond)
        unknown = F.pad(hole.to(drawn.dtype), beyond, value=1.0)

        def within(x: Tensor) -> Tensor:
            waves = torch.fft.rfft2(x).permute(0, 2, 3, 1)[..., None]
            filtered = (precision @ waves)[..., 0].permute(0, 3, 1, 2)
            back: Tensor = torch.fft.irfft2(filtered, s=sides)
            return unknown * back

        change = conjugate_gradients(within, within(told), ROUNDS, SETTLED)
        return drawn + change[..., :height, :width]

    def _precision(self, sides: tuple[int, int]) -> Tensor:
        """Q at the frequencies of a picture with these sides, (H, W // 2 + 1, C, C)."""
        if sides not in self._filters:
            if len(self._filters) == KEPT:
                self._filters.clear()
            # conv2d does not turn the kernel round.
            response = torch.fft.rfft2(self._kernel, s=sides).conj().permute(2, 3, 0, 1)
            untold = self._untold * torch.eye(len(self._kernel))
            self._filters[sides] = torch.linalg.inv(response @ response.mH + untold)
        return self._filters[sides]


def _fast_side(length: int) -> int:
    return -(-(length + REACH) // SIDE) * SIDE
