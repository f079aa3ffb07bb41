"""Wide holes in the large: small sizes of a picture, and what the prior says there."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import reddiff
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.holes import guiding
from reddiff_cli.holes.guiding import WEIGHT, WEIGHT_LARGE, comparable
from reddiff_cli.holes.scales import enlarged, finer, halvings, levels_to_narrow
from reddiff_cli.holes.synthesis import synthesise
from reddiff_cli.operators import Inpaint, JoinedInpaint, Whitened
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.damages import parse_degrade
from reddiff_cli.options.tasks import InpaintOptions
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer
from reddiff_cli.tasks import Setting, Stage, guide, pose, solver_of

SIDE = 96


def disc(radius=30.0, side=SIDE):
    """A light disc on dark ground, (side, side, 3), 8 bits."""
    y, x = np.mgrid[:side, :side] - side / 2 + 0.5
    inside = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)[:, :, None]
    return np.rint(40 + inside * np.array([180, 150, 120])).astype(np.uint8)


def job_of(folder, picture, hole):
    Image.fromarray(picture).save(folder / "p.png")
    Image.fromarray(hole.astype(np.uint8) * 255).save(folder / "m.png")
    return Job("inpaint", folder / "p.png", folder / "o.png", folder / "m.png")


def test_a_small_pixel_is_the_mean_of_what_is_known_of_it():
    x = torch.arange(15.0).view(1, 1, 3, 5)
    known = torch.ones(1, 1, 3, 5)
    known[0, 0, 0, 0] = known[0, 0, 1, 1] = 0  # half of the first
    known[0, 0, :2, 2:4] = 0  # all of the second
    known[0, 0, 2, 2] = 0  # half of that below it
    wide = torch.zeros(3, 5, dtype=torch.bool)
    wide[1, 2] = True
    small, smaller = halvings(x, known, wide, 2)
    assert small.x.shape == (1, 1, 2, 3)
    assert float(small.x[0, 0, 0, 0]) == (1 + 5) / 2
    assert float(small.x[0, 0, 0, 1]) == (2 + 3 + 7 + 8) / 4  # of what it was filled with
    assert float(small.x[0, 0, 1, 1]) == 13
    assert float(small.x[0, 0, 1, 2]) == 14  # the corner beyond an odd side
    assert small.known[0, 0].tolist() == [[1, 0, 1], [1, 1, 1]]
    assert small.wide.tolist() == [[False, True, False], [False, False, False]]
    assert smaller.x.shape == (1, 1, 1, 2)


def guide_of(folder, side):
    """The stages of a guide for a square in 256x256."""
    hole = np.zeros((256, 256), bool)
    hole[90 : 90 + side, 90 : 90 + side] = True
    job = job_of(folder, disc(80.0, 256), hole)
    setting = Setting(find_model("natural"), SolverOptions(), lambda _: None)
    return [stage for stage in pose(job, InpaintOptions(), setting).stages() if stage.shared]


@pytest.mark.parametrize("side", [20, 40, 64])
def test_what_d_misses_is_told_to_holes_at_high_noise_only(tmp_path, side):
    """Where it is whole shades; at less noise it would be detail."""
    shades, *others = guide_of(tmp_path, side)
    assert isinstance(shades.operator, JoinedInpaint)
    assert not any(isinstance(stage.operator, JoinedInpaint) for stage in others)
    assert shades.s_start > shades.s_end == others[0].s_start
    assert shades.start.shape == others[0].start.shape
    assert shades.weight == others[0].weight


def test_in_pictures_that_were_halved_often_it_is_told_at_all_noise(tmp_path, monkeypatch):
    monkeypatch.setattr(guide, "FAR", 3)
    stages = guide_of(tmp_path, 64)
    kinds = [isinstance(stage.operator, JoinedInpaint) for stage in stages]
    assert kinds == [True, False, False]
    assert stages[0].s_end == stages[-1].s_end


@pytest.mark.parametrize("size", [(40, 52), (41, 53)])
def test_an_enlarged_area_is_that_of_the_enlarged_picture(size):
    height, width = size
    x = torch.rand(1, 3, -(-height // 2), -(-width // 2))
    whole = enlarged(x, slice(0, height), slice(0, width))
    assert whole.shape == (1, 3, height, width)
    for rows, columns in ((slice(0, 9), slice(3, 30)), (slice(11, height), slice(17, width))):
        part = enlarged(x, rows, columns)
        assert torch.allclose(part, whole[:, :, rows, columns], atol=1e-6)


def test_the_finer_picture_keeps_what_it_knows():
    x = torch.rand(1, 1, 20, 22)
    known = torch.ones(1, 1, 20, 22)
    known[..., 5:15, 5:15] = 0
    (small,) = halvings(x, known, known[0, 0] == 0, 1)
    (fine,) = halvings(
        torch.rand(1, 1, 40, 44),
        known.repeat_interleave(2, 2).repeat_interleave(2, 3),
        torch.zeros(40, 44, dtype=torch.bool),
        1,
    )
    result = finer(small.x, fine)
    assert torch.equal(result[fine.known == 1], fine.x[fine.known == 1])
    guessed = enlarged(small.x, slice(0, 20), slice(0, 22))
    assert torch.equal(result[fine.known == 0], guessed[fine.known == 0])


@pytest.mark.parametrize(
    ("thickness", "shape", "count"),
    [
        (14, (400, 600), 1),
        (24, (400, 600), 1),
        (26, (400, 600), 2),
        (100, (400, 600), 4),
        (100, (150, 600), 3),  # 150 / 16 would be fewer than 16 pixels
        (14, (20, 20), 1),  # once, in any case
    ],
)
def test_halved_until_the_hole_is_narrow(thickness, shape, count):
    assert levels_to_narrow(thickness, 12, shape, 16) == count


HOLE = torch.zeros(90, 90, dtype=torch.bool)
HOLE[30:60, 30:60] = True
FLAT = torch.full((3, 90, 90), 0.4)
NOISE = torch.randn(3, 90, 90, generator=torch.Generator().manual_seed(0))


def heed_of(guide, hole=HOLE):
    """How much of a guide counts where it is sharp, in the middle of the hole."""
    return float(comparable(guide, hole)[1][0, 45, 45])


def test_what_patches_are_compared_with():
    guide, heed = comparable(FLAT, HOLE)
    assert torch.allclose(guide, FLAT.repeat(2, 1, 1), atol=1e-5)
    assert torch.equal(heed[0], torch.full((90, 90), WEIGHT))
    checks = FLAT + 0.5 * (torch.arange(90) // 2 % 2)
    sharp, large = comparable(checks, HOLE)[0].chunk(2)
    assert float(sharp.std()) > 0.03
    assert float(large[:, 30:60, 30:60].std()) < 1e-3


def test_a_guide_says_less_where_there_is_texture():
    heeds = []
    for strength in (0.1, 0.2, 0.4):
        guide, heed = comparable(torch.where(HOLE, FLAT, FLAT + strength * NOISE), HOLE)
        heeds.append(float(heed[0, 45, 45]))
        assert torch.equal(
            heed[1], torch.full((90, 90), WEIGHT_LARGE)
        )  # in the large all the same
    assert WEIGHT > heeds[0] > heeds[1] > heeds[2] > 0
    assert heeds[0] / heeds[2] == pytest.approx(16, rel=0.2)  # by the square
    # Nor is faint texture flat, if it is everywhere; edges in what is flat are no such texture.
    assert 0 < heed_of(torch.where(HOLE, FLAT, FLAT + 0.05 * NOISE)) < WEIGHT / 2
    assert heed_of(FLAT + 0.5 * (torch.arange(90) % 30 == 0) * ~HOLE) == pytest.approx(WEIGHT)
    # Texture far from the hole says nothing about it.
    assert heed_of(FLAT + 0.8 * NOISE * (torch.arange(90) < 10)) == pytest.approx(WEIGHT)


def test_a_guide_says_less_on_the_side_of_texture():
    on_the_left = FLAT + 0.08 * NOISE * (torch.arange(90) < 45) * ~HOLE
    heed = comparable(on_the_left, HOLE)[1][0]
    assert float(heed[45, 36]) < 0.6 * WEIGHT
    assert float(heed[45, 57]) > 0.9 * WEIGHT


@pytest.mark.parametrize(("across", "heeded"), [(1, True), (40, False)])
def test_an_edge_of_a_guide_counts_if_it_is_sharp(across, heeded):
    """Beside texture that makes little of the guide where it is even."""
    edge = FLAT - 0.8 * ((torch.arange(90) - 45) / across).clamp(-0.5, 0.5)
    guide = torch.where(HOLE, edge, edge + 0.05 * NOISE)
    even = heed_of(torch.where(HOLE, FLAT, FLAT + 0.05 * NOISE))
    assert (heed_of(guide) > 1.5 * even) is heeded
    assert heed_of(guide) <= WEIGHT


def test_surroundings_of_one_value_are_flat():
    """Not divided by: drawings have nothing else."""
    guide, heed = comparable(torch.full((3, 90, 90), -1.0), HOLE)
    assert guide.isfinite().all()
    assert torch.equal(heed[0], torch.full((90, 90), WEIGHT))


def test_a_hole_without_surroundings_has_a_guide_all_the_same():
    everything = torch.ones(20, 20, dtype=torch.bool)
    guide = torch.rand(1, 20, 20)
    shown, heed = comparable(guide, everything)
    assert shown.shape == (2, 20, 20)
    assert shown.isfinite().all()
    assert torch.equal(heed[0], torch.full((20, 20), WEIGHT))
    assert comparable(guide[:0], everything)[0].shape == (0, 20, 20)


def filled_as_guided(border):
    """Light grain on the left, dark grain on the right: the guide says where they meet."""
    grain = 0.1 * torch.randn(3, 80, 100, generator=torch.Generator().manual_seed(0))
    x = torch.where(torch.arange(100) < border, 0.5, -0.5) + grain
    hole = torch.zeros(80, 100, dtype=torch.bool)
    hole[:, 34:66] = True
    guide = torch.where(torch.arange(100) < border, 0.5, -0.5).expand(3, 80, 100)
    guide = torch.where(hole, guide, x)
    emptied = x.masked_fill(hole, 0)
    filled = synthesise(emptied, hole, hole, guide=guide)
    assert torch.equal(filled[:, ~hole], emptied[:, ~hole])
    return filled


@pytest.mark.parametrize("border", [40, 60])
def test_patches_follow_their_guide(border):
    filled = filled_as_guided(border)
    columns = filled.mean((0, 1))
    assert float(columns[34 : border - 4].min()) > 0.25
    assert float(columns[border + 4 : 66].max()) < -0.25
    assert float(filled[:, :, 34 : border - 4].std()) > 0.05  # with the grain that it lacks


def test_patches_follow_their_guide_in_the_large(monkeypatch):
    """Where texture leaves nothing of how sharp it is."""
    monkeypatch.setattr(guiding, "WEIGHT", 0.0)
    light = []
    for weight in (0.0, guiding.WEIGHT_LARGE, 2.0):
        monkeypatch.setattr(guiding, "WEIGHT_LARGE", weight)
        light.append(int((filled_as_guided(62).mean((0, 1))[34:66] > 0).sum()))
    assert light[0] < light[1] < light[2] <= 28


def test_the_prior_closes_an_edge_across_a_wide_hole(tmp_path):
    """Patches alone know no curve that goes on; the guide does."""
    picture = disc()
    hole = np.zeros((SIDE, SIDE), bool)
    hole[6:46, 36:72] = True
    errors = {}
    for wide_hole in ("patches", "guided"):
        card = replace(find_model("natural"), wide_hole=wide_hole)
        output = OutputOptions(overwrite=True)
        machine = MachineOptions(device="cpu", dtype="fp32")
        restorer = Restorer(card, SolverOptions(steps=20), machine, InpaintOptions(), output)
        restorer.restore(job_of(tmp_path, picture, hole), lambda *_: None, lambda _: None)
        restored = np.asarray(Image.open(tmp_path / "o.png")).astype(float)
        assert np.array_equal(restored[~hole], picture[~hole])
        errors[wide_hole] = np.sqrt(np.square(restored - picture)[hole].mean())
    assert errors["guided"] < 0.8 * errors["patches"]


@pytest.fixture
def posed(tmp_path):
    def make(solver, picture=None, hole=None, tile=None):
        picture = disc() if picture is None else picture
        if hole is None:
            hole = np.zeros((SIDE, SIDE), bool)
            hole[30:62, 30:62] = True
        setting = Setting(find_model("natural"), solver, lambda _: None, MachineOptions(tile=tile))
        return pose(job_of(tmp_path, picture, hole), InpaintOptions(), setting)

    return make


@pytest.mark.parametrize(("tile", "side"), [(None, 96), (0, 96), (95, 64), (64, 64), (32, 32)])
def test_no_window_is_larger_than_asked_for(posed, tile, side):
    """Of thin holes and wide ones, and of the guide's sizes."""
    scattered = np.zeros((SIDE, SIDE), bool)
    scattered[::8, ::8] = True
    (thin,) = posed(SolverOptions(), hole=scattered, tile=tile).stages()
    assert tuple(thin.view.index.shape[1:]) == (side, side)
    for stage in posed(SolverOptions(), tile=tile).stages():
        assert max(stage.view.index.shape[1:]) <= (tile or SIDE)


