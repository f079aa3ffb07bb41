"""`reddiff eval`: damage clean pictures, restore them by several methods, and compare."""

import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..errors import UsageError
from ..evaluation.options import (
    EVAL_METHODS,
    HOLE_HELP,
    SUITES,
    TASK_FLAGS,
    Case,
    EvalOptions,
    flag_of,
    make_case,
    make_suite,
    parse_curve,
    parse_methods,
)
from ..interrupts import dying_at_once
from ..options.common import TASKS, SolverOptions, parse_noise
from .flags import OUTPUT, Shared, option_in
from .making import Command, errors_as_lines, keywords

HELP = "Damage clean pictures, restore them by several methods, and compare."
EXAMPLE = "Example: reddiff eval superres photos -o scores --method reddiff,diffpir:50 --limit 20"
# Flags of the restoring commands that mean the same here.
TAKEN = (
    *("output", "recursive", "overwrite", "dry_run", "model", "offline", "steps", "seed"),
    "start",
    *("device", "dtype", "tile", "tile_overlap", "shard", "deterministic"),
    *("fail_fast", "json", "quiet", "verbose"),
)
_damage, _compare = map(option_in, ("Damage", "Comparison"))


@dataclass(frozen=True)
class DamageFlags:
    """Flags of the tasks; None is the task's own default."""

    hole: Annotated[str | None, _damage("--hole", help=f"inpaint: {HOLE_HELP}.")] = None
    mask: Annotated[
        Path | None,
        _damage(
            "-m",
            "--mask",
            help="inpaint: holes of your own, white = fill; a file, or a folder paired by name.",
            readable=False,
        ),
    ] = None
    invert_mask: Annotated[
        bool | None, _damage("--invert-mask", help="inpaint: black = fill.")
    ] = None
    grow_mask: Annotated[
        int | None, _damage("--grow-mask", help="inpaint: dilate masks by pixels.")
    ] = None
    scale: Annotated[int | None, _damage("--scale", help="superres: 2 to 8.")] = None
    downsample: Annotated[
        str | None,
        _damage("--downsample", help="superres: bicubic, box, lanczos, gaussian:SIGMA, FILE."),
    ] = None
    kernel: Annotated[
        str | None, _damage("--kernel", help="deblur: as in reddiff deblur; gaussian:3.")
    ] = None
    boundary: Annotated[
        str | None, _damage("--boundary", help="deblur: unknown, reflect, replicate, circular.")
    ] = None
    starts: Annotated[int | None, _damage("--starts", help="phase: starts of the search.")] = None
    keep: Annotated[int | None, _damage("--keep", help="phase: runs that are refined.")] = None
    stops: Annotated[float | None, _damage("--stops", help="hdr: over-exposure.")] = None
    response: Annotated[
        str | None,
        _damage(
            "--response",
            help="superres, deblur, hdr: from light to values; linear, srgb, gamma:G.",
        ),
    ] = None
    operator: Annotated[str | None, _damage("--operator", help="hdr: exposure, paper.")] = None
    quality: Annotated[int | None, _damage("--quality", help="jpeg: of the encoder; 10.")] = None
    degrade: Annotated[
        str | None, _damage("--degrade", help="restore: 'blur gaussian:1.5 | down 2'.")
    ] = None


@dataclass(frozen=True)
class ComparisonFlags:
    """Flags of the evaluation itself."""

    method: Annotated[
        str,
        _compare("--method", help=f"{', '.join(EVAL_METHODS)}; NAME:STEPS.", metavar="NAME,..."),
    ] = "reddiff"
    noise: Annotated[
        float | None,
        _compare(
            "--noise", help="Standard deviation of the noise to add, 0 to 1; 0.05 (suite: 0)."
        ),
    ] = None
    assume_noise: Annotated[
        str | None,
        _compare(
            "--assume-noise",
            help="What the solvers are told, else the truth.",
            metavar="auto|FLOAT",
        ),
    ] = None
    crop: Annotated[int, _compare("--crop", help="Side of the centre crop.")] = 256
    limit: Annotated[int | None, _compare("--limit", help="First pictures only.")] = None
    curve: Annotated[
        str | None,
        _compare(
            "--curve", help="Every method at these evaluations; plots curve.png.", metavar="N,..."
        ),
    ] = None
    suite: Annotated[
        str | None,
        _compare(
            "--suite", help=f"{', '.join(SUITES)}: the tasks of a publication; give no TASK."
        ),
    ] = None
    save_pictures: Annotated[
        bool,
        _compare(
            "--save-pictures",
            help="Keep all pictures and measurements; else those that the contact sheet shows.",
        ),
    ] = False


