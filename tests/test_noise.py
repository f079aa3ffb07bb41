"""Noise: known levels are found again, and the verdict says what it should."""

import pytest
import torch
from torch.nn import functional as F

from conftest import scene
from reddiff_cli.estimation.clipping import is_recorded, made_good, shows_noise
from reddiff_cli.estimation.exposures import noise_between, shown_stops
from reddiff_cli.estimation.noise import (
    BLURRED,
    FLOOR,
    FLOOR_SMOOTHED,
    RISE,
    estimate_noise,
    is_white,
    wavelet_sigma,
)
from reddiff_cli.estimation.verdicts import Grounds, judge_exposures, judge_residual
from reddiff_cli.light.response import Response


def picture(sigma=0.0, seed=0, channels=3, size=192):
    """(1, C, size, size) in [-1, 1]: a smooth scene and noise of sigma in [0, 1] units."""
    y, x = torch.meshgrid(torch.arange(float(size)), torch.arange(float(size)), indexing="ij")
    clean = torch.stack([torch.sin(x / 9 + c) * torch.cos(y / 13) for c in range(channels)]) / 2
    generator = torch.Generator().manual_seed(seed)
    return (clean + 2 * sigma * torch.randn(clean.shape, generator=generator))[None]


@pytest.mark.parametrize("sigma", [5 / 255, 10 / 255, 25 / 255])
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_found(sigma, channels):
    assert estimate_noise(picture(sigma, channels=channels)).sigma == pytest.approx(sigma, rel=0.1)


def test_clean_pictures_have_the_floor():
    assert estimate_noise(picture()).sigma == FLOOR / 255
    smoothed = estimate_noise(picture(), smoothed=True)
    assert smoothed.sigma == FLOOR_SMOOTHED / 255
    assert "lossy" in smoothed.warning


def test_clipped_pixels_do_not_count():
    noisy = picture(10 / 255)
    noisy[..., :100] = 1.0
    assert estimate_noise(noisy.clamp(-1, 1)).sigma == pytest.approx(10 / 255, rel=0.15)


def page(paper, level, side=192):
    """Letters on paper of this value, with noise of this level, 8 bits, (1, 1, side, side)."""
    clean = torch.full((side, side), float(paper))
    for top in range(12, side - 12, 24):
        for left in range(8, side - 8, 9):
            clean[top : top + 9, left : left + 1 + (left + top) % 3] = 20.0
    soft = F.avg_pool2d(clean[None, None], 2, 1)
    noise = torch.randn(soft.shape, generator=torch.Generator().manual_seed(paper))
    return (soft + level * noise).clamp(0, 255).round() / 127.5 - 1


@pytest.mark.parametrize("paper", [255, 248, 230])
@pytest.mark.parametrize("level", [5, 12, 25])
@pytest.mark.parametrize("sign", [1, -1])
def test_noise_that_white_or_black_clips_is_found(paper, level, sign):
    """Where no place but letters is without a clipped value."""
    y = sign * page(paper, level)
    assert 255 * estimate_noise(y).sigma == pytest.approx(level, rel=0.2)
    assert is_white(y, 0.0)


@pytest.mark.parametrize("paper", [255, 248])
def test_pages_without_noise_are_as_they_were(paper):
    y = page(paper, 0)
    recorded = is_recorded(y)
    assert torch.equal(made_good(y), recorded)


def test_objects_that_are_bright_have_clipped_no_noise():
    noisy = picture(10 / 255).clamp(-0.99, 0.99)
    noisy[..., :150, :] = 1.0
    assert torch.equal(made_good(noisy), is_recorded(noisy))


@pytest.mark.parametrize("value", [0.8, 0.9, 1.0])
def test_what_is_left_of_clipped_noise_tells_the_noise(value):
    noise = torch.randn((1, 1, 128, 128), generator=torch.Generator().manual_seed(2))
    y = (value + 0.1 * noise).clamp(-1, 1)
    good = made_good(y)
    assert float(good.mean()) == pytest.approx(0.1 / float(y.std()), rel=0.05)


