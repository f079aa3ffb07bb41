"""The settings record: what was asked of the pixels of a result; kept in the file for resuming."""

from collections.abc import Iterator
from pathlib import Path

from .. import __version__
from ..checkpoints.cards import FAINT_TASKS, Card
from ..formats.kinds import LOSSY, format_of
from ..options.common import QUALITY, TASKS, OutputOptions, SolverOptions
from ..options.tasks import TaskOptions
from .jobs import Job, Record, file_digest

# Tasks that tell what a JPEG, or what was one, looked like before it was encoded.
DECODED_TASKS = frozenset(("superres", "deblur", "denoise", "restore"))


def make_record(
    job: Job, card: Card, solver: SolverOptions, options: TaskOptions, output: OutputOptions
) -> Record:
    """Everything that was asked of the pixels of a result, and nothing else.

    Not the device, its dtype, and tiles with their overlap, which change them a little: a run that
    was stopped goes on elsewhere, and memory that ran out makes no other result.
    """
    task = options.task
    record = {
        "program": f"reddiff {__version__}",
        "task": task,
        "model": card.name,
        "revision": card.revision,
        "preset": solver.preset,
        "method": solver.method,
        "steps": solver.evaluations,
        "prior_weight": solver.prior_weight,
        "task_weight": card.prior_weights.get(task, 1.0),
        "lr": solver.lr,
        "start": solver.s_start or card.starts.get(task, TASKS[task].s_start),
        "noise": TASKS[task].noise if solver.noise is None else solver.noise,
        "seed": solver.seed,
        "samples": solver.samples,
        "input_sha256": file_digest(job.input),
    }
    if asked := as_asked(solver):
        record["asked"] = asked
    if card.configuration:
        record["configuration"] = card.configuration
    if output.depth != "auto":
        record["depth"] = output.depth
    if output.quality != QUALITY and format_of(job.output) in LOSSY:
        record["quality"] = output.quality
    if solver.annealed:
        record["turns"] = card.turns
    if solver.method in card.chain_starts:
        record["chain_start"] = card.chain_from(solver)
    if solver.samples > 1 and solver.s_start is None:
        record["sample_start"] = card.sample_start
    for name, value in options.settings().items():
        record[name] = plain(value)
    if task in FAINT_TASKS and solver.s_start is None and card.faint_start:
        record["faint_start"] = card.faint_start
    if solver.preset != "paper" and (options.masked or task in DECODED_TASKS):
        record["turns"] = card.turns  # which guides and decoding use, whatever the method
    if solver.preset != "paper" and task in DECODED_TASKS:
        record["jpeg_weight"] = card.prior_weights.get("jpeg", 1.0)
        record["jpeg_start"] = card.starts.get("jpeg", TASKS["jpeg"].s_start)
    if options.masked:
        if task != "inpaint":  # where it is `task_weight`
            record["hole_weight"] = card.prior_weights.get("inpaint", 1.0)
        record["dense_weight"] = card.prior_weights.get("denoise", 1.0)
        record["wide_hole"], record["wide_noise"] = card.wide_hole, card.wide_noise
    if task == "inpaint":
        record["start"] = solver.s_start or card.hole_start
        record["stroke_start"] = solver.s_start or card.start_of_strokes
        record["dense_start"] = card.starts.get("denoise", TASKS["denoise"].s_start)
        record["mask_sha256"] = file_digest(job.mask) if job.mask else None
    return record


def as_asked(solver: SolverOptions) -> Record:
    """What was given of that which, if not given, follows from the picture.

    A value that is given may decide otherwise than the same value by default: 50 evaluations of
    white noise are asked for, 4 are taken.
    """
    # Other methods take their evaluations whether or not they were asked for.
    steps = solver.steps if solver.annealed else None
    given = {"steps": steps, "start": solver.s_start, "noise": solver.noise}
    return {name: value for name, value in given.items() if value is not None}


def files_of(options: TaskOptions) -> list[Path]:
    """The files that a task's options name."""
    return list(_paths_in(list(options.settings().values())))


def _paths_in(value: object) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths_in(item)


def plain(value: object) -> object:
    """A value for a record; a file stands for its contents."""
    if isinstance(value, Path):
        return file_digest(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
