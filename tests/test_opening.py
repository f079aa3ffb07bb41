"""Files that are not what they seem, and what must not follow from opening them."""

import sys
import unicodedata
import zipfile
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, PngImagePlugin
from scipy.io import savemat

from conftest import scene
from reddiff_cli.checkpoints.folders import read_json
from reddiff_cli.errors import ModelMissing, PictureError
from reddiff_cli.formats import arrays, opening
from reddiff_cli.formats.arrays import load_array
from reddiff_cli.formats.carriers import RECORD, read_record
from reddiff_cli.formats.jpeg import find_luminance_table
from reddiff_cli.formats.reader import complaint
from reddiff_cli.pictures.files import Picture, load_picture, save_picture
from reddiff_cli.pictures.masks import Masks
from reddiff_cli.reporting.report import print_line


def test_postscript_is_not_run_whatever_a_file_is_called(tmp_path, monkeypatch):
    path = tmp_path / "photo.png"
    Image.fromarray(scene(16, 16)).save(path, "EPS")

    def run(*_args, **_options):
        raise AssertionError("Ghostscript")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", run)
    with pytest.raises(PictureError, match="not a picture, damaged or cut off"):
        load_picture(path)
    assert find_luminance_table(path) is None


def test_a_file_that_claims_more_than_memory_holds_is_not_read(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (40_000, 40_000), dtype="f4", chunks=(64, 64))
    with pytest.raises(PictureError, match="more than 178 million numbers"):
        load_array(tmp_path / "a.h5")
    values = np.arange(400.0).reshape(20, 20)
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "a.npz", x=values)
    for name in ("a.npy", "a.npz"):
        assert (load_array(tmp_path / name) == values).all()
    monkeypatch.setattr(arrays, "MOST", 399)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(PictureError, match="million numbers"):
            load_array(tmp_path / name)


@pytest.mark.parametrize("name", ["x.npy", "x"])
@pytest.mark.parametrize("kind", ["|u1", "<f8", "|V1000000"])
def test_what_an_archive_claims_is_not_read(tmp_path, name, kind):
    """Whatever its member is called, and however few bytes a number has."""
    header = BytesIO()
    shape = (10_000, 1) if kind.startswith("|V") else (20_000, 20_000)
    claimed = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, claimed)
    for path in (tmp_path / "a.npz", tmp_path / "a.npy"):
        path.write_bytes(header.getvalue())
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr(name, header.getvalue())
    for path in (tmp_path / "a.npz", tmp_path / "a.npy"):
        with pytest.raises(PictureError, match="more than 178 million numbers"):
            load_array(path)


def test_other_members_of_an_archive_are_no_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("x", bytes(1000))
    with pytest.raises(PictureError, match="'x' holds no NumPy array"):
        load_array(tmp_path / "a.npz")


def test_what_holds_no_numbers_is_named(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(PictureError, match="holds objects of Python, and no numbers"):
        load_array(tmp_path / "a.npy")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = h5py.Empty("f4")
    with pytest.raises(PictureError, match="'x' is empty"):
        load_array(tmp_path / "a.h5", "x")


def test_only_what_is_asked_for_may_not_be_too_large(tmp_path, monkeypatch):
    values = np.arange(12.0).reshape(3, 4)
    content = {"x": values, "large": np.zeros((30, 30), np.uint8), "said": "words", "one": 1.0}
    savemat(tmp_path / "a.mat", content)
    monkeypatch.setattr(arrays, "MOST", 100)
    assert (load_array(tmp_path / "a.mat", "x") == values).all()
    with pytest.raises(PictureError, match="million numbers"):
        load_array(tmp_path / "a.mat", "large")
    with pytest.raises(PictureError, match="several arrays.*: x, large$"):
        load_array(tmp_path / "a.mat")


def test_kinds_of_pictures_are_tried_in_one_order(tmp_path):
    """TGA, which nothing marks, last; and the second kind of BMP is read."""
    assert opening.KINDS[-1] == "TGA"
    assert isinstance(opening.KINDS, tuple)
    values = scene(16, 16)
    Image.fromarray(values).save(tmp_path / "a.bmp", "DIB")
    assert (255 * load_picture(tmp_path / "a.bmp").pixels == values).all()


def test_a_file_that_is_no_numpy_array_gets_no_advice_about_pickles(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"nothing of the kind")
    with pytest.raises(PictureError, match="holds no NumPy array, or is damaged"):
        load_array(tmp_path / "a.npy")


def test_a_damaged_raster_is_not_asked_for_pixels(tmp_path):
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01\x02\0\0\0channels")
    with pytest.raises(PictureError, match="cannot be decoded"):
        load_array(tmp_path / "a.exr")


@pytest.mark.skipif(sys.platform != "linux", reason="needs names of any bytes")
@pytest.mark.parametrize(("suffix", "depth"), [(".exr", 32), (".tif", 32), (".png", 16)])
def test_a_deep_file_whose_name_is_not_utf_8_is_to_be_renamed(tmp_path, suffix, depth):
    path = tmp_path / f"latin-\udce9{suffix}"
    pixels = scene(8, 8).astype(np.float32) / 255
    save_picture(Picture(pixels, depth=depth), tmp_path / f"a{suffix}", None)
    (tmp_path / f"a{suffix}").rename(path)
    with pytest.raises(PictureError, match="its name is not UTF-8.*; rename it"):
        load_picture(path)
    if suffix != ".png":
        with pytest.raises(PictureError, match="rename it"):
            load_array(path)


def test_errors_that_hold_bytes_of_the_file_are_errors():
    class Damaged:
        def geterror(self):
            return b"\xff".decode()

    assert complaint(Damaged()) == "damaged"


def test_nested_records_and_configurations_are_none(tmp_path):
    nested = "[" * 200_000
    text = PngImagePlugin.PngInfo()
    text.add_text(RECORD, nested)
    Image.fromarray(scene(8, 8)).save(tmp_path / "a.png", pnginfo=text)
    assert read_record(tmp_path / "a.png") is None
    (tmp_path / "config.json").write_text(nested)
    with pytest.raises(ModelMissing, match="cannot be read as JSON"):
        read_json(tmp_path / "config.json")


def test_letters_that_stdout_does_not_know_are_spelled_out(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w", encoding="cp1252") as out:
        monkeypatch.setattr(sys, "stdout", out)
        print_line("naïve \u732b.png -> x")
    told = (tmp_path / "out").read_text(encoding="cp1252")
    assert told == "naïve \\u732b.png -> x\n"


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_accents_of_macs_pair_with_others(tmp_path, forms):
    picture, mask = (unicodedata.normalize(form, "é") + ".png" for form in forms)
    (tmp_path / "masks").mkdir()
    Image.fromarray(scene(8, 8)).save(tmp_path / "masks" / mask)
    found = Masks(tmp_path / "masks").find(Path(picture), None)
    assert found == tmp_path / "masks" / mask
