"""What tags say of the pixels of a TIFF file, once there are whole times as many a side.

Where on Earth they lie is told as by OGC GeoTIFF 1.1.
"""

from collections.abc import Sequence
from contextlib import suppress

from PIL import ExifTags, Image

_DESCRIPTION = ExifTags.Base.ImageDescription.value
_SCALE, _TIEPOINTS, _TRANSFORM, _KEYS = 33550, 33922, 34264, 34735
# The key that says what whole coordinates are: a corner of a pixel, or its centre.
_RASTER_TYPE, _IS_POINT = 1025, 2
_OF_KEY, _OF_TIEPOINT, _OF_ROW = 4, 6, 4  # numbers


def refine(tags: Image.Exif, factor: int) -> None:
    """Change the tags to those of the same picture with so many times the pixels a side.

    The description by which tifffile knows an array's shape would be wrong, and is left out.
    """
    if factor == 1:
        return
    if str(tags.get(_DESCRIPTION, "")).startswith('{"shape":'):
        tags.pop(_DESCRIPTION)
    with suppress(TypeError, ValueError, IndexError):  # damaged tags stay as they are
        _refine_place(tags, factor)


def _refine_place(tags: Image.Exif, factor: int) -> None:
    """A pixel spans less; tiepoints, places in the picture and on Earth, lie farther from it."""
    shift = (factor - 1) / 2 if _counts_centres(tags.get(_KEYS, ())) else 0.0
    if scale := tags.get(_SCALE):
        across, down, up = scale
        tags[_SCALE] = (across / factor, down / factor, up)
    if points := tags.get(_TIEPOINTS):
        tags[_TIEPOINTS] = tuple(
            factor * value + shift if place % _OF_TIEPOINT < 2 else value
            for place, value in enumerate(points)
        )
    if matrix := tags.get(_TRANSFORM):
        rows = [_refined(matrix[i : i + _OF_ROW], factor, shift) for i in range(0, 12, _OF_ROW)]
        tags[_TRANSFORM] = (*(value for row in rows for value in row), *matrix[12:])


def _counts_centres(keys: Sequence[int]) -> bool:
    """Whether whole coordinates are centres of pixels."""
    whole = range(0, len(keys), _OF_KEY)
    return any(keys[i] == _RASTER_TYPE and keys[i + _OF_KEY - 1] == _IS_POINT for i in whole)


def _refined(row: Sequence[float], factor: int, shift: float) -> tuple[float, ...]:
    """A row of the matrix that leads from the picture to a coordinate on Earth."""
    across, down, up, start = row
    across, down = across / factor, down / factor
    return across, down, up, start - shift * (across + down)
