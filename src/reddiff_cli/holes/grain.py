"""The grain of a picture, for places that were filled without any.

A prior fills a hole with what is likely, and no single grain is: a repaired scratch shows as a
smooth stripe in scanned film. Grain is modelled as in video coding (Norkin and Birkbeck 2018,
"Film grain synthesis for AV1 video codec"): Gaussian with one spectrum, of a strength that depends
on brightness. Both are measured in the flattest tiles of the known picture, where nothing else is.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..estimation.clipping import shows_noise
from ..estimation.flat_tiles import PART, STRIDE, bumps_of, cut, detrended, flattest_of_each
from ..estimation.noise import wavelet_sigma
from ..estimation.stationary import TILE, shaping_kernel, spectrum_of, undetrended
from ..interpolation import interpolated
from ..pictures.pixels import Hole
from .continued import REACH, Continuation
from .shape import Region, bounding_region, regions, wide_part

# Strength in one brightness relative to the quieter ones; texture is not to pass for grain.
STRENGTHS = (0.25, 2.0)
# Kurtosis of grain at most: it is Gaussian (3), and texture has sparse edges. Of 64 validation
# photographs with grain of 5 of 255 measure_grain finds 2.9 to 3.7 in 62 (4.6 and 5.0 are textured
# all over), of two scanned films 3.4 and 3.6, of brick, stone and a pasture 5.0 to 8.5. A lawn has
# 3.6.
PEAKED = 4.0
# Beside a brightness so many times quieter, what is above PEAKED is texture and tells nothing.
LOUDER = 2.0
# Side of what is searched for flat tiles: a scratch in 24 megapixels need not wait for the rest.
AREA = 1024
# Relative to the kernel, so little strength is none.
FAINT = 1e-3
# Squares of this side, so far apart, whose mean is so near to black or white, in [-1, 1] units,
# tell what grain there is at the end of the scale, if there are not too few.
SOLID, APART, NEAR, FEW = 9, 4, 0.06, 6
# Grain is drawn in pieces of this side at most.
PIECE = 512
# From this much on (of 255), grain can be seen to be missing.
VISIBLE = 3.0


@dataclass(frozen=True)
class Grain:
    """kernel: (C, C, TILE, TILE), turns white noise into grain of [-1, 1] units.

    brightness: increasing, in [-1, 1].    strength: of the grain there, relative to the kernel.
    kurtosis: of what was measured, 3 of Gaussian grain.
    """

    kernel: Tensor
    brightness: Tensor
    strength: Tensor
    kurtosis: float

    @property
    def is_likely(self) -> bool:
        """False if it cannot be seen, or looks like texture."""
        return self.sigma * 255 / 2 >= VISIBLE and self.kurtosis <= PEAKED

    @property
    def sigma(self) -> float:
        """Standard deviation of a pixel, in [-1, 1] units."""
        return float((self.kernel.square().sum() / len(self.kernel)).sqrt())

    def draw(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Grain for a clean picture, of its shape (1, C, H, W)."""
        return self.strength_in(x) * self.draw_even(x, generator)

    def strength_in(self, x: Tensor) -> Tensor:
        """For every pixel of a picture (1, C, H, W), (1, 1, H, W)."""
        return interpolated(x.mean(1, keepdim=True), self.brightness, self.strength)

    def draw_even(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Grain of strength 1 in the shape of x, (1, C, H, W)."""
        height, width = x.shape[2] + TILE - 1, x.shape[3] + TILE - 1
        white = torch.randn((1, x.shape[1], height, width), generator=generator)
        return F.conv2d(white, self.kernel)


def measure_grain(picture: Tensor, known: Tensor) -> Grain | None:
    """The grain of the known part, or None if too little of it is whole and flat.

    picture: (1, C, H, W) in [-1, 1].    known: (1, 1, H, W), 1 = observed.
    """
    channels = picture.shape[1]
    if min(picture.shape[2:]) < TILE:
        return None
    usable = known * shows_noise(picture).amin(1, keepdim=True)
    means = F.avg_pool2d(picture.mean(1, keepdim=True), PART)
    light = F.avg_pool2d(means, TILE // PART, STRIDE // PART)[0, 0]
    whole = F.avg_pool2d(F.avg_pool2d(usable, PART), TILE // PART, STRIDE // PART)[0, 0]
    chosen = flattest_of_each(bumps_of(means), light, whole > 1 - 1e-4)
    if not chosen:
        return None
    spectra, levels, lights, peaks = [], [], [], []
    for places in chosen:
        tiles = detrended(cut(picture, places))
        spectra.append(spectrum_of(tiles))
        levels.append(tiles.square().mean().sqrt())
        peaks.append(_kurtosis(tiles))
        lights.append(light[places[:, 0], places[:, 1]].mean())
    level, peak = torch.stack(levels), torch.stack(peaks)
    # The quietest brightnesses have the least texture in them; of a flat sky and a wall the sky.
    order = level.argsort()[: max(1, len(level) // 2)]
    order = order[(level[order] <= LOUDER * level.min()) | (peak[order] <= PEAKED)]
    typical = level[order].square().mean().sqrt().clamp(min=1e-9)
    spectrum = torch.stack([spectra[int(k)] for k in order]).mean(0)
    kernel = shaping_kernel(undetrended(spectrum)).to(picture.dtype)
    kernel = kernel.view(channels, channels, TILE, TILE)
    strength = (level / typical).clamp(*STRENGTHS)
    ends = _with_ends(picture, known, torch.stack(lights), strength, typical)
    return Grain(kernel, *ends, float(peak[order].mean()))


def _with_ends(
    picture: Tensor, known: Tensor, lights: Tensor, strength: Tensor, typical: Tensor
) -> tuple[Tensor, Tensor]:
    """Brightnesses and strengths, and what there is in places that are nearly black or white.

    A blown-out window and the frame of a slide have no grain, and noise there is clipped by half.
    """
    seen = F.avg_pool2d(known, SOLID, APART) > 1 - 1e-4
    for end in (-1.0, 1.0):
        below = 1 - end * picture
        mean, square = (F.avg_pool2d(x, SOLID, APART) for x in (below, below.square()))
        near = seen & (mean.mean(1, keepdim=True) < NEAR)
        if int(near.sum()) < FEW:
            continue
        variance = (square - mean.square()).mean(1, keepdim=True)[near].median().clamp(min=0)
        there, nearest = (variance.sqrt() / typical)[None], strength[-1 if end > 0 else 0]
        pairs = (lights, torch.tensor([end])), (strength, there.minimum(nearest))
        lights, strength = (torch.cat(pair if end > 0 else pair[::-1]) for pair in pairs)
    return lights, strength


def _kurtosis(tiles: Tensor) -> Tensor:
    """Of the mean of the channels, each tile by itself: uneven strength is no peak."""
    grey = tiles.mean(1).flatten(1)
    power = grey.square().mean(1, keepdim=True).clamp(min=1e-12)
    return (grey.square() / power).square().mean()


def surroundings(hole: Hole) -> tuple[slice, slice]:
    """Rows and columns around the middle of a hole, large enough to measure grain in."""
    middle = bounding_region(hole, 0)
    spans = ((middle.top, middle.bottom), (middle.left, middle.right))
    starts = [
        max(0, min((low + high - AREA) // 2, length - AREA))
        for (low, high), length in zip(spans, hole.shape, strict=True)
    ]
    rows, columns = (slice(start, start + AREA) for start in starts)
    return rows, columns


def add_grain(canvas: Tensor, hole: Hole, grain: Grain, seed: int) -> Tensor:
    """The picture with grain in its hole: as much as is missing there, without a seam.

    canvas: (1, C, H, W) in [-1, 1].    hole: (H, W).
    """
    generator = torch.Generator().manual_seed(seed)
    # Patches of the surroundings, with which wide parts begin, bring grain along; thin parts have
    # none but what goes on from their border.
    wide = wide_part(hole)
    result, left = canvas.clone(), torch.from_numpy(hole.copy())
    continuation = Continuation(grain.kernel)
    for part, share in ((hole & ~wide, 1.0), (wide, _missing(canvas, wide, grain, generator))):
        pieces = [piece for region in regions(part, 0) for piece in region.pieces(PIECE)]
        for piece in pieces if share else []:
            inside = torch.from_numpy(part[piece.slices]) & left[piece.slices]
            if not bool(inside.any()):
                continue
            around = piece.grown(REACH)
            before, area = canvas[(..., *around.slices)], (..., *piece.slices)
            strength = share * grain.strength_in(before)
            drawn = grain.draw_even(before, generator)
            there = (result[(..., *around.slices)] - before) / strength.clamp(min=FAINT)
            added = strength * continuation(drawn, there, left[around.slices], generator)
            grainy = result[area] + added[(..., *_within(piece, around))]
            result[area] = torch.where(inside, grainy, result[area])
            left[piece.slices] &= ~inside
    return result.clamp(-1, 1)


def _within(piece: Region, around: Region) -> tuple[slice, slice]:
    """Rows and columns of a piece in its surroundings."""
    top, left = piece.top - around.top, piece.left - around.left
    return (
        slice(top, top + piece.bottom - piece.top),
        slice(left, left + piece.right - piece.left),
    )


def _missing(canvas: Tensor, wide: Hole, grain: Grain, generator: torch.Generator) -> float:
    """What share of the grain (as a standard deviation) a part of the picture lacks."""
    if not wide.any():
        return 0.0
    area = (..., *bounding_region(wide, 0).slices)
    seen = torch.from_numpy(wide)[None, None].to(canvas.dtype)
    present = wavelet_sigma(canvas[area], seen[area]) or 0.0
    typical = wavelet_sigma(grain.draw(torch.zeros_like(canvas[..., :256, :256]), generator))
    return max(0.0, 1 - (present / typical) ** 2) ** 0.5 if typical else 1.0