def test_sizes_are_solved_from_small_to_half(posed):
    sides = []
    problem = posed(SolverOptions())
    for stage in problem.stages():
        if stage.shared:
            sides.append(stage.start.shape[3])
        problem.accept(stage, stage.start)
    assert sides == [24 * 24, 24 * 24, 48 * 48]  # the smallest in two ranges of noise


def test_a_guide_does_not_jump_where_its_hole_begins(tmp_path):
    """What the network misses of known pixels is not left as a step around the hole."""
    stage = guide_of(tmp_path, 64)[0]
    rows = torch.cat([stage.start, stage.start.flip(1)])  # of two pictures, each by itself
    mu = stage.operator.data_step(rows - 0.3, stage.y, 1e-4)
    assert torch.equal(mu[:1], stage.operator.data_step(rows[:1] - 0.3, stage.y, 1e-4))
    canvas = torch.zeros(1, 3, 32, 32)
    missed = stage.view.put(canvas, mu[:1] - stage.start)[0].mean(0)
    known = stage.view.put(canvas[:, :1], stage.operator.known)[0, 0] == 1
    assert float(missed[known].abs().max()) < 1e-3
    begins = (known[:, 1:] != known[:, :-1]).nonzero().unbind(1)
    assert float((missed[:, 1:] - missed[:, :-1])[begins].abs().max()) < 0.1


