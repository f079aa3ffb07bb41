"""Pictures that a check has read, and the run need not read again."""

from pathlib import Path

from .files import Picture, load_picture


class Readings:
    """Pictures that were read to be checked, each for the next who wants it."""

    def __init__(self) -> None:
        self._read: dict[Path, Picture] = {}

    def keep(self, path: Path, picture: Picture) -> None:
        """Until it is taken."""
        self._read[path] = picture

    def take(self, path: Path) -> Picture:
        """As `load_picture`."""
        return self._read.pop(path, None) or load_picture(path)
