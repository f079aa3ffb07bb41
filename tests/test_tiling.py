"""Windows: they cover what they must, blend to one, and change nothing for a local network."""

import numpy as np
import pytest
import torch

from doubles import windows_everywhere
from memory_used import peak_of_arrays
from reddiff_cli.holes import shape as shape_of_holes
from reddiff_cli.holes.shape import (
    bounding_region,
    cheapest_patchwork,
    regions,
    solid_share,
    wide_part,
)
from reddiff_cli.tiling import Whole, cover, patchwork


def scratch(height=120, width=150):
    hole = np.zeros((height, width), dtype=bool)
    for x in range(10, 140):
        hole[(x * 2) // 3 : (x * 2) // 3 + 3, x] = True
    return hole


@pytest.mark.parametrize(("size", "margin"), [(32, 8), (48, 0), (64, 20)])
def test_every_hole_pixel_is_covered_with_its_margin(size, margin):
    hole = scratch()
    height, width = hole.shape
    distance = np.full(hole.shape, -1)
    for top, left in cover(hole, size, margin):
        assert 0 <= top <= height - size
        assert 0 <= left <= width - size
        y, x = np.mgrid[0:height, 0:width]
        to_top = np.where(top == 0, height, y - top)
        to_bottom = np.where(top + size == height, height, top + size - 1 - y)
        to_left = np.where(left == 0, width, x - left)
        to_right = np.where(left + size == width, width, left + size - 1 - x)
        inside = np.minimum.reduce([y - top, top + size - 1 - y, x - left, left + size - 1 - x])
        room = np.minimum.reduce([to_top, to_bottom, to_left, to_right])
        distance = np.maximum(distance, np.where(inside >= 0, room, -1))
    assert distance[hole].min() >= margin


def test_windows_follow_the_hole_and_not_the_picture():
    hole = np.zeros((1000, 2000), dtype=bool)
    hole[500:503, 700:900] = True
    covered = len(cheapest_patchwork(hole, 10, (64, 256)).pixels)
    assert covered < 0.02 * hole.size


def test_few_windows_hold_nothing_of_the_picture_twice():
    """A place for every pixel, and whether it is covered: 9 bytes."""
    peak = peak_of_arrays(lambda: patchwork((1000, 1000), [(300, 400)], 64, 10))
    assert peak < 12e6


@pytest.mark.parametrize("shape", [(100, 130), (32, 32), (20, 90), (33, 31)])
def test_windows_cover_everything_and_weights_sum_to_one(shape):
    work = windows_everywhere(*shape, 32, 8)
    assert len(work.pixels) == shape[0] * shape[1]
    total = torch.zeros(len(work.pixels)).index_add_(
        0, work.index.flatten(), work.weight.flatten()
    )
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)


def test_local_network_in_windows_equals_the_whole():
    work = windows_everywhere(70, 90, 32, 8)
    z, t = torch.randn(2, 3, 70, 90), torch.tensor([1, 2])

    def local(x, t):
        return x.tanh() * t[:, None, None, None]

    blended = work.put(z, work.denoise(local, work.take(z), t))
    torch.testing.assert_close(blended, local(z, t), atol=1e-5, rtol=1e-5)


def test_hole_windows_equal_all_windows_on_the_hole():
    """A network that sees 5 pixels far: windows and whole agree where no window ends nearby."""
    hole = scratch()
    height, width = hole.shape
    z = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))

    def blur(x, t):
        return torch.nn.functional.avg_pool2d(x, 11, 1, 5, count_include_pad=False)

    boxes = cover(hole, 48, 12)
    work = patchwork(hole.shape, boxes, 48, 12)
    found = work.put(z, work.denoise(blur, work.take(z), torch.tensor([1])))
    undisturbed = hole.copy()
    for top, left in boxes:
        ends = np.zeros_like(hole)
        ends[top : top + 48, left : left + 48] = True
        inner = np.zeros_like(hole)
        inner[top and top + 5 : top + 48 - 5 * (top + 48 < height)] = True
        columns = np.zeros_like(hole)
        columns[:, left and left + 5 : left + 48 - 5 * (left + 48 < width)] = True
        undisturbed &= ~ends | (inner & columns)
    assert undisturbed.sum() > hole.sum() / 2
    seen = torch.from_numpy(undisturbed)
    expected = blur(z, None)[..., seen]
    torch.testing.assert_close(found[..., seen], expected, atol=1e-5, rtol=0)


