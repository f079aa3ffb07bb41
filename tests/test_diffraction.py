"""Diffraction files: formats, layouts, unknown pixels, and what is refused."""

from dataclasses import replace

import h5py
import numpy as np
import OpenImageIO as oiio
import pytest
from PIL import Image
from scipy.io import savemat

from conftest import scene
from reddiff_cli.errors import PictureError, UsageError
from reddiff_cli.formats.arrays import load_array
from reddiff_cli.retrieval.diffraction import find_layout, load_diffraction
from reddiff_cli.retrieval.options import PhaseOptions

AMPLITUDE = PhaseOptions(data="amplitude")
INTENSITY = PhaseOptions(data="intensity")


def magnitudes(height=20, width=24, channels=None, seed=0):
    """|F pad u| of a random positive object of half the size, DC at [0, 0]."""
    rng = np.random.default_rng(seed)
    shape = (height // 2, width // 2)
    u = rng.random((channels, *shape) if channels else shape)
    return np.abs(np.fft.fft2(u, s=(height, width), norm="ortho"))


def spectrum_of_scene(size=(96, 96)):
    """F pad x of a picture of 48x48 in [0, 1], DC at [0, 0]."""
    return np.fft.fft2(scene(48, 48, 1) / 255, size, norm="ortho")


def save(folder, values, name="y.npy"):
    path = folder / name
    np.save(path, values)
    return path


def write_file(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, y=values)
    elif path.suffix == ".mat":
        savemat(path, {"y": values})
    elif path.suffix in (".h5", ".cxi"):
        with h5py.File(path, "w") as file:
            file["entry_1/data_1/data"] = values
            file["entry_1/other"] = values + 1
    else:
        out = oiio.ImageOutput.create(str(path))
        assert out.open(str(path), oiio.ImageSpec(values.shape[1], values.shape[0], 1, "float"))
        assert out.write_image(values[:, :, None].astype(np.float32))
        out.close()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5", ".cxi", ".tif", ".exr"])
def test_every_format_gives_the_same_amplitudes(tmp_path, suffix):
    y = magnitudes()
    path = tmp_path / f"y{suffix}"
    write_file(path, y)
    found = load_diffraction(path, AMPLITUDE)
    np.testing.assert_allclose(found.amplitude[0], y, rtol=1e-6)
    assert found.known.all()
    assert found.amplitude.dtype == np.float32


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".cxi"])
def test_frames_are_told_from_channels_or_it_is_told(tmp_path, suffix):
    """Three frames of one object look like three channels; in HDF5 they are frames."""
    y, path = magnitudes(), tmp_path / f"y{suffix}"
    write_file(path, np.stack([y, y, y], -1))
    found = load_diffraction(path, AMPLITUDE)
    assert len(found.amplitude) == 3
    assert not any("channels" in note for note in found.notes)
    write_file(path, y[None])
    assert len(load_diffraction(path, AMPLITUDE).amplitude) == 1
    write_file(path, np.stack([y, y, y]))
    form = f"3x{y.shape[0]}x{y.shape[1]}"
    if suffix in (".h5", ".cxi"):
        with pytest.raises(PictureError, match=f"shape is {form}, 3 frames; give one of them"):
            load_diffraction(path, AMPLITUDE)
    else:
        found = load_diffraction(path, AMPLITUDE)
        assert len(found.amplitude) == 3
        assert f"warning: {path}: {form} is taken for three channels" in found.notes[0]
    for axis in (0, 2):
        write_file(path, np.stack([y] * 5, axis))
        with pytest.raises(PictureError, match=r"shape is \d+x\d+x\d+, 5 frames; give one of "):
            load_diffraction(path, AMPLITUDE)


def test_matlab_of_version_7_3_is_read_upright(tmp_path):
    y = magnitudes()
    with h5py.File(tmp_path / "y.mat", "w", userblock_size=512) as file:
        file["y"] = y.T  # MATLAB writes column by column
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    content = bytearray((tmp_path / "y.mat").read_bytes())
    content[:128] = head
    (tmp_path / "y.mat").write_bytes(content)
    found = load_diffraction(tmp_path / "y.mat", AMPLITUDE)
    np.testing.assert_allclose(found.amplitude[0], y, rtol=1e-6)


