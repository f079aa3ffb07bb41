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

from .holes import bounding_region, regions, wide_part
from .noise import wavelet_sigma
from .tiling import Hole

# Side of a tile and of the filter that shapes white noise, and of the parts whose means tell how
# flat a tile is.
TILE, STRIDE, PART = 16, 8, 4
# Of the tiles of one brightness, the flattest: their share, and how many at most and at least.
FLAT, MOST, LEAST = 0.1, 500, 12
# Fewer tiles than this, and the flattest may be no flat one.
ENOUGH = 64
BRIGHTNESSES = 4
# Strength in one brightness relative to the quieter ones; texture is not to pass for grain.
STRENGTHS = (0.5, 2.0)
# Side of what is searched for flat tiles: a scratch in 24 megapixels need not wait for the rest.
AREA = 1024
# Grain is drawn in pieces of this side at most.
PIECE = 512
# From this much on (of 255), grain can be seen to be missing.
VISIBLE = 3.0


@dataclass(frozen=True)
class Grain:
    """kernel: (C, C, TILE, TILE), turns white noise into grain of [-1, 1] units.

    brightness: increasing, in [-1, 1].    strength: of the grain there, relative to the kernel.
    """

    kernel: Tensor
    brightness: Tensor
    strength: Tensor

    @property
    def sigma(self) -> float:
        """Standard deviation of a pixel, in [-1, 1] units."""
        return float((self.kernel.square().sum() / len(self.kernel)).sqrt())

    def draw(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Grain for a clean picture, of its shape (1, C, H, W)."""
        height, width = x.shape[2] + TILE - 1, x.shape[3] + TILE - 1
        white = torch.randn((1, x.shape[1], height, width), generator=generator)
        return self._strength_at(x.mean(1, keepdim=True)) * F.conv2d(white, self.kernel)

    def _strength_at(self, light: Tensor) -> Tensor:
        """Linear between the brightnesses that were measured, constant beyond."""
        if len(self.brightness) == 1:
            return self.strength[0].expand_as(light)
        right = torch.searchsorted(self.brightness, light).clamp(1, len(self.brightness) - 1)
        low, high = self.brightness[right - 1], self.brightness[right]
        share = ((light - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)
        found: Tensor = torch.lerp(self.strength[right - 1], self.strength[right], share)
        return found


def measure_grain(picture: Tensor, known: Tensor) -> Grain | None:
    """The grain of the known part, or None if too little of it is whole and flat.

    picture: (1, C, H, W) in [-1, 1].    known: (1, 1, H, W), 1 = observed.
    """
    channels = picture.shape[1]
    recorded = (picture.amin(1) > 1e-6 - 1) & (picture.amax(1) < 1 - 1e-6)
    usable = known * recorded[None]
    if min(picture.shape[2:]) < TILE:
        return None
    means = F.avg_pool2d(picture.mean(1, keepdim=True), PART)
    light = F.avg_pool2d(means, TILE // PART, STRIDE // PART)[0, 0]
    whole = F.avg_pool2d(F.avg_pool2d(usable, PART), TILE // PART, STRIDE // PART)[0, 0]
    chosen = _flattest_of_each(_bumps(means), light, whole > 1 - 1e-4)
    if not chosen:
        return None
    spectra, levels, lights = [], [], []
    for places in chosen:
        tiles = _detrended(_cut(picture, places))
        spectra.append(_spectrum(tiles))
        levels.append(tiles.square().mean().sqrt())
        lights.append(light[places[:, 0], places[:, 1]].mean())
    level = torch.stack(levels)
    # The quietest brightnesses have the least texture in them.
    order = level.argsort()[: max(1, len(level) // 2)]
    typical = level[order].square().mean().sqrt().clamp(min=1e-9)
    spectrum = torch.stack([spectra[int(k)] for k in order]).mean(0)
    kernel = _kernel(spectrum).to(picture.dtype).view(channels, channels, TILE, TILE)
    strength = (level / typical).clamp(*STRENGTHS)
    return Grain(kernel, torch.stack(lights), strength)


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
    """The picture with grain in its hole: as much as is missing there.

    canvas: (1, C, H, W) in [-1, 1].    hole: (H, W).
    """
    generator = torch.Generator().manual_seed(seed)
    # Patches of the surroundings, with which wide parts begin, bring grain along; thin parts have
    # none.
    wide = wide_part(hole)
    result = canvas.clone()
    for part, share in ((hole & ~wide, 1.0), (wide, _missing(canvas, wide, grain, generator))):
        inside = torch.from_numpy(part)
        for region in regions(part, 0):
            for piece in region.pieces(PIECE):
                area = (..., *piece.slices)
                grainy = canvas[area] + share * grain.draw(canvas[area], generator)
                result[area] = torch.where(inside[piece.slices], grainy, result[area])
    return result.clamp(-1, 1)


def _missing(canvas: Tensor, wide: Hole, grain: Grain, generator: torch.Generator) -> float:
    """What share of the grain (as a standard deviation) a part of the picture lacks."""
    if not wide.any():
        return 0.0
    area = (..., *bounding_region(wide, 0).slices)
    seen = torch.from_numpy(wide)[None, None].to(canvas.dtype)
    present = wavelet_sigma(canvas[area], seen[area]) or 0.0
    typical = wavelet_sigma(grain.draw(torch.zeros_like(canvas[..., :256, :256]), generator))
    return max(0.0, 1 - (present / typical) ** 2) ** 0.5 if typical else 1.0


def _bumps(means: Tensor) -> Tensor:
    """How far the means of PART x PART pixels of every tile are from a plane, squared; (h, w)."""
    side = TILE // PART
    blocks = F.unfold(means, side, stride=STRIDE // PART)
    rest = blocks - _plane(side) @ blocks
    height = (means.shape[2] - side) // (STRIDE // PART) + 1
    bumps: Tensor = rest.square().mean(1).view(height, -1)
    return bumps


def _flattest_of_each(bumps: Tensor, light: Tensor, whole: Tensor) -> list[Tensor]:
    """Rows and columns of the flattest whole tiles, (n, 2), by brightness from dark to light."""
    places = whole.nonzero()
    if len(places) < ENOUGH:
        return []
    ordered = places[light[whole].argsort()]
    parts = max(1, min(BRIGHTNESSES, len(places) // (4 * LEAST)))
    found = []
    for group in ordered.tensor_split(parts):
        few = min(MOST, len(group), max(LEAST, int(FLAT * len(group))))
        flatness = bumps[group[:, 0], group[:, 1]]
        found.append(group[flatness.argsort()[:few]])
    return found


def _cut(picture: Tensor, places: Tensor) -> Tensor:
    """Tiles at these rows and columns, (n, C, TILE, TILE)."""
    corners = (STRIDE * places).tolist()
    return torch.cat([picture[..., y : y + TILE, x : x + TILE] for y, x in corners])


def _plane(side: int) -> Tensor:
    """What projects side x side pixels in a row on the planes among them."""
    axis = torch.linspace(-1, 1, side)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    basis = torch.stack([torch.ones(side, side), y, x]).view(3, -1)
    basis = basis / basis.norm(dim=1, keepdim=True)
    projection: Tensor = basis.T @ basis
    return projection


def _detrended(tiles: Tensor) -> Tensor:
    """Tiles less the plane that is nearest to each."""
    flat = tiles.flatten(2)
    return (flat - flat @ _plane(TILE)).view_as(tiles)


def _spectrum(tiles: Tensor) -> Tensor:
    """Power of every frequency and covariance of its channels, (TILE, TILE, C, C)."""
    # Twice the side, as else opposite borders would count as neighbours; by the number of pairs,
    # as far neighbours have fewer.
    spectra = torch.fft.fft2(tiles, s=(2 * TILE, 2 * TILE)).permute(2, 3, 0, 1)
    power = torch.einsum("yxnc,yxnd->yxcd", spectra, spectra.conj()) / len(tiles)
    covariance = torch.fft.ifft2(power, dim=(0, 1)).real
    lags = torch.fft.fftfreq(TILE, 1 / TILE).long()  # 0 to 7, and -8 to -1
    pairs = TILE - lags.abs()
    near = covariance[lags[:, None], lags] / (pairs[:, None] * pairs)[..., None, None]
    smooth: Tensor = torch.fft.fft2(near, dim=(0, 1))
    return smooth


def _kernel(power: Tensor) -> Tensor:
    """The filter whose output has this power when its input is white, (C, C, TILE, TILE)."""
    values, vectors = torch.linalg.eigh((power + power.mH) / 2)
    roots = vectors * values.clamp(min=0).sqrt()[..., None, :]
    root = roots @ vectors.mH
    kernel = torch.fft.ifft2(root.permute(2, 3, 0, 1)).real
    # conv2d does not turn it round.
    turned: Tensor = torch.fft.fftshift(kernel, dim=(2, 3)).flip(2, 3)
    return turned
