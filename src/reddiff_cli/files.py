"""Writing files: through a temporary file in the same folder, so that no half file can exist."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from .errors import PictureError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that no half of it can be seen; PictureError if that is refused."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".reddiff-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            with suppress(OSError):  # not every file system can
                os.fsync(file.fileno())  # else a power cut could leave a name without content
        share_as(Path(temporary), path)
        Path(temporary).replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(f"{path}: cannot be written ({reason})", "Unwritable") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink(missing_ok=True)


def share_as(temporary: Path, path: Path) -> None:
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
