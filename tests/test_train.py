"""Training: a folder that can be used at once, exact resume, honest validation."""

import errno
import inspect
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock
from time import sleep

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from conftest import scene
from memory_used import peak_of_arrays
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.cli import app
from reddiff_cli.commands.train import train as command
from reddiff_cli.denoisers.denoiser import load_denoiser
from reddiff_cli.errors import ModelMissing, ReddiffError, UsageError
from reddiff_cli.formats.samples import rounded, scaled
from reddiff_cli.machine.computing import cpu_has_bf16
from reddiff_cli.metrics import psnr
from reddiff_cli.networks.network import build, load_prior, new_config, save_prior
from reddiff_cli.pictures.display import for_display
from reddiff_cli.pictures.files import Picture, load_eight_bits, load_picture, save_picture
from reddiff_cli.reporting.progress import TrainReporter
from reddiff_cli.schedule import linear_betas
from reddiff_cli.training import photographs
from reddiff_cli.training.loss import FOCUS, Batch, denoising_loss, draw_batch, draw_levels
from reddiff_cli.training.model_card import model_card
from reddiff_cli.training.optimisers import make_optimiser, make_recordable, set_rate
from reddiff_cli.training.options import TrainOptions
from reddiff_cli.training.photographs import draw_crops, flatten_some, read_photographs
from reddiff_cli.training.recorded_step import RecordedStep
from reddiff_cli.training.train import _lr_factor, _update_average, train, train_step
from reddiff_cli.training.trainer import Trainer, new_trainer
from reddiff_cli.training.validation import SIGMAS, colour_error, denoising_psnr

CPU = torch.device("cpu")


@pytest.mark.parametrize(("flags", "told"), [([], False), (["-v"], True), (["-v", "-q"], False)])
def test_what_a_run_is_made_with_is_told_with_v(folder, tmp_path, flags, told):
    small = ["--size", "16", "--channels", "8,8", "--layers", "1", "--batch", "2", "--steps", "1"]
    words = ["train", str(folder), "-o", str(tmp_path / "p"), "--device", "cpu", *small, *flags]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    dtype = "bf16" if cpu_has_bf16() else "fp32"
    line = f"on cpu, products in {dtype}, 2 crops of 16x16 a step"
    assert (line in result.stderr) == told


def test_a_batch_that_does_not_fit_into_memory_is_one_line(folder, tmp_path, monkeypatch):
    """And leaves no run behind that would have to be resumed."""

    def drawn(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    small = ["--size", "16", "--channels", "8,8", "--layers", "1", "--batch", "2", "--steps", "1"]
    words = ["train", str(folder), "-o", str(tmp_path / "p"), "--device", "cpu", *small]
    with monkeypatch.context() as patches:
        patches.setattr("reddiff_cli.training.train.draw_crops", drawn)
        result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    told = "error: --batch 2 --size 16: out of memory; give a smaller --batch or --size\n"
    assert result.stderr.endswith(told)
    assert CliRunner().invoke(app, words).exit_code == 0


def test_the_loss_is_shown_as_it_is_given():
    """It is a running mean already; GPUs tell of every twentieth step, and a run may go on."""
    reporter = TrainReporter(quiet=True)
    reporter.step(2020, 0.5, 0.1)
    (bar,) = reporter.progress.tasks
    assert (bar.fields["step"], bar.fields["loss"], bar.completed) == (2020, 0.5, 0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    (root / "train").mkdir()
    for k in range(4):
        Image.fromarray(scene(80, 90, seed=k)).save(root / "train" / f"{k}.png")
    (root / "train" / "broken.png").write_text("no picture")
    (root / "SOURCES.csv").write_text("file,source,licence\ntrain/0.png,us,CC0-1.0\n")
    return root / "train"


def options(folder, output, **changes):
    small = TrainOptions(
        folder,
        output,
        size=16,
        channels=(8, 8),
        layers=1,
        batch=2,
        steps=2,
        warmup=1,
        checkpoint_minutes=0.0,
    )
    return replace(small, **changes)


def run(settings):
    notes = []
    return train(settings, CPU, lambda *_: None, notes.append), notes


def assert_same_weights(first, second):
    one, two = (load_file(p / "diffusion_pytorch_model.safetensors") for p in (first, second))
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(one[key], two[key], atol=1e-6, rtol=1e-5)


def test_photographs_of_all_kinds_are_the_bytes_that_their_files_hold(tmp_path):
    values = scene(40, 50)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values[..., 0]).save(tmp_path / "b.png")
    Image.fromarray(np.dstack([values, np.full((40, 50), 255, np.uint8)])).save(tmp_path / "c.png")
    Image.fromarray(np.dstack([values, np.full((40, 50), 254, np.uint8)])).save(tmp_path / "d.png")
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation.value] = 6
    Image.fromarray(values).save(tmp_path / "e.png", exif=turned)
    save_picture(Picture(scaled(values, 255), depth=16), tmp_path / "f.png", None)
    (tmp_path / "g.png").write_text("no picture")
    read = read_photographs(tmp_path, 32)
    assert read.names == ["a.png", "b.png", "c.png", "e.png", "f.png"]
    planes = torch.from_numpy(values).permute(2, 0, 1)
    expected = [planes, planes[:1].expand(3, -1, -1), planes, planes.rot90(-1, (1, 2)), planes]
    assert all(torch.equal(p, e) for p, e in zip(read.pixels, expected, strict=True))
    told = ["d.png: has transparent pixels", "g.png: not a picture"]
    assert [t in line for t, line in zip(told, read.unreadable, strict=True)] == [True, True]


@pytest.mark.parametrize("peak", [0.004, 0.7, 4095.0])
def test_light_is_learned_as_tasks_show_it(tmp_path, peak):
    """Over its peak where that is above white or far below it."""
    light = (scene(40, 50) / 250 * peak).astype(np.float32)
    for name in ("a.tif", "b.exr"):
        save_picture(Picture(light, depth=32), tmp_path / name, None)
    shown = rounded(for_display(load_picture(tmp_path / "a.tif")), 8)
    for pixels in read_photographs(tmp_path, 32).pixels:
        assert np.array_equal(pixels.permute(1, 2, 0).numpy(), shown)
        assert len(pixels.unique()) > 100


