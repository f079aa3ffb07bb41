"""Photographs for training: read once, kept as bytes, handed out as random crops."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Semaphore

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..denoisers.symmetry import CHOICES
from ..errors import PictureError, UsageError
from ..formats.kinds import PICTURE_SUFFIXES
from ..formats.samples import rounded
from ..machine.allocator import return_pages
from ..machine.transfer import send
from ..pictures.display import for_display, spread_out
from ..pictures.files import load_eight_bits, load_picture

# Threads that decode. 24 megapixels take 250 MB meanwhile: of files with more than LARGE bytes no
# more than FEW are decoded at once.
READERS = 8
LARGE, FEW = 4_000_000, 3
# Pictures with more than this share of white pixels are told of: light may be cut there.
MOSTLY_WHITE = 0.5
# Bytes of pictures after which memory of those that were joined is given back.
GIVEN_BACK = 1 << 28
CURE = "give a folder of photographs, or a smaller --size"  # where nothing usable is found

# Paths of pictures, and lines about folders that cannot be read.
Listing = tuple[list[Path], list[str]]


@dataclass(frozen=True)
class Photographs:
    """bytes: uint8, all pictures (3, H, W) one after the other.

    sizes: (N, 2), H and W, on the CPU.    names: relative paths.    unreadable: one line each.
    """

    bytes: Tensor
    sizes: Tensor
    names: list[str]
    unreadable: list[str]

    def to(self, device: torch.device) -> "Photographs":
        """The same photographs with their bytes on a device."""
        return replace(self, bytes=self.bytes.to(device))

    @cached_property
    def places(self) -> Tensor:
        """Offset into `bytes`, height and width of every picture; (N, 3) on the CPU."""
        lengths = 3 * self.sizes.prod(1)
        return torch.cat([(lengths.cumsum(0) - lengths)[:, None], self.sizes], 1)

    @property
    def pixels(self) -> list[Tensor]:
        """Every picture, (3, H, W): a view."""
        parts = torch.split(self.bytes, (3 * self.sizes.prod(1)).tolist())
        sizes = self.sizes.tolist()
        return [part.view(3, *size) for part, size in zip(parts, sizes, strict=True)]

    @property
    def prints(self) -> list[str]:
        """What tells every picture from all others: a digest of its size and its pixels."""
        pairs = zip(self.pixels, self.sizes.tolist(), strict=True)
        return [sha256(f"{size}".encode() + p.numpy().tobytes()).hexdigest() for p, size in pairs]

    def without(self, others: "Photographs") -> "Photographs":
        """Those whose pixels are not those of one of the others, whatever their files are called.

        In the memory of all of them, which this takes over.
        """
        held = set(others.prints)
        kept = [k for k, print_ in enumerate(self.prints) if print_ not in held]
        end = 0
        for k in kept if len(kept) < len(self.names) else ():
            offset, height, width = self.places[k].tolist()
            length = 3 * height * width
            if offset > end:
                self.bytes[end : end + length] = self.bytes[offset : offset + length].clone()
            end += length
        names = [self.names[k] for k in kept]
        return replace(self, bytes=self.bytes[: end or None], sizes=self.sizes[kept], names=names)

    @property
    def white(self) -> list[str]:
        """Names of pictures most of which is white."""
        some = [p[:, ::4, ::4].amin(0) == 255 for p in self.pixels]
        shares = [float(p.float().mean()) for p in some]
        return [n for n, share in zip(self.names, shares, strict=True) if share > MOSTLY_WHITE]

    @property
    def megapixels(self) -> float:
        return len(self.bytes) / 3e6


def list_photographs(folder: Path) -> Listing:
    """Files below a folder that are called as pictures are, sorted; and lines that tell which of
    its folders cannot be read. UsageError if it is no folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: is no folder; give a folder of photographs")
    closed: list[OSError] = []
    paths = sorted(
        path
        for top, _, names in os.walk(folder, onerror=closed.append)
        for path in (Path(top) / name for name in names)
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
    )
    return paths, [f"{e.filename}: folder cannot be read ({e.strerror})" for e in closed]


def not_among(paths: Sequence[Path], others: Sequence[Path]) -> list[Path]:
    """Those that are not the same file as one of the others, by whatever name."""
    held = {path.resolve() for path in others}
    return [path for path in paths if path.resolve() not in held]


def read_photographs(
    folder: Path, smallest: int, listing: Listing | None = None, cure: str = CURE
) -> Photographs:
    """All pictures below a folder as RGB bytes, by path.

    Those with a side below `smallest` or with transparent pixels are left out, and told as what
    cannot be read. listing: of those below it that are wanted.    UsageError, with a cure, if
    nothing usable is found.
    """
    paths, closed = listing or list_photographs(folder)
    few = Semaphore(FEW)
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(lambda path: _read(path, smallest, few), paths))
    found = [(path, p) for path, p in zip(paths, read, strict=True) if isinstance(p, Tensor)]
    names = [path.relative_to(folder).as_posix() for path, _ in found]
    unreadable = closed + [item for item in read if isinstance(item, str)]
    if not found:
        first = f" of {len(unreadable)} ({unreadable[0]})" if unreadable else ""
        raise UsageError(f"{folder}: holds no usable picture{first}; {cure}")
    pixels = [p for _, p in found]
    sizes = torch.tensor([p.shape[1:] for p in pixels])
    del read, found  # so that each picture is held once: here, or joined
    return Photographs(_joined(pixels), sizes, names, unreadable)


