"""Nearest patches: exhaustive where it is cheap, else by random propagation.

PatchMatch (Barnes, Shechtman, Finkelstein, Goldman 2009), over all queries at once.
"""

import torch
from torch import Tensor

from .patches import PyramidLevel, Windows, patches_of

# Above this many (query, source) pairs propagation replaces the exhaustive search.
EXHAUSTIVE = 20_000_000


def search(level: PyramidLevel, field: Tensor | None, generator: torch.Generator) -> Tensor:
    """Nearest source (flat position) for every query centre, as a map (H * W,)."""
    queries, sources = level.queries, level.sources
    result = torch.full((level.x[0].numel(),), -1, dtype=torch.long)
    if field is None or len(queries) * len(sources) <= EXHAUSTIVE:
        patches = patches_of(level)
        wanted, weights = patches.vectors_at(queries), patches.weights_at(queries)
        if weights is not None:
            wanted *= weights
        found = patches.vectors_at(sources)
        result[queries] = sources[nearest_of(wanted, found, patches.lengths(queries, found))]
        return result
    result[queries] = _propagate(level, field, generator)
    return result


def nearest_of(wanted: Tensor, sources: Tensor, lengths: tuple[Tensor, Tensor]) -> Tensor:
    """Index of the nearest source for each query, exhaustively.

    wanted: (N, K), vectors of the queries, times the weights of squares of differences.
    sources: (M, K), as they are.    lengths: (N, P) and (M, P), of which the product is how long
    each source is to each query: the sums of its weighted squares.
    """
    best, chunk = [], max(1, 20_000_000 // len(sources))
    parts = (torch.split(v, chunk) for v in (wanted, lengths[0]))
    for vectors, weights in zip(*parts, strict=True):
        apart = torch.addmm(weights @ lengths[1].T, vectors, sources.T, alpha=-2)
        best.append(apart.argmin(1))
    return torch.cat(best)


def finer_field(
    field: Tensor, coarse: PyramidLevel, fine: PyramidLevel, generator: torch.Generator
) -> Tensor:
    """The coarse map at twice the resolution, made valid with random sources where needed."""
    height, width = fine.x.shape[1:]
    queries, sources = fine.queries, fine.sources
    rows, columns = queries // width, queries % width
    parent = (rows // 2) * coarse.width + columns // 2
    there = field[parent]
    y, x = there // coarse.width * 2 + rows % 2, there % coarse.width * 2 + columns % 2
    place = (y.clamp(0, height - 1)) * width + x.clamp(0, width - 1)
    allowed = torch.zeros(height * width, dtype=torch.bool)
    allowed[sources] = True
    valid = (there >= 0) & allowed[place]
    result = torch.full((height * width,), -1, dtype=torch.long)
    result[queries] = torch.where(valid, place, -1)
    return with_spares(result, fine, sources, generator)


def with_spares(
    field: Tensor, level: PyramidLevel, sources: Tensor, generator: torch.Generator
) -> Tensor:
    """The map with a random source wherever a query has none (-1)."""
    queries = level.queries
    spare = sources[torch.randint(len(sources), (len(queries),), generator=generator)]
    complete = field.clone()
    complete[queries] = torch.where(field[queries] < 0, spare, field[queries])
    return complete


def _propagate(level: PyramidLevel, field: Tensor, generator: torch.Generator) -> Tensor:
    """PatchMatch over all queries at once: try what the neighbours use, then random places."""
    height, width = level.x.shape[1:]
    allowed = torch.zeros(height * width, dtype=torch.bool)
    allowed[level.sources] = True
    queries, patches = level.queries, patches_of(level)
    best = field[queries]
    cost = patches.distance(queries, best)
    rows, columns = queries // width, queries % width
    current = field.clone()
    for reach in (8, 4, 2, 1, 1):
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            row = (rows - reach * dy).clamp(0, height - 1)
            column = (columns - reach * dx).clamp(0, width - 1)
            there = current[row * width + column]
            y = there // width + rows - row
            x = there % width + columns - column
            inside = (there >= 0) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
            best, cost = _try(patches, queries, y * width + x, inside, allowed, best, cost)
        radius = max(height, width) // 2
        while radius >= 1:
            shift = torch.rand(2, len(queries), generator=generator) * 2 - 1
            y = (best // width + (shift[0] * radius).round().long()).clamp(0, height - 1)
            x = (best % width + (shift[1] * radius).round().long()).clamp(0, width - 1)
            best, cost = _try(patches, queries, y * width + x, None, allowed, best, cost)
            radius //= 4
        current[queries] = best
    return best


def _try(
    patches: Windows,
    queries: Tensor,
    places: Tensor,
    inside: Tensor | None,
    allowed: Tensor,
    best: Tensor,
    cost: Tensor,
) -> tuple[Tensor, Tensor]:
    """Keep a candidate where it is allowed and nearer than the best so far."""
    valid = torch.ones_like(best, dtype=torch.bool) if inside is None else inside
    places = torch.where(valid, places, best)
    chosen = (allowed[places] & (places != best)).nonzero()[:, 0]
    found = patches.distance(queries[chosen], places[chosen])
    nearer = found < cost[chosen]
    chosen, found = chosen[nearer], found[nearer]
    best, cost = best.clone(), cost.clone()
    best[chosen], cost[chosen] = places[chosen], found
    return best, cost
