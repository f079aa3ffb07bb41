"""Operators whose measurement has noise that is not white: y = A(x) + a n, n of some spectrum P.

What is known of x by y is known better where there is less noise. The data step is then

    argmin_x (A x - y)^T N^-1 (A x - y) + r |x - d|^2,    N = a P a,

solved by way of y: x = d + A^T u with (A A^T + r N) u = y - A d, by conjugate gradients. If a were
even and y repeated itself, A A^T and N would be multiplications of frequencies: that preconditions
them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ..estimation.stationary import directions_of
from ..linear import Linear, conjugate_gradients

# Conjugate gradients at most, and how far they go. 6 crops of 192x192 behind gaussian:1.5, photons
# in a mosaic, 1000 at white, with at most 4 / 5 / 8 / 25, the last to 3e-2: 27.85 / 28.01 / 28.02
# / 27.98 dB.
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

    power: (C, C, H, W // 2 + 1), at the frequencies of rfft2 the covariance of the channels, the
    unit matrix for white noise of sigma_y.    strength: (1, 1, H, W), of mean square 1.
    mixtures: (C, C), orthonormal, its columns mixtures of channels that have little in common.
    """

    power: Tensor
    strength: Tensor
    mixtures: Tensor

    def covariance(self, v: Tensor) -> Tensor:
        """N v, (B, C, H, W)."""
        return self.strength * _filtered(self.strength * v, self.power)

    def divided(self, v: Tensor, passed: Tensor, r: float) -> Tensor:
        """(G + r N)^-1 v, nearly; G multiplies frequencies by `passed`, (H, W // 2 + 1)."""
        spectrum = torch.fft.rfft2(torch.einsum("ij,bihw->bjhw", self.mixtures, v))
        apart = torch.fft.irfft2(spectrum / (passed + r * self._own), v.shape[2:])
        return torch.einsum("ij,bjhw->bihw", self.mixtures, apart)

    @cached_property
    def _own(self) -> Tensor:
        """Power of each mixture, (C, H, W // 2 + 1)."""
        return torch.einsum("ij,ikhw,kj->jhw", self.mixtures, self.power, self.mixtures)


@dataclass(frozen=True)
class Coloured:
    """A linear operator behind which there is noise that is not white.

    operator: A, which mixes no channels.    passed: (H, W // 2 + 1), what A A^T multiplies
    frequencies of y by, nearly.
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
    height, width = strength.shape[2:]
    spectrum = whole.permute(2, 3, 0, 1)
    for axis, frequencies in ((2, torch.fft.fftfreq(height)), (3, torch.fft.rfftfreq(width))):
        spectrum = _between(spectrum, axis, frequencies)
    return Noise(spectrum.contiguous(), strength, mixtures)


def passed_by(operator: Linear, y: Tensor) -> Tensor:
    """What A A^T multiplies frequencies of pictures like y by, if it is the same everywhere."""
    height, width = y.shape[2:]
    point = y.new_zeros(1, 1, height, width)
    point[..., height // 2, width // 2] = 1
    spread = operator(operator.adjoint(point))
    around = torch.roll(spread[0, 0], (-(height // 2), -(width // 2)), (0, 1))
    passed: Tensor = torch.fft.rfft2(around).real.clamp(min=0)
    return passed


def _filtered(v: Tensor, response: Tensor) -> Tensor:
    """v, (B, C, H, W), through (C, C, H, W // 2 + 1), a matrix of real numbers everywhere."""
    parts = torch.view_as_real(torch.fft.rfft2(v))
    mixed = torch.einsum("ijhw,bjhwp->bihwp", response, parts).contiguous()
    out: Tensor = torch.fft.irfft2(torch.view_as_complex(mixed), v.shape[2:])
    return out


def _between(spectrum: Tensor, axis: int, frequencies: Tensor) -> Tensor:
    """A spectrum, as of fft along an axis, at other frequencies, in cycles per pixel: linear."""
    side = spectrum.shape[axis]
    place = frequencies * side
    low = place.floor()
    share = (place - low).view(-1, *([1] * (spectrum.dim() - 1 - axis)))
    first, second = (spectrum.index_select(axis, (low.long() + k) % side) for k in (0, 1))
    between: Tensor = first + (second - first) * share
    return between
