"""`reddiff bench`: its figures hang together, and it refuses what it cannot measure."""

import json

import pytest
import torch
from typer.testing import CliRunner

from conftest import reddiff, save_random_prior
from reddiff_cli.bench import SOLVED, Loop, in_turns, make_stage, measure, measure_loop, solve
from reddiff_cli.checkpoints.cards import Card
from reddiff_cli.checkpoints.folders import CONFIG
from reddiff_cli.cli import app
from reddiff_cli.denoisers.denoiser import load_denoiser
from reddiff_cli.errors import UsageError
from reddiff_cli.networks.network import build, new_config, save_prior

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def card(tiny_prior):
    return Card("tiny", tiny_prior)


def test_overhead_is_the_middle_ratio_of_turns_side_by_side():
    # The machine was ten times slower in the second turn: that is no overhead.
    loop = Loop("denoise", [1.1, 11.0, 1.2], [1.0, 10.0, 1.0])
    assert loop.overhead == pytest.approx(10.0)


def test_calls_take_turns():
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = in_turns(calls, 3, CPU)
    assert order == ["a", "b"] * 3
    assert [len(v) for v in seconds.values()] == [3, 3]
    assert min(min(v) for v in seconds.values()) >= 0


@pytest.mark.parametrize("task", SOLVED)
def test_the_measured_loop_restores(task, card):
    """What is timed is the solver at work: it ends near the measurement, at the right size."""
    stage = make_stage(task, 32, card)
    denoiser = load_denoiser(card.folder, CPU, torch.float32)
    steps = list(solve(stage, task, denoiser, card, 20))
    done = {"denoise": range(1, 21), "inpaint": [*range(2, 17, 2), *range(17, 21)]}
    assert [k for k, _ in steps] == list(done.get(task, range(2, 21, 2)))
    assert steps[-1][1].shape == stage.start.shape
    assert stage.residual(steps[-1][1]) < 0.1


@pytest.mark.parametrize(("task", "rows"), [("denoise", 1), ("inpaint", 2), ("deblur", 2)])
def test_network_and_loop_are_measured_equally_often(task, rows, card, monkeypatch):
    """And on as many rows at once: every step that is timed asks for those of a bare call."""
    denoiser, seen = load_denoiser(card.folder, CPU, torch.float32), []
    forward = denoiser.network.forward

    def watched(x, t, *more, **named):
        seen.append(len(x))
        return forward(x, t, *more, **named)

    monkeypatch.setattr(denoiser.network, "forward", watched)
    found = measure_loop(task, denoiser, card, 32, 14)
    assert len(found.loop) == len(found.network) == 14
    assert seen == [rows] * 30 and found.rows == rows


def test_a_grey_prior_sees_in_the_loop_what_it_sees_alone(tmp_path, monkeypatch):
    """Three channels of a scene are three pictures for it: that was an overhead of 190 %."""
    config = new_config((8, 8), 1, 16, 1, 8) | {"in_channels": 1, "out_channels": 1}
    save_prior(tmp_path, config, build(config).unet.state_dict(), "epsilon")
    denoiser, seen = load_denoiser(tmp_path, CPU, torch.float32), []
    forward = denoiser.network.forward

    def watched(x, t):
        seen.append(tuple(x.shape))
        return forward(x, t)

    monkeypatch.setattr(denoiser.network, "forward", watched)
    for task in SOLVED:
        seen.clear()
        found = measure_loop(task, denoiser, Card("grey", tmp_path), 32, 2)
        assert len(set(seen)) == 1, task
        assert seen[0][:2] == (found.rows, 1)


def test_facts(card):
    facts = measure(card, CPU, torch.float32, size=32, repeats=2)
    assert [row["batch"] for row in facts["evaluations"]] == [1, 4, 8]
    assert [row["task"] for row in facts["loops"]] == list(SOLVED)
    slowest = max(row["loop_seconds"] for row in facts["loops"])
    fastest = min(row["loop_seconds"] for row in facts["loops"])
    # 50 evaluations of the standard preset, at a speed between the slowest and the fastest task.
    assert 60 / (50 * slowest + 1e-3) <= facts["pictures_per_minute"] <= 60 / (50 * fastest - 1e-3)
    assert facts["dtype"] == "float32"
    assert facts["peak_memory_mb"] > 10


def test_command(tiny_prior):
    asked = ["bench", "--model", str(tiny_prior), "--size", "32", "--repeats", "1"]
    facts = json.loads(reddiff(*asked, "--device", "cpu", "--json")[0])
    assert facts["event"] == "bench"
    assert facts["import_seconds"] >= facts["torch_import_seconds"] >= 0
    shown, _ = reddiff(*asked, "--device", "cpu")
    assert "pictures per minute" in shown
    assert all(task in shown for task in SOLVED)


@pytest.mark.parametrize(("least", "side"), [(64, 64), (32, 256)])
def test_a_prior_is_timed_on_what_it_is_shown(tmp_path, monkeypatch, least, side):
    """One with attention is shown windows of the size that it was trained on only."""
    prior = save_random_prior(tmp_path / "p")
    (prior / "card.json").write_text(json.dumps({"window": 64, "smallest": least}))
    sizes = []

    def measured(*_, size, **__):
        sizes.append(size)
        raise UsageError("enough")

    monkeypatch.setattr("reddiff_cli.bench.measure", measured)
    reddiff("bench", "--model", prior, "--device", "cpu", code=2)
    assert sizes == [side]


def test_pictures_that_do_not_fit_into_memory_are_one_line(tiny_prior, monkeypatch):
    def measured(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("reddiff_cli.bench.measure", measured)
    asked = ["bench", "--model", str(tiny_prior), "--device", "cpu", "--size", "64"]
    _, stderr = reddiff(*asked, code=2)
    assert stderr == "error: --size 64: out of memory; give a smaller --size\n"


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_the_type_that_was_asked_for_is_measured(tiny_prior, monkeypatch, name, dtype):
    def measured(card, device, dtype, **_):
        seen.append(dtype)
        raise UsageError("enough")

    seen = []
    monkeypatch.setattr("reddiff_cli.bench.measure", measured)
    asked = ["bench", "--model", str(tiny_prior), "--device", "cpu", "--dtype", name]
    assert "enough" in CliRunner().invoke(app, asked).stderr
    assert seen == [dtype]


def test_a_damaged_prior_is_one_line(tmp_path):
    folder = save_random_prior(tmp_path / "p")
    config = json.loads((folder / CONFIG).read_text())
    del config["in_channels"]
    (folder / CONFIG).write_text(json.dumps(config))
    _, stderr = reddiff("bench", "--model", folder, "--device", "cpu", code=3)
    assert stderr.startswith("error: config.json: in_channels is missing")


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--size", "30"], 2),
        (["--repeats", "0"], 2),
        (["--dtype", "fp8"], 2),
        (["--model", "no/such"], 3),
    ],
)
def test_refusals(flags, code):
    result = CliRunner().invoke(app, ["bench", *flags], env={"HF_HUB_OFFLINE": "1"})
    assert result.exit_code == code, result.output
