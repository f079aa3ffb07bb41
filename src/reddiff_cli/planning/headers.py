"""What the headers of a job's files say of it: that it must fail, and how large its result is.

Of float files more than the header is read where their light may not fit.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import PictureError, UsageError
from ..formats.arrays import check_suffix
from ..formats.jpeg import check_header, is_no_jpeg
from ..formats.kinds import (
    DEPTHS,
    FLOAT,
    HOLDS,
    MOST_SIDE,
    OPAQUE,
    check_alpha,
    check_sides,
    format_of,
    is_jpeg,
)
from ..options.tasks import HdrOptions, JpegOptions, TaskOptions
from ..pictures.files import (
    Hole,
    Picture,
    check_depth,
    header_of,
    is_grey,
    lies_on_its_side,
    load_picture,
    size_of,
)
from ..pictures.masks import check_mask_size
from ..pictures.readings import Readings
from ..pictures.shots import Photograph, check_alike
from ..pictures.sparks import told_of_spark
from .jobs import Job, check_readable

# Formats that hold values of some depths only, whatever the input has.
PARTICULAR = ("JPEG", "WEBP", "EXR", "HDR")
# Lamps and skies of a photograph may be cut to white, with a warning. Where more of a picture is
# so bright, it was measured in other units (counts, nits), and nothing would be left of it.
CUT_AT_MOST = 0.5


def checked(job: Job, options: TaskOptions, depth: str) -> Job:
    """The job, failed if it must fail; else its reason may tell of a size that changes.

    depth: of its output, as --depth says it.
    """
    if job.action != "restore":
        return job
    try:
        if options.task == "phase":
            check_suffix(job.input)
            return job
        readings = Readings()
        check_output(job, options, depth, readings)
        if header_of(job.input)[0] == FLOAT:
            _check_float(job, options, readings.take(job.input))
        _check_input(job, options)
        told = change_of_size(job, options) or _what_is_in_doubt(job, options)
        return replace(job, reason=job.reason or told)
    except (PictureError, UsageError) as error:
        return job.failed(error)


def _check_float(job: Job, options: TaskOptions, picture: Picture) -> None:
    """Reading it told of light that is negative, or not a number; this tells of the rest."""
    if options.task not in ("inpaint", "hdr", "jpeg"):
        told_of_spark(job.input, picture)
    if picture.alpha is not None and options.task != "inpaint":  # which may fill all of that
        check_alpha(job.output)


def _check_input(job: Job, options: TaskOptions) -> None:
    """PictureError where headers tell that a task does not take the picture."""
    if isinstance(options, HdrOptions):
        check_alike([_shot(path) for path in (job.input, *options.others)])
    if isinstance(options, JpegOptions):
        if is_jpeg(job.input):
            check_header(job.input)
        elif header_of(job.input)[0] > 8:
            raise is_no_jpeg(job.input)


def _shot(path: Path) -> Photograph:
    check_readable(path)
    light = header_of(path)[0] == FLOAT and load_picture(path).linear
    return Photograph(path, size_of(path), is_grey(path), light)


def _what_is_in_doubt(job: Job, options: TaskOptions) -> str:
    """What only the run can tell."""
    unsure = isinstance(options, JpegOptions) and not is_jpeg(job.input)
    return "is no JPEG, and fails if it shows no traces of one" if unsure else ""


def check_output(
    job: Job, options: TaskOptions, depth: str, readings: Readings | None = None
) -> None:
    """UsageError where the picture says that the format of the output cannot hold the result.

    PictureError where a mask has another size.    readings: keeps the picture, if it was read.
    """
    kind = format_of(job.output)
    if options.task == "phase":
        return
    size_of(job.input)  # what is wrong with the picture itself is told first
    if mask := job.mask or options.shared_mask:
        size, other = size_of(job.input), size_of(mask)
        check_mask_size(mask, other, size, turned=other != size and lies_on_its_side(job.input))
    _check_kind(job, kind, options, depth)
    kept = depth == "float" or (depth == "auto" and FLOAT in HOLDS.get(kind, ()))
    if not kept and options.task != "hdr" and header_of(job.input)[0] == FLOAT:
        picture = load_picture(job.input)
        _check_light(job, picture, depth)
        if readings is not None:
            readings.keep(job.input, picture)


def _check_kind(job: Job, kind: str, options: TaskOptions, depth: str) -> None:
    if kind in MOST_SIDE:
        check_sides(job.output, *result_size(job, options))
    if depth != "auto":
        check_depth(DEPTHS[depth], job.output)
    if kind not in PARTICULAR:
        return
    bits, transparent = header_of(job.input)
    if kind in OPAQUE and transparent and options.task != "inpaint":  # which may fill all of that
        check_alpha(job.output)
    if depth == "auto":
        if options.task == "hdr":  # light, or what is exposed darker
            bits = FLOAT if FLOAT in HOLDS.get(kind, ()) else 16
        check_depth(bits, job.output)


def _check_light(job: Job, picture: Picture, depth: str) -> None:
    """UsageError for light most of which is above white, where the output cuts it to white."""
    white: Hole = np.all(picture.pixels > 1, axis=2)
    seen: Hole = np.any(picture.pixels > 0, axis=2)  # a background of zeros says nothing
    if picture.alpha is not None:
        seen &= picture.alpha > 0
    share = float(white[seen].mean()) if picture.linear and seen.any() else 0.0
    if share > CUT_AT_MOST:
        told = f"{100 * share:.0f} % of what is not black in it is above 1, which is white, up to"
        cure = "write .tif or .exr (--format tiff)"
        cure += "" if depth == "auto" else f", without --depth {depth}"
        largest = float(picture.pixels.max())
        raise UsageError(f"{job.input}: {told} {largest:g}, and would be cut to white; {cure}")


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
