"""Files as OpenImageIO reads them: by name, one picture or several, and what it says of damage."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

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


@contextmanager
def reader_of(path: Path) -> Iterator[Any]:
    """What tells of a file, closed at the end; None where no format knows it."""
    import OpenImageIO as oiio

    source = oiio.ImageInput.open(name_of(path))
    try:
        yield source
    finally:
        complaint(oiio if source is None else source)
        if source is not None:
            source.close()


def has_several(path: Path) -> bool:
    """Whether there is a second picture, a page of a TIFF or a part of an EXR.

    OpenImageIO's count is 0 where it has not looked.
    """
    with reader_of(path) as source:
        return source is not None and bool(source.seek_subimage(1, 0))


def samples_of(path: Path, buffer: Any, kind: object) -> Any:  # noqa: ANN401  (untyped library)
    """Those of an `ImageBuf`, (H, W, channels); PictureError where they cannot be decoded."""
    # What is damaged must not be asked for pixels: that ends the process.
    there = buffer.spec().width > 0 and not buffer.has_error
    values = buffer.get_pixels(kind) if there else None
    if values is None or buffer.has_error:
        reason = complaint(buffer) or "unknown format"
        raise PictureError(f"{path}: cannot be decoded ({reason})", "Unreadable")
    return values