def test_wide_noise_of_colours_has_clipped_what_lies_apart_in_the_channels():
    """Not what all share, nor letters, nor where one channel ends at a straight edge."""
    white = torch.randn((1, 3, 129, 129), generator=torch.Generator().manual_seed(2))
    y = (-0.95 + 0.1 * F.avg_pool2d(white, 2, 1)).clamp(-1, 1)
    assert 0.1 < float(1 - is_recorded(y).mean()) < 0.3
    assert float(shows_noise(y).mean()) > 0.98
    red = torch.zeros(1, 3, 128, 128)
    red[:, :1, :40] = 1.0
    shared = y[:, :1].expand(1, 3, -1, -1)
    for other in (red, shared, page(255, 0).expand(1, 3, -1, -1)):
        assert torch.equal(shows_noise(other), is_recorded(other))


def test_holes_do_not_count():
    noisy = picture(10 / 255)
    known = torch.ones(1, 1, 192, 192)
    known[..., :130, :] = 0
    # Holes filled with the noise of another picture must not be taken for this one's.
    holed = torch.where(known > 0, noisy, picture(0.1, seed=3))
    assert estimate_noise(holed, known).sigma == pytest.approx(10 / 255, rel=0.15)
    assert estimate_noise(holed).sigma > 1.2 * estimate_noise(holed, known).sigma


@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_holes_that_are_black_or_white_were_not_clipped_by_noise(value):
    """Single pixels that are missing lie scattered as those that noise has clipped."""
    noisy, generator = picture(10 / 255, size=512), torch.Generator().manual_seed(4)
    known = (torch.rand((1, 1, 512, 512), generator=generator) > 0.1).float()
    holed = torch.where(known > 0, noisy, torch.full_like(noisy, value))
    assert estimate_noise(holed, known) == estimate_noise(noisy, known)


def texture(size=192, seed=5):
    """Fur and grass: white noise of 20 of 255, (1, 1, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * 20 / 255 * torch.randn((1, 1, size, size), generator=generator)


@pytest.mark.parametrize("sigma", [2 / 255, 5 / 255, 20 / 255])
def test_texture_is_not_taken_for_noise(sigma):
    """It goes up and down at larger scales too, which tells where it is."""
    noisy = picture(sigma)
    blocks = torch.randn((1, 1, 48, 32), generator=torch.Generator().manual_seed(6)) / 4
    rough = texture()[..., :128] + blocks.repeat_interleave(4, 2).repeat_interleave(4, 3)
    noisy[..., :128] += rough
    inside = noisy.clamp(-0.99, 0.99)
    assert estimate_noise(inside).sigma == pytest.approx(sigma, rel=0.15)
    # In lossy files all places count, and there it is.
    assert estimate_noise(inside, smoothed=True).sigma > 1.2 * sigma


def test_little_noise_is_found_where_there_is_no_texture():
    """A blurred picture has none to subtract."""
    assert estimate_noise(picture(1 / 255)).sigma == pytest.approx(1 / 255, rel=0.1)


def test_a_frame_without_noise_does_not_count():
    noisy = picture(5 / 255)
    noisy[..., :60] = 0.3
    assert estimate_noise(noisy).sigma == pytest.approx(5 / 255, rel=0.15)
    noisy[..., :150] = 0.3
    assert estimate_noise(noisy).sigma == FLOOR / 255


def test_a_channel_that_is_mostly_clipped_counts_little():
    noisy = picture(5 / 255)
    noisy[:, 2] = 1.0
    noisy[:, 2, :24, :24] = texture()[0, 0, :24, :24]
    assert estimate_noise(noisy).sigma == pytest.approx(5 / 255, rel=0.15)


def grain(size, sigma, seed=7):
    """Noise that is wider than a pixel: means of 3x3, (1, 1, size, size); sigma in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn((1, 1, size + 2, size + 2), generator=generator)
    return 2 * sigma * 3 * F.avg_pool2d(white, 3, 1)


