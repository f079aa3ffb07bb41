"""Super-resolution of a picture that was made small by a known filter."""

import math
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import PictureError
from ..kernels.files import Kernels, check_filter_covers
from ..light.response import LIGHT, parse_response
from ..machine.allocator import return_pages
from ..machine.memory import is_short_of
from ..metrics import rms
from ..operators import Downsample, behind
from ..operators.downsample import from_taps
from ..options.tasks import Filter, SuperresOptions
from ..pictures.files import Picture, Pixels
from ..planning.jobs import Job
from .matte import EnlargedPicture, bounds, make_matte
from .origin import find_origin
from .setting import Setting
from .transparent import filled, hearable

# Bytes that a pixel of the result takes at least.
BYTES = 150


def pose(job: Job, options: SuperresOptions, setting: Setting) -> EnlargedPicture:
    """The picture as a measurement of one `scale` times as large."""
    picture, setting = setting.seeing(job.input, setting.load(job.input))
    check_room(job, picture, options.scale, setting)
    y, unseen = hearable(picture)
    origin = find_origin("superres", job.input, picture, y, setting)
    noise = origin.noise.sigma
    taps = Kernels().taps(options.scale, options.filter)
    check_filter_covers(job.input, taps, options.scale, *y.shape[2:])
    reduction = from_taps(options.scale, taps)
    operator = behind(LIGHT if picture.linear else parse_response(options.response), reduction)

    def consistency(x: Tensor) -> str:
        seen = ((x.clamp(-1, 1) + 1) / 2 * 255).round() / 255 * 2 - 1
        error = float(rms(operator(seen) - shown)) / 2
        return f"reduced again it equals the input to {-20 * math.log10(max(error, 1e-6)):.1f} dB"

    shown = filled(y, unseen)
    source = enlarged(picture, options.scale)
    white = setting.white(operator, y, noise, smoothed=origin.lossy)
    about = (source, operator, shown, noise, setting)
    problem = EnlargedPicture("superres", *about, note=consistency, white=white, unseen=unseen)
    problem.matte = make_matte(picture, reduction, setting)
    return problem.read_from(origin)


def check_room(job: Job, picture: Picture, scale: int, setting: Setting) -> None:
    """PictureError if a picture so many times as wide and high is more than memory can hold.

    Linux would kill the process instead, with all that it has still to do.
    """
    on_gpu = setting.machine.device != "cpu" and torch.cuda.is_available()
    if scale == 1 or on_gpu:  # which says so itself
        return
    height, width = picture.pixels.shape[:2]
    pixels = height * width * scale**2
    if not is_short_of(BYTES * pixels):
        return
    return_pages()  # what the pictures before have left is kept, and counts as used
    if is_short_of(BYTES * pixels):
        raise PictureError(
            f"{job.input}: enlarged {scale} times it has {pixels / 1e6:.3g} megapixels and takes "
            f"more than {BYTES * pixels / 1e9:.2g} GB, which are not free; enlarge it less",
            "OutOfMemory",
        )


def make_downsample(scale: int, chosen: Filter, kernels: Kernels | None = None) -> Downsample:
    """The operator of a filter.    kernels: those that were read before."""
    return from_taps(scale, (kernels or Kernels()).taps(scale, chosen))


def enlarged(picture: Picture, scale: int) -> Picture:
    """The picture with the alpha and the resolution of a result so many times as large."""
    alpha = None if picture.alpha is None else _enlarge(picture.alpha, scale)
    return replace(picture, alpha=alpha, metadata=picture.metadata.enlarged(scale))


def _enlarge(alpha: Pixels, scale: int) -> Pixels:
    """(H, W) -> (f H, f W) in [0, 1] by Lanczos, as the transparency has no prior.

    No value is beyond those around it in the small one, which would show as a second rim.
    """
    height, width = alpha.shape
    small = Image.fromarray(np.ascontiguousarray(alpha, dtype=np.float32))
    large = small.resize((scale * width, scale * height), Image.Resampling.LANCZOS)
    return np.asarray(large, dtype=np.float32).clip(*bounds(alpha, scale))