@pytest.mark.parametrize(
    "asked",
    [
        SolverOptions(method="dps", seed=5, prior_weight=2.0, s_start=1.0),
        SolverOptions(samples=4, seed=5, s_start=3.0),
        SolverOptions(preset="best", seed=5),
    ],
)
def test_what_methods_share_does_not_depend_on_the_method(posed, asked):
    first = next(iter(posed(asked).stages()))
    usual = next(iter(posed(SolverOptions(seed=5)).stages()))
    assert first.shared == usual.shared > 0
    assert solver_of(first, asked) == solver_of(usual, SolverOptions(seed=5))
    assert solver_of(first, asked).annealed
    assert (first.s_start, first.weight) == (usual.s_start, usual.weight)


def test_own_stages_are_solved_as_asked(posed):
    asked = SolverOptions(method="dps")
    own = [s for s in posed(asked).stages() if not s.shared]
    assert [solver_of(stage, asked) for stage in own] == [asked]


def test_the_published_form_has_no_guide(posed):
    assert not any(stage.shared for stage in posed(SolverOptions(preset="paper")).stages())


def test_scattered_pixels_are_not_forgotten_at_small_sizes(posed):
    """Every 16th of every 16th row is known, and nothing else: small sizes are made of it."""
    picture = np.tile(np.uint8([[[200, 60, 20]]]), (64, 64, 1))
    hole = np.ones((64, 64), bool)
    hole[7::16, 7::16] = False
    first = next(iter(posed(SolverOptions(), picture, hole).stages()))
    assert int(first.operator.known.sum()) == 16
    at_known = first.y[0, :, 0][:, first.operator.known[0, 0, 0] == 1]
    colour = torch.tensor([200, 60, 20]) / 127.5 - 1
    assert torch.allclose(at_known, colour[:, None].expand_as(at_known), atol=1e-6)