@pytest.mark.parametrize("smoothed", [False, True])
def test_noise_wider_than_a_pixel_is_not_overlooked(smoothed):
    """As demosaicing and lossy files leave it; pixels of their own hide most of it."""
    sigma = 6 / 255
    noisy = picture(size=400, channels=1) + grain(400, sigma)
    pixels = wavelet_sigma(noisy)
    assert pixels is not None
    assert pixels / 2 < 0.4 * sigma
    found = estimate_noise(noisy, smoothed=smoothed)
    assert sigma < found.sigma < 1.5 * RISE * sigma
    assert not found.warning


def test_white_noise_is_not_raised():
    for sigma in (2 / 255, 10 / 255):
        found = estimate_noise(picture(sigma, size=400)).sigma
        assert found == pytest.approx(sigma, rel=0.05)


@pytest.mark.parametrize("smoothed", [False, True])
def test_white_noise_is_told_from_wide(smoothed):
    for sigma in (3 / 255, 10 / 255):
        noisy = picture(sigma, size=400)
        assert is_white(noisy, sigma, smoothed=smoothed)
        assert not is_white(noisy, 1.5 * sigma, smoothed=smoothed)  # told too high
        wide = picture(size=400, channels=1) + grain(400, sigma)
        assert not is_white(wide, sigma, smoothed=smoothed)
        # Too small to tell: what the file is decides.
        small = picture(sigma, size=160)
        assert is_white(small, sigma, smoothed=smoothed) is not smoothed


def test_noise_that_channels_share_is_not_white():
    generator = torch.Generator().manual_seed(0)
    shared = picture() + 0.1 * torch.randn((1, 1, 192, 192), generator=generator)
    assert not is_white(shared, 0.05)
    assert is_white(shared[:, :1], 0.05)
    assert is_white(picture(0.05), 0.05)


def test_what_cannot_be_measured_is_believed():
    scattered = (torch.arange(192) % 3 == 0).float().expand(1, 1, 192, 192)
    assert is_white(picture(0.05), 0.05, scattered)
    assert not is_white(picture(0.05), 0.05, scattered, smoothed=True)


def test_texture_wider_than_a_pixel_is_not_taken_for_noise():
    sky = picture(size=400) / 10
    noisy = sky + picture(2 / 255, size=400) - picture(size=400)
    noisy[..., :300] += 10 * grain(400, 6 / 255)[..., :300]
    assert estimate_noise(noisy.clamp(-0.99, 0.99)).sigma == pytest.approx(2 / 255, rel=0.2)


def test_wide_grain_needs_a_large_picture_or_a_blurred_one():
    """In a small one, texture everywhere would be taken for it; blurred pictures have none."""
    small = picture(size=160, channels=1) + grain(160, 6 / 255)
    assert estimate_noise(small).sigma < 0.4 * 6 / 255
    assert estimate_noise(small, blurred=True).sigma > 6 / 255
    side = int(1.5 * BLURRED[0] ** 0.5)
    tiny = small[..., :side, :side]
    assert estimate_noise(tiny, blurred=True).sigma < 0.4 * 6 / 255


def test_wide_grain_is_not_looked_for_in_clipped_places_and_holes():
    noisy = picture(5 / 255, size=480)
    noisy[..., :100] = 1 + 10 * grain(480, 6 / 255)[..., :100]
    known = torch.ones(1, 1, 480, 480)
    known[..., 380:] = 0
    noisy[..., 380:] += 10 * grain(480, 6 / 255)[..., 380:]
    found = estimate_noise(noisy.clamp(-1, 1), known).sigma
    assert found == pytest.approx(5 / 255, rel=0.15)


