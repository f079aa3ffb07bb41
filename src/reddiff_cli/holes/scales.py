"""A picture at a half, a quarter, ... of its size, where a hole in it is as much narrower."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Pixels around an area that its enlargement looks at.
REACH = 4


@dataclass(frozen=True)
class Scale:
    """One size of a picture.

    x: (1, C, H, W), everywhere with a value.    known: (1, 1, H, W), 1 where that value is one of
    the picture's.    wide: (H, W) bool, what a hole's wide parts cover.
    """

    x: Tensor
    known: Tensor
    wide: Tensor


def halvings(x: Tensor, known: Tensor, wide: Tensor, count: int) -> list[Scale]:
    """The picture at 1/2, 1/4, ... of its size, `count` times; odd sides are rounded up.

    x: (1, C, H, W), with values in the hole as well.    known: (1, 1, H, W) 0/1.    wide: (H, W)
    bool. A pixel is the mean of what is known of it, be it a single one: where known pixels are
    scattered, nothing else would be left to go by. One of which nothing is known is to be filled.
    """
    scales: list[Scale] = []
    for _ in range(count):
        share = _halve(known)
        # By channel: a product of everything would be as large as the picture.
        total = torch.cat([_halve(x[:, c : c + 1] * known) for c in range(x.shape[1])], 1)
        mean = total / share.clamp(min=1e-6)
        kept = share > 0
        x, known = torch.where(kept, mean, _halve(x)), kept.to(x.dtype)
        wide = halved(wide)
        scales.append(Scale(x, known, wide))
    return scales


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True)


def halved(marked: Tensor) -> Tensor:
    """(H, W) bool at half of its size: marked where any of the pixels below is."""
    return F.max_pool2d(marked[None, None].float(), 2, ceil_mode=True)[0, 0] > 0


def enlarged(x: Tensor, rows: slice, columns: slice) -> Tensor:
    """An area of the picture (1, C, H, W) at twice its size; rows, columns: of the large one."""
    rows_there, top = _half_of(rows, x.shape[2])
    columns_there, left = _half_of(columns, x.shape[3])
    part = x[:, :, rows_there, columns_there]
    large = F.interpolate(part, scale_factor=2, mode="bicubic", align_corners=False)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return large[:, :, top : top + height, left : left + width]


def _half_of(area: slice, length: int) -> tuple[slice, int]:
    """What of the small picture an area needs, and where the area begins in its enlargement."""
    first = max(0, area.start // 2 - REACH)
    return slice(first, min(length, (area.stop + 1) // 2 + REACH)), area.start - 2 * first


def finer(coarse: Tensor, fine: Scale) -> Tensor:
    """The finer picture with what the coarser one says in its hole, (1, C, H, W)."""
    height, width = fine.x.shape[2:]
    large = enlarged(coarse, slice(0, height), slice(0, width))
    return torch.where(fine.known == 1, fine.x, large)


def levels_to_narrow(thickness: int, narrow: int, shape: Sequence[int], least: int) -> int:
    """How often a hole is halved until it is `narrow` pixels thick.

    At least once; but not so often that a side of the picture would fall below `least`.
    """
    count = 1
    while thickness / 2**count > narrow and min(shape) / 2 ** (count + 1) >= least:
        count += 1
    return count
