"""Files in and out: depth, grey, palette, alpha, orientation, profiles, records, damage."""

import os
import re
import struct
import sys
import time
import zlib
from dataclasses import replace

import numpy as np
import OpenImageIO as oiio
import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from conftest import scene
from memory_used import peak_of_arrays
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.formats.attributes import resolution_of
from reddiff_cli.formats.carriers import Metadata, read_record
from reddiff_cli.formats.jpeg import find_luminance_table
from reddiff_cli.formats.kinds import FLOAT, smooths
from reddiff_cli.formats.pngchunks import insert
from reddiff_cli.formats.samples import rounded, scaled
from reddiff_cli.formats.tifftags import read_tags
from reddiff_cli.pictures.files import (
    Picture,
    check_format,
    header_of,
    is_grey,
    lies_on_its_side,
    load_picture,
    save_picture,
    size_of,
    with_depth,
)

FORMATS = {"int16": "INT16", "int32": "INT32", "uint32": "UINT32", "float64": "DOUBLE"}
RECORD = {"task": "inpaint", "seed": 3, "name": "ä"}


def write_sixteen(path, values):
    spec = oiio.ImageSpec(values.shape[1], values.shape[0], values.shape[2], oiio.UINT16)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    if values.shape[2] in (2, 4):
        spec.alpha_channel = values.shape[2] - 1
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(values)
    out.close()


@pytest.mark.skipif(os.name != "posix", reason="needs rights of files")
def test_a_file_that_is_replaced_keeps_its_rights(tmp_path):
    path = tmp_path / "p.png"
    picture = Picture(scene().astype(np.float32) / 255)
    save_picture(picture, path, None)
    new = path.stat().st_mode & 0o777
    (tmp_path / "other").touch()
    assert new == (tmp_path / "other").stat().st_mode & 0o777
    for rights in (0o600, 0o640, 0o664):
        path.chmod(rights)
        save_picture(picture, path, {"task": "denoise"})
        assert path.stat().st_mode & 0o777 == rights


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_modes_come_back_as_grey_or_colour(tmp_path, mode):
    path = tmp_path / ("p.tif" if mode == "CMYK" else "p.png")
    rgba = np.dstack([scene(), scene(channels=1, seed=4)])
    Image.fromarray(rgba).convert("RGB" if mode in ("CMYK", "P", "1") else mode).convert(
        mode
    ).save(path)
    picture = load_picture(path)
    assert picture.pixels.dtype == np.float32
    assert picture.pixels.shape == (48, 64, 1 if mode in ("L", "LA", "1") else 3)
    assert (picture.alpha is not None) == (mode in ("RGBA", "LA"))
    assert picture.depth == 8
    assert 0 <= picture.pixels.min() <= picture.pixels.max() <= 1