def test_where_no_patch_fits_the_guess_stays(posed):
    """A picture that has no 7x7 patch outside of its hole."""
    picture = disc(radius=8.0, side=24)
    hole = np.zeros((24, 24), bool)
    hole[4:20, 4:20] = True
    problem = posed(SolverOptions(), picture, hole)
    last: Stage | None = None
    for stage in problem.stages():
        last = stage
        problem.accept(stage, torch.full_like(stage.start, 0.25) if stage.shared else stage.start)
    assert last is not None
    assert not last.shared
    guessed = last.start[0, :, 0].view(3, 24, 24)[:, 8:16, 8:16]
    assert torch.allclose(guessed, torch.full_like(guessed, 0.25), atol=1e-5)


def test_a_preview_shows_the_guess_in_the_whole_picture(posed):
    problem = posed(SolverOptions())
    stage = next(iter(problem.stages()))
    shown = problem.preview(stage, torch.full_like(stage.start, 1.0))
    assert shown.pixels.shape == (SIDE, SIDE, 3)
    assert shown.pixels[40:52, 40:52].min() > 0.95
    assert np.allclose(shown.pixels[:20], disc()[:20] / 255, atol=1e-6)


def test_samples_share_their_guide(tmp_path):
    """It is made once, and what has been solved for each sample is the rest alone."""
    hole = np.zeros((SIDE, SIDE), bool)
    hole[30:62, 30:62] = True
    solver = SolverOptions(steps=2, samples=3)
    machine, output = MachineOptions(device="cpu"), OutputOptions()
    restorer = Restorer(find_model("natural"), solver, machine, InpaintOptions(), output)
    rows = []
    watched = restorer.solve

    def solve(stage, *rest):
        mu, residual = watched(stage, *rest)
        rows.append((bool(stage.shared), len(mu)))
        return mu, residual

    restorer.solve = solve
    restorer.restore(job_of(tmp_path, disc(), hole), lambda *_: None, lambda _: None)
    assert rows == [(True, 1), (True, 1), (True, 1), (False, 3)]
    spread = np.load(tmp_path / "o.std.npy")
    assert spread[hole].max() > 0
    assert spread[~hole].max() < 1e-6


