"""Clipped highlights: response curves, exact data steps, one-sided constraints, a start."""

import numpy as np
import pytest
import torch

from reddiff_cli.light.response import Response, parse_response
from reddiff_cli.light.tonemap import tonemap
from reddiff_cli.operators import Exposure, Exposures, PaperHdr

SRGB = Response()
CURVES = [SRGB, Response("linear"), Response("gamma", 1.8)]
SHAPE = (2, 3, 9, 11)
BRACKET = Exposures((0.5, 2.0, 4.0))
OPERATORS = [
    PaperHdr(),
    Exposure(2.0),
    Exposure(1.0, Response("linear"), 0.03),
    Exposure(3.0, Response("gamma", 2.2)),
    BRACKET,
]


def random(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1


def test_curve_is_the_published_one():
    light = torch.tensor([0.0, 0.0031308, 0.18, 0.5, 1.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.04045, 0.461356, 0.735357, 1.0], dtype=torch.float64)
    torch.testing.assert_close(SRGB.encode(light), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.kind)
def test_curves_rise_and_invert(curve):
    light = torch.linspace(-0.1, 4, 4001, dtype=torch.float64)
    value = curve.encode(light)
    assert bool((value.diff() > 0).all())
    torch.testing.assert_close(curve.decode(value), light, atol=2e-7, rtol=0)
    array = curve.encode(light.numpy())
    assert np.allclose(array, value.numpy(), atol=1e-12)
    assert curve.encode(light.float().numpy()).dtype == np.float32


@pytest.mark.parametrize("curve", CURVES, ids=lambda c: c.kind)
@pytest.mark.parametrize("gain", [0.25, 4.0])
def test_slope_of_an_exposure_is_its_derivative(curve, gain):
    # Away from the end of the toe, where the curve has a corner.
    value = torch.linspace(0.2, 0.95, 50, dtype=torch.float64).requires_grad_(True)
    exposed, slope = curve.expose(value, gain)
    (gradient,) = torch.autograd.grad(exposed.sum(), value)
    torch.testing.assert_close(slope.detach(), gradient)
    torch.testing.assert_close(exposed, curve.encode(gain * curve.decode(value)))


def test_responses_by_name():
    assert parse_response("srgb") == Response("srgb")
    assert parse_response("gamma:1.8") == Response("gamma", 1.8)
    for wrong in ("rec709", "gamma:", "gamma:0", "gamma:x"):
        with pytest.raises(ValueError, match="gamma:G"):
            parse_response(wrong)


def test_paper_clips_about_grey():
    x = torch.tensor([-1, -0.5, -0.25, 0, 0.25, 0.75], dtype=torch.float64)
    assert PaperHdr()(x).tolist() == [-1, -1, -0.5, 0, 0.5, 1]


def test_exposure_doubles_the_light():
    light = torch.tensor([0.1, 0.2, 0.4, 0.6], dtype=torch.float64).view(1, 1, 2, 2)
    x = 2 * SRGB.encode(light) - 1
    y = Exposure(1.0)(x)
    doubled = SRGB.decode((y + 1) / 2).flatten()
    torch.testing.assert_close(doubled, torch.tensor([0.2, 0.4, 0.8, 1.0]).double())
    assert Exposure(1.0).level() == pytest.approx(float(SRGB.encode(torch.tensor(0.5))), abs=1e-6)


def loss(operator, x, y):
    """What one pixel's value x costs beside its measurement; x: (n,), y: scalar or (E,)."""
    if isinstance(operator, PaperHdr):
        miss = 2 * x - y
        if y >= 1 - operator.tolerance:
            miss = miss.clamp(max=0)
        if y <= operator.tolerance - 1:
            miss = miss.clamp(min=0)
        return miss.square()
    total = torch.zeros_like(x)
    for stops, shot in zip(operator.stops, y, strict=True):
        light = 2**stops * operator.response.decode((x + 1) / 2)
        miss = 2 * operator.response.encode(light) - 1 - shot
        clipped = (shot + 1) / 2 >= 1 - operator.tolerance
        total = total + (miss.clamp(max=0) if clipped else miss).square()
    return total


@pytest.mark.parametrize("r", [1e-3, 0.3, 20.0])
@pytest.mark.parametrize("number", range(len(OPERATORS)))
def test_data_step_equals_a_brute_force_scan(number, r):
    operator = OPERATORS[number]
    d, y = random((1, 1, 3, 4), 3) * 1.1, operator(random((1, 1, 3, 4), 4))
    y = (y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    if not isinstance(operator, PaperHdr):
        # Specks inside clipped areas are judged by their neighbours: tested elsewhere.
        y = torch.where(operator.clipped(y), 1.0, y)
    x = operator.data_step(d, y, r).flatten()
    bare = operator.bracket if isinstance(operator, Exposure) else operator
    scan = torch.linspace(-1.6, 1.6, 40_001, dtype=torch.float64)
    for i in range(12):
        own = y.reshape(-1, 12)[:, i] if not isinstance(bare, PaperHdr) else y.flatten()[i]
        best = scan[(loss(bare, scan, own) + r * (scan - d.flatten()[i]).square()).argmin()]
        assert x[i].item() == pytest.approx(best.item(), abs=2e-4)


def test_exposures_count_as_their_noise_says():
    """Where nothing is clipped x is their mean, weighed."""
    operator = Exposures((0.0, 0.0), Response("linear"), trust=(1.0, 0.25))
    y = torch.stack([torch.full((1, 3, 4, 4), -0.5), torch.full((1, 3, 4, 4), 0.0)], 1)
    x = operator.data_step(torch.zeros(1, 3, 4, 4), y, 1e-6)
    torch.testing.assert_close(x, torch.full_like(x, -0.4), atol=1e-4, rtol=0)
    torch.testing.assert_close(operator.start(y), x, atol=1e-4, rtol=0)
    wanted = ((0.1**2 + 0.25 * 0.4**2) / 2) ** 0.5
    assert float(operator.residual(x, y)) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("operator", [Exposure(2.0), BRACKET], ids=["one", "three"])
def test_a_clipped_pixel_is_a_bound_and_no_more(operator):
    scene = torch.full(SHAPE, 0.999, dtype=torch.float64)
    y = operator(scene)
    y = torch.ones_like(y)
    bound = 2 * (operator.level()) - 1
    above = torch.full(SHAPE, bound + 0.1, dtype=torch.float64)
    torch.testing.assert_close(operator.data_step(above, y, 0.5), above)
    below = torch.full(SHAPE, bound - 0.3, dtype=torch.float64)
    pulled = operator.data_step(below, y, 1e-6)
    torch.testing.assert_close(pulled, torch.full_like(pulled, bound), atol=1e-3, rtol=0)
    assert float(operator.start(y).min()) >= bound


def test_black_says_little_and_stays_finite():
    y = -torch.ones(1, 2, 3, 8, 8, dtype=torch.float64)
    operator = Exposures((-6.0, -8.0))
    d = random((1, 3, 8, 8), 1)
    x = operator.data_step(d, y, 0.1)
    assert bool(x.isfinite().all())
    sharp = Exposures((0.0, 0.0)).data_step(d, y, 0.1)
    assert float((x - d).abs().mean()) < 0.5 * float((sharp - d).abs().mean())


def test_a_dark_speck_in_a_clipped_area_is_noise():
    y = torch.ones(1, 3, 16, 16)
    y[:, :, 8, 8] = 0.95
    y[:, :, 4, 4] = 0.5
    clipped = Exposure(1.0, tolerance=0.02).clipped(y)
    assert bool(clipped[:, :, 8, 8].all())
    assert not bool(clipped[:, :, 4, 4].any())
    start = Exposure(1.0, tolerance=0.02).start(y)
    assert float(start[0, 0, 8, 8]) > 2 * Exposure(1.0).level() - 1


def test_start_follows_the_channels_that_were_recorded():
    """A grey scene through filters: red clips first, and green and blue know where it goes."""
    column = torch.linspace(0.1, 0.45, 32, dtype=torch.float64)
    light = torch.stack([2 * column, column, column]).view(1, 3, 1, 32).repeat(1, 1, 32, 1)
    x = 2 * SRGB.encode(light) - 1
    operator = Exposure(1.0)
    y = operator(x)
    clipped = operator.clipped(y)
    assert bool(clipped[:, 0].any())
    assert not bool(clipped[:, 1:].any())
    start, flat = operator.start(y), torch.full_like(x, 2 * operator.level() - 1)
    error = (start - x)[clipped].square().mean()
    assert float(error) < 0.3 * float((flat - x)[clipped].square().mean())
    torch.testing.assert_close(start[~clipped], x[~clipped])


@pytest.mark.parametrize(
    ("colour", "brightest"),
    [((0.30, 0.55, 0.85), 2), ((0.95, 0.7, 0.35), 0), ((0.4, 0.8, 0.95), 2)],
    ids=["sky", "sunset", "shallows"],
)
def test_a_colour_that_is_clipped_everywhere_is_guessed_by_the_others(colour, brightest):
    """No surroundings know it: they are dark and grey."""
    u = torch.full((1, 3, 24, 24), 0.2, dtype=torch.float64)
    u[:, :, 4:20, 4:20] = torch.tensor(colour, dtype=torch.float64)[:, None, None]
    operator = Exposure(2.0)
    y = operator(2 * u - 1)
    clipped = operator.clipped(y)
    assert bool(clipped[0, brightest, 8, 8])
    assert not bool(clipped[0].all(0).any())
    start, flat = (operator.start(y) + 1) / 2, torch.full_like(u, operator.level())
    assert int(start[0, :, 8, 8].argmax()) == brightest
    error, before = (((guess - u)[clipped] ** 2).mean().sqrt() for guess in (start, flat))
    assert float(error) < 0.7 * float(before)
    torch.testing.assert_close(start[~clipped], u[~clipped])


def test_where_all_is_clipped_the_colour_is_that_of_the_surroundings():
    u = torch.full((1, 3, 24, 24), 0.95, dtype=torch.float64)
    for row, colour in ((0, (0.30, 0.55, 0.85)), (16, (0.95, 0.7, 0.35))):
        u[:, :, row : row + 8] = torch.tensor(colour, dtype=torch.float64)[:, None, None]
    operator = Exposure(2.0)
    y = operator(2 * u - 1)
    assert bool(operator.clipped(y)[:, :, 8:16].all())
    start = operator.start(y)[0].mean(2)  # (3, rows)
    sky, sunset = start[:, 8], start[:, 15]
    assert float(sky[2] - sky[0]) > 0.02
    assert float(sunset[0] - sunset[2]) > 0.02


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 1, 5, 4), (1, 3, 9, 7)], ids=str)
def test_nothing_but_clipped_pixels(shape):
    operator = Exposure(1.0)
    start = operator.start(torch.ones(shape))
    assert bool(start.isfinite().all())
    assert float(start.min()) >= 2 * operator.level() - 1
    assert float(start.max()) <= 1


