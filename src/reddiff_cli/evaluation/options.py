"""What `reddiff eval` is told: cases (a task, its damage, noise) and methods, as plain data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..budget import fit
from ..checkpoints.cards import Card
from ..errors import UsageError
from ..options.checks import check_between, check_choice
from ..options.common import METHODS, TASKS, SolverOptions, check_solver
from ..options.damages import RestoreOptions, parse_degrade
from ..options.kernelspec import parse_kernel
from ..options.tasks import (
    ColorizeOptions,
    DeblurOptions,
    DenoiseOptions,
    HdrOptions,
    InpaintOptions,
    SuperresOptions,
    TaskOptions,
    parse_filter,
)
from ..retrieval.options import PhaseOptions

PAPER = "reddiff-paper"
START = "start"
EVAL_METHODS = (METHODS[0], PAPER, *METHODS[1:])
# Flags that belong to one task or a few; all others are for every task.
TASK_FLAGS = {
    "inpaint": ("hole", "mask", "invert_mask", "grow_mask"),
    "superres": ("scale", "downsample", "response"),
    "deblur": ("kernel", "boundary", "response"),
    "phase": ("starts", "keep"),
    "hdr": ("stops", "response", "operator"),
    "denoise": (),
    "jpeg": ("quality",),
    "colorize": (),
    "restore": ("degrade",),
}
NOISE = 0.05
SUITES = ("paper",)
NOT_IN_SUITE = "nonlinear deblur is not available: its operator is a network of its own"
HOLES = ("box", "random", "freeform")
HOLE_HELP = "box:SIDE, random:SHARE, freeform:SHARE"


@dataclass(frozen=True)
class HoleOptions(TaskOptions):
    """A hole to make. kind: box (value: side in pixels), random or freeform (value: share)."""

    task: ClassVar[str] = "inpaint"
    kind: str = "random"
    value: float = 0.7

    def settings(self) -> dict[str, Any]:
        return {"hole": f"{self.kind}:{self.value:g}"}


@dataclass(frozen=True)
class OwnMaskOptions(InpaintOptions):
    """Holes of the user's own. Rows hold the digest of their mask, as they do of the picture."""

    def settings(self) -> dict[str, Any]:
        return {"hole": "mask"} | super().settings()


@dataclass(frozen=True)
class CompressOptions(TaskOptions):
    """A JPEG file to make. quality: of Pillow's encoder, 1 to 95."""

    task: ClassVar[str] = "jpeg"
    quality: int = 10

    def __post_init__(self) -> None:
        check_between("--quality", self.quality, 1, 95)

    def settings(self) -> dict[str, Any]:
        return {"quality": self.quality}


@dataclass(frozen=True)
class Case:
    """One row of damage: a task, its options, and the noise to add, in [0, 1] units."""

    name: str
    options: TaskOptions
    noise: float

    @property
    def task(self) -> str:
        return self.options.task


@dataclass(frozen=True)
class Method:
    """One solver to compare. name: as asked for, `reddiff-paper` being the published form."""

    name: str
    solver: SolverOptions

    @property
    def label(self) -> str:
        """The name with its evaluations, which tells rows apart.

        Alone where ours chooses them by picture: 4 for white noise, where 50 that are asked for
        are 50.
        """
        chosen = self.solver.annealed and self.solver.steps is None
        return self.name if chosen else f"{self.name}-{self.solver.evaluations}"


@dataclass(frozen=True)
class EvalOptions:
    """All of an evaluation but the pictures and the machine.

    assume: what the solvers are told of the noise, None = the truth.    crop: side of the centre
    crop.    start: first noise level of all methods but the published form, None = their own.
    curve: every method runs at these evaluations.
    """

    cases: tuple[Case, ...]
    methods: tuple[Method, ...]
    assume: float | str | None = None
    crop: int = 256
    seed: int = 0
    start: float | None = None
    curve: tuple[int, ...] = ()
    suite: str | None = None
    save_pictures: bool = False

    @property
    def only(self) -> bool:
        """True where a method that cannot do the task leaves nothing to compare."""
        return len(self.cases) == 1 and len({method.name for method in self.methods}) == 1

    @property
    def labels(self) -> tuple[str, ...]:
        """Of the methods, in their order."""
        return tuple(method.label for method in self.methods)

    def fit(self, card: Card) -> "EvalOptions":
        """Every method as this prior runs it."""
        methods = [replace(entry, solver=fit(card, entry.solver)) for entry in self.methods]
        return replace(self, methods=tuple(methods))

    def __post_init__(self) -> None:
        doubled = [label for label in self.labels if self.labels.count(label) > 1]
        if doubled:
            raise UsageError(f"--method: {doubled[0]} twice; name each method once")
        if self.only:
            case = self.cases[0]
            check_solver(self.methods[0].solver, case.task, spectral=case.options.spectral)
        if self.crop < 16:
            raise UsageError(f"--crop {self.crop}: must be at least 16 pixels")
        if self.assume is not None and any(case.task == "jpeg" for case in self.cases):
            raise UsageError("--assume-noise: a JPEG file's own tables say what was lost; drop it")


def parse_hole(text: str) -> HoleOptions:
    """`box:128`, `random:0.7`, `freeform:0.2` -> HoleOptions."""
    kind, _, number = text.partition(":")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if kind not in HOLES or math.isnan(value):
        raise UsageError(f"--hole {text}: unknown; give {HOLE_HELP}, as in freeform:0.2")
    if not (value >= 1 and value.is_integer() if kind == "box" else 0 < value < 1):
        fits = "whole pixels" if kind == "box" else "a share above 0 and below 1"
        raise UsageError(f"--hole {text}: {number} is out of range; give {fits}")
    return HoleOptions(kind, value)


