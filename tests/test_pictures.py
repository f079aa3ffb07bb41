"""Files in and out: depth, grey, palette, alpha, orientation, profiles, records, damage."""

import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image, ImageCms

from conftest import scene
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.pictures import Picture, load_picture, read_record, save_picture

RECORD = {"task": "inpaint", "seed": 3, "name": "ä"}


def write_sixteen(path, values):
    spec = oiio.ImageSpec(values.shape[1], values.shape[0], values.shape[2], oiio.UINT16)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec)
    assert out.write_image(values)
    out.close()


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_deep_pictures_equals_pillow(tmp_path, orientation):
    from reddiff_cli.deep import _turn

    values = scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    upright = load_picture(tmp_path / "a.png").pixels
    turned = _turn(values.astype(np.float32) / np.float32(255), orientation)
    assert np.array_equal(turned, upright)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.png", b"hello"),
        ("empty.png", b""),
        ("cut.png", None),
        ("cut.jpg", None),
        ("noise.tif", b"II*\x00" + bytes(range(200))),
    ],
)
def test_damaged_files_are_one_line(tmp_path, name, content):
    path = tmp_path / name
    if content is None:
        Image.fromarray(scene()).save(path)
        content = path.read_bytes()[:-400]
    path.write_bytes(content)
    with pytest.raises(PictureError, match=name) as caught:
        load_picture(path)
    assert "\n" not in str(caught.value)


def test_missing_and_animated(tmp_path):
    with pytest.raises(PictureError, match="no such file"):
        load_picture(tmp_path / "none.png")
    frames = [Image.fromarray(scene(seed=k)) for k in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="3 frames"):
        load_picture(tmp_path / "a.webp")


def test_heic_needs_its_extra_or_works(tmp_path):
    path = tmp_path / "p.heic"
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        path.write_bytes(b"x")
        with pytest.raises(PictureError, match=r"pip install 'reddiff-cli\[heic\]'"):
            load_picture(path)
        return
    register_heif_opener()
    Image.fromarray(scene()).save(path, quality=95)
    difference = load_picture(path).pixels - scene().astype(np.float32) / 255
    assert np.abs(difference).mean() < 0.03


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