def test_twelve_bits_in_sixteen_are_learned_as_tasks_show_them(tmp_path):
    values = np.rint(scene(40, 50, 1)[:, :, None] / 250 * 4095) / 65535
    save_picture(Picture(values.astype(np.float32), depth=16), tmp_path / "a.png", None)
    (pixels,) = read_photographs(tmp_path, 32).pixels
    assert np.array_equal(pixels[0].numpy(), rounded((8 * values).astype(np.float32), 8)[:, :, 0])


def test_pictures_that_are_mostly_white_are_told(tmp_path):
    cut = np.where(scene(80, 90) > 60, 255, scene(80, 90)).astype(np.uint8)
    for name, values in (("a.png", scene(80, 90)), ("b.png", cut), ("c.png", cut)):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(values).save(tmp_path / "photos" / name)
    _, notes = run(options(tmp_path / "photos", tmp_path / "p"))
    (told,) = [note for note in notes if "white" in note]
    assert told.startswith("warning: 2 pictures") and "b.png" in told


def test_photographs_are_held_as_bytes_and_once(tmp_path, monkeypatch):
    for k in range(6):
        Image.fromarray(scene(500, 500)).save(tmp_path / f"{k}.png")
    monkeypatch.setattr(photographs, "LARGE", 0)
    monkeypatch.setattr(photographs, "FEW", 2)
    count, most, lock = 0, 0, Lock()

    def loaded(path):
        nonlocal count, most
        with lock:
            count += 1
            most = max(most, count)
        sleep(0.01)
        values = load_eight_bits(path)
        with lock:
            count -= 1
        return values

    monkeypatch.setattr(photographs, "load_eight_bits", loaded)
    # Those that are there as bytes, and three at once on their way.
    peak = peak_of_arrays(lambda: read_photographs(tmp_path, 32))
    assert peak < (6 + 3 * 2) * 3 * 500**2
    assert most <= 2
    parts = [torch.full((3, 2, 2), k, dtype=torch.uint8) for k in range(3)]
    assert photographs._joined(parts).tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert parts == []


def test_folder_can_be_used_at_once(folder, tmp_path):
    output, notes = run(options(folder, tmp_path / "p", turns="all"))
    clean = load_denoiser(output, CPU, torch.float32)(torch.randn(1, 3, 16, 16), torch.tensor([9]))
    assert bool(clean.isfinite().all())
    content = json.loads((output / "training.json").read_text())
    assert content["steps"] == 2
    assert content["settings"]["batch"] == 2
    config = json.loads((output / "config.json").read_text())
    assert config["highest_timestep"] == 731  # the first beyond s = 15
    assert config["zero_mean"] is True
    assert "train/0.png: us (CC0-1.0)" in (output / "README.md").read_text()
    assert "4 pictures" in notes[0]
    assert notes[-1].startswith(f"{output}: 2 steps, loss ")
    assert notes[-1].endswith(f"; --model {output} takes it")
    assert any("broken.png" in note for note in notes)
    assert find_model(str(output)).turns == "all"  # as the crops were shown
    rights = {path.stat().st_mode for path in output.glob("*.*") if path.suffix != ".pt"}
    assert len(rights) == 1  # weights are for all who may read the configuration


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"name,url\np/0.png,us\n", ""),
        (b"file,source,licence\np/0.png,J\xf6rg,CC0\n", "- p/0.png: J\ufffdrg (CC0)"),
        (b"\xef\xbb\xbffile,source\np/0.png\np/1.png,us,x\n", "- p/0.png\n- p/1.png: us"),
        (b"file,source\np/0.png," + b"x" * 200_000, "SOURCES.csv: cannot be read"),
    ],
)
def test_a_table_of_sources_may_be_anybody_s(tmp_path, content, told):
    (tmp_path / "SOURCES.csv").write_bytes(content)
    (tmp_path / "p").mkdir()
    card = model_card(options(tmp_path / "p", tmp_path / "prior"), 2, 60.0, [])
    assert told in card
    assert ("## Photographs" in card) == bool(told)


def test_the_shape_of_natural_is_the_default(folder, tmp_path):
    """So that `--init natural` needs no other flag."""
    asked = TrainOptions(folder, tmp_path, steps=1)
    ours = new_config(asked.channels, asked.layers, 128, asked.unshuffle, asked.groups)
    theirs = load_prior(find_model("natural").folder).network.config
    assert ours.items() <= theirs.items()


def test_the_command_has_the_defaults_of_a_run(folder, tmp_path):
    asked = TrainOptions(folder, tmp_path, steps=1)
    flags = inspect.signature(command).parameters
    for name in flags.keys() & vars(asked).keys() - {"folder", "output", "steps", "channels"}:
        assert flags[name].default == getattr(asked, name), name
    assert asked.batch == 8


def test_every_flag_of_the_command_arrives(folder, tmp_path, monkeypatch):
    asked = {"size": 32, "layers": 1, "unshuffle": 2, "batch": 3, "optimiser": "muon"}
    asked |= {"lr": 0.002, "ema": 0.9, "prediction": "v", "loss": "mse", "decay": 0.2}
    asked |= {"wide_every": 3, "reduce": 0.1, "turns": "all", "seed": 4, "steps": 5}
    asked |= {"checkpoint_minutes": 7.0}
    seen = []
    monkeypatch.setattr(
        "reddiff_cli.training.train.train", lambda options, *_: seen.append(options)
    )
    words = [w for k, v in asked.items() for w in (f"--{k.replace('_', '-')}", str(v))]
    flags = ["--val", str(tmp_path), "--channels", "8,16", "--resume", "--device", "cpu"]
    result = CliRunner().invoke(app, ["train", str(folder), "-o", "p", *words, *flags])
    assert result.exit_code == 0, result.stderr
    asked |= {"validation": tmp_path, "channels": (8, 16), "resume": True}
    assert {key: asdict(seen[0])[key] for key in asked} == asked


