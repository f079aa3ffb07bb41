"""Pictures that fill a small part of 16 bits are restored as bright ones are, in their values."""

import json

import numpy as np
import pytest
from PIL import Image

from conftest import reddiff, scene
from reddiff_cli.formats import deep
from reddiff_cli.pictures.display import for_display, from_display, spread_out
from reddiff_cli.pictures.files import Picture, as_in_file, load_picture, save_picture

TWELVE, TIMES = 4095, 8  # eight times 12 bits fill the half of 16
TASKS = {
    "denoise": ["denoise", "--noise"],
    "deblur": ["deblur", "--kernel", "gaussian:1", "--noise"],
    "superres": ["superres", "--scale", "2", "--noise"],
    "inpaint": ["inpaint", "--mask", "m.png", "--noise"],
    "colorize": ["colorize", "--noise"],
    "restore": ["restore", "--degrade", "blur gaussian:1 | mask m.png | noise "],
}


def values(path):
    return np.rint(load_picture(path).pixels * 65535).astype(int)


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """The same picture twice: of 12 bits in 16, and filling the half of them."""
    monkeypatch.chdir(tmp_path)
    grey = np.rint(scene(40, 48)[:, :, :1] / 255 * TWELVE)
    mask = np.zeros((40, 48), np.uint8)
    mask[10:20, 15:19] = 255
    Image.fromarray(mask).save("m.png")
    for name, factor in (("faint", 1), ("bright", TIMES)):
        pixels = (grey * factor / 65535).astype(np.float32)
        save_picture(Picture(pixels, depth=16), tmp_path / f"{name}.png", None)
    return mask > 0


def restored(arguments, tiny_prior, code=0):
    quick = ["--model", str(tiny_prior), "--steps", "2", "--device", "cpu", "--json"]
    stdout, _ = reddiff(*arguments, "-o", "out/", *quick, code=code)
    return json.loads(stdout.splitlines()[0])


@pytest.mark.parametrize("task", TASKS)
def test_faint_is_restored_as_bright(task, pair, tmp_path, tiny_prior):
    """And noise is told, and told of, in the values of the file."""
    *command, last = TASKS[task]
    told = {}
    for name, noise in (("faint", 0.002), ("bright", 0.002 * TIMES)):
        given = [last, str(noise)] if last == "--noise" else [last + str(noise)]
        told[name] = restored([*command, *given, f"{name}.png"], tiny_prior)
        assert told[name]["noise"] == pytest.approx(noise, abs=1e-6)
    assert told["faint"]["residual_ratio"] == pytest.approx(
        told["bright"]["residual_ratio"], rel=0.01
    )
    faint, bright = (values(tmp_path / f"out/{name}.png") for name in told)
    assert np.abs(TIMES * faint - bright).max() <= TIMES
    assert any("8 times as bright" in note for note in told["faint"]["notes"])
    assert not any("times as bright" in note for note in told["bright"]["notes"])


def test_what_is_known_stays_as_it_is_beside_a_spark_in_the_hole(pair, tmp_path, tiny_prior):
    pixels = load_picture(tmp_path / "faint.png").pixels.copy()
    pixels[12, 16] = 1.0
    save_picture(Picture(pixels, depth=16), tmp_path / "dust.png", None)
    told = restored(["inpaint", "dust.png", "--mask", "m.png", "--compare"], tiny_prior)
    before, after = values(tmp_path / "dust.png"), values(tmp_path / "out/dust.png")
    assert np.array_equal(after[~pair], before[~pair])
    assert after[pair].max() < 2 * TWELVE
    reached = 100 * before[~pair].max() / 65535  # what the hole hides does not count
    seen = f"reach {reached:.2g} % of white; the prior sees them 8 times as bright"
    assert any(seen in note for note in told["notes"])


def test_eight_bits_of_it_are_as_dark(pair, tmp_path, tiny_prior):
    restored(["inpaint", "faint.png", "--mask", "m.png", "--depth", "8"], tiny_prior)
    shown = np.asarray(Image.open(tmp_path / "out/faint.png"))
    assert shown[~pair].max() <= 255 * TWELVE / 65535 + 1


