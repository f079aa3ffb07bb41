"""The first guess at clipped values: how it leaves the border, and where it goes."""

import pytest
import torch

from reddiff_cli.holes import smooth
from reddiff_cli.holes.smooth import rise_smoothly
from reddiff_cli.operators import Exposure, highlights
from reddiff_cli.operators.highlights import (
    DOME,
    FARTHEST,
    NEAREST,
    STEEPER,
    by_law,
    partly_clipped,
    reach_of_dome,
)

SIDE = 96


def columns(*values):
    """(1, 1, 24, N), the same in all rows."""
    return torch.tensor(values).float().expand(1, 1, 24, -1)


def ramp(slope, colour=(1.0, 1.0, 1.0), width=SIDE):
    """u in [0, 1] that grows by `slope` a pixel from the left, through the level of one stop."""
    level = Exposure(1.0).level()
    grey = level + slope * (torch.arange(width).float() - width / 2)
    return (grey * torch.tensor(colour)[:, None, None]).clamp(0, 1).expand(1, 3, width, width)


def guessed(u, stops=1.0):
    """The first guess in [0, 1], and what was clipped in all channels."""
    operator = Exposure(stops)
    y = operator(2 * u - 1)
    return (operator.start(y) + 1) / 2, operator.clipped(y).all(1)


@pytest.mark.parametrize("reach", [0.8, 3.0, 12.0])
def test_beside_a_straight_border_a_rise_is_exponential(reach):
    hole = columns(*[0] * 8, *[1] * 120)
    around = 0.2 * (1 - hole)
    risen = rise_smoothly(around, hole, torch.ones_like(hole), torch.full_like(hole, reach))
    assert torch.equal(risen[..., :8], around[..., :8])
    # On a grid the fall of each pixel is that of exp(-depth / reach) for reaches of 2 and more.
    fall = 1 + 0.5 / reach**2 - (0.25 / reach**4 + 1 / reach**2) ** 0.5
    expected = 1 - 0.8 * fall ** torch.arange(1, 41)
    torch.testing.assert_close(risen[0, 0, 12, 8:48], expected, atol=4e-3, rtol=0)


def test_a_rise_has_settled(monkeypatch):
    hole = torch.zeros(1, 1, 200, 150)
    hole[..., 20:180, 10:140] = 1
    top = torch.linspace(0.3, 0.9, 150).expand_as(hole)
    reach = torch.linspace(0.8, 40, 200)[:, None].expand_as(hole)
    quick = rise_smoothly(0.1 * (1 - hole), hole, top, reach)
    monkeypatch.setattr(smooth, "DOME_ROUNDS", 400)
    monkeypatch.setattr(smooth, "FEW_ROUNDS", 400)
    assert float((quick - rise_smoothly(0.1 * (1 - hole), hole, top, reach)).abs().max()) < 0.03


def test_channels_and_pictures_rise_by_themselves():
    hole = torch.zeros(2, 1, 40, 40)
    hole[0, :, 5:30, 5:30] = hole[1, :, 20:38, 3:20] = 1
    around, top = torch.rand(2, 3, 40, 40), torch.rand(2, 3, 40, 40)
    reach = 1 + 9 * torch.rand(2, 1, 40, 40)
    both = rise_smoothly(around, hole, top, reach)
    for k in range(2):
        row = slice(k, k + 1)
        alone = rise_smoothly(around[row], hole[row], top[row], reach[row])
        torch.testing.assert_close(both[row], alone)