def parse_curve(text: str | None) -> tuple[int, ...]:
    """`10,20,50` -> the evaluations, ascending."""
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--curve {text}: give numbers of evaluations, as 10,20,50,100")
    return tuple(sorted({int(part) for part in parts}))


def parse_methods(
    text: str, base: SolverOptions, curve: tuple[int, ...] = (), steps: int | None = None
) -> tuple[Method, ...]:
    """`reddiff,diffpir:50` -> methods; base: options that all share.

    NAME:STEPS has its own evaluations; otherwise `steps`, or the method's own. A curve makes
    one method for each of its evaluations.
    """
    found = []
    for part in text.split(","):
        name, colon, number = part.strip().partition(":")
        check_choice("--method", name, EVAL_METHODS)
        if colon and not number.isdecimal():
            raise UsageError(f"--method {part}: give NAME:STEPS, as in diffpir:50")
        if colon and curve:
            raise UsageError(f"--method {part}: --curve says the evaluations; drop :{number}")
        own = int(number) if colon else steps
        try:
            found += [_method(name, count, base) for count in curve or (own,)]
        except UsageError as error:
            if not colon:
                raise
            told = str(error).removeprefix(f"--steps {own}: ")
            raise UsageError(f"--method {part}: {told}") from error
    return tuple(found)


def _method(name: str, steps: int | None, base: SolverOptions) -> Method:
    if name == PAPER:
        # It starts at the top of the schedule, whatever the others do.
        return Method(name, replace(base, preset="paper", s_start=None, steps=steps))
    return Method(name, replace(base, method=name, steps=steps))


def make_case(task: str, flags: Mapping[str, Any], noise: float | None) -> Case:
    """The case of one task from its flags (None: not given); UsageError names foreign flags."""
    if task not in TASKS:
        raise UsageError(f"{task}: no such task; give one of {', '.join(TASKS)} first")
    given = {name: value for name, value in flags.items() if value is not None}
    for name in given:
        if name not in TASK_FLAGS[task]:
            raise UsageError(f"{flag_of(name)}: is no flag of {task}; drop it")
    if noise is not None:
        check_between("--noise", noise, 0, 1)
    if task == "jpeg" and noise:
        raise UsageError(f"--noise {noise:g}: a JPEG file has none of its own; drop it")
    options = _options(task, given)
    if noise is None:
        said = options.noise if isinstance(options, RestoreOptions) else None
        noise = 0.0 if task == "jpeg" else NOISE if said is None else said
    return Case(task, options, noise)


def _options(task: str, given: dict[str, Any]) -> TaskOptions:
    match task:
        case "inpaint":
            return _hole_options(given)
        case "superres":
            reduced = parse_filter(given.get("downsample", "bicubic"))
            response = given.get("response", "linear")
            return SuperresOptions(given.get("scale", 4), reduced, response)
        case "deblur":
            kernel = parse_kernel(given.get("kernel", "gaussian:3"))
            if kernel.family == "auto":
                raise UsageError("--kernel auto: the blur is made here; name its kernel")
            response = given.get("response", "linear")
            if response == "auto":
                raise UsageError("--response auto: the blur is made here; name its response")
            return DeblurOptions(kernel, given.get("boundary", "unknown"), response)
        case "phase":
            return PhaseOptions(layout="corner", scale=1.0, **given)
        case "hdr":
            return HdrOptions(**given)
        case "jpeg":
            return CompressOptions(**given)
        case "restore":
            if "degrade" not in given:
                raise UsageError("--degrade: missing; as in 'blur gaussian:1.5 | down 2'")
            return parse_degrade(given["degrade"])
    return DenoiseOptions() if task == "denoise" else ColorizeOptions()


def _hole_options(given: Mapping[str, Any]) -> TaskOptions:
    """A hole to make, or masks of the user's own."""
    mask, own = given.get("mask"), [name for name in given if name != "hole"]
    if mask is None:
        if own:
            raise UsageError(f"{flag_of(own[0])}: is for masks of your own; give --mask as well")
        return parse_hole(given.get("hole", "random:0.7"))
    if "hole" in given:
        raise UsageError("--hole and --mask: both say what is to be filled; drop one")
    if not mask.is_file() and not mask.is_dir():
        raise UsageError(f"--mask {mask}: no such file or folder")
    return OwnMaskOptions(mask, bool(given.get("invert_mask")), given.get("grow_mask", 0))


def flag_of(name: str) -> str:
    """As the command line spells the name of an option."""
    return f"--{name.replace('_', '-')}"


def make_suite(name: str, noise: float | None) -> tuple[Case, ...]:
    """The cases of a suite. paper: the linear and nonlinear tasks of arXiv 2305.04391, sigma 0."""
    check_choice("--suite", name, SUITES)
    tasks: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("inpaint freeform 20 %", "inpaint", {"hole": "freeform:0.2"}),
        ("superres x4 box", "superres", {"scale": 4, "downsample": "box"}),
        ("deblur gaussian:3", "deblur", {"kernel": "gaussian:3"}),
        ("phase 2x", "phase", {}),
        ("hdr paper", "hdr", {"operator": "paper"}),
    )
    made = [(title, make_case(task, flags, noise or 0.0)) for title, task, flags in tasks]
    return tuple(replace(case, name=title) for title, case in made)
