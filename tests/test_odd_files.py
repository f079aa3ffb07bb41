"""Kinds of files that are seldom met: read as they were meant, or refused in one clear line."""

import zlib

import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from conftest import reddiff, scene
from reddiff_cli.errors import PictureError
from reddiff_cli.formats.carriers import read_record
from reddiff_cli.formats.pngchunks import chunk, texts_of
from reddiff_cli.formats.tifftags import read_tags, unpacked
from reddiff_cli.pictures.files import (
    Picture,
    load_eight_bits,
    load_picture,
    save_picture,
    size_of,
)

GEO = {
    33550: (0.5, 0.25, 0.0),  # a pixel spans so much
    33922: (2.0, 3.0, 0.0, 440.0, 3750.0, 0.0),  # this pixel lies there
    34735: (1, 1, 0, 1, 1025, 0, 1, 1),  # coordinates count corners
}


def write(path, values, names=None, kind=oiio.FLOAT, **options):
    spec = oiio.ImageSpec(values.shape[1], values.shape[0], values.shape[2], kind)
    if names:
        spec.channelnames = names
    if values.shape[2] in (2, 4):
        spec.alpha_channel = values.shape[2] - 1
        spec.attribute("oiio:UnassociatedAlpha", 1)
    for name, value in options.items():
        if isinstance(value, tuple):
            spec.attribute(name, oiio.TypeDesc(value[0]), value[1])
        else:
            spec.attribute(name.replace("__", ":"), value)
    out = oiio.ImageOutput.create(str(path))
    assert out.open(str(path), spec), out.geterror()
    assert out.write_image(np.ascontiguousarray(values))
    out.close()


@pytest.mark.parametrize(
    "names", [("R.left", "G.left", "B.left"), ("X", "Y", "Z"), ("Y", "RY", "BY"), ("C", "M", "K")]
)
def test_channels_of_an_exr_that_are_no_colours_are_not_taken_for_them(tmp_path, names):
    write(tmp_path / "a.exr", scene(8, 9).astype(np.float32) / 255, names)
    with pytest.raises(PictureError, match=r"holds \w+.*; give a file of R, G, B and at most"):
        load_picture(tmp_path / "a.exr")


def test_what_lossy_compression_leaves_below_black_is_black(tmp_path):
    values = scene(64, 64).astype(np.float32) / 255
    values[20:40, 20:40] = 0
    write(tmp_path / "a.exr", values, compression="dwaa:200")
    raw = oiio.ImageBuf(str(tmp_path / "a.exr")).get_pixels(oiio.FLOAT)
    assert raw.min() < 0
    loaded = load_picture(tmp_path / "a.exr").pixels
    np.testing.assert_array_equal(loaded, raw.clip(0))


@pytest.mark.parametrize(("compression", "least"), [("zip", -1e-4), ("dwaa", -0.1)])
def test_light_that_was_negative_before_is_none(tmp_path, compression, least):
    values = scene(64, 64).astype(np.float32) / 255
    values[16:48, 16:48] = least
    write(tmp_path / "a.exr", values, compression=compression)
    with pytest.raises(PictureError, match="negative"):
        load_picture(tmp_path / "a.exr")


@pytest.mark.parametrize("names", ["RGB", "rgb", "BGR", ("left.R", "left.G", "left.B")])
def test_colours_of_an_exr_are_told_by_their_names(tmp_path, names):
    values = scene(8, 9).astype(np.float32) / 255
    write(tmp_path / "a.exr", values, tuple(names))
    expected = values[:, :, ::-1] if names == "BGR" else values
    assert np.array_equal(load_picture(tmp_path / "a.exr").pixels, expected)


def test_whole_numbers_of_an_exr_stay(tmp_path):
    told = {
        "pair": ("int[2]", (1, 2)),
        "triple": ("int[3]", (1, 2, 3)),
        "box": ("box2i", (1, 2, 3, 4)),
    }
    write(tmp_path / "a.exr", scene(8, 9).astype(np.float32), **told)
    save_picture(load_picture(tmp_path / "a.exr"), tmp_path / "b.exr", {})
    spec = oiio.ImageBuf(str(tmp_path / "b.exr")).spec()
    for name, (_, value) in told.items():
        assert tuple(spec.getattribute(name)) == value


