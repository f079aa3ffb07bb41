"""How much patches should resemble a guide: sharply where it is sharp, elsewhere in the large.

A guide is smooth where the picture may be textured: around gravel, grass or clouds only a smooth
blotch resembles it. But it says where edges go on, which patches do not know, and what colour is
where. So it is compared twice: as it is, where it shows an edge or the surroundings are as flat;
and everywhere so blurred that texture does not count.
"""

import torch
from torch import Tensor

from .shape import highest_within
from .smooth import blurred, fill_smoothly

# Both sides of the sharp comparison are blurred by BLUR (standard deviation in pixels), and those
# of the other one by LARGE. Texture is what TEXTURE takes away beyond BLUR.
BLUR, LARGE, TEXTURE = 1.5, 10.0, 5.0
# Weights against the colours. Patches in a cloud, 130x130, have 1.8 of 255 finer than 2 pixels
# with 0 in the large, 2.2 so; around it are 5.2. With 1 tulips grow together (looked at).
WEIGHT, WEIGHT_LARGE = 2.0, 0.5
# The sharp one counts where a quarter of the known pixels around, within AROUND of the hole, have
# texture of at most EVEN where the guide is even, EDGED where it has an edge (rms, [-1, 1] units);
# where they have more, its weight falls with the square. Clouds, water and lawns have 0.007 and
# more, boxes and pillars of one colour 0.003 to 0.004.
EVEN, EDGED, AROUND = 0.004, 0.0125, 16
# Edges have more than half of this contrast within NEAR pixels, and rise in less than WIDEST; in
# full they have all of it and rise in SHARP.
CONTRAST, NEAR, SHARP, WIDEST = 0.1, 6, 6.0, 10.0
# Quarters are told to one in so many steps of a doubling, up to so many doublings above EVEN.
STEPS, DOUBLINGS = 4, 5


def comparable(guide: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """What patches are compared with: the guide, sharp and in the large; and how much of each.

    guide: (C or 0, H, W), the picture with its hole filled in the large.    hole: (H, W) bool.
    Returns (2C or 0, H, W), and (2, H, W), by where a patch is to go.
    """
    heed = torch.full((2, *hole.shape), WEIGHT_LARGE)
    heed[0] = WEIGHT
    if not len(guide):
        return guide, heed
    sharp, large = (blurred(guide[None], sigma)[0] for sigma in (BLUR, LARGE))
    near = highest_within(hole[None, None].float(), AROUND)[0, 0] > 0
    seen = near & ~hole
    if bool(seen.any()):
        texture = (sharp - blurred(guide[None], TEXTURE)[0]).square().mean(0).sqrt()
        edges = _edges(sharp)
        even = EVEN + (EDGED - EVEN) * edges
        # Edges are busy where they enter a hole: what is flat anywhere around it speaks for them.
        busy = quarter_around(texture, seen)
        busy += edges * (busy.clamp(max=_quarter(texture[seen])) - busy)
        heed[0] *= (even / busy.maximum(even)).square()
    return torch.cat([sharp, large]), heed


def quarter_around(x: Tensor, seen: Tensor) -> Tensor:
    """The value that a quarter of the seen pixels around has at most, everywhere, (H, W).

    x: (H, W).    seen: (H, W) bool. Far from any of them it goes on smoothly.
    """
    there = seen[None, None].to(x.dtype)
    count = blurred(there, AROUND)
    steps = torch.zeros_like(there)
    for k in range(STEPS * DOUBLINGS):
        below = blurred(there * (x <= EVEN * 2 ** (k / STEPS)), AROUND)
        steps += below < 0.25 * count
    return fill_smoothly(EVEN * 2 ** (steps / STEPS), there)[0, 0]


def _quarter(values: Tensor) -> float:
    """The value that a quarter of them has at most; of any number of them."""
    return float(values.kthvalue(1 + min(len(values) - 1, len(values) // 4)).values)


def _edges(x: Tensor) -> Tensor:
    """How much of an edge there is within NEAR pixels, 0 to 1; x: (C, H, W) -> (H, W)."""
    contrast = highest_within(x[None], NEAR) + highest_within(-x[None], NEAR)
    right, down = torch.zeros_like(x), torch.zeros_like(x)
    right[:, :, 1:], down[:, 1:] = x.diff(dim=2), x.diff(dim=1)
    slope = highest_within((right.square() + down.square()).sqrt()[None], NEAR)
    width = contrast / slope.clamp(min=1e-6)
    steep = ((WIDEST - width) / (WIDEST - SHARP)).clamp(0, 1)
    edges = steep * (2 * contrast / CONTRAST - 1).clamp(0, 1)
    return blurred(edges.amax(1, keepdim=True), NEAR / 2)[0, 0]
