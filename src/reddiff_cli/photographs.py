"""Photographs for training: read once, kept as bytes, handed out as random crops."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import PictureError, UsageError
from .pictures import PICTURE_SUFFIXES, load_picture, with_depth


@dataclass(frozen=True)
class Photographs:
    """pixels: uint8 tensors (3, H, W).    names: relative paths.    unreadable: one line each."""

    pixels: list[Tensor]
    names: list[str]
    unreadable: list[str]

    def to(self, device: torch.device) -> "Photographs":
        """The same photographs with their bytes on a device."""
        return replace(self, pixels=[p.to(device) for p in self.pixels])

    @property
    def megapixels(self) -> float:
        return sum(p.shape[1] * p.shape[2] for p in self.pixels) / 1e6


def read_photographs(folder: Path, smallest: int) -> Photographs:
    """All pictures below a folder as RGB bytes, by path; those below `smallest` are left out.

    UsageError if nothing usable is found.
    """
    pixels: list[Tensor] = []
    names: list[str] = []
    unreadable: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in PICTURE_SUFFIXES or not path.is_file():
            continue
        try:
            picture = with_depth(load_picture(path), 8)
        except PictureError as error:
            unreadable.append(str(error))
            continue
        if min(picture.pixels.shape[:2]) < smallest:
            unreadable.append(f"{path}: smaller than {smallest} pixels; left out")
            continue
        rgb = np.broadcast_to(picture.pixels, (*picture.pixels.shape[:2], 3))
        rounded = np.rint(rgb * 255).astype(np.uint8)
        pixels.append(torch.from_numpy(rounded).permute(2, 0, 1).contiguous())
        names.append(path.relative_to(folder).as_posix())
    if not pixels:
        raise UsageError(f"{folder}: holds no usable picture; give a folder of photographs")
    return Photographs(pixels, names, unreadable)


def draw_crops(
    photographs: Photographs, batch: int, size: int, reduce: float, generator: torch.Generator
) -> Tensor:
    """Random square crops in [-1, 1], (batch, 3, size, size), from pictures weighted by area.

    A share `reduce` of them is taken at half resolution: sharper (no codec traces), wider view.
    """
    areas = torch.tensor([float(p.shape[1] * p.shape[2]) for p in photographs.pixels])
    chosen = torch.multinomial(areas, batch, replacement=True, generator=generator)
    crops = [_draw_crop(photographs.pixels[i], size, reduce, generator) for i in chosen.tolist()]
    return torch.stack(crops) / 127.5 - 1


def flatten_some(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace a share of crops by nearly constant ones of random colour; x: (B, 3, H, W).

    Photographs hold few flat areas in saturated colours; without them a network at high noise
    pulls every colour towards the average of the set.
    """
    coin, contrast = torch.rand(2, len(x), 1, 1, 1, generator=generator).to(x.device)
    colour = torch.rand(len(x), 3, 1, 1, generator=generator).to(x.device) * 2 - 1
    detail = x - x.mean((2, 3), keepdim=True)
    flat = (colour + 0.3 * contrast * detail).clamp(-1, 1)
    return torch.where(coin < share, flat, x)


def _draw_crop(pixels: Tensor, size: int, reduce: float, generator: torch.Generator) -> Tensor:
    height, width = pixels.shape[1:]
    coin, top, left, mirror = torch.rand(4, generator=generator).tolist()
    factor = 2 if coin < reduce and min(height, width) >= 2 * size else 1
    side = size * factor
    y, x = int(top * (height - side + 1)), int(left * (width - side + 1))
    crop = pixels[:, y : y + side, x : x + side].float()
    if factor == 2:
        crop = F.avg_pool2d(crop, 2)
    return crop.flip(-1) if mirror < 0.5 else crop


def centre_crops(photographs: Photographs, size: int) -> Tensor:
    """The middle square of every picture in [-1, 1], (N, 3, size, size)."""
    crops = []
    for pixels in photographs.pixels:
        y, x = (pixels.shape[1] - size) // 2, (pixels.shape[2] - size) // 2
        crops.append(pixels[:, y : y + size, x : x + size])
    return torch.stack(crops).float() / 127.5 - 1
