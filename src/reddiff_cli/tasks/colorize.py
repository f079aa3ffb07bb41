"""Colour for grey photographs."""

from dataclasses import replace

from ..jobs import Job
from ..noise import is_grey
from ..operators import rec601
from ..pictures import Picture, load_picture
from ..task_options import ColorizeOptions
from .problem import to_tensor
from .setting import Setting
from .whole import WholePicture


def pose(job: Job, options: ColorizeOptions, setting: Setting) -> WholePicture:
    """The picture's grey as the Rec. 601 luma of a coloured one."""
    picture = load_picture(job.input)
    y = to_tensor(picture)
    if y.shape[1] == 3:
        if not is_grey(y):
            setting.on_note(f"warning: {job.input}: has colours; they are replaced")
        y = rec601()(y)
    noise, operator = setting.noise("colorize", job.input, y), rec601()
    white = setting.white(operator, job.input, y, noise)
    about = (coloured(picture), operator, y, noise, setting)
    return WholePicture("colorize", *about, white=white)


def coloured(picture: Picture) -> Picture:
    """The picture as RGB; a grey profile would be wrong for it."""
    if picture.pixels.shape[2] == 3:
        return picture
    metadata = replace(picture.metadata, icc=b"")
    return replace(picture, pixels=picture.pixels.repeat(3, axis=2), metadata=metadata)