def test_nothing_to_measure_on():
    assert wavelet_sigma(torch.zeros(1, 3, 7, 40)) is None
    assert wavelet_sigma(torch.ones(1, 3, 64, 64)) is None
    assert "too little" in estimate_noise(torch.ones(1, 3, 64, 64)).warning


def test_the_picture_stays_as_it_is():
    noisy = torch.from_numpy(scene()).permute(2, 0, 1)[None] / 127.5 - 1
    before = noisy.clone()
    estimate_noise(noisy)
    assert torch.equal(noisy, before)


HIDDEN = Grounds(hidden=True)


def test_verdicts():
    assert {judge_residual(ratio, 0.02) for ratio in (0.71, 1.0, 1.19)} == {"right"}
    assert "fitted" in judge_residual(0.5, 0.02)
    assert "unexplained" in judge_residual(1.5, 0.02)
    # The least that is taken for noise says nothing, but where all is right.
    assert judge_residual(1.0, 0.6 / 255) == judge_residual(1.0, 0.02, HIDDEN) == "right"
    assert judge_residual(0.4, 0.6 / 255) == judge_residual(0.4, 1 / 255) == ""
    assert "fitted" in judge_residual(0.4, 1.01 / 255)
    assert "fitted" in judge_residual(0.4, 2.5 / 255)
    assert judge_residual(0.4, 2.5 / 255, HIDDEN) == ""
    assert judge_residual(0.42, 0.5 / 255) == judge_residual(0.3, 2 / 255) == ""
    assert "unexplained" in judge_residual(3, 0.5 / 255)
    assert judge_residual(1.5, 0.5 / 255) == ""
    assert "unexplained" in judge_residual(1.5, 0.1 / 255)
    assert judge_exposures(0.5, 0.02) == judge_exposures(1.0, 0.02) == ""
    assert "noise is less than assumed" in judge_exposures(0.3, 0.02)
    assert judge_exposures(0.3, 0.02, HIDDEN) == judge_exposures(0.3, 0.9 / 255) == ""
    assert judge_exposures(2.4, 0.5 / 255) == ""
    assert "order, steps (EV) or --response" in judge_exposures(1.5, 0.02)
    assert judge_exposures(1.5, 0.02).endswith(", or more noise")


def test_noise_that_was_taken_for_more_than_was_found_leaves_as_much_less():
    raised = Grounds(raised=1.6)
    assert {judge_residual(ratio, 0.02, raised) for ratio in (0.45, 0.6, 1.1)} == {"right"}
    assert "fitted" in judge_residual(0.43, 0.02, raised)
    assert "unexplained" in judge_residual(1.5, 0.02, raised)


