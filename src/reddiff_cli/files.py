"""Writing files: through a temporary file in the same folder, so that no half file can exist."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import PictureError

# How a temporary file's name begins; a killed run leaves it.
TEMPORARY = ".reddiff-"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place at the end, or goes on any failure.

    OSError as the disk says it.
    """
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with suppress(OSError), temporary.open("rb+") as file:  # not every file system can
            os.fsync(file.fileno())  # else a power cut could leave a name without content
        _share_as(temporary, path)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that no half of it can be seen; PictureError if that is refused."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(f"{path}: cannot be written ({reason})", "Unwritable") from error


def write_json(path: Path, content: object) -> None:
    """Write JSON so that a reader never sees half of it; OSError if the disk does not take it."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _share_as(temporary: Path, path: Path) -> None:
    """Give a file that was made private the rights of the one that it will replace.

    Where there is none, those that the user's new files have.
    """
    try:
        rights = path.stat().st_mode & 0o777
    except OSError:
        rights = 0o666 & ~_UMASK
    temporary.chmod(rights)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


_UMASK = _umask()  # once, before there are threads: reading it means setting it