@pytest.mark.parametrize("shape", [(48, 64, 3), (48, 64, 1), (48, 64, 4), (5, 7, 2)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept_exactly(tmp_path, shape, suffix):
    values = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_sixteen(source, values)
    picture = load_picture(source)
    assert picture.depth == 16
    assert picture.pixels.shape[2] == (1 if shape[2] in (1, 2) else 3)
    save_picture(picture, target, RECORD)
    again = load_picture(target)
    assert np.array_equal(again.pixels, picture.pixels)
    colours = picture.pixels.shape[2]
    stored = np.rint(picture.pixels.astype(np.float64) * 65535).astype(np.uint16)
    assert np.array_equal(stored, values[:, :, :colours])
    if picture.alpha is not None:
        assert np.array_equal(again.alpha, picture.alpha)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_eight_bits_round_trip(tmp_path, suffix):
    picture = Picture(scene().astype(np.float32) / 255)
    save_picture(picture, tmp_path / f"a{suffix}", RECORD, quality=98)
    again = load_picture(tmp_path / f"a{suffix}")
    difference = np.abs(again.pixels - picture.pixels)
    assert difference.mean() < 0.03 if suffix in (".jpg", ".webp") else difference.max() == 0


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_record_round_trip_and_strip(tmp_path, suffix):
    picture = Picture(scene().astype(np.float32) / 255)
    save_picture(picture, tmp_path / f"a{suffix}", RECORD)
    save_picture(picture, tmp_path / f"b{suffix}", None)
    assert read_record(tmp_path / f"a{suffix}") == RECORD
    assert read_record(tmp_path / f"b{suffix}") is None


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_record_beside_the_words_of_a_camera(tmp_path, name):
    exif = Image.Exif()
    exif[0x010E] = "OLYMPUS DIGITAL CAMERA"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0taken by me"
    Image.fromarray(scene()).save(tmp_path / "in.jpg", exif=exif)
    picture = load_picture(tmp_path / "in.jpg")
    save_picture(picture, tmp_path / name, RECORD)
    assert read_record(tmp_path / "in.jpg") is None
    assert read_record(tmp_path / name) == RECORD
    assert Image.open(tmp_path / name).getexif()[0x010E] == "OLYMPUS DIGITAL CAMERA"


def test_record_of_sixteen_bits(tmp_path):
    picture = Picture(scene().astype(np.float32) / 255, depth=16)
    for name in ("a.png", "a.tif"):
        save_picture(picture, tmp_path / name, RECORD)
        assert read_record(tmp_path / name) == RECORD


@pytest.mark.parametrize("bits", [8, 16])
def test_samples_are_exact_and_rounded_to_the_nearest(bits):
    white = 2**bits - 1
    every = np.arange(white + 1, dtype=f"uint{bits}").reshape(-1, 16)
    assert (rounded(scaled(every, white), bits) == every).all()
    # In float32 some of 16 bits would be a step off, next to the middle between two.
    some = np.random.default_rng(0).uniform(-0.1, 1.1, (1000, 100)).astype(np.float32)
    exact = some.clip(0, 1).astype(np.float64 if bits == 16 else np.float32) * white
    assert (rounded(some, bits) == np.rint(exact)).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_samples_take_no_memory_but_their_own(bits):
    values = np.full((1000, 1000), 0.3, np.float32)
    whole = rounded(values, bits)
    assert peak_of_arrays(lambda: rounded(values, bits)) < 1.5 * whole.nbytes + 1e6
    assert peak_of_arrays(lambda: scaled(whole, 2**bits - 1)) < 1.2 * values.nbytes


def test_a_file_is_read_without_a_second_copy_of_its_values(tmp_path):
    values = np.full((700, 900, 4), 77, np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    write_sixteen(tmp_path / "b.png", values[..., :3].astype(np.uint16) * 257)
    floats = 4 * values.size
    # As they are in the file, once more as bytes, and as floats.
    assert peak_of_arrays(lambda: load_picture(tmp_path / "a.png")) < 1.6 * floats
    assert peak_of_arrays(lambda: load_picture(tmp_path / "b.png")) < 2.1 * 0.75 * floats


def test_orientation_profile_and_camera(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera"
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(scene())
    image.save(tmp_path / "a.jpg", exif=exif, icc_profile=icc, dpi=(300, 300), quality=95)
    picture = load_picture(tmp_path / "a.jpg")
    assert (picture.height, picture.width) == (64, 48)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(np.rint(picture.pixels * 255), expected)
    for name in ("b.png", "b.jpg", "b.webp", "b.tif"):
        save_picture(picture, tmp_path / name, RECORD)
        with Image.open(tmp_path / name) as saved:
            assert saved.size == (48, 64)
            assert saved.info.get("icc_profile") == icc
            assert 0x0112 not in saved.getexif() or saved.getexif()[0x0112] == 1
            assert saved.getexif()[0x010F] == "Camera"


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_a_profile_of_inks_is_dropped_with_them(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("CMYK", (8, 8), (10, 20, 30, 40)).save(path, icc_profile=b"of inks")
    assert load_picture(path).metadata.icc == b""


def told_by_a_camera():
    exif = Image.Exif()
    exif[0x010F], exif[0x0132] = "Camera", "2020:01:02 03:04:05"
    exif.get_ifd(0x8769)[0x829A] = IFDRational(1, 250)  # exposure time
    exif.get_ifd(0x8769)[0x927C] = b"note of the maker"
    exif.get_ifd(0x8825)[1], exif.get_ifd(0x8825)[2] = "N", (40.0, 30.0, 2.0)
    return Metadata(exif.tobytes(), xmp=b"<x:xmpmeta/>", dpi=(300.0, 150.0))


@pytest.mark.parametrize("depth", [16, FLOAT])
@pytest.mark.parametrize("source", ["tif", "exr"])
@pytest.mark.parametrize("suffix", [".tif", ".exr", ".png"])
def test_metadata_of_deep_files(tmp_path, depth, source, suffix):
    if (suffix == ".exr") > (depth == FLOAT) or (suffix == ".png") > (depth == 16):
        pytest.skip("not held by the format")
    first = tmp_path / f"a.{source}"
    held = Picture(light(), depth=FLOAT, metadata=told_by_a_camera())
    save_picture(held, first, {"a": 1})
    read = load_picture(first)
    save_picture(with_depth(read, depth), tmp_path / f"b{suffix}", {"b": 2})
    found = load_picture(tmp_path / f"b{suffix}").metadata
    assert (found.xmp, read_record(tmp_path / f"b{suffix}")) == (b"<x:xmpmeta/>", {"b": 2})
    assert found.dpi == pytest.approx((300, 150), rel=1e-3)
    exif = Image.Exif()
    exif.load(found.exif)
    assert (exif[0x010F], exif[0x0132]) == ("Camera", "2020:01:02 03:04:05")
    assert float(exif.get_ifd(0x8769)[0x829A]) == pytest.approx(0.004)
    assert tuple(map(float, exif.get_ifd(0x8825)[2])) == pytest.approx((40, 30, 2))
    assert ("exr" in (source, suffix[1:])) or exif.get_ifd(0x8769)[0x927C] == b"note of the maker"


@pytest.mark.parametrize(
    ("suffix", "hides"), [(".png", False), (".png", True), (".bmp", False), (".tif", False)]
)
def test_a_palette_of_greys_is_grey(tmp_path, suffix, hides):
    """Exactly grey in what is used of it; nearly grey stays as it is."""
    image = Image.fromarray(scene(channels=1)).convert("RGB").quantize(32)
    extra = {"transparency": bytes([0, 128] + 30 * [255])} if hides else {}
    image.save(tmp_path / f"a{suffix}", **extra)
    seen = np.asarray(image.convert("L"))
    picture = load_picture(tmp_path / f"a{suffix}")
    assert is_grey(tmp_path / f"a{suffix}")
    assert np.array_equal(rounded(picture.pixels, 8)[:, :, 0], seen)
    assert (picture.alpha is not None) == hides
    if hides:
        alpha = np.asarray(image).clip(0, 2).choose((0, 128, 255))
        assert np.array_equal(rounded(picture.alpha, 8), alpha)
    save_picture(picture, tmp_path / "b.png", {})
    with Image.open(tmp_path / "b.png") as saved:
        assert saved.mode == ("LA" if hides else "L")
    palette = image.getpalette()
    image.putpalette([*palette, 255, 0, 0])  # which no pixel has
    image.save(tmp_path / f"a{suffix}", **extra)
    assert is_grey(tmp_path / f"a{suffix}")
    image.putpalette([palette[0] ^ 1, *palette[1:]])
    image.save(tmp_path / f"a{suffix}", **extra)
    assert not is_grey(tmp_path / f"a{suffix}")
    nearly = load_picture(tmp_path / f"a{suffix}").pixels
    assert np.array_equal(rounded(nearly, 8), np.asarray(image.convert("RGB")))


def test_exposure_and_lens_stay_in_their_directory_through_exr(tmp_path):
    """OpenImageIO puts lenses beside the camera, and its EXR files hold no short numbers."""
    numbers = {34850: 2, 34855: 400, 37383: 5, 37385: 16, 41989: 75}
    texts = {36867: "2020:01:02 03:04:05", 42033: "123", 42035: "Maker", 42036: "50 mm"}
    exif = Image.Exif()
    exif[0x010F], exif[0x8298] = "Camera", "me"
    exif.get_ifd(0x8769).update({33434: IFDRational(1, 250), 33437: IFDRational(28, 10)})
    exif.get_ifd(0x8769).update(numbers | texts)
    told = Picture(light(), depth=FLOAT, metadata=Metadata(exif.tobytes()))
    save_picture(told, tmp_path / "a.exr", {"a": 1})
    save_picture(load_picture(tmp_path / "a.exr"), tmp_path / "b.exr", {"a": 1})
    for name in ("a.exr", "b.exr"):
        save_picture(with_depth(load_picture(tmp_path / name), 8), tmp_path / "c.png", {"a": 1})
        with Image.open(tmp_path / "c.png") as image:
            found = image.getexif()
        assert set(found) == {0x010F, 0x8298, 0x8769}
        within = found.get_ifd(0x8769)
        assert {tag: within[tag] for tag in numbers | texts} == numbers | texts
        assert (float(within[33434]), float(within[33437])) == pytest.approx((0.004, 2.8))


def test_bytes_do_not_depend_on_the_time(tmp_path):
    written = []
    for _ in range(2):
        for name in ("a.tif", "a.exr", "a.hdr", "b.tif", "b.png"):
            for record in (None, {"a": 1}):
                depth = 16 if name.startswith("b") else FLOAT
                save_picture(Picture(light(), depth=depth), tmp_path / name, record)
                written.append((tmp_path / name).read_bytes())
        time.sleep(1.1)  # the times in question are whole seconds
    assert written[:10] == written[10:]


def test_the_tags_of_a_file_of_many_strips(tmp_path):
    told = Picture(light(1200, 300), depth=FLOAT, metadata=told_by_a_camera())
    save_picture(told, tmp_path / "a.tif", {"a": 1})
    assert len(read_tags(tmp_path / "a.tif")[273]) > 1  # places of the strips
    found = load_picture(tmp_path / "a.tif")
    assert np.array_equal(found.pixels, told.pixels)
    assert found.metadata.xmp == b"<x:xmpmeta/>"


def test_strip_leaves_nothing_in_deep_files(tmp_path):
    for name in ("a.tif", "a.exr"):
        picture = Picture(light(), depth=FLOAT, metadata=told_by_a_camera())
        save_picture(picture, tmp_path / name, None)
        content = (tmp_path / name).read_bytes()
        assert not re.search(rb"Camera|xmp|OpenImageIO|20\d\d:", content)


def test_attributes_of_exr_files_stay(tmp_path):
    spec = oiio.ImageSpec(4, 4, 3, oiio.HALF)
    primaries = (0.7, 0.3, 0.2, 0.7, 0.1, 0.05, 0.31, 0.33)
    spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), primaries)
    spec.attribute("Copyright", "me")
    buffer = oiio.ImageBuf(spec)
    buffer.write(str(tmp_path / "in.exr"))
    save_picture(load_picture(tmp_path / "in.exr"), tmp_path / "out.exr", {"a": 1})
    found = oiio.ImageBuf(str(tmp_path / "out.exr")).spec()
    assert found.getattribute("chromaticities") == pytest.approx(primaries)
    assert found.getattribute("Copyright") == "me"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_deep_pictures_equals_pillow(tmp_path, orientation):
    from reddiff_cli.formats.deep import turn

    values = scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    upright = load_picture(tmp_path / "a.png").pixels
    turned = turn(values.astype(np.float32) / np.float32(255), orientation)
    assert np.array_equal(turned, upright)


def test_missing_and_animated(tmp_path):
    with pytest.raises(PictureError, match="no such file"):
        load_picture(tmp_path / "none.png")
    frames = [Image.fromarray(scene(seed=k)) for k in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="3 frames"):
        load_picture(tmp_path / "a.webp")


def save_heif(path, values, **options):
    """values: (H, W, C) uint16, written without loss with 10 bits a channel, or 12 if asked."""
    mode = {1: "L;16", 3: "RGB;16", 4: "RGBA;16"}[values.shape[2]]
    image = pillow_heif.from_bytes(mode, values.shape[1::-1], values.tobytes())
    image.save(path, quality=-1, chroma=444, **options)


def test_heic_needs_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "p.heic").write_bytes(b"x")
    with pytest.raises(PictureError, match=r"pip install 'reddiff-cli\[heic\]'"):
        load_picture(tmp_path / "p.heic")


@pytest.mark.parametrize("suffix", [".heic", ".heif", ".HIF"])
def test_heif_of_eight_bits(tmp_path, suffix):
    pillow_heif.register_heif_opener()
    path = tmp_path / f"p{suffix}"
    Image.fromarray(scene()).save(path, "HEIF", quality=95)
    picture = load_picture(path)
    assert picture.depth == 8
    assert np.abs(picture.pixels - scene().astype(np.float32) / 255).mean() < 0.03


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_heif_of_more_bits_keeps_them(tmp_path, monkeypatch, bits, channels):
    """Cameras write 10: white is white, and neighbouring values stay apart."""
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    steps = (np.arange(40 * 32) % 2**bits).reshape(40, 32)
    steps[0] = 2**bits - 1
    values = np.repeat((steps << (16 - bits)).astype(np.uint16)[:, :, None], channels, axis=2)
    path = tmp_path / "p.hif"
    save_heif(path, values)
    picture = load_picture(path)
    assert picture.depth == 16
    assert size_of(path) == (32, 40)
    assert (picture.alpha is None) == (channels < 4)
    expected = np.repeat(steps[:, :, None] / (2**bits - 1), min(channels, 3), axis=2)
    tolerance = 1e-6 if channels == 1 else 3 / 2**bits  # of the conversion to YCbCr and back
    np.testing.assert_allclose(picture.pixels, expected, atol=tolerance)
    if picture.alpha is not None:
        np.testing.assert_allclose(picture.alpha, expected[:, :, 0], atol=1e-6)


def test_heif_turned_by_the_camera_is_upright(tmp_path):
    """The turn that the file was stored with is undone, once, by both ways of reading."""
    values = np.zeros((40, 32, 3), np.uint16)
    values[:8] = 65535
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    pillow_heif.register_heif_opener()
    eight = Image.fromarray((values >> 8).astype(np.uint8))
    eight.save(tmp_path / "a.heic", quality=-1, exif=exif.tobytes())
    save_heif(tmp_path / "b.heic", values, exif=exif.tobytes())
    shallow, deep = (load_picture(tmp_path / name) for name in ("a.heic", "b.heic"))
    assert deep.pixels.shape == (32, 40, 3)
    assert (deep.pixels[:, -8:] > 0.99).all()  # the sky is on the right after a quarter turn
    np.testing.assert_allclose(shallow.pixels, deep.pixels, atol=0.01)
    assert size_of(tmp_path / "a.heic") == size_of(tmp_path / "b.heic") == deep.pixels.shape[1::-1]


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_heif_for_hdr_screens_is_refused(tmp_path, transfer, name):
    profile = {"color_primaries": 9, "transfer_characteristics": transfer}
    profile |= {"matrix_coefficients": 9, "full_range_flag": 1}
    save_heif(tmp_path / "p.hif", np.zeros((32, 32, 3), np.uint16), nclx_profile=profile)
    with pytest.raises(PictureError, match=f"HDR screens \\({name}\\)"):
        load_picture(tmp_path / "p.hif")


def test_saving_is_whole_or_not_at_all(tmp_path):
    picture = Picture(scene().astype(np.float32) / 255)
    (tmp_path / "file").write_text("x")
    with pytest.raises(PictureError, match="cannot be written"):
        save_picture(picture, tmp_path / "file" / "a.png", RECORD)
    with pytest.raises(UsageError, match="gif"):
        save_picture(picture, tmp_path / "a.gif", RECORD)
    transparent = Picture(picture.pixels, np.zeros((48, 64), dtype=np.float32))
    with pytest.raises(UsageError, match="transparency"):
        save_picture(transparent, tmp_path / "a.jpg", RECORD)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def light(height=24, width=32, channels=3, seed=0):
    """Linear light from 1e-4 to about 60."""
    values = np.random.default_rng(seed).normal(0, 2, (height, width, channels))
    return np.exp(values).astype(np.float32)


def write_float(path, values, kind=oiio.FLOAT, names=None, orientation=1):
    spec = oiio.ImageSpec(values.shape[1], values.shape[0], values.shape[2], kind)
    if names:
        spec.channelnames = names
    if values.shape[2] == 4:
        spec.alpha_channel = 3
    spec.attribute("Orientation", orientation)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(values)
    out.close()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".exr", ".tif", ".tiff"])
