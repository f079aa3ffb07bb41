"""From a diffraction measurement to pictures: scale, search, refinement, choice and verdict.

`problem.prepare` -> `search` -> `gather` -> RED-diff -> `conclude`. The search finds the
basin (no prior is good enough for that from noise), the prior then removes what the noise left;
nothing looks at a ground truth.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..alignment import align
from ..operators.hio import (
    Draw,
    Magnitudes,
    error_reduction,
    hybrid_input_output,
    misfit,
    pad,
    relaxed_reflections,
    residual,
    tournament,
)
from .options import PhaseOptions
from .problem import PhaseProblem, contrast

# Noise level at which the prior takes over from the search, and its weight. What noisy data leave
# open are phases, so more descents are made than for exact ones. 4 pictures of 128x128, noise
# 0.01, 50 evaluations, from the mean of the runs (27.85 dB): from 0.3 at weights of 10 / 5 / 2.5 /
# 1.2 / 0.6 30.31 / 31.96 / 32.90 / 33.05 / 32.61 dB, from 0.2 at 2 / 1.2 33.27 / 33.28, from 0.6
# at 2.5 / 1.2 32.19 / 31.99, from 0.15 at 5 32.02.
START_EXACT, START_NOISY = 0.4, 0.2
WEIGHT_EXACT, WEIGHT_NOISY = 1.0, 1.5
# Runs that noisy data are averaged over, at least. Means of 16 against 8 on 4 pictures at noise
# 0.01: +0.26, +0.27, -0.54, +0.21 dB, so the gain is not settled.
FINALISTS = 16
# Searches with new starts, at most, while no run explains the data.
ROUNDS = 3
# White over the brightest pixel found when the data do not tell the scale: room for what the
# prior adds. A dim photograph of 64x64 with 6 bright pixels at 1 / 1.02 / 1.05: exact 63.4 / 70.3
# / 69.3 dB, 1e9 photons 53.1 / 60.8 / 62.2, 1e6 photons 47.0 / 47.6 / 48.4, and 32.9, 32.8, 38.4
# with white at the quantile of 0.999. 20 photographs at noise 0.01: 30.75 / 30.86 / 30.07 dB, at
# the quantile 30.80; at 0.02 25.39 / 25.39 / 25.27 and 25.39.
HEADROOM = 1.02
# Iterations (HIO, RAAR) of all starts, of the better third, and of those that are kept. HIO goes
# on to converge on exact data, and drifts on noisy ones, where RAAR ends every stage.
EXACT = ((200, 0), (300, 0), (1500, 0))
NOISY = ((200, 60), (200, 200), (0, 600))
# The same for the channels that start from another one, and after the prior.
TRANSFER_EXACT, TRANSFER_NOISY = (300, 0), (0, 300)
# Excess of the misfit over the noise above which no mode was found, and the misfit as a share of
# the contrast that takes its place without noise.
EXCESS, MISFIT = 1.15, 0.006
# Runs of equal misfit (by this factor) that differ by more than so much (rms, in [0, 1]) are
# different pictures. Noise alone sets runs of the same picture 0.04 to 0.11 apart at 0.01.
EQUAL, DIFFERENT_EXACT, DIFFERENT_NOISY = 1.05, 0.08, 0.15
# Misfit that rounding and unfinished iterations leave, as a share of the contrast.
ROUNDING = 1e-3


@dataclass(frozen=True)
class PhaseResult:
    """x: (1, C, h, w) in [-1, 1].    residual: rms in units of y.    ratio: to sigma, or None.

    verdict: `converged`, `ambiguous` or `failed`.    rivals: all runs, aligned to x, best first.
    """

    x: Tensor
    residual: float
    ratio: float | None
    verdict: str
    rivals: Tensor


def search(
    problem: PhaseProblem, options: PhaseOptions, seed: int = 0
) -> tuple[PhaseProblem, Tensor]:
    """HIO from many starts; (problem, (K, C, h, w) in [-1, 1]), best first, aligned to the first.

    The problem returned has its scale settled. Starts are shared out among the channels; the
    channel that is explained best gives the others their start, so that all face the same way.
    Where no run explains the data, it is searched again, from other starts.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=generator)

    keep = options.keep if problem.exact else max(options.keep, FINALISTS)
    u = _search_once(problem, options.starts, keep, draw)
    for _ in range(1, ROUNDS):
        if excess(problem, float(misfit(u[:1], problem.measured))) <= 1:
            break
        more = torch.cat([u, _search_once(problem, options.starts, keep, draw)])
        u = more[misfit(more, problem.measured).argsort()][:keep]
    if not np.isfinite(problem.ceiling):
        # The mean of noisy runs, as one alone has peaks of its own.
        found = gather(problem, _face(problem, u) * 2 - 1)[0]
        white = HEADROOM * (float(found.max()) + 1) / 2 or 1.0
        u = (u / white).clamp(max=1)
        problem = replace(problem.rescaled(1 / white), ceiling=1.0)
        note = f"scale: amplitude / {problem.scale:.6g} is that of a picture in [0, 1]"
        problem = replace(problem, notes=(*problem.notes, note))
    return problem, _face(problem, u) * 2 - 1


