"""Deblurring with a known kernel."""

from pathlib import Path

from torch import Tensor

from ..errors import PictureError
from ..jobs import Job
from ..kernels import make_kernel
from ..operators import Blur, CircularBlur, Operator, PaddedBlur
from ..pictures import load_picture
from ..task_options import DeblurOptions
from .heard import HeardPicture
from .origin import find_origin
from .problem import to_tensor
from .setting import Setting


def pose(job: Job, options: DeblurOptions, setting: Setting) -> HeardPicture:
    """The picture as a measurement of a sharp one."""
    picture = load_picture(job.input)
    y = to_tensor(picture)
    origin = find_origin("deblur", job.input, picture, y, setting, blurred=options.blurred)
    noise = origin.noise.sigma
    operator, crop = make_blur(job.input, make_kernel(options.kernel), options.boundary, y)
    about = ("deblur", picture, operator, y, noise, setting)
    problem = HeardPicture(*about).read_from(origin)
    problem.white = setting.white(operator, job.input, y, noise)
    if crop is not None:
        problem.crop = crop.crop
    return problem


def make_blur(
    path: Path, kernel: Tensor, boundary: str, y: Tensor
) -> tuple[Operator, Blur | None]:
    """The operator, and what crops its canvas, if it has one."""
    height, width = y.shape[2:]
    check_kernel(path, kernel, height, width)
    if boundary == "unknown":
        blur = Blur(kernel)
        return blur, blur
    if boundary == "circular":
        return CircularBlur(kernel, (height, width)), None
    return PaddedBlur(kernel, boundary), None


def check_kernel(path: Path, kernel: Tensor, height: int, width: int) -> None:
    """PictureError if a kernel is larger than the picture that it is laid on."""
    kh, kw = kernel.shape
    if kh > height or kw > width:
        raise PictureError(
            f"{path}: kernel is {kw}x{kh}, picture is {width}x{height}; give a smaller kernel",
            "KernelSize",
        )
