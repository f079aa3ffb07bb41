"""From options to a running solver: RED-diff in its two forms, and what it is compared with.

Each baseline runs at its own published defaults, with the same network, operator and noise.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor

from .budget import straight
from .checkpoints.cards import Card
from .denoisers.batching import Batcher
from .denoisers.denoiser import Denoiser
from .denoisers.symmetry import turned
from .errors import UsageError
from .linear import Map
from .machine.transfer import send
from .operators import Inpaint, Operator, Whitened, keeps_noise
from .options.common import TASKS, SolverOptions, check_solver
from .signatures import DenoiseFunction, DrawNoise
from .solvers.confirmation import confirmed_share, likeliest_shares
from .solvers.consistency import likeliest_noise
from .solvers.ddrm import ETA as DDRM_ETA
from .solvers.ddrm import Spectral, ddrm
from .solvers.descent import descend
from .solvers.diffpir import SETTINGS, diffpir
from .solvers.dps import default_zeta, dps
from .solvers.given import Given
from .solvers.look import Seen
from .solvers.pigdm import ETA as PIGDM_ETA
from .solvers.pigdm import pigdm
from .solvers.reddiff import SIGMA_SINGLE, Annealing, red_diff, red_diff_paper
from .solvers.through import BELIEF, WIDER, Through
from .solvers.whitening import Whitening, mean_of_whitened
from .tasks import Stage
from .tasks.problem import Probe

Steps = Iterator[tuple[int, Tensor]]
# Where y is a noisy picture (`Seen`), levels end at so many times its noise, and so many of the
# evaluations look at it as it is (one of five, if there are few). 5 validation crops of 128x128,
# noise 0.05, 50 evaluations, dB without these, and to the end at 1 / 0.7 / 0.5 / 0.35, 8 looks:
#   random 70 %        33.23    33.67 / 34.00 / 34.00 / 33.90
#   free-form 20 %     34.33    35.51 / 35.53 / 35.39 / 35.19
# 20 evaluations, to 0.7: 32.61 without, 33.08 / 33.11 with 6 / 4 looks; 34.04, 34.90 / 34.79.
LOOKS, SEEN_END = 8, 0.7


@dataclass(frozen=True)
class Solving:
    """One stage to be solved.

    start: first mu, one row for each sample.    noise: fresh N(0, I) of start's shape.
    constants: of a baseline, in place of the published ones: zeta (DPS, DiffPIR), eta (PiGDM,
    DDRM), weight (DiffPIR).
    """

    task: str
    stage: Stage
    start: Tensor
    noise: DrawNoise
    denoiser: Denoiser | Batcher
    card: Card
    solver: SolverOptions
    constants: Mapping[str, float] = field(default_factory=dict)

    def run(self) -> Steps:
        """(evaluations done, present estimate) after each step; UsageError if not possible."""
        if self.stage.probe is not None:
            return self._probe()
        method = self.solver.method
        spectral = getattr(self.stage.operator, "spectrum", None) is not None
        check_solver(self.solver, self.task, spectral=spectral)
        if self.solver.annealed:
            return self._red_diff()
        if method == "reddiff":
            return self._paper()
        if method == "dps":
            return self._dps()
        if method == "pigdm":
            return self._pigdm()
        return self._ddrm() if method == "ddrm" else self._diffpir()

    def _probe(self) -> Steps:
        stage, given = self.stage, self._given(self.denoiser)
        prior = given.denoiser, given.schedule, given.draw_noise
        if stage.whitening is not None:
            ask = likeliest_shares if stage.probe is Probe.STRENGTH else confirmed_share
            return ask(stage.whitening, *prior)
        return likeliest_noise(stage.y, stage.sigma_y, *prior)

    def _given(self, denoiser: DenoiseFunction, positions: str = "none") -> Given[Operator]:
        """What every solver is given; D goes through the windows of the stage.

        positions: in which the network sees them, one after another, as a card says it.
        """
        y, operator, view = self.stage.y, self.stage.operator, self.stage.view
        denoise, schedule = turned(denoiser, positions, view.denoise), self.denoiser.schedule
        return Given(y, operator, denoise, schedule, self.start, self.noise)

    def _red_diff(self) -> Steps:
        stage, solver = self.stage, self.solver
        if stage.whitening is not None and straight(solver):
            return self._whitened(stage.whitening)
        s_start = stage.s_start
        if solver.samples > 1 and solver.s_start is None:
            s_start = max(s_start, self.card.sample_start)
        seen, through = self._seen(), self._through()
        s_end, weight = stage.s_end, stage.weight
        if seen is not None:
            s_end = max(s_end, SEEN_END * seen.sigma)
        if through is not None:
            s_end, weight = max(s_end, through.sigma), BELIEF
        annealing = Annealing(
            steps=solver.evaluations,
            sigma_y=stage.sigma,
            s_start=s_start,
            s_end=min(s_end, s_start),
            prior_weight=(solver.prior_weight or 1.0) * weight,
            pairs=solver.pairs,
            looks=looks_of(seen, solver),
        )
        return red_diff(self._given(self.denoiser, self.card.turns), annealing, seen or through)

    def _whitened(self, whitening: Whitening) -> Steps:
        """y without noise that differs by place or direction, whatever the prior's weight."""
        given = self._given(self.denoiser, self.card.turns)
        asked = whitening.scaled(math.sqrt(self.solver.prior_weight or 1.0))
        solve = descend if asked.has_directions else mean_of_whitened
        prior = given.denoiser, given.schedule, given.draw_noise
        return solve(asked, *prior, self.solver.evaluations)

    def _seen(self) -> Seen | None:
        """What of y is a noisy picture; nothing of it where samples or a path are asked for."""
        stage, solver = self.stage, self.solver
        where = getattr(stage.operator, "direct", None)
        if where is None or not stage.white or (stage.sigma_y == 0 and self.task != "denoise"):
            return None
        if self.task == "denoise" and not straight(solver):
            return None
        sigma = stage.sigma * math.sqrt(solver.prior_weight or 1.0)
        return Seen(where.to(stage.y.device), stage.y, sigma)

    def _through(self) -> Through | None:
        """y as a noisy picture behind an operator that shows no pixel as it is, if it is."""
        stage, operator = self.stage, self.stage.operator
        if not keeps_noise(operator) or getattr(operator, "direct", None) is not None:
            return None
        if stage.sigma_y <= stage.sigma_least:
            return None
        return Through(operator, stage.y, stage.sigma_y * (1.0 if stage.white else WIDER))

    def _paper(self) -> Steps:
        stage, solver, defaults = self.stage, self.solver, TASKS[self.task]
        noisy = stage.sigma_y > 0
        weight = defaults.paper_weight_noisy if noisy else defaults.paper_weight
        return red_diff_paper(
            self._given(self.denoiser),
            steps=self._steps,
            lr=solver.lr or defaults.paper_lr,
            prior_weight=solver.prior_weight or weight,
        )

    def _dps(self) -> Steps:
        steps, pixels = self._steps, self.start[0, 0].numel()
        given: Given[Map] = self._given(self.denoiser.recorded)
        if isinstance(given.operator, Inpaint):  # what is trusted a little must push as little
            forward = Whitened(given.operator.known)
            given = replace(given, operator=forward, y=forward(given.y))
        return dps(
            given,
            steps=steps,
            zeta=self._constant("zeta", default_zeta(self.task, steps, pixels))
            * (self.solver.prior_weight or 1.0),
            s_start=self.card.chain_from(self.solver),
        )

    def _pigdm(self) -> Steps:
        return pigdm(
            self._given(self.denoiser.recorded),
            steps=self._steps,
            sigma_y=self.stage.sigma,
            eta=self._constant("eta", PIGDM_ETA),
            s_start=self.card.chain_from(self.solver),
        )

    def _ddrm(self) -> Steps:
        return ddrm(
            cast(Given[Spectral], self._given(self.denoiser)),
            steps=self._steps,
            sigma_y=believed(self.stage),
            eta=self._constant("eta", DDRM_ETA),
            s_start=self.card.chain_from(self.solver),
        )

    def _diffpir(self) -> Steps:
        stage = self.stage
        zeta, weight = SETTINGS[self.task]
        known = stage.operator.known if isinstance(stage.operator, Inpaint) else None
        return diffpir(
            self._given(self.denoiser),
            steps=self._steps,
            sigma_y=stage.sigma_y,
            zeta=self._constant("zeta", zeta),
            weight=self._constant("weight", weight) * (self.solver.prior_weight or 1.0),
            s_start=self.card.chain_from(self.solver),
            known=known if stage.sigma_y == 0 else None,
        )

    @property
    def _steps(self) -> int:
        return evaluations_asked(self.solver, self.denoiser, self.card)

    def _constant(self, name: str, published: float) -> float:
        return self.constants.get(name, published)


