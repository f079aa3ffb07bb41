"""Rebuild a hole from the patches that were found for it: a weighted mean that keeps contrast."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .patches import PATCH, RADIUS, PyramidLevel, overlap_add, patches_of, windows_at
from .shading import fit_shading, slopes_of
from .smooth import blurred

AREA = PATCH * PATCH
# Weight of proposed colours against proposed slopes. In the search slopes only help; at the very
# end they rule, so that shading joins without seams.
COLOUR_WEIGHT, FINAL_COLOUR_WEIGHT = 0.5, 0.1
# What patches disagree about is lost in their mean, and a softer hole finds softer patches. So
# details, what a blur of DETAIL pixels takes away, are made up to MOST times as strong as in the
# mean, until slopes are as strong as in the patches, within NEARBY pixels. 16 holes of 64x90
# keep 0.63 of what is finer than two pixels so, and 0.60 without, at 22.58 and 22.64 dB (guide.py
# --limit 16, and with --set MOST=1).
DETAIL, NEARBY, MOST = 1.5, 3.0, 1.5
LEAST = 1e-9  # below the steps of 8 bits


def vote(level: PyramidLevel, field: Tensor, sharp: bool) -> None:
    """Rebuild the hole from the patches that the map names, in place.

    Each pixel gets a weighted mean of the colours and of the slopes that all patches over it
    propose; `sharp` weights the nearest patches far more, which blurs less. Colours are then
    fitted to the slopes and to the border of the hole, so that shading continues across it.
    """
    height, width = level.x.shape[1:]
    queries = level.queries
    chosen = field[queries]
    patches = patches_of(level)
    distance = patches.distance(queries, chosen) / (AREA * patches.planes)
    scale = torch.quantile(distance[: 2**20], 0.75).clamp(min=1e-6)
    likeness = torch.exp(-distance / (2 * scale)).clamp(min=1e-6)
    weight = level.trust.flatten()[queries] * (likeness**8 if sharp else likeness)
    colours, channels = len(level.x), level.copied
    slopes = windows_at(slopes_of(level.x), chosen).view(len(chosen), AREA, -1)
    found = patches.at(chosen).view(len(chosen), AREA, -1)[:, :, :channels]
    proposals = torch.cat([found, slopes], 2).mul_(weight[:, None, None]).permute(2, 1, 0)
    del found, slopes
    total = overlap_add(proposals, queries, height, width)
    norm = overlap_add(weight.expand(1, AREA, -1), queries, height, width)
    mean = total / norm.clamp(min=1e-30)
    level.texture[:, level.hole] = mean[colours:channels, level.hole]
    weight_of_colours = FINAL_COLOUR_WEIGHT if sharp else COLOUR_WEIGHT
    fit_shading(level.x, level.hole, mean[:colours], mean[channels:], weight_of_colours)
    if level.vivid and not sharp:
        _strengthen(level, queries, chosen)


def _strengthen(level: PyramidLevel, queries: Tensor, chosen: Tensor) -> None:
    """Make slopes around the queries as strong as in the patches that were chosen for them."""
    strength = _strength(level.x)  # of the chosen ones, too: they are known
    planes = torch.zeros(2, level.hole.numel())
    planes[0, queries], planes[1, queries] = strength[chosen], strength[queries]
    strengths = planes.view(1, 2, *level.hole.shape)
    wanted, had = blurred(strengths, NEARBY)[0].clamp(min=LEAST)
    gain = (wanted / had).sqrt().clamp(1, MOST)
    details = level.x - blurred(level.x[None], DETAIL)[0]
    stronger = (level.x + (gain - 1) * details).clamp(-1, 1)
    level.x[:, level.hole] = stronger[:, level.hole]


def _strength(x: Tensor) -> Tensor:
    """Mean square of the slopes in the patch around each pixel, (H W,)."""
    squares = slopes_of(x).square().mean(0)
    return F.avg_pool2d(squares[None, None], PATCH, 1, RADIUS)[0, 0].flatten()
