"""Kernels found again in pictures of overlapping polygons; honesty where nothing can be seen."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d

from reddiff_cli.estimation.blind import SHARP, KernelEstimate, _costs, estimate_kernel
from reddiff_cli.estimation.welch import PowerSpectrum, measure_spectrum
from reddiff_cli.kernels.tensors import make_kernel
from reddiff_cli.options.kernelspec import KernelSpec, parse_kernel

SIGMA_Y = 0.02


def leaves(seed: int, side: int = 232) -> Tensor:
    """Dead leaves (1, 3, side, side): ellipses of all sizes and turns, each over the last."""
    generator = torch.Generator().manual_seed(seed)
    line = torch.arange(side, dtype=torch.float32)
    picture = torch.zeros(3, side, side)
    for x, y, size, shape, turn, *colour in torch.rand(900, 8, generator=generator).tolist():
        radius, angle = 4 / (0.05 + size), math.pi * turn
        left, top = (max(0, int(centre * side - radius)) for centre in (x, y))
        right, bottom = (int(centre * side + radius) + 2 for centre in (x, y))
        dx, dy = line[None, left:right] - x * side, line[top:bottom, None] - y * side
        u = (dx * math.cos(angle) + dy * math.sin(angle)) / radius
        v = (dy * math.cos(angle) - dx * math.sin(angle)) / (radius * (0.3 + 0.7 * shape))
        inside = u**2 + v**2 < 1
        box = picture[:, top:bottom, left:right]
        box[:, inside] = torch.tensor(colour)[:, None] * 2 - 1
    return picture[None]


def blurred(spec: KernelSpec, seed: int, side: int = 192) -> Tensor:
    """Valid convolution, then noise."""
    kernel = make_kernel(spec).flip(0, 1)[None, None]
    y = conv2d(leaves(seed).transpose(0, 1), kernel).transpose(0, 1)[:, :, :side, :side]
    return y + SIGMA_Y * torch.randn(y.shape, generator=torch.Generator().manual_seed(seed))


def estimate(family: str, *parameters: float, seed: int = 1) -> KernelEstimate:
    return estimate_kernel(blurred(KernelSpec(family, parameters), seed), SIGMA_Y)


def test_gaussian_is_recovered():
    found = estimate("gaussian", 2.0)
    assert found.spec.family == "gaussian"
    assert found.spec.parameters[0] == pytest.approx(2, rel=0.15)
    assert found.evidence > 6


def test_motion_is_recovered_and_sure():
    found = estimate("motion", 15.0, 30.0)
    assert found.spec.family == "motion"
    assert found.spec.parameters[0] == pytest.approx(15, rel=0.1)
    assert found.spec.parameters[1] == pytest.approx(30, abs=4)
    assert found.verdict == "sure"


def test_disk_is_recovered_and_sure():
    found = estimate("disk", 4.0)
    assert found.spec.family == "disk"
    assert found.spec.parameters[0] == pytest.approx(4, rel=0.1)
    assert found.verdict == "sure"


def test_a_sharp_picture_is_not_surely_blurred():
    found = estimate("uniform", 1.0)
    assert found.verdict == "not sure"
    assert found.spec == SHARP or found.spec.parameters[0] < 1.2


@pytest.mark.parametrize("noise", [0.0, SIGMA_Y])
def test_a_flat_picture_tells_nothing(noise):
    y = 0.3 + noise * torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    found = estimate_kernel(y, noise)
    assert (found.spec, found.verdict, found.alternatives) == (SHARP, "not sure", ())


def as_jpeg(y: Tensor, quality: int) -> tuple[Tensor, Tensor]:
    """What decoders show of y, and the steps of its luminance."""
    file = io.BytesIO()
    pixels = ((y[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        table = torch.tensor(image.quantization[0]).reshape(8, 8)
        shown = torch.from_numpy(np.asarray(image, dtype=np.float32))
    return shown.permute(2, 0, 1)[None] / 127.5 - 1, table


@pytest.mark.parametrize("quality", [75, 90])
@pytest.mark.parametrize("spec", ["gaussian:2.0", "disk:4.0", "motion:15.0,30.0"])
def test_what_an_encoder_rounded_is_no_blur(spec, quality):
    """A kernel is found in what it has left; not so if its steps are not known."""
    truth = parse_kernel(spec)
    y, table = as_jpeg(blurred(truth, 1), quality)
    found = estimate_kernel(y, SIGMA_Y, table)
    near = found.gaussian if truth.family == "gaussian" and found.gaussian else found.spec
    assert near.family == truth.family
    assert near.parameters[0] == pytest.approx(truth.parameters[0], rel=0.15)
    assert found.verdict == "sure"
    if quality == 75:
        assert estimate_kernel(y, SIGMA_Y).verdict == "not sure"


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_a_sharp_jpeg_is_not_surely_blurred(quality):
    y, table = as_jpeg(0.8 * leaves(2, 192), quality)
    assert estimate_kernel(y, 0.004, table).verdict == "not sure"


def test_a_disk_is_taken_where_a_gaussian_explains_as_much():
    """As its inverse does less harm; unless the Gaussian does so clearly better."""
    noise = 6 * SIGMA_Y * torch.randn(1, 3, 192, 192, generator=torch.Generator().manual_seed(3))
    faint = estimate_kernel(blurred(KernelSpec("gaussian", (1.6,)), 1) + noise, 6 * SIGMA_Y)
    assert (faint.spec.family, faint.gaussian and faint.gaussian.family) == ("disk", "gaussian")
    assert faint.spec.parameters[0] == pytest.approx(1.6 * 1.6, rel=0.25)
    clear = estimate_kernel(blurred(KernelSpec("gaussian", (1.6,)), 1), SIGMA_Y)
    assert (clear.spec.family, clear.gaussian) == ("gaussian", None)


def test_steps_hide_the_frequencies_that_they_are_of(monkeypatch):
    """Coarse steps of high vertical frequencies leave the horizontal ones to see."""
    y = 0.5 * torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(4)).clamp(-2, 2)
    table = torch.ones(8, 8, dtype=torch.int64)
    table[5:] = 4000
    seen = measure_spectrum(y, 0.004, table)
    assert seen is not None
    assert float(seen.row.abs().max()) < 5 / 16 < 0.45 < float(seen.column.max())
    assert seen.doubt > measure_spectrum(y, 0.004).doubt
    monkeypatch.setattr("reddiff_cli.estimation.welch.LEAST", len(seen.row) + 1)
    assert measure_spectrum(y, 0.004, table) is None


def test_costs_are_numbers_where_only_fine_structure_is_left():
    """Nothing below 0.15 cycles per pixel, where the height of a spectrum is told from."""
    row = torch.linspace(0.2, 0.4, 80, dtype=torch.float64)
    spectrum = PowerSpectrum(torch.zeros(80), torch.full((80,), 0.01), row, row, 128)
    assert all(math.isfinite(cost) for cost in _costs([SHARP], spectrum))


def test_a_motion_in_a_jpeg_must_stay_where_rounding_is_taken_at_its_word(monkeypatch):
    y, table = as_jpeg(blurred(KernelSpec("motion", (15.0, 30.0)), 1), 90)
    assert estimate_kernel(y, SIGMA_Y, table).verdict == "sure"
    monkeypatch.setattr("reddiff_cli.estimation.blind._stays", lambda *_: False)
    assert estimate_kernel(y, SIGMA_Y, table).verdict == "not sure"
    assert estimate_kernel(y, SIGMA_Y).verdict == "sure"  # no JPEG, as far as it knows


def test_an_encoder_that_hides_everything_leaves_nothing_to_tell():
    y = blurred(KernelSpec("gaussian", (2.0,)), 1)
    found = estimate_kernel(y, SIGMA_Y, torch.full((8, 8), 5000))
    assert (found.spec, found.verdict) == (SHARP, "not sure")


def test_a_small_or_broken_picture_tells_nothing():
    y = leaves(1)
    broken = torch.where(y > 0.9, torch.nan, y)
    assert estimate_kernel(y[:, :, :40, :200], SIGMA_Y).verdict == "not sure"
    assert estimate_kernel(broken, SIGMA_Y).verdict == "not sure"


def test_the_estimate_is_ordered_deterministic_and_leaves_its_input_alone():
    y = blurred(KernelSpec("motion", (9.0, 100.0)), seed=3)[:, :1, :64, :80]
    before = y.clone()
    found = estimate_kernel(y, SIGMA_Y)
    assert found == estimate_kernel(y, SIGMA_Y)
    assert torch.equal(y, before)
    distances = [distance for _, distance in found.alternatives]
    assert distances == sorted(distances)
    families = {found.spec.family, *(spec.family for spec, _ in found.alternatives)}
    assert families == {"gaussian", "disk", "motion", "uniform"}
    assert min(distances) >= 0
