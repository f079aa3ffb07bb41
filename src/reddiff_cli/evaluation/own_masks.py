"""Holes of the user's own in an evaluation: a mask of the picture, or of its centre crop."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ..options.tasks import InpaintOptions
from ..pictures.files import Hole, Picture
from ..pictures.masks import NothingToFill, load_hole
from ..tasks.problem import to_pixels
from .crops import Crop
from .inputs import is_empty, is_of_all, within


def own_hole(
    picture: Picture,
    canvas: Tensor,
    mask: Path,
    options: InpaintOptions,
    crop: Crop,
    on_note: Callable[[str], None],
) -> Hole:
    """(h, w) of the canvas, which is `crop`: True where the mask is to be filled.

    PictureError if the mask is of another size, or leaves nothing to fill or nothing known there.
    """
    height, width = canvas.shape[2:]
    whole = is_of_all(mask, (picture.width, picture.height), (width, height))
    try:
        seen = picture if whole else Picture(to_pixels(canvas))
        hole = load_hole(seen, mask, options, on_note)
    except NothingToFill as nothing:
        raise is_empty(mask, nothing) from None
    return within(hole, crop, mask) if whole else hole