def test_start_of_a_clipped_disk_is_a_dome():
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    glow = 1.2 * torch.exp(-((x - 24) ** 2 + (y - 24) ** 2) / 300)
    scene = 2 * SRGB.encode(glow.clamp(max=1)).expand(1, 3, 48, 48) - 1
    operator = Exposure(1.5)
    shot = operator(scene)
    clipped = operator.clipped(shot)
    start, flat = operator.start(shot), torch.full_like(scene, 2 * operator.level() - 1)
    gain = (flat - scene)[clipped].square().mean() / (start - scene)[clipped].square().mean()
    assert float(gain) > 10 ** (4 / 10)
    assert float(start[0, 0, 24, 24]) > float(start[0, 0, 24, int(clipped[0, 0, 24].nonzero()[0])])


@pytest.mark.parametrize("operator", OPERATORS)
def test_start_explains_what_was_recorded(operator):
    y = operator(random(SHAPE, 5))
    again = operator(operator.start(y))
    free = y.abs() < 1 if isinstance(operator, PaperHdr) else ~operator.clipped(y)
    torch.testing.assert_close(again[free], y[free], atol=1e-6, rtol=0)


@pytest.mark.parametrize("operator", OPERATORS)
def test_pure_and_row_by_row(operator):
    x, d = random(SHAPE, 6), random(SHAPE, 7)
    kept = x.clone(), d.clone()
    y = operator(x)
    step, start = operator.data_step(d, y, 0.1), operator.start(y)
    before = y.clone()
    for i in range(SHAPE[0]):
        row = slice(i, i + 1)
        torch.testing.assert_close(operator(x[row]), y[row])  # powers differ in the last bit
        torch.testing.assert_close(operator.data_step(d[row], y[row], 0.1), step[row])
        torch.testing.assert_close(operator.start(y[row]), start[row])
    start.add_(1)
    step.add_(1)
    assert torch.equal(y, before)
    assert torch.equal(x, kept[0])
    assert torch.equal(d, kept[1])


