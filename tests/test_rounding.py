"""What is told of noise behind a blur in lossy files."""

import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.estimation.noise import FLOOR_SMOOTHED
from reddiff_cli.estimation.nulls import noise_in_nulls
from reddiff_cli.estimation.rounding import COUNTED, HIDDEN, noise_beside, rounding_noise
from reddiff_cli.estimation.verdicts import RIGHT, TOLD, Grounds
from reddiff_cli.formats.jpeg import find_luminance_table
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import DeblurOptions
from reddiff_cli.pictures.files import load_picture
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting
from reddiff_cli.tasks.degraded import RISE_LOSSY
from reddiff_cli.tasks.origin import find_origin
from reddiff_cli.tasks.problem import to_tensor
from test_listening import blurred, posed, saved, white, wide

MOTION = DeblurOptions(parse_kernel("motion:9,30"))
BOTH = [MOTION, parse_degrade("blur motion:9,30")]


def jpeg(folder, y, quality):
    path = folder / f"q{quality}.jpg"
    pixels = ((y[0] + 1) * 127.5).round().permute(1, 2, 0).numpy().astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=quality)
    return path


def estimated(path, options=MOTION, **solver):
    """The problem of a file, whose network never runs, and its last stage."""
    problem = posed(path, options, **solver)
    for stage in problem.stages():
        last = stage
        if stage.shared and not stage.probe:
            problem.accept(stage, stage.start)
    return problem, last


def test_only_low_frequencies_count():
    table = torch.full((8, 8), 1000)
    for row in range(8):
        for column in range(8):
            if row + column < 5:
                table[row, column] = 9
    assert rounding_noise(table) == pytest.approx(3 * COUNTED)
    table[0, 4] = 24  # one of 15
    assert rounding_noise(table) == pytest.approx(math.sqrt(10) * COUNTED)


@pytest.mark.parametrize(
    ("rounding", "estimated", "in_nulls", "expected"),
    [
        (3, 0, 9, 3),  # no noise in flat places
        (3, 4, 9, 5),  # as much as is estimated
        (3, 40, 1, math.hypot(3, 3 * HIDDEN)),  # texture: the nulls know better
        (1, 40, 2, math.hypot(1, 3.2)),  # small steps hide little: `least` times
    ],
)
def test_noise_joins_that_of_rounding(rounding, estimated, in_nulls, expected):
    assert noise_beside(rounding, estimated, in_nulls, 1.6) == pytest.approx(expected)


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_without_noise_the_steps_of_the_file_say_it_all(tmp_path, quality):
    path = jpeg(tmp_path, blurred("motion:9,30", wide, 0), quality)
    problem, stage = estimated(path)
    expected = rounding_noise(torch.from_numpy(find_luminance_table(path)))
    assert expected <= 255 * problem.noise < 1.2 * expected
    assert stage.sigma_y == 2 * problem.noise
    assert not stage.white


def test_noise_that_outlasts_the_encoder_counts(tmp_path):
    found = []
    for level in (0, 3, 6):
        path = jpeg(tmp_path, blurred("motion:9,30", wide, level), 92)
        found.append(255 * estimated(path)[0].noise)
    assert found[0] < 2
    assert 2.5 < found[1] < 7
    assert found[2] > 1.4 * found[1]


def test_other_lossy_files_count_what_is_in_the_nulls_twice(tmp_path):
    path = tmp_path / "y.webp"
    pixels = ((blurred("motion:9,30", wide, 6)[0] + 1) * 127.5).round().permute(1, 2, 0).numpy()
    Image.fromarray(pixels.astype(np.uint8)).save(path, quality=90)
    problem = posed(path, MOTION)
    in_nulls = noise_in_nulls(problem.y, make_kernel(MOTION.kernel)).sigma / 2
    list(problem.stages())
    assert problem.noise == pytest.approx(RISE_LOSSY * in_nulls)
    assert problem.noise > FLOOR_SMOOTHED / 255