@pytest.mark.parametrize("depth", ["8", "float"])
def test_sheets_show_before_and_after_as_bright(depth, pair, tmp_path, tiny_prior):
    asked = ["--depth", depth, "--format", "tiff", "--compare"]
    restored(["inpaint", "faint.png", "--mask", "m.png", *asked], tiny_prior)
    sheet = load_picture(tmp_path / "out/faint.compare.png").pixels
    before, after = sheet[:, :48], sheet[:, -48:]
    assert np.abs(before - after)[~pair].max() < 0.01


def test_spread_of_samples_is_in_the_values_of_the_file(pair, tmp_path, tiny_prior):
    sampled = ["inpaint", "--mask", "m.png", "--samples", "3"]
    for name in ("faint", "bright"):
        restored([*sampled, f"{name}.png"], tiny_prior)
    faint, bright = (np.load(tmp_path / f"out/{name}.std.npy") for name in ("faint", "bright"))
    assert np.allclose(TIMES * faint, bright, atol=1e-6)
    assert bright.max() > 0


def test_more_noise_than_picture_is_not_spread_out(pair, tiny_prior):
    told = restored(["denoise", "faint.png", "--noise", "0.5"], tiny_prior)
    assert not any("times as bright" in note for note in told["notes"])
    assert told["noise"] == 0.5


def test_faint_light_is_seen_over_its_peak(tmp_path):
    light = (scene(16, 16) / 255 * 0.005).astype(np.float32)
    deep_file = tmp_path / "a.exr"
    deep_file.write_bytes(deep.encode_float(light, None, ".exr", b""))
    picture = load_picture(deep_file)
    shown = for_display(picture)
    assert shown.max() == pytest.approx(1, abs=1e-5)
    assert np.allclose(from_display(shown, picture), picture.pixels, atol=1e-7)


def spotted(*places, value=1.0):
    """12 bits in 16, with single values far above."""
    pixels = np.full((40, 48, 1), 0.02, np.float32)
    for place in places:
        pixels[place] = value
    return Picture(pixels, depth=16)


def test_hot_pixels_do_not_count_and_stay(pair, tmp_path, tiny_prior):
    pixels = load_picture(tmp_path / "faint.png").pixels.copy()
    hot = np.zeros(pixels.shape, bool)
    hot[20, 30], hot[0, 47] = True, True
    pixels[hot] = 1.0
    save_picture(Picture(pixels, depth=16), tmp_path / "hot.png", None)
    told = restored(["denoise", "hot.png", "--noise", "0.002"], tiny_prior)
    restored(["denoise", "faint.png", "--noise", "0.002"], tiny_prior)
    after, plain = (values(tmp_path / f"out/{name}.png") for name in ("hot", "faint"))
    assert (after[hot] == 65535).all()
    far = np.ones((40, 48), bool)
    far[12:29, 22:39], far[:9, 39:] = False, False
    assert np.abs(after - plain)[far].max() <= 0.1 * TWELVE
    assert any("but for 2 hot pixels" in note and "8 times" in note for note in told["notes"])


def test_hot_pixels_of_grey_pictures_stay_in_colours(tmp_path, tiny_prior, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_picture(spotted((20, 30)), tmp_path / "hot.png", None)
    restored(["colorize", "hot.png"], tiny_prior)
    after = values(tmp_path / "out/hot.png")
    assert after.shape == (40, 48, 3)
    assert (after[20, 30] == 65535).all()


def test_hot_pixels_take_their_neighbours_values_meanwhile():
    spread = spread_out(spotted((3, 5), (0, 0)))
    assert spread.unit < 1
    assert np.allclose(spread.pixels, 0.02 / spread.unit)
    assert np.array_equal(as_in_file(spread).pixels, spotted((3, 5), (0, 0)).pixels)


@pytest.mark.parametrize(
    "places", [[(3, 5), (3, 6)], [(7, 7), (8, 8)], [(0, k) for k in (1, 3, 5, 7)]]
)
def test_what_is_bright_in_more_than_a_few_single_values_is_no_hot_pixel(places):
    """A star is wider than a pixel; and more than a thousandth of all values are a picture."""
    picture = spotted(*places)
    assert spread_out(picture) is picture


def test_a_hole_hides_hot_pixels():
    hole = np.zeros((40, 48), bool)
    hole[2:5, 4:8] = True
    spread = spread_out(spotted((3, 5), (3, 6)), hole)
    assert spread.unit < 1 and spread.sparks is None
