"""Recording and replaying a function of fixed shapes, on the CPU by running it anew."""

import torch

from conftest import save_random_prior
from reddiff_cli.denoisers.denoiser import load_denoiser
from reddiff_cli.networks.replay import GRAPHS, Replay

CPU = torch.device("cpu")


def test_every_call_sees_its_own_input_and_has_its_own_output():
    replay = Replay(lambda x, t: x * t[:, None])
    x, t = torch.ones(2, 3), torch.tensor([2, 5])
    first = replay(x, t)
    second = replay(3 * x, t + 1)
    assert first.tolist() == [[2.0] * 3, [5.0] * 3]
    assert second.tolist() == [[9.0] * 3, [18.0] * 3]
    assert torch.equal(x, torch.ones(2, 3))
    second.add_(1)
    assert replay(3 * x, t + 1).tolist() == [[9.0] * 3, [18.0] * 3]


def test_shapes_and_types_are_apart_and_few_are_kept():
    calls = []

    def function(x, t):
        calls.append(x.shape)
        return x + 1

    replay = Replay(function)
    for side in range(1, GRAPHS + 4):
        for dtype in (torch.float32, torch.float64):
            x = torch.full((side,), float(side), dtype=dtype)
            out = replay(x, torch.tensor([0]))
            assert torch.equal(out, x + 1)
            assert out.dtype == dtype
    assert len(replay._tapes) == GRAPHS


def test_denoiser_with_and_without(tmp_path):
    folder = save_random_prior(tmp_path / "p")
    plain = load_denoiser(folder, CPU, torch.float32)
    replayed = load_denoiser(folder, CPU, torch.float32, graphs=True)
    assert "graph" in replayed.path
    assert "graph" not in plain.path
    for t in (3, 700, 3):
        z, steps = torch.randn(2, 3, 20, 24), torch.full((2,), t)
        assert torch.equal(replayed(z, steps), plain(z, steps))
        seen = z.clone().requires_grad_()
        replayed.recorded(seen, steps).sum().backward()
        assert float(seen.grad.abs().sum()) > 0
