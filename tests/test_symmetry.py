"""Turned pictures: every turn is undone, all are visited, and only our solver asks for them."""

import pytest
import torch

from reddiff_cli.checkpoints import cards
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.denoisers.symmetry import CHOICES, TURNS, turned
from reddiff_cli.methods import Solving
from reddiff_cli.operators import Inpaint
from reddiff_cli.options.common import SolverOptions
from reddiff_cli.schedule import linear_betas
from reddiff_cli.tasks import Stage
from reddiff_cli.tiling import Whole


def plane(height=4, width=4):
    """A picture that has no symmetry of its own."""
    return torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)


def ramp(z, t):
    """A network that is wrong in one direction only: right, and less so at the top."""
    rows, columns = torch.arange(z.shape[2])[:, None], torch.arange(z.shape[3])
    return z + columns + 0.1 * rows.square()


class Seeing:
    """D = z; remembers what it was shown."""

    device, schedule = torch.device("cpu"), linear_betas()

    def __init__(self):
        self.seen = []

    def __call__(self, z, t):
        self.seen.append(z.clone())
        return z


def distinct(pictures):
    return {tuple(x.flatten().tolist()) for x in pictures}


def test_turns_are_all_eight_and_are_undone():
    x = plane()
    assert len(distinct(turn(x) for turn in TURNS)) == 8
    for turn in TURNS:
        assert torch.equal(turn.back(turn(x)), x)
        oblong = plane(3, 5)
        assert torch.equal(turn.back(turn(oblong)), oblong)


def test_neighbouring_turns_differ_in_two_ways():
    for a, b in zip(TURNS, TURNS[1:] + TURNS[:1], strict=True):
        pairs = [(a.transposed, b.transposed), (a.across, b.across), (a.down, b.down)]
        assert sum(one != other for one, other in pairs) >= 2


def test_errors_of_direction_cancel_over_eight_steps():
    z = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    network = turned(ramp, "all")
    errors = sum(network(z, torch.full((2,), t)) - z for t in range(100, 20, -10))
    for turn in TURNS:
        torch.testing.assert_close(turn(errors), errors)
    # A single look, always upright, has them all.
    upright = ramp(z, None) - z
    assert not torch.allclose(upright.flip(3), upright)


def test_windows_of_a_step_are_turned_alike_and_keep_their_shape():
    network, x, t = Seeing(), plane(4, 6), torch.tensor([9])

    def two_windows(denoiser, z, t):
        return (denoiser(z, t) + denoiser(z, t)) / 2

    step = turned(network, "all", two_windows)
    for _ in range(4):
        assert torch.equal(step(x, t), x)
    assert all(seen.shape == x.shape for seen in network.seen)
    for one, other in zip(network.seen[::2], network.seen[1::2], strict=True):
        assert torch.equal(one, other)
    assert len(distinct(network.seen)) == 4


def test_choices_of_a_card():
    assert tuple(CHOICES) == cards.TURNS
    x = plane(3, 5)
    upright, mirrored = CHOICES["mirror"]
    assert torch.equal(upright(x), x)
    assert torch.equal(mirrored(x), x.flip(3))
    assert [len(turns) for turns in CHOICES.values()] == [8, 2, 1]


@pytest.mark.parametrize(
    ("method", "preset", "turns", "views"),
    [
        ("reddiff", "standard", "all", 8),
        ("reddiff", "standard", "mirror", 2),
        ("reddiff", "standard", "none", 1),
        ("reddiff", "paper", "all", 1),
        ("diffpir", "standard", "all", 1),
    ],
)
def test_our_form_alone_is_turned(method, preset, turns, views):
    """Published methods stay what was published. All known, no noise, one level for all steps."""
    network, y = Seeing(), plane(8, 8).expand(1, 3, 8, 8) / 32 - 1
    stage = Stage(Whole(0), Inpaint(torch.ones_like(y)), y, y, s_start=0.03, sigma_y=0.0)
    solver = SolverOptions(method=method, preset=preset, steps=40)
    silence = torch.zeros_like(y)
    card = Card("none", None, turns=turns)
    for _ in Solving("inpaint", stage, y, lambda: silence, network, card, solver).run():
        pass
    brightest = {tuple(z[0, 0].flatten().topk(2).indices.tolist()) for z in network.seen}
    assert len(brightest) == views