Words = Annotated[
    list[str],
    typer.Argument(
        metavar="TASK INPUT...", help=f"One of {', '.join(TASKS)}; then clean pictures or folders."
    ),
]


Scores = Annotated[
    str | None,
    option_in(OUTPUT)(
        "-o",
        "--output",
        metavar="FOLDER",
        help="Folder of the table and the pictures; must be given.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to an app."""
    shared = {n: h for n, h in get_type_hints(Shared, include_extras=True).items() if n in TAKEN}
    shared["output"] = Scores
    parameters = [
        inspect.Parameter("words", inspect.Parameter.KEYWORD_ONLY, annotation=Words),
        *keywords(ComparisonFlags, get_type_hints(ComparisonFlags, include_extras=True)),
        *keywords(DamageFlags, get_type_hints(DamageFlags, include_extras=True)),
        *keywords(Shared, shared),
    ]

    def command(**values: Any) -> None:  # noqa: ANN401  (checked by Typer)
        damage = DamageFlags(
            **{field.name: values.pop(field.name) for field in fields(DamageFlags)}
        )
        names = [field.name for field in fields(ComparisonFlags)]
        comparison = ComparisonFlags(**{name: values.pop(name) for name in names})
        words = values.pop("words")
        flags = Shared(**values)
        with errors_as_lines(flags.verbose):
            code = _evaluate(words, damage, comparison, flags)
        if code:
            raise typer.Exit(code)

    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    app.command("eval", cls=Command, help=HELP, epilog=EXAMPLE)(command)


def _evaluate(
    words: list[str], damage: DamageFlags, comparison: ComparisonFlags, flags: Shared
) -> int:
    if flags.output is None:
        raise UsageError("-o: missing; name the folder for the table and the pictures")
    folder = Path(flags.output)
    if folder.is_file():
        raise UsageError(f"-o {flags.output}: is a file; give a folder")
    if comparison.limit is not None and comparison.limit < 1:
        raise UsageError(f"--limit {comparison.limit}: must be at least 1")
    options, inputs = _options(words, damage, comparison, flags)
    with dying_at_once():
        from ..evaluation.run import EvalRun

    run = EvalRun(
        options,
        inputs,
        flags.model,
        flags.machine(),
        folder,
        flags.reports({}),
        flags.part(),
        flags.offline,
        flags.recursive,
        comparison.limit,
        flags.overwrite,
    )
    return int(run.show_plan() if flags.dry_run else run.evaluate())


def _options(
    words: list[str], damage: DamageFlags, comparison: ComparisonFlags, flags: Shared
) -> tuple[EvalOptions, list[Path]]:
    given = {field.name: getattr(damage, field.name) for field in fields(damage)}
    if comparison.suite is None:
        task, *words = words
        cases: tuple[Case, ...] = (make_case(task, given, comparison.noise),)
        if not words:
            raise UsageError(f"eval {task}: no pictures; give files or folders after the task")
    else:
        cases = make_suite(comparison.suite, comparison.noise)
        named = [name for name, value in given.items() if value is not None]
        if named or words[0] in TASK_FLAGS:
            extra = flag_of(named[0]) if named else words[0]
            raise UsageError(f"--suite {comparison.suite}: says the damage itself; drop {extra}")
    curve = parse_curve(comparison.curve)
    base = SolverOptions(seed=flags.seed, s_start=flags.start)
    methods = parse_methods(comparison.method, base, curve, flags.steps)
    options = EvalOptions(
        cases=cases,
        methods=methods,
        assume=parse_noise(comparison.assume_noise, "--assume-noise"),
        crop=comparison.crop,
        seed=flags.seed,
        start=flags.start,
        curve=curve,
        suite=comparison.suite,
        save_pictures=comparison.save_pictures,
    )
    return options, [Path(word) for word in words]
