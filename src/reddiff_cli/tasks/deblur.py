"""Deblurring with a known kernel."""

from pathlib import Path

from torch import Tensor

from ..kernels.files import check_kernel_fits
from ..kernels.tensors import make_kernel
from ..light.response import LINEAR, Response
from ..operators import Blur, CircularBlur, Operator, PaddedBlur, behind
from ..operators.in_light import AnyBlur
from ..options.tasks import DeblurOptions
from ..planning.jobs import Job
from .blurred_light import AUTO, choose_response
from .degraded import DegradedPicture
from .origin import find_origin
from .setting import Setting
from .transparent import filled, hearable


def pose(job: Job, options: DeblurOptions, setting: Setting) -> DegradedPicture:
    """The picture as a measurement of a sharp one."""
    picture, setting = setting.seeing(job.input, setting.load(job.input))
    (y, unseen), kernel = hearable(picture), make_kernel(options.kernel)
    check_kernel(job.input, kernel, *y.shape[2:])
    origin = find_origin("deblur", job.input, picture, y, setting, blurred=options.blurred)
    noise, shown = origin.noise.sigma, filled(y, unseen)
    about = (asked(options, setting), options.kernel, kernel, shown, origin)
    response = choose_response(*about, linear=picture.linear)
    operator, crop = make_blur(job.input, kernel, options.boundary, y, response)
    posed = ("deblur", picture, operator, shown, noise, setting)
    problem = DegradedPicture(*posed, note=lambda _: remark_on(response, options), unseen=unseen)
    problem.white = setting.white(operator, y, noise, smoothed=origin.lossy)
    if crop is not None:
        problem.crop = crop.crop
    return problem.read_from(origin)


def asked(options: DeblurOptions, setting: Setting) -> str:
    """The response as it was asked for; what others published acts on values."""
    return LINEAR if options.response == AUTO and not setting.solver.annealed else options.response


def remark_on(response: Response, options: DeblurOptions) -> str:
    """What was taken, where nobody told it."""
    return f"response {response.kind} (auto)" if options.response == AUTO else ""


def make_blur(
    path: Path, kernel: Tensor, boundary: str, y: Tensor, response: Response
) -> tuple[Operator, Blur | None]:
    """The operator, and what crops its canvas, if it has one."""
    height, width = y.shape[2:]
    check_kernel(path, kernel, height, width)
    canvas, blur = None, _blur(kernel, boundary, (height, width))
    if isinstance(blur, Blur):
        canvas = blur
    return behind(response, blur), canvas


def _blur(kernel: Tensor, boundary: str, size: tuple[int, int]) -> AnyBlur:
    if boundary == "unknown":
        return Blur(kernel)
    if boundary == "circular":
        return CircularBlur(kernel, size)
    return PaddedBlur(kernel, boundary)


def check_kernel(path: Path, kernel: Tensor, height: int, width: int) -> None:
    """PictureError if a kernel is larger than the picture that it is laid on."""
    check_kernel_fits(path, (kernel.shape[0], kernel.shape[1]), height, width)
