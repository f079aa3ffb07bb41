"""Shared fixtures: a tiny random prior in a temporary folder, and small pictures."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.cli import app
from reddiff_cli.networks.network import build, new_config, save_prior
from reddiff_cli.options.common import MachineOptions, OutputOptions, SolverOptions
from reddiff_cli.options.tasks import DenoiseOptions
from reddiff_cli.planning.jobs import Job
from reddiff_cli.restore import Restorer

# Tensors of tests are tiny: threads would only wait for each other.
torch.set_num_threads(1)


def save_random_prior(folder: Path, *, prediction="v_prediction", unshuffle=2, seed=0) -> Path:
    torch.manual_seed(seed)
    config = new_config((16, 16), 1, 32, unshuffle, 8)
    save_prior(folder, config, build(config).unet.state_dict(), prediction)
    return folder


@pytest.fixture(scope="session")
def tiny_prior(tmp_path_factory) -> Path:
    """A diffusers folder with a random network of about 0.1 MB."""
    return save_random_prior(tmp_path_factory.mktemp("prior") / "tiny")


def scene(height=48, width=64, channels=3, seed=0) -> np.ndarray:
    """A smooth 8-bit picture with some detail, (H, W) or (H, W, channels)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        np.sin(x / rng.uniform(4, 12) + phase) * np.cos(y / rng.uniform(4, 12))
        for phase in rng.uniform(0, 6, channels)
    ]
    values = np.stack(waves, -1) * 90 + 128 + rng.normal(0, 4, (height, width, channels))
    values = values.clip(2, 250).astype(np.uint8)
    return values[:, :, 0] if channels == 1 else values


def reddiff(*arguments, code=0, stdin=None, env=None) -> tuple[str, str]:
    """Run the command in this process; returns (stdout, stderr)."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, env=env)
    assert result.exit_code == code, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
    return result.stdout, result.stderr


@pytest.fixture
def quick(tiny_prior) -> list[str]:
    """Flags of a restoration that takes no time."""
    return ["--model", str(tiny_prior), "--steps", "2", "--device", "cpu"]


@pytest.fixture
def picture_file(tmp_path) -> Path:
    path = tmp_path / "img.png"
    Image.fromarray(scene()).save(path)
    return path


@pytest.fixture
def mask_file(tmp_path) -> Path:
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[20:24, 10:50] = 255
    path = tmp_path / "m.png"
    Image.fromarray(mask).save(path)
    return path


@pytest.fixture
def denoise():
    """What `denoise --preset fast` with the bundled prior makes of a file: (input, output)."""
    about = SolverOptions(preset="fast"), MachineOptions(device="cpu"), DenoiseOptions()
    restorer = Restorer(find_model("natural"), *about, OutputOptions())
    return lambda path, out: restorer.restore(
        Job("denoise", path, out), lambda *_: None, lambda _: None
    )
