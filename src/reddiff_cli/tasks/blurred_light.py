"""Whether a kernel acted on light, as in a camera, or on values, as in image editors and papers.

Each of the two undoes the blur a little, and the one that explains more of the picture is right:
behind a wrong one, what is beside something bright fits no picture.
"""

import torch
from torch import Tensor

from ..kernels import make_kernel
from ..kernelspec import KernelSpec
from ..operators import Blur, LightBlur
from ..response import LINEAR, SRGB, Response, parse_response
from .origin import Origin

AUTO = "auto"
VALUES, LIGHT = Response(LINEAR), Response(SRGB)
# r of the data step that undoes the blur: so many times the noise, and at least; the last in lossy
# files. 24 crops of 208x208 behind motion:9,30, motion:13,25 and disk:3, in light and in values,
# 8 bits; how many of 144 are told rightly with r = 0.01 / 0.03, and how many where the wrong one
# costs these data steps more than 0.5 dB:
#   noise 0.004             144 / 143    116 of 116 / 98 of 98
#   noise 0.02               97 / 140     38 of 66 / 65 of 65
#   noise 0.004, JPEG 90    141 / 142    108 of 110 / 81 of 82
#   noise 0.004, JPEG 75    137 / 141     92 of 98 / 71 of 74
STRONG, LEAST, LEAST_LOSSY = 1.5, 0.01, 0.03
# Side of the part that is looked at, that whose values differ most; and over that of the kernel.
SIDE, WIDER = 320, 2


def choose_response(
    told: str, spec: KernelSpec, y: Tensor, origin: Origin, *, linear: bool
) -> Response:
    """The response as told, or (`auto`) that which explains y better.

    y: (1, C, H, W) in [-1, 1].    origin: of y.    linear: the file holds light, of which y
    was made for displays.

    Gaussians are those of editors, and behind them all fits everything: of values.
    """
    if linear:
        return LIGHT
    if told != AUTO:
        return parse_response(told)
    if spec.family == "gaussian":
        return VALUES
    r = max(STRONG * origin.noise.sigma, LEAST_LOSSY if origin.lossy else LEAST)
    return find_response(y, make_kernel(spec), r)


def find_response(y: Tensor, kernel: Tensor, r: float = LEAST) -> Response:
    """sRGB if the kernel acted on light that it then made values of, else linear.

    y: (1, C, H, W) in [-1, 1].    kernel: (kh, kw), not larger than that.
    r: of the data step.
    """
    part = _richest(y, max(SIDE, WIDER * max(kernel.shape)))
    by_light, by_values = (_left(part, LightBlur(Blur(kernel), o), r) for o in (LIGHT, VALUES))
    return LIGHT if by_light < by_values else VALUES


def _left(y: Tensor, operator: LightBlur, r: float) -> float:
    """What is left of y where it was recorded, mean square."""
    x = operator.data_step(operator.start(y), y, r)
    miss = (y - operator(x)).square()[y.abs() < 1 - 1e-6]
    return float(miss.mean()) if len(miss) else 0.0


def _richest(y: Tensor, side: int) -> Tensor:
    """The square whose values have the largest variance, of those side by side."""
    height, width = (min(side, n) for n in y.shape[2:])
    rows = range(0, y.shape[2] - height + 1, height)
    columns = range(0, y.shape[3] - width + 1, width)
    parts = [y[:, :, i : i + height, j : j + width] for i in rows for j in columns]
    return parts[int(torch.stack([part.var() for part in parts]).argmax())]