def test_float_files_are_kept_exactly(tmp_path, suffix, channels):
    values = light(channels=channels)
    write_float(tmp_path / f"a{suffix}", values)
    picture = load_picture(tmp_path / f"a{suffix}")
    assert picture.depth == FLOAT
    assert picture.linear
    assert np.array_equal(picture.pixels, values)
    save_picture(picture, tmp_path / f"b{suffix}", RECORD)
    assert np.array_equal(load_picture(tmp_path / f"b{suffix}").pixels, values)
    assert read_record(tmp_path / f"b{suffix}") == RECORD
    save_picture(picture, tmp_path / f"b{suffix}", None)
    assert read_record(tmp_path / f"b{suffix}") is None


@pytest.mark.parametrize("alpha", [None, np.ones((24, 32), dtype=np.float32)])
def test_float_tiff_needs_nothing_but_zip_to_be_read(tmp_path, alpha):
    """Readers in pure Python cannot undo the predictor of floats."""
    save_picture(Picture(light(), alpha, FLOAT), tmp_path / "a.tif", RECORD)
    file = (tmp_path / "a.tif").open("rb")
    tags = ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    tags.load(file)
    assert tags.get(317, 1) == 1
    values = light() if alpha is None else np.concatenate([light(), alpha[:, :, None]], axis=2)
    (start,), (size,) = tags[273], tags[279]  # of the only strip
    file.seek(start)
    assert zlib.decompress(file.read(size)) == values.tobytes()
    file.close()


@pytest.mark.parametrize("suffix", [".exr", ".tif"])
def test_half_floats_are_read_exactly(tmp_path, suffix):
    values = light().astype(np.float16)
    write_float(tmp_path / f"a{suffix}", values, oiio.HALF)
    picture = load_picture(tmp_path / f"a{suffix}")
    assert picture.depth == FLOAT
    assert np.array_equal(picture.pixels, values.astype(np.float32))


