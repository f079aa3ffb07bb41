"""What the header of a Radiance picture (.hdr) says in lines that OpenImageIO leaves out.

"The RADIANCE Picture File Format": of several lines of EXPOSURE the product counts.
"""

from collections.abc import Iterable
from pathlib import Path

from ..errors import PictureError
from .attributes import Attribute

# What pixels were multiplied by, all and each colour; the primaries; from where one looks.
_KEPT = (b"EXPOSURE=", b"COLORCORR=", b"PRIMARIES=", b"VIEW=")
_NAME = "radianceHeader"  # no colon: OpenImageIO writes none that another format might own
_MOST = 65536  # bytes
_TURNED = (6, 8)  # of EXIF


def check_turn(path: Path, orientation: int) -> None:
    """PictureError for a picture on its side whose turns OpenImageIO takes for one another."""
    if path.suffix.lower() == ".hdr" and orientation in _TURNED:
        told = f"{path}: lies on its side (+X +Y or -X -Y), and would be turned the wrong way"
        raise PictureError(f"{told}; turn it upright (-Y +X) first", "Turned")


def lines_of(path: Path) -> tuple[Attribute, ...]:
    """The lines that say what its numbers mean, as an attribute."""
    with path.open("rb") as file:
        head = file.read(_MOST).partition(b"\n\n")[0]
    kept = _kept(head)
    return ((_NAME, "string", kept.decode("latin-1")),) if kept else ()


def with_lines(picture: bytes, attributes: Iterable[Attribute]) -> bytes:
    """A Radiance picture that says the same."""
    told = {name: value for name, _, value in attributes}.get(_NAME, "")
    kept = _kept(str(told).encode("latin-1", "replace"))
    return picture.replace(b"FORMAT=", kept + b"\nFORMAT=", 1) if kept else picture


def _kept(head: bytes) -> bytes:
    return b"\n".join(line for line in head.split(b"\n") if line.startswith(_KEPT))
