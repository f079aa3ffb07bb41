"""Restoration tasks: each turns a file and what is said about its damage into a problem."""

from ..errors import UsageError
from ..formats.colours import (
    has_primaries_of_srgb,
    name_of_profile,
    strange_among,
    strange_in,
)
from ..formats.kinds import format_of
from ..options.damages import RestoreOptions
from ..options.tasks import (
    ColorizeOptions,
    DeblurOptions,
    DenoiseOptions,
    HdrOptions,
    InpaintOptions,
    JpegOptions,
    SuperresOptions,
    TaskOptions,
)
from ..pictures.files import Picture
from ..pictures.sparks import told_of_spark
from ..planning.jobs import Job
from ..retrieval.options import PhaseOptions
from . import (
    colorize,
    compose,
    deblur,
    denoise,
    hdr,
    inpaint,
    jpeg,
    phase,
    superres,
    unknown_kernel,
)
from .problem import Problem, Stage, solver_of
from .setting import Setting
from .whole import WholePicture

__all__ = ["Problem", "Setting", "Stage", "pose", "solver_of"]


def pose(job: Job, options: TaskOptions, setting: Setting) -> Problem:
    """The problem of one job; PictureError or UsageError say what is wrong with its file."""
    problem = _pose(job, options, setting)
    if isinstance(problem, WholePicture) and not isinstance(problem, hdr.Highlights):
        _check_light(job, problem.source, setting)
    _check_glow(job, problem.source, setting)
    _check_profile(job, problem, setting)
    _check_colours(job, problem.before, setting)
    return problem


def _check_light(job: Job, picture: Picture, setting: Setting) -> None:
    """Warning or PictureError for linear light with a spark that leaves no room for the rest."""
    if told := told_of_spark(job.input, picture):
        setting.on_note(f"warning: {told}")


def _check_glow(job: Job, picture: Picture, setting: Setting) -> None:
    """Warning for light of alpha 0 that the result cannot hold, or that is not enlarged."""
    if picture.alpha is None or not picture.glows:
        return
    alike = picture.alpha.shape == (picture.height, picture.width)
    if not (alike and hdr.holds_light(job.output, setting.depth)):
        setting.on_note(f"warning: {job.input}: its light of alpha 0 (glow, flames) is lost")


def _check_profile(job: Job, problem: Problem, setting: Setting) -> None:
    """Warning where linear light becomes values, or the reverse, and the profile is left out.

    It tells a curve as well, which is not that of what is written.
    """
    light, icc = problem.before.linear, problem.before.metadata.icc
    if light:
        changes = not hdr.holds_light(job.output, setting.depth)
    else:
        changes = problem.source.linear or setting.depth == "float"
    if not changes or not icc:
        return
    name = name_of_profile(icc)
    if not has_primaries_of_srgb(name):
        kind = "values" if light else "linear light"
        cure = "write .tif to keep it, or convert it to sRGB first"
        cure = cure if light else "tell its primaries to what opens the result"
        setting.on_note(
            f"warning: {job.input}: its colour profile ({name or 'without a name'}) is not one of "
            f"{kind} and is left out; {cure}"
        )


def _check_colours(job: Job, picture: Picture, setting: Setting) -> None:
    """Warning for colours of a PNG or an EXR that only such files can tell."""
    kind, metadata = format_of(job.output), picture.metadata
    strange, own = strange_in(metadata.colours, metadata.icc), "PNG"
    if not strange:
        strange, own = strange_among(metadata.attributes), "EXR"
    if strange and kind != own and not setting.strip:
        setting.on_note(
            f"warning: {job.input}: its colours are not sRGB ({', '.join(strange)}), which {kind} "
            f"files cannot tell, and will look wrong; write .{own.lower()}, or convert it to sRGB "
            "first"
        )


def _pose(job: Job, options: TaskOptions, setting: Setting) -> Problem:
    match options:
        case InpaintOptions():
            return inpaint.pose(job, options, setting)
        case SuperresOptions():
            return superres.pose(job, options, setting)
        case DeblurOptions() if options.kernel.family == "auto":
            return unknown_kernel.pose(job, options, setting)
        case DeblurOptions():
            return deblur.pose(job, options, setting)
        case DenoiseOptions():
            return denoise.pose(job, options, setting)
        case ColorizeOptions():
            return colorize.pose(job, options, setting)
        case HdrOptions():
            return hdr.pose(job, options, setting)
        case JpegOptions():
            return jpeg.pose(job, options, setting)
        case PhaseOptions():
            return phase.pose(job, options, setting)
        case RestoreOptions():
            return compose.pose(job, options, setting)
    raise UsageError(f"{options.task}: no such task")
