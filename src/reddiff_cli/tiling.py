"""Windows: where the network looks, when it need not or cannot look at the whole canvas.

A patchwork is a set of equal windows that covers some pixels of a canvas. Solvers work on the
covered pixels alone, laid out as a picture one pixel high, so time and memory follow the hole and
not the photograph. Windows that overlap are blended in D (not in eps) by a raised cosine: no noisy
states are averaged, so no variance has to be corrected.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .machine.transfer import send
from .signatures import DenoiseFunction

Box = tuple[int, int]  # top, left

# Windows per network call: bounds memory, and keeps the batch of all but the last call the same.
CHUNK = 16
# Golden ratio: multiples of it, modulo 1, never come near each other.
SHIFT = 0.618033988749895
# Room for the shifts. What a network misses at the edge of a tile is worth 0.06 next to it (s = 1,
# [-1, 1] units), 0.01 after 16 pixels and nothing after 32, where the overlap still weighs little.
SLACK = 16
# Sides of tiles, in which networks of up to five scales need no padding.
ROUND = 16


@dataclass(frozen=True)
class Patchwork:
    """W windows of h x w pixels over N distinct pixels of a canvas.

    pixels: (N,) flat positions in the canvas, ascending.    index: (W, h, w), positions in
    `pixels`.    weight: (W, h, w), summing to 1 over the windows of each pixel.
    """

    pixels: Tensor
    index: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> "Patchwork":
        """The same patchwork with its tensors on a device."""
        return Patchwork(self.pixels.to(device), self.index.to(device), self.weight.to(device))

    def take(self, canvas: Tensor) -> Tensor:
        """(B, C, H, W) -> the covered pixels, (B, C, 1, N)."""
        return canvas.flatten(2)[:, :, self.pixels][:, :, None]

    def put(self, canvas: Tensor, values: Tensor) -> Tensor:
        """A copy of the canvas with covered pixels replaced by values (B, C, 1, N)."""
        flat = canvas.flatten(2).clone()
        flat[:, :, self.pixels] = values[:, :, 0]
        return flat.view_as(canvas)

    def map_windows(self, change: Callable[..., Tensor], *canvases: Tensor) -> Tensor:
        """Weighted mean of change(*windows) over all windows.

        canvases: (1, C, 1, N) each, seen by `change` as (W, C, h, w) -> (1, C, 1, N).
        """
        total = torch.zeros_like(canvases[0])
        for index, weight in self._chunks(CHUNK):
            seen = [canvas[0, :, 0, index].movedim(1, 0) for canvas in canvases]
            blended = change(*seen).movedim(1, 0) * weight  # (C, W, h, w)
            total[0, :, 0].index_add_(1, index.flatten(), blended.flatten(1))
        return total

    def _chunks(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """index and weight of up to `count` windows at a time, which bounds the memory."""
        parts = torch.split(self.index, count), torch.split(self.weight, count)
        return zip(*parts, strict=True)

    def denoise(self, denoiser: DenoiseFunction, z: Tensor, t: Tensor) -> Tensor:
        """Weighted mean of D over the windows; z: (B, C, 1, N), t: (B,) -> (B, C, 1, N)."""
        total = torch.zeros_like(z)
        for index, weight in self._chunks(max(1, CHUNK // len(z))):
            seen = z[:, :, 0, index].movedim(2, 1)  # (B, C, W, h, w) -> (B, W, C, h, w)
            clean = denoiser(seen.flatten(0, 1), t.repeat_interleave(len(index)))
            blended = clean.view_as(seen).movedim(1, 2) * weight
            total[:, :, 0].index_add_(2, index.flatten(), blended.flatten(2))
        return total


@dataclass(frozen=True)
class Axis:
    """One side of a canvas in `count` equal pieces of `size` pixels.

    What they hold more than `length` and their overlaps is slack, within which the seams between
    them move from one noise level to the next: no piece is larger or seen twice for that.
    """

    length: int
    size: int
    count: int = 1
    overlap: int = 0

    def pieces(self, shift: float) -> list[tuple[int, Tensor]]:
        """First pixel of every piece, and its share of each of its pixels, (size,), which falls
        by a raised cosine over the overlaps; shift: of the seams, 0 to 1, in units of the slack.
        """
        stride = self.size - self.overlap
        slack = self.count * stride + self.overlap - self.length
        seams = [k * stride - round(shift * slack) for k in range(1, self.count)]
        places = torch.arange(self.length)
        # A whole 1 at once, where nothing overlaps.
        ramps = [(places - seam + 0.5) / max(self.overlap, 0.5) for seam in seams]
        rises = [0.5 - 0.5 * torch.cos(torch.pi * ramp.clamp(0, 1)) for ramp in ramps]
        rises = [torch.ones(self.length), *rises, torch.zeros(self.length)]
        starts = [min(max(0, start), self.length - self.size) for start in (0, *seams)]
        return [
            (start, (rises[k] - rises[k + 1])[start : start + self.size])
            for k, start in enumerate(starts)
        ]


@dataclass(frozen=True)
class Whole:
    """The whole canvas: in one piece where it is not too large, else in equal tiles that overlap.

    The seams are shifted from one noise level to the next, so that they never meet: by a rule of t
    alone, for results that depend on nothing else.

    tile: largest side of a tile; 0: never cut.    least: smallest one, for networks that want
    windows of their own size.    pixels: of the largest tile, which may be longer than `tile` then
    (0: none is), so that fewer seams are needed.
    """

    tile: int
    overlap: int = 64
    least: int = 0
    pixels: int = 0

    def denoise(self, denoiser: DenoiseFunction, z: Tensor, t: Tensor) -> Tensor:
        """D of z, blended over tiles by a raised cosine; z: (B, C, H, W), t: (B,) equal."""
        rows, columns = self.axes(*z.shape[2:])
        if rows.count == columns.count == 1:
            return denoiser(z, t)
        shift = int(t[0]) * SHIFT % 1.0
        across = columns.pieces(shift)
        total = torch.zeros_like(z)
        for top, down in rows.pieces(shift):
            for left, share in across:
                part = ..., slice(top, top + rows.size), slice(left, left + columns.size)
                weight = send(torch.outer(down, share), z.device)
                total[part] += weight * denoiser(z[part], t)
        return total

    def to(self, device: torch.device) -> "Whole":
        """Itself: it holds no tensors."""
        return self

    def axes(self, height: int, width: int) -> tuple[Axis, Axis]:
        """Rows and columns of the tiles of a canvas."""
        if not self.tile:
            return Axis(height, height), Axis(width, width)
        found = [(self._axis(height, self.tile), self._axis(width, self.tile))]
        # Bands of any height, cut as long as the pixels allow.
        for count in range(1, found[0][0].count + 1):
            band = self._in_equal_parts(height, count)
            longest = self.pixels // band.size // ROUND * ROUND
            if longest > 2 * self.overlap:
                found.append((band, self._axis(width, longest)))
        return min(found, key=_cost)

    def _axis(self, length: int, longest: int) -> Axis:
        """As few pieces of at most `longest` pixels as cover a side and have some slack."""
        if length <= longest:
            return Axis(length, length)
        count = -(-(length - self.overlap + SLACK) // max(1, longest - self.overlap))
        axis = self._in_equal_parts(length, count)
        return replace(axis, size=min(longest, max(axis.size, self.least)))

    def _in_equal_parts(self, length: int, count: int) -> Axis:
        if count == 1:
            return Axis(length, length)
        size = -(-(length - self.overlap + SLACK) // count) + self.overlap
        return Axis(length, -(-size // ROUND) * ROUND, count, self.overlap)


def _cost(axes: tuple[Axis, Axis]) -> int:
    """Pixels of all tiles."""
    rows, columns = axes
    return rows.count * rows.size * columns.count * columns.size


def cover(hole: NDArray[np.bool_], size: int, margin: int) -> list[Box]:
    """Windows of `size` that hold every hole pixel, `margin` away from their border if possible.

    Bands of rows, then cells along each band, are opened at the first pixel not yet covered and
    centred on what they hold. At the picture's edge a window is moved inwards.
    """
    height, width = hole.shape
    core = max(1, size - 2 * margin)
    boxes = []
    for rows in _groups(np.flatnonzero(hole.any(1)), core):
        band = hole[rows[0] : rows[1] + 1]
        for columns in _groups(np.flatnonzero(band.any(0)), core):
            inside = np.flatnonzero(band[:, columns[0] : columns[1] + 1].any(1)) + rows[0]
            top = _centred(int(inside[0]), int(inside[-1]), size, height)
            left = _centred(columns[0], columns[1], size, width)
            boxes.append((top, left))
    return boxes


def patchwork(shape: tuple[int, int], boxes: list[Box], size: int, overlap: int) -> Patchwork:
    """Patchwork of windows of `size` (or of the canvas, where that is smaller)."""
    height, width = shape
    h, w = min(size, height), min(size, width)
    rows = np.array([top for top, _ in boxes])[:, None, None] + np.arange(h)[None, :, None]
    columns = np.array([left for _, left in boxes])[:, None, None] + np.arange(w)[None, None, :]
    positions = rows * width + columns  # (W, h, w)
    covered = np.zeros(height * width, dtype=bool)
    covered[positions] = True
    pixels = np.flatnonzero(covered)
    place = np.empty(height * width, dtype=np.int64)
    place[pixels] = np.arange(len(pixels))
    index = place[positions]
    weight = np.stack([_weight(box, (h, w), shape, overlap) for box in boxes])
    total = np.bincount(index.ravel(), weight.ravel(), len(pixels))
    weight = weight / total[index]
    return Patchwork(
        torch.from_numpy(pixels), torch.from_numpy(index), torch.from_numpy(weight).float()
    )


def _groups(positions: NDArray[np.intp], span: int) -> list[tuple[int, int]]:
    """Split ascending positions greedily into groups (first, last) at most `span` wide."""
    groups = []
    start = 0
    while start < len(positions):
        stop = int(np.searchsorted(positions, positions[start] + span))
        groups.append((int(positions[start]), int(positions[stop - 1])))
        start = stop
    return groups


def _centred(first: int, last: int, size: int, length: int) -> int:
    """Start of a window of `size` around first..last, kept inside 0..length."""
    return max(0, min((first + last + 1 - size) // 2, length - size))


def _weight(
    box: Box, window: tuple[int, int], shape: tuple[int, int], overlap: int
) -> NDArray[np.float64]:
    """Raised cosine that falls over `overlap` pixels to each side that is not a picture edge."""
    sides = []
    for start, length, total in zip(box, window, shape, strict=True):
        ramp = np.minimum(np.arange(length) + 0.5, overlap) / max(overlap, 1)
        rise = 0.5 - 0.5 * np.cos(np.pi * ramp) + 1e-4
        ones = np.ones(length)
        before = rise if start > 0 else ones
        after = rise[::-1] if start + length < total else ones
        sides.append(before * after)
    return np.outer(*sides)
