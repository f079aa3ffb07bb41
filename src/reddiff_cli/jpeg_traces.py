"""Pictures that were JPEG once: screenshots, and files that were saved again without loss.

Decoded and rounded to 8 bits, every coefficient of a block still is a multiple of its step, to
about half a level. That tells the grid of the blocks, the quality of the encoder (steps of ITU-T
T.81, annex K, as libjpeg scales them), how chroma was reduced, and the coefficients. Nothing is
believed that does not give the picture again when it is decoded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from .formats.jpeg import JpegComponent, JpegFile
from .operators.jpeg import BLOCK, SCALE, dct_of, measure_jpeg, to_planes

# Standard deviation of a coefficient after rounding of three channels to 8 bits, and the share of
# those that something else has altered.
ROUNDING, ODD = 0.45, 0.02
# Coefficients below this tell nothing of steps. So many different ones are needed, at so many
# frequencies, and so much must each speak for the steps on the average, in nats.
# Eight photographs of 100x100 and 246x246 have 51 to 1579, at 12 and more, at quality 20 to 92; a
# ninth, which is smooth, has 9 to 198, at 4 to 19, and is let go. Ramps and waves that were drawn,
# of which some quality explains the ramps, have 4 to 142, at 9 at most.
LEAST, ENOUGH, FREQUENCIES, SURE = 1.5, 50, 11, 0.3
# Finer steps than those of the last quality do no harm that the prior could see.
QUALITIES = range(5, 96)
# Places to look at: so many of the least even squares of this side, and of these for the grid.
SIDE, PLACES, FIRST = 128, 12, 3
# A block is explained if what was decoded again differs by no more, rms, of 255, and so many of
# them must be: somebody may have drawn on the others. These are nearly all.
EXPLAINED, MOST, ALL = 1.0, 0.9, 0.99
# No more than so many rows and columns are looked at for that.
LOOKED_AT = 768
# Orientations as EXIF counts them.
UPRIGHT, TRANSPOSED = 1, 5
# How chroma was reduced (down, across), and whether it was smoothed between its samples when it
# was decoded: what programs do, the commonest first.
REDUCED = (((2, 2), True), ((1, 1), False), ((1, 2), True), ((2, 2), False), ((1, 2), False))
# Rounds that tell clipped values, and those that undo the smoothing of chroma (a third of the
# error is left by each).
DECLIPPED, UNDONE = 3, 12


@dataclass(frozen=True)
class JpegTraces:
    """file: what a JPEG file held.    quality: of its encoder, 1 to 100."""

    file: JpegFile
    quality: int

    @property
    def remark(self) -> str:
        """What a person should know."""
        return f"was JPEG of quality {self.quality} once"


def find_traces(samples: NDArray[np.uint8]) -> JpegTraces | None:
    """What the JPEG file held that these samples were decoded from; None if there was none.

    samples: (H, W, 1 or 3). What lies outside of them in the outermost blocks is taken to go on as
    at their border; `top` and `left` of the file say where they begin. It may have been turned by
    90 degrees since; flips do not matter.
    """
    if min(samples.shape[:2]) < SIDE // 2:
        return None
    x = torch.from_numpy(samples).permute(2, 0, 1)[None].float() / SCALE - 1
    squares = _uneven_squares(to_planes(x)[0, 0], _clipped(x)[0, 0])
    grid = _find_grid(squares)
    found = _find_quality(_blocks_of(squares, grid))
    if found is None:
        return None
    quality, turned = found
    if turned:
        x, grid = x.transpose(2, 3).contiguous(), grid[::-1]
    tables = [torch.from_numpy(table).float() for table in _tables(quality)]
    best, most = None, MOST
    for trace in _possible(grid, tables, x.shape[1]):
        explained = trace.explained(x)
        if explained >= most:
            best, most = trace, explained
        if explained > ALL:
            break
    if best is None:
        return None
    file = replace(best.file_of(x), orientation=TRANSPOSED if turned else UPRIGHT)
    return JpegTraces(file, quality)


@dataclass(frozen=True)
class _Trace:
    """One way in which a picture may have been encoded, and decoded again.

    top, left: pixels of the outermost blocks that the picture lacks.    tables: one a component.
    """

    top: int
    left: int
    tables: tuple[Tensor, ...]
    shrink: tuple[int, int]
    smoothed: bool

    def file_of(self, x: Tensor) -> JpegFile:
        """The coefficients of x, (1, C, H, W) in [-1, 1].

        Where x is clipped they are told from what is decoded again, beyond the ends of the scale.
        """
        height, width = x.shape[2:]
        seen = self._framed(x)
        ends = seen.abs() >= 1
        file = self._rounded(seen, height, width)
        for _ in range(DECLIPPED if ends.any() else 0):
            decoded = self._decoded(file)
            beyond = ends & (decoded * seen > 1)
            file = self._rounded(torch.where(beyond, decoded, seen), height, width)
        return file

    def explained(self, x: Tensor) -> float:
        """Share of the blocks that are decoded as x shows them; of some of a large picture.

        Only whole ones count, in which nothing is clipped, and something is to be seen.
        """
        part = x[..., :LOOKED_AT, :LOOKED_AT]
        file = self.file_of(part)
        again = self._decoded(file).clamp(-1, 1)
        errors = ((self._framed(part) - again) * SCALE).square().mean(1, keepdim=True)
        fits = F.avg_pool2d(errors, BLOCK).sqrt() <= EXPLAINED
        unseen = F.max_pool2d(F.pad(_clipped(part), self._around(part), value=1.0), BLOCK) > 0
        uneven = torch.from_numpy(file.components[0].coefficients).flatten(2)[..., 1:].any(2)
        counted = uneven[: unseen.shape[2], : unseen.shape[3]] & ~unseen[0, 0]
        return float(fits[0, 0][counted].float().mean()) if counted.any() else 0.0

    def _around(self, x: Tensor) -> tuple[int, int, int, int]:
        """Pixels that x lacks on whole blocks of every component: left, right, top, bottom."""
        across, down = self.shrink[1] * BLOCK, self.shrink[0] * BLOCK
        right, bottom = -(self.left + x.shape[3]) % across, -(self.top + x.shape[2]) % down
        return self.left, right, self.top, bottom

    def _framed(self, x: Tensor) -> Tensor:
        return F.pad(x, self._around(x), mode="replicate")

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
        if self.smoothed:
            for axis, factor in zip((2, 3), shrink, strict=True):
                if factor == 2:
                    samples = _sharpened(samples, axis)
        return samples[0, 0]

    def _decoded(self, file: JpegFile) -> Tensor:
        operator, y = measure_jpeg(file.components, file.colour)
        return operator.decoded(y, smooth=self.smoothed)


def _sharpened(means: Tensor, axis: int) -> Tensor:
    """s from means of two of what was interpolated from s: s / 8 + 3 s / 4 + s / 8.

    means: (1, 1, h, w).
    """
    around = (0, 0, 1, 1) if axis == 2 else (1, 1, 0, 0)
    size, samples = means.shape[axis], means
    for _ in range(UNDONE):
        wide = F.pad(samples, around, mode="replicate")
        beside = wide.narrow(axis, 0, size) + wide.narrow(axis, 2, size)
        samples = (means - beside / 8) * 4 / 3
    return samples


def _possible(grid: tuple[int, int], tables: list[Tensor], channels: int) -> Iterator[_Trace]:
    """Everything that such a grid and such tables leave open."""
    top, left = (-start % BLOCK for start in grid)
    if channels == 1:
        yield _Trace(top, left, (tables[0],), (1, 1), False)
        return
    for shrink, smoothed in REDUCED:
        tops = range(top, top + BLOCK * shrink[0], BLOCK)
        lefts = range(left, left + BLOCK * shrink[1], BLOCK)
        for above, beside in product(tops, lefts):
            yield _Trace(above, beside, (tables[0], tables[1], tables[1]), shrink, smoothed)


@dataclass(frozen=True)
class _Squares:
    """Parts of a picture, (n, side, side).    clipped: 1 where a channel is, else 0."""

    luma: Tensor
    clipped: Tensor


def _uneven_squares(luma: Tensor, clipped: Tensor) -> _Squares:
    """Where there is most to be seen; luma, clipped: (H, W)."""
    side = min(SIDE, *(size // BLOCK * BLOCK for size in luma.shape))
    planes = [plane.unfold(0, side, side).unfold(1, side, side) for plane in (luma, clipped)]
    lumas, ends = (plane.flatten(0, 1) for plane in planes)
    uneven = lumas.diff(dim=1).abs().mean((1, 2)) + lumas.diff(dim=2).abs().mean((1, 2))
    best = (uneven * (1 - ends.mean((1, 2)))).topk(min(PLACES, len(lumas))).indices
    return _Squares(lumas[best], ends[best])


def _blocks_of(squares: _Squares, grid: tuple[int, int]) -> Tensor:
    """Coefficients of the whole blocks of a grid in which nothing is clipped, (n, 8, 8)."""
    top, left = grid
    side = squares.luma.shape[1]
    height, width = ((side - start) // BLOCK * BLOCK for start in grid)
    place = (slice(None), slice(top, top + height), slice(left, left + width))
    blocks = dct_of(squares.luma[place].flatten(0, 1))
    whole = F.max_pool2d(squares.clipped[place].flatten(0, 1)[None], BLOCK)[0] == 0
    return blocks[whole]


def _find_grid(squares: _Squares) -> tuple[int, int]:
    """The first row and column of a block: where most coefficients are nothing."""
    squares = _Squares(squares.luma[:FIRST], squares.clipped[:FIRST])
    best, most = (0, 0), -1.0
    for top, left in product(range(BLOCK), repeat=2):
        blocks = _blocks_of(squares, (top, left))
        nothing = float((blocks.abs() < LEAST / 2).float().mean()) if len(blocks) else 0.0
        if nothing > most:
            best, most = (top, left), nothing
    return best


def _find_quality(blocks: Tensor) -> tuple[int, bool] | None:
    """The quality whose multiples the coefficients of luma are, (n, 8, 8).

    True if rows are columns of what was encoded.
    """
    values = blocks.flatten(1)
    told = values.abs() > LEAST
    told[:, 0] = False  # the mean of a block is any number, and clipped first
    values, places = values[told], told.nonzero()[:, 1]
    different = set((64 * values.round().long() + places).tolist())
    if len(different) < ENOUGH or len({named % 64 for named in different}) < FREQUENCIES:
        return None
    evidence = {}
    for quality, turned in product(QUALITIES, (False, True)):
        table = _tables(quality)[0]
        steps = torch.from_numpy((table.T if turned else table).flatten()).float()[places]
        rest = values - steps * torch.round(values / steps)
        likely = torch.exp(-((rest / ROUNDING) ** 2) / 2) / (ROUNDING * (2 * np.pi) ** 0.5)
        evidence[quality, turned] = float(torch.log((1 - ODD) * steps * likely + ODD).mean())
    best = max(evidence, key=lambda found: evidence[found])
    return best if evidence[best] > SURE else None


@cache
def _tables(quality: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Steps of luma and chroma at a quality, (8, 8) each, as libjpeg has them."""
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        found = image.quantization  # type: ignore[attr-defined]
    return tuple(np.array(found[k], dtype=np.int64).reshape(8, 8) for k in (0, 1))  # type: ignore[return-value]


def _clipped(x: Tensor) -> Tensor:
    """1 where a channel of x is at an end of the scale, else 0; (1, 1, H, W)."""
    return (x.abs() >= 1).any(1, keepdim=True).to(x.dtype)
