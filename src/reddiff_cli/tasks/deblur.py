"""Deblurring with a known kernel, or one of a known family."""

from pathlib import Path

from torch import Tensor

from ..blind import SHARP, estimate_kernel
from ..errors import PictureError
from ..jobs import Job
from ..kernels import make_kernel
from ..kernelspec import KernelSpec
from ..operators import Blur, CircularBlur, Operator, PaddedBlur
from ..pictures import load_picture
from ..task_options import DeblurOptions
from .problem import SMOOTHED, Setting, to_tensor
from .whole import WholePicture


def pose(job: Job, options: DeblurOptions, setting: Setting) -> WholePicture:
    """The picture as a measurement of a sharp one."""
    picture = load_picture(job.input)
    y = to_tensor(picture)
    noise = setting.noise("deblur", job.input, y, blurred=options.blurred)
    spec, remark = options.kernel, ""
    if spec.family == "auto":
        spec = find_kernel(job.input, y, noise)
        remark = f"kernel {spec} (estimated)"
    operator, crop = make_blur(job.input, make_kernel(spec), options.boundary, y)
    problem = WholePicture("deblur", picture, operator, y, noise, setting, note=lambda _: remark)
    problem.white = setting.white(operator, job.input, y, noise)
    if crop is not None:
        problem.crop = crop.crop
    return problem


def find_kernel(path: Path, y: Tensor, noise: float) -> KernelSpec:
    """The kernel of one of the parametric families; PictureError if the evidence is flat."""
    estimate = estimate_kernel(y, 2 * noise)
    if estimate.spec == SHARP:
        raise PictureError(f"{path}: no blur found in it; give --kernel if you know one", "Kernel")
    smeared = path.suffix.lower() in SMOOTHED and estimate.spec.family != "motion"
    if estimate.verdict != "sure" or smeared:
        # Compression looks like a blur, and a wrong kernel does more harm than none.
        raise PictureError(
            f"{path}: not sure what blurred it (nearest: {estimate.spec}); give --kernel", "Kernel"
        )
    return estimate.spec


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