def test_another_seed_is_another_run(folder, tmp_path):
    first, again, other = (
        new_trainer(options(folder, tmp_path, seed=seed), CPU) for seed in (0, 0, 1)
    )

    def drawn(trainer):
        return torch.rand(3, generator=trainer.generator).tolist()

    def weights(trainer):
        return torch.cat([value.flatten() for value in trainer.average.values()])

    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))
    draws = [drawn(trainer) for trainer in (first, again, other)]
    assert draws[0] == draws[1] != draws[2]


def test_resumed_run_equals_an_undisturbed_one(folder, tmp_path):
    """Four steps in one go, or two and two: the same weights. Without decay: its end is known."""
    straight = options(folder, tmp_path / "a", steps=4, decay=0.0)
    run(straight)
    run(replace(straight, output=tmp_path / "b", steps=2))
    run(replace(straight, output=tmp_path / "b", resume=True))
    one, two = (
        (tmp_path / name / "diffusion_pytorch_model.safetensors").read_bytes() for name in "ab"
    )
    assert one == two


def test_resumed_run_keeps_the_whole_curve(folder, tmp_path):
    """The figures that each part ended with, too."""
    validation = tmp_path / "val"
    validation.mkdir()
    Image.fromarray(scene(256, 256, seed=7)).save(validation / "0.png")
    first = options(folder, tmp_path / "a", validation=validation, checkpoint_minutes=60.0)
    run(first)
    run(replace(first, steps=3, resume=True))
    curve = json.loads((tmp_path / "a" / "training.json").read_text())["curve"]
    assert [row["step"] for row in curve] == [2, 3]


def prepare_steps(monkeypatch, *, recorded):
    """Train on the CPU as on a GPU: steps can be recorded, and are if asked for."""

    def prepare(trainer):
        make_recordable(trainer.optimiser, CPU)
        trainer.learn = RecordedStep(trainer.learn_once) if recorded else trainer.learn_once

    monkeypatch.setattr(Trainer, "__post_init__", prepare)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_recorded_steps_learn_what_others_do(folder, tmp_path, monkeypatch, optimiser):
    """Through the warm-up, with crops of two sizes, over a stop; every step has its own rate."""
    settings = options(folder, tmp_path / "a", steps=16, wide_every=3, warmup=8, batch=4, size=8)
    settings = replace(settings, optimiser=optimiser)
    prepare_steps(monkeypatch, recorded=False)
    run(replace(settings, steps=11))
    run(replace(settings, resume=True))
    prepare_steps(monkeypatch, recorded=True)
    run(replace(settings, output=tmp_path / "b", steps=11))
    run(replace(settings, output=tmp_path / "b", resume=True))
    assert_same_weights(tmp_path / "a", tmp_path / "b")


def test_what_can_be_recorded_makes_the_same_steps():
    """Of AdamW, a rate for each; Muon corrects young averages only where nothing is recorded.

    On gradients of this size: those near 0, of which a step makes full ones, are rounding alone.
    """

    def stepped(recordable):
        weight = torch.nn.Parameter(torch.arange(6.0))
        settings = TrainOptions(Path(), Path(), steps=1, optimiser="adamw")
        optimiser = make_optimiser(torch.nn.ParameterList([weight]), settings)
        if recordable:
            make_recordable(optimiser, CPU)
        generator = torch.Generator().manual_seed(0)
        for step in range(8):
            set_rate(optimiser, 0.01 * (step + 1))
            weight.grad = torch.randn(weight.shape, generator=generator)
            optimiser.step()
        return weight.detach()

    torch.testing.assert_close(stepped(True), stepped(False))


def test_a_recorded_step_reads_the_batch_it_is_given():
    """Shapes are recorded apart, and a loss that was handed out is not written over."""
    step = RecordedStep(lambda batch: batch.x_t.sum() + batch.target.sum() + batch.t.sum())

    def batch(value, rows):
        x = torch.full((rows, 1, 1, 1), float(value))
        return Batch(x, 10 * x, torch.full((rows,), value), x)

    told = [(value, rows, step(batch(value, rows))) for value in range(6) for rows in (1, 3)]
    for value, rows, loss in told:
        assert float(loss) == 12 * value * rows


def test_muon_resumes_and_is_not_mixed_with_another(folder, tmp_path):
    straight = options(folder, tmp_path / "a", steps=4, decay=0.0, optimiser="muon")
    run(straight)
    run(replace(straight, output=tmp_path / "b", steps=2))
    run(replace(straight, output=tmp_path / "b", resume=True))
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UsageError, match="--optimiser muon; use that"):
        run(replace(straight, output=tmp_path / "b", resume=True, optimiser="adamw", steps=6))


def test_muon_makes_steps_of_its_rate_in_every_direction_of_a_matrix():
    """Whatever the gradients are: all singular values of a step are near the rate (0.7 to 1.2)."""
    network = torch.nn.Sequential(torch.nn.Conv2d(6, 8, 3), torch.nn.GroupNorm(2, 8))
    settings = TrainOptions(Path(), Path(), steps=1, optimiser="muon", lr=0.01)
    optimiser = make_optimiser(network, settings)
    before = network[0].weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    for weight in network.parameters():
        weight.grad = 1e-5 * torch.randn(weight.shape, generator=generator)
    optimiser.step()
    values = torch.linalg.svdvals((network[0].weight.detach() - before).flatten(1)) / 0.01
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.5
    shares = {len(g["params"]): g.get("scale", 1.0) for g in optimiser.param_groups}
    assert shares == {1: 1.0, 3: 1 / 20}  # the matrix; its bias and the norm


def test_muon_without_its_package_is_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(UsageError, match=r"pip install 'reddiff-cli\[muon\]'"):
        run(options(folder, tmp_path / "a", optimiser="muon"))
    assert not (tmp_path / "a").exists()


def test_training_can_start_from_an_earlier_prior(folder, tmp_path):
    first, _ = run(options(folder, tmp_path / "a"))
    second, _ = run(options(folder, tmp_path / "b", init=first, steps=1, lr=1e-12, seed=9))
    assert_same_weights(first, second)
    with pytest.raises(UsageError, match="block_out_channels"):
        run(options(folder, tmp_path / "c", init=first, channels=(16, 16)))
    two, _ = run(options(folder, tmp_path / "d", layers=2))
    with pytest.raises(UsageError, match="give --layers 2, as it has, or more"):
        run(options(folder, tmp_path / "c", init=two, layers=1))
    with pytest.raises(UsageError, match="predicts epsilon"):
        run(options(folder, tmp_path / "c", init=first, prediction="v"))
    with pytest.raises(UsageError, match="--resume"):
        options(folder, tmp_path / "b", init=first, resume=True)