@pytest.mark.parametrize("kind", ["UINT8", "UINT16", "FLOAT"])
@pytest.mark.parametrize("channels", [2, 3])
def test_a_big_tiff_is_upright_and_keeps_what_it_says(tmp_path, kind, channels):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    values = scene(8, 9)[:, :, :channels]
    values = values.astype(np.float32) if kind == "FLOAT" else values.astype(kind.lower())
    said = {"Make": "Camera", "Orientation": 6}
    said["ICCProfile"] = (f"uint8[{len(profile)}]", np.frombuffer(profile, np.uint8))
    for big in (0, 1):
        path = tmp_path / f"{big}.tif"
        write(path, values, kind=getattr(oiio, kind), tiff__bigtiff=big, **said)
        assert path.read_bytes()[2:3] == (b"+" if big else b"*")
    plain, found = (load_picture(tmp_path / f"{big}.tif") for big in (0, 1))
    assert found.pixels.shape[:2] == (9, 8) == size_of(tmp_path / "1.tif")[::-1]
    assert np.array_equal(found.pixels, plain.pixels)
    assert found.metadata == plain.metadata
    assert unpacked(found.metadata.exif)[271] == "Camera"
    assert found.metadata.icc == profile


def test_a_big_tiff_of_floats_comes_through_stdin(tmp_path, quick):
    write(tmp_path / "a.tif", scene(16, 16).astype(np.float32) / 255, tiff__bigtiff=1)
    out = tmp_path / "o.tif"
    reddiff("denoise", "-", "-o", out, *quick, stdin=(tmp_path / "a.tif").read_bytes())
    assert load_picture(out).linear


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_a_big_tiff_whose_tags_are_not_read_is_refused(tmp_path, mode):
    values = scene(8, 9)[:, :, 0].astype(np.uint8 if mode == "L" else np.uint16)
    kind = {"L": oiio.UINT8, "I;16": oiio.UINT16}[mode]
    write(tmp_path / "a.tif", values[:, :, None], kind=kind, tiff__bigtiff=1, oiio__Endian="big")
    content = (tmp_path / "a.tif").read_bytes()
    if not content.startswith(b"MM"):  # its header alone is enough
        (tmp_path / "a.tif").write_bytes(b"MM\0+\0\x08\0\0" + content[8:])
    for read in (load_picture, size_of):
        with pytest.raises(PictureError, match="is a big-endian BigTIFF.*; save it as"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["INT8", "INT16"])
def test_signed_numbers_are_not_taken_for_others(tmp_path, kind):
    write(tmp_path / "a.tif", np.full((8, 9, 1), -3, kind.lower()), kind=getattr(oiio, kind))
    for read in (load_picture, load_eight_bits, size_of):
        with pytest.raises(PictureError, match="stored as signed integers; convert it to"):
            read(tmp_path / "a.tif")


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("orientation", [1, 6])
def test_colours_that_were_multiplied_by_alpha_come_back_when_they_are_again(
    tmp_path, channels, orientation
):
    """Pillow divides and rounds down, so that they would come back darker."""
    alpha, colour = (values[::3, ::3] for values in np.mgrid[:256, :256].astype(np.uint8))
    seen = colour <= alpha
    values = np.stack([colour * seen] * (channels - 1) + [alpha], axis=2)
    write(tmp_path / "a.tif", values, kind=oiio.UINT8, Orientation=orientation)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    place = content.index((338).to_bytes(2, "little") + b"\3\0\1\0\0\0\2\0")
    content[place + 8] = 1  # the alpha that colours are multiplied by
    (tmp_path / "a.tif").write_bytes(content)
    picture = load_picture(tmp_path / "a.tif")
    assert picture.depth == 8
    save_picture(picture, tmp_path / "b.png", None)
    with Image.open(tmp_path / "b.png") as image:
        found = np.asarray(image).astype(float)
    upright = np.rot90(values, -1) if orientation == 6 else values
    assert np.array_equal(found[..., -1], upright[..., -1])
    again = np.rint(found[..., :-1] * found[..., -1:] / 255)
    assert np.array_equal(again, upright[..., :-1] * (upright[..., -1:] > 0))


def tiff_with(path, tags):
    info = ImageFileDirectory_v2()
    for tag, value in tags.items():
        info.tagtype[tag] = 12 if isinstance(np.ravel(value)[0], np.floating) else 3
        info[tag] = value
    Image.fromarray(scene(8, 9)).save(path, tiffinfo=info)


