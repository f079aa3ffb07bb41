"""Several exposures of one scene: what must be alike, as headers and pictures tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import PictureError


@dataclass(frozen=True)
class Photograph:
    """One photograph.    size: width and height, upright.    linear: whether it holds light."""

    path: Path
    size: tuple[int, int]
    grey: bool
    linear: bool


def check_alike(shots: Sequence[Photograph]) -> None:
    """PictureError where one holds light, or differs in its size or colours from the first."""
    for shot in shots:
        if shot.linear:
            told = f"{shot.path}: is linear light already, which does not clip"
            raise PictureError(f"{told}; give the photograph", "Depth")
    first = shots[0]
    width, height = first.size
    for other in shots[1:]:
        if other.size != first.size:
            raise PictureError(
                f"{other.path}: is {other.size[0]}x{other.size[1]}, {first.path} is "
                f"{width}x{height}; exposures of one scene have one size",
                "Size",
            )
        if other.grey != first.grey:
            grey = other.path if other.grey else first.path
            raise PictureError(
                f"{grey}: is grey, and not all exposures are; give all of them in colour, or none",
                "Channels",
            )