@pytest.mark.parametrize("layers", [(1, 2), (1, 3), (2, 4)])
def test_a_deeper_network_begins_where_a_shallower_one_ended(folder, tmp_path, layers):
    """It says the same in every digit, and its new blocks learn from the first steps."""
    less, more = layers
    shape = {"channels": (8, 16, 16), "optimiser": "muon", "lr": 0.05}
    first, _ = run(options(folder, tmp_path / "a", layers=less, **shape))
    start = options(folder, tmp_path / "b", layers=more, init=first, **shape)
    deeper, shallower = new_trainer(start, CPU).prior().network, load_prior(first).network
    z, t = torch.randn(2, 3, 16, 24), torch.tensor([3, 700])
    assert torch.equal(deeper(z, t), shallower(z, t))
    second, _ = run(replace(start, steps=3, warmup=0, decay=0.0))
    learnt = load_prior(second).network.unet.state_dict()
    for block in (f"down_blocks.0.resnets.{less}", "mid_block.resnets.0", "up_blocks.2.resnets.1"):
        before = deeper.unet.state_dict()[f"{block}.conv2.weight"]
        assert not torch.equal(learnt[f"{block}.conv2.weight"], before)
        assert float(learnt[f"{block}.conv2.weight"].abs().max()) > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"add_attention": True}, "its add_attention is True, here False"),
        ({"down_block_types": ["DownBlock2D", "AttnDownBlock2D"]}, "its down_block_types is"),
        ({"in_channels": 1, "out_channels": 1}, "its in_channels is 1, here 3"),
        ({"freq_shift": 1}, "its freq_shift is 1, here 0"),  # no weight would tell
        ({"act_fn": "relu"}, "another kind of network"),
    ],
)
def test_training_cannot_start_from_another_kind_of_network(folder, tmp_path, change, told):
    config = new_config((8, 8), 1, 16, 1, 8) | change
    save_prior(tmp_path / "a", config, build(config).unet.state_dict(), "epsilon")
    with pytest.raises(UsageError, match=told):
        run(options(folder, tmp_path / "b", init=tmp_path / "a"))
    assert not (tmp_path / "b").exists()


def test_a_configuration_may_leave_its_layers_to_the_default(folder, tmp_path):
    """Two, in diffusers."""
    first, _ = run(options(folder, tmp_path / "a", layers=2))
    config = json.loads((first / "config.json").read_text())
    del config["layers_per_block"]
    (first / "config.json").write_text(json.dumps(config))
    run(options(folder, tmp_path / "b", init=first, layers=3))
    with pytest.raises(UsageError, match="give --layers 2"):
        run(options(folder, tmp_path / "c", init=first, layers=1))


def test_training_cannot_start_from_another_schedule(folder, tmp_path):
    first, _ = run(options(folder, tmp_path / "a"))
    path = first / "scheduler_config.json"
    path.write_text(path.read_text().replace('"linear"', '"squaredcos_cap_v2"'))
    with pytest.raises(UsageError, match="betas"):
        run(options(folder, tmp_path / "b", init=first))


def test_a_run_is_not_overwritten_by_accident(folder, tmp_path):
    run(options(folder, tmp_path / "p"))
    with pytest.raises(UsageError, match="--resume"):
        run(options(folder, tmp_path / "p"))
    made = options(folder, tmp_path / "p")
    widths = ",".join(map(str, made.channels))
    with pytest.raises(UsageError, match=f"another shape; give --channels {widths}, as it has"):
        run(replace(made, channels=(16, 16), resume=True))
    told = f"give --layers {made.layers} --size {made.size}, as it has"
    with pytest.raises(UsageError, match=told):
        run(replace(made, layers=made.layers + 1, size=2 * made.size, resume=True))
    with pytest.raises(UsageError, match="nothing to resume"):
        run(options(folder, tmp_path / "q", resume=True))


def test_a_run_that_is_there_is_told_of_before_photographs_are_read(folder, tmp_path):
    """Which takes minutes where there are many."""
    run(options(folder, tmp_path / "p"))
    for name, resume, told in (("p", False, "a run is there"), ("q", True, "nothing to resume")):
        with pytest.raises(UsageError, match=told):
            run(options(tmp_path / "gone", tmp_path / name, resume=resume))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no checkpoint", "cannot be loaded"),
        ({"a": 1}, "is no checkpoint of `reddiff train`, it lacks average, config"),
        ([1], "is no checkpoint"),
        ({"network": {}}, "cannot be loaded"),
        ({"generator": 3}, "cannot be loaded"),
        ({"step": None}, "cannot be loaded"),
    ],
)
def test_a_damaged_checkpoint_is_one_line(folder, tmp_path, content, told):
    run(options(folder, tmp_path / "p"))
    path = tmp_path / "p" / "checkpoint.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        whole = torch.load(path, weights_only=True)
        known = isinstance(content, dict) and content.keys() <= whole.keys()
        torch.save(whole | content if known else content, path)
    with pytest.raises(ModelMissing, match=f"checkpoint.pt: {told}"):
        run(options(folder, tmp_path / "p", resume=True))


