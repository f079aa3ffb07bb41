"""Files that hold several pictures: pages of a TIFF, parts of an EXR."""

from pathlib import Path

from .complaints import complaint


def has_several(path: Path) -> bool:
    """Whether OpenImageIO finds a second picture; its count is 0 where it has not looked."""
    import OpenImageIO as oiio

    source = oiio.ImageInput.open(str(path))
    if source is None:
        complaint(oiio)
        return False
    found = bool(source.seek_subimage(1, 0))
    complaint(source)
    source.close()
    return found
