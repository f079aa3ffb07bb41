"""Patch synthesis: textures, lines and shading go on across the hole."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from memory_used import tensors_made
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.holes import patchmatch, synthesis, voting
from reddiff_cli.holes.guiding import comparable
from reddiff_cli.holes.patches import (
    PATCH,
    Emphasis,
    PyramidLevel,
    Windows,
    trust_inside,
)
from reddiff_cli.holes.smooth import blurred
from reddiff_cli.holes.synthesis import synthesise, thickness
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.tasks import Setting, wide


def hole_in(height, width, top, left, bottom, right):
    hole = torch.zeros(height, width, dtype=torch.bool)
    hole[top:bottom, left:right] = True
    return hole


def damaged(x, hole):
    y = x.clone()
    y[:, hole] = 0
    return y


def test_stripes_continue():
    columns = torch.arange(120)
    x = torch.sign(torch.sin(columns * 0.7)).expand(3, 100, 120).clone()
    hole = hole_in(100, 120, 35, 45, 65, 75)
    filled = synthesise(damaged(x, hole), hole, hole)
    assert float((filled - x).abs()[:, hole].mean()) < 0.1
    assert torch.equal(filled[:, ~hole], x[:, ~hole])


def test_shading_joins_without_a_step():
    ramp = torch.linspace(-0.8, 0.8, 120).expand(3, 100, 120).clone()
    hole = hole_in(100, 120, 30, 40, 70, 80)
    filled = synthesise(damaged(ramp, hole), hole, hole)
    steps = (filled[..., 1:] - filled[..., :-1]).abs()
    assert float(steps.max()) < 0.12
    assert float((filled - ramp).abs().max()) < 0.25


def test_line_is_continued():
    x = torch.full((3, 100, 120), -0.5)
    x[:, 48:52] = 0.9
    hole = hole_in(100, 120, 35, 45, 65, 75)
    filled = synthesise(damaged(x, hole), hole, hole)
    assert float(filled[:, 49:51, 45:75].min()) > 0.3
    assert float(filled[:, 37:44, 45:75].max()) < 0.0


def test_same_seed_same_result():
    x = torch.rand(3, 90, 90, generator=torch.Generator().manual_seed(0)) * 2 - 1
    hole = hole_in(90, 90, 30, 30, 60, 60)
    first, second = (synthesise(damaged(x, hole), hole, hole, seed=5) for _ in range(2))
    assert torch.equal(first, second)


def test_input_is_not_changed_and_forbidden_parts_are_not_copied():
    x = torch.rand(1, 80, 90, generator=torch.Generator().manual_seed(0)) * 0.2
    x[:, :, 70:] = 1.0
    hole = hole_in(80, 90, 25, 20, 50, 45)
    forbidden = hole | hole_in(80, 90, 0, 62, 80, 90)
    y = damaged(x, hole)
    before = y.clone()
    filled = synthesise(y, hole, forbidden)
    assert torch.equal(y, before)
    assert float(filled[:, hole].max()) < 0.4


@pytest.mark.parametrize("shape", [(10, 10), (5, 40), (40, 40)])
def test_nothing_to_copy_from(shape):
    x = torch.rand(3, *shape)
    hole = torch.ones(shape, dtype=torch.bool)
    hole[0] = False
    assert torch.equal(synthesise(x, hole, hole), x)


def test_windows_are_the_pixels_around_their_centres():
    planes = torch.randn(3, 20, 30)
    centres = torch.tensor([0, 29, 30 * 11 + 17, 599])
    padded = F.pad(planes[None], (3,) * 4, mode="replicate")
    every = F.unfold(padded, PATCH).view(3, PATCH**2, -1)  # (K, PATCH^2, H * W)
    windows = Windows(planes)
    assert torch.equal(windows.at(centres), every[:, :, centres].permute(2, 1, 0).flatten(1))
    apart = (windows.at(centres) - windows.at(centres.flip(0))).square().sum(1)
    torch.testing.assert_close(windows.distance(centres, centres.flip(0)), apart)


def test_windows_are_weighed_by_where_they_are_wanted():
    planes, middles = torch.randn(3, 20, 30), torch.randn(600, 2)
    weights = torch.rand(600, 5)
    windows = Windows(planes, Emphasis(middles, weights))
    wanted, found = torch.tensor([0, 29, 347]), torch.tensor([599, 31, 100])
    by_plane = (windows.at(wanted) - windows.at(found)).square().view(3, -1, 3).sum(1)
    apart = PATCH**2 * (middles[wanted] - middles[found]).square()
    truth = (torch.cat([by_plane, apart], 1) * weights[wanted]).sum(1)
    torch.testing.assert_close(windows.distance(wanted, found), truth)
    vectors = windows.vectors_at(wanted) - windows.vectors_at(found)
    told = windows.weights_at(wanted)
    assert told is not None
    torch.testing.assert_close((told * vectors.square()).sum(1), truth)
    every = torch.arange(600)
    sources = windows.vectors_at(every)
    lengths = windows.lengths(wanted, sources)
    torch.testing.assert_close(lengths[0] @ lengths[1].T, told @ sources.square().T)
    nearest = patchmatch.nearest_of(told * windows.vectors_at(wanted), sources, lengths)
    least = [windows.distance(place.expand(600), every).argmin() for place in wanted]
    assert nearest.tolist() == [int(place) for place in least]


def test_a_search_holds_no_table_of_all_patches(monkeypatch):
    monkeypatch.setattr(patchmatch, "EXHAUSTIVE", 0)
    x, hole = torch.randn(3, 120, 120), hole_in(120, 120, 40, 40, 80, 80)
    about = hole, hole, trust_inside(hole)
    level = PyramidLevel(x, x[:2].clone(), *about, *comparable(x[:0], hole))
    field = torch.full((120 * 120,), 8 * 120 + 8)
    with tensors_made() as tally:
        found = patchmatch.search(level, field, torch.Generator().manual_seed(0))
    inside = found[hole.flatten()]
    assert bool((inside >= 0).all())
    assert not bool(hole.flatten()[inside].any())
    assert tally.largest < 4 * 49 * 5 * 120**2 / 5


def texture_with_a_hole(seed=1):
    """Soft noise of 120x120 as a level whose hole of 40x40 is grey, and the noise."""
    generator = torch.Generator().manual_seed(seed)
    x = blurred(torch.randn(1, 1, 120, 120, generator=generator), 1.5)[0]
    x = (0.3 * x / x.std()).expand(3, -1, -1)
    hole = hole_in(120, 120, 40, 40, 80, 80)
    grey, about = damaged(x, hole), (hole, hole, trust_inside(hole))
    return PyramidLevel(grey, 0 * x[:2], *about, *comparable(x[:0], hole), vivid=True), x


def slopes_inside(x):
    return float(x[:, 41:79, 41:79].diff(dim=2).square().mean().sqrt())


def test_contrast_that_a_mean_of_patches_loses_is_given_back(monkeypatch):
    """Patches from everywhere disagree."""
    found = {}
    for most in (1.0, voting.MOST):
        monkeypatch.setattr(voting, "MOST", most)
        level, _ = texture_with_a_hole()
        queries, sources = level.queries, level.sources
        field = torch.zeros(level.hole.numel(), dtype=torch.long)
        chosen = torch.randint(
            len(sources), (len(queries),), generator=torch.Generator().manual_seed(0)
        )
        field[queries] = sources[chosen]
        voting.vote(level, field, sharp=False)
        found[most] = slopes_inside(level.x)
    assert found[voting.MOST] > 1.2 * found[1.0]


def test_patches_that_agree_are_shown_as_they_are():
    level, x = texture_with_a_hole()
    field = torch.arange(level.hole.numel())  # as if each were known
    level.x, level.texture = x.clone(), 0 * x[:2]
    voting.vote(level, field, sharp=False)
    assert float((level.x - x).abs().max()) < 1e-3


def test_texture_goes_on_stronger_than_as_a_mean_alone(monkeypatch):
    """Through all levels: 0.76 and 0.73 of its slopes, and 0.67 and 0.68 without."""
    found = {}
    for vivid in (0, synthesis.VIVID):
        monkeypatch.setattr(synthesis, "VIVID", vivid)
        levels = [texture_with_a_hole(seed) for seed in (2, 7)]
        filled = [synthesise(level.x, level.hole, level.hole) for level, _ in levels]
        found[vivid] = sum(slopes_inside(x) for x in filled)
    assert found[synthesis.VIVID] > 1.05 * found[0]


def test_very_large_hole_is_copied_at_full_resolution(monkeypatch):
    """Above the budget the fine level follows the coarse map: still no grey, still the texture."""
    monkeypatch.setattr("reddiff_cli.holes.synthesis.LARGEST", 2000)
    columns = torch.arange(160)
    x = torch.sign(torch.sin(columns * 0.7)).expand(3, 150, 160).clone()
    hole = hole_in(150, 160, 40, 50, 110, 110)
    filled = synthesise(damaged(x, hole), hole, hole)
    assert torch.equal(filled[:, ~hole], x[:, ~hole])
    assert float(filled[:, hole].abs().mean()) > 0.9


def test_few_sources_chosen_by_chance_are_enough(monkeypatch):
    monkeypatch.setattr("reddiff_cli.holes.synthesis.MOST_SOURCES", 300)
    monkeypatch.setattr("reddiff_cli.holes.patchmatch.EXHAUSTIVE", 0)
    columns = torch.arange(120)
    x = torch.sign(torch.sin(columns * 0.7)).expand(3, 100, 120).clone()
    hole = hole_in(100, 120, 35, 45, 48, 75)  # one level: all of the search is at full size
    filled = synthesise(damaged(x, hole), hole, hole)
    assert float((filled - x).abs()[:, hole].mean()) < 0.1


@pytest.mark.parametrize(
    ("boxes", "side"),
    [
        ([], 0),
        ([(20, 20, 33, 60)], 14),  # odd sides count as one more
        ([(20, 20, 34, 60), (40, 10, 46, 90)], 14),
        ([(0, 20, 10, 60)], 20),  # the band may go on beyond the border
    ],
)
def test_thickness_is_that_of_the_largest_square(boxes, side):
    hole = torch.zeros(80, 100, dtype=torch.bool)
    for box in boxes:
        hole |= hole_in(80, 100, *box)
    assert thickness(hole) == side


def test_long_holes_are_filled_in_pieces(monkeypatch):
    """A band across stripes: every search is small, and the pieces join without a seam."""
    columns = torch.arange(380)
    x = torch.sign(torch.sin(columns * 0.7)).expand(1, 3, 150, 380).clone()
    hole = np.zeros((150, 380), dtype=bool)
    for column in range(20, 360):
        hole[60 + column // 10 : 76 + column // 10, column] = True
    seen = []

    def watched(area, part, *rest, **more):
        seen.append(tuple(area.shape[1:]))
        return synthesise(area, part, *rest, **more)

    monkeypatch.setattr(wide, "synthesise", watched)
    monkeypatch.setattr(wide, "LONGEST", 100)
    canvas = x * torch.from_numpy(~hole)
    wide.fill_with_patches(canvas, hole, hole, 0)
    assert len(seen) > 3
    assert max(width for _, width in seen) < 360
    missed = (canvas - x).abs()[0, 0].numpy()
    assert missed[~hole].max() == 0
    by_column = missed.sum(0)[20:360] / 16
    assert by_column.mean() < 0.1
    assert by_column.max() < 0.8


def test_pieces_of_a_thick_hole_join_without_a_blotch(monkeypatch):
    """What is done already, and what is still to come, is no grey at the coarse levels."""
    monkeypatch.setattr(wide, "LONGEST", 130)
    monkeypatch.setattr(wide, "THICK_TO_LONG", 1)
    generator = torch.Generator().manual_seed(0)
    canvas = 0.7 + 0.15 * torch.randn(1, 3, 200, 420, generator=generator).clamp(-2, 2)
    canvas[..., :40] -= 0.7  # something grey that might be copied
    hole = np.zeros((200, 420), dtype=bool)
    hole[70:132, 80:380] = True
    canvas[:, :, torch.from_numpy(hole)] = 0
    wide.fill_hole(canvas, hole)
    wide.fill_with_patches(canvas, hole, hole, 0)
    assert float(canvas[0, :, 70:132, 80:380].mean((0, 1)).min()) > 0.6


def test_an_interrupt_does_not_wait_for_the_patches(monkeypatch):
    """Of the searches that a wide hole takes none begins after the check has raised."""
    searches, calls = [], []
    nearest = patchmatch.nearest_of

    def counted(*about):
        searches.append(1)
        return nearest(*about)

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(synthesis, "nearest_of", counted)
    x, hole = torch.rand(1, 3, 150, 150), np.zeros((150, 150), dtype=bool)
    hole[50:90, 50:90] = True
    made = Setting(Card("none", None, wide_hole="patches"), SolverOptions(), print, check=check)
    with pytest.raises(KeyboardInterrupt):
        list(wide.WideFilling(x, hole, 0.0, made).stages())
    assert len(searches) == 2