def believed(stage: Stage) -> float:
    """sigma_y for DDRM: no less than rounding left, but 0 where nothing was rounded.

    At 0 it believes every singular direction of y to the last digit, however small its a.
    """
    return max(stage.sigma_y, stage.sigma_least if stage.sigma_least > SIGMA_SINGLE else 0.0)


def looks_of(seen: Seen | None, solver: SolverOptions) -> int:
    """How many of the evaluations look at y as it is, at the end; all, if nothing else is left."""
    if seen is None or solver.samples > 1:
        return 0
    if bool(seen.where.all()):
        return solver.evaluations
    return 0 if solver.preset == "perceptual" else min(LOOKS, 2 * (solver.evaluations // 10))


def draws(start: Tensor, seed: int) -> DrawNoise:
    """Fresh N(0, I) of start's shape and device at every call; row i from the seed `seed` + i.

    Drawn on the CPU, so that every device sees the same noise; by row, so that a row does not
    depend on how many there are.
    """
    generators = [torch.Generator().manual_seed(seed + row) for row in range(len(start))]
    shape, device = start[:1].shape, start.device

    def draw() -> Tensor:
        rows = [torch.randn(shape, generator=generator) for generator in generators]
        noise = rows[0] if len(rows) == 1 else torch.cat(rows)
        return send(noise, device)

    return draw


def evaluations(solver: SolverOptions, denoiser: Denoiser | Batcher, card: Card) -> int:
    """Network evaluations that a run really takes (the published form rounds its grid)."""
    asked = evaluations_asked(solver, denoiser, card)
    return len(denoiser.schedule.reference_grid(asked)) if solver.preset == "paper" else asked


def evaluations_asked(solver: SolverOptions, denoiser: Denoiser | Batcher, card: Card) -> int:
    """Those that were asked for; by default no more than the prior has levels.

    UsageError for more, as each step of what goes down the levels takes another one.
    """
    if solver.annealed:
        return solver.evaluations
    top = None if solver.preset == "paper" else card.chain_from(solver)
    most = denoiser.schedule.levels_from(top)
    if solver.steps is not None and solver.steps > most:
        below = "" if top is None else f" from --start {top:g} down"
        told = f"--steps {solver.steps}: the prior has {most} noise levels{below}"
        raise UsageError(f"{told}; give so many at most")
    return min(solver.evaluations, most)
