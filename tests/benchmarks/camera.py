"""What a camera makes of a scene: a mosaic of colours with noise, and colours filled in again.

The noise that the mosaic had independently at every pixel is wider than a pixel afterwards.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# Malvar, He and Cutler 2004 (ICASSP), in eighths: green at red or blue; red at green where reds
# are beside it; red at blue.
GREEN = ((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0))
BESIDE = (
    (0, 0, 0.5, 0, 0),
    (0, -1, 0, -1, 0),
    (-1, 4, 5, 4, -1),
    (0, -1, 0, -1, 0),
    (0, 0, 0.5, 0, 0),
)
ACROSS = (
    (0, 0, -1.5, 0, 0),
    (0, 2, 0, 2, 0),
    (-1.5, 0, 6, 0, -1.5),
    (0, 2, 0, 2, 0),
    (0, 0, -1.5, 0, 0),
)


def camera(x: Tensor, level: float, generator: torch.Generator) -> Tensor:
    """x as a camera would write it, in 8 bits; x: (1, 3, H, W) in [-1, 1].

    level: standard deviation of the noise of the mosaic, of 255.
    """
    noise = level / 127.5 * torch.randn(x[:, :1].shape, generator=generator)
    return eight_bits(filled_in(x + noise))


def filled_in(x: Tensor) -> Tensor:
    """What is left of x, (1, 3, H, W), of which a mosaic records one channel at every pixel."""
    red, blue = torch.zeros_like(x[:, :1]), torch.zeros_like(x[:, :1])
    red[..., 0::2, 0::2] = blue[..., 1::2, 1::2] = 1
    in_red_row = torch.zeros_like(red)
    in_red_row[..., 0::2, 1::2] = 1
    in_blue_row = 1 - red - blue - in_red_row
    mosaic = red * x[:, :1] + (in_red_row + in_blue_row) * x[:, 1:2] + blue * x[:, 2:]
    turned = tuple(zip(*BESIDE, strict=True))
    across, beside, above = (_filter(mosaic, taps) for taps in (ACROSS, BESIDE, turned))
    green = torch.where(red + blue > 0, _filter(mosaic, GREEN), mosaic)
    reds = red * mosaic + in_red_row * beside + in_blue_row * above + blue * across
    blues = blue * mosaic + in_blue_row * beside + in_red_row * above + red * across
    return torch.cat([reds, green, blues], 1)


def eight_bits(x: Tensor) -> Tensor:
    """x in [-1, 1], clipped and rounded as an 8-bit file would hold it."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def _filter(mosaic: Tensor, taps: tuple[tuple[float, ...], ...]) -> Tensor:
    kernel = torch.tensor(taps, dtype=mosaic.dtype)[None, None] / 8
    return F.conv2d(F.pad(mosaic, (2, 2, 2, 2), mode="reflect"), kernel)
