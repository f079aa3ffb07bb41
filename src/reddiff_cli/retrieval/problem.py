"""A diffraction measurement as a problem to solve: its scale, support, noise and oversampling."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import PictureError
from ..operators import Phase
from ..operators.hio import Magnitudes, half_magnitudes, opposite
from .diffraction import Diffraction
from .options import PhaseOptions
from .support import find_support

# Noise below this share of the contrast leaves the misfit to tell runs apart.
EXACT_SHARE = 0.01
# Iterations of the data step on noisy data, where the prior's weight holds it back.
NOISY_DESCENTS = 20
# Frequencies that noise is read from, if there are so many strong ones.
ENOUGH = 200


@dataclass(frozen=True)
class PhaseProblem:
    """y: (1, C, M, N), orthonormal FFT magnitudes of a picture in [0, 1], DC at [0, 0].

    scale: detector amplitude per y.    ceiling: the largest value of the picture, infinite while
    the scale is unknown.    sigma: noise of y, a standard deviation.    notes: lines for people.
    told: somebody told sigma, in units of a picture whose white is 1.    check: as of
    `Magnitudes`.
    """

    y: Tensor
    operator: Phase
    scale: float
    ceiling: float
    sigma: float
    oversampling: tuple[float, float]
    notes: tuple[str, ...]
    told: bool = False
    check: Callable[[], None] = lambda: None

    @property
    def exact(self) -> bool:
        """Noise is below a hundredth of the contrast: misfit tells runs apart to the end."""
        measured = self.measured
        noise = self.sigma**2 * measured.amplitude.numel() / 2
        return noise < EXACT_SHARE**2 * contrast(measured)

    @property
    def measured(self) -> Magnitudes:
        return replace(half_magnitudes(self.y, self.operator.known), check=self.check)

    def to(self, device: torch.device) -> "PhaseProblem":
        """The same problem with its tensors on a device."""
        operator = replace(self.operator, known=self.operator.known.to(device))
        return replace(self, y=self.y.to(device), operator=operator)

    def rescaled(self, factor: float) -> "PhaseProblem":
        """The same problem for pictures that are `factor` times as bright."""
        sigma = self.sigma if self.told else self.sigma * factor
        return replace(self, y=self.y * factor, scale=self.scale / factor, sigma=sigma)


def prepare(
    measurement: Diffraction, options: PhaseOptions, noise: float | None = None
) -> PhaseProblem:
    """Scale, support and noise of a measurement; PictureError if the support does not fit.

    noise: standard deviation of the amplitudes of a picture whose white is 1, None = estimated.
    Without options.scale the object gets a mean square of 1/4 over its support (Parseval: the sum
    of squared amplitudes is that of the object), until `search` knows how bright its pixels are.
    """
    detector, notes = measurement.detector, list(measurement.notes)
    known = torch.from_numpy(measurement.known).float()
    amplitude = torch.from_numpy(measurement.amplitude)[None]
    sigma = estimate_noise(amplitude, known, measurement.counts)
    support = options.support
    if support is None:
        support, note = find_support(measurement.amplitude, sigma)
        if max(support) < 2:
            raise PictureError(
                "its autocorrelation shows one pixel and no object: a dark or flat frame, too few "
                "photons, or bad pixels that outshine it; see --detector-mask, --support",
                "Support",
            )
        notes.append(note)
    if support[0] > detector[0] or support[1] > detector[1]:
        raise PictureError(
            f"support is {support[0]}x{support[1]}, detector is {detector[0]}x{detector[1]}; "
            "give a smaller --support",
            "Support",
        )
    oversampling = (detector[0] / support[0], detector[1] / support[1])
    if min(oversampling) < 2:
        notes.append(
            f"warning: oversampling {oversampling[0]:.2f} x {oversampling[1]:.2f} is below 2: "
            "many pictures explain such data"
        )
    scale = options.scale
    if scale is None:
        pixels = amplitude.shape[1] * support[0] * support[1]
        scale = float((4 * amplitude.double().square().sum() / pixels).sqrt())
    ceiling = torch.inf if options.scale is None else 1.0
    sigma = sigma / scale if noise is None else noise
    operator = Phase(detector, support, known)
    y = amplitude / scale
    about = (y, operator, scale, ceiling, sigma, oversampling, tuple(notes))
    problem = PhaseProblem(*about, told=noise is not None)
    if problem.exact:
        return problem
    return replace(problem, operator=replace(operator, iterations=NOISY_DESCENTS))


def estimate_noise(amplitude: Tensor, known: Tensor, counts: bool) -> float:
    """Standard deviation of the noise of each amplitude, in the units given.

    |F(k)| = |F(-k)| for a real object, so y(k) - y(-k) is noise alone, of variance 2 sigma^2. Data
    without any difference were symmetrised or are exact; then counts have Poisson's 1/2 (the
    standard deviation of their square root), and anything else counts as exact.
    """
    both = known * opposite(known)
    both[0, 0] = 0
    difference = (amplitude - opposite(amplitude)).double().square()
    sigma = math.sqrt(_mean(difference, both.expand_as(difference)))
    # Weak amplitudes are cut off at 0; sums, which choose, are independent of differences.
    strong = both * ((amplitude + opposite(amplitude)) > 6 * sigma)
    if float(strong.sum()) >= ENOUGH:
        sigma = math.sqrt(_mean(difference, strong))
    sigma /= 2**0.5
    exact = 1e-5 * float(amplitude.square().mean().sqrt())
    if sigma > exact:
        return sigma
    return 0.5 if counts else 0.0


def _mean(values: Tensor, weight: Tensor) -> float:
    total: Tensor = (values * weight).sum() / weight.sum().clamp(min=1)
    return float(total)


def contrast(measured: Magnitudes) -> float:
    """Energy of everything but DC."""
    energy = measured.amplitude.square()
    rest: Tensor = energy.sum() - energy[..., 0, 0].sum()
    return float(rest)
