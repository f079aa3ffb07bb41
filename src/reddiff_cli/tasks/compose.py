"""A picture that went through several damages: one operator built from parts."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..jobs import Job
from ..kernels import make_kernel
from ..masks import check_something_is_known, hole_from_file
from ..operators import Blur, Chain, Downsample, Inpaint, rec601
from ..operators.chain import Part
from ..pictures import Picture, load_picture
from ..task_options import Damage, RestoreOptions
from .deblur import check_kernel
from .pointwise import coloured
from .problem import Setting, to_tensor
from .superres import enlarge, make_downsample
from .whole import WholePicture

Margins = tuple[int, int, int, int]  # left, right, top, bottom


def pose(job: Job, options: RestoreOptions, setting: Setting) -> WholePicture:
    """The picture as a measurement through all parts."""
    picture = load_picture(job.input)
    y = to_tensor(picture)
    parts = tuple(make_part(damage, picture) for damage in options.parts)
    grey = any(damage.kind == "grey" for damage in options.parts)
    if grey and y.shape[1] == 3:
        y = rec601()(y)
    chain = Chain(parts)
    known = None
    for part in parts:
        if isinstance(part, Inpaint):
            known = part.known
            y = part(y)
    margins = canvas_margins(parts)
    _check_size(job, chain, y)
    noise = options.noise
    if noise is None or setting.solver.noise is not None:
        noise = setting.noise("restore", job.input, y, known, blurred=options.blurred)
    source = coloured(picture) if grey else picture
    source = _enlarged(source, parts)

    def crop(x: Tensor) -> Tensor:
        return F.pad(x, [-n for n in margins])

    return WholePicture("restore", source, chain, y, noise, setting, crop=crop)


def canvas_margins(parts: tuple[Part, ...]) -> Margins:
    """What the canvas of x has around the picture, from the unknown boundaries of its blurs."""
    margins = [0, 0, 0, 0]
    for part in reversed(parts):
        if isinstance(part, Downsample):
            margins = [part.scale * n for n in margins]
        if isinstance(part, Blur):
            (top, bottom), (left, right) = part.margins
            added = (left, right, top, bottom)
            margins = [n + more for n, more in zip(margins, added, strict=True)]
    left, right, top, bottom = margins
    return left, right, top, bottom


def make_part(damage: Damage, picture: Picture) -> Part:
    """The operator of one damage; the picture is that of the result, for the size of masks."""
    if damage.kernel is not None:
        return Blur(make_kernel(damage.kernel))
    if damage.kind == "down":
        return make_downsample(damage.scale, damage.filter)
    if damage.path is not None:
        hole = hole_from_file(picture, damage.path)
        check_something_is_known(hole, damage.path)
        return Inpaint(torch.from_numpy(~hole)[None, None].float())
    return rec601()


def _check_size(job: Job, chain: Chain, y: Tensor) -> None:
    """A kernel may not be larger than the picture it was laid on."""
    height, width = y.shape[2:]
    for part in reversed(chain.parts):
        if isinstance(part, Downsample):
            height, width = height * part.scale, width * part.scale
        if isinstance(part, Blur):
            check_kernel(job.input, part.kernel, height, width)


def _enlarged(picture: Picture, parts: tuple[Part, ...]) -> Picture:
    """The picture with its alpha at the size of the result."""
    scale = int(np.prod([part.scale for part in parts if isinstance(part, Downsample)]))
    if picture.alpha is None or scale == 1:
        return picture
    return replace(picture, alpha=enlarge(picture.alpha, scale))