@pytest.mark.parametrize("shape", [(20, 24), (21, 25), (20, 25)])
@pytest.mark.parametrize("layout", ["corner", "centered"])
def test_layout_is_found_for_even_and_odd_sizes(tmp_path, shape, layout):
    y = magnitudes(*shape)
    stored = np.fft.fftshift(y) if layout == "centered" else y
    assert find_layout(stored[None]) == layout
    found = load_diffraction(save(tmp_path, stored), AMPLITUDE)
    assert found.layout == layout
    np.testing.assert_allclose(found.amplitude[0], y, rtol=1e-6)
    assert not found.notes


def test_layout_is_found_behind_a_beam_stop(tmp_path):
    stored = np.fft.fftshift(magnitudes(40, 40))
    stored[18:23, 18:23] = np.nan
    found = load_diffraction(save(tmp_path, stored), AMPLITUDE)
    assert found.layout == "centered"
    assert not found.known[0, 0]
    assert found.amplitude[:, ~found.known].max() == 0


def test_unknown_pixels_move_with_the_centre(tmp_path):
    """Of odd sides, where there and back are not the same."""
    stored = np.fft.fftshift(magnitudes(15, 17))
    stored[2, 3] = np.nan
    found = load_diffraction(save(tmp_path, stored), replace(AMPLITUDE, layout="centered"))
    expected = np.fft.ifftshift(np.isnan(stored))
    np.testing.assert_array_equal(~found.known, expected)
    assert found.amplitude[0][expected] == 0


def test_intensities_are_rooted(tmp_path):
    y = magnitudes()
    found = load_diffraction(save(tmp_path, y**2), INTENSITY)
    np.testing.assert_allclose(found.amplitude[0], y, rtol=1e-5)
    assert not found.counts


@pytest.mark.parametrize("order", ["CMN", "MNC"])
def test_colour_in_either_order(tmp_path, order):
    y = magnitudes(channels=3)
    stored = y if order == "CMN" else np.moveaxis(y, 0, 2)
    found = load_diffraction(save(tmp_path, stored), AMPLITUDE)
    np.testing.assert_allclose(found.amplitude, y, rtol=1e-6)


def test_sentinels_masks_and_nan_are_unknown(tmp_path):
    counts = np.rint(1000 * magnitudes(20, 20) ** 2).astype(np.int32)
    counts[3, 4], counts[5, 5] = -1, -2
    mask = np.zeros((20, 20), np.uint8)
    mask[7, 8] = 255
    Image.fromarray(mask).save(tmp_path / "bad.png")
    options = PhaseOptions(data="intensity", layout="corner", detector_mask=tmp_path / "bad.png")
    found = load_diffraction(save(tmp_path, counts), options)
    assert found.counts
    assert sorted(map(tuple, np.argwhere(~found.known))) == [(3, 4), (5, 5), (7, 8)]


def test_a_mask_that_marks_nothing_is_warned_about(tmp_path):
    mask = np.zeros((20, 24), np.uint8)
    mask[7, 8] = 1  # of 0 and 1, as arrays have them, in a picture
    Image.fromarray(mask).save(tmp_path / "bad.png")
    options = PhaseOptions(data="amplitude", detector_mask=tmp_path / "bad.png")
    found = load_diffraction(save(tmp_path, magnitudes()), options)
    assert any("marks no pixel as bad" in note for note in found.notes)
    mask[7, 8] = 255
    Image.fromarray(mask).save(tmp_path / "bad.png")
    found = load_diffraction(save(tmp_path, magnitudes()), options)
    assert not any("marks no pixel" in note for note in found.notes)


@pytest.mark.parametrize("suffix", ["npy", "npz", "mat"])
def test_a_mask_may_be_an_array(tmp_path, suffix):
    """As beamlines hold them: not 0 is bad, and so is what is no number."""
    bad = np.zeros((1, 20, 24))
    bad[0, 7, 8], bad[0, 9, 2] = 1, np.nan
    path = tmp_path / f"bad.{suffix}"
    if suffix == "mat":
        pytest.importorskip("scipy.io").savemat(path, {"bad": bad})
    else:
        (np.save if suffix == "npy" else np.savez)(path, bad)
    options = PhaseOptions(data="amplitude", layout="corner", detector_mask=path)
    found = load_diffraction(save(tmp_path, magnitudes()), options)
    assert sorted(map(tuple, np.argwhere(~found.known))) == [(7, 8), (9, 2)]


