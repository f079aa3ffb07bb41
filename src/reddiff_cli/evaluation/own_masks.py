"""Holes of the user's own in an evaluation: a mask of the picture, or of its centre crop."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import PictureError
from ..masks import NothingToFill, check_something_is_known, load_hole
from ..pictures import Hole, Picture
from ..task_options import InpaintOptions
from ..tasks.problem import to_pixels
from .inputs import is_empty, is_of_all
from .specimen import cut


def own_hole(
    picture: Picture,
    canvas: Tensor,
    mask: Path,
    options: InpaintOptions,
    crop: int,
    on_note: Callable[[str], None],
) -> Hole:
    """(h, w) of the canvas, which is the centre crop: True where the mask is to be filled.

    PictureError if the mask is of another size, or leaves nothing to fill or nothing known there.
    """
    height, width = canvas.shape[2:]
    whole = is_of_all(mask, (picture.width, picture.height), (width, height))
    try:
        seen = picture if whole else Picture(to_pixels(canvas))
        hole = load_hole(seen, mask, options, on_note)
    except NothingToFill as nothing:
        raise is_empty(mask, nothing) from None
    if whole:
        marks = torch.from_numpy(hole)[None, None].float()
        hole = np.asarray(cut(marks, crop)[0, 0].numpy() == 1)
    if not hole.any():
        told = f"is empty within the centre crop of {width}x{height}"
        raise PictureError(f"{mask}: {told}; give a larger --crop", "MaskEmpty")
    check_something_is_known(hole, mask)
    return hole
