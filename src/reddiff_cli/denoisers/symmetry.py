"""A denoiser that looks at pictures turned and mirrored, another way at every step.

Photographs turned or mirrored are photographs, but a network does not treat them quite alike. What
it does wrong in one position it does elsewhere in another, so over the steps of a restoration the
errors cancel instead of adding up, and no step takes longer: the periodical geometric
self-ensemble of DPIR (Zhang et al. 2021, arXiv 2008.13751), equivariant plug-and-play (Terris et
al. 2024, arXiv 2312.01831).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from ..signatures import DenoiseFunction

# (denoiser, z, t) -> D, by one call of the denoiser or by several: `View.denoise`.
ViewDenoise = Callable[[DenoiseFunction, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Turn:
    """A symmetry of the square: first x and y exchanged, then columns and rows reversed."""

    transposed: bool
    across: bool
    down: bool

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W) -> (B, C, H, W), or (B, C, W, H) if transposed."""
        return torch.flip(x.mT if self.transposed else x, self._reversed())

    def back(self, x: Tensor) -> Tensor:
        """What undoes it."""
        upright = torch.flip(x, self._reversed())
        return upright.mT if self.transposed else upright

    def _reversed(self) -> list[int]:
        return [2] * self.down + [3] * self.across


# Each differs from its neighbours in two ways or more, so that few steps see different pictures.
TURNS = [
    *[Turn(False, False, False), Turn(True, False, True), Turn(False, True, True)],
    *[Turn(True, True, False), Turn(False, False, True), Turn(True, False, False)],
    *[Turn(False, True, False), Turn(True, True, True)],
]
# By what a card says of its network: one that knows what is up, as of faces, takes mirror images.
CHOICES = {"all": TURNS, "mirror": [TURNS[0], Turn(False, True, False)], "none": TURNS[:1]}


def at_once(denoiser: DenoiseFunction, z: Tensor, t: Tensor) -> Tensor:
    """D of all of z in one call."""
    return denoiser(z, t)


def turned(
    denoiser: DenoiseFunction, choice: str, through: ViewDenoise = at_once
) -> DenoiseFunction:
    """denoiser(z, t) -> D of one run: every call is a step, for which z is turned and D back.

    z, D: of the shape that `through` takes; what it shows the denoiser, (B, C, h, w), is turned,
    all windows of a step alike. choice: "all", "mirror" or "none". What is not square is not
    transposed (four positions of "all" are left), as pictures of one shape are batched and
    recorded together.
    """
    square, steps = CHOICES[choice], count()
    oblong = [turn for turn in square if not turn.transposed]

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        step = next(steps)

        def look(window: Tensor, t: Tensor) -> Tensor:
            turns = square if window.shape[2] == window.shape[3] else oblong
            turn = turns[step % len(turns)]
            return turn.back(denoiser(turn(window).contiguous(), t))

        return through(look, z, t)

    return denoise