@pytest.mark.parametrize(
    ("marks", "told"),
    [(np.zeros((9, 9)), "9x9, data are 20x24"), (np.full((20, 24), "bad"), "need numbers")],
)
def test_an_array_that_is_no_mask_is_refused(tmp_path, marks, told):
    np.save(tmp_path / "bad.npy", marks)
    options = PhaseOptions(data="amplitude", detector_mask=tmp_path / "bad.npy")
    with pytest.raises(PictureError, match=told):
        load_diffraction(save(tmp_path, magnitudes()), options)


@pytest.mark.parametrize("data", ["intensity", "amplitude"])
@pytest.mark.parametrize(
    ("dtype", "below"),
    [(np.uint32, True), (np.uint64, True), (np.int32, True), (np.uint16, True), (np.uint8, False)],
)
def test_marks_at_the_end_of_a_type_are_unknown(tmp_path, dtype, below, data):
    """EIGER's gaps and bad pixels; of 8 bits only what is clipped."""
    values = np.rint(20 * magnitudes(20, 20)).astype(dtype)
    end = np.iinfo(dtype).max
    values[3, 4:7], values[[5, 15], [5, 15]] = end, end - 1  # equal at k and -k: neither is hot
    options = PhaseOptions(data=data, layout="corner")
    found = load_diffraction(save(tmp_path, values), options)
    places = [(3, 4), (3, 5), (3, 6), *([(5, 5), (15, 15)] if below else [])]
    assert sorted(map(tuple, np.argwhere(~found.known))) == places
    assert any(f"3 pixels hold {end}," in note for note in found.notes)
    assert any(f"2 pixels hold {end - 1}," in note for note in found.notes) == below


@pytest.mark.parametrize("origin", [np.uint16, np.int32, np.uint32])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, ">f8"])
def test_marks_stay_marks_in_a_wider_type(tmp_path, origin, dtype):
    values = np.rint(20 * magnitudes(20, 20)).astype(dtype)
    values[3, 4:7] = np.iinfo(origin).max
    options = PhaseOptions(data="intensity", layout="corner")
    found = load_diffraction(save(tmp_path, values), options)
    assert sorted(map(tuple, np.argwhere(~found.known))) == [(3, 4), (3, 5), (3, 6)]
    (note,) = [note for note in found.notes if "pixels hold" in note]
    assert f"3 pixels hold {np.iinfo(origin).max}," in note
    values[0, 1] += 0.5 if np.issubdtype(dtype, np.floating) else 0
    whole = not np.issubdtype(dtype, np.floating)
    assert load_diffraction(save(tmp_path, values), options).known.all() == (not whole)


@pytest.mark.parametrize("data", ["intensity", "amplitude"])
def test_sentinels_in_corrected_data_are_unknown(tmp_path, data):
    """Of counts over a flat field, or roots: -1 is a gap if nothing else is below zero."""
    values = magnitudes(20, 20)
    values[3, 4], values[5, 5], values[5, 6] = -1, -2, -1
    options = PhaseOptions(data=data, layout="corner")
    found = load_diffraction(save(tmp_path, values), options)
    assert sorted(map(tuple, np.argwhere(~found.known))) == [(3, 4), (5, 5), (5, 6)]
    values[7, 7] = -0.01
    assert load_diffraction(save(tmp_path, values), options).known.all()


@pytest.mark.parametrize(("place", "reading"), [((2, 63), 0), ((62, 1), 0), ((20, 40), 1e5)])
def test_a_hot_or_dead_pixel_and_its_opposite_are_unknown(tmp_path, place, reading):
    y = 1e4 * np.abs(spectrum_of_scene((64, 64))) ** 2
    counts = np.random.default_rng(0).poisson(y).astype(np.uint32)
    clean = load_diffraction(save(tmp_path, counts), INTENSITY)
    assert clean.known.all()
    counts[place] = reading
    found = load_diffraction(save(tmp_path, counts), INTENSITY)
    opposite = (64 - place[0], 64 - place[1])
    assert sorted(map(tuple, np.argwhere(~found.known))) == sorted([place, opposite])
    assert not found.amplitude[:, ~found.known].any()
    assert any("1 pixel is far from the opposite one" in note for note in found.notes)


