"""Files that are empty, cut off or damaged say so in one line, and what to do."""

import h5py
import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image
from scipy.io import savemat

from conftest import scene
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.formats.arrays import ARRAY_SUFFIXES, load_array
from reddiff_cli.formats.damage import CURE
from reddiff_cli.formats.jpeg import read_jpeg
from reddiff_cli.kernels.files import read_kernel
from reddiff_cli.pictures.files import Picture, load_picture, save_picture, size_of
from reddiff_cli.planning.jobs import check_readable

LIGHT = scene(60, 90) / np.float32(255)


def by_pillow(kind, **options):
    return lambda path: Image.fromarray(scene(60, 90)).save(path, kind, **options)


def by_us(depth):
    return lambda path: save_picture(Picture(LIGHT, depth=depth), path, {"seed": 1})


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["x"] = LIGHT[:, :, 0]


def tiled(path):
    spec = oiio.ImageSpec(90, 60, 3, oiio.FLOAT)
    spec.tile_width = spec.tile_height = 32
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_tiles(0, 90, 0, 60, 0, 1, LIGHT)
    out.close()


KINDS = {
    "a.png": by_pillow("PNG"),
    "sixteen.png": by_us(16),
    "a.jpg": by_pillow("JPEG"),
    "progressive.jpg": by_pillow("JPEG", progressive=True),
    "a.tif": by_pillow("TIFF"),
    "lzw.tif": by_pillow("TIFF", compression="tiff_lzw"),
    "sixteen.tif": by_us(16),
    "float.tif": by_us(32),
    "a.webp": by_pillow("WEBP"),
    "lossless.webp": by_pillow("WEBP", lossless=True),
    "a.bmp": by_pillow("BMP"),
    "a.jp2": by_pillow("JPEG2000"),
    "a.avif": by_pillow("AVIF"),
    "a.exr": by_us(32),
    "tiled.exr": tiled,
    "a.npy": lambda path: np.save(path, LIGHT),
    "a.npz": lambda path: np.savez(path, x=LIGHT),
    "a.h5": hdf5,
    "a.mat": lambda path: savemat(path, {"x": LIGHT}),
}


def reader_of(path):
    only_arrays = ARRAY_SUFFIXES - {".tif", ".exr"}
    return load_array if path.suffix in only_arrays else load_picture


@pytest.mark.parametrize("name", KINDS)
def test_what_is_cut_off_or_another_file_says_so(tmp_path, name):
    """Why the reader gave up, if it said so, and what to do; in one line, and nothing is made."""
    path = tmp_path / name
    KINDS[name](path)
    content, read = path.read_bytes(), reader_of(path)
    read(path)
    # Sums and the last chunk are not missed, nor what fills rows up.
    last = {".png": -100, ".bmp": -10}.get(path.suffix, 0) - 1
    cuts = [
        content[:size] for size in (8, 60, 300, len(content) // 3, len(content) * 3 // 4, last)
    ]
    for left in (*cuts, b"?" * len(content)):
        path.write_bytes(left)
        with pytest.raises(PictureError) as caught:
            read(path)
        told = str(caught.value)
        assert told.startswith(f"{path}: ")
        assert told.endswith(f"; {CURE}")
        assert (told.count("; "), told.count("\n"), caught.value.kind) == (1, 0, "Unreadable")


@pytest.mark.parametrize("name", KINDS)
def test_what_is_empty_says_so(tmp_path, name):
    (tmp_path / name).touch()
    reads = [reader_of(tmp_path / name)]
    reads += [size_of] if reads == [load_picture] else []
    for read in reads:
        with pytest.raises(PictureError) as caught:
            read(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: is empty (0 bytes); copy it again"


def test_kernels_and_coefficients_say_it_as_well(tmp_path):
    for name in ("k.npy", "k.png"):
        (tmp_path / name).touch()
        with pytest.raises(UsageError, match=r"is empty \(0 bytes\); copy it again$"):
            read_kernel(tmp_path / name)
    by_pillow("JPEG")(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[:-200])
    with pytest.raises(PictureError, match="damaged or cut off; copy it again"):
        read_jpeg(tmp_path / "a.jpg")


def test_an_archive_that_is_none_is_not_said_to_hold_objects(tmp_path):
    """NumPy takes whatever it does not know for pickled objects, to be loaded unsafely."""
    (tmp_path / "a.npz").write_bytes(b"P")
    with pytest.raises(PictureError) as caught:
        load_array(tmp_path / "a.npz")
    assert "unsafe" not in str(caught.value)


def test_a_closed_file_says_what_to_do(tmp_path, monkeypatch):
    def closed(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("reddiff_cli.pictures.files.open_picture", closed)
    with pytest.raises(PictureError, match=r"cannot be read \(Permission denied\); make it read"):
        load_picture(tmp_path / "a.png")


@pytest.mark.parametrize("target", ["gone.png", "a.png"])
def test_a_link_to_nothing_is_told(tmp_path, target):
    link = tmp_path / "a.png"
    link.symlink_to(target)
    told = f"{link}: is a link to {target}, which is not there; mend or remove it"
    with pytest.raises(PictureError) as caught:
        check_readable(link)
    assert (str(caught.value), caught.value.kind) == (told, "Missing")