def _joined(pixels: list[Tensor]) -> Tensor:
    """All of them one after the other, each taken from the list, so that none is held twice."""
    total = sum(p.numel() for p in pixels)
    joined, end, kept = torch.empty(total, dtype=torch.uint8), total, 0
    while pixels:
        last = pixels.pop().flatten()
        joined[end - len(last) : end] = last
        end, kept = end - len(last), kept + len(last)
        del last
        if kept > GIVEN_BACK or not pixels:
            return_pages()
            kept = 0
    return joined


def _read(path: Path, smallest: int, few: Semaphore) -> Tensor | str:
    """RGB bytes, (3, H, W), or a line that says why not; few: of large files at once."""
    try:
        large = path.exists() and path.stat().st_size > LARGE
        with few if large else nullcontext():
            values, opaque = _load(path)
    except PictureError as error:
        return str(error)
    if min(values.shape[:2]) < smallest:
        return f"{path}: smaller than {smallest} pixels, left out"
    if not opaque:
        # What lies behind them is whatever a program left there.
        return f"{path}: has transparent pixels, left out"
    rgb = np.broadcast_to(values, (*values.shape[:2], 3))
    return torch.from_numpy(rgb.transpose(2, 0, 1).copy())


def _load(path: Path) -> tuple[NDArray[np.uint8], bool]:
    """Samples of 8 bits, (H, W, 1 or 3), and whether all of them are opaque.

    Of deeper files as the tasks show them to the prior.
    """
    eight = load_eight_bits(path)
    if eight is not None:
        if eight.shape[2] in (1, 3):
            return eight, True
        return eight[:, :, :-1], int(eight[:, :, -1].min()) == 255
    picture = spread_out(load_picture(path))
    opaque = picture.alpha is None or float(picture.alpha.min()) == 1
    return rounded(for_display(picture), 8).astype(np.uint8, copy=False), opaque


def draw_crops(
    photographs: Photographs,
    batch: int,
    size: int,
    reduce: float,
    generator: torch.Generator,
    turns: str = "mirror",
) -> Tensor:
    """Random square crops in [-1, 1], (batch, 3, size, size), from pictures weighted by area.

    A share `reduce` of them is taken at half resolution: sharper (no codec traces), wider view.
    turns: positions of a square that crops are shown in, `all`, `mirror` or `none`
    (denoisers/symmetry.py).
    """
    joined, places = photographs.bytes, photographs.places
    areas = (places[:, 1] * places[:, 2]).double()
    chosen = places[torch.multinomial(areas, batch, replacement=True, generator=generator)]
    coin, top, left, place = torch.rand(4, batch, generator=generator)
    known = torch.tensor([astuple(turn) for turn in CHOICES[turns]])
    positions = known[(place * len(known)).long()]
    halved = (coin < reduce) & (chosen[:, 1:].amin(1) >= 2 * size)
    x = torch.empty(batch, 3, size, size, device=joined.device)
    for factor in (1, 2):
        rows = (halved == (factor == 2)).nonzero()[:, 0]
        if len(rows):
            side = size * factor
            corners = torch.stack([top[rows], left[rows]], 1)
            corners = (corners * (chosen[rows, 1:] - side + 1)).long()
            crops = _cut(joined, chosen[rows], corners, positions[rows], side)
            x[send(rows, x.device)] = F.avg_pool2d(crops, factor) if factor > 1 else crops
    return x / 127.5 - 1


def _cut(joined: Tensor, places: Tensor, corners: Tensor, turns: Tensor, side: int) -> Tensor:
    """Squares of bytes as floats, (B, 3, side, side), each in its position, in a single gathering.

    places: (B, 3), offset, height and width.    corners: (B, 2), top and left.
    turns: (B, 3), whether it is transposed, reversed across and down (denoisers/symmetry.py).
    """
    told = send(torch.cat([places, corners, turns], 1), joined.device)[:, :, None, None, None]
    offset, height, width, top, left, transposed, across, down = told.unbind(1)
    steps = torch.arange(side, device=joined.device)
    x = torch.where(across > 0, side - 1 - steps, steps)
    y = torch.where(down > 0, side - 1 - steps, steps).mT
    x, y = torch.where(transposed > 0, y, x), torch.where(transposed > 0, x, y)
    channel = torch.arange(3, device=joined.device)[:, None, None]
    rows = channel * height + top + y
    return joined[offset + rows * width + left + x].float()


def flatten_some(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace a share of crops by nearly constant ones of random colour; x: (B, 3, H, W).

    Photographs hold few flat areas in saturated colours; without them a network at high noise
    pulls every colour towards the average of the set.
    """
    coin, contrast = send(torch.rand(2, len(x), 1, 1, 1, generator=generator), x.device)
    colour = send(torch.rand(len(x), 3, 1, 1, generator=generator), x.device) * 2 - 1
    detail = x - x.mean((2, 3), keepdim=True)
    flat = (colour + 0.3 * contrast * detail).clamp(-1, 1)
    return torch.where(coin < share, flat, x)


def centre_crops(photographs: Photographs, size: int) -> Tensor:
    """The middle square of every picture in [-1, 1], (N, 3, size, size)."""
    crops = []
    for pixels in photographs.pixels:
        y, x = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
        crops.append(pixels[:, y : y + size, x : x + size])
    return torch.stack(crops).float() / 127.5 - 1
