"""Phase retrieval by alternating between what was measured and what an object can be.

    y = |F pad u|,   u real, 0 <= u <= ceiling, zero outside its support

Hybrid input-output (Fienup 1982) escapes the stagnation of error reduction by negative feedback;
many starts run as one batch and the poorer half is given up at every stage. Everything is in half
spectra, because the object is real.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

BETA = 0.9
ER_ITERATIONS = 30
# Keeps the phase of an empty frequency finite; amplitudes are around 0.01 to 100.
TINY = 1e-9

Draw = Callable[[tuple[int, ...]], Tensor]


@dataclass(frozen=True)
class Magnitudes:
    """What is known of |F pad u|, in half spectra, DC at [0, 0], orthonormal FFT.

    amplitude: (B, C, M, N // 2 + 1).    weight: (M, N // 2 + 1), 0 = unknown, 1 = both of the
    frequencies k and -k measured, 0.5 = one of them.    detector: (M, N).
    check: called in every iteration; what it raises ends a search.
    """

    amplitude: Tensor
    weight: Tensor
    detector: tuple[int, int]
    check: Callable[[], None] = lambda: None

    def impose(self, field: Tensor) -> Tensor:
        """The nearest field with the measured magnitudes; field: (B, C, M, N), returned new.

        Unknown frequencies keep their own value. With 0 < weight < 1 this is the step of the
        majoriser of sum weight (|F field| - amplitude)^2.
        """
        self.check()
        spectrum = torch.fft.rfft2(field, norm="ortho")
        spectrum *= self.amplitude / (spectrum.abs() + TINY) + (1 - self.weight)
        imposed: Tensor = torch.fft.irfft2(spectrum, s=self.detector, norm="ortho")
        return imposed

    def channel(self, index: int) -> "Magnitudes":
        """One channel alone, (B, 1, M, N // 2 + 1)."""
        return replace(self, amplitude=self.amplitude[:, index : index + 1])

    def mean_of(self, support: tuple[int, int]) -> Tensor:
        """About the object's mean value over its support, (B, C), from DC or from the energy."""
        height, width = support
        pixels = self.detector[0] * self.detector[1]
        if float(self.weight[0, 0]) > 0:
            dc: Tensor = self.amplitude[:, :, 0, 0] / self.weight[0, 0]
            return dc.mul(pixels**0.5 / (height * width))
        energy: Tensor = 2 * self.amplitude.square().sum((2, 3))
        return (energy / (height * width)).sqrt()


def half_magnitudes(y: Tensor, known: Tensor) -> Magnitudes:
    """Magnitudes of a measurement; y: (B, C, M, N), known: (M, N), 1 = measured, 0 = dead.

    A real object has |F(k)| = |F(-k)|, so both are averaged: nothing is lost, noise is.
    """
    weight = (known + opposite(known)) / 2
    amplitude = (y * known + opposite(y * known)) / 2  # already weighted
    half = y.shape[-1] // 2 + 1
    return Magnitudes(amplitude[..., :half], weight[..., :half], (y.shape[-2], y.shape[-1]))


def opposite(y: Tensor) -> Tensor:
    """y at -k for every k, DC at [0, 0], any size; y: (..., M, N)."""
    return torch.roll(torch.flip(y, (-2, -1)), (1, 1), (-2, -1))


def pad(u: Tensor, detector: tuple[int, int]) -> Tensor:
    """(B, C, h, w) -> (B, C, M, N), the object in the corner."""
    field = u.new_zeros((*u.shape[:-2], *detector))
    field[..., : u.shape[-2], : u.shape[-1]] = u
    return field


def residual(u: Tensor, y: Tensor, known: Tensor) -> Tensor:
    """Root mean square of |F pad u| - y over measured frequencies; u: (B, C, h, w) -> (B, C)."""
    detector = (y.shape[-2], y.shape[-1])
    spectrum: Tensor = torch.fft.fft2(u, s=detector, norm="ortho")
    error = (spectrum.abs() - y).square() * known
    return (error.sum((2, 3)) / known.sum().clamp(min=1)).sqrt()


def hybrid_input_output(
    field: Tensor, measured: Magnitudes, support: tuple[int, int], iterations: int, ceiling: float
) -> Tensor:
    """HIO from a field (B, C, M, N), which need not be an object; returns the field.

    The feedback goes against the violation of 0 <= u <= ceiling, so that a value beyond the
    ceiling is not pulled towards zero.
    """
    height, width = support
    for _ in range(iterations):
        projected = measured.impose(field)
        inside = projected[..., :height, :width]
        allowed = inside.clamp(0, ceiling)
        violation = inside - allowed
        held = field[..., :height, :width] - BETA * violation
        field = torch.sub(field, projected, alpha=BETA)
        field[..., :height, :width] = torch.where(violation == 0, inside, held)
    return field


def relaxed_reflections(
    field: Tensor, measured: Magnitudes, support: tuple[int, int], iterations: int, ceiling: float
) -> Tensor:
    """RAAR (Luke 2005) from a field (B, C, M, N); returns the field.

    HIO has no fixed point in noisy data and leaves even the truth; RAAR settles near it.
    """
    height, width = support
    for _ in range(iterations):
        projected = measured.impose(field)
        reflected = 2 * projected - field
        inside = reflected[..., :height, :width].clamp(0, ceiling)
        field = BETA * (field - projected) + (1 - BETA) * projected
        field[..., :height, :width] += BETA * inside
    return field


def error_reduction(
    field: Tensor, measured: Magnitudes, support: tuple[int, int], ceiling: float
) -> Tensor:
    """A few steps of ER (Gerchberg, Saxton 1972) from a field; the object, (B, C, h, w)."""
    height, width = support
    u = field[..., :height, :width].clamp(0, ceiling)
    for _ in range(ER_ITERATIONS):
        u = measured.impose(pad(u, measured.detector))[..., :height, :width].clamp(0, ceiling)
    return u


def tournament(
    measured: Magnitudes,
    support: tuple[int, int],
    draw: Draw,
    stages: Sequence[tuple[int, int, int]],
    ceiling: float,
) -> Tensor:
    """The best objects of many random starts; measured: one picture, one channel.

    stages: (runs kept, HIO iterations, RAAR iterations) in turn, the first being the number of
    starts. Runs are compared by their residual after a few steps of ER. Returns (runs of the last
    stage, 1, h, w), best first.    draw: uniform numbers in [0, 1) of a shape.
    """
    starts = stages[0][0]
    level = 2 * measured.mean_of(support)[:, :, None, None]
    u = level * draw((starts, 1, *support)).to(level)
    field = pad(u.clamp(max=ceiling), measured.detector)
    for kept, hybrid, relaxed in stages:
        field = field[:kept]
        field = hybrid_input_output(field, measured, support, hybrid, ceiling)
        field = relaxed_reflections(field, measured, support, relaxed, ceiling)
        objects = error_reduction(field, measured, support, ceiling)
        order = misfit(objects, measured).argsort()
        field, objects = field[order], objects[order]
    return objects


def misfit(u: Tensor, measured: Magnitudes) -> Tensor:
    """Sum of squares of |F pad u| - y over the half spectrum and all channels, (B,)."""
    spectrum: Tensor = torch.fft.rfft2(u, s=measured.detector, norm="ortho")
    error = (measured.weight * spectrum.abs() - measured.amplitude).square()
    error = error / measured.weight.clamp(min=0.5)  # no weight lies between 0 and 0.5
    return error.sum((1, 2, 3))