def test_tonemap_compresses_and_keeps_order():
    light = np.geomspace(1e-3, 1e3, 64, dtype=np.float32).reshape(8, 8, 1).repeat(3, axis=2)
    shown = tonemap(light)
    assert shown.dtype == np.uint8
    assert shown.shape == light.shape
    values = shown[:, :, 0].ravel().astype(int)
    assert (np.diff(values) >= 0).all()
    assert values[-1] == 255
    assert len(set(values.tolist())) > 40
    assert tonemap(np.zeros((2, 2, 1), dtype=np.float32)).max() == 0


def paper(ink: float, share: float) -> np.ndarray:
    """A page with a share of ink."""
    light = np.full((20, 20, 1), 3.0, dtype=np.float32)
    light.reshape(-1)[: int(400 * share)] = ink
    return light


def test_tonemap_leaves_paper_white_and_night_dark():
    page, night = tonemap(paper(0.05, 0.1)), tonemap(paper(0.02, 0.95))
    assert page.max() == night.max() == 255
    assert np.median(page) == 255
    assert 0 < np.median(night) < 90  # middle grey has 118


def test_tonemap_is_not_decided_by_single_pixels():
    rng = np.random.default_rng(0)
    wall = 0.3 * rng.lognormal(0, 0.1, (100, 100, 1)).astype(np.float32)
    spotted = wall.copy()
    spotted[50, 50] = 0.05
    night = 0.002 * rng.lognormal(0, 0.5, (100, 100, 1)).astype(np.float32)
    stars = night.copy()
    stars.reshape(-1)[::200] = 1.0
    shown = [np.median(tonemap(light)) for light in (wall, spotted, night, stars)]
    assert shown[0] == pytest.approx(shown[1], abs=2)
    assert 90 < shown[0] < 150
    assert shown[3] < 140


