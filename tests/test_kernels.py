"""Kernels: what the flag says, the shapes' own laws, and files that are none."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from reddiff_cli.errors import UsageError
from reddiff_cli.kernels.files import background_of, read_kernel
from reddiff_cli.kernels.filters import LEAST_INSIDE, Taps
from reddiff_cli.kernels.shapes import trim
from reddiff_cli.kernels.tensors import load_kernel, make_kernel
from reddiff_cli.options.kernelspec import KernelSpec, parse_kernel

SHAPES = ["gaussian:0.3", "gaussian:3", "motion:1,0", "motion:15,30", "motion:9.5,117"]
SHAPES += ["disk:0.5", "disk:4.3", "disk:8"]


def made(text):
    return make_kernel(parse_kernel(text))


def moments(kernel):
    """Mean and covariance of (x, upward y) about the origin (kh // 2, kw // 2)."""
    rows, columns = torch.meshgrid(
        *(torch.arange(n) - n // 2 for n in kernel.shape), indexing="ij"
    )
    points = torch.stack([columns.flatten(), -rows.flatten()]).double()
    weights = kernel.double().flatten()
    mean = points @ weights
    return mean, (points * weights) @ points.T - mean[:, None] * mean


def write_npy(folder, values):
    path = folder / "k.npy"
    np.save(path, np.asarray(values))
    return path


@pytest.mark.parametrize("text", [*SHAPES, "uniform:1", "uniform:4", "uniform:7"])
def test_kernels_are_averages(text):
    kernel = made(text)
    assert kernel.dtype == torch.float32
    assert kernel.min() >= 0
    assert abs(float(kernel.double().sum()) - 1) < 1e-5
    assert np.array_equal(trim(kernel.numpy()), kernel.numpy())


@pytest.mark.parametrize("text", SHAPES)
def test_shapes_have_odd_sizes_and_sit_on_their_origin(text):
    kernel = made(text)
    assert all(side % 2 for side in kernel.shape)
    assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-7)
    assert moments(kernel)[0].abs().max() < 1e-5


@pytest.mark.parametrize("sigma", [0.7, 2, 5.5])
def test_gaussian_has_its_variance(sigma):
    variance = moments(made(f"gaussian:{sigma}"))[1]
    assert torch.allclose(variance, sigma**2 * torch.eye(2).double(), rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("length", [7, 15.5, 40])
@pytest.mark.parametrize("angle", [0, 30, 90, 135, 171])
def test_motion_has_its_length_and_angle(length, angle):
    values, vectors = torch.linalg.eigh(moments(made(f"motion:{length},{angle}"))[1])
    assert float(values[1]) == pytest.approx(length**2 / 12, rel=0.05)
    assert float(values[0]) < 0.3
    found = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    assert abs((found - angle + 90) % 180 - 90) < 0.5


def test_motion_along_an_axis_is_exact():
    assert torch.allclose(made("motion:5,0"), torch.full((1, 5), 0.2))
    assert torch.allclose(made("motion:6,90").flatten(), torch.tensor([0.5, *[1] * 5, 0.5]) / 6)
    assert made("motion:1,0").shape == (1, 1)


def test_motion_of_positive_angle_rises_to_the_right():
    kernel = made("motion:9,45")
    assert kernel[1, -2] > 0
    assert kernel[1, 1] == 0


@pytest.mark.parametrize("radius", [1, 2.5, 8])
def test_disk_has_its_variance_and_is_flat_inside(radius):
    kernel = made(f"disk:{radius}")
    assert moments(kernel)[1].diagonal().numpy() == pytest.approx(radius**2 / 4, abs=0.15)
    assert float(kernel.max()) == pytest.approx(1 / (math.pi * radius**2), rel=0.02)


def test_uniform_of_even_side_keeps_it():
    kernel = made("uniform:4")
    assert kernel.shape == (4, 4)
    assert moments(kernel)[0].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("gaussian:3.0", KernelSpec("gaussian", (3.0,))),
        ("motion:15,-30", KernelSpec("motion", (15.0, 150.0))),
        ("motion:15, 180", KernelSpec("motion", (15.0, 0.0))),
        ("motion:15,-1e-17", KernelSpec("motion", (15.0, 0.0))),
        ("disk:2.5", KernelSpec("disk", (2.5,))),
        ("uniform:4", KernelSpec("uniform", (4.0,))),
        ("auto", KernelSpec("auto")),
    ],
)
def test_parse(text, spec):
    assert parse_kernel(text) == spec
    assert parse_kernel(str(spec)) == spec