def test_slices_of_a_volume_are_not_dropped(tmp_path):
    tiff_with(tmp_path / "a.tif", {32997: 4})
    for read in (load_picture, size_of):
        with pytest.raises(PictureError, match="holds 4 slices; give one"):
            read(tmp_path / "a.tif")


def test_floats_of_a_pfm_are_not_cut_to_eight_bits(tmp_path):
    values = np.linspace(0, 1, 72, dtype="<f4")
    (tmp_path / "a.pfm").write_bytes(b"Pf\n9 8\n-1.0\n" + values.tobytes())
    for read in (load_picture, size_of):
        with pytest.raises(PictureError, match=r"floats that is not read \(PFM\); convert it"):
            read(tmp_path / "a.pfm")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_grey_that_stands_for_transparency(tmp_path, bits):
    top, key = 2**bits - 1, 2 ** (bits - 1)
    levels = np.arange(8 * 16).reshape(8, 16) % (top + 1)
    rows = np.unpackbits(levels.astype(np.uint8)[:, :, None], axis=2)[:, :, -bits:]
    packed = np.packbits(rows.reshape(8, -1), axis=1)
    lines = b"".join(b"\0" + row.tobytes() for row in packed)
    header = (16).to_bytes(4) + (8).to_bytes(4) + bytes((bits, 0, 0, 0, 0))
    chunks = {
        b"IHDR": header,
        b"tRNS": key.to_bytes(2),
        b"IDAT": zlib.compress(lines),
        b"IEND": b"",
    }
    content = b"".join(chunk(kind, said) for kind, said in chunks.items())
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    picture = load_picture(tmp_path / "a.png")
    assert np.allclose(picture.pixels[:, :, 0] * top, levels, atol=1e-5)
    assert np.array_equal(picture.alpha, levels != key)


@pytest.mark.parametrize("centres", [False, True])
@pytest.mark.parametrize("by_matrix", [False, True])
def test_what_is_enlarged_lies_where_it_was(tmp_path, centres, by_matrix):
    tags = GEO | {34735: (*GEO[34735][:-1], 1 + centres)}
    if by_matrix:
        matrix = (0.5, 0.1, 0.0, 440.0, 0.1, -0.25, 0.0, 3750.0, *(0.0,) * 7, 1.0)
        tags = {34264: matrix, 34735: tags[34735]}
    tiff_with(tmp_path / "a.tif", tags)
    metadata = load_picture(tmp_path / "a.tif").metadata
    for factor in (1, 2, 3):
        finer = unpacked(metadata.enlarged(factor).exif)
        before, now = (corners(found) for found in (unpacked(metadata.exif), finer))
        scaled = [[(factor * (x + centres / 2) - centres / 2) for x in pair] for pair in PLACES]
        assert np.allclose([before(*pair) for pair in PLACES], [now(*pair) for pair in scaled])


PLACES = [(0.0, 0.0), (9.0, 8.0), (2.5, 1.0)]


def corners(tags):
    """From coordinates in a picture to those on Earth."""
    if 34264 in tags:
        matrix = np.reshape(tags[34264], (4, 4))
        return lambda x, y: (matrix @ (x, y, 0, 1))[:2]
    (across, down, _), (i, j, _, x0, y0, _) = tags[33550], tags[33922]
    return lambda x, y: (x0 + (x - i) * across, y0 - (y - j) * down)


def test_damaged_places_lose_no_picture(tmp_path):
    tiff_with(tmp_path / "a.tif", {33550: (0.5, 0.5), 34735: (1, 1, 0, 1, 1025)})
    picture = load_picture(tmp_path / "a.tif")
    assert len(picture.metadata.enlarged(2).exif)
    save_picture(picture, tmp_path / "b.tif", {})
    assert read_tags(tmp_path / "b.tif")[33550] == (0.5, 0.5)