def bracket(sigmas, stops, move=0, seed=0):
    """Exposures of fur by these stops, moved by so many pixels more each, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    fur = (0.4 + 0.06 * torch.randn((1, 3, 192, 192), generator=generator)).clamp(0.02, 0.98)
    shots = []
    for k, (sigma, ev) in enumerate(zip(sigmas, stops, strict=True)):
        shot = Response().expose(fur.roll(k * move, 3), 2**ev)[0]
        shot = shot + sigma * torch.randn(shot.shape, generator=generator)
        shots.append(2 * shot.clamp(0, 1) - 1)
    return shots


MUCH = [0.06, 0.06, 0.06]
STOPS = (-2.0, 0.0, 2.0)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("sigma", [1 / 255, 5 / 255])
def test_exposures_tell_their_noise_by_what_differs(order, sigma):
    stops = tuple(STOPS[k] for k in order)
    found = noise_between(bracket([sigma] * 3, stops), stops, Response(), MUCH)
    assert found == pytest.approx([sigma] * 3, rel=0.15)


def test_the_one_that_shows_less_noise_has_less():
    shots = bracket((0.01, 0.05), (0.0, 1.0))
    assert noise_between(shots, (0.0, 1.0), Response(), [0.01, 0.06]) == pytest.approx(
        [0.01, 0.05], rel=0.1
    )
    shots = bracket((0.05, 0.01), (0.0, 1.0))
    assert noise_between(shots, (0.0, 1.0), Response(), [0.06, 0.01]) == pytest.approx(
        [0.05, 0.01], rel=0.1
    )


def test_exposures_that_do_not_fit_together_tell_no_more_than_each_by_itself():
    moved = noise_between(bracket([0.01] * 3, STOPS, 1), STOPS, Response(), [0.02, 0.05, 0.12])
    assert moved == [0.02, 0.05, 0.12]
    black = [torch.full((1, 3, 64, 64), -1.0), torch.zeros(1, 3, 64, 64)]
    assert noise_between(black, (0.0, 3.0), Response(), [0.02, 0.03]) == [0.02, 0.03]


@pytest.mark.parametrize(
    "real", [(-2.0, 0.0, 2.0), (-1.5, 0.0, 1.5), (2.0, 0.0, -2.0), (0.0,) * 3]
)
def test_exposures_show_how_far_apart_they_are(real):
    shots = bracket([0.02] * 3, real)
    assert shown_stops(shots, STOPS, Response()) == pytest.approx(real, abs=0.05)
    assert shown_stops(shots, real, Response()) == real


def test_noise_in_the_dark_brings_exposures_no_nearer_together():
    """What it lifts above the darkest value that is looked at is no brighter there."""
    generator = torch.Generator().manual_seed(0)
    night = 0.01 * torch.rand((1, 3, 96, 96), generator=generator) ** 3
    light = night.repeat_interleave(4, 2).repeat_interleave(4, 3)
    shots = []
    for ev in STOPS:
        values = Response().encode(2**ev * 4 * light)
        noisy = values + 0.03 * torch.randn(values.shape, generator=generator)
        shots.append(2 * (noisy.clamp(0, 1) * 255).round() / 255 - 1)
    assert shown_stops(shots, STOPS, Response()) == STOPS
    assert shown_stops(shots, (-1.0, 0.0, 1.0), Response()) != (-1.0, 0.0, 1.0)


def test_exposures_that_tell_nothing_are_taken_as_told():
    moved = bracket([0.01] * 3, STOPS)
    moved[1] = bracket([0.01] * 3, STOPS, seed=1)[1]  # of another place
    for shots in (moved, [torch.full((1, 3, 64, 64), v) for v in (-1.0, 0.0, 1.0)]):
        assert shown_stops(shots, (-2.0, 0.2, 2.0), Response()) == (-2.0, 0.2, 2.0)
    nearly = bracket([0.01] * 3, (-2.1, 0.0, 1.9))
    assert shown_stops(nearly, STOPS, Response()) == STOPS


def test_something_that_moved_does_not_count():
    shots = bracket([0.01] * 3, STOPS)
    shots[1][..., 40:100, 40:100] = 0.3
    found = noise_between(shots, STOPS, Response(), MUCH)
    assert found == pytest.approx([0.01] * 3, rel=0.2)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("level", [0.5, 2.0])
def test_order_is_seen_where_no_two_exposures_recorded_the_same(level):
    """Of a bright scene: what is told to be the darkest is white nearly everywhere."""
    light = level * (0.5 + torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(0)))
    bright, dark, black = (
        2 * Response().encode((light * gain).clamp(0, 1)) - 1 for gain in (4.0, 0.25, 0.0)
    )
    assert shown_stops([dark, bright], (-2.0, 2.0), Response()) == (-2.0, 2.0)
    assert shown_stops([bright, dark], (2.0, -2.0), Response()) == (2.0, -2.0)
    first, second = shown_stops([bright, dark], (-2.0, 2.0), Response())
    assert first > second
    for alike in (black, torch.ones_like(black)):
        assert shown_stops([alike, alike], (-2.0, 2.0), Response()) == (-2.0, 2.0)
