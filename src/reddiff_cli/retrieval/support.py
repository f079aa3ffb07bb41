"""The size of an object from its autocorrelation, which is the inverse FFT of the intensities.

An object of h x w pixels has an autocorrelation of (2 h - 1) x (2 w - 1); beyond that there is
noise only.
"""

import numpy as np
from numpy.typing import NDArray

# Lines of the autocorrelation above this multiple of the mean noise energy count: most of the
# noise comes from few strong frequencies, and gathers in some lines.
ABOVE_NOISE = 6.0
# Rounding of float32 amplitudes, relative.
ROUNDING = 2e-7


def find_support(amplitude: NDArray[np.float32], sigma: float) -> tuple[tuple[int, int], str]:
    """((h, w), a line for people); amplitude: (C, M, N), DC at [0, 0]; sigma: its noise.

    Where the autocorrelation fills the detector, half of the detector is taken: a larger object
    cannot be told from a smaller one there.
    """
    y = amplitude.astype(np.float64)
    # y^2 has noise of variance 4 y^2 sigma^2 + 2 sigma^4, which an orthonormal FFT spreads evenly.
    variance = 4 * sigma**2 * np.square(y) + 2 * sigma**4 + np.square(ROUNDING * np.square(y))
    noise = variance.mean((1, 2)).sum()
    correlation = np.fft.ifft2(np.square(y), norm="ortho").real
    energy = np.square(correlation).sum(0)
    detector = (y.shape[1], y.shape[2])
    size = tuple(_extent(energy.mean(1 - axis), noise) for axis in (0, 1))
    full = [extent > half // 2 for extent, half in zip(size, detector, strict=True)]
    found = tuple(
        half // 2 if fills else extent
        for extent, half, fills in zip(size, detector, full, strict=True)
    )
    note = f"support {found[0]}x{found[1]} read from the autocorrelation"
    if any(full):
        note = f"warning: {note}, which fills the detector; give --support if you know it"
    return (found[0], found[1]), note


def _extent(line: NDArray[np.float64], noise: float) -> int:
    """Half the width of the autocorrelation along one axis, in pixels of the object."""
    lags = np.minimum(np.arange(len(line)), len(line) - np.arange(len(line)))
    return int(lags[line > ABOVE_NOISE * noise].max(initial=0)) + 1