def test_a_file_is_a_kernel(tmp_path):
    path = write_npy(tmp_path, np.ones((3, 3)))
    assert parse_kernel(str(path)) == KernelSpec("file", path=path)
    assert torch.allclose(make_kernel(parse_kernel(str(path))), torch.full((3, 3), 1 / 9))


@pytest.mark.parametrize(
    "text",
    ["gaussian", "gaussian:", "gaussian:0", "gaussian:-1", "gaussian:nan", "gaussian:inf"]
    + ["gaussian:1e9", "gaussian:two", "gaussian:1,2", "motion:9", "motion:0,0", "motion:9,"]
    + ["motion:9,nan", "motion:9,9000", "disk:0", "disk:-3", "disk:1e4", "uniform:0"]
    + ["uniform:2.5", "uniform:100000", "none.npy", "box:3", "", " "],
)
def test_nonsense_is_refused_in_one_line_that_names_it(text):
    with pytest.raises(UsageError) as caught:
        parse_kernel(text)
    message = str(caught.value)
    assert message.startswith(f"--kernel {text}: ")
    assert "\n" not in message


def test_auto_names_no_kernel():
    with pytest.raises(ValueError, match="auto"):
        make_kernel(KernelSpec("auto"))


def test_npy_is_normalised_and_keeps_its_origin(tmp_path):
    values = np.zeros((8, 9), dtype=np.int32)
    values[4, 5], values[6, 4] = 3, 1
    kernel = load_kernel(write_npy(tmp_path, values))
    assert kernel.shape == (5, 3)
    assert kernel[2, 2] == 0.75
    assert kernel[4, 1] == 0.25


def test_a_picture_is_a_kernel_white_is_weight(tmp_path):
    values = np.zeros((6, 6, 3), dtype=np.uint8)
    values[3, 3], values[3, 2] = 200, (100, 50, 150)
    path = tmp_path / "k.png"
    Image.fromarray(values).save(path)
    kernel = load_kernel(path)
    assert kernel.shape == (1, 2)
    assert kernel.flatten().tolist() == pytest.approx([1 / 3, 2 / 3])
    # What is transparent has no weight, white or not.
    alpha = np.zeros((6, 6, 1), dtype=np.uint8)
    alpha[3, 2:4] = 255
    Image.fromarray(np.dstack([np.full((6, 6, 3), 255, np.uint8), alpha])).save(path)
    assert load_kernel(path).tolist() == [[0.5, 0.5]]


@pytest.mark.parametrize("size", [(4, 4), (4, 5), (7, 4), (1, 6)])
@pytest.mark.parametrize("seed", range(4))
def test_trim_moves_no_weight(size, seed):
    generator = np.random.default_rng(seed)
    kernel = torch.zeros(size, dtype=torch.float64)
    for _ in range(2):
        kernel[generator.integers(size[0]), generator.integers(size[1])] += 0.5
    trimmed = torch.from_numpy(trim(kernel.numpy()))
    assert torch.allclose(moments(trimmed)[0], moments(kernel)[0])
    assert torch.allclose(moments(trimmed)[1], moments(kernel)[1])
    edges = [trimmed[0], trimmed[-1]]
    assert any(edge.any() for edge in edges)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((0, 3)), "empty"),
        (np.zeros((3, 3)), "sum 0"),
        ([[1, -0.5]], "negative"),
        ([[1, np.nan]], "NaN"),
        ([[np.inf, 1]], "infinity"),
        ([[1j, 1]], "complex"),
        ([["a", "b"]], "real"),
        (np.ones(3), "dimension"),
        (np.ones((3, 3, 1)), "dimension"),
        (np.ones((600, 3)), "3x600"),
    ],
)
def test_arrays_that_are_no_kernel(tmp_path, values, reason):
    path = write_npy(tmp_path, values)
    with pytest.raises(UsageError, match=reason) as caught:
        load_kernel(path)
    assert str(path) in str(caught.value)