def test_evaluation_counts_what_methods_do_not_share(tmp_path):
    Image.fromarray(disc()).save(tmp_path / "p.png")
    command = ["eval", "inpaint", tmp_path / "p.png", "-o", tmp_path / "scores", "--device", "cpu"]
    command += ["--hole", "box:32", "--noise", "0", "--crop", str(SIDE)]
    reddiff(*command, "--method", "reddiff:4,ddrm:3")
    rows = json.loads((tmp_path / "scores" / "eval.json").read_text())["rows"]
    assert [row["evaluations"] for row in rows] == [0, 4, 3]


@pytest.fixture
def composed(tmp_path):
    """A damaged disc with a hole."""

    def make(text, solver, side=32, **card):
        hole = np.zeros((SIDE, SIDE), bool)
        hole[30 : 30 + side, 40 : 40 + side] = True
        job = job_of(tmp_path, disc(), hole)
        options = parse_degrade(f"{text}mask {tmp_path / 'm.png'} | noise 0.01")
        setting = Setting(replace(find_model("natural"), **card), solver, lambda _: None)
        return pose(job, options, setting), hole

    return make


@pytest.mark.parametrize("text", ["down 2 | ", "blur gaussian:1 | ", "grey | ", ""])
def test_wide_holes_of_compositions_are_filled_first(composed, text):
    problem, hole = composed(text, SolverOptions(steps=20))
    stages = []
    for stage in problem.stages():
        stages.append(stage)
        problem.accept(stage, torch.full_like(stage.start, 0.25) if stage.shared else stage.start)
    *guide, last = stages
    assert guide
    assert all(stage.shared and isinstance(stage.operator, Inpaint) for stage in guide)
    known = last.operator.parts[-1].known[0, 0].numpy()
    assert (known[~hole] == 1).all()
    assert ((known[hole] > 0) & (known[hole] < 1)).all()
    y = last.y / torch.from_numpy(known).sqrt()
    assert torch.equal(y[:, :, ~torch.from_numpy(hole)], problem.y[:, :, ~torch.from_numpy(hole)])
    large = 2 if "down" in text else 1
    assert problem.finish().pixels.shape == (large * SIDE, large * SIDE, 3)


