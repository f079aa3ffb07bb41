"""White is fill; where the hole comes from when there is no mask; sizes and pairing."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from conftest import scene
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.options.tasks import InpaintOptions
from reddiff_cli.pictures import masks
from reddiff_cli.pictures.files import Picture, load_picture
from reddiff_cli.pictures.masks import Masks, NothingToFill, check_mask, hole_from_file, load_hole
from reddiff_cli.planning import rehearsal
from reddiff_cli.planning.jobs import Job

COFFEE = Path(__file__).parent / "pictures/coffee.png"
PICTURE = Picture(scene().astype(np.float32) / 255)


def save_mask(path: Path, values) -> Path:
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
    return path


def test_white_is_fill_from_half_grey_on(tmp_path):
    values = np.zeros((48, 64))
    values[3, 4], values[5, 6], values[7, 8] = 255, 128, 127
    hole = load_hole(PICTURE, save_mask(tmp_path / "m.png", values), InpaintOptions())
    assert sorted(zip(*np.nonzero(hole), strict=True)) == [(3, 4), (5, 6)]


@pytest.mark.parametrize(("radius", "grow", "told"), [(0, 0, 0), (4, 0, 6), (4, 6, 0), (4, 3, 6)])
def test_soft_edges_are_told_with_what_fills_them(tmp_path, radius, grow, told):
    """Until --grow-mask takes all of them."""
    mask = Image.new("L", (64, 48))
    mask.paste(255, (20, 14, 44, 34))
    path, notes = tmp_path / "m.png", []
    mask.filter(ImageFilter.GaussianBlur(radius)).save(path)
    load_hole(PICTURE, path, InpaintOptions(grow=grow), notes.append)
    assert [note.split("; ")[1].split(" fills")[0] for note in notes] == (
        [f"--grow-mask {told}"] if told else []
    )


def test_what_a_smooth_brush_leaves_beside_a_stroke_is_filled_with_it(tmp_path):
    """It is a part of the scratch, which would stay as an outline."""
    values, notes = np.zeros((48, 64)), []
    values[20:22, 10:50], values[19, 10:50], values[22, 10:50] = 255, 90, 60
    values[40, 10:50] = 90  # grey that is beside nothing
    path = save_mask(tmp_path / "m.png", values)
    hole = load_hole(PICTURE, path, InpaintOptions(), notes.append)
    assert hole[19:23, 10:50].all()
    assert hole.sum() == 160
    assert notes == []
    inverted = save_mask(tmp_path / "i.png", 255 - values)
    assert np.array_equal(load_hole(PICTURE, inverted, InpaintOptions(invert=True)), hole)
    assert np.array_equal(hole_from_file(PICTURE, path), hole)


@pytest.mark.parametrize("quality", [60, 75])
def test_rings_of_a_jpeg_do_not_ask_for_a_mask_as_wide_as_its_blocks(tmp_path, quality):
    """They reach seven pixels from a stroke, but are no edge of it."""
    mask, notes = Image.new("L", (320, 240)), []
    for number in range(6):
        ends = (20 + 40 * number, 10, 60 + 37 * number, 230)
        ImageDraw.Draw(mask).line(ends, fill=255, width=2)
    mask.save(tmp_path / "m.jpg", quality=quality)
    picture = Picture(scene(240, 320).astype(np.float32) / 255)
    hole = load_hole(picture, tmp_path / "m.jpg", InpaintOptions(), notes.append)
    assert hole[np.asarray(mask) > 0].all()
    assert notes == []


@pytest.mark.parametrize("kind", ["copy", "grey copy", "other"])
def test_a_photograph_is_no_mask(tmp_path, kind):
    """As where marks were painted over a copy of the picture."""
    photograph = Image.open(COFFEE).convert("RGB").crop((100, 100, 300, 250))
    if kind == "grey copy":
        photograph = photograph.convert("L")
    pixels = np.asarray(photograph, np.float32) / 255
    picture = Picture(pixels if pixels.ndim == 3 else pixels[:, :, None])
    painted = photograph if kind != "other" else photograph.rotate(180)
    painted.paste("red" if kind != "grey copy" else 255, (20, 20, 60, 24))
    painted.save(tmp_path / "m.png")
    with pytest.raises(PictureError, match="is a photograph, not a mask"):
        load_hole(picture, tmp_path / "m.png", InpaintOptions())


def test_a_mask_in_black_and_white_is_looked_at_no_further(tmp_path, monkeypatch):
    """Of 24 megapixels all that is asked of a photograph takes seconds."""
    monkeypatch.setattr(masks, "_is_coloured", lambda _: pytest.fail("was looked at"))
    values = np.zeros((48, 64, 3))
    values[9:20, 9:20] = 255
    check_mask(save_mask(tmp_path / "m.png", values), InpaintOptions())


@pytest.mark.parametrize("channels", [1, 3])
def test_shades_and_colours_are_those_of_any_channel(channels):
    pixels = np.random.default_rng(0).random((9, 8, channels)).astype(np.float32)
    pixels[:5] = pixels[:5].round()
    low, high = masks.MIDDLE
    assert (masks._is_shade(pixels) == ((pixels > low) & (pixels < high)).any(2)).all()
    apart = pixels.max(2) - pixels.min(2) > masks.APART
    assert (masks._is_coloured(pixels) == apart).all()


@pytest.mark.parametrize("colours", ["gradient", "red and yellow"])
def test_masks_of_shades_or_of_colours_are_masks(tmp_path, colours):
    picture = Picture(np.asarray(Image.open(COFFEE).convert("RGB"), np.float32) / 255)
    mask = Image.linear_gradient("L").resize((picture.width, picture.height))
    if colours == "red and yellow":
        sharp = mask.point(lambda v: 255 * (v > 127)).filter(ImageFilter.GaussianBlur(1))
        mask = Image.merge("RGB", [sharp.point(lambda v: 255), sharp, sharp.point(lambda v: 0)])
    mask.save(tmp_path / "m.png")
    assert 0.3 < load_hole(picture, tmp_path / "m.png", InpaintOptions()).mean() < 0.7


def test_invert_and_grow(tmp_path):
    values = np.zeros((48, 64))
    values[10, 20] = 255
    path = save_mask(tmp_path / "m.png", values)
    assert load_hole(PICTURE, path, InpaintOptions(invert=True)).sum() == 48 * 64 - 1
    grown = load_hole(PICTURE, path, InpaintOptions(grow=3))
    assert grown.sum() == 49
    assert grown[7:14, 17:24].all()


def test_transparent_pixels_are_the_hole():
    alpha = np.ones((48, 64), dtype=np.float32)
    alpha[2:5, 3:9], alpha[20, 20] = 0, 0.5
    hole = load_hole(Picture(PICTURE.pixels, alpha), None, InpaintOptions())
    assert hole.sum() == 18


def test_magenta_pixels_are_the_hole():
    pixels = PICTURE.pixels.copy()
    pixels[4:6, 4:6] = (1, 0, 1)
    hole = load_hole(Picture(pixels), None, InpaintOptions())
    assert hole.sum() == 4
    assert hole[4:6, 4:6].all()


def test_mixtures_beside_magenta_are_filled_with_it():
    pixels, notes = np.full((48, 64, 3), 0.4, np.float32), []
    pixels[10:30, 10:30] = (1, 0, 1)
    pixels[9, 10:30] = (0.7, 0.3, 0.7)
    pixels[40, 10:20] = (0.9, 0.1, 0.9)  # a purple that is beside no mark
    hole = load_hole(Picture(pixels), None, InpaintOptions(), notes.append)
    assert hole[9:30, 10:30].all()
    assert not hole[40].any()
    pixels[5:9, 10:30] = (0.8, 0.4, 0.8)
    load_hole(Picture(pixels), None, InpaintOptions(), notes.append)
    assert [note.split(": ")[1] for note in notes] == ["the marks"]


@pytest.mark.parametrize("quality", [85, 95])
def test_magenta_that_a_jpeg_has_smeared_is_filled(tmp_path, quality):
    """Most of it is (255, 0, 254) and the like there."""
    pixels = scene(96, 96)
    pixels[20:61, 30:71] = (255, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=quality)
    picture = load_picture(tmp_path / "a.jpg")
    exact = (picture.pixels == (1, 0, 1)).all(2)
    assert 0 < exact.sum() < 0.5 * 41 * 41
    hole = load_hole(picture, None, InpaintOptions(), smeared=True)
    assert hole[24:57, 34:67].all()
    assert not hole[:16].any()


@pytest.mark.parametrize("quality", [75, 90])
def test_what_colours_of_half_the_resolution_mix_with_magenta_is_filled(tmp_path, quality):
    """It would stay as a rim, and tint all that is filled."""
    clean, notes = np.full((96, 96, 3), 120, np.uint8), []
    pixels = clean.copy()
    pixels[41:48, 31:65] = (255, 0, 255)  # across the pixels of the colours
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=quality)
    picture = load_picture(tmp_path / "a.jpg")
    hole = load_hole(picture, None, InpaintOptions(), notes.append, smeared=True)
    assert hole[41:48, 31:65].all()
    assert hole.sum() < 12 * 40
    assert np.abs(picture.pixels * 255 - clean)[~hole].max() < 40
    assert not notes


def test_marks_with_colours_of_full_resolution_are_filled_as_they_are(tmp_path):
    pixels = np.full((96, 96, 3), 120, np.uint8)
    pixels[41:48, 31:65] = (255, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95, subsampling=0)
    picture = load_picture(tmp_path / "a.jpg")
    assert load_hole(picture, None, InpaintOptions(), smeared=True).sum() == 7 * 34


def test_what_is_nearly_magenta_elsewhere_stays():
    pixels = PICTURE.pixels.copy()
    pixels[10:30, 10:30] = (1, 0, 1)
    pixels[40, 10:20] = (0.98, 0.02, 0.98)
    assert not load_hole(Picture(pixels), None, InpaintOptions())[38:].any()


def test_in_a_file_without_loss_only_what_is_exactly_magenta_is_a_mark(tmp_path):
    """A pink button beside it is a part of the picture, however large."""
    pixels = scene(64, 64)
    pixels[4:10, 4:10] = (255, 0, 255)
    pixels[30:60, 10:50] = (250, 3, 252)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert load_hole(load_picture(tmp_path / "a.png"), None, InpaintOptions()).sum() == 36


def test_plans_know_which_files_smear_marks(tmp_path, monkeypatch):
    """They look at marks as the run does."""
    told = []

    def look(*_, smeared):
        told.append(smeared)

    monkeypatch.setattr(rehearsal, "load_hole", look)
    for name in ("a.png", "a.jpg", "a.webp"):
        Image.fromarray(scene()).save(tmp_path / name)
        rehearsal.Rehearsal(InpaintOptions()).of(Job("inpaint", tmp_path / name, tmp_path / "b"))
    assert told == [False, True, True]


def test_no_mask_at_all_is_a_usage_error():
    with pytest.raises(UsageError, match="--mask"):
        load_hole(PICTURE, None, InpaintOptions())


def test_wrong_size_names_both(tmp_path):
    path = save_mask(tmp_path / "m.png", np.full((64, 48), 255))
    with pytest.raises(PictureError, match="mask is 48x64, picture is 64x48"):
        load_hole(PICTURE, path, InpaintOptions())


def test_empty_and_full_masks(tmp_path):
    with pytest.raises(NothingToFill):
        load_hole(PICTURE, save_mask(tmp_path / "e.png", np.zeros((48, 64))), InpaintOptions())
    with pytest.raises(PictureError, match="whole picture"):
        load_hole(PICTURE, save_mask(tmp_path / "f.png", np.full((48, 64), 255)), InpaintOptions())


def test_pairing_by_relative_stem(tmp_path):
    root, masks = tmp_path / "in", tmp_path / "masks"
    for folder in (root / "sub", masks / "sub"):
        folder.mkdir(parents=True)
    picture = root / "sub" / "a.jpg"
    mask = save_mask(masks / "sub" / "a.png", np.full((4, 4), 255))
    assert Masks(masks).find(picture, root) == mask
    assert Masks(mask).find(picture, root) == mask
    assert Masks(None).find(picture, root) is None
    with pytest.raises(PictureError, match=r"no mask named b\.\*, b_mask\.\* or b-mask\.\* in"):
        Masks(masks).find(root / "b.jpg", root)
    for name, ending in (("b", "_mask.png"), ("c", "-mask.gif")):
        named = save_mask(masks / "sub" / f"{name}{ending}", np.full((4, 4), 255))
        assert Masks(masks).find(root / "sub" / f"{name}.jpg", root) == named
    save_mask(masks / "sub" / "a.tif", np.full((4, 4), 255))
    with pytest.raises(PictureError, match="several masks"):
        Masks(masks).find(picture, root)
    with pytest.raises(UsageError, match="no such"):
        Masks(tmp_path / "none").find(picture, root)


def test_a_folder_of_masks_is_listed_once(tmp_path, monkeypatch):
    names = [f"{number}.png" for number in range(4)]
    for name in names:
        save_mask(tmp_path / name, np.full((4, 4), 255))
    listed, usual = [], Path.iterdir

    def listing(folder):
        listed.append(folder)
        return usual(folder)

    monkeypatch.setattr(Path, "iterdir", listing)
    masks = Masks(tmp_path)
    assert [masks.find(Path(name), None) for name in names] == [tmp_path / n for n in names]
    assert listed == [tmp_path]


def test_a_folder_of_masks_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PictureError, match="masks cannot be read"):
        Masks(tmp_path).find(Path("a.png"), None)


@pytest.mark.parametrize("value", [1, 85, 127])
def test_a_mask_that_was_meant_and_is_dark_is_told(tmp_path, value):
    """0 and 1 for no and yes, or red on black, must not pass for an empty mask."""
    values = np.zeros((48, 64))
    values[3:6] = value
    path = save_mask(tmp_path / "m.png", values)
    with pytest.raises(PictureError, match=f"brightest value is {value} of 255; 128"):
        load_hole(PICTURE, path, InpaintOptions())
    with pytest.raises(PictureError, match="brightest"):
        load_hole(PICTURE, path, InpaintOptions(invert=True))


@pytest.mark.parametrize("colour", [0, 20])
def test_a_mask_painted_with_black_on_transparency_is_told(tmp_path, colour):
    rgba = np.full((48, 64, 4), colour, np.uint8)
    rgba[..., 3] = 0
    rgba[3:6, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "m.png")
    for invert in (False, True):
        with pytest.raises(PictureError, match="painted with black") as caught:
            load_hole(PICTURE, tmp_path / "m.png", InpaintOptions(invert=invert))
        assert caught.value.kind == "MaskDark"
    for alpha in (0, 255):  # nothing was painted, or all is opaque as other masks are
        rgba[..., 3] = alpha
        Image.fromarray(rgba).save(tmp_path / "m.png")
        with pytest.raises(NothingToFill):
            load_hole(PICTURE, tmp_path / "m.png", InpaintOptions())


def test_a_black_mask_with_a_little_noise_is_empty(tmp_path):
    path = save_mask(tmp_path / "m.png", np.full((48, 64), 3))
    with pytest.raises(NothingToFill):
        load_hole(PICTURE, path, InpaintOptions())


def test_a_mask_of_sixteen_bits_with_ones_is_told(tmp_path):
    values = np.zeros((48, 64), np.uint16)
    values[3:6] = 1
    Image.fromarray(values).save(tmp_path / "m.png")
    with pytest.raises(PictureError, match="brightest value is 0 of 255"):
        load_hole(PICTURE, tmp_path / "m.png", InpaintOptions())
