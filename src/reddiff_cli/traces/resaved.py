"""Pictures that were JPEG once: screenshots, and files that were saved again without loss.

Decoded and rounded to 8 bits, every coefficient of a block still is a multiple of its step, to
about half a level. That tells the grid of the blocks, the steps, how chroma was reduced, and the
coefficients. Nothing is believed that does not give the picture again when it is decoded.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..formats.jpeg import JpegFile
from ..operators.jpeg import BLOCK, SCALE, to_planes
from .blocks import SIDE, pixels_of, uneven_blocks, uneven_squares
from .encoder import Encoder, clipped, encoders
from .steps import Steps, find_chroma_steps, find_luma_steps

# A block is explained if what was decoded again differs by no more, rms, of 255, and so many of
# them must be: somebody may have drawn on the others. These are nearly all.
EXPLAINED, MOST, ALL = 1.25, 0.9, 0.99
# A block that differs by more was drawn on, and is taken as it is.
DRAWN = 8.0
# No more than so many rows and columns are looked at for that.
LOOKED_AT = 768


@dataclass(frozen=True)
class JpegTraces:
    """file: what a JPEG file held.    quality: of libjpeg, 5 to 95; None of other encoders."""

    file: JpegFile
    quality: int | None

    @property
    def remark(self) -> str:
        """What a person should know."""
        of_quality = "" if self.quality is None else f" of quality {self.quality}"
        return f"was JPEG{of_quality} once"


def find_traces(samples: NDArray[np.uint8]) -> JpegTraces | None:
    """What the JPEG file held that these samples were decoded from; None if there was none.

    samples: (H, W, 1 or 3). What lies outside of them in the outermost blocks is taken to go on as
    at their border; `top` and `left` of the file say where they begin. If they were turned since,
    the file is of what was turned.
    """
    if min(samples.shape[:2]) < SIDE:
        return None
    x = torch.from_numpy(samples).permute(2, 0, 1)[None].float() / SCALE - 1
    squares = uneven_squares(to_planes(x)[0, 0], clipped(x)[0, 0])
    grid = squares.grid()
    steps = find_luma_steps(squares.blocks(grid))
    if steps is None:
        return None
    best = _best(_usual(grid, steps, x), x) or _best(_told(grid, steps, x), x)
    if best is None:
        return None
    file = best.file_of(x)
    errors = _errors(best, file, x)
    drawn = pixels_of(errors > DRAWN, (1, 1), (best.top, best.left, *x.shape[2:]))
    if drawn.any():
        exact = [torch.ones(BLOCK, BLOCK)] * len(best.tables)
        file = best.but_for(drawn, exact).file_of(x)
    return JpegTraces(file, steps.quality)


def _best(tried: Iterable[Encoder], x: Tensor) -> Encoder | None:
    """The one that explains most, and enough; the first that explains all."""
    best, most = None, MOST
    for encoder in tried:
        explained = _explained(encoder, x[..., :LOOKED_AT, :LOOKED_AT])
        if explained >= most:
            best, most = encoder, explained
        if explained > ALL:
            break
    return best


def _usual(grid: tuple[int, int], steps: Steps, x: Tensor) -> Iterator[Encoder]:
    """Everything that such a grid leaves open, with the usual steps of chroma if there are."""
    if x.shape[1] == 1:
        yield Encoder(-grid[0] % BLOCK, -grid[1] % BLOCK, (steps.table,))
    elif (chroma := steps.of_chroma()) is not None:
        for encoder in encoders(grid):
            yield replace(encoder, tables=(steps.table, chroma, chroma))


def _told(grid: tuple[int, int], steps: Steps, x: Tensor) -> Iterator[Encoder]:
    """Those whose steps of chroma are told by the picture, the likeliest first."""
    if x.shape[1] == 1:
        return
    part, told = x[..., :LOOKED_AT, :LOOKED_AT], []
    for encoder in encoders(grid):
        _, chroma = find_chroma_steps(encoder.chroma(part), steps)
        tables = steps.table, chroma.table, chroma.table
        told.append((chroma.nats, replace(encoder, tables=tables)))
    for nats, encoder in sorted(told, key=lambda one: -one[0]):
        if nats >= 0:  # else they are no multiples
            yield encoder


def _explained(encoder: Encoder, x: Tensor) -> float:
    """Share of the blocks that are decoded as x shows them.

    Only whole ones count, in which nothing is clipped, and something is to be seen.
    """
    file = encoder.file_of(x)
    fits = _errors(encoder, file, x) <= EXPLAINED
    whole = F.max_pool2d(encoder.unseen(x), BLOCK)[0, 0] == 0
    uneven = uneven_blocks(torch.from_numpy(file.components[0].coefficients))
    counted = uneven[: whole.shape[0], : whole.shape[1]] & whole
    return float(fits[counted].float().mean()) if counted.any() else 0.0


def _errors(encoder: Encoder, file: JpegFile, x: Tensor) -> Tensor:
    """rms of what is decoded otherwise than x shows it, by blocks of luma, of 255."""
    errors = (encoder.framed(x) - encoder.decoded(file).clamp(-1, 1)) * SCALE
    return F.avg_pool2d(errors.square().mean(1, keepdim=True), BLOCK)[0, 0].sqrt()
