"""Masks of users, where white is filled -> holes, where True is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError, UsageError
from ..formats.kinds import PICTURE_SUFFIXES
from ..options.tasks import InpaintOptions
from .files import Hole, Picture, Pixels, load_picture
from .mask_edges import WHITE_FROM, grow, marked, soft_reach

MAGENTA = (1.0, 0.0, 1.0)
# What is beside it is mixed with it if red and blue are so much more than green.
MIXED = 0.15
# What JPEG makes of it lies so near. More than such a share of the exact ones is no brush's edge.
NEAR, SMEARED = 8 / 255, 0.1
# Pixels over which an encoder mixes it with what is beside it, as colours of half the resolution.
SMEAR = 2
# A GIF holds no photograph, but masks of some editors.
SUFFIXES = (*PICTURE_SUFFIXES, ".gif")
# Masks of a folder may be called as their pictures, or so.
ENDINGS = ("_mask", "-mask")
# Black masks with a little noise stay below this. What is brighter was meant (a colour, say), and
# so were 0 and 1, of 255 or of 65535, for no and yes.
DARK = 32
NEARLY_ALL = 0.95
# Between these a value is neither black nor white.
MIDDLE = (0.1, 0.9)
# A copy of the picture has so much of what is neither, nearly as it is there, and no mask has; so
# many pixels tell. Masks in which less is neither are looked at no further.
ALIKE, COPIED, ENOUGH, FEW = 10 / 255, 0.5, 100, 0.02
# A photograph has more than so much of what is neither, and of colours (channels so far apart),
# and no more than so much of its four most frequent ones. Gradients have no colours.
SHADES, COLOURED, APART, PLAIN = 0.5, 0.2, 0.06, 0.5


class NothingToFill(Exception):
    """The mask is empty: the picture is skipped, which is no failure."""


def load_hole(
    picture: Picture,
    path: Path | None,
    options: InpaintOptions,
    on_note: Callable[[str], None] = lambda _: None,
    *,
    smeared: bool = False,
) -> Hole:
    """(H, W), True where the picture is to be filled.

    From a mask file (>= 50 % grey = fill, and grey beside that), else fully transparent pixels,
    else pixels of exactly (255, 0, 255), and mixtures beside these. PictureError for a wrong size,
    no mask or nothing known; NothingToFill if empty. on_note is told of soft edges that are cut.
    smeared: the picture is of a lossy file, whose marks may be nearly of that colour.
    """
    if path is None:
        values, name = _values_in(picture, smeared=smeared), "the marks"
    else:
        values, name = _values_of(picture, path), str(path)
    if options.invert:
        values = 255 - values
    hole = marked(values)
    reach = soft_reach(values)
    if reach > options.grow:
        told = f"soft edges are cut at half; --grow-mask {reach} fills all of them"
        on_note(f"warning: {name}: {told}")
    if not hole.any():
        raise NothingToFill("mask is empty")
    hole = grow(hole, options.grow)
    check_something_is_known(hole, path)
    return hole


def check_something_is_known(hole: Hole, path: Path | None) -> None:
    """PictureError for a hole as large as the picture.    path: its mask; None: marks in it."""
    if hole.all():
        told = f"{path}: covers" if path else "the marks cover"
        raise PictureError(f"{told} the whole picture; leave something known", "MaskFull")


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
            told = "is a pipe or a device" if mask.exists() else "no such file or folder"
            raise UsageError(f"--mask {mask}: {told}; give a file, or a folder of masks")
        relative = picture.relative_to(root) if root else Path(picture.name)
        folder = mask / relative.parent
        if folder not in self._listed:
            self._listed[folder] = _pictures_by_stem(folder)
        stems = (picture.stem, *(picture.stem + ending for ending in ENDINGS))
        listed, composed = self._listed[folder], [normalize("NFC", stem) for stem in stems]
        found = next((listed[s] for s in (*stems, *composed) if s in listed), [])
        if not found:
            tried = [str(relative.with_name(f"{stem}.*")) for stem in stems]
            wanted = f"{', '.join(tried[:-1])} or {tried[-1]}"
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
            if path.suffix.lower() in SUFFIXES and path.is_file():
                found.setdefault(path.stem, []).append(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        told = f"{folder}: folder of masks cannot be read ({error.strerror}); make it readable"
        raise PictureError(told, "Mask") from error
    # Macs take letters with accents apart, and so do archives that are made there.
    composed = {normalize("NFC", stem): paths for stem, paths in found.items()}
    return composed | found


def hole_from_file(picture: Picture, path: Path) -> Hole:
    """(H, W), True where a mask file is `marked`; PictureError if it is none of this picture."""
    return marked(_values_of(picture, path))


@dataclass(frozen=True)
class SeenAlone:
    """A mask without its picture.    hole: what it fills.    shaded: it may be a copy of that."""

    hole: Hole
    shaded: bool


def check_mask(path: Path, options: InpaintOptions) -> SeenAlone:
    """What can be told of a mask without its picture: PictureError or NothingToFill, too."""
    mask = load_picture(path)
    if _is_photograph(mask):
        raise _no_mask(path)
    values = _values_in_mask(mask, path)
    hole = marked(255 - values if options.invert else values)
    if not hole.any():
        raise NothingToFill("mask is empty")
    hole = grow(hole, options.grow)
    check_something_is_known(hole, path)
    return SeenAlone(hole, _is_shaded(mask))


def _values_of(picture: Picture, path: Path) -> NDArray[np.float32]:
    """(H, W), of 255; PictureError if they are another picture's, none's, or all too dark."""
    mask = load_picture(path)
    check_mask_size(path, (mask.width, mask.height), (picture.width, picture.height))
    if _is_copy(mask, picture) or _is_photograph(mask):
        raise _no_mask(path)
    return _values_in_mask(mask, path)


def _no_mask(path: Path) -> PictureError:
    told = "is a photograph, not a mask; paint what is to be filled white on black"
    return PictureError(f"{path}: {told}, or on a transparent layer of its own", "MaskPhoto")


def _values_in_mask(mask: Picture, path: Path) -> NDArray[np.float32]:
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


def check_mask_size(
    path: Path, mask: tuple[int, int], picture: tuple[int, int], *, turned: bool = False
) -> None:
    """PictureError if a mask is not as wide and high as its picture.

    turned: whether the picture's file has width and height the other way round.
    """
    if mask == picture:
        return
    sizes = f"mask is {mask[0]}x{mask[1]}, picture is {picture[0]}x{picture[1]}"
    cure = "make them equal"
    if turned and mask == picture[::-1]:
        sizes += ", turned upright by its EXIF orientation"
        cure = "draw the mask on the upright picture"
    raise PictureError(f"{path}: {sizes}; {cure}", "MaskSize")


def _is_copy(mask: Picture, picture: Picture) -> bool:
    """True if most of a mask is the picture itself, as where somebody painted on a copy."""
    if picture.linear or not _is_shaded(mask):
        return False
    shades = _is_shade(picture.pixels)
    if shades.sum() < ENOUGH:
        return False
    alike = np.abs(mask.pixels - picture.pixels).max(2) < ALIKE
    return bool(alike[shades].mean() > COPIED)


def _is_shaded(mask: Picture) -> bool:
    """True if so much is neither black nor white that it may be a copy of its picture."""
    return not mask.linear and bool(_is_shade(mask.pixels).mean() >= FEW)


def _is_photograph(mask: Picture) -> bool:
    """True if a mask has many shades of many colours."""
    pixels = mask.pixels
    if _is_shade(pixels).mean() < SHADES or _is_coloured(pixels).mean() < COLOURED:
        return False
    coarse = (pixels.clip(0, 1) * 15).astype(np.int32) @ (256, 16, 1)
    counts = np.sort(np.unique(coarse, return_counts=True)[1])
    return bool(counts[-4:].sum() < PLAIN * coarse.size)


def _is_shade(pixels: Pixels) -> NDArray[np.bool_]:
    """(H, W), True where some channel is neither black nor white."""
    # Channel by channel: along an axis of three values numpy takes several times as long.
    inside = ((c > MIDDLE[0]) & (c < MIDDLE[1]) for c in np.moveaxis(pixels, 2, 0))
    return reduce(np.logical_or, inside)


def _is_coloured(pixels: Pixels) -> NDArray[np.bool_]:
    """(H, W), True where the channels are far apart."""
    channels = list(np.moveaxis(pixels, 2, 0))  # as above
    apart: NDArray[np.bool_] = reduce(np.maximum, channels) - reduce(np.minimum, channels) > APART
    return apart


def _values_in(picture: Picture, *, smeared: bool) -> NDArray[np.float32]:
    """(H, W), of 255: what is marked in the picture itself, by transparency or by magenta."""
    if picture.alpha is not None and bool((picture.alpha == 0).any()):
        return np.where(picture.alpha == 0, np.float32(255), np.float32(0))
    pixels = picture.pixels
    if pixels.shape[2] == 3:
        exact: Hole = (pixels == np.asarray(MAGENTA, dtype=np.float32)).all(2)
        if exact.any():
            mixed = np.minimum(pixels[..., 0], pixels[..., 2]) - pixels[..., 1]
            if smeared:
                exact = _before_smearing(_nearly(pixels, exact), mixed > MIXED)
            # Only magenta itself starts a hole; what is mixed with it is an edge of one.
            edge = np.where(mixed > MIXED, np.float32(WHITE_FROM - 1), np.float32(0))
            return np.where(exact, np.float32(255), edge)
    raise UsageError(
        "no mask: the picture has no transparent and no magenta (255, 0, 255) pixels; give --mask"
    )


def _nearly(pixels: Pixels, exact: Hole) -> Hole:
    """What is nearly magenta, if that is more than the edge of a brush."""
    red, green, blue = np.moveaxis(pixels, 2, 0)
    near: Hole = (red >= 1 - NEAR) & (green <= NEAR) & (blue >= 1 - NEAR)
    return near if near.sum() > (1 + SMEARED) * exact.sum() else exact


def _before_smearing(near: Hole, mixed: Hole) -> Hole:
    """What was magenta before an encoder mixed its edges, and a pixel more, as they are tinted."""
    wide = near
    for _ in range(SMEAR):
        wide = wide | (grow(wide, 1) & mixed)
    return grow(wide, 1) if wide.sum() > (1 + SMEARED) * near.sum() else near
