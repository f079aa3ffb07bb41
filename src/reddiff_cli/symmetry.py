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


# Neighbours differ in two ways or more, so that few steps already see different pictures.
TURNS = [
    *[Turn(False, False, False), Turn(True, False, True), Turn(False, True, True)],
    *[Turn(True, True, False), Turn(False, False, True), Turn(True, False, False)],
    *[Turn(False, True, False), Turn(True, True, True)],
]
# By what a card says of its network: one that knows what is up, as of faces, takes mirror images.
CHOICES = {"all": TURNS, "mirror": [TURNS[0], Turn(False, True, False)], "none": TURNS[:1]}


class Turned:
    """denoiser(z, t) -> D that turns z, and D back: the next turn whenever t changes.

    z: (B, C, H, W).    t: (B,), equal. All windows of one step are turned the same way; only
    squares are transposed, as pictures of one shape are batched and recorded together.
    choice: "all", "mirror" or "none". For one run: the next begins with a new `Turned`, so that
    it depends on nothing that was before.
    """

    def __init__(self, denoiser: DenoiseFunction, choice: str) -> None:
        self._denoiser = denoiser
        self._turns = CHOICES[choice]
        self._oblong = [turn for turn in self._turns if not turn.transposed]
        self._t: int | None = None
        self._step = -1

    def __call__(self, z: Tensor, t: Tensor) -> Tensor:
        if int(t[0]) != self._t:
            self._t = int(t[0])
            self._step += 1
        turns = self._turns if z.shape[2] == z.shape[3] else self._oblong
        turn = turns[self._step % len(turns)]
        return turn.back(self._denoiser(turn(z).contiguous(), t))