def test_radiance_files_are_stable_and_keep_their_record_beside_them(tmp_path):
    picture = Picture(light(), depth=FLOAT)
    first, second = tmp_path / "a.hdr", tmp_path / "b.hdr"
    save_picture(picture, first, RECORD)
    once = load_picture(first)
    # Eight bits of mantissa, shared: a channel is exact to 1/256 of the largest one.
    largest = picture.pixels.max(axis=2, keepdims=True)
    assert float((np.abs(once.pixels - picture.pixels) / largest).max()) < 1 / 128
    save_picture(once, second, None)
    assert np.array_equal(load_picture(second).pixels, once.pixels)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.hdr", "a.hdr.json", "b.hdr"]
    assert read_record(first) == RECORD
    assert read_record(second) is None
    save_picture(once, first, None)
    assert read_record(first) is None
    first.unlink()
    (tmp_path / "a.hdr.json").write_text("{}")
    assert read_record(first) is None


def test_grey_light_is_written_to_radiance_files_in_colour(tmp_path):
    save_picture(Picture(light(channels=1), depth=FLOAT), tmp_path / "a.hdr", RECORD)
    pixels = load_picture(tmp_path / "a.hdr").pixels
    assert pixels.shape[2] == 3
    assert np.array_equal(pixels[:, :, 0], pixels[:, :, 2])


@pytest.mark.parametrize("suffix", [".exr", ".tif"])
def test_light_behind_alpha(tmp_path, suffix):
    """EXR stores colours multiplied by alpha; a picture holds them without."""
    alpha = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    stored = np.dstack([light() * alpha[:, :, None], alpha])
    write_float(tmp_path / f"a{suffix}", stored)
    picture = load_picture(tmp_path / f"a{suffix}")
    assert np.array_equal(picture.alpha, alpha)
    seen = alpha > 0
    np.testing.assert_allclose(picture.pixels[seen], light()[seen], rtol=1e-5)
    save_picture(picture, tmp_path / f"b{suffix}", RECORD)
    again = load_picture(tmp_path / f"b{suffix}")
    assert np.array_equal(again.alpha, alpha)
    np.testing.assert_allclose(again.pixels[seen], picture.pixels[seen], rtol=1e-6)


def test_light_behind_alpha_is_written_as_it_was(tmp_path):
    """Also where nothing covers it: a flame has light, and alpha 0."""
    rng = np.random.default_rng(0)
    alpha = rng.random((24, 32)).astype(np.float32)
    alpha[:6], alpha[6:12] = 0, 1
    stored = np.dstack([light() * np.where(alpha > 0, alpha, 0)[:, :, None], alpha])
    stored[:3, :, :3] = [2, 1, 0.5]
    write_float(tmp_path / "a.exr", stored)
    picture = load_picture(tmp_path / "a.exr")
    assert picture.glows
    assert not replace(picture, pixels=picture.pixels * (alpha > 0)[:, :, None]).glows
    save_picture(picture, tmp_path / "b.exr", RECORD)
    assert np.array_equal(oiio.ImageBuf(str(tmp_path / "b.exr")).get_pixels(oiio.FLOAT), stored)
    # What was restored is multiplied; dark places that nothing covers stay dark.
    brighter = replace(picture, pixels=picture.pixels + np.float32(0.25))
    save_picture(brighter, tmp_path / "c.exr", RECORD)
    written = oiio.ImageBuf(str(tmp_path / "c.exr")).get_pixels(oiio.FLOAT)[:, :, :3]
    assert np.array_equal(written[:3], brighter.pixels[:3])
    assert not written[3:6].any()
    np.testing.assert_allclose(written[6:], brighter.pixels[6:] * alpha[6:, :, None])


def test_float_tiff_is_turned_upright(tmp_path):
    write_float(tmp_path / "a.tif", light(), orientation=6)
    assert np.array_equal(load_picture(tmp_path / "a.tif").pixels, np.rot90(light(), -1))


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.nan, "1 pixel is not a number"), (-0.5, "1 pixel is negative.*add an offset")],
)
@pytest.mark.parametrize("suffix", [".exr", ".tif"])
def test_what_is_no_light_is_refused(tmp_path, suffix, value, words):
    values = light()
    values[3, 4, 1] = value
    write_float(tmp_path / f"a{suffix}", values)
    with pytest.raises(PictureError, match=words):
        load_picture(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["int16", "int32", "uint32", "float64"])
def test_kinds_of_tiff_that_are_not_read_are_told_what_to_become(tmp_path, kind, channels):
    values = np.ones((4, 5, channels), dtype=kind)
    write_float(tmp_path / "a.tif", values, getattr(oiio, FORMATS[kind]))
    with pytest.raises(PictureError, match="; convert it to .* 16 bits, or to 32-bit float$"):
        load_picture(tmp_path / "a.tif")