def test_counts_of_a_field_that_is_nearly_empty_are_no_defects(tmp_path):
    """Most pairs are equal there, as neither has a photon."""
    x = np.zeros((256, 256))
    x[:32, :40] = scene(32, 40).mean(2)
    pattern = np.abs(np.fft.fftshift(np.fft.fft2(x))) ** 2
    counts = np.random.default_rng(0).poisson(1000 / pattern.sum() * pattern)
    found = load_diffraction(save(tmp_path, counts), PhaseOptions("intensity"))
    assert found.known.all()


@pytest.mark.parametrize("photons", [0.3, 3, 300, 3e6])
@pytest.mark.parametrize("dark", [0.0, 0.05, 3.0])
def test_noise_of_photons_is_no_defect(tmp_path, photons, dark):
    """From a third of a photon a pixel on, in the mean."""
    y = np.abs(spectrum_of_scene((64, 64))) ** 2
    rng = np.random.default_rng(0)
    counts = rng.poisson(photons / y.mean() * y) + dark * rng.standard_normal(y.shape)
    found = load_diffraction(save(tmp_path, counts), PhaseOptions("intensity", layout="corner"))
    assert not any("opposite one" in note for note in found.notes)


@pytest.mark.parametrize("layout", ["corner", "centered"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_brightest_of_values_scaled_to_their_range_is_known(tmp_path, dtype, layout):
    y = magnitudes(20, 20)
    scaled = np.rint(y / y.max() * np.iinfo(dtype).max).astype(dtype)
    stored = np.fft.fftshift(scaled) if layout == "centered" else scaled
    assert load_diffraction(save(tmp_path, stored), AMPLITUDE).known.all()
    stored[3, 4] = stored.max()
    found = load_diffraction(save(tmp_path, stored), AMPLITUDE)
    assert (~found.known).sum() == 2


def test_dark_noise_becomes_zero(tmp_path):
    y = magnitudes() ** 2
    y[[2, 18], [3, 21]] *= -0.25  # k and -k, or one of them would be a dead pixel
    found = load_diffraction(save(tmp_path, y), INTENSITY)
    assert found.known.all()
    assert found.amplitude[0, 2, 3] == 0
    assert any("dark noise" in note for note in found.notes)


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("data", ["amplitude", "intensity"])
def test_noise_around_zero_is_no_sign(tmp_path, data, sigma):
    """y = |F pad x| + sigma n, most of whose frequencies are fainter than the noise."""
    y = spectrum_of_scene()
    clean = np.abs(y) if data == "amplitude" else np.abs(y) ** 2
    noisy = clean + sigma * np.random.default_rng(0).standard_normal(clean.shape)
    assert -noisy[noisy < 0].sum() > 0.1 * np.abs(noisy).sum() or sigma == 0.01
    found = load_diffraction(save(tmp_path, noisy), PhaseOptions(data=data))
    assert found.known.all()
    assert any("dark noise" in note for note in found.notes)


def around(values, share):
    return values - np.quantile(values, share)


SIGNED = {
    "real part": np.real,
    "imaginary part": np.imag,
    "centred": lambda y: np.abs(y) - np.abs(y).mean(),
    "above a background": lambda y: around(np.abs(y), 0.7),
    "logarithm": lambda y: np.log(np.abs(y) + 1e-6),
    "logarithm above a background": lambda y: around(np.log(np.abs(y) + 1e-6), 0.3),
    "noise alone": lambda y: np.random.default_rng(0).standard_normal(y.shape),
}


@pytest.mark.parametrize("size", [(96, 96), (97, 99)])
@pytest.mark.parametrize("layout", ["corner", "centered"])
@pytest.mark.parametrize("data", ["amplitude", "intensity"])
@pytest.mark.parametrize("kind", SIGNED)
def test_signed_data_are_refused(tmp_path, kind, data, layout, size):
    values = SIGNED[kind](spectrum_of_scene(size))
    values = np.fft.fftshift(values) if layout == "centered" else values
    with pytest.raises(PictureError, match="give magnitudes or intensities, not signed values"):
        load_diffraction(save(tmp_path, values), PhaseOptions(data=data))


def test_complex_object_is_warned_about(tmp_path):
    rng = np.random.default_rng(0)
    u = rng.random((16, 16)) * np.exp(2j * rng.random((16, 16)))
    y = np.abs(np.fft.fft2(u, s=(32, 32)))
    assert any("warning" in note for note in load_diffraction(save(tmp_path, y), AMPLITUDE).notes)
    noisy = magnitudes(32, 32) + 0.01 * rng.standard_normal((32, 32))
    noisy = noisy.clip(0)
    assert not load_diffraction(save(tmp_path, noisy), AMPLITUDE).notes


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.full((8, 8), np.nan), "Empty"),
        (np.zeros((8, 8)), "Empty"),
        (np.ones((8, 8)) * 1j, "Complex"),
        (np.ones(8), "Shape"),
        (np.ones((2, 8, 8)), "Shape"),
        (np.ones((1, 2, 8, 8)), "Shape"),
        (np.random.default_rng(0).standard_normal((8, 8)), "Negative"),
    ],
)
def test_what_is_refused(tmp_path, values, kind):
    with pytest.raises(PictureError) as caught:
        load_diffraction(save(tmp_path, values), AMPLITUDE)
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)
    assert "y.npy" in str(caught.value)


