"""Sizes of PNG files, which EXIF before or behind the pixels may turn."""

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from reddiff_cli.formats.pngchunks import chunk, insert, words_follow_pixels
from reddiff_cli.pictures.files import load_picture, size_of

TURNED = 6


@pytest.fixture
def plain(tmp_path):
    """A PNG of 200x150 without words, in several IDAT chunks."""
    values = np.random.default_rng(0).integers(0, 255, (150, 200, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(values).save(path, compress_level=0)
    assert path.read_bytes().count(b"IDAT") > 1
    return path


def turning():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = TURNED
    return exif.tobytes().removeprefix(b"Exif\0\0")


def xmp():
    packet = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    return b"XML:com.adobe.xmp\0\0\0\0\0" + packet.encode()


@pytest.mark.parametrize(("kind", "content"), [(b"eXIf", turning()), (b"iTXt", xmp())])
@pytest.mark.parametrize("behind", [False, True])
def test_the_size_is_that_of_the_upright_picture(plain, kind, content, behind):
    png = plain.read_bytes()
    plain.write_bytes(
        png[:-12] + chunk(kind, content) + png[-12:] if behind else insert(png, [(kind, content)])
    )
    assert words_follow_pixels(plain) is behind
    picture = load_picture(plain)
    assert size_of(plain) == (picture.width, picture.height) == (150, 200)


def test_pixels_are_not_decoded_for_a_size(plain, monkeypatch):
    def refuse(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", refuse)
    assert size_of(plain) == (200, 150)


@pytest.mark.parametrize("length", [8, 30, 60, -12])
def test_a_file_that_ends_too_early_is_not_vouched_for(plain, length):
    plain.write_bytes(plain.read_bytes()[:length])
    assert words_follow_pixels(plain)


def test_a_chunk_takes_the_place_of_its_like(plain):
    once = insert(plain.read_bytes(), [(b"tEXt", b"a\0one")])
    twice = insert(once, [(b"tEXt", b"a\0two")], b"pHYs")
    plain.write_bytes(twice)
    with Image.open(plain) as image:
        image.load()
        assert image.info == {"a": "two"}
