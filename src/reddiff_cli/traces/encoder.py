"""One way in which a picture may have been encoded as JPEG, and decoded again."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..formats.jpeg import JpegComponent, JpegFile
from ..operators.jpeg import BLOCK, dct_of, measure_jpeg, to_planes

# How chroma was reduced (down, across), and whether it was smoothed between its samples when it
# was decoded: what programs do, the commonest first; the last are turned pictures.
REDUCED = (
    *(((2, 2), True), ((1, 1), False), ((1, 2), True), ((2, 2), False), ((1, 2), False)),
    *(((2, 1), True), ((2, 1), False)),
)
# Rounds that tell clipped values; and samples on either side that undo the smoothing of chroma, of
# which each tells 0.17 times as much as the one before.
DECLIPPED, REACH = 3, 7
# Of frequencies of which means have less than so much of what they are of, little more is made.
FAINT = 0.03


@dataclass(frozen=True)
class Encoder:
    """top, left: pixels of the outermost blocks that the picture lacks.    tables: one a
    component, as of `JpegComponent`.    shrink, smoothed: as in REDUCED.    end: x was clipped
    where it is so large.    crossed: by axis, whether x shows means of two samples of chroma that
    lie side by side, as another encoder began its own at odd places.

    Pictures x are (1, 1 or 3, H, W) in [-1, 1]; `framed` they fill whole blocks of all components.
    """

    top: int
    left: int
    tables: tuple[Tensor, ...]
    shrink: tuple[int, int] = (1, 1)
    smoothed: bool = False
    end: float = 1.0
    crossed: tuple[bool, bool] = (False, False)

    def file_of(self, x: Tensor) -> JpegFile:
        """The coefficients of x.

        Where x is clipped they are told from what is decoded again, beyond the ends of the scale;
        but not if samples are crossed, of which that would be no such means.
        """
        height, width = x.shape[2:]
        seen = self.framed(x)
        ends = seen.abs() >= self.end
        file = self._rounded(seen, height, width)
        for _ in range(DECLIPPED if ends.any() and not any(self.crossed) else 0):
            decoded = self.decoded(file)
            beyond = ends & (decoded * seen.sign() > self.end)
            file = self._rounded(torch.where(beyond, decoded, seen), height, width)
        return file

    def but_for(self, odd: Tensor, finer: Sequence[Tensor]) -> "Encoder":
        """With finer steps, (8, 8) for each component, in blocks that show something odd.

        odd: (1, 1, H, W), 1 where somebody has drawn since, else 0. What was drawn is not to
        be held to the steps of what it covers.
        """
        framed, tables = F.pad(odd, self._around(odd)), []
        for c, (table, fine) in enumerate(zip(self.tables, finer, strict=True)):
            down, across = self.shrink if c else (1, 1)
            blocks = F.max_pool2d(framed, (BLOCK * down, BLOCK * across))[0, 0] > 0
            tables.append(torch.where(blocks[..., None, None], fine, table))
        return replace(self, tables=tuple(tables))

    def decoded(self, file: JpegFile) -> Tensor:
        """The framed picture, neither rounded nor clipped."""
        operator, y = measure_jpeg(file.components, file.colour)
        return operator.decoded(y, smooth=self.smoothed)

    def chroma(self, x: Tensor) -> Tensor:
        """Coefficients of both components of chroma, of blocks in which nothing is clipped.

        (n, 8, 8).
        """
        planes = to_planes(self.framed(x))[0, 1:]
        blocks = torch.stack([dct_of(self._reduced(plane, self.shrink)) for plane in planes])
        kernel = (BLOCK * self.shrink[0], BLOCK * self.shrink[1])
        return blocks[:, F.max_pool2d(self.unseen(x), kernel)[0, 0] == 0].flatten(0, 1)

    def framed(self, x: Tensor) -> Tensor:
        """Going on outside as at the border."""
        return F.pad(x, self._around(x), mode="replicate")

    def unseen(self, x: Tensor) -> Tensor:
        """(1, 1, h, w): 1 outside of x, and where a channel of it is clipped, else 0."""
        return F.pad(clipped(x, self.end), self._around(x), value=1.0)

    def _around(self, x: Tensor) -> tuple[int, int, int, int]:
        """Pixels that x lacks on whole blocks of every component: left, right, top, bottom."""
        across, down = self.shrink[1] * BLOCK, self.shrink[0] * BLOCK
        right, bottom = -(self.left + x.shape[3]) % across, -(self.top + x.shape[2]) % down
        return self.left, right, self.top, bottom

    def _rounded(self, framed: Tensor, height: int, width: int) -> JpegFile:
        planes, components = to_planes(framed)[0], []
        for c, (plane, table) in enumerate(zip(planes, self.tables, strict=True)):
            shrink = self.shrink if c else (1, 1)
            numbers = torch.round(dct_of(self._reduced(plane, shrink)) / table)
            stored = numbers.clamp(-2048, 2047).to(torch.int16).numpy()
            components.append(JpegComponent(stored, table.to(torch.int64).numpy(), shrink))
        colour = "ycbcr" if len(components) > 1 else "grey"
        return JpegFile(tuple(components), colour, height, width, 1, self.top, self.left)

    def _reduced(self, plane: Tensor, shrink: tuple[int, int]) -> Tensor:
        """Samples from which `plane` was interpolated."""
        if shrink == (1, 1):
            return plane
        samples = F.avg_pool2d(plane[None, None], shrink)
        for axis, factor, crossed in zip((2, 3), shrink, self.crossed, strict=True):
            if crossed:
                samples = _uncrossed(samples, axis)
            elif self.smoothed and factor == 2:
                samples = _sharpened(samples, axis)
        return samples[0, 0]


def encoders(grid: tuple[int, int], end: float = 1.0) -> Iterator[Encoder]:
    """All ways in which chroma may have been reduced; tables are still to be told.

    grid: the first row and column of a block.
    """
    top, left = (-start % BLOCK for start in grid)
    for shrink, smoothed in REDUCED:
        for above in range(top, top + BLOCK * shrink[0], BLOCK):
            for beside in range(left, left + BLOCK * shrink[1], BLOCK):
                yield Encoder(above, beside, (), shrink, smoothed, end)


def clipped(x: Tensor, end: float = 1.0) -> Tensor:
    """1 where a channel of x is at an end of the scale, else 0; (1, 1, H, W)."""
    return (x.abs() >= end).any(1, keepdim=True).to(x.dtype)


def _sharpened(means: Tensor, axis: int) -> Tensor:
    """s from means of two of what was interpolated from s: s / 8 + 3 s / 4 + s / 8.

    means: (1, 1, h, w). The border is repeated, so that both go on as in a mirror.
    """
    size = means.shape[axis]
    reach = min(REACH, size)
    before = means.narrow(axis, 0, reach).flip(axis)
    after = means.narrow(axis, size - reach, reach).flip(axis)
    away = torch.arange(-reach, reach + 1).abs()
    inverse = (means.new_tensor(2**1.5 - 3) ** away) * 2**0.5
    kernel = inverse.view(1, 1, -1, 1) if axis == 2 else inverse.view(1, 1, 1, -1)
    return F.conv2d(torch.cat([before, means, after], axis), kernel)


def _uncrossed(means: Tensor, axis: int) -> Tensor:
    """s from s / 4 + s / 2 + s / 4 of neighbours: means of two of what is a mean of two of s.

    However s was interpolated in between. means: (1, 1, h, w), which goes on as in a mirror.
    """
    size = means.shape[axis]
    mirrored = torch.cat([means, means.flip(axis)], axis)
    passed = torch.cos(math.pi * torch.fft.rfftfreq(2 * size)).square()
    inverse = (passed / (passed.square() + FAINT**2)).view(-1, *([1] * (3 - axis)))
    spectrum = torch.fft.rfft(mirrored, dim=axis) * inverse
    samples: Tensor = torch.fft.irfft(spectrum, 2 * size, dim=axis)
    return samples.narrow(axis, 0, size)