def test_a_folder_that_cannot_be_made_is_told_before_the_work(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file/x: cannot be written below"):
        run(options(folder, tmp_path / "file" / "x"))


def test_what_a_killed_run_left_half_is_cleared_and_no_hindrance(folder, tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / ".reddiff-abc").write_bytes(b"half a checkpoint")
    run(options(folder, tmp_path / "p"))
    names = {path.name for path in (tmp_path / "p").iterdir()}
    assert "checkpoint.pt" in names
    assert not any(name.startswith(".") or "tmp" in name for name in names)


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(folder, tmp_path, monkeypatch):
    output, usual = tmp_path / "p", Path.open
    run(options(folder, output))
    before = {p.name: p.read_bytes() for p in output.iterdir()}

    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def without_room(path, mode="r", *rest, **named):
        return Full() if mode == "wb" else usual(path, mode, *rest, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", without_room)
        told = r"p: step 3 cannot be saved \(No space left on device\); .*--resume$"
        with pytest.raises(ReddiffError, match=told) as caught:
            run(options(folder, output, steps=4, resume=True))
        assert caught.value.exit_code == 1
        with pytest.raises(ReddiffError, match="step 1 cannot be saved .* start again$"):
            run(options(folder, tmp_path / "q", steps=4))
    assert {p.name: p.read_bytes() for p in output.iterdir()} == before
    run(options(folder, output, steps=4, resume=True))
    run(options(folder, tmp_path / "q", steps=4))
    assert_same_weights(output, tmp_path / "q")


def test_a_prior_that_cannot_be_written_is_one_line(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("reddiff_cli.training.checkpoints.save_prior", full)
        with pytest.raises(ReddiffError, match="step 1 cannot be saved .* with --resume$"):
            run(options(folder, tmp_path / "p"))
    run(options(folder, tmp_path / "p", resume=True))


def test_a_folder_that_cannot_be_read_is_told(folder, tmp_path, monkeypatch):
    for place in ("photos/open", "photos/shut"):
        (tmp_path / place).mkdir(parents=True)
        Image.fromarray(scene(80, 90)).save(tmp_path / place / "a.png")
    usual = os.scandir

    def refuse(path):
        if Path(path).name == "shut":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return usual(path)

    monkeypatch.setattr(os, "scandir", refuse)
    told = f"{tmp_path / 'photos/shut'}: folder cannot be read (Permission denied)"
    _, notes = run(options(tmp_path / "photos", tmp_path / "p"))
    assert notes[:2] == ["1 picture, 0.01 megapixels", told]
    with pytest.raises(UsageError, match="no usable picture of 1 .*shut: folder cannot be read"):
        run(options(tmp_path / "photos/shut", tmp_path / "q"))


def test_pictures_that_measure_nothing_are_told(folder, tmp_path):
    """Of --val, as those that are trained on."""
    (tmp_path / "val").mkdir()
    for name, side in (("a.png", 256), ("b.png", 60)):
        Image.fromarray(scene(side, side)).save(tmp_path / "val" / name)
    _, notes = run(options(folder, tmp_path / "p", validation=tmp_path / "val"))
    assert any("b.png: smaller than 256 pixels" in note for note in notes)


def test_stopped_run_keeps_its_checkpoint(folder, tmp_path):
    def stop(step, loss, done):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(options(folder, tmp_path / "p", steps=9), CPU, stop, lambda _: None)
    state = torch.load(tmp_path / "p" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2


def test_a_run_interrupted_within_a_step_goes_on_as_an_undisturbed_one(
    folder, tmp_path, monkeypatch
):
    """Ctrl-C is heard between drawing the crops and the optimiser, and heeded after the step."""
    run(options(folder, tmp_path / "whole", steps=5))
    monkeypatch.setattr("reddiff_cli.training.train.draw_batch", interrupting(at=2))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stopped = options(folder, tmp_path / "p", steps=5, checkpoint_minutes=1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(stopped)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert torch.load(tmp_path / "p" / "checkpoint.pt", weights_only=True)["step"] == 2
    monkeypatch.undo()
    run(replace(stopped, resume=True))
    one, two = (torch.load(tmp_path / n / "checkpoint.pt") for n in ("whole", "p"))
    for part in ("network", "average"):
        assert all(torch.equal(one[part][key], two[part][key]) for key in one[part])
    assert torch.equal(one["generator"], two["generator"])


def interrupting(at, times=1, number=signal.SIGINT):
    """`draw_batch`, which hears Ctrl-C or another signal the given time that it is called."""
    count = 0

    def draw(*arguments):
        nonlocal count
        count += 1
        for _ in range(times if count == at else 0):
            signal.raise_signal(number)
        return draw_batch(*arguments)

    return draw


def test_a_second_interrupt_within_a_step_keeps_the_last_checkpoint(folder, tmp_path):
    code = f"""
import signal, sys
sys.path[:0] = [{str(Path(__file__).parent)!r}]
import reddiff_cli.training.train
from reddiff_cli.cli import main
from test_train import interrupting
signal.signal(signal.SIGINT, signal.default_int_handler)
reddiff_cli.training.train.draw_batch = interrupting(at=3, times=2)
main()
"""
    small = "--steps 5 --size 16 --channels 8,8 --layers 1 --batch 2 --checkpoint-minutes 0"
    flags = [str(folder), "-o", str(tmp_path / "p"), *small.split(), "--device", "cpu"]
    command = [sys.executable, "-c", code, "train", *flags]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.count("Ctrl-C again stops at once") == 1
    assert torch.load(tmp_path / "p" / "checkpoint.pt", weights_only=True)["step"] == 2


def test_sigterm_is_told_as_such_and_saves(folder, tmp_path, monkeypatch, capfd):
    """It was told as a first Ctrl-C, of which another would have been the second."""
    draw = interrupting(at=2, times=2, number=signal.SIGTERM)
    monkeypatch.setattr("reddiff_cli.training.train.draw_batch", draw)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        small = "--steps 5 --size 16 --channels 8,8 --layers 1 --batch 2 --device cpu"
        flags = [str(folder), "-o", str(tmp_path / "p"), *small.split()]
        result = CliRunner().invoke(app, ["train", *flags])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert result.exit_code == 143
    told = "stopping, as SIGTERM asks; Ctrl-C stops at once, without saving after this step"
    assert capfd.readouterr().err.splitlines() == [told]
    assert torch.load(tmp_path / "p" / "checkpoint.pt", weights_only=True)["step"] == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": None},
        {"minutes": 1.0},
        {"size": 17},
        {"prediction": "x"},
        {"loss": "x"},
        {"turns": "x"},
        {"optimiser": "sgd"},
        {"lr": 0.0},
        {"ema": 1.0},
        {"decay": 1.5},
        {"wide_every": -1},
        {"channels": (8, 9)},
        {"batch": 0},
        {"steps": 0},
        {"steps": -1},
        {"steps": None, "minutes": -1.0},
        {"steps": None, "minutes": float("nan")},
        {"layers": 0},
        {"size": 0},
        {"size": -16},
        {"channels": (0,)},
        {"channels": (-8, 8)},
        {"unshuffle": 0},
        {"lr": float("nan")},
        {"lr": 1e300},
        {"reduce": 2.0},
        {"checkpoint_minutes": -1.0},
        {"seed": -1},
    ],
    ids=str,
)
def test_impossible_settings(folder, tmp_path, changes):
    wrong = list(changes)[-1].replace("_", "-")
    with pytest.raises(UsageError, match=f"--{wrong}"):
        options(folder, tmp_path / "p", **changes)


def test_empty_folder(tmp_path):
    with pytest.raises(UsageError, match="no usable picture"):
        read_photographs(tmp_path, 16)
    Image.fromarray(scene()).save(tmp_path / "a.png")
    with pytest.raises(
        UsageError, match=r"of 1 \(.*a\.png: smaller than 9999 pixels.*or a smaller --size"
    ):
        read_photographs(tmp_path, 9999)
    with pytest.raises(UsageError, match="is no folder"):
        read_photographs(tmp_path / "a.png", 16)


def test_no_smaller_size_is_asked_of_what_is_held_out(folder, tmp_path):
    """Its crops have a side of their own."""
    (tmp_path / "val").mkdir()
    Image.fromarray(scene()).save(tmp_path / "val" / "a.png")
    given = options(folder, tmp_path / "p", validation=tmp_path / "val")
    with pytest.raises(UsageError, match="val: .* give photographs of 256 pixels a side and more"):
        run(given)


def test_small_pictures_are_left_out_where_crops_are_larger(tmp_path):
    """Wide crops and reduced ones take twice the side."""
    (tmp_path / "photos").mkdir()
    Image.fromarray(scene(40, 40)).save(tmp_path / "photos/a.png")
    asked = options(tmp_path / "photos", tmp_path / "p", size=32)
    for changes in ({"reduce": 0.0}, {"wide_every": 0}):
        with pytest.raises(UsageError, match=r"a\.png: smaller than 64 pixels"):
            run(replace(asked, **changes))
    _, notes = run(replace(asked, wide_every=0, reduce=0.0))
    assert notes[0].startswith("1 picture,")


def test_a_run_that_cannot_go_on_is_told_before_its_photographs_are_read(folder, tmp_path):
    """Else those that are too small for the size of now would be what is wrong."""
    run(options(folder, tmp_path / "p"))
    other = options(folder, tmp_path / "p", steps=4, size=512, resume=True)
    with pytest.raises(UsageError, match="another shape; give --size 16, as it has"):
        run(other)


def test_what_validates_is_not_trained_on(tmp_path):
    """Neither what lies below --val nor the same file elsewhere; val's bad files are told."""
    photos, apart = tmp_path / "photos", tmp_path / "photos/held"
    apart.mkdir(parents=True)
    for k in range(3):
        Image.fromarray(scene(80, 90, seed=k)).save(photos / f"{k}.png")
    Image.fromarray(scene(260, 260)).save(apart / "h.png")
    Image.fromarray(scene(64, 64)).save(apart / "small.png")
    (photos / "linked.png").symlink_to(apart / "h.png")
    (apart / "linked.png").symlink_to(photos / "2.png")
    asked = options(photos, tmp_path / "p", validation=apart)
    _, notes = run(asked)
    assert notes[0] == f"5 pictures of --val {apart} are not trained on"
    assert notes[1].startswith("2 pictures, 0.01 megapixels")
    assert any("small.png: smaller than 256 pixels" in note for note in notes)
    for folder, validation in ((photos, photos), (apart, photos), (photos, tmp_path)):
        with pytest.raises(UsageError, match=r"--val .*: holds all pictures of .*; give"):
            run(replace(asked, folder=folder, output=tmp_path / "q", validation=validation))


def test_copies_of_what_validates_are_not_trained_on(tmp_path):
    """By their pixels, whatever the files are called and however they are packed."""
    photos, apart = tmp_path / "photos", tmp_path / "apart"
    photos.mkdir()
    apart.mkdir()
    pictures = [scene(260, 270 + k, seed=k) for k in range(5)]
    for k, values in enumerate(pictures):
        Image.fromarray(values).save(photos / f"{k}.png")
    Image.fromarray(pictures[1]).save(apart / "other name.png")
    Image.fromarray(pictures[3]).save(apart / "packed.tif", compression="tiff_lzw")
    Image.fromarray(scene(260, 271, seed=9)).save(apart / "2.png")  # only called so
    asked = options(photos, tmp_path / "p", validation=apart)
    _, notes = run(asked)
    assert notes[0] == f"2 pictures of --val {apart} are not trained on"
    assert notes[1].startswith("3 pictures, 0.21 megapixels")
    whole, held = read_photographs(photos, 16), read_photographs(apart, 16)
    left = whole.without(held)
    assert left.names == ["0.png", "2.png", "4.png"]
    for found, k in zip(left.pixels, (0, 2, 4), strict=True):
        assert np.array_equal(found.numpy().transpose(1, 2, 0), pictures[k])
    assert left.without(held).names == left.names
    for k in (0, 2, 4):
        Image.fromarray(pictures[k]).save(apart / f"copy{k}.png")
    with pytest.raises(UsageError, match=r"--val .*: holds all pictures of .*; give"):
        run(replace(asked, output=tmp_path / "q"))


def test_transparent_pictures_are_left_out(tmp_path):
    opaque = np.dstack([scene(40, 40), np.full((40, 40), 255, np.uint8)])
    clear = opaque.copy()
    clear[3, 4] = 0
    for name, values in (("opaque", opaque), ("clear", clear)):
        Image.fromarray(values).save(tmp_path / f"{name}.png")
    photographs = read_photographs(tmp_path, 32)
    assert photographs.names == ["opaque.png"]
    assert photographs.unreadable == [f"{tmp_path}/clear.png: has transparent pixels, left out"]


def test_files_of_somebody_else_are_kept(folder, tmp_path):
    (tmp_path / "p").mkdir()
    run(options(folder, tmp_path / "p"))  # an empty folder will do
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/README.md").write_text("mine")
    for place in ("notes", "notes/README.md"):
        with pytest.raises(UsageError, match=f"{place}: (holds other files|is a file)"):
            run(options(folder, tmp_path / place))
    with pytest.raises(UsageError, match="holds other files"):
        run(options(folder, folder))
    assert (tmp_path / "notes/README.md").read_text() == "mine"
    assert len(list((tmp_path / "notes").iterdir())) == 1


def test_a_run_that_diverges_stops_and_keeps_the_last_good_weights(folder, tmp_path, monkeypatch):
    output = tmp_path / "p"
    run(options(folder, output))
    before = {p.name: p.read_bytes() for p in output.iterdir()}

    def broken(*arguments):
        return denoising_loss(*arguments) * torch.nan

    monkeypatch.setattr("reddiff_cli.training.trainer.denoising_loss", broken)
    monkeypatch.setattr("reddiff_cli.training.train.REPORT_EVERY", 100)
    with pytest.raises(UsageError, match="no number after 3 steps; give a smaller one"):
        run(options(folder, output, steps=4, resume=True))
    assert {p.name: p.read_bytes() for p in output.iterdir()} == before


def test_resuming_a_run_that_is_at_its_end_is_told(folder, tmp_path):
    run(options(folder, tmp_path / "p"))
    _, notes = run(options(folder, tmp_path / "p", steps=1, resume=True))
    assert any("has its 2 steps already" in note for note in notes)


def test_settings_that_no_step_was_made_with_are_not_those_of_the_prior(folder, tmp_path):
    run(options(folder, tmp_path / "p"))
    before = {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()}
    run(options(folder, tmp_path / "p", loss="mse", seed=5, resume=True))
    assert {path.name: path.read_bytes() for path in (tmp_path / "p").iterdir()} == before


@pytest.mark.parametrize("lost", ["training.json", "diffusion_pytorch_model.safetensors"])
def test_a_run_that_was_killed_behind_its_last_checkpoint_is_finished(folder, tmp_path, lost):
    first = options(folder, tmp_path / "p")
    run(first)
    before = (tmp_path / "p" / lost).read_bytes()
    (tmp_path / "p" / lost).unlink()
    run(replace(first, resume=True))
    after = (tmp_path / "p" / lost).read_bytes()
    assert after.replace(b'"resume": true', b'"resume": false') == before


def test_a_prior_that_is_called_as_another_is_named_by_its_folder(folder, tmp_path, monkeypatch):
    """`--model natural` is the bundled one, whatever lies here."""
    monkeypatch.chdir(tmp_path)
    _, notes = run(options(folder, Path("natural")))
    told = notes[-1].split("--model ")[1].removesuffix(" takes it")
    assert find_model(told).folder.resolve() == tmp_path / "natural"


def test_a_card_that_somebody_has_changed_stays(folder, tmp_path):
    first = options(folder, tmp_path / "p")
    run(first)
    (tmp_path / "p" / "card.json").write_text('{"prior_weights": {"denoise": 1.5}}')
    run(replace(first, steps=3, resume=True))
    assert find_model(str(tmp_path / "p")).prior_weights == {"denoise": 1.5}


def test_crops_and_flat_ones(folder):
    photographs = read_photographs(folder, 32)
    generator = torch.Generator().manual_seed(0)
    crops = draw_crops(photographs, 20, 16, 0.5, generator)
    assert crops.shape == (20, 3, 16, 16)
    assert -1 <= float(crops.min()) <= float(crops.max()) <= 1
    flat = flatten_some(crops, 0.5, generator)
    changed = (flat != crops).flatten(1).any(1)
    assert 3 <= int(changed.sum()) <= 17
    assert float(flat[changed].std((2, 3)).mean()) < float(crops.std((2, 3)).mean())
    assert torch.equal(flatten_some(crops, 0.0, generator), crops)


def test_validation_measures_what_it_says():
    """The identity as denoiser leaves exactly the noise; a perfect one has no colour error."""
    schedule = linear_betas()
    crops = torch.zeros(2, 3, 64, 64)
    measured = denoising_psnr(lambda z, t: z, schedule, crops)
    for sigma in SIGMAS:
        generator = torch.Generator().manual_seed(sigma)
        noise = torch.randn(2, 1, 3, 64, 64, generator=generator) * 2 * sigma / 255
        expected = sum(float(psnr(n.clamp(-1, 1), torch.zeros_like(n))) for n in noise) / 2
        assert measured[str(sigma)] == pytest.approx(expected, abs=1e-4)
    grey = colour_error(lambda z, t: torch.zeros_like(z), schedule, CPU)
    assert all(40 < error < 100 for error in grey.values())
    exact = colour_error(lambda z, t: z.mean((2, 3), keepdim=True).expand_as(z), schedule, CPU)
    assert exact["0.3"] < 1


def test_levels_fill_their_range_and_crowd_in_the_middle(folder, tmp_path):
    generator = torch.Generator().manual_seed(0)
    settings = options(folder, tmp_path, focus=0.6, s_min=0.01, s_max=10.0)
    s = draw_levels(settings, 20_000, generator)
    assert 0.01 <= float(s.min()) < 0.011
    assert 9 < float(s.max()) <= 10
    within = ((s >= FOCUS[0]) & (s <= FOCUS[1])).double().mean()
    # All of the crowd, and of the others log(1 / 0.05) of log(10 / 0.01).
    assert float(within) == pytest.approx(0.6 + 0.4 * 0.434, abs=0.01)


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_loss_is_that_of_the_target_crop_by_crop(folder, tmp_path, prediction):
    """A network that answers zero errs by its target, whose power is known for flat crops."""
    x = torch.tensor([0.5, 0.5, 0.0, 0.0])[:, None, None, None].expand(4, 3, 64, 64)
    settings = options(folder, tmp_path, prediction=prediction, s_min=1.0, s_max=1.0, focus=0.0)

    def loss(name):
        generator = torch.Generator().manual_seed(0)
        asked = replace(settings, loss=name)
        zero = torch.zeros_like
        batch = draw_batch(x, linear_betas(), asked, generator)
        return denoising_loss(lambda x_t, t: zero(x_t), batch, asked, False)

    power = [0.625, 0.625, 0.5, 0.5] if prediction == "v" else [1.0] * 4  # v: (1 + x^2) / 2
    assert float(loss("mse")) == pytest.approx(sum(power) / 4, rel=0.02)
    to_x = 0.5 if prediction == "v" else 1.0  # at s = 1, where min(SNR, 5) is 1
    assert float(loss("min-snr")) == pytest.approx(to_x * sum(power) / 4, rel=0.02)
    logarithm = torch.tensor(power).log().mean()
    assert float(loss("log")) == pytest.approx(float(logarithm), abs=0.02)


@pytest.mark.parametrize("turns", ["none", "mirror", "all"])
def test_crops_are_cut_from_the_pictures(tmp_path, turns):
    """Every value tells its place: factor, corner and position are read off the crop."""
    rows, columns = np.mgrid[0:100, 0:160]
    picture = np.stack([rows, columns, rows + 0 * columns], 2).astype(np.uint8)
    Image.fromarray(np.full((90, 70, 3), 255, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(picture).save(tmp_path / "b.png")
    photographs = read_photographs(tmp_path, 32)
    assert photographs.names == ["a.png", "b.png"]
    generator = torch.Generator().manual_seed(0)
    crops = (draw_crops(photographs, 128, 32, 0.5, generator, turns) + 1) * 127.5
    steps = set()
    for crop in crops:
        if (crop == 255).all():  # of the white picture
            continue
        ramps = [crop[:2].diff(dim=1).flatten(1), crop[:2].diff(dim=2).flatten(1)]  # down, right
        assert all(bool((ramp - ramp[:, :1]).abs().max() < 0.01) for ramp in ramps)
        assert torch.equal(crop[0], crop[2])
        assert crop[0].max() < 100
        assert crop[1].max() < 160
        # How the row and the column of the picture grow, on the way down and to the right.
        steps.add(tuple(round(float(step)) for ramp in ramps for step in ramp[:, 0]))
    mirrored = {(1, 0, 0, 1), (1, 0, 0, -1)}
    turned = {(a, 0, 0, b) for a in (1, -1) for b in (1, -1)}
    turned |= {(0, a, b, 0) for a in (1, -1) for b in (1, -1)}
    seen = {"none": {(1, 0, 0, 1)}, "mirror": mirrored, "all": turned}[turns]
    assert steps == {tuple(f * n for n in step) for step in seen for f in (1, 2)}
    shares = [float((p == 255).all((0, 1, 2))) for p in crops]
    assert sum(shares) / 128 == pytest.approx(6300 / 22300, abs=0.15)  # by area


def test_averaged_weights_follow_slowly(folder, tmp_path):
    """By the share 1 - ema of a step, more in the first ones."""
    trainer = new_trainer(options(folder, tmp_path / "p", ema=0.75), CPU)
    for step, share in ((1000, 0.25), (2, 0.75)):
        trainer.step = step
        before = {key: value.clone() for key, value in trainer.average.items()}
        with torch.no_grad():
            for weight in trainer.network.unet.parameters():
                weight.add_(1)
        _update_average(trainer)
        weights = dict(trainer.network.unet.named_parameters())
        for key, value in trainer.average.items():
            wanted = (1 - share) * before[key] + share * weights[key]
            torch.testing.assert_close(value, wanted.detach())


def test_the_step_rises_holds_and_falls_to_zero(folder, tmp_path):
    asked = options(folder, tmp_path, warmup=4, decay=0.5)
    wanted = {(0, 0.0): 0.25, (2, 0.1): 0.75, (9, 0.5): 1.0, (9, 0.75): 0.5, (99, 0.99): 0.02}
    assert {place: _lr_factor(asked, *place) for place in wanted} == pytest.approx(wanted)
    flat = replace(asked, warmup=0, decay=0.0)
    assert _lr_factor(flat, 0, 0.999) == 1
    trainer, photos = new_trainer(asked, CPU), read_photographs(folder, 32)
    trainer.step = 9
    train_step(trainer, photos, 0.75)
    assert {group["lr"] for group in trainer.optimiser.param_groups} == {asked.rate / 2}


def test_no_gradient_is_longer_than_one(folder, tmp_path, monkeypatch):
    asked, lengths = options(folder, tmp_path, loss="mse"), []
    trainer = new_trainer(asked, CPU)

    def step():
        gradients = [p.grad.flatten() for p in trainer.network.parameters() if p.grad is not None]
        lengths.append(float(torch.cat(gradients).norm()))

    monkeypatch.setattr(trainer.optimiser, "step", step)
    batch = draw_batch(torch.zeros(2, 3, 16, 16), trainer.schedule, asked, trainer.generator)
    trainer.learn(replace(batch, target=1000 * batch.target))
    assert lengths == pytest.approx([1.0], rel=1e-3)


def test_the_time_of_a_run_goes_on_where_it_was_stopped(folder, tmp_path):
    asked = options(folder, tmp_path / "p", steps=1)
    run(asked)
    path = tmp_path / "p" / "checkpoint.pt"
    torch.save(torch.load(path, weights_only=True) | {"seconds": 5000.0}, path)
    run(replace(asked, steps=2, resume=True))
    assert torch.load(path, weights_only=True)["seconds"] > 5000


def test_validation_asks_at_the_level_of_its_noise():
    """Noise of sigma of 255 is 2 sigma / 255 in pictures in [-1, 1]."""
    schedule, asked = linear_betas(), []

    def denoiser(z, t):
        asked.append(float(schedule.s[t[0]]))
        return z

    denoising_psnr(denoiser, schedule, torch.zeros(1, 3, 64, 64))
    assert asked == pytest.approx([2 * sigma / 255 for sigma in SIGMAS], rel=0.03)


def test_flat_crops_take_nothing_of_the_colour_they_had():
    """Their colours are drawn evenly; what photographs have is not."""
    detail = 0.1 * torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    detail -= detail.mean((2, 3), keepdim=True)
    flat = [
        flatten_some(colour + detail, 1.0, torch.Generator().manual_seed(1))
        for colour in (-0.6, 0.6)
    ]
    torch.testing.assert_close(flat[0], flat[1], atol=1e-6, rtol=0)
