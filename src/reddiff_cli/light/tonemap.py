"""Pictures of more light than a screen can show, made to fit one.

The global operator of Reinhard, Stark, Shirley, Ferwerda: Photographic tone reproduction for
digital images, SIGGRAPH 2002, equations 1, 2 and 4; its key as in Reinhard: Parameter estimation
for photographic tone reproduction, Journal of Graphics Tools 7 (1), 2002.
"""

import numpy as np
from numpy.typing import NDArray

from .response import Response

Pixels = NDArray[np.float32]

# ITU-R BT.709 weights of linear light.
_LUMA = np.array((0.2126, 0.7152, 0.0722), dtype=np.float32)
# Below every display's black; keeps the logarithm finite.
_BLACK = 1e-6
# Log-average of an ordinary picture on the screen, and the bounds of dark and bright ones.
KEY, LOW_KEY, HIGH_KEY = 0.18, 0.09, 0.72
# Stops below the bright parts: what is darker says nothing about how bright a picture is meant.
DEPTH = 8.0
# Percentiles that count as dark and bright, and the stops between them from which on a picture
# may be lifted until its brightest place is white, and from which on it is.
DARK, BRIGHT = 1, 99
VARIED = (1.0, 3.0)


def tonemap(light: Pixels) -> NDArray[np.uint8]:
    """Linear light (H, W, 1 or 3), 0 or more -> 8-bit sRGB pixels of the same shape.

    Luminance L is scaled so that its log-average (of what is not much darker than the rest) is
    that of `key_of` (or more, where the brightest place would not be white), then compressed as
    L (1 + L / white^2) / (1 + L), where white is the largest, or 1 if all are less. Colours keep
    their ratios, as far as the display has them.
    """
    luminance = light @ _LUMA[:, None] if light.shape[2] == 3 else light
    scaled = luminance * np.float32(_exposure(luminance.astype(np.float64)))
    limit = float(scaled.max())
    # A picture darker than its key needs no compression: there white stays at one.
    shown = scaled * (1 + scaled / np.float32(max(limit, 1.0) ** 2)) / (1 + scaled)
    ratio = shown / np.maximum(luminance, np.float32(_BLACK))
    clipped: Pixels = np.clip(light * ratio, 0, 1)
    value: Pixels = Response().encode(clipped)
    return np.rint(value * 255).astype(np.uint8)


def key_of(stops: NDArray[np.float64]) -> float:
    """What the log-average should become on a screen: the more, the nearer it is to the brightest.

    stops: binary logarithms of luminance. Fog, snow and paper are bright, night is dark.
    """
    low, high = np.percentile(stops, (DARK, BRIGHT))
    if high <= low:
        return KEY
    key = KEY * 4 ** ((2 * stops.mean() - low - high) / (high - low))
    return float(np.clip(key, LOW_KEY, HIGH_KEY))


def _exposure(luminance: NDArray[np.float64]) -> float:
    """What luminance is multiplied by before it is compressed."""
    bright = max(float(np.percentile(luminance, BRIGHT)), _BLACK)
    stops = np.log2(np.maximum(luminance, bright / 2**DEPTH))
    factor = float(key_of(stops) / 2 ** stops.mean())
    # Fog is meant to be white, a grey wall is not; what lies between is lifted in part.
    low, high = VARIED
    spread = float(np.log2(bright) - np.percentile(stops, DARK))
    share = float(np.clip((spread - low) / (high - low), 0, 1))
    brightest = factor * float(luminance.max())
    return factor * float(max(1.0, 1 / max(brightest, _BLACK)) ** share)
