"""Whether a kernel acted on light, as in a camera, or on values, as in image editors and papers.

Each of the two undoes the blur a little, and the one that explains more of the picture is right:
behind a wrong one, what is beside something bright fits no picture.
"""

import torch
from torch import Tensor

from ..kernels import make_kernel
from ..kernelspec import KernelSpec
from ..noise import is_recorded
from ..operators import BentChain, Blur, InLight, Inpaint
from ..operators.chain import Part
from ..response import LIGHT, VALUES, Response, parse_response
from .origin import Origin

AUTO = "auto"
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
    return find_response(y, make_kernel(spec), tested_with(origin))


def tested_with(origin: Origin) -> float:
    """r of the data step with which responses are tried on a y of this origin."""
    return max(STRONG * origin.noise.sigma, LEAST_LOSSY if origin.lossy else LEAST)


def find_response(y: Tensor, kernel: Tensor, r: float = LEAST) -> Response:
    """sRGB if the kernel acted on light that it then made values of, else linear.

    y: (1, C, H, W) in [-1, 1].    kernel: (kh, kw), not larger than that.
    r: of the data step.
    """
    return find_response_of((Blur(kernel),), y, r)


def find_response_of(parts: tuple[Part, ...], y: Tensor, r: float = LEAST) -> Response:
    """The same for the blurs of a composition, none of whose parts reduces the picture.

    y: 0 where a mask, its last part, lets nothing through.

    11 crops of 208x208, motion:9,30 and disk:3, in light and in values, behind a mask that loses
    30 % of the pixels: with noise of 0.004 / 0.02 43 / 43 of 44 are told rightly, behind `grey`
    43 / 42; but behind `down 2 box` 43 / 31 and behind `down 4` 23 / 22.
    """
    kernels = [part.kernel for part in parts if isinstance(part, Blur)]
    side = max(SIDE, *(WIDER * max(kernel.shape) for kernel in kernels))
    place = _richest(y, side)
    parts = tuple(Inpaint(p.known[place]) if isinstance(p, Inpaint) else p for p in parts)
    # By the same few steps for both: a closed form would explain more of y for one of them.
    by_light, by_values = (_left(y[place], behind_all(parts, o), r) for o in (LIGHT, VALUES))
    return LIGHT if by_light < by_values else VALUES


def behind_all(parts: tuple[Part, ...], response: Response) -> BentChain:
    """The composition with its blurs as those of light behind this response."""
    bent = (InLight(part, response) if isinstance(part, Blur) else part for part in parts)
    return BentChain(tuple(bent))


def _left(y: Tensor, operator: BentChain, r: float) -> float:
    """What is left of y where it was recorded, mean square."""
    x = operator.data_step(operator.start(y), y, r)
    recorded, last = is_recorded(y) > 0, operator.parts[-1]
    if isinstance(last, Inpaint):
        recorded &= last.known > 0
    miss = (y - operator(x)).square()[recorded]
    return float(miss.mean()) if len(miss) else 0.0


def _richest(y: Tensor, side: int) -> tuple[slice, ...]:
    """Where the square lies whose values have the largest variance, of those side by side."""
    height, width = (min(side, n) for n in y.shape[2:])
    rows = range(0, y.shape[2] - height + 1, height)
    columns = range(0, y.shape[3] - width + 1, width)
    every = slice(None)
    places = [
        (every, every, slice(i, i + height), slice(j, j + width)) for i in rows for j in columns
    ]
    return places[int(torch.stack([y[place].var() for place in places]).argmax())]
