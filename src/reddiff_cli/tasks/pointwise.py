"""Denoising, and colour for grey photographs."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from ..jobs import Job
from ..operators import Identity, rec601
from ..pictures import Picture, load_picture
from ..task_options import ColorizeOptions, DenoiseOptions
from .problem import Setting, to_tensor
from .whole import WholePicture


def pose_denoise(job: Job, options: DenoiseOptions, setting: Setting) -> WholePicture:
    """The picture as one with noise on it."""
    picture = load_picture(job.input)
    y = to_tensor(picture)
    crop: Callable[[Tensor], Tensor] = Tensor.clone
    if y.shape[1] == 3 and bool((y[:, :1] == y).all()):  # so is its noise, which makes it grey
        y, crop = y[:, :1], in_three
    noise = setting.noise("denoise", job.input, y)
    white = setting.white(job.input, y, noise)
    return WholePicture("denoise", picture, Identity(), y, noise, setting, crop, white=white)


def pose_colorize(job: Job, options: ColorizeOptions, setting: Setting) -> WholePicture:
    """The picture's grey as the Rec. 601 luma of a coloured one."""
    picture = load_picture(job.input)
    y = to_tensor(picture)
    if y.shape[1] == 3:
        if not bool((y[:, :1] == y).all()):
            setting.on_note(f"warning: {job.input}: has colours; they are replaced")
        y = rec601()(y)
    noise = setting.noise("colorize", job.input, y)
    return WholePicture("colorize", coloured(picture), rec601(), y, noise, setting)


def in_three(x: Tensor) -> Tensor:
    """(1, 1, H, W) in three channels."""
    return x.repeat(1, 3, 1, 1)


def coloured(picture: Picture) -> Picture:
    """The picture as RGB; a grey profile would be wrong for it."""
    if picture.pixels.shape[2] == 3:
        return picture
    metadata = replace(picture.metadata, icc=b"")
    return replace(picture, pixels=picture.pixels.repeat(3, axis=2), metadata=metadata)
