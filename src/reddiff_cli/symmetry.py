"""A denoiser that looks at pictures turned and mirrored, another way at every noise level.

Photographs turned or mirrored are photographs, but a network does not treat them quite alike. What
it does wrong in one position it does elsewhere in another, so over the steps of a restoration the
errors cancel instead of adding up, and no step takes longer: the periodical geometric
self-ensemble of DPIR (Zhang et al. 2021, arXiv 2008.13751), equivariant plug-and-play (Terris et
al. 2024, arXiv 2312.01831).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

DenoiseFunction = Callable[[Tensor, Tensor], Tensor]


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


class Turns:
    """The positions of one run, one after another; the next run begins with new `Turns`.

    choice: "all", "mirror" or "none". What is not square is not transposed (four positions of
    "all" are left): pictures of one shape are batched and recorded together.
    """

    def __init__(self, choice: str) -> None:
        self._square = CHOICES[choice]
        self._oblong = [turn for turn in self._square if not turn.transposed]
        self._step = -1

    def next(self, denoiser: DenoiseFunction) -> DenoiseFunction:
        """The denoiser as it is for the next step, whose windows it sees all in one position.

        denoiser(z, t) -> D, z and D: (B, C, H, W); z is turned for it, and D back.
        """
        self._step += 1
        step = self._step

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            turns = self._square if z.shape[2] == z.shape[3] else self._oblong
            turn = turns[step % len(turns)]
            return turn.back(denoiser(turn(z).contiguous(), t))

        return denoise if len(self._square) > 1 else denoiser


def turned(denoiser: DenoiseFunction, choice: str) -> DenoiseFunction:
    """A denoiser that takes the next position at every call: where a step is one call."""
    turns = Turns(choice)

    def denoise(z: Tensor, t: Tensor) -> Tensor:
        return turns.next(denoiser)(z, t)

    return denoise
