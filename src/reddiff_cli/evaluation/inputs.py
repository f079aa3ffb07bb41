"""What an evaluation reads: clean pictures, and beside them masks of the user's own."""

import hashlib
from contextlib import suppress
from pathlib import Path

from ..errors import PictureError
from ..formats.kinds import FLOAT
from ..kernels.files import Kernels
from ..options.tasks import InpaintOptions
from ..pictures.files import Hole, Picture, header_of, is_grey, load_picture, size_of
from ..pictures.masks import (
    Masks,
    NothingToFill,
    SeenAlone,
    check_mask,
    check_something_is_known,
    load_hole,
)
from ..planning.jobs import check_readable, file_digest, list_pictures
from .crops import Crop, crop_of
from .hole_shapes import check_hole
from .options import Case, HoleOptions


class EvalInputs:
    """Files and folders of clean pictures, and a mask for all of them, or a folder with theirs.

    output: the folder of the results, which is not looked into.    holes: how the masks are to be
    taken, if the user has some.    kernels: where those of files are kept for the run.
    """

    def __init__(
        self,
        inputs: list[Path],
        recursive: bool,
        output: Path,
        holes: InpaintOptions | None = None,
        kernels: Kernels | None = None,
    ) -> None:
        self._inputs, self._recursive, self._output = inputs, recursive, output
        self._holes = holes or InpaintOptions()
        self._masks = Masks(self._holes.mask)
        self._last: tuple[Path, SeenAlone | PictureError | NothingToFill] | None = None  # by mask
        self._light: set[Path] = set()  # pictures of which it was read that it can be taken
        self.kernels = kernels or Kernels()
        self._unread: dict[Path, PictureError] = {}  # folders, and why

    def pictures(self, limit: int | None = None) -> list[Path]:
        """The first `limit` in a fixed order, and copies of them before the next, which count as
        one; then all folders that cannot be read, each of which fails.

        Masks in a folder below are none. UsageError if there are none.
        """
        folders = self._output, self._holes.mask
        found = list_pictures(self._inputs, self._recursive, *folders, self._unread)
        if limit is not None:
            found = self._first(limit, found)
        return [*found, *self._unread]

    def digest(self, picture: Path) -> str:
        """sha256 of its file; PictureError if it, or what should be its folder, cannot be read."""
        if picture in self._unread:
            raise self._unread[picture]
        check_readable(picture)
        return file_digest(picture)

    def _first(self, limit: int, found: list[Path]) -> list[Path]:
        chosen: list[Path] = []
        seen: set[str] = set()
        for path in found:
            contents = self._contents(path)
            if contents not in seen and len(seen) == limit:
                break
            seen.add(contents)
            chosen.append(path)
        return chosen

    def _contents(self, picture: Path) -> str:
        """The same for copies; of what cannot be read its name."""
        try:
            mask = self.mask_of(picture)
            return digest_of(self.digest(picture), file_digest(mask) if mask else None)
        except PictureError:
            return str(picture)

    def mask_of(self, picture: Path) -> Path | None:
        """Its mask, paired as by `inpaint`; PictureError if a folder of masks has none for it."""
        above = (path for path in self._inputs if path.is_dir() and picture.is_relative_to(path))
        return self._masks.find(picture, next(above, None))

    def check(self, case: Case, picture: Path, crop: int) -> None:
        """PictureError in the words of the run, where headers, kernels or masks tell of one."""
        if picture in self._unread:
            raise self._unread[picture]
        mask = self.mask_of(picture)
        try:
            if picture not in self._light and header_of(picture)[0] == FLOAT:
                load_picture(picture)  # light that is negative, or not a number
                self._light.add(picture)
            where = crop_of(case.options, size_of(picture), crop, self.kernels)
            if case.task == "colorize" and is_grey(picture):
                raise is_colourless()
            if isinstance(case.options, HoleOptions):
                check_hole(case.options, where.size)
            elif mask:
                self._check_own(picture, mask, where)
            elif shared := case.options.shared_mask:
                with suppress(NothingToFill):  # the other damages are still to be undone
                    self._alone(shared, InpaintOptions())
        except PictureError as error:
            raise naming(picture, error) from error

    def _check_own(self, picture: Path, mask: Path, crop: Crop) -> None:
        whole = is_of_all(mask, size_of(picture), crop.size[::-1])
        try:
            alone = self._alone(mask, self._holes)
        except NothingToFill as nothing:
            raise is_empty(mask, nothing) from None
        if alone.shaded:  # it may be a copy of what it is for
            seen = load_picture(picture)
            cut = seen.pixels[crop.rows, crop.columns]
            load_hole(seen if whole else Picture(cut), mask, self._holes)
        if whole:
            within(alone.hole, crop, mask)

    def _alone(self, mask: Path, options: InpaintOptions) -> SeenAlone:
        """A mask without its picture; that of all pictures is read once."""
        if self._last is None or self._last[0] != mask:
            try:
                self._last = mask, check_mask(mask, options)
            except (PictureError, NothingToFill) as error:
                self._last = mask, error
        if isinstance(found := self._last[1], Exception):
            raise found
        return found


def naming(picture: Path, error: PictureError) -> PictureError:
    """The error, with the name of the picture that fails by it."""
    text = str(error)
    return PictureError(
        text if text.startswith(str(picture)) else f"{picture}: {text}", error.kind
    )


def is_colourless() -> PictureError:
    """What is said of a grey picture where colours are to be lost."""
    return PictureError("picture is grey; colorize is measured on colours", "Colour")


def within(hole: Hole, crop: Crop, mask: Path) -> Hole:
    """The hole of a whole picture within its crop; PictureError if that has none, or is all."""
    inner: Hole = hole[crop.rows, crop.columns]
    if not inner.any():
        told = f"is empty within the centre crop of {_sides(crop.size[::-1])}"
        raise PictureError(f"{mask}: {told}; give a larger --crop", "MaskEmpty")
    check_something_is_known(inner, mask)
    return inner


def is_empty(mask: Path, nothing: NothingToFill) -> PictureError:
    """What an evaluation says of it; where `inpaint` has nothing to do, this measures nothing."""
    return PictureError(f"{mask}: {nothing}; mark what is to be filled", "MaskEmpty")


def is_of_all(mask: Path, picture: tuple[int, int], crop: tuple[int, int]) -> bool:
    """True for the mask of a picture, False for one of its crop; PictureError if it is neither."""
    size = size_of(mask)
    if size not in (picture, crop):
        told = f"mask is {_sides(size)}, picture is {_sides(picture)}, its crop {_sides(crop)}"
        raise PictureError(f"{mask}: {told}; make it as large as one of them", "MaskSize")
    return size == picture


def digest_of(picture: str, mask: str | None) -> str:
    """One name for the contents of both, from their own; that of the picture without a mask."""
    return hashlib.sha256((picture + mask).encode()).hexdigest() if mask else picture


def _sides(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
