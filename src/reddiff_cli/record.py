"""The settings record: what decided the pixels of a result; kept in the file for resuming."""

from pathlib import Path

from . import __version__
from .jobs import Record, file_digest
from .models import Card
from .options import TASKS, MaskOptions, SolverOptions


def noise_of(task: str, solver: SolverOptions) -> float:
    """Standard deviation of the noise in [0, 1] units: as given, or the task's default."""
    return TASKS[task].noise if solver.noise is None else solver.noise


def make_record(
    task: str,
    path: Path,
    mask_path: Path | None,
    card: Card,
    solver: SolverOptions,
    mask: MaskOptions,
) -> Record:
    """Everything that decides the pixels of a result, and nothing else."""
    return {
        "program": f"reddiff {__version__}",
        "task": task,
        "model": card.name,
        "revision": card.revision,
        "mask_sha256": file_digest(mask_path) if mask_path else None,
        "invert_mask": mask.invert,
        "grow_mask": mask.grow,
        "preset": solver.preset,
        "method": "reddiff",
        "steps": solver.evaluations,
        "prior_weight": solver.prior_weight,
        "lr": solver.lr,
        "start": solver.s_start or card.hole_start,
        "wide_hole": card.wide_hole,
        "wide_noise": card.wide_noise,
        "noise": noise_of(task, solver),
        "seed": solver.seed,
        "input_sha256": file_digest(path),
    }
