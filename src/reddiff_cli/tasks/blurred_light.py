"""Whether a kernel acted on light, as in a camera, or on values, as in image editors and papers.

The one with which a picture of few edges explains what was measured is right: behind a wrong one,
what is beside something bright fits no picture, or one with ripples.
"""

import torch
from torch import Tensor

from ..estimation.clipping import is_recorded
from ..light.response import LIGHT, VALUES, Response, parse_response
from ..operators import BentChain, Blur, InLight, Inpaint
from ..operators.chain import Part
from ..operators.edges import cost_of_edges
from ..options.kernelspec import KernelSpec
from .origin import Origin

AUTO = "auto"
# The noise that is believed when responses are tried: so much of that of y, and at least. Edges
# that weigh more speak for light. 8 crops of 176x176 behind motion:9,30 and two curved paths, in
# light and in values, noise of 0.004, and JPEG of quality 90, believed to be 0.004 / 0.01: 90 / 91
# of 96 are told rightly, and behind the motion 32 / 30 of 32. Three crops of `coffee.png` behind
# six arcs in values, noise 0.02: 6 of 18 with all of it, 18 with half.
SHARE, LEAST = 0.5, 0.005
# Scale of differences of neighbours, in [-1, 1] units; their mean in 24 photographs is 0.11. Only
# SHARE^2 / USUAL counts, and these figures are of the two together.
USUAL = 0.05
# Side of the part that is looked at, that whose values differ most; and over that of the kernel.
SIDE, WIDER = 320, 2


def choose_response(
    told: str, spec: KernelSpec, kernel: Tensor, y: Tensor, origin: Origin, *, linear: bool
) -> Response:
    """The response as told, or (`auto`) that which explains y better.

    kernel: as spec names it.    y: (1, C, H, W) in [-1, 1].    origin: of y.    linear: the
    file holds light, of which y was made for displays.

    Gaussians are those of editors, and behind them all fits everything: of values.
    """
    if linear:
        return LIGHT
    if told != AUTO:
        return parse_response(told)
    if spec.family == "gaussian":
        return VALUES
    return find_response(y, kernel, tested_with(origin))


def tested_with(origin: Origin) -> float:
    """The noise that is believed when responses are tried on such a y, in [0, 1] units."""
    return max(SHARE * origin.noise.sigma, LEAST)


def find_response(y: Tensor, kernel: Tensor, sigma: float = LEAST) -> Response:
    """sRGB if the kernel acted on light that it then made values of, else linear.

    y: (1, C, H, W) in [-1, 1].    kernel: (kh, kw), not larger than that.
    sigma: noise of y that is believed, in [0, 1] units.
    """
    return find_response_of((Blur(kernel),), y, sigma)


def find_response_of(parts: tuple[Part, ...], y: Tensor, sigma: float) -> Response:
    """The same for the blurs of a composition, none of whose parts reduces the picture.

    y: 0 where a mask, its last part, lets nothing through.

    8 crops of 176x176, motion:9,30 and disk:3, in light and in values, behind a mask that loses
    30 % of the pixels: with noise of 0.004 / 0.02 31 / 31 of 32 are told rightly, behind `grey`
    31 / 28; but behind `down 2 box` 31 / 26.
    """
    kernels = [part.kernel for part in parts if isinstance(part, Blur)]
    side = max(SIDE, *(WIDER * max(kernel.shape) for kernel in kernels))
    place = _richest(y, side)
    parts = tuple(Inpaint(p.known[place]) if isinstance(p, Inpaint) else p for p in parts)
    # By the same few steps for both: a closed form would explain more of y for one of them.
    tried = [behind_all(parts, response) for response in (LIGHT, VALUES)]
    by_light, by_values = (_cost(y[place], operator, sigma) for operator in tried)
    return LIGHT if by_light < by_values else VALUES


def behind_all(parts: tuple[Part, ...], response: Response) -> BentChain:
    """The composition with its blurs as those of light behind this response."""
    bent = (InLight(part, response) if isinstance(part, Blur) else part for part in parts)
    return BentChain(tuple(bent))


def _cost(y: Tensor, operator: BentChain, sigma: float) -> float:
    """How little y looks like the operator's, where it was recorded."""
    recorded, last = is_recorded(y), operator.parts[-1]
    if isinstance(last, Inpaint):
        recorded = recorded * (last.known > 0)
    weight = 2 * (2 * sigma) ** 2 / USUAL
    return cost_of_edges(operator, operator.start(y), y, recorded, weight)


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