def test_missing_data_set_names_those_that_exist(tmp_path):
    write_file(tmp_path / "y.h5", magnitudes())
    options = PhaseOptions(data="amplitude", dataset="entry_1/nothing")
    with pytest.raises(PictureError, match="entry_1/data_1/data, entry_1/other"):
        load_diffraction(tmp_path / "y.h5", options)
    named = PhaseOptions(data="amplitude", dataset="/entry_1/other")
    found = load_diffraction(tmp_path / "y.h5", named)
    np.testing.assert_allclose(found.amplitude[0], magnitudes() + 1, rtol=1e-6)


def test_frames_behind_a_link_to_another_file_are_seen(tmp_path):
    """A master of one mask and such links is no file of a mask."""
    y, path = magnitudes(), tmp_path / "master.h5"
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["data"] = y
    with h5py.File(path, "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("frames.h5", "data")
    assert load_diffraction(path, AMPLITUDE).amplitude[0] == pytest.approx(y, rel=1e-6)
    with h5py.File(path, "a") as file:
        file["entry/detector/pixel_mask"] = np.ones(y.shape, np.uint32)
    with pytest.raises(PictureError, match="several arrays.* entry/data/data_000001"):
        load_diffraction(path, AMPLITUDE)
    named = replace(AMPLITUDE, dataset="entry/data/data_000001")
    assert load_diffraction(path, named).amplitude[0] == pytest.approx(y, rel=1e-6)


def test_several_arrays_need_a_name(tmp_path):
    np.savez(tmp_path / "y.npz", a=magnitudes(), b=magnitudes())
    with pytest.raises(PictureError, match="--dataset: a, b"):
        load_diffraction(tmp_path / "y.npz", AMPLITUDE)


def test_missing_package_names_the_extra(tmp_path, monkeypatch):
    write_file(tmp_path / "y.h5", magnitudes())
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(PictureError, match=r"pip install 'reddiff-cli\[hdf5\]'"):
        load_diffraction(tmp_path / "y.h5", AMPLITUDE)


def test_damaged_and_foreign_files(tmp_path):
    (tmp_path / "y.npy").write_bytes(b"no array")
    (tmp_path / "y.txt").write_text("1 2 3")
    for name in ("y.npy", "y.txt", "none.npy"):
        with pytest.raises(PictureError, match=name):
            load_diffraction(tmp_path / name, AMPLITUDE)


def test_mask_of_another_size_is_refused(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "bad.png")
    options = PhaseOptions(data="amplitude", detector_mask=tmp_path / "bad.png")
    with pytest.raises(PictureError, match="9x9, data are 20x24"):
        load_diffraction(save(tmp_path, magnitudes()), options)


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": "phase"},
        {"layout": "middle"},
        {"support": (1, 8)},
        {"starts": 0},
        {"keep": 9, "starts": 8},
        {"scale": 0.0},
    ],
)
def test_options_are_checked(wrong):
    with pytest.raises(UsageError, match=f"^--{next(iter(wrong))} "):
        PhaseOptions(**({"data": "amplitude"} | wrong))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pages_of_a_tiff_are_not_dropped(tmp_path, dtype):
    pages = [Image.fromarray(np.full((16, 16), k, dtype)) for k in (1, 2)]
    pages[0].save(tmp_path / "one.tif")
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    assert load_array(tmp_path / "one.tif").shape[:2] == (16, 16)
    with pytest.raises(PictureError, match="holds several pages"):
        load_array(tmp_path / "two.tif")
