"""What is said of a file that cannot be read: why, and what to do about it."""

from collections.abc import Callable
from errno import ELOOP, ENOENT
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ..errors import PictureError

AGAIN = "copy it again"
CURE = f"{AGAIN}, or give another"
EMPTY = f"is empty (0 bytes); {AGAIN}"
P = ParamSpec("P")
R = TypeVar("R")


def telling_of_damage(
    read: Callable[Concatenate[Path, P], R],
) -> Callable[Concatenate[Path, P], R]:
    """A reader of files, which says what to do about one that is empty, damaged or cut off."""

    @wraps(read)
    def told(path: Path, /, *rest: P.args, **options: P.kwargs) -> R:
        try:
            return read(path, *rest, **options)
        except PictureError as error:
            if error.kind != "Unreadable":
                raise
            if is_empty(path):
                raise PictureError(f"{path}: {EMPTY}", error.kind) from error
            if "; " in str(error).removeprefix(str(path)):
                raise
            raise PictureError(f"{error}; {CURE}", error.kind) from error

    return told


def is_empty(path: Path) -> bool:
    """Whether there is a file of no bytes."""
    return path.is_file() and not path.stat().st_size


def no_picture(path: Path) -> PictureError:
    """What is said of a file that no reader of pictures knows."""
    return PictureError(f"{path}: not a picture, damaged or cut off", "Unreadable")


def unopened(path: Path, error: OSError) -> PictureError:
    """What is said of a file that the system does not hand out."""
    if path.is_symlink() and error.errno in (ENOENT, ELOOP):
        told = f"{path}: is a link to {path.readlink()}, which is not there; mend or remove it"
        return PictureError(told, "Missing")
    cure = "; make it readable" if isinstance(error, PermissionError) else ""
    return PictureError(f"{path}: cannot be read ({error.strerror or error}){cure}", "Unreadable")