def test_tonemap_does_not_mind_a_unit_of_light():
    rng = np.random.default_rng(0)
    light = rng.lognormal(0, 2, (32, 32, 3)).astype(np.float32)
    assert np.array_equal(tonemap(light), tonemap(light * 16))


def test_tonemap_keeps_hue_and_hits_its_key():
    flat = np.full((4, 4, 3), 5.0, dtype=np.float32) * np.array((1, 0.5, 0.25), dtype=np.float32)
    light = SRGB.decode(tonemap(flat).astype(np.float32) / 255)[0, 0]
    assert light[1] / light[0] == pytest.approx(0.5, abs=0.02)
    # key 0.18, white 1: 0.18 (1 + 0.18) / (1 + 0.18) = 0.18
    assert light @ np.array((0.2126, 0.7152, 0.0722)) == pytest.approx(0.18, abs=0.01)


def test_recorded_exposures_are_averaged_by_the_inverse_variance_of_light():
    """Noise of y is noise of x over the slope, so that its square is the weight."""
    operator = Exposures((0.0, -1.0), Response("linear"))
    y = 2 * torch.stack([torch.full((1, 3, 4, 4), 0.6), torch.full((1, 3, 4, 4), 0.2)], 1) - 1
    u = (operator.start(y) + 1) / 2
    torch.testing.assert_close(u, torch.full_like(u, (0.6 + 0.25 * 0.4) / 1.25))
