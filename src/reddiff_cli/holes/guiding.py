"""How much patches should resemble a guide: the more, the less texture there is around a hole.

A guide is smooth where the picture may be textured. Around gravel only a smooth blotch resembles
it; where the surroundings are flat, it says where edges go on, which patches do not know.
"""

from torch import Tensor
from torch.nn import functional as F

from .smooth import blurred

# Both sides of the comparison are blurred by BLUR (standard deviation in pixels), and texture is
# what the wider blur TEXTURE takes away beyond that.
BLUR, TEXTURE = 1.5, 5.0
# Weight against the colours where a quarter of the pixels within AROUND of the hole have texture
# of at most FLAT (rms, [-1, 1] units); where they have more, it falls with its square. 20 holes of
# 60x60 to 120x90 in photographs, looked at: gravel and grass turn grey at a fixed weight of 1.4,
# curves stay broken at 0.7.
WEIGHT, FLAT, AROUND = 2.0, 0.0125, 16
# Texture of little contrast is texture as well, if it is everywhere: the quarter has more than
# EVEN of the texture of a tenth that has most. Where it has 0.04 to 0.12 there are edges in what
# is flat (pavement, sky, a pepper, a plate), where it has 0.2 and more lawn, grass or clover: a
# lawn out of focus keeps 0.5 of the rms finer than 2 pixels so, and 0.26 of it by FLAT alone. But
# not where the guide has more to say than such texture does: there it is where edges go on.
EVEN = 0.1


def comparable(guide: Tensor, hole: Tensor) -> Tensor:
    """What patches are compared with: the guide (C or 0, H, W), blurred and weighted.

    guide: the picture with its hole filled in the large.    hole: (H, W) bool.
    """
    if not len(guide):
        return guide
    soft = blurred(guide[None], BLUR)[0]
    texture = (soft - blurred(guide[None], TEXTURE)[0]).square().mean(0).sqrt()
    near = F.max_pool2d(hole[None, None].float(), 2 * AROUND + 1, 1, AROUND)[0, 0] > 0
    seen = texture[near & ~hole]
    if not len(seen):
        return WEIGHT * soft
    quarter, half, most = (_quantile(seen, share) for share in (0.25, 0.5, 0.9))
    fall = min(1.0, FLAT / max(quarter, FLAT))
    if _quantile(texture[hole], 0.9) < half:
        fall *= min(1.0, EVEN * most / quarter)
    return WEIGHT * fall**2 * soft


def _quantile(values: Tensor, share: float) -> float:
    """The value that so many of them lie below; of any number of them."""
    return float(values.kthvalue(1 + min(len(values) - 1, int(share * len(values)))).values)
