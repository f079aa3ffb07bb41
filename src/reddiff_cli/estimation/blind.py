"""Which blur made this picture: a parametric kernel from the picture's power spectrum alone.

Model of the spectrum P(f) of small windows, averaged over the picture, f in cycles per pixel:

    S(f) = g(f) |K(f)|^2 + N,   log g = c + a log |f| + b |f|^2 + a few waves of the angle,

a sharp natural picture times the kernel's transfer function plus noise. For every candidate
kernel the parameters of g and N are fitted to log P (Student-t residuals, priors measured on sharp
photographs), and candidates are compared by the cost that remains. Zeros of K, the width of the
stripe that motion leaves and the fall of a Gaussian are all seen this way. The smooth spectrum of
natural pictures: Field 1987, J. Opt. Soc. Am. A 4; spectral fits: Whittle 1953.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..options.kernelspec import KernelSpec
from .welch import KNOWN, PowerSpectrum, measure_spectrum

SHARP = KernelSpec("uniform", (1.0,))  # the kernel of one pixel: no blur
# What a kernel must explain more than no blur does. Forty times as many motions are tried as round
# kernels, and the best of so many explains about log 40 more by chance. Of 80 true ones all but
# five explain 10 and more.
CERTAIN_ROUND, CERTAIN_MOTION = 6.0, 10.0
# What round kernels and motion must differ by, where noise is white or a JPEG's rounding hides it,
# and where its spectrum was measured.
_KIND, _KIND_MEASURED = 1.0, 2.0
# Noise hides the rings of many disks, and there a Gaussian explains the picture as well. The
# inverse of a disk gains half of what is possible where a Gaussian was at work; that of a Gaussian
# harms what a disk has blurred, so it is taken only if it is so much better. 32 training crops,
# half of them blurred by each, evidence above 6, dB gained by the best Gaussian, by the better of
# both, by this and by the best disk, and at worst:
#     mosaic 1.5, JPEG quality 85    0.06 (-6.1)   3.45 (-4.5)   4.38 (1.3)   3.99 (1.2)
#     white noise of 2.55            2.23 (-8.4)   5.83 (1.3)    5.77 (0.9)   4.62 (0.8)
#     mosaic 2                       1.44 (-5.2)   3.59 (0.1)    3.39 (0.1)   3.33 (0.1)
_GAUSSIAN = 1.0
# What a Gaussian may cost more than a disk and still be worth a try; a spectrum that was measured
# favours disks.
_WORTH, _WORTH_MEASURED = 1.0, 3.0
# Below the first of these extents a kernel may be the softness of a lens or a mosaic, beyond the
# second hardly anything was looked for. Sharp pictures from a mosaic, restored with disk:1.1, lose
# 8 dB.
_EXTENTS = {"gaussian": (0.6, 5.0), "disk": (1.3, 10.0), "motion": (3.5, 30.0)}
# Mean and spread of c, a, b, the six waves, and the two waves of a; 60 sharp photographs.
_PRIOR_MEAN = (0.0, -2.3, -0.33, *[0.0] * 8)
_PRIOR_SPREAD = (30.0, 0.8, 0.28, 0.42, 0.36, 0.43, 0.2, 0.25, 0.12, 0.25, 0.15)
_RESIDUAL, _FREEDOM = 0.6, 4.0  # Student-t scale and degrees of freedom of log P - log S
# Neighbouring frequencies misfit together: each counts as a tenth of an observation.
_TEMPER = 0.1
_TABLE, _TABLE_END = 2048, 0.75
_STARTS = {
    "gaussian": (0.5, 0.7, 0.9, 1.1, 1.3, 1.6, 1.9, 2.3, 2.7, 3.2, 3.8, 4.5),
    "disk": (1.0, 1.4, 1.8, 2.2, 2.6, 3.0, 3.4, 3.9, 4.4, 5.0, 5.6, 6.3, 7.0, 8.0, 9.0),
    "motion": (4, 5, 6, 7, 8, 9, 10, 11.5, 13, 15, 17, 19, 21, 24, 27, 31, 35),
}
_ANGLE_STEP = 6.0
_AT_ONCE = 64  # candidates fitted together


@dataclass(frozen=True)
class KernelEstimate:
    """The most plausible kernel and how far the others are behind.

    evidence: cost of "no blur" minus that of `spec`, 0 where the picture looks sharp.    margin:
    cost of the best motion minus that of `spec`, or of the best round kernel where `spec` is a
    motion, or of the nearer of both where it is no blur; both in units of log likelihood.
    alternatives: the best kernel of every other family, "no blur" (uniform:1) included, and how
    much it costs more than the best.    gaussian: where `spec` is a disk, a Gaussian that may be
    right as well.
    """

    spec: KernelSpec
    verdict: Literal["sure", "not sure"]
    evidence: float
    margin: float
    alternatives: tuple[tuple[KernelSpec, float], ...] = ()
    gaussian: KernelSpec | None = None


def estimate_kernel(
    picture: Tensor, noise: float | Tensor, table: Tensor | None = None
) -> KernelEstimate:
    """Estimate the blur of a picture as Gaussian, motion or disk.

    picture: (1, C, H, W) in [-1, 1], blurred and noisy.    noise: its standard deviation in
    [-1, 1] units if it is white, else its spectrum.    table: that of a JPEG; all as of
    `measure_spectrum`.
    "sure" needs a clear distance both to a sharp picture and to the other families, and an extent
    that was looked for; a flat or small picture (below 64 pixels) gives "not sure" and no blur.
    """
    spectrum = measure_spectrum(picture, noise, table)
    if spectrum is None:
        return KernelEstimate(SHARP, "not sure", 0.0, 0.0)
    gaussian, disk, motion = (_search(starts, spectrum) for starts in _all_starts())
    sharp = SHARP, _costs([SHARP], spectrum)[0]
    ahead = disk[1] - gaussian[1]  # of the Gaussian
    chosen = gaussian if ahead >= _GAUSSIAN else disk
    kinds = (sharp, (chosen[0], min(gaussian[1], disk[1])), motion)
    best, least = min(kinds, key=lambda pair: pair[1])
    margin = min(cost for spec, cost in kinds[1:] if spec != best) - least
    measured = isinstance(noise, Tensor) and table is None
    apart = margin >= (_KIND_MEASURED if measured else _KIND)
    certain = CERTAIN_MOTION if best.family == "motion" else CERTAIN_ROUND
    sure = sharp[1] - least >= certain and apart and _is_within(best)
    if sure and best == motion[0] and table is not None:
        sure = _stays(best, spectrum)
    worth = best == disk[0] and -ahead < (_WORTH_MEASURED if measured else _WORTH)
    worth = worth and _is_within(gaussian[0])
    others = [
        (spec, cost - least) for spec, cost in (sharp, gaussian, disk, motion) if spec != best
    ]
    return KernelEstimate(
        best,
        "sure" if sure else "not sure",
        evidence=sharp[1] - least,
        margin=margin,
        alternatives=tuple(sorted(others, key=lambda pair: pair[1])),
        gaussian=gaussian[0] if worth else None,
    )


def _stays(motion: KernelSpec, spectrum: PowerSpectrum) -> bool:
    """True if a motion is found again where the rounding of a JPEG is taken at its word.

    Sharp pictures with few edges pass for motions else: 5 of 201 (67 validation crops of 320x320,
    quality 75, 90 and 95), with 12 to 54 explained, and none so.
    """
    strict = replace(spectrum, doubt=KNOWN)
    *_, starts = _all_starts()
    again, cost = _search(starts, strict)
    alike = abs(math.log(again.parameters[0] / motion.parameters[0])) < 0.2
    return alike and _costs([SHARP], strict)[0] - cost >= CERTAIN_MOTION


def _is_within(spec: KernelSpec) -> bool:
    """True if the kernel is one of those that are looked for; "no blur" is none."""
    least, most = _EXTENTS.get(spec.family, (0.0, 0.0))
    return least <= spec.parameters[0] <= most


def _all_starts() -> Iterable[list[KernelSpec]]:
    yield [KernelSpec("gaussian", (sigma,)) for sigma in _STARTS["gaussian"]]
    yield [KernelSpec("disk", (radius,)) for radius in _STARTS["disk"]]
    angles = [_ANGLE_STEP * k for k in range(round(180 / _ANGLE_STEP))]
    yield [KernelSpec("motion", (length, a)) for length in _STARTS["motion"] for a in angles]


def _search(starts: list[KernelSpec], spectrum: PowerSpectrum) -> tuple[KernelSpec, float]:
    """The best of a grid by a quarter of the frequencies, then of its neighbours by all."""
    costs = _costs(starts, spectrum.thinned(4), steps=7)
    cost, best = min(zip(costs, starts, strict=True), key=lambda pair: pair[0])
    for step in (0.08, 0.04, 0.02):
        near = _neighbours(best, step)
        costs = _costs(near, spectrum)
        cost, best = min(zip(costs, near, strict=True), key=lambda pair: pair[0])
    return best, cost


def _neighbours(spec: KernelSpec, step: float) -> list[KernelSpec]:
    extents = [spec.parameters[0] * (1 + step * k) for k in (-1, 0, 1)]
    if spec.family != "motion":
        return [KernelSpec(spec.family, (extent,)) for extent in extents]
    turns = [(spec.parameters[1] + 40 * step * k) % 180 for k in (-1, 0, 1)]
    return [KernelSpec("motion", (extent, turn)) for extent in extents for turn in turns]


def _log_transfer(spec: KernelSpec, spectrum: PowerSpectrum) -> Tensor:
    """log |K|^2 at the frequencies of the spectrum, as a Hann window sees it, (n,) float32.

    K depends on one number u only: the frequency's length, or its part along the motion.
    """
    if spec.family == "motion":
        angle = math.radians(spec.parameters[1])
        u = (spectrum.column * math.cos(angle) - spectrum.row * math.sin(angle)).abs()
    else:
        u = torch.hypot(spectrum.row, spectrum.column)
    grid = torch.arange(_TABLE, dtype=torch.float64) * (_TABLE_END / _TABLE)
    # |Hann|^2 at half bins: it fills the zeros of K that lie closer than its width.
    spread = torch.tensor([0.029, 0.25, 0.72, 1, 0.72, 0.25, 0.029], dtype=torch.float64)
    shifts = torch.arange(-3, 4, dtype=torch.float64) / (2 * spectrum.window)
    values = _transfer(spec, (grid + shifts[:, None]).abs()) ** 2
    table = (spread / spread.sum()) @ values
    return table.clamp(min=1e-12).log()[(u * (_TABLE / _TABLE_END)).long()].float()


def _transfer(spec: KernelSpec, u: Tensor) -> Tensor:
    """K(u) of the ideal kernel: exp, sinc, 2 J1(x) / x, or 1 for no blur."""
    extent = spec.parameters[0]
    values = torch.ones_like(u)
    if spec.family == "gaussian":
        values = torch.exp(-2 * (math.pi * extent * u) ** 2)
    elif spec.family == "motion":
        values = torch.sinc(extent * u)
    elif spec.family == "disk":
        x = (2 * math.pi * extent * u).clamp(min=1e-6)
        values = 2 * torch.special.bessel_j1(x) / x
    return values


def _design(spectrum: PowerSpectrum) -> Tensor:
    """Columns of log g: 1, log |f|, |f|^2, waves 2, 4, 6 of the angle, log |f| times wave 2."""
    radius = torch.hypot(spectrum.row, spectrum.column)
    angle = torch.atan2(-spectrum.row, spectrum.column)
    slope = torch.log(radius / 0.1)
    columns = [torch.ones_like(radius), slope, (radius / 0.25) ** 2]
    for turns in (2, 4, 6):
        columns += [torch.cos(turns * angle), torch.sin(turns * angle)]
    columns += [slope * torch.cos(2 * angle), slope * torch.sin(2 * angle)]
    return torch.stack(columns, 1).float()


def _costs(specs: list[KernelSpec], spectrum: PowerSpectrum, steps: int = 12) -> list[float]:
    """What no smooth spectrum explains, per kernel: tempered minus log posterior."""
    design = _design(spectrum)
    costs: list[float] = []
    for k in range(0, len(specs), _AT_ONCE):
        transfer = torch.stack([_log_transfer(s, spectrum) for s in specs[k : k + _AT_ONCE]])
        costs += _fit(transfer, design, spectrum, steps).tolist()
    return costs


def _fit(transfer: Tensor, design: Tensor, spectrum: PowerSpectrum, steps: int) -> Tensor:
    """Least cost over theta = (coefficients of log g, log N over N given) for each kernel, (k,).

    Levenberg-Marquardt with Student-t weights.    transfer: (k, n).    design: (n, p).
    """
    kernels, p, noise = len(transfer), design.shape[1], spectrum.noise.log()
    mean = torch.tensor([*_PRIOR_MEAN, 0.0])
    precision = torch.tensor([*_PRIOR_SPREAD, spectrum.doubt]) ** -2 / _TEMPER
    theta = mean.repeat(kernels, 1)
    # Start c from the low frequencies that the kernel passes: the others are noise.
    passed = transfer.exp() * (design[:, 1] < math.log(1.5))
    start = spectrum.log_power - design[:, 1:] @ mean[1:p] - transfer
    theta[:, 0] = (start * passed).sum(1) / passed.sum(1).clamp(min=1e-30)

    def evaluate(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        signal = theta[:, :p] @ design.T + transfer
        total = torch.logaddexp(signal, noise + theta[:, p:])
        residual = spectrum.log_power - total
        loss = torch.log1p((residual / _RESIDUAL) ** 2 / _FREEDOM).sum(1) * (_FREEDOM + 1) / 2
        prior = (precision * (theta - mean) ** 2).sum(1) / 2
        return (signal - total).exp(), residual, loss + prior

    share, residual, cost = evaluate(theta)
    damping = torch.full((kernels,), 0.1)
    pairs = (design[:, :, None] * design[:, None, :]).flatten(1)  # (n, p p)
    for _ in range(steps):
        weight = (_FREEDOM + 1) / (_FREEDOM + (residual / _RESIDUAL) ** 2) / _RESIDUAL**2
        hessian = torch.zeros(kernels, p + 1, p + 1)
        hessian[:, :p, :p] = ((weight * share**2) @ pairs).reshape(kernels, p, p)
        hessian[:, :p, p] = hessian[:, p, :p] = (weight * share * (1 - share)) @ design
        hessian[:, p, p] = (weight * (1 - share) ** 2).sum(1)
        hessian = hessian + torch.diag(precision)
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        hessian = hessian + damping[:, None, None] * torch.diag_embed(diagonal)
        pull = ((1 - share) * weight * residual).sum(1, keepdim=True)
        gradient = torch.cat([(share * weight * residual) @ design, pull], 1)
        moved = theta + torch.linalg.solve(hessian, gradient - precision * (theta - mean))
        new = evaluate(moved)
        better = new[2] < cost
        theta = torch.where(better[:, None], moved, theta)
        share = torch.where(better[:, None], new[0], share)
        residual = torch.where(better[:, None], new[1], residual)
        cost = torch.where(better, new[2], cost)
        damping = torch.where(better, damping / 5, damping * 8)
    return cost * _TEMPER
