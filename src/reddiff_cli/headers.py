"""What the headers of a job's files say of it: that it must fail, and how large its result is."""

from dataclasses import replace

from .errors import PictureError, UsageError
from .formats.arrays import check_suffix
from .formats.kinds import DEPTHS, MOST_SIDE, OPAQUE, check_alpha, check_sides, format_of
from .jobs import Job
from .masks import check_mask_size
from .pictures import check_depth, header_of, size_of
from .task_options import TaskOptions

# Formats that hold values of some depths only, whatever the input has.
PARTICULAR = ("JPEG", "WEBP", "EXR", "HDR")


def checked(job: Job, options: TaskOptions, depth: str) -> Job:
    """The job, failed if it must fail; else its reason tells of a size that changes.

    depth: of its output, as --depth says it.
    """
    if job.action != "restore":
        return job
    try:
        if options.task == "phase":
            check_suffix(job.input)
            return job
        size = size_of(job.input)
        if job.mask:
            check_mask_size(job.mask, size_of(job.mask), size)
        check_output(job, options, depth)
        return replace(job, reason=change_of_size(job, options))
    except PictureError as error:
        return replace(job, action="fail", reason=str(error), kind=error.kind)
    except UsageError as error:
        return replace(job, action="fail", reason=str(error), kind=UsageError.__name__)


def check_output(job: Job, options: TaskOptions, depth: str) -> None:
    """UsageError where a header says that the format of the output cannot hold the result."""
    kind = format_of(job.output)
    if options.task == "phase":
        return
    if kind in MOST_SIDE:
        check_sides(job.output, *result_size(job, options))
    if kind not in PARTICULAR:
        return
    bits, transparent = header_of(job.input)
    if kind in OPAQUE and transparent and options.task != "inpaint":  # which may fill all of that
        check_alpha(job.output)
    if depth != "auto":
        check_depth(DEPTHS[depth], job.output)
    elif options.task != "hdr":
        check_depth(bits, job.output)


def result_size(job: Job, options: TaskOptions) -> tuple[int, int]:
    """Width and height of the result; PictureError if the picture has none."""
    width, height = size_of(job.input)
    return options.enlargement * width, options.enlargement * height


def change_of_size(job: Job, options: TaskOptions) -> str:
    """`500x400 -> 2000x1600` where the result is larger than the picture, else nothing."""
    times = options.enlargement
    if times == 1:
        return ""
    width, height = size_of(job.input)
    return f"{width}x{height} -> {times * width}x{times * height}"
