"""Operators whose measurement has noise that is not white: y = A(x) + a n, n of some spectrum P.

What is known of x by y is known better where there is less noise. The data step is then

    argmin_x (A x - y)^T N^-1 (A x - y) + r |x - d|^2,    N = a P a,

solved by way of y: x = d + A^T u with (A A^T + r N) u = y - A d, by conjugate gradients. If a were
even and y repeated itself, A A^T and N would be multiplications of frequencies: that preconditions
them. P acts on a torus that is no smaller than y, of a size whose transforms are fast.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ..estimation.stationary import at_frequencies, directions_of
from ..linear import Linear, conjugate_gradients
from .blur import fast_size

# Conjugate gradients at most, and how far they go. 6 crops of 192x192 behind gaussian:1.5, photons
# in a mosaic, 1000 at white: at most 4, to 0.3, 27.85 dB; at most 5, 8 and 25, to 0.1, 28.01,
# 28.02 and 28.01 dB; 25, to 0.03, 27.98 dB.
MANY, NEARLY = 6, 0.1
# Every direction is taken to have so much noise more, of that of the strongest ones: a spectrum
# that was measured is not exact.
DOUBT = 0.02


class Measured(Linear, Protocol):
    """A linear operator."""

    def start(self, y: Tensor) -> Tensor: ...

    def residual(self, x: Tensor, y: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Noise:
    """Of y: its spectrum, and its strength at every place.

    size: of a torus, (H', W'), not smaller than y.    power: (C, C, H', W' // 2 + 1), at its
    frequencies the covariance of the channels, the unit matrix for white noise of sigma_y.
    strength: (1, 1, H, W), of mean square 1.    mixtures: (C, C), orthonormal, its columns
    mixtures of channels that have little in common.
    """

    size: tuple[int, int]
    power: Tensor
    strength: Tensor
    mixtures: Tensor

    def covariance(self, v: Tensor) -> Tensor:
        """N v, (B, C, H, W)."""
        parts = torch.view_as_real(torch.fft.rfft2(self.strength * v, self.size))
        mixed = torch.einsum("ijhw,bjhwp->bihwp", self.power, parts).contiguous()
        return self.strength * self._seen(torch.view_as_complex(mixed))

    def divided(self, v: Tensor, passed: Tensor, r: float) -> Tensor:
        """(G + r N)^-1 v, nearly; G multiplies frequencies of the torus by `passed`."""
        mixed = torch.einsum("ij,bihw->bjhw", self.mixtures, v)
        spectrum = torch.fft.rfft2(mixed, self.size) / (passed + r * self._own)
        return torch.einsum("ij,bjhw->bihw", self.mixtures, self._seen(spectrum))

    def _seen(self, spectrum: Tensor) -> Tensor:
        """The part of a torus that y covers."""
        height, width = self.strength.shape[2:]
        whole: Tensor = torch.fft.irfft2(spectrum, self.size)
        return whole[:, :, :height, :width]

    @cached_property
    def _own(self) -> Tensor:
        """Power of each mixture, (C, H', W' // 2 + 1)."""
        return torch.einsum("ij,ikhw,kj->jhw", self.mixtures, self.power, self.mixtures)


@dataclass(frozen=True)
class Coloured:
    """A linear operator behind which there is noise that is not white.

    operator: A, which mixes no channels.    passed: (H', W' // 2 + 1), what A A^T multiplies
    frequencies of the noise's torus by, nearly.
    """

    operator: Measured
    noise: Noise
    passed: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """A x."""
        return self.operator(x)

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""
        return self.operator.adjoint(y)

    def start(self, y: Tensor) -> Tensor:
        """As if the noise were white."""
        return self.operator.start(y)

    def residual(self, x: Tensor, y: Tensor) -> Tensor:
        """As if the noise were white: rms of y - A x for each picture, (B,)."""
        return self.operator.residual(x, y)

    def data_step(self, d: Tensor, y: Tensor, r: float) -> Tensor:
        """argmin_x of what stands above, in units of white noise."""

        def normal(u: Tensor) -> Tensor:
            return self(self.adjoint(u)) + r * self.noise.covariance(u)

        def nearly(u: Tensor) -> Tensor:
            return self.noise.divided(u, self.passed, r)

        found = conjugate_gradients(normal, y - self(d), MANY, NEARLY, nearly)
        return d + self.adjoint(found)


def noise_of(power: Tensor, strength: Tensor) -> Noise:
    """Noise of a spectrum that was measured.

    power: (T, T, C, C), Hermitian, for a mean variance of 1; what is negative in it counts as 0.
    strength: (1, 1, H, W), of mean square 1.
    """
    values, vectors = directions_of(power)
    values = values.clamp(min=0) + DOUBT * values[..., -1].mean()
    whole = ((vectors * values[..., None, :].to(vectors)) @ vectors.mH).real
    _, mixtures = torch.linalg.eigh(whole.mean((0, 1)))
    size = height, width = fast_size(strength.shape[2:])
    spectrum = whole.permute(2, 3, 0, 1)
    for axis, frequencies in ((2, torch.fft.fftfreq(height)), (3, torch.fft.rfftfreq(width))):
        spectrum = at_frequencies(spectrum, axis, frequencies)
    return Noise(size, spectrum.contiguous(), strength, mixtures)


def passed_by(operator: Linear, size: tuple[int, int], like: Tensor) -> Tensor:
    """What A A^T multiplies frequencies of a torus by, if it is the same everywhere.

    size: (H', W') of the torus.    like: for the type and the device.
    """
    middle = size[0] // 2, size[1] // 2
    point = like.new_zeros(1, 1, *size)
    point[..., middle[0], middle[1]] = 1
    spread = operator(operator.adjoint(point))[0, 0]
    around = torch.roll(spread, (-middle[0], -middle[1]), (0, 1))
    passed: Tensor = torch.fft.rfft2(around).real.clamp(min=0)
    return passed
