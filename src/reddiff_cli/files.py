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
        share_as_usual(Path(temporary))
        Path(temporary).replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise PictureError(f"{path}: cannot be written ({reason})", "Unwritable") from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink(missing_ok=True)


def share_as_usual(path: Path) -> None:
    """Give a file that was made private the rights that the user's new files have."""
    path.chmod(0o666 & ~_UMASK)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


_UMASK = _umask()  # once, before there are threads: reading it means setting it
