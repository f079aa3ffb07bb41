"""What an evaluation reads: clean pictures, and beside them masks of the user's own."""

import hashlib
from pathlib import Path

from ..errors import PictureError
from ..jobs import file_digest, list_pictures
from ..masks import Masks, NothingToFill, check_mask
from ..pictures import size_of
from ..task_options import InpaintOptions


class EvalInputs:
    """Files and folders of clean pictures, and a mask for all of them, or a folder with theirs.

    output: the folder of the results, which is not looked into.    holes: how the masks are to be
    taken, if the user has some.
    """

    def __init__(
        self,
        inputs: list[Path],
        recursive: bool,
        output: Path,
        holes: InpaintOptions | None = None,
    ) -> None:
        self._inputs, self._recursive, self._output = inputs, recursive, output
        self._holes = holes or InpaintOptions()
        self._masks = Masks(self._holes.mask)
        self._found: dict[Path, PictureError | None] = {}  # by mask: what is wrong with it
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

    def check(self, picture: Path, crop: int) -> None:
        """PictureError where the picture's header, or its mask, tells that it cannot be used."""
        if picture in self._unread:
            raise self._unread[picture]
        size = size_of(picture)
        if mask := self.mask_of(picture):
            is_of_all(mask, size, (min(crop, size[0]), min(crop, size[1])))
            if error := self._wrong_in(mask):
                raise error

    def _wrong_in(self, mask: Path) -> PictureError | None:
        """What is wrong with all of a mask; one that pictures share is read once."""
        if mask not in self._found:
            self._found[mask] = None
            try:
                check_mask(mask, self._holes)
            except NothingToFill as nothing:
                self._found[mask] = is_empty(mask, nothing)
            except PictureError as error:
                self._found[mask] = error
        return self._found[mask]


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