def test_other_things_called_float_files(tmp_path):
    for name in ("text.exr", "text.hdr", "empty.exr"):
        (tmp_path / name).write_bytes(b"hello" if "text" in name else b"")
        with pytest.raises(PictureError, match=name) as caught:
            load_picture(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert read_record(tmp_path / name) is None
    with pytest.raises(PictureError, match="no such file"):
        load_picture(tmp_path / "none.exr")
    write_float(tmp_path / "five.exr", light(channels=5), names=tuple("RGBAZ"))
    with pytest.raises(PictureError, match="5 channels"):
        load_picture(tmp_path / "five.exr")
    write_float(tmp_path / "id.exr", np.ones((4, 4, 1), dtype=np.uint32), oiio.UINT32)
    with pytest.raises(PictureError, match="uint"):
        load_picture(tmp_path / "id.exr")


def test_formats_and_depths_that_do_not_go_together(tmp_path):
    eight, deep = Picture(scene() / np.float32(255)), Picture(light(), depth=FLOAT)
    for name in ("a.png", "a.jpg", "a.webp"):
        with pytest.raises(UsageError, match="cannot hold float"):
            check_format(deep, tmp_path / name)
    for name in ("a.exr", "a.hdr"):
        check_format(deep, tmp_path / name)
        with pytest.raises(UsageError, match="--depth float"):
            check_format(eight, tmp_path / name)
    transparent = Picture(light(), np.ones((24, 32), dtype=np.float32), FLOAT)
    with pytest.raises(UsageError, match="transparency"):
        check_format(transparent, tmp_path / "a.hdr")


def test_depths_are_converted_between_light_and_values():
    eight = Picture(scene().astype(np.float32) / 255)
    as_light = with_depth(eight, FLOAT)
    assert as_light.linear
    assert float(as_light.pixels.mean()) < float(eight.pixels.mean())
    np.testing.assert_allclose(with_depth(as_light, 8).pixels, eight.pixels, atol=1e-6)
    assert with_depth(Picture(light(), depth=FLOAT), 16).pixels.max() == pytest.approx(1)
    assert np.array_equal(with_depth(eight, 16).pixels, eight.pixels)
    middle = Picture(np.full((1, 1, 1), 0.5, dtype=np.float32))
    assert float(with_depth(middle, FLOAT).pixels[0, 0, 0]) == pytest.approx(0.214, abs=1e-3)


def test_a_profile_goes_with_the_curve_it_describes():
    picture = Picture(scene(4, 4) / np.float32(255), metadata=Metadata(icc=b"profile"))
    assert with_depth(picture, 16).metadata.icc == b"profile"
    assert with_depth(picture, FLOAT).metadata.icc == b""
    light_of_it = replace(picture, depth=FLOAT)
    assert with_depth(light_of_it, FLOAT).metadata.icc == b"profile"
    assert with_depth(light_of_it, 8).metadata.icc == b""


@pytest.mark.parametrize("depth", [8, 16])
def test_exif_of_a_png_has_no_prefix(tmp_path, depth):
    """Which that of a JPEG has: readers that follow the standard would take it for damage."""
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    told = Metadata(b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0"))
    picture = Picture(scene(8, 8) / np.float32(255), depth=depth, metadata=told)
    save_picture(picture, tmp_path / "a.png", RECORD)
    content = (tmp_path / "a.png").read_bytes()
    assert content[content.index(b"eXIf") + 4 :][:4] in (b"MM\0*", b"II*\0")


@pytest.mark.parametrize(("unit", "dpi"), [("cm", 254.0), ("in", 100.0), (None, 100.0)])
def test_resolution_of_exr_by_its_unit(unit, dpi):
    told = (("XResolution", "float", 100.0), ("YResolution", "float", 100.0))
    told += () if unit is None else (("ResolutionUnit", "string", unit),)
    assert resolution_of(told) == pytest.approx((dpi, dpi))


# Caption "A market" (2:120) and by-line "A. Person" (2:80), as IPTC-IIM writes them.
IPTC = b"\x1c\x02\x78\x00\x08A market\x1c\x02\x50\x00\x09A. Person"


@pytest.mark.parametrize("between", [".jpg", ".png", ".tif", ".webp"])
def test_what_the_press_says_of_a_picture_is_kept(tmp_path, between):
    """Photoshop's other resources are not: they tell of the old pixels."""
    sizes = ((0x040C, b"thumbnail"), (0x0404, IPTC))
    resources = b"".join(
        b"8BIM" + struct.pack(">HxxI", kind, len(told)) + told + b"\0" * (len(told) % 2)
        for kind, told in sizes
    )
    segment = b"Photoshop 3.0\0" + resources
    extra = b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment
    Image.fromarray(scene(8, 8)).save(tmp_path / "a.jpg", extra=extra)
    save_picture(load_picture(tmp_path / "a.jpg"), tmp_path / f"b{between}", {"task": "denoise"})
    save_picture(load_picture(tmp_path / f"b{between}"), tmp_path / "c.jpg", {"task": "denoise"})
    with Image.open(tmp_path / "c.jpg") as image:
        assert image.info["photoshop"] == {0x0404: IPTC}
    assert read_record(tmp_path / "c.jpg") == {"task": "denoise"}
    save_picture(load_picture(tmp_path / "c.jpg"), tmp_path / "d.jpg", None)
    assert IPTC not in (tmp_path / "d.jpg").read_bytes()


def test_words_of_the_press_that_fit_no_segment_are_left_out(tmp_path):
    told = Image.Exif()
    told[33723] = b"x" * 65_535
    picture = Picture(np.zeros((4, 4, 3), np.float32), None, 8, Metadata(told.tobytes()))
    save_picture(picture, tmp_path / "a.jpg", {})
    with Image.open(tmp_path / "a.jpg") as image:
        assert "photoshop" not in image.info


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_xmp_is_kept(tmp_path, suffix):
    told = Metadata(xmp=b"<x:xmpmeta/>")
    pixels = scene(8, 8).astype(np.float32) / 255
    path = tmp_path / f"p{suffix}"
    save_picture(Picture(pixels, metadata=told), path, {"a": 1})
    assert load_picture(path).metadata.xmp == told.xmp
    assert read_record(path) == {"a": 1}


@pytest.mark.skipif(os.name != "posix", reason="needs limits of a process")
@pytest.mark.parametrize("cut", [1, 5000, 40_000])
@pytest.mark.parametrize(
    ("suffix", "depth"), [(".exr", 32), (".tif", 32), (".hdr", 32), (".png", 16), (".tif", 16)]
)
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, suffix, depth, cut):
    """OpenImageIO says of many files that are cut off that they are whole."""
    import resource

    pixels = np.random.default_rng(0).random((150, 150, 3), np.float32)
    picture, path = Picture(pixels, depth=depth), tmp_path / f"p{suffix}"
    save_picture(picture, path, None)
    size = path.stat().st_size
    path.unlink()
    kind = resource.RLIMIT_FSIZE
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (size - cut, before[1]))
    try:
        with pytest.raises(PictureError, match=f"{path}: .*File too large") as raised:
            save_picture(picture, path, None)
    finally:
        resource.setrlimit(kind, before)
    assert "picture." not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_what_an_encoder_cannot_do_is_a_failure_of_that_picture(tmp_path):
    long = Picture(np.zeros((1, 17_000, 3), dtype=np.float32))
    with pytest.raises(PictureError, match="cannot be encoded"):
        save_picture(long, tmp_path / "p.webp", {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".ppm", ".jp2", ".tif"])
def test_sixteen_bits_that_pillow_would_cut_or_turn_round(tmp_path, suffix):
    """Colours of PPM and JPEG 2000; and a TIFF in which 0 is white."""
    path = tmp_path / f"a{suffix}"
    y, x = np.mgrid[0:64, 0:80]
    values = np.stack([x * 800, y * 1000, (x + y) * 400], 2).astype(np.uint16)
    if suffix == ".ppm":
        path.write_bytes(b"P6 80 64 65535\n" + values.astype(">u2").tobytes())
    elif suffix == ".tif":
        values = values[:, :, :1]
        Image.fromarray(65535 - values[:, :, 0]).save(path, tiffinfo={262: 0})
    else:
        out = oiio.ImageOutput.create(str(path))
        out.open(str(path), oiio.ImageSpec(80, 64, 3, oiio.UINT16))
        out.write_image(values)
        out.close()
    picture = load_picture(path)
    assert picture.depth == 16
    assert np.abs(picture.pixels * 65535 - values).max() < 0.01


def test_eight_bits_of_the_same_kinds_stay_eight(tmp_path):
    for suffix in (".ppm", ".jp2"):
        Image.fromarray(scene()).save(tmp_path / f"a{suffix}")
        assert load_picture(tmp_path / f"a{suffix}").depth == 8


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("raw", [False, True])
def test_plans_do_not_decode_jpeg_2000(tmp_path, monkeypatch, bits, raw):
    """OpenImageIO would, a second for 3 megapixels each time; its header tells the bits."""
    path = tmp_path / "a.jp2"
    if bits == 8:
        Image.fromarray(scene()).save(path, no_jp2=raw)
    else:
        out, values = oiio.ImageOutput.create(str(path)), np.zeros((64, 80, 3), np.uint16)
        out.open(str(path), oiio.ImageSpec(80, 64, 3, oiio.UINT16))
        out.write_image(values)
        out.close()
        content = path.read_bytes()
        path.write_bytes(content[content.index(b"\xff\x4f\xff\x51") :] if raw else content)
    deep = header_of(path)
    monkeypatch.setattr("OpenImageIO.ImageInput.open", None)
    assert header_of(path) == deep == (bits, False)
    assert size_of(path)[0] in (64, 80)


def test_the_photograph_before_its_preview(tmp_path):
    frames = [Image.fromarray(scene(seed=k)) for k in range(2)]
    frames[0].save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b.jpg")
    both = [load_picture(tmp_path / name).pixels for name in ("a.jpg", "b.jpg")]
    assert np.array_equal(*both)
    assert size_of(tmp_path / "a.jpg") == frames[0].size


