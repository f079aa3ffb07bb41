"""`reddiff phase` as a user runs it: arrays in, pictures and verdicts out, bad files named."""

import json

import numpy as np
import pytest
from PIL import Image

from conftest import reddiff, scene
from reddiff_cli.pictures.files import load_picture


@pytest.fixture
def quick(quick):
    return [*quick, "--starts", "12"]


def magnitudes(side=20):
    truth = scene(side, side, 1) / 255.0
    return truth, np.abs(np.fft.fft2(truth, (2 * side, 2 * side), norm="ortho"))


def test_from_magnitudes_to_a_picture(tmp_path, quick):
    truth, amplitude = magnitudes()
    path = tmp_path / "pattern.npy"
    np.save(path, amplitude)
    flags = ["--data", "amplitude", "--support", "20x20", "--scale", "1", "--json", "-v"]
    stdout, stderr = reddiff("phase", path, *flags, *quick)
    event = json.loads(stdout.splitlines()[0])
    assert event["verdict"] == "converged"
    assert "oversampling 2.00 x 2.00" in event["remark"]
    result = load_picture(tmp_path / "pattern.phase.png")
    assert result.depth == 16
    error = min(np.abs(result.pixels[:, :, 0] - t).mean() for t in (truth, truth[::-1, ::-1]))
    assert error < 0.01
    assert "done already" in reddiff("phase", path, *flags[:6], *quick)[1]


def test_residual_is_that_of_the_picture_written_and_judged_once(tmp_path, quick):
    """Of noisy amplitudes: the prior ends elsewhere than the run that is chosen."""
    _, amplitude = magnitudes()
    amplitude = np.abs(amplitude + np.random.default_rng(0).normal(0, 0.002, amplitude.shape))
    path = tmp_path / "pattern.npy"
    np.save(path, amplitude.astype(np.float32))
    flags = ["--data", "amplitude", "--support", "20x20", "--scale", "1", "--json"]
    stdout, stderr = reddiff("phase", path, *flags, *quick)
    event = json.loads(stdout.splitlines()[0])
    pixels = load_picture(tmp_path / "pattern.phase.png").pixels[:, :, 0]
    left = np.abs(np.fft.fft2(pixels, (40, 40), norm="ortho")) - amplitude
    assert event["residual"] == pytest.approx(np.sqrt(np.square(left).mean()), rel=0.02)
    assert f"residual/noise {event['residual_ratio']:.2f}; {event['verdict']}; supp" in stderr


def test_a_folder_of_arrays(tmp_path, quick):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, magnitudes(12)[1] ** 2)
    (tmp_path / "notes.txt").write_text("nothing")
    _, stderr = reddiff("phase", tmp_path, "--data", "intensity", "--support", "12x12", *quick)
    assert "2 restored, 0 skipped, 0 failed" in stderr


def test_the_first_level_that_is_given_counts(tmp_path, quick):
    _, amplitude = magnitudes(12)
    np.save(tmp_path / "p.npy", amplitude + 0.3 * np.random.default_rng(0).random((24, 24)))
    found = []
    for number, more in enumerate(([], ["--start", "1.5"])):
        out = tmp_path / f"{number}.png"
        flags = ["--data", "amplitude", "--support", "12x12", "--keep", "1", *more]
        reddiff("phase", tmp_path / "p.npy", *flags, "-o", out, *quick)
        found.append(load_picture(out).pixels)
    assert (found[0] != found[1]).any()


def test_a_changed_detector_mask_is_another_setting_and_never_overwritten(tmp_path, quick):
    np.save(tmp_path / "p.npy", magnitudes(12)[1])
    mask, path = np.zeros((24, 24), np.uint8), tmp_path / "m.png"
    mask[3, 4] = 255
    Image.fromarray(mask).save(path)
    flags = ["--data", "amplitude", "--support", "12x12", "--detector-mask", path, *quick]
    command = ["phase", tmp_path / "p.npy", *flags]
    assert "is read as well" in reddiff(*command, "-o", path, "--overwrite", code=2)[1]
    reddiff(*command)
    mask[9, 9] = 255
    Image.fromarray(mask).save(path)
    assert "exists with other settings" in reddiff(*command, code=1)[1]