def test_a_preview_of_a_composition_has_the_size_of_its_result(composed):
    problem, _ = composed("down 2 | ", SolverOptions(steps=20))
    stage = next(iter(problem.stages()))
    shown = problem.preview(stage, torch.full_like(stage.start, 1.0))
    assert shown.pixels.shape == (2 * SIDE, 2 * SIDE, 3)
    assert shown.pixels[88:96, 108:116].min() > 0.95


@pytest.mark.parametrize(
    ("solver", "side", "card"),
    [
        (SolverOptions(), 5, {}),
        (SolverOptions(preset="paper"), 32, {}),
        (SolverOptions(), 32, {"wide_hole": "prior"}),
    ],
)
def test_other_holes_of_compositions_stay_behind_their_mask(composed, solver, side, card):
    problem, hole = composed("down 2 | ", solver, side=side, **card)
    (stage,) = problem.stages()
    assert isinstance(stage.operator.parts[-1], Inpaint)
    assert not stage.y[0, :, torch.from_numpy(hole)].any()


def test_methods_believe_patches_by_their_noise_alone(composed):
    """They know no weight of the prior against which to weigh them."""
    shares = []
    for solver in (SolverOptions(method="diffpir"), SolverOptions(steps=20)):
        problem, hole = composed("down 2 | ", solver)
        for stage in problem.stages():
            problem.accept(stage, stage.start)
        assert isinstance(stage.operator.parts[-1], Whitened)
        shares.append(float(stage.operator.parts[-1].known[0, 0][torch.from_numpy(hole)].max()))
    card = find_model("natural")
    assert shares[0] == pytest.approx((0.02 / card.wide_noise) ** 2, rel=1e-4)
    assert shares[1] == pytest.approx(shares[0] * card.prior_weights["restore"], rel=1e-4)


def test_a_hole_in_a_small_picture_is_closed(tmp_path):
    """The disc goes on behind the hole of its reduced copy; alone the prior makes a blotch."""
    large = disc(60.0, 2 * SIDE)
    small = np.asarray(Image.fromarray(large).resize((SIDE, SIDE), Image.Resampling.BOX))
    hole = np.zeros((SIDE, SIDE), bool)
    hole[6:46, 36:72] = True
    job = replace(job_of(tmp_path, small, hole), task="restore")
    options = parse_degrade(f"down 2 box | mask {tmp_path / 'm.png'} | noise 0")
    errors = {}
    for wide_hole in ("prior", "guided"):
        card = replace(find_model("natural"), wide_hole=wide_hole)
        machine, output = MachineOptions(device="cpu"), OutputOptions(overwrite=True)
        restorer = Restorer(card, SolverOptions(steps=10), machine, options, output)
        restorer.restore(job, lambda *_: None, lambda _: None)
        restored = np.asarray(Image.open(tmp_path / "o.png")).astype(float)
        behind = hole.repeat(2, 0).repeat(2, 1)
        errors[wide_hole] = np.sqrt(np.square(restored - large)[behind].mean())
    assert errors["guided"] < 0.85 * errors["prior"]
