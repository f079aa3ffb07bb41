"""How many network evaluations a method takes of a prior, where nobody says it."""

from dataclasses import replace

from .checkpoints.cards import Card
from .options.common import SolverOptions

# Evaluations of a chain that begins below the top, at most: a linear schedule has 259 levels up to
# s = 1, and DPS would take all 1000.
CHAIN_STEPS = 250
# Positions in which a noisy picture is looked at: 6 validation crops of 256x256, noise 50 of 255,
# have 30.06 dB in one, 30.10 in two, 30.12 in four and 30.13 in eight.
FEW, POSITIONS = 2, 4


def fit(card: Card, solver: SolverOptions) -> SolverOptions:
    """With no more evaluations than a chain of this prior is worth, by default."""
    ours = solver.s_start is None and solver.method in card.chain_starts
    return replace(solver, most=CHAIN_STEPS) if ours else solver


def looking(card: Card, solver: SolverOptions) -> SolverOptions:
    """For a picture with white noise and nothing else: one evaluation for each position in which
    another look gains anything, by default.
    """
    if not straight(solver) or solver.steps is not None:
        return solver
    positions = {"all": POSITIONS, "mirror": 2, "none": 1}[card.turns]
    return replace(solver, steps=min(FEW if solver.preset == "fast" else POSITIONS, positions))


def straight(solver: SolverOptions) -> bool:
    """True if neither samples nor a path of levels, which denoising can do without, are wanted."""
    return solver.annealed and solver.samples == 1 and solver.s_start is None
