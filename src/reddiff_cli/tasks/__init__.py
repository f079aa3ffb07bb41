"""Restoration tasks: each turns a file and what is said about its damage into a problem."""

from ..errors import UsageError
from ..jobs import Job
from ..phase_options import PhaseOptions
from ..task_options import (
    ColorizeOptions,
    DeblurOptions,
    DenoiseOptions,
    HdrOptions,
    InpaintOptions,
    JpegOptions,
    RestoreOptions,
    SuperresOptions,
    TaskOptions,
)
from . import compose, deblur, hdr, inpaint, jpeg, phase, pointwise, superres
from .problem import Problem, Setting, Stage

__all__ = ["Problem", "Setting", "Stage", "pose"]


def pose(job: Job, options: TaskOptions, setting: Setting) -> Problem:
    """The problem of one job; PictureError or UsageError say what is wrong with its file."""
    match options:
        case InpaintOptions():
            return inpaint.pose(job, options, setting)
        case SuperresOptions():
            return superres.pose(job, options, setting)
        case DeblurOptions():
            return deblur.pose(job, options, setting)
        case DenoiseOptions():
            return pointwise.pose_denoise(job, options, setting)
        case ColorizeOptions():
            return pointwise.pose_colorize(job, options, setting)
        case HdrOptions():
            return hdr.pose(job, options, setting)
        case JpegOptions():
            return jpeg.pose(job, options, setting)
        case PhaseOptions():
            return phase.pose(job, options, setting)
        case RestoreOptions():
            return compose.pose(job, options, setting)
    raise UsageError(f"{options.task}: no such task")
