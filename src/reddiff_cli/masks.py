"""Masks of users (white = fill) -> holes (True = fill). The one place where the flip happens."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .errors import PictureError, UsageError
from .formats.kinds import PICTURE_SUFFIXES
from .pictures import Hole, Picture, load_picture
from .task_options import InpaintOptions

MAGENTA = (1.0, 0.0, 1.0)
WHITE_FROM = 128  # of 255: half of the range
# Black masks with a little noise stay below this. What is brighter was meant (a colour, say), and
# so were 0 and 1, of 255 or of 65535, for no and yes.
DARK = 32
NEARLY_ALL = 0.95
# Edges are soft if more pixels than this share of the hole are brighter than this, of 255, but not
# filled, as far as this from it at most, and farther than those of smooth lines and letters.
SOFT, FEW_SOFT, FARTHEST, ANTIALIASED = 12, 0.1, 32, 1


class NothingToFill(Exception):
    """The mask is empty: the picture is skipped, which is no failure."""


def load_hole(
    picture: Picture,
    path: Path | None,
    options: InpaintOptions,
    on_note: Callable[[str], None] = lambda _: None,
) -> Hole:
    """(H, W), True where the picture is to be filled.

    From a mask file (>= 50 % grey = fill), else fully transparent pixels, else pixels of exactly
    (255, 0, 255). PictureError for a wrong size or nothing known; NothingToFill if empty. on_note
    is told of soft edges that are cut.
    """
    if path is None:
        hole = _from_picture(picture)
    else:
        values = _values_of(picture, path)
        hole = values >= WHITE_FROM
        reach = 0 if options.invert else soft_reach(values)
        if reach > options.grow:
            told = f"its soft edges are cut at half; --grow-mask {reach} fills all of them"
            on_note(f"warning: {path}: {told}")
    if options.invert:
        hole = ~hole
    if not hole.any():
        raise NothingToFill("mask is empty")
    hole = _grow(hole, options.grow)
    check_something_is_known(hole, path)
    return hole


def check_something_is_known(hole: Hole, path: Path | None) -> None:
    """PictureError for a hole as large as the picture."""
    if hole.all():
        name = path or "mask"
        raise PictureError(f"{name}: covers the whole picture; leave something known", "MaskFull")


def covered_share(hole: Hole) -> float:
    """Share of the picture that is to be filled."""
    return float(hole.mean())


class Masks:
    """What --mask names: nothing, one file for all pictures, or a folder of one for each.

    Every part of the folder is listed once: 2000 pictures are planned in 0.3 s instead of 43 s.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._listed: dict[Path, dict[str, list[Path]]] = {}  # folder, stem

    def find(self, picture: Path, root: Path | None) -> Path | None:
        """The mask file of a picture: the file itself, or the one of the same relative stem.

        root: the input folder below which the picture was found. PictureError if a folder has
        none.
        """
        mask = self._path
        if mask is None or mask.is_file():
            return mask
        if not mask.is_dir():
            raise UsageError(f"--mask {mask}: no such file or folder")
        relative = picture.relative_to(root) if root else Path(picture.name)
        folder = mask / relative.parent
        if folder not in self._listed:
            self._listed[folder] = _pictures_by_stem(folder)
        found = self._listed[folder].get(picture.stem, [])
        if not found:
            wanted = relative.with_suffix(".*")
            raise PictureError(f"{picture}: no mask named {wanted} in {mask}", "Mask")
        same_name = [p for p in found if p.name == picture.name]
        if len(found) > 1 and not same_name:
            names = ", ".join(p.name for p in found)
            raise PictureError(f"{picture}: several masks ({names}); leave one", "Mask")
        return (same_name or found)[0]


def _pictures_by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    try:
        for path in sorted(folder.iterdir()):
            # Reading a pipe would wait for ever.
            if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
                found.setdefault(path.stem, []).append(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        told = f"{folder}: folder of masks cannot be read ({error.strerror}); make it readable"
        raise PictureError(told, "Mask") from error
    return found


def soft_reach(values: NDArray[np.float32]) -> int:
    """Pixels by which what is filled has to grow to take soft edges with it; 0 if they are hard.

    values: (H, W), of 255.
    """
    hole: Hole = values >= WHITE_FROM
    soft = (values > SOFT) & ~hole
    if soft.sum() <= FEW_SOFT * hole.sum():
        return 0
    for reach in range(1, FARTHEST + 1):
        hole = _grow(hole, 1)
        if not (soft & ~hole).any():
            return reach if reach > ANTIALIASED else 0
    return 0  # no edge, but something else that is grey


def hole_from_file(picture: Picture, path: Path) -> Hole:
    """(H, W), True where a mask file is white; PictureError if its size is another."""
    hole: Hole = _values_of(picture, path) >= WHITE_FROM
    return hole


def _values_of(picture: Picture, path: Path) -> NDArray[np.float32]:
    """(H, W), of 255; PictureError if they are another picture's, or all too dark."""
    mask = load_picture(path)
    check_mask_size(path, (mask.width, mask.height), (picture.width, picture.height))
    # A mask drawn on transparency counts where it is opaque.
    grey = mask.pixels.mean(2)
    if mask.alpha is not None:
        grey = grey * mask.alpha
    values: NDArray[np.float32] = np.rint(grey * 255)
    brightest = int(values.max())
    if grey.any() and (brightest <= 1 or DARK <= brightest < WHITE_FROM):
        told = (
            f"{path}: its brightest value is {brightest} of 255; {WHITE_FROM} and more is filled"
        )
        raise PictureError(f"{told}; make what is to be filled white", "MaskDark")
    drawn = mask.alpha is not None and mask.alpha >= 0.5
    if brightest < DARK and np.any(drawn) and not np.all(drawn):
        told = f"{path}: is black wherever it is opaque, and black is kept; painted with black?"
        raise PictureError(f"{told} make what is to be filled white", "MaskDark")
    return values


def check_mask_size(path: Path, mask: tuple[int, int], picture: tuple[int, int]) -> None:
    """PictureError if a mask is not as wide and high as its picture."""
    if mask != picture:
        raise PictureError(
            f"{path}: mask is {mask[0]}x{mask[1]}, picture is {picture[0]}x{picture[1]}; "
            "make them equal",
            "MaskSize",
        )


def _from_picture(picture: Picture) -> Hole:
    if picture.alpha is not None and bool((picture.alpha == 0).any()):
        transparent: Hole = picture.alpha == 0
        return transparent
    if picture.pixels.shape[2] == 3:
        marked: Hole = (picture.pixels == np.asarray(MAGENTA, dtype=np.float32)).all(2)
        if marked.any():
            return marked
    raise UsageError(
        "no mask: the picture has no transparent and no magenta (255, 0, 255) pixels; give --mask"
    )


def _grow(hole: Hole, pixels: int) -> Hole:
    """Dilate by a square: objects leave halos."""
    for axis in (0, 1):
        grown = hole.copy()
        for shift in range(1, min(pixels, hole.shape[axis] - 1) + 1):
            ahead, behind = [slice(None)] * 2, [slice(None)] * 2
            ahead[axis], behind[axis] = slice(shift, None), slice(None, -shift)
            grown[tuple(ahead)] |= hole[tuple(behind)]
            grown[tuple(behind)] |= hole[tuple(ahead)]
        hole = grown
    return hole
