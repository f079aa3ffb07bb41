"""Pictures of more light than a screen can show, made to fit one.

The global operator of Reinhard, Stark, Shirley, Ferwerda: Photographic tone reproduction for
digital images, SIGGRAPH 2002, equations 1, 2 and 4.
"""

import numpy as np
from numpy.typing import NDArray

from .response import Response

Pixels = NDArray[np.float32]

# ITU-R BT.709 weights of linear light.
_LUMA = np.array((0.2126, 0.7152, 0.0722), dtype=np.float32)
# Below every display's black; keeps the logarithm finite.
_BLACK = 1e-6


def tonemap(light: Pixels, key: float = 0.18, white: float | None = None) -> NDArray[np.uint8]:
    """Linear light (H, W, 1 or 3), 0 or more -> 8-bit sRGB pixels of the same shape.

    Luminance is scaled so that its log-average becomes `key`, then compressed as
    L (1 + L / white^2) / (1 + L); `white` is the least scaled luminance that becomes white, by
    default the largest there is. Colours keep their ratios, as far as the display has them.
    """
    luminance = light @ _LUMA[:, None] if light.shape[2] == 3 else light
    average = np.exp(np.log(luminance.astype(np.float64) + _BLACK).mean())
    scaled = luminance * np.float32(key / average)
    limit = float(scaled.max()) if white is None else white
    # A picture darker than its key needs no compression: there white stays at one.
    shown = scaled * (1 + scaled / np.float32(max(limit, 1.0) ** 2)) / (1 + scaled)
    ratio = shown / np.maximum(luminance, np.float32(_BLACK))
    clipped: Pixels = np.clip(light * ratio, 0, 1)
    value: Pixels = Response().encode(clipped)
    return np.rint(value * 255).astype(np.uint8)