BAD = [
    (np.ones((8, 8)) * 1j, [], "complex", 1),
    (np.full((8, 8), np.nan), [], "no finite value", 1),
    (np.ones(8), [], "shape is 8", 1),
    (-1.5 * np.ones((8, 8)), [], "negative", 1),
    (np.ones((8, 8)), ["--support", "20x20"], "support is 20x20, detector is 8x8", 1),
    (np.ones((8, 8)), ["--support", "big"], "--support big", 2),
    (np.ones((8, 8)), ["--data", "phase"], "--data phase", 2),
    (np.ones((8, 8)), ["--keep", "40"], "--keep 40", 2),
    (np.ones((8, 8)), ["--method", "ddrm"], "--method ddrm", 2),
]


@pytest.mark.parametrize("values, flags, message, code", BAD, ids=lambda v: str(v)[:20])
def test_bad_measurements(tmp_path, quick, values, flags, message, code):
    path = tmp_path / "bad.npy"
    np.save(path, values)
    data = [] if "--data" in flags else ["--data", "intensity"]
    _, stderr = reddiff("phase", path, *data, *flags, *quick, code=code)
    assert message in stderr
    assert "Traceback" not in stderr


def test_other_files(tmp_path, quick):
    path = tmp_path / "a.h5"
    path.write_bytes(b"not hdf5")
    assert "a.h5" in reddiff("phase", path, "--data", "amplitude", *quick, code=1)[1]
    import h5py

    with h5py.File(path, "w") as file:
        file["somewhere/else"] = np.ones((8, 8))
    _, stderr = reddiff("phase", path, "--data", "amplitude", "--dataset", "x", *quick, code=1)
    assert "somewhere/else" in stderr
    picture = tmp_path / "p.png"
    Image.fromarray(scene()).save(picture)
    assert "p.png" in reddiff("phase", picture, "--data", "amplitude", *quick, code=1)[1]


def test_sheets_show_the_magnitudes(tmp_path, quick):
    path = tmp_path / "pattern.npy"
    np.save(path, magnitudes()[1])
    flags = ["--data", "amplitude", "--support", "20x20", "--compare", "--trace"]
    reddiff("phase", path, *flags, *quick)
    sheet = np.asarray(Image.open(tmp_path / "pattern.phase.compare.png"))
    assert sheet.shape[:2] == (40, 40 + 8 + 40)
    assert sheet[15:25, 15:25].mean() > sheet[:5, :5].mean()  # low frequencies are the strongest
    assert (tmp_path / "pattern.phase.trace.gif").is_file()


def test_what_may_have_been_told_wrongly_is_named(tmp_path, quick):
    """Amplitudes that are said to be intensities are explained by no picture."""
    path = tmp_path / "pattern.npy"
    np.save(path, magnitudes()[1])
    flags = ["--data", "intensity", "--support", "20x20"]
    _, stderr = reddiff("phase", path, *flags, *quick)
    told = "no picture explains the data; see --data, --layout, --support, --starts"
    assert f"warning: {path}: {told}" in stderr
    assert "; failed, no picture explains the data; support" in stderr.splitlines()[-1]


def test_results_that_explain_nothing_are_counted(tmp_path, quick):
    """They are results, so that nothing failed; scripts and the last line tell of them."""
    _, amplitude = magnitudes()
    np.save(tmp_path / "good.npy", amplitude)
    larger = scene(36, 36, 1) / 255.0  # than its support
    np.save(tmp_path / "other.npy", np.abs(np.fft.fft2(larger, (40, 40), norm="ortho")))
    flags = ["--data", "amplitude", "--layout", "corner", "--support", "20x20", "--scale", "1"]
    command = ["phase", tmp_path / "good.npy", tmp_path / "other.npy", *flags, *quick]
    stdout, stderr = reddiff(*command, "-o", tmp_path / "out/", "--json")
    *images, summary = map(json.loads, stdout.splitlines())
    told = {event["input"][-8:]: (event["verdict"], event["doubtful"]) for event in images}
    assert told == {"good.npy": ("converged", False), "ther.npy": ("failed", True)}
    assert (summary["ok"], summary["doubtful"], summary["exit_code"]) == (2, 1, 0)
    last = stderr.splitlines()[-1]
    assert last == "2 restored (1 of them doubtful), 0 skipped, 0 failed"