@pytest.mark.parametrize("depth", [8, 16])
def test_texts_of_a_png_stay(tmp_path, depth):
    """Programs that make pictures keep there how they made them."""
    texts = [
        (b"tEXt", b"parameters\0a cat\nSteps: 20"),
        (b"tEXt", b"Author\0me"),
        (b"zTXt", b"Comment\0\0" + zlib.compress(b"hello")),
        (b"iTXt", b"Title\0\0\0de\0Titel\0" + "Gr\u00f6\u00dfe".encode()),
    ]
    turned = (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"exif 0"))
    save_picture(Picture(scene(8, 9) / np.float32(255), depth=depth), tmp_path / "a.png", {"a": 1})
    content = (tmp_path / "a.png").read_bytes()
    place = content.rindex(b"IEND") - 4  # one behind the pixels
    behind = chunk(b"tEXt", b"date\0today")
    content = content[:place] + behind + content[place:]
    start = content.index(b"IDAT") - 4
    chunks = b"".join(chunk(*told) for told in (*texts, turned))
    (tmp_path / "a.png").write_bytes(content[:start] + chunks + content[start:])
    picture = load_picture(tmp_path / "a.png")
    save_picture(picture, tmp_path / "b.png", {"b": 2})
    assert set(texts_of(tmp_path / "b.png")) == {*texts, (b"tEXt", b"date\0today")}
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["Title"] == "Gr\u00f6\u00dfe"
        assert "Raw profile type exif" not in image.info
    assert read_record(tmp_path / "b.png") == {"b": 2}
    save_picture(picture, tmp_path / "c.png", None)
    assert texts_of(tmp_path / "c.png") == ()


def radiance(path, size, lines=b""):
    values = np.full((8, 9, 3), 0.5, np.float32)
    write(path, values)
    content = path.read_bytes().replace(b"FORMAT=", lines + b"FORMAT=", 1)
    path.write_bytes(content.replace(b"-Y 8 +X 9", size))


def test_what_the_numbers_of_a_radiance_picture_mean_stays(tmp_path):
    lines = b"EXPOSURE=2.0\nEXPOSURE=4\nVIEW= -vtv -vh 45\nCOLORCORR=1 2 1\n"
    radiance(tmp_path / "a.hdr", b"-Y 8 +X 9", lines + b"SOFTWARE=x\n")
    picture = load_picture(tmp_path / "a.hdr")
    for name in ("b.hdr", "b.exr", "c.hdr"):
        save_picture(picture, tmp_path / name, {})
        picture = load_picture(tmp_path / name)  # the last one comes from the EXR
        assert np.allclose(picture.pixels, 0.5)
    for name in ("b.hdr", "c.hdr"):
        assert lines + b"FORMAT=" in (tmp_path / name).read_bytes()
        assert b"SOFTWARE" not in (tmp_path / name).read_bytes()
    save_picture(picture, tmp_path / "d.hdr", None)
    assert b"EXPOSURE" not in (tmp_path / "d.hdr").read_bytes()


@pytest.mark.parametrize(
    ("size", "known"),
    [(b"+Y 8 -X 9", True), (b"+X 8 -Y 9", True), (b"+X 8 +Y 9", False), (b"-X 8 -Y 9", False)],
)
def test_a_radiance_picture_is_not_turned_the_wrong_way(tmp_path, size, known):
    radiance(tmp_path / "a.hdr", size)
    if known:
        assert (
            load_picture(tmp_path / "a.hdr").pixels.shape == ((9, 8, 3), (8, 9, 3))[b"+Y" in size]
        )
    else:
        with pytest.raises(PictureError, match="on its side.*; turn it upright"):
            load_picture(tmp_path / "a.hdr")


def avif(path, codes):
    """Primaries and transfer characteristics by their numbers in ITU-T H.273."""
    Image.fromarray(scene(16, 16)).save(path)
    content = path.read_bytes()
    place = content.index(b"nclx") + 4
    path.write_bytes(content[:place] + bytes((0, codes[0], 0, codes[1])) + content[place + 4 :])


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_avif_for_hdr_screens_is_refused(tmp_path, transfer, name):
    avif(tmp_path / "a.avif", (9, transfer))
    with pytest.raises(PictureError, match=rf"coded for HDR screens \({name}\); convert it"):
        load_picture(tmp_path / "a.avif")


@pytest.mark.parametrize(("codes", "kept"), [((12, 13), True), ((1, 13), False), ((2, 2), False)])
def test_primaries_that_no_profile_tells_stay_in_a_png(tmp_path, codes, kept):
    avif(tmp_path / "a.avif", codes)
    told = ((b"cICP", bytes((*codes, 0, 1))),) if kept else ()
    picture = load_picture(tmp_path / "a.avif")
    assert picture.metadata.colours == told
    save_picture(picture, tmp_path / "b.png", {})
    assert load_picture(tmp_path / "b.png").metadata.colours == told