def test_windows_blend_into_one_another_without_a_step():
    """By a raised cosine over what they share; each is constant here."""
    work = patchwork((32, 56), [(0, 0), (0, 24)], 32, 8)
    z = torch.zeros(1, 1, 32, 56)

    def numbered(x, t):
        return torch.arange(len(x)).view(-1, 1, 1, 1).expand_as(x).float()

    seen = work.put(z, work.denoise(numbered, work.take(z), torch.tensor([1])))[0, 0]
    assert torch.equal(seen[:, :24], torch.zeros(32, 24))
    assert torch.equal(seen[:, 32:], torch.ones(32, 24))
    places = (torch.arange(8) + 0.5) / 8
    expected = 0.5 - 0.5 * torch.cos(torch.pi * places)
    torch.testing.assert_close(seen[:, 24:32], expected.expand(32, 8), atol=1e-3, rtol=0)


def test_take_and_put_are_inverse():
    hole = scratch()
    work = cheapest_patchwork(hole, 8, (48,))
    canvas = torch.randn(1, 3, *hole.shape)
    assert torch.equal(work.put(canvas, work.take(canvas)), canvas)
    changed = work.put(canvas, work.take(canvas) + 1)
    outside = torch.ones(hole.size, dtype=torch.bool)
    outside[work.pixels] = False
    assert torch.equal(changed.flatten(2)[..., outside], canvas.flatten(2)[..., outside])
    assert bool(
        (changed.flatten(2)[..., work.pixels] != canvas.flatten(2)[..., work.pixels]).all()
    )


def test_small_pictures_go_through_in_one_piece():
    hole = np.random.default_rng(0).random((200, 200)) < 0.7
    work = cheapest_patchwork(hole, 10, (64, 256))
    assert len(work.index) == 1
    assert len(work.pixels) == hole.size


def test_thin_and_wide_parts():
    hole = scratch()
    assert not wide_part(hole).any()
    hole[40:70, 100:130] = True
    wide = wide_part(hole)
    assert wide[40:70, 100:130].all()
    assert not wide[:, :60].any()
    assert not (wide & ~hole).any()


def test_band_along_the_edge_is_wide_where_it_is_deep():
    hole = np.zeros((100, 100), dtype=bool)
    hole[:, :4] = True
    assert not wide_part(hole).any()
    hole[:, :14] = True
    assert wide_part(hole).all(axis=None) == hole.all(axis=None)
    assert wide_part(hole)[:, :14].all()


def test_regions_separate_what_is_far_apart():
    hole = np.zeros((300, 400), dtype=bool)
    hole[10:20, 10:20] = True
    hole[200:230, 300:360] = True
    found = regions(hole, 5)
    assert [(r.top, r.left, r.bottom, r.right) for r in found] == [
        (5, 5, 25, 25),
        (195, 295, 235, 365),
    ]
    box = bounding_region(hole, 0)
    assert (box.top, box.left, box.bottom, box.right) == (10, 10, 230, 360)


def test_many_specks_are_not_looked_through_for_each_of_them(monkeypatch):
    looked_at = []

    def counted(*values, **more):
        looked_at.append(len(values[0]) if len(values) == 1 else len(values))
        return min(*values, **more)

    monkeypatch.setattr(shape_of_holes, "min", counted, raising=False)
    hole = np.zeros((64 * 20, 64 * 20), dtype=bool)
    hole[::64, ::64] = True
    found = regions(hole, 0)
    places = [(y, x) for y in range(0, len(hole), 64) for x in range(0, len(hole), 64)]
    assert [(part.top, part.left) for part in found] == places  # row by row
    assert sum(looked_at) < 20 * len(found)


