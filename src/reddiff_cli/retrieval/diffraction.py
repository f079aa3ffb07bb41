"""Diffraction measurements: what a detector saw -> amplitudes |F u| with DC in the corner."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError, counted
from ..formats.arrays import ARRAY_SUFFIXES, HDF5_SUFFIXES, RASTER_SUFFIXES, Array, load_array
from ..pictures.files import load_picture
from .options import PhaseOptions

Amplitude = NDArray[np.float32]
Known = NDArray[np.bool_]

# A larger share of values below zero must be explained by noise around it.
MOSTLY_NEGATIVE = 0.1
# Mean over rms of them: 0.80 where noise is all there is, 0.71 at the edge of what is above it.
# With noise of 0.01 to 0.2 on magnitudes and intensities of 7 objects it is 0.74 to 0.82; of the
# real and the imaginary part below 0.68, of logarithms 0.94 and more.
LIKE_NOISE = (0.7, 0.84)
# How far they differ in size from the value at -k, over their rms: 0.85 to 1.8 there; 0 to 0.5 of
# parts, and of logarithms that were centred anywhere.
UNLIKE_OPPOSITE = 0.6
# Noise alone has half of the squares below 0, those objects at most 0.29.
NOISE_ALONE = 1 / 3
LEAST = 4  # pixels a side
# The strongest frequencies, where noise is small, and how far k and -k may differ there.
STRONGEST, ASYMMETRIC = 0.02, 0.1
# A hot or dead pixel differs from the one at -k by so many times what this share of all pairs does
# at most (or this share of the rms, where data are exact), and by this factor.
MOST_PAIRS, FAR, TIMES, EXACT = 0.98, 4, 3, 1e-5
# Roots of counts differ by 0.7 (standard deviation) even where nearly all pairs are empty.
COUNTED = 4.0
# More of them than this share are no defects: the centre is another, or the object not real.
DEFECTS = 0.01
# An unmeasured pixel in the frames of many detectors: -1 or -2 among counts.
SENTINELS = (-1, -2)
# From 32 bits no reading reaches the end of its type; in fewer it may also be clipped.
WIDE_BYTES = 4
# What detectors count in, whose ends stay where counts are converted to wider types.
COUNTED_IN = (np.uint16, np.int32, np.uint32)


@dataclass(frozen=True)
class Diffraction:
    """amplitude: float32 (C, M, N) >= 0, DC at [0, 0], 0 where unknown.    known: (M, N).

    layout: as found in the file, `centered` or `corner`.    counts: whole intensities, so that
    the square root of Poisson noise has a standard deviation of 1/2.    notes: lines for people.
    """

    amplitude: Amplitude
    known: Known
    layout: str
    counts: bool
    notes: tuple[str, ...]

    @property
    def detector(self) -> tuple[int, int]:
        """(M, N)."""
        return (int(self.amplitude.shape[1]), int(self.amplitude.shape[2]))


def load_diffraction(path: Path, options: PhaseOptions) -> Diffraction:
    """Read a measurement; PictureError names the file and what is wrong with it.

    NaN, infinite and masked pixels are unknown, and so are -1 and -2 among whole intensities or
    where nothing else is negative, whole numbers at the end of the type of the detector, and what
    is far from the value at -k; other negative values are dark noise and become 0.
    """
    loaded = load_array(path, options.dataset)
    stored = _channels_first(path, loaded)
    values = stored.astype(np.float64)
    known: Known = np.asarray(np.isfinite(values).all(axis=0))
    if not known.any():
        raise PictureError(f"{path}: no finite value; nothing was measured", "Empty")
    whole = options.data == "intensity" and bool((values[:, known] % 1 == 0).all())
    notes = _doubts_of_channels(path, loaded)
    below = np.unique(stored[stored < 0])
    sentinels = SENTINELS if whole or set(below.tolist()) <= set(SENTINELS) else ()
    for mark in (*_ends_of_type(stored), *sentinels):
        marked = (stored == mark).any(0)
        if marked.any():
            known &= ~marked
            told = counted(int(marked.sum()), "pixel holds", "pixels hold")
            notes.append(f"{told} {mark}, a detector's mark or its end: taken as unknown")
    if options.detector_mask is not None:
        bad = _bad_pixels(options.detector_mask, values.shape[1:])
        if not bad.any():
            told = "marks no pixel as bad; in a picture 50 % grey and above do, not values of 1"
            notes.append(f"warning: {options.detector_mask}: {told}")
        known &= ~bad
    if not known.any():
        raise PictureError(
            f"{path}: no pixel is known (masked, not finite, or a detector's mark); leave some",
            "Empty",
        )
    values = np.where(known, values, 0)
    amplitude = np.maximum(values, 0)
    if options.data == "intensity":
        amplitude = np.sqrt(amplitude)
    layout = find_layout(amplitude) if options.layout == "auto" else options.layout
    if layout == "centered":
        values, amplitude = (np.fft.ifftshift(v, axes=(1, 2)) for v in (values, amplitude))
        known = np.fft.ifftshift(known)
    notes += _check_sign(path, values, known)
    if not amplitude.any():
        raise PictureError(f"{path}: every known value is 0; nothing was measured", "Empty")
    defects = _find_defects(amplitude, known, COUNTED if whole else 0.0)
    if defects.any():
        known, amplitude = known & ~defects, amplitude * ~defects
        pairs = counted(int(defects.sum()) // 2, "pixel is", "pixels are")
        notes.append(f"{pairs} far from the opposite one, hot or dead: both taken as unknown")
    notes += _check_symmetry(path, amplitude, known)
    if not known.all():
        notes += [f"{1 - known.mean():.2%} of the detector is unknown"]
    # Small whole numbers are counts; an 8-bit picture of a pattern is not told apart from them.
    return Diffraction(amplitude.astype(np.float32), known, layout, whole, tuple(notes))


def find_layout(amplitude: Array) -> str:
    """`centered` if the energy lies around [M // 2, N // 2], `corner` if around [0, 0]."""
    energy = np.square(amplitude).sum(0)
    height, width = (max(1, size // 4) for size in energy.shape)
    top, left = (energy.shape[0] - height) // 2, (energy.shape[1] - width) // 2
    middle = np.s_[top : top + height, left : left + width]
    in_centre = energy[middle].sum()
    in_corners = np.fft.fftshift(energy)[middle].sum()
    return "centered" if in_centre > in_corners else "corner"


def _channels_first(path: Path, values: Array) -> Array:
    """(M, N), (C, M, N) or (M, N, C) -> (C, M, N) of the same type, C 1 or 3.

    (3, M, N) of HDF5 are frames, as in the CXI format.
    """
    if values.dtype.kind in "cV":
        message = f"{path}: values are complex; give their magnitude or squared magnitude"
        raise PictureError(message, "Complex")
    if values.dtype.kind not in "biuf":
        raise PictureError(f"{path}: holds {values.dtype}; need numbers", "Unreadable")
    shape, form = values.shape, _form(values)
    stacks = (1,) if path.suffix.lower() in HDF5_SUFFIXES else (1, 3)  # where beamlines put frames
    if values.ndim == 3 and shape[0] not in stacks and shape[2] in (1, 3):
        values = np.moveaxis(values, 2, 0)
    elif values.ndim == 3 and shape[0] not in stacks and min(shape[1:]) >= LEAST:
        told = f"shape is {form}, {min(shape[0], shape[2])} frames; give one of them, or their sum"
        raise PictureError(f"{path}: {told} (channels of one picture: MxNx3)", "Shape")
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or values.shape[0] not in (1, 3) or min(values.shape[1:]) < LEAST:
        needed = f"need MxN, or MxNx3 for three channels, M and N from {LEAST}"
        raise PictureError(f"{path}: shape is {form}; {needed}", "Shape")
    return values


def _doubts_of_channels(path: Path, loaded: Array) -> list[str]:
    """A warning of three frames that pass for three channels, as papers store those of colours."""
    if loaded.ndim != 3 or loaded.shape[0] != 3:
        return []
    told = f"{_form(loaded)} is taken for three channels of one picture"
    return [f"warning: {path}: {told}; if they are frames, give one of them, or their sum"]


def _form(values: Array) -> str:
    return "x".join(str(size) for size in values.shape)


def _ends_of_type(stored: Array) -> tuple[int, ...]:
    """The largest whole numbers of a type, where they are no measurement; stored: (C, M, N).

    Dectris marks gaps by the largest and bad pixels by the one below it, in 16 and 32 bits. In 8
    and 16 a single one at frequency zero is the brightest of values scaled to fill their range:
    without it the same 48x64 object is found at a correlation of 0.63 instead of 0.81.
    """
    counted_in = _counted_in(stored)
    if counted_in is None:
        return ()
    end = int(np.iinfo(counted_in).max)
    if counted_in.itemsize >= WIDE_BYTES:
        # One and the same number in 32 bits of float.
        alike = stored.dtype.type(end) == stored.dtype.type(end - 1)
        return (end,) if alike else (end, end - 1)
    found = np.argwhere((stored == end).any(0))
    height, width = stored.shape[1:]
    middle = [[0, 0], [height // 2, width // 2]]
    if not len(found) or (len(found) == 1 and found[0].tolist() in middle):
        return ()
    return (end, end - 1) if counted_in.itemsize > 1 else (end,)


def _counted_in(stored: Array) -> np.dtype[Any] | None:
    """The whole type of the values, or that of which they are a copy whose largest is its end."""
    own = stored.dtype if stored.dtype.kind in "iu" else None
    if stored.dtype.itemsize < (WIDE_BYTES if own is None else 2 * WIDE_BYTES):
        return own  # nothing else fits into it
    finite = stored[np.isfinite(stored)]
    largest = finite.max()
    copied = [kind for kind in COUNTED_IN if largest == stored.dtype.type(np.iinfo(kind).max)]
    return np.dtype(copied[0]) if copied and bool((finite % 1 == 0).all()) else own


def _bad_pixels(path: Path, shape: tuple[int, ...]) -> Known:
    """White (>= 50 %) of a picture, or what is not 0 in an array, in the layout of the data."""
    bad: Known
    if path.suffix.lower() in ARRAY_SUFFIXES.difference(RASTER_SUFFIXES):
        marks = load_array(path)
        if marks.dtype.kind not in "biuf":
            raise PictureError(f"{path}: holds {marks.dtype}; need numbers", "Unreadable")
        bad = np.squeeze(marks) != 0
    else:
        bad = np.rint(load_picture(path).pixels.mean(2) * 255) >= 128
    if bad.shape != shape:
        sides = "x".join(str(size) for size in bad.shape)
        raise PictureError(
            f"{path}: detector mask is {sides}, data are {shape[0]}x{shape[1]}; make them equal",
            "MaskSize",
        )
    return bad


def _check_sign(path: Path, values: Array, known: Known) -> list[str]:
    """What was cut at zero; PictureError of data that are signed for another reason than noise."""
    below = values < 0
    if not below.any():
        return []
    share = -values[below].sum() / np.abs(values).sum()
    if share > MOSTLY_NEGATIVE and not _is_noise(values, below, known):
        message = (
            f"{path}: negative values are {share:.0%} of the sum, and no noise around 0; "
            "give magnitudes or intensities, not signed values"
        )
        raise PictureError(message, "Negative")
    return [f"{counted(int(below.sum()), 'negative value')} (dark noise) became 0"]


def _is_noise(values: Array, below: Known, known: Known) -> bool:
    """Whether values below zero are as noise makes them of a pattern of 0 and more.

    values, below: (C, M, N), DC at [0, 0]; a real object's pattern is equal at k and -k.
    """
    sizes = np.abs(values)
    if np.square(sizes[below]).sum() > NOISE_ALONE * np.square(sizes).sum():
        return False
    rms = np.sqrt(np.square(sizes[below]).mean())
    paired = below & _opposite(known)
    unlike = np.sqrt(np.square((sizes - _opposite(sizes))[paired]).mean()) if paired.any() else rms
    return bool(
        LIKE_NOISE[0] < sizes[below].mean() / rms < LIKE_NOISE[1]
        and unlike > UNLIKE_OPPOSITE * rms
    )


def _opposite(values: Array) -> Array:
    """As `operators.hio.opposite`, but without torch, which plans do without."""
    return np.roll(np.flip(values, (-2, -1)), (1, 1), (-2, -1))


def _find_defects(amplitude: Array, known: Known, least: float) -> Known:
    """Pixels of which one is hot or dead, and those at -k, as nobody knows which; (M, N).

    least: how far they differ, whatever others do.

    One hot pixel would count as noise of all: the search then ends far from the object, and is
    said to explain the data.
    """
    both = known & _opposite(known)
    opposite = _opposite(amplitude)
    difference = np.abs(amplitude - opposite)
    usual = float(np.quantile(difference[:, both], MOST_PAIRS)) if both.any() else 0.0
    least = max(least, FAR * usual, EXACT * float(np.sqrt(np.square(amplitude).mean())))
    unlike = np.maximum(amplitude, opposite) > TIMES * np.minimum(amplitude, opposite)
    found: Known = both & (unlike & (difference > least)).any(0)
    return found if found.mean() <= DEFECTS else np.zeros_like(found)


def _check_symmetry(path: Path, amplitude: Array, known: Known) -> list[str]:
    """Warnings of a pattern that no real object at this centre can have made."""
    both = known & _opposite(known)
    both[0, 0] = False
    strong = amplitude.mean(0) * both
    if not both.any() or not strong.any():
        return []
    chosen = strong >= max(np.quantile(strong[both], 1 - STRONGEST), np.finfo(np.float64).tiny)
    difference = (amplitude - _opposite(amplitude))[:, chosen]
    size = np.square(amplitude[:, chosen]).mean()
    asymmetry = float(np.sqrt(np.square(difference).mean() / 2 / size))
    if asymmetry <= ASYMMETRIC:
        return []
    return [
        f"warning: {path}: opposite frequencies differ by {asymmetry:.0%} where they are "
        "strongest; a real object makes them equal: is the centre at [M/2, N/2], the data right?"
    ]