def _search_once(problem: PhaseProblem, starts: int, keep: int, draw: Draw) -> Tensor:
    """One search with new starts; (K, C, h, w) in [0, ceiling], best first."""
    measured, support = problem.measured, problem.operator.support
    channels = problem.y.shape[1]
    each = max(keep, -(-starts // channels))
    plan = EXACT if problem.exact else NOISY
    counts = (each, max(keep, each // 3), keep)
    stages = [(count, *part) for count, part in zip(counts, plan, strict=True)]
    found, quality = [], []
    for c in range(channels):
        one = measured.channel(c)
        found.append(tournament(one, support, draw, stages, problem.ceiling))
        quality.append(float(misfit(found[c], one)[0] / contrast(one)))
    lead = min(range(channels), key=quality.__getitem__)
    u = torch.cat([_transfer(problem, found, lead, c) for c in range(channels)], 1)
    return u[misfit(u, measured).argsort()]


def _face(problem: PhaseProblem, u: Tensor) -> Tensor:
    """Runs (K, C, h, w) aligned to the first; shifted only where the data allow it.

    A cyclic shift is harmless for an object with dark borders, and wrong for one that fills its
    support. Borders are never quite dark: what wraps around may take as much as a picture may
    leave, or else one object at two places would pass for two.
    """
    measured = problem.measured
    turned, moved = align(u, u[:1], shifts=False), align(u, u[:1])
    shifted = misfit(moved, measured)
    free = shifted <= (EQUAL * misfit(turned, measured)).clamp(min=_most(problem) ** 2)
    return torch.where(free[:, None, None, None], moved, turned)


def gather(problem: PhaseProblem, runs: Tensor) -> Tensor:
    """What the prior starts from: (K, C, h, w) of exact data, else the mean of agreeing runs.

    Runs on noisy data end at different places around the truth: the mean of those that explain
    the data as well as the best, and are the same picture, is nearer (1 to 2.5 dB at noise 0.01).
    """
    if problem.exact:
        return runs
    equal, away = _compare(problem, runs)
    return runs[equal & (away <= _different(problem))].mean(0, keepdim=True)


def _different(problem: PhaseProblem) -> float:
    return DIFFERENT_EXACT if problem.exact else DIFFERENT_NOISY


def _compare(problem: PhaseProblem, runs: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each run explains the data as well as the first, and its rms distance in [0, 1]."""
    u = (runs + 1) / 2
    error = misfit(u, problem.measured).sqrt()
    floor = ROUNDING * contrast(problem.measured) ** 0.5
    away = (u - u[:1]).square().flatten(1).mean(1).sqrt()
    return error <= EQUAL * error[0] + floor, away


def _transfer(problem: PhaseProblem, found: list[Tensor], source: int, target: int) -> Tensor:
    """The target channel facing as the source channel does, (K, 1, h, w).

    Colours of one object are alike, so a picture of one leads to that of another; where they are
    not, the target's own best picture takes its place.
    """
    lead = found[source]
    if source == target:
        return lead
    one = problem.measured.channel(target)
    level = problem.measured.mean_of(problem.operator.support)[0]
    start = (lead * (level[target] / level[source].clamp(min=1e-12))).clamp(max=problem.ceiling)
    led = align(_settle(problem, start, one), lead)  # twins can overtake on the way
    own = align(found[target][:1].expand_as(lead), lead)
    better = (misfit(led, one) <= misfit(own, one))[:, None, None, None]
    return torch.where(better, led, own)


def polish(problem: PhaseProblem, mu: Tensor) -> Tensor:
    """Refined runs, led to where they explain the data best; (K, C, h, w) in [-1, 1]."""
    return _settle(problem, (mu + 1) / 2, problem.measured) * 2 - 1


def _settle(problem: PhaseProblem, u: Tensor, measured: Magnitudes) -> Tensor:
    """The object that explains `measured`, from one close by; (K, C, h, w) in [0, 1]."""
    support, ceiling = problem.operator.support, problem.ceiling
    hybrid, relaxed = TRANSFER_EXACT if problem.exact else TRANSFER_NOISY
    field = pad(u, measured.detector)
    field = hybrid_input_output(field, measured, support, hybrid, ceiling)
    field = relaxed_reflections(field, measured, support, relaxed, ceiling)
    return error_reduction(field, measured, support, ceiling)


def conclude(problem: PhaseProblem, runs: Tensor, mu: Tensor) -> PhaseResult:
    """The result after `search` gave runs and RED-diff ended at mu.

    Exact data are explained best by runs that fit nothing else, so these compete as well; noisy
    data would be overfitted: there the refined picture is the result, and the runs tell whether
    the data were explained, and by one picture alone. Where they stopped short of that, it is
    enough that the refined picture explains them.
    """
    if problem.exact:
        return choose(problem, torch.cat([runs, mu, polish(problem, mu)]))
    searched, refined = choose(problem, runs), choose(problem, mu)
    verdict = searched.verdict
    if verdict == "failed" and refined.verdict != "failed":
        verdict = _how_many(problem, searched.rivals)
    return replace(refined, verdict=verdict, rivals=searched.rivals)


def choose(problem: PhaseProblem, runs: Tensor) -> PhaseResult:
    """The run that explains the measurement best, and how far it can be trusted.

    Failed: the misfit is beyond what noise explains. As the symmetric half of the noise is all
    that a real object can meet, the test is sharp: the truth has rms sigma / sqrt(2) there.
    Ambiguous: another run explains the data as well and is another picture, however aligned.
    """
    measured, known = problem.measured, problem.operator.known
    u = ((runs + 1) / 2).clamp(0, 1)
    error = misfit(u, measured)
    order = error.argsort()
    u, error = u[order], error[order]
    rms = residual(u[:1], problem.y, known).square().mean().sqrt()
    rivals = _face(problem, u)
    failed = excess(problem, float(error[0])) > 1
    verdict = "failed" if failed else _how_many(problem, rivals * 2 - 1)
    ratio = float(rms) / problem.sigma if problem.sigma else None
    return PhaseResult(u[:1] * 2 - 1, float(rms), ratio, verdict, rivals * 2 - 1)


def _how_many(problem: PhaseProblem, rivals: Tensor) -> str:
    """`ambiguous` if other pictures explain the data as well as the first, else `converged`."""
    equal, away = _compare(problem, rivals)
    return "ambiguous" if bool((equal & (away > _different(problem))).any()) else "converged"


def excess(problem: PhaseProblem, error: float) -> float:
    """A misfit (sum of squares) as a multiple of the largest that a found picture can leave."""
    return float(error**0.5 / _most(problem))


def _most(problem: PhaseProblem) -> float:
    """The root of the largest misfit that a found picture can leave."""
    measured = problem.measured
    count = float((measured.weight > 0).sum()) * problem.y.shape[1]
    noise = EXCESS * problem.sigma * (count / 2) ** 0.5
    floor = MISFIT * contrast(measured) ** 0.5
    return float((noise**2 + floor**2) ** 0.5)
