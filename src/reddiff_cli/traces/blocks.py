"""Where in a picture to look for the blocks of an encoder, and where they begin."""

from dataclasses import dataclass
from itertools import product

from torch import Tensor
from torch.nn import functional as F

from ..operators.jpeg import BLOCK, dct_of

# Places to look at: so many of the least even squares of this side, and of these for the grid.
SIDE, PLACES, FIRST = 64, 48, 12
# A coefficient of luma below this is nothing, which most are in the right grid.
NOTHING = 0.75


@dataclass(frozen=True)
class Squares:
    """Parts of a picture, (n, side, side).    clipped: 1 where a channel is, else 0."""

    luma: Tensor
    clipped: Tensor

    def blocks(self, grid: tuple[int, int]) -> Tensor:
        """Coefficients of the whole blocks of a grid in which nothing is clipped, (n, 8, 8).

        grid: the first row and column of a block.
        """
        top, left = grid
        side = self.luma.shape[1]
        height, width = ((side - start) // BLOCK * BLOCK for start in grid)
        place = (slice(None), slice(top, top + height), slice(left, left + width))
        blocks = dct_of(self.luma[place].flatten(0, 1))
        whole = F.max_pool2d(self.clipped[place].flatten(0, 1)[None], BLOCK)[0] == 0
        return blocks[whole]

    def grid(self) -> tuple[int, int]:
        """The first row and column of a block: where most coefficients are nothing."""
        first = Squares(self.luma[:FIRST], self.clipped[:FIRST])

        def nothing(grid: tuple[int, int]) -> float:
            blocks = first.blocks(grid)
            return float((blocks.abs() < NOTHING).float().mean()) if len(blocks) else 0.0

        return max(product(range(BLOCK), range(BLOCK)), key=nothing)


def uneven_squares(luma: Tensor, clipped: Tensor) -> Squares:
    """Where there is most to be seen; they begin at multiples of 8.    luma, clipped: (H, W)."""
    side = min(SIDE, *(size // BLOCK * BLOCK for size in luma.shape))
    planes = [plane.unfold(0, side, side).unfold(1, side, side) for plane in (luma, clipped)]
    lumas, ends = (plane.flatten(0, 1) for plane in planes)
    uneven = lumas.diff(dim=1).abs().mean((1, 2)) + lumas.diff(dim=2).abs().mean((1, 2))
    best = (uneven * (1 - ends.mean((1, 2)))).topk(min(PLACES, len(lumas))).indices
    return Squares(lumas[best], ends[best])


def uneven_blocks(coefficients: Tensor) -> Tensor:
    """Those in which something is to be seen: (rows, columns, 8, 8) -> bool (rows, columns)."""
    return coefficients.flatten(2)[..., 1:].any(2)


def pixels_of(
    blocks: Tensor, factors: tuple[int, int], picture: tuple[int, int, int, int]
) -> Tensor:
    """1 in the pixels of blocks that are True, else 0, (1, 1, H, W).

    blocks: (rows, columns).    factors: pixels of one sample, (down, across).    picture: its
    first row and column in the blocks, height and width.
    """
    top, left, height, width = picture
    wide = blocks.float().repeat_interleave(BLOCK * factors[0], 0)
    wide = wide.repeat_interleave(BLOCK * factors[1], 1)[top : top + height, left : left + width]
    return F.pad(wide, (0, width - wide.shape[1], 0, height - wide.shape[0]))[None, None]