def restored(path, output, record=RECORD):
    """What becomes of a file that is read and written."""
    save_picture(load_picture(path), output, record)
    return output


TURN = 'tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>"


@pytest.mark.parametrize("turn", TURN)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_a_turn_that_a_packet_asks_for_is_made_once(tmp_path, turn, name):
    """Adobe writes it into XMP as well, and Pillow looks there."""
    attribute, element = (turn, "") if "=" in turn else ("", turn)
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="M" {attribute}>{element}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()
    path = tmp_path / name
    options = {"xmp": packet}
    if name == "a.png":
        options = {"pnginfo": PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", packet.decode())
    if name == "a.tif":
        options = {"tiffinfo": {700: packet}}
    Image.fromarray(scene(48, 64)).save(path, **options)
    upright = load_picture(path)
    assert upright.pixels.shape[:2] == (64, 48)
    for output in ("o.png", "o.jpg", "o.tif"):
        again = load_picture(restored(path, tmp_path / output))
        assert again.pixels.shape[:2] == (64, 48)
        assert b"tiff:Make" in again.metadata.xmp
        assert b"Orientation" not in again.metadata.xmp


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_what_tiff_says_of_a_further_channel(tmp_path, channels, extra):
    """0: a saved selection, for example; 1: alpha by which colours were multiplied; 2: alpha."""
    colours = np.full((6, 5, channels - 1), 0.6)
    alpha = np.full((6, 5, 1), 0.25)
    stored = np.concatenate([colours * alpha if extra == 1 else colours, alpha], 2)
    path = tmp_path / "a.tif"
    write_sixteen(path, np.rint(stored * 65535).astype(np.uint16))
    path.write_bytes(with_tag(path.read_bytes(), 338, extra))
    picture = load_picture(path)
    np.testing.assert_allclose(picture.pixels, 0.6, atol=1e-4)
    if extra == 0:
        assert picture.alpha is None
    else:
        np.testing.assert_allclose(picture.alpha, 0.25, atol=1e-4)


def with_tag(tiff, tag, value):
    """A little-endian TIFF file with the value of a short tag of its directory replaced."""
    (start,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, start)
    for place in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", tiff, place)[0] == tag:
            return tiff[: place + 8] + struct.pack("<I", value) + tiff[place + 12 :]
    raise AssertionError(f"no tag {tag}")


@pytest.mark.parametrize("white_is_zero", [False, True])
def test_grey_with_alpha_is_turned_and_not_inverted_by_accident(tmp_path, white_is_zero):
    values = np.zeros((12, 16, 2), np.uint16)
    values[:4, :, 0] = 65535  # the sky
    values[..., 1] = 65535
    path = tmp_path / "a.tif"
    spec = oiio.ImageSpec(16, 12, 2, oiio.UINT16)
    spec.attribute("Orientation", 6)
    spec.alpha_channel = 1
    spec.attribute("oiio:UnassociatedAlpha", 1)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(values)
    out.close()
    if white_is_zero:
        path.write_bytes(with_tag(path.read_bytes(), 262, 0))
    picture = load_picture(path)
    assert picture.pixels.shape == (16, 12, 1)
    sky = picture.pixels[:, -4:]
    assert (sky == (0 if white_is_zero else 1)).all()
    assert size_of(path) == (12, 16)


def test_size_of_a_turned_tiff_is_that_of_its_pixels(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(scene(48, 64)).save(tmp_path / "a.tif", exif=exif)
    assert size_of(tmp_path / "a.tif") == (48, 64)
    assert load_picture(tmp_path / "a.tif").pixels.shape[:2] == (64, 48)


def write_exr(path, values, names, **spec_options):
    spec = oiio.ImageSpec(values.shape[1], values.shape[0], values.shape[2], oiio.FLOAT)
    spec.channelnames = names
    if "A" in names:
        spec.alpha_channel = names.index("A")
    for name, value in spec_options.items():
        setattr(spec, name, value)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(values.astype(np.float32))
    out.close()


@pytest.mark.parametrize("names", [("R", "G", "B", "Z"), ("U", "V")])
def test_a_channel_of_depth_is_no_alpha(tmp_path, names):
    write_exr(tmp_path / "a.exr", np.full((6, 5, len(names)), 0.5), names)
    with pytest.raises(PictureError, match=f"holds .*{names[-1]}.*at most alpha"):
        load_picture(tmp_path / "a.exr")


def test_an_exr_stays_at_its_place_in_the_frame(tmp_path):
    place = {"x": 10, "y": 8, "full_x": -2, "full_y": 0, "full_width": 64, "full_height": 48}
    write_exr(tmp_path / "a.exr", np.full((16, 20, 3), 0.5), ("R", "G", "B"), **place)
    for record in (RECORD, None):
        spec = oiio.ImageBuf(str(restored(tmp_path / "a.exr", tmp_path / "b.exr", record))).spec()
        assert {name: getattr(spec, name) for name in place} == place
    picture = load_picture(tmp_path / "a.exr")
    twice = replace(picture, pixels=picture.pixels.repeat(2, 0).repeat(2, 1))
    save_picture(twice, tmp_path / "c.exr", RECORD)
    spec = oiio.ImageBuf(str(tmp_path / "c.exr")).spec()
    assert {name: getattr(spec, name) for name in place} == {k: 2 * v for k, v in place.items()}
    cut = replace(picture, pixels=picture.pixels[:7])
    save_picture(cut, tmp_path / "d.exr", RECORD)
    spec = oiio.ImageBuf(str(tmp_path / "d.exr")).spec()
    assert (spec.x, spec.y, spec.full_width, spec.full_height) == (0, 0, 20, 7)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif"])
@pytest.mark.parametrize("prefix", [b"ASCII\0\0\0", b"UNICODE\0", b"\0" * 8])
def test_words_of_people_stay_above_the_record(tmp_path, name, prefix):
    said = "Grandma 1953, Leipzig"
    exif = Image.Exif()
    coded = said.encode("utf-16-le") if prefix.startswith(b"UNICODE") else said.encode()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = prefix + coded
    Image.fromarray(scene()).save(tmp_path / name, exif=exif.tobytes())
    first = restored(tmp_path / name, tmp_path / f"1{name}")
    second = restored(first, tmp_path / f"2{name}", RECORD | {"seed": 4})
    for path, seed in ((first, 3), (second, 4)):
        assert read_record(path) == RECORD | {"seed": seed}
        with Image.open(path) as image:
            comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
        assert comment.decode().count(said) == 1
        assert comment.decode().count('"seed"') == 1


def test_metadata_too_large_for_jpeg_is_left_out(tmp_path):
    picture = load_picture(save(tmp_path / "a.png"))
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 66000
    for large in (Metadata(exif=exif.tobytes()), Metadata(xmp=b"<x>" + b" " * 70000 + b"</x>")):
        save_picture(replace(picture, metadata=large), tmp_path / "b.jpg", RECORD)
        assert read_record(tmp_path / "b.jpg") == RECORD


def save(path):
    Image.fromarray(scene()).save(path)
    return path


@pytest.mark.parametrize("name", ["b.webp", "b.jpg", "b.png", "b.tif"])
def test_resolution_that_only_exif_knows(tmp_path, name):
    exif = Image.Exif()
    exif.update({282: 118.11, 283: 118.11, 296: 3})  # a centimetre
    Image.fromarray(scene()).save(tmp_path / "a.webp", exif=exif)
    found = load_picture(restored(tmp_path / "a.webp", tmp_path / name)).metadata.dpi
    assert found == pytest.approx((300, 300), rel=2e-3)


@pytest.mark.parametrize("depth", [8, 16])
def test_texts_behind_the_pixels_of_a_png(tmp_path, depth):
    """Where ExifTool puts them."""
    picture = replace(load_picture(save(tmp_path / "a.png")), depth=depth)
    save_picture(picture, tmp_path / "b.png", None)
    content = b"XML:com.adobe.xmp\0\0\0\0\0<x/>"
    chunk = struct.pack(">I", len(content)) + b"iTXt" + content
    chunk += struct.pack(">I", zlib.crc32(b"iTXt" + content))
    png = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(png[:-12] + chunk + png[-12:])
    assert load_picture(tmp_path / "b.png").metadata.xmp == b"<x/>"


def test_size_tags_of_the_old_picture_are_left_out(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update({40962: 64, 40963: 48, 36867: "2020:01:01 00:00:00"})
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(restored(tmp_path / "a.jpg", tmp_path / "b.jpg")) as image:
        tags = image.getexif().get_ifd(ExifTags.IFD.Exif)
    assert 36867 in tags
    assert not {40962, 40963} & set(tags)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_flipped_byte_in_a_png_is_found(tmp_path, depth):
    """Pillow tells of it once; asked again it hands out what was decoded until then."""
    picture = replace(load_picture(save(tmp_path / "a.png")), depth=depth)
    save_picture(picture, tmp_path / "b.png", None)
    png = (tmp_path / "b.png").read_bytes()
    middle = png.index(b"IDAT") + len(png) // 2
    found = 0
    for place in range(middle, middle + 40, 4):
        (tmp_path / "c.png").write_bytes(
            png[:place] + bytes([png[place] ^ 0x5A]) + png[place + 1 :]
        )
        try:
            load_picture(tmp_path / "c.png")
        except PictureError:
            found += 1
    assert found == 10


@pytest.mark.parametrize("value", [(1, 2, 3, 4), 7, 2**31, -5, IFDRational(1, 3), 0.5])
@pytest.mark.parametrize("name", ["b.jpg", "b.webp", "b.tif"])
def test_a_user_comment_that_is_no_text_loses_no_picture(tmp_path, value, name):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = value
    Image.fromarray(scene()).save(tmp_path / "a.jpg")
    picture = load_picture(tmp_path / "a.jpg")
    with_comment = replace(picture, metadata=Metadata(exif=exif.tobytes()))
    save_picture(with_comment, tmp_path / name, RECORD)
    assert read_record(tmp_path / name) == RECORD


def test_json_of_another_program_is_kept(tmp_path):
    said = '{"prompt": "a cup"}'
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + said.encode()
    Image.fromarray(scene()).save(tmp_path / "a.jpg", exif=exif.tobytes())
    path = restored(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert read_record(path) == RECORD
    assert said.encode() in path.read_bytes()


@pytest.mark.parametrize(("unit", "found"), [(1, None), (2, (72, 72)), (3, (182.88, 182.88))])
def test_a_ratio_without_a_unit_is_no_resolution(tmp_path, unit, found):
    Image.fromarray(scene()).save(tmp_path / "a.tif", tiffinfo={282: 72.0, 283: 72.0, 296: unit})
    dpi = load_picture(tmp_path / "a.tif").metadata.dpi
    assert dpi == (None if found is None else pytest.approx(found))


@pytest.mark.parametrize("depth", [8, 16, FLOAT])
def test_resolution_by_a_unit_that_only_the_description_names(tmp_path, depth):
    """As ImageJ calibrates pixels."""
    tags = {270: "ImageJ=1.54f\nunit=um\n", 282: 6.5, 283: 3.25, 296: 1}
    Image.fromarray(scene()).save(tmp_path / "a.tif", tiffinfo=tags)
    picture = with_depth(load_picture(tmp_path / "a.tif"), depth)
    save_picture(picture, tmp_path / "b.tif", RECORD)
    found = read_tags(tmp_path / "b.tif")
    assert {tag: found.get(tag) for tag in tags} == tags
    save_picture(picture, tmp_path / "b.tif", None)
    assert read_tags(tmp_path / "b.tif").get(282) != 6.5


def test_channels_that_are_too_many_are_told_as_that(tmp_path):
    write_sixteen(tmp_path / "a.tif", np.zeros((6, 8, 5), dtype=np.uint16))
    with pytest.raises(PictureError, match=r"a\.tif: 5 channels; save it as grey or RGB"):
        load_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["tif", "jpg", "png"])
@pytest.mark.parametrize("told", [None, (300.0, 300.0)])
@pytest.mark.parametrize("written", ["png", "tif", "jpg", "webp"])
def test_no_resolution_stays_no_resolution(tmp_path, kind, told, written):
    """Of a TIFF file that tells none Pillow says 1 dot per inch, of a JPEG with EXIF 72."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Camera"
    path = tmp_path / f"a.{kind}"
    Image.fromarray(scene()).save(path, exif=exif, **({"dpi": told} if told else {}))
    assert load_picture(path).metadata.dpi == (told and pytest.approx(told, rel=1e-3))
    output = restored(path, tmp_path / f"b.{written}")
    image = Image.open(output)
    if told:
        assert load_picture(output).metadata.dpi == pytest.approx(told, rel=1e-3)
    else:
        tags = image.getexif()
        assert not {282, 283, 296} & set(tags)
        assert written in ("tif", "jpg") or "dpi" not in image.info
        assert image.info.get("jfif_unit", 0) == 0


@pytest.mark.parametrize("written", ["png", "tif"])
def test_no_resolution_of_a_deep_file_stays_none(tmp_path, written):
    write_sixteen(tmp_path / "a.tif", scene().astype(np.uint16) * 257)
    assert load_picture(tmp_path / "a.tif").metadata.dpi is None
    image = Image.open(restored(tmp_path / "a.tif", tmp_path / f"b.{written}"))
    tags = image.tag_v2 if written == "tif" else image.info
    assert not {282, 283, 296, "dpi"} & set(tags)


def test_resolution_that_jpeg_cannot_hold_is_left_out(tmp_path):
    picture = load_picture(save(tmp_path / "a.png"))
    for dpi, kept in ((65535.0, True), (65536.0, False)):
        told = replace(picture, metadata=Metadata(dpi=(dpi, dpi)))
        save_picture(told, tmp_path / "b.jpg", RECORD)
        with Image.open(tmp_path / "b.jpg") as image:
            assert image.info["jfif_unit"] == (1 if kept else 0)  # of inches, or none
            assert image.info["jfif_density"] == ((dpi, dpi) if kept else (1, 1))


def test_size_of_a_tiff_that_xmp_alone_turns(tmp_path):
    packet = b'<rdf:Description tiff:Orientation="6"/>'
    Image.fromarray(scene(48, 64)).save(tmp_path / "a.tif", tiffinfo={700: packet})
    picture = load_picture(tmp_path / "a.tif")
    assert size_of(tmp_path / "a.tif") == (picture.width, picture.height)


def test_metadata_too_large_for_exr_is_left_out(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "x" * 66000
    picture = with_depth(load_picture(save(tmp_path / "a.png")), FLOAT)
    save_picture(
        replace(picture, metadata=Metadata(exif=exif.tobytes())), tmp_path / "b.exr", RECORD
    )
    assert read_record(tmp_path / "b.exr") == RECORD


def test_a_record_is_read_without_the_pixels(tmp_path):
    """A folder of results is looked through for what is done already."""
    save_picture(load_picture(save(tmp_path / "a.png")), tmp_path / "b.png", RECORD)
    png = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(png[: png.index(b"IDAT") + 8])
    assert read_record(tmp_path / "b.png") == RECORD


def test_parts_of_an_exr_are_not_dropped(tmp_path):
    specs = [oiio.ImageSpec(5, 6, 3, oiio.FLOAT) for _ in range(2)]
    for name, spec in zip(("left", "right"), specs, strict=True):
        spec.attribute("oiio:subimagename", name)
    out = oiio.ImageOutput.create("a.exr")
    assert out.open(str(tmp_path / "a.exr"), tuple(specs))
    for number, spec in enumerate(specs):
        assert number == 0 or out.open(str(tmp_path / "a.exr"), spec, "AppendSubimage")
        assert out.write_image(np.full((6, 5, 3), 0.5, np.float32))
    out.close()
    with pytest.raises(PictureError, match="holds several parts"):
        load_picture(tmp_path / "a.exr")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "b.png", "b.tif", "c.exr"])
@pytest.mark.parametrize("source", ["s.jpg", "s.tif"])
@pytest.mark.parametrize("coding", ["utf-8", "latin-1"])
def test_names_with_umlauts_stay_in_exif(tmp_path, name, source, coding):
    """Pillow reads any bytes, and would write a question mark for each that is not ASCII."""
    artist, owner = "Grüße".encode(coding), "Zoë".encode(coding)
    exif = Image.Exif()
    exif[315] = "x" * len(artist)
    exif.get_ifd(ExifTags.IFD.Exif)[0xA430] = "y" * len(owner)  # of the camera
    Image.new("RGB", (8, 8)).save(tmp_path / source, exif=exif.tobytes())
    written = (tmp_path / source).read_bytes()
    written = written.replace(b"x" * len(artist), artist).replace(b"y" * len(owner), owner)
    (tmp_path / source).write_bytes(written)
    picture = with_depth(load_picture(tmp_path / source), {"b": 16, "c": FLOAT}.get(name[0], 8))
    save_picture(picture, tmp_path / name, {"task": "denoise"})
    again = load_picture(tmp_path / name)
    if name == "c.exr":  # whose texts are UTF-8
        told = {entry: value for entry, _, value in again.metadata.attributes}
        assert (told["Artist"], told["Exif:CameraOwnerName"]) == ("Grüße", "Zoë")
        artist = "Grüße".encode()
    else:
        assert owner in (tmp_path / name).read_bytes()
    assert artist + b"\0" in again.metadata.exif


def test_a_webp_without_loss_has_smoothed_nothing(tmp_path):
    exif = Image.Exif()
    exif[271] = "odd"
    for extra in ({}, {"exif": exif.tobytes(), "icc_profile": b"x" * 129}):
        for lossless in (True, False):
            path = tmp_path / "a.webp"
            Image.fromarray(scene()).save(path, lossless=lossless, **extra)
            assert smooths(path) is not lossless
    path.write_bytes(path.read_bytes()[:20])
    assert smooths(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
@pytest.mark.parametrize("extra", [{}, {"mct": 1}, {"no_jp2": True}, {"tile_size": (64, 64)}])
def test_a_jpeg_2000_has_smoothed_nothing_if_its_finest_details_are_there(tmp_path, mode, extra):
    """The reversible wavelet alone does not say so, as encoders may cut its bits off."""
    path, picture = tmp_path / "a.jp2", Image.fromarray(scene(130, 159)).convert(mode)
    size = picture.width * picture.height * len(mode)
    picture.save(path, irreversible=False, **extra)
    assert np.array_equal(Image.open(path), picture)
    assert not smooths(path)
    least = size / (0.65 * path.stat().st_size)
    layers = {"quality_mode": "rates", "quality_layers": [40, 20, 1]}
    picture.save(path, irreversible=False, **extra, **layers)
    assert not smooths(path)
    for options in (
        {"irreversible": True},
        *({"quality_mode": "rates", "quality_layers": [max(least, n)]} for n in (1, 5, 20)),
        {"quality_mode": "dB", "quality_layers": [38]},
    ):
        picture.save(path, **extra, **options)
        assert smooths(path), options
    picture.save(path, irreversible=False)
    path.write_bytes(path.read_bytes()[:300])  # damaged
    assert smooths(path)


def test_a_jpeg_2000_of_which_one_colour_is_clipped_everywhere(tmp_path):
    """Its others were coded without it."""
    colours = scene(80, 96)
    colours[:, :, 2] = 0
    Image.fromarray(colours).save(tmp_path / "a.jp2", irreversible=False)
    assert not smooths(tmp_path / "a.jp2")


@pytest.mark.parametrize("side", [1, 2, 3])
def test_a_jpeg_2000_too_small_to_tell_counts_as_lossy(tmp_path, side):
    path = tmp_path / "a.jp2"
    Image.new("RGB", (side, side), "red").save(path, irreversible=False, num_resolutions=1)
    assert smooths(path)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("icc", [b"", b"profile"])
def test_what_a_png_says_of_its_colours_stays(tmp_path, depth, icc):
    """Viewers heed it; OpenImageIO calls all colours sRGB, whatever they are."""
    told = ((b"cICP", bytes((12, 13, 0, 1))), (b"gAMA", bytes((0, 1, 134, 160))))
    told += ((b"sRGB", b"\0"),)
    path, target = tmp_path / "a.png", tmp_path / "b.png"
    save_picture(Picture(scene().astype(np.float32) / 255, depth=depth), path, {"a": 1})
    path.write_bytes(insert(path.read_bytes(), list(told)))
    picture = load_picture(path)
    assert set(picture.metadata.colours) == set(told)
    save_picture(replace(picture, metadata=replace(picture.metadata, icc=icc)), target, {"a": 1})
    kept = told[:2] if icc else told  # sRGB and another profile would be a contradiction
    assert set(load_picture(target).metadata.colours) == set(kept)
    assert with_depth(picture, FLOAT).metadata.colours == ()


def test_nothing_is_said_of_colours_of_which_nothing_was_known(tmp_path):
    save_picture(Picture(scene().astype(np.float32) / 255, depth=16), tmp_path / "a.png", {"a": 1})
    assert load_picture(tmp_path / "a.png").metadata.colours == ()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_damaged_profile_loses_no_picture(tmp_path, name, depth):
    """Profiles that are longer than they say are common; libpng writes none of them."""
    whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (whole, whole + b"\0\0", whole[:-9], b"short"):
        picture = Picture(np.full((8, 8, 3), 0.5, np.float32), depth=depth)
        save_picture(replace(picture, metadata=Metadata(icc=icc)), tmp_path / name, {"a": 1})
        assert load_picture(tmp_path / name).metadata.icc == icc


@pytest.mark.parametrize("told", [0, 9, 300])
@pytest.mark.parametrize("suffix", ["jpg", "tif", "png", "webp"])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, suffix, told):
    """Neither what is read, nor what a plan says of it."""
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[ExifTags.Base.Orientation.value] = told
    Image.fromarray(scene(20, 28)).save(path, exif=exif)
    assert load_picture(path).pixels.shape == (20, 28, 3)
    assert size_of(path) == (28, 20)
    assert not lies_on_its_side(path)
    assert suffix != "jpg" or find_luminance_table(path) is not None
