"""What OpenImageIO is told, and has to say, about a file."""

from pathlib import Path
from typing import Protocol

from ..errors import PictureError

MOST_WORDS = 120  # letters of an error, which often says all twice


class Complaining(Protocol):
    """The module, and whatever it opens."""

    def geterror(self) -> str: ...


def complaint(source: Complaining) -> str:
    """The error that is pending, once and in short; it would be printed as the program ends."""
    try:
        told = str(source.geterror())
    except UnicodeDecodeError:  # it holds bytes of the file, as they are
        return "damaged"
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    text = ", ".join(dict.fromkeys(lines)).replace("; ", ", ")  # what follows one is a cure
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}..."


def name_of(path: Path) -> str:
    """The name of a file; PictureError for bytes that are no UTF-8, which it does not take."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        told = f"{path}: its name is not UTF-8, and OpenImageIO opens no such file; rename it"
        raise PictureError(told, "Name") from error
    return str(path)