def test_damaged_files_are_refused(tmp_path):
    for name in ("k.npy", "k.png"):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(UsageError, match=name):
            load_kernel(tmp_path / name)


def test_a_kernel_of_several_pages_gets_one_cure(tmp_path):
    page = Image.new("L", (5, 5), 200)
    page.save(tmp_path / "k.tif", save_all=True, append_images=[page])
    told = f"kernel {tmp_path / 'k.tif'}: holds 2 frames; give one still picture"
    with pytest.raises(UsageError) as caught:
        load_kernel(tmp_path / "k.tif")
    assert str(caught.value) == told
    (tmp_path / "k.png").write_bytes(b"nothing")
    with pytest.raises(UsageError, match=r"damaged or cut off; give \.npy or a picture$"):
        load_kernel(tmp_path / "k.png")


def under(folder, values, level=0.0, room=0):
    """background_of a file with some room around a kernel, and a level under both."""
    values = np.pad(np.asarray(values), room)
    return background_of(read_kernel(write_npy(folder, values / values.max() + level)))


@pytest.mark.parametrize("text", ["disk:3", "gaussian:2", "motion:15,30"])
@pytest.mark.parametrize("level", [0.04, 0.1])
def test_a_background_under_a_kernel_is_found(tmp_path, text, level):
    kernel, rng = made(text).numpy(), np.random.default_rng(0)
    assert under(tmp_path, kernel, level, 4) == pytest.approx(level / (1 + level), rel=0.01)
    noisy = level * (1 + 0.1 * rng.normal(size=[n + 8 for n in kernel.shape])).clip(0)
    assert under(tmp_path, np.pad(kernel / kernel.max(), 4) + noisy) > 0.8 * level


def test_kernels_that_fill_their_files_have_no_background(tmp_path):
    texts = [f"disk:{radius:.2f}" for radius in np.arange(0.4, 12, 0.31)]
    texts += [f"motion:{n},{angle}" for n in (3, 9, 30) for angle in range(0, 180, 13)]
    for text in [*texts, "uniform:4", "uniform:9", "gaussian:0.5", "gaussian:4"]:
        assert under(tmp_path, made(text)) == 0, text
    wide = made("gaussian:4").numpy()
    for cut in range(1, 15):  # in a file that is too small for it
        assert under(tmp_path, wide[cut:-cut, cut:-cut]) == 0, cut
    y, x = np.mgrid[-9:10, -9:10]
    for power in (1, 1.5, 2.5):  # long tails, as of a lens or the air
        assert under(tmp_path, (1 + (x**2 + y**2) / 4) ** -power) == 0
    assert under(tmp_path, made("gaussian:2"), 0.005, 4) == 0


@pytest.mark.parametrize("offset", [-9, -3, 0, 2, 7])
@pytest.mark.parametrize("scale", [2, 3])
def test_a_filter_covers_a_picture_if_it_does_at_every_output(offset, scale):
    """As counted tap by tap."""
    weights = np.random.default_rng(0).random((5, 7)) ** 8
    taps = Taps(weights / weights.sum(), (offset, -2))
    for height, width in ((1, 1), (2, 5), (12, 9)):
        rows, columns = (
            [[scale * k + begin + j in range(scale * n) for j in range(count)] for k in range(n)]
            for n, begin, count in zip((height, width), taps.offset, weights.shape, strict=True)
        )
        least = (np.array(rows, float) @ taps.weights @ np.array(columns, float).T).min()
        assert taps.cover(scale, height, width) == (least > LEAST_INSIDE)
