"""Fill a wide hole with patches of its surroundings, from coarse to fine.

Alternates between finding, for every patch that touches the hole, the nearest patch of the known
part, and averaging what those patches propose (Wexler, Shechtman, Irani 2007, "Space-Time
Completion of Video"). Texture channels keep the coarse levels from smoothing everything, and the
coarsest level is filled from its border inwards (Newson, Almansa, Fradet, Gousseau, Perez 2014,
arXiv 1503.05528). Fine levels search by random propagation (PatchMatch, Barnes, Shechtman,
Finkelstein, Goldman 2009). Plain tensors, no learned part, deterministic for a seed.

A guide, if there is one, says what the hole holds in the large: patches are then sought that
resemble it as well (as the "analogies" of Hertzmann, Jacobs, Oliver, Curless, Salesin 2001).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .guiding import comparable
from .patches import PATCH, PyramidLevel, patches_of, texture_of, trust_inside, windows_at
from .patchmatch import finer_field, nearest_of, search, with_spares
from .scales import halved
from .voting import vote

ROUNDS_COARSE, ROUNDS_FINE = 12, 4
# Levels with more pixels to fill than this take their places from the next coarser one.
LARGEST = 150_000
# The coarsest level is filled from so many places at most, chosen by chance among all: each is a
# vector of 245 numbers (395 with a guide), and every patch is compared with every one of them.
MOST_SOURCES = 100_000
# So many of the finest levels keep the contrast of their patches. At all of them textures would be
# stronger still (a waterfall of 100 pixels has 0.87, 0.89 and 1.05 of its details finer than two
# pixels at none, two and all), but a smudge on a saucer became a dark spot from the third on.
VIVID = 2
# A level stops when the pixels of the hole move by less than this, on average.
SETTLED = 0.003


def synthesise(
    x: Tensor,
    hole: Tensor,
    unusable: Tensor,
    seed: int = 0,
    *,
    filled: bool = False,
    guide: Tensor | None = None,
    check: Callable[[], None] = lambda: None,
) -> Tensor:
    """Fill `hole`; x: (C, H, W) in [-1, 1]; hole, unusable: (H, W) bool -> a new (C, H, W).

    Patches that touch `unusable` (which includes the hole) are never copied. filled: its pixels
    outside of the hole have values that stand for the picture; else they are not looked at. Where
    the surroundings hold no complete patch, x comes back as it is.
    guide: (C, H, W), the picture with a hole that is filled in the large.
    check: called before every search; what it raises ends the filling.
    """
    generator = torch.Generator().manual_seed(seed)
    guide = x[:0] if guide is None else guide
    levels = _pyramid(x, hole, unusable, hole if filled else unusable | hole, guide)
    field: Tensor | None = None
    coarser = levels[-1]
    for level in reversed(levels):
        if len(level.sources) == 0:
            continue
        if field is None:
            field = _peel(level, generator, check)
        else:
            field = finer_field(field, coarser, level, generator)
        if int(level.hole.sum()) > LARGEST:
            _copy(level, field)
        else:
            vote(level, field, sharp=False)
            rounds = ROUNDS_FINE if level is levels[0] else ROUNDS_COARSE
            field = _settle(level, field, rounds, generator, check)
        coarser = level
    result = levels[0]
    if field is not None and int(hole.sum()) <= LARGEST:
        vote(result, field, sharp=True)
    return result.x


def context_margin(hole_height: int, hole_width: int) -> int:
    """How much surrounding a hole of this extent is filled from, in pixels."""
    return min(200, max(64, math.ceil(1.2 * max(hole_height, hole_width))))


def _pyramid(
    x: Tensor, hole: Tensor, unusable: Tensor, hidden: Tensor, guide: Tensor
) -> list[PyramidLevel]:
    """Levels, fine to coarse, until the hole is about two patches thick.

    hidden: (H, W) bool, pixels without a value, which coarse ones are no means of.
    """
    known = (~hidden).float()
    texture = texture_of(x, known)
    trust = trust_inside(hole)
    bad = unusable | hole
    levels = [PyramidLevel(x.clone(), texture, hole, bad, trust, *comparable(guide, hole))]
    thick = float(thickness(hole))
    while thick > 2 * PATCH and min(levels[-1].hole.shape) >= 8 * PATCH:
        last = levels[-1]
        known = (~hidden).float()
        share = F.avg_pool2d(known[None, None], 2, ceil_mode=True)[0]
        x_half = _half(last.x * known) / share.clamp(min=1e-6)
        texture_half = _half(last.texture * known) / share.clamp(min=1e-6)
        guide = _half(guide) if len(guide) else x_half[:0]
        # A coarse pixel may be copied only if every fine pixel below it was known.
        hole_half, bad_half, hidden = map(halved, (last.hole, last.blocked, hidden))
        trust = trust_inside(hole_half)
        shown = comparable(guide, hole_half)
        levels.append(PyramidLevel(x_half, texture_half, hole_half, bad_half, trust, *shown))
        thick /= 2
    for level in levels[:VIVID]:
        level.vivid = True
    return levels


def _half(x: Tensor) -> Tensor:
    return F.avg_pool2d(x[None], 2, ceil_mode=True)[0]


def thickness(hole: Tensor) -> int:
    """Side of the largest square inside a hole (H, W), even; 0 if it is empty.

    What lies beyond the border counts as hole: a band along the edge may go on there.
    """
    height, width = hole.shape
    down = (~hole).cumsum(0, dtype=torch.int32)
    known = F.pad(down.cumsum(1, dtype=torch.int32), (1, 0, 1, 0))
    rows, columns = hole.nonzero().unbind(1)

    def fits(radius: int) -> bool:
        """Whether some square of side 2 radius + 1 holds no known pixel."""
        top, bottom = (rows - radius).clamp(min=0), (rows + radius + 1).clamp(max=height)
        left, right = (columns - radius).clamp(min=0), (columns + radius + 1).clamp(max=width)
        upper, lower = (known[row, right] - known[row, left] for row in (top, bottom))
        return bool((upper == lower).any())

    low, high = -1, max(height, width)  # low fits, high does not, if anything is known
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return 2 * (low + 1)


def _copy(level: PyramidLevel, field: Tensor) -> None:
    """Fill the hole pixel by pixel from the places that the map names, without searching."""
    inside = level.hole.flatten()
    for planes in (level.x, level.texture):
        flat = planes.view(len(planes), -1)
        flat[:, inside] = flat[:, field[inside]]


def _peel(level: PyramidLevel, generator: torch.Generator, check: Callable[[], None]) -> Tensor:
    """Fill the coarsest level from its border inwards; returns the nearest source per pixel."""
    every = level.sources
    sources = every
    if len(every) > MOST_SOURCES:
        sources = every[torch.randperm(len(every), generator=generator)[:MOST_SOURCES]]
    source_patches = patches_of(level).vectors_at(sources)
    squares = source_patches.square()
    ones = torch.ones_like(level.guide[: len(level.guide) // 2])
    unknown = level.hole.clone()
    field = torch.full((level.hole.numel(),), -1, dtype=torch.long)
    while bool(unknown.any()):
        check()
        inner = -F.max_pool2d(-unknown[None, None].float(), 3, 1, 1)[0, 0] > 0
        centres = (unknown & ~inner).flatten().nonzero()[:, 0]
        if len(centres) == 0:  # the hole reaches every border of the picture
            centres = unknown.flatten().nonzero()[:, 0]
        shown = (~unknown).float().expand(level.copied, -1, -1)
        patches = patches_of(level)
        wanted, told = patches.vectors_at(centres), patches.weights_at(centres)
        known = windows_at(torch.cat([shown, ones]), centres)
        if told is not None:
            known = F.pad(known, (0, told.shape[1] - known.shape[1]), value=1.0) * told
        nearest = sources[nearest_of(wanted * known, source_patches, (known, squares))]
        for planes in (level.x, level.texture):
            flat = planes.view(len(planes), -1)
            flat[:, centres] = flat[:, nearest]
        field[centres] = nearest
        unknown.view(-1)[centres] = False
    if len(sources) == len(every):
        return search(level, None, generator)
    return search(level, with_spares(field, level, sources, generator), generator)


def _settle(
    level: PyramidLevel,
    field: Tensor,
    rounds: int,
    generator: torch.Generator,
    check: Callable[[], None],
) -> Tensor:
    """Search and vote in turn until the hole stands still."""
    for _ in range(rounds):
        check()
        before = level.x[:, level.hole].clone()
        field = search(level, field, generator)
        vote(level, field, sharp=False)
        if float((level.x[:, level.hole] - before).abs().mean()) < SETTLED:
            break
    return field
