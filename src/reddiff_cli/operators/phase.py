"""Phase retrieval: y = |F pad u|, u = (x + 1) / 2. The data step descends by majorisation.

For every phase phi, | |a| - y | <= |a - y e^(i phi)|, with equality at the phase of a. So the
distance to the field that carries the measured magnitudes and the present phases is an upper
bound of the misfit, quadratic in u, and each minimisation of it lowers the misfit too.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .hio import half_magnitudes, pad, tournament

# Starts and iterations of the first guess when nobody else has searched.
START_STAGES = ((6, 100, 0), (3, 200, 0))


@dataclass(frozen=True)
class Phase:
    """y = |F pad u|, orthonormal FFT, DC at [0, 0], u in [0, 1] units.

    detector: (M, N).    support: (h, w).    known: (M, N), 1 = measured, 0 = dead pixel.
    """

    detector: tuple[int, int]
    support: tuple[int, int]
    known: Tensor
    iterations: int = 8

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, h, w) in [-1, 1] -> y: (B, C, M, N) >= 0, 0 at dead pixels."""
        spectrum: Tensor = torch.fft.fft2((x + 1) / 2, s=self.detector, norm="ortho")
        return spectrum.abs() * self.known

    def start(self, y: Tensor) -> Tensor:
        """The best of a few HIO runs per channel, (B, C, h, w); orientations may differ."""
        rows = [torch.stack([self._start(c[None, None]) for c in row]) for row in y]
        return torch.stack(rows) * 2 - 1

    def _start(self, y: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(0)

        def draw(shape: tuple[int, ...]) -> Tensor:
            return torch.rand(shape, generator=generator)

        measured = half_magnitudes(y, self.known)
        return tournament(measured, self.support, draw, START_STAGES, 1.0)[0, 0]

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """rms of y - A(x) over what was measured, for each picture, (B,); twice that of u."""
        miss = ((y - self(x)) * self.known).square().flatten(1).sum(1)
        count = self.known.sum() * x.shape[1]
        rms: Tensor = 2 * (miss / count.clamp(min=1)).sqrt()
        return rms

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """Downhill from d on |A(x) - y|^2 + r |u - (d + 1) / 2|^2, `iterations` times.

        The last term is r / 4 |x - d|^2: r = kappa sigma_y^2 / nu for sigma_y = 2 sigma_a, sigma_a
        the noise of y, as 4 from the units of d meets 4 from those of sigma_y.
        d: (B, C, h, w).    y: (1 or B, C, M, N).
        """
        measured = half_magnitudes(y, self.known)
        height, width = self.support
        prior = (d + 1) / 2
        u = prior
        for _ in range(self.iterations):
            imposed = measured.impose(pad(u, self.detector))[..., :height, :width]
            u = (imposed + r * prior) / (1 + r)
        return u * 2 - 1
