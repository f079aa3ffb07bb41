"""Colour for grey photographs."""

from dataclasses import replace

from torch import Tensor

from ..estimation.noise import is_grey
from ..operators import rec601
from ..options.tasks import ColorizeOptions
from ..pictures.files import Picture
from ..planning.jobs import Job
from .setting import Setting
from .transparent import hearable
from .whole import WholePicture

# Mean distance of the channels, of 255, below which a picture looks grey.
GREYISH = 2.0


def pose(job: Job, options: ColorizeOptions, setting: Setting) -> WholePicture:
    """The picture's grey as the Rec. 601 luma of a coloured one."""
    picture, setting = setting.seeing(job.input, setting.load(job.input))
    y, unseen = hearable(picture)
    if y.shape[1] == 3:
        if not is_grey(y):
            setting.on_note(f"warning: {job.input}: has colours; they are replaced")
        y = rec601()(y)
    smoothed, operator = picture.smoothed, rec601()
    noise = setting.noise("colorize", job.input, y, smoothed=smoothed)
    white = setting.white(operator, y, noise, smoothed=smoothed)
    about = (coloured(picture), operator, y, noise, setting)
    problem = WholePicture("colorize", *about, note=colours_found, white=white)
    return problem.hiding(unseen)


def colours_found(x: Tensor) -> str:
    """What a person should know who sees no colours."""
    spread = 127.5 * float((x.amax(1) - x.amin(1)).mean())
    return "" if spread >= GREYISH else "the prior found hardly any colour"


def coloured(picture: Picture) -> Picture:
    """The picture as RGB; a grey profile would be wrong for it."""
    if picture.pixels.shape[2] == 3:
        return picture
    metadata = replace(picture.metadata, icc=b"")
    return replace(picture, pixels=picture.pixels.repeat(3, axis=2), metadata=metadata)