@pytest.mark.parametrize("slope", [0.002, 0.005, 0.01])
def test_a_slow_rise_goes_on_without_a_rim(slope):
    start, clipped = guessed(ramp(slope))
    row = start[0, 0, SIDE // 2]
    inside = clipped[0, SIDE // 2].nonzero()[:, 0]
    steps = row[1:] - row[:-1]
    border = int(inside[0])
    assert float(steps[border - 10 : border - 2].max()) == pytest.approx(slope, rel=0.2)
    # No pixel beyond the border rises much faster than those before it; what is within twice the
    # tolerance of white counts as clipped, and is at the level at least.
    assert float(steps[border : border + 12].max()) < (1.5 if slope > 0.002 else 2) * slope
    assert float(steps[border - 1]) < 3 * slope + 3 / 255
    assert float(row[border + 10] - row[border - 1]) > 5 * slope


def test_beyond_a_sharp_edge_it_is_bright_at_once():
    u = torch.full((1, 3, SIDE, SIDE), 0.2)
    u[..., SIDE // 2 :] = 0.95
    start, _ = guessed(u)
    level = Exposure(1.0).level()
    row = (start[0, 0, SIDE // 2] - level) / (1 - level)
    assert float(row[SIDE // 2 + 1]) > 0.8 * DOME
    assert float(row[SIDE // 2 + 20]) == pytest.approx(DOME, abs=0.02)


def test_a_colour_that_is_clipped_first_rises_without_a_rim():
    """A sky grows white: blue is clipped many pixels before red."""
    start, clipped = guessed(ramp(0.005, (0.86, 0.93, 1.0)))
    assert 0.2 < float(clipped.float().mean()) < 0.45
    for channel in range(3):
        row = start[0, channel, SIDE // 2]
        assert float((row[1:] - row[:-1]).abs().max()) < 0.02


@pytest.mark.parametrize("slope", [0.01, 0.02])
def test_the_slope_is_told_from_a_file_of_8_bits(slope):
    operator = Exposure(1.0)
    y = ((operator(2 * ramp(slope) - 1) + 1) * 127.5).round() / 127.5 - 1
    recorded, weight = operator.bracket._recorded(y[:, None])
    whole = (weight == 0).all(1, keepdim=True).float()
    level = operator.level()
    reach = reach_of_dome(recorded, whole, level, 2 * operator.tolerance * level)
    inside = int(whole[0, 0, SIDE // 2].nonzero()[1, 0])
    wanted = DOME * (1 - level) / (STEEPER * slope)
    assert 0.8 < float(reach[0, 0, SIDE // 2, inside]) / wanted < 2


def test_far_from_what_is_clipped_nothing_is_looked_at(monkeypatch):
    """The guess is that of the whole picture."""
    u = ramp(0.004, width=640) * 0.5
    u[..., 300:340, 300:340] = 0.95
    operator = Exposure(1.0)
    y = operator(2 * u - 1)
    near = operator.start(y)
    seen = []
    rise = highlights.rise_smoothly

    def watched(around, *others):
        seen.append(around.shape[-1])
        return rise(around, *others)

    monkeypatch.setattr(highlights, "rise_smoothly", watched)
    operator.start(y)
    assert 0 < max(seen) < 256
    monkeypatch.setattr(highlights, "MARGIN", 640)
    torch.testing.assert_close(operator.start(y), near, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("below", "expected"), [(0.5, NEAREST), (0.01, None), (1e-5, FARTHEST)], ids=str
)
def test_how_far_a_dome_reaches(below, expected):
    """A dome of height DOME, which rises STEEPER times as steeply as u did beside it."""
    level = 0.7
    whole = columns(*[0] * 20, *[1] * 20)
    u = level - below * (19.5 - torch.arange(40).float()).clamp(min=0).expand_as(whole)
    # The others are clipped already, and tell no slope.
    u = torch.cat([torch.full_like(u, level), u, torch.full_like(u, 0.8)], 1)
    found = reach_of_dome(u, whole, level)[0, 0, 12, 22]
    wanted = DOME * (1 - level) / (STEEPER * below) if expected is None else expected
    assert float(found) == pytest.approx(wanted, rel=0.05)


def test_a_sharp_edge_does_not_hurry_a_slow_sky():
    """A roof below a sky that grows white: beside the sky the dome rises as slowly as that did."""
    level, slope = 0.7, 0.002
    u = level - slope * (29.5 - torch.arange(60).float()).clamp(min=0).expand(1, 1, 60, 60)
    u = torch.where(torch.arange(60)[:, None] >= 40, 0.05, u)
    whole = torch.zeros_like(u)
    whole[..., :40, 30:] = 1
    found = reach_of_dome(u, whole, level)[0, 0]
    slow = min(DOME * (1 - level) / (STEEPER * slope), FARTHEST)
    assert float(found[10, 32]) == pytest.approx(slow, rel=0.2)
    assert float(found[20, 45]) > 0.3 * slow
    assert float(found[38, 50]) < 0.3 * slow


def test_in_a_wide_place_the_law_stays():
    """Far from the border a channel is what the others of its pixel say."""
    u = torch.full((1, 3, SIDE, SIDE), 0.5)
    clipped = torch.zeros_like(u, dtype=torch.bool)
    clipped[:, 2, 10:-10, 10:-10] = True
    level = 0.7
    guess = partly_clipped(u, clipped, level)
    told = level + (1 - level) * by_law(u, clipped, level)
    middle = guess[0, 2, SIDE // 2, SIDE // 2]
    assert float(middle) == pytest.approx(float(told[0, 2, SIDE // 2, SIDE // 2]), abs=0.005)
    assert torch.equal(guess[~clipped], u[~clipped])
    assert float(guess[clipped].min()) >= level


def test_a_dome_has_the_tint_of_what_is_around():
    """Blue was clipped first, so it is brighter where all are clipped, too."""
    start, clipped = guessed(ramp(0.01, (0.75, 0.88, 1.0), 160))
    inside = clipped[0, 80].nonzero()[:, 0]
    red, green, blue = start[0, :, 80, int(inside[0]) + 40].tolist()
    assert blue > green + 0.015
    assert green > red + 0.012


def pepper(u, column):
    """u with something red in it, whose edge is two pixels wide."""
    y, x = torch.meshgrid(*[torch.arange(float(n)) for n in u.shape[2:]], indexing="ij")
    inside = ((30 - ((y - 80) ** 2 + (x - column) ** 2).sqrt()) / 2).clamp(0, 1)
    red = torch.tensor((0.8, 0.1, 0.1))[:, None, None]
    return u + inside * (red - u)


def test_white_paper_around_something_red_stays_white():
    start, clipped = guessed(pepper(torch.full((1, 3, 160, 160), 0.95), 40))
    assert bool(clipped[0, 80, 80:].all())
    away = start[0, :, 80, 85:].mean(1)
    assert float(away[0] - away[2]) < 0.005
    level = Exposure(1.0).level()
    assert float(away.mean()) == pytest.approx(level + DOME * (1 - level), abs=0.01)


def test_a_sky_keeps_its_tint_beside_something_red():
    """Of what touches it, that counts which is nearly clipped."""
    sky = ramp(0.01, (0.75, 0.88, 1.0), 160)
    between = (0, slice(None), 80, slice(128, 136))
    start, clipped = guessed(pepper(sky, 170))
    assert bool(clipped[0, 80, 128:136].all())
    alone, beside = (guess[between].mean(1) for guess in (guessed(sky)[0], start))
    assert float(beside[2] - beside[0]) > 0.5 * float(alone[2] - alone[0]) > 0.03