@pytest.mark.parametrize("options", BOTH)
def test_the_guess_at_a_lossy_file_is_no_judge_of_less(tmp_path, options):
    path = jpeg(tmp_path, blurred("motion:9,30", wide, 2), 85)
    assert posed(path, options).grounds.hidden
    assert not posed(path, options, noise=0.01).grounds.hidden
    assert not posed(saved(tmp_path, blurred("motion:9,30", wide, 2)), options).grounds.hidden


def test_wide_noise_is_judged_by_what_was_found_of_it(tmp_path):
    found = estimated(saved(tmp_path, blurred("motion:9,30", wide, 5)))[0]
    in_nulls = noise_in_nulls(found.y, make_kernel(MOTION.kernel))
    assert not in_nulls.white
    assert found.grounds == Grounds(raised=pytest.approx(2 * found.noise / in_nulls.sigma))
    assert 1.5 < found.grounds.raised < 1.7
    even = estimated(saved(tmp_path, blurred("motion:9,30", white, 5)))[0]
    assert even.grounds == TOLD


def test_the_line_of_a_jpeg_does_not_say_that_there_is_less_noise(tmp_path):
    path = jpeg(tmp_path, blurred("motion:9,30", wide, 0), 50)
    machine, output = MachineOptions(device="cpu"), OutputOptions(overwrite=True)
    verdicts = []
    for noise in (None, 0.02):
        solver = SolverOptions(steps=4, noise=noise)
        restorer = Restorer(find_model("natural"), solver, machine, MOTION, output)
        result = restorer.restore(
            Job("deblur", path, tmp_path / "out.png"), lambda *_: None, print
        )
        assert result.residual_ratio < RIGHT[0]
        verdicts.append(result.verdict)
    assert verdicts[0] == ""
    assert "less than assumed" in verdicts[1]


def test_a_jpeg_is_known_as_one_whatever_it_is_called(tmp_path):
    path = jpeg(tmp_path, blurred("motion:9,30", wide, 2), 85)
    other = path.with_suffix(".png")
    shutil.copy(path, other)
    found, wanted = estimated(other)[0], estimated(path)[0]
    assert (found.noise, found.grounds.hidden, found.white) == (wanted.noise, True, False)


def test_only_where_coefficients_are_read_do_steps_count(tmp_path, monkeypatch):
    path = jpeg(tmp_path, blurred("motion:9,30", wide, 0), 50)
    read = estimated(path)[0].noise
    monkeypatch.setattr("reddiff_cli.tasks.encoding.find_jpeg", lambda _: None)
    assert estimated(path)[0].noise < read


@pytest.mark.parametrize(("name", "noise"), [("y.png", wide), ("y.jpg", wide), ("y.png", white)])
def test_noise_told_as_a_damage_is_neither_heard_nor_looked_for(tmp_path, name, noise):
    path = saved(tmp_path, blurred("gaussian:0.5", noise, 5), name)
    for damage in ("blur gaussian:0.5", "blur motion:9,30"):
        problem, _ = estimated(path, parse_degrade(f"{damage} | noise 0.07"))
        assert problem.noise == 0.07
        assert problem.clean is None


def test_the_flag_outdoes_the_damage(tmp_path):
    path = saved(tmp_path, blurred("motion:9,30", white, 5))
    told = parse_degrade("blur motion:9,30 | noise 0.07")
    assert estimated(path, told, noise=0.03)[0].noise == 0.03
    assert estimated(path, told, noise="auto")[0].noise == pytest.approx(5 / 255, rel=0.1)


@pytest.mark.parametrize("lossy", [False, True])
def test_an_origin_says_how_the_file_was_encoded(tmp_path, lossy):
    y = blurred("motion:9,30", white, 5)
    path = jpeg(tmp_path, y, 80) if lossy else saved(tmp_path, y)
    picture = load_picture(path)
    setting = Setting(find_model("natural"), SolverOptions(), lambda _: None)
    origin = find_origin("deblur", path, picture, to_tensor(picture), setting)
    assert (origin.lossy, origin.told) == (lossy, False)
    assert (origin.table is not None) is (origin.decoding is not None) is lossy
    assert origin.noise.sigma >= origin.noise.found
    assert lossy or origin.noise.found == pytest.approx(5 / 255, rel=0.1)