def test_functions_of_windows_blend_to_the_whole():
    work = windows_everywhere(70, 90, 32, 8)
    canvas, other = torch.randn(1, 3, 70, 90), torch.rand(1, 1, 70, 90)
    result = work.map_windows(lambda x, k: x * k, work.take(canvas), work.take(other))
    torch.testing.assert_close(work.put(canvas, result), canvas * other, atol=1e-5, rtol=1e-5)


def test_share_of_a_hole_that_is_solid():
    hole = np.zeros((40, 60), dtype=bool)
    assert solid_share(hole) == 0
    hole[20:23] = True  # a line of three pixels from edge to edge
    assert solid_share(hole) == pytest.approx(1 / 3)
    hole[20:30] = True
    assert solid_share(hole) == pytest.approx(8 / 10)
    scattered = np.random.default_rng(0).random((200, 200))
    assert solid_share(scattered < 0.7) < 0.1
    assert solid_share(scattered < 0.9) == pytest.approx(0.9**8, abs=0.03)
    assert solid_share(np.ones((5, 5), dtype=bool)) == 1


def tiles_of(view, shape, t=300):
    """Sizes of what the network sees, and D of a network that does nothing."""
    seen = []

    def look(z, _):
        seen.append(tuple(z.shape[2:]))
        return z

    z = torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(0))
    return seen, view.denoise(look, z, torch.tensor([t])) - z


# As for the bundled prior: any size, tiles of about 768 x 768 pixels.
ANY_SIZE = Whole(768, 64, 64, round(1.1 * 768**2))


@pytest.mark.parametrize(
    ("shape", "count", "times"),
    [
        *[((770, 770), 1, 1.0), ((784, 784), 1, 1.0), ((600, 800), 1, 1.0)],
        *[((768, 1024), 2, 1.1), ((1000, 1000), 2, 1.11), ((1080, 1920), 4, 1.15)],
        *[((3000, 4000), 25, 1.2), ((100, 9000), 2, 1.1)],
    ],
)
def test_tiles_see_little_twice(shape, count, times):
    """Cut by the pixels that are too many and not by the longer side, and into equal parts."""
    for t in (0, 300):
        seen, _ = tiles_of(ANY_SIZE, shape, t)
        assert (len(seen), len(set(seen))) == (count, 1)
        assert sum(h * w for h, w in seen) <= times * shape[0] * shape[1]
        assert max(h * w for h, w in seen) <= ANY_SIZE.pixels


@pytest.mark.parametrize("shape", [(300, 200), (257, 1000), (2000, 448), (129, 131)])
@pytest.mark.parametrize(("tile", "overlap"), [(256, 64), (128, 64), (128, 0), (100, 25)])
def test_a_tile_that_was_asked_for_is_the_largest_side(shape, tile, overlap):
    for t in (0, 77, 300):
        seen, error = tiles_of(Whole(tile, overlap), shape, t)
        assert max(max(sides) for sides in seen) <= tile
        assert error.abs().max() < 1e-5


@pytest.mark.parametrize("length", [257, 448, 449, 640, 1000])
def test_a_network_of_one_size_sees_that_size(length):
    for t in (0, 77, 300):
        seen, error = tiles_of(Whole(256, 64, 256), (256, length), t)
        assert set(seen) == {(256, 256)}
        assert len(seen) == -(-(length - 64 + 16) // 192)
        assert error.abs().max() < 1e-5


def test_seams_move_between_levels():
    """What a network does wrong at the edges of tiles does not add up in one place."""

    def edges(z, _):
        border = torch.zeros_like(z)
        border[..., 0] = border[..., -1] = 1
        return border

    for view, shape in ((Whole(256, 64), (256, 800)), (Whole(256, 64, 256), (256, 448))):
        levels = [
            view.denoise(edges, torch.zeros(1, 1, *shape), torch.tensor([t]))[0, 0, 0, 1:-1]
            for t in (100, 200, 300, 400)
        ]
        together = torch.stack(levels)
        # A raised cosine of 64 pixels begins with less than a thousandth.
        assert together.max() < 1e-3
        places = {tuple((level > 0).nonzero().flatten().tolist()) for level in levels}
        assert len(places) > 2
