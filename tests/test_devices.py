"""What must hold on every device; on CUDA where there is one.

    pytest tests/test_devices.py

Needs neither diffusers nor pictures. The CPU in fp32 is what other devices are compared with.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import reddiff, scene
from reddiff_cli.denoisers.batching import Batcher
from reddiff_cli.denoisers.denoiser import load_denoiser
from reddiff_cli.estimation.stationary import white_power
from reddiff_cli.methods import draws
from reddiff_cli.solvers.confirmation import confirmed_share
from reddiff_cli.solvers.consistency import likeliest_noise
from reddiff_cli.solvers.whitening import Whitening
from reddiff_cli.training.options import TrainOptions
from reddiff_cli.training.train import train

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
# Rounding of one evaluation against its values, which are about 1.
TYPES = {torch.float32: 2e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}
TASKS = {
    "inpaint": [],
    "superres": ["--scale", "2"],
    "deblur": ["--kernel", "gaussian:1.5"],
    "hdr": ["--stops", "1"],
    "denoise": ["--noise", "0.1"],
    "colorize": [],
}


@pytest.fixture(autouse=True)
def as_before():
    """--deterministic is for the whole process."""
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = tf32


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=needs_cuda)])
def device(request):
    return torch.device(request.param)


def noisy(rows, *, seed=0, side=32):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, 3, side, side, generator=generator)
    return z, torch.randint(0, 1000, (rows,), generator=generator)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("graphs", [False, True])
def test_an_evaluation_is_near_the_exact_one(tiny_prior, device, dtype, graphs):
    exact = load_denoiser(tiny_prior, CPU, torch.float32)
    here = load_denoiser(tiny_prior, device, dtype, graphs=graphs)
    for rows, side in ((1, 32), (3, 24), (1, 32)):
        z, t = noisy(rows, side=side)
        D = here(z.to(device), t)
        assert D.device.type == device.type
        assert float((D.cpu() - exact(z, t)).abs().max()) < TYPES[dtype] * float(z.abs().max())


def test_time_steps_may_lie_on_either_side(tiny_prior, device):
    denoiser = load_denoiser(tiny_prior, device, torch.float32)
    z, t = noisy(3)
    there = denoiser(z.to(device), t.to(device))
    assert torch.allclose(there, denoiser(z.to(device), t), atol=1e-5)


def test_noise_is_told_alike(tiny_prior, device):
    """Tiles on the device, every one at a level of its own in the end."""
    tiles = 0.3 * noisy(4)[0].clamp(-2, 2)
    exact, here = (load_denoiser(tiny_prior, where, torch.float32) for where in (CPU, device))
    told = []
    for denoiser, where in ((exact, CPU), (here, device)):
        y = tiles.to(where)
        *_, (_, answer) = likeliest_noise(y, 0.1, denoiser, denoiser.schedule, draws(y, 0))
        assert answer.device.type == where.type
        told.append(answer.cpu())
    torch.testing.assert_close(told[1], told[0], rtol=1e-2, atol=1e-3)


def test_what_was_heard_is_confirmed_alike(tiny_prior, device):
    """The spectrum stays where it was measured, the tiles are on the device."""
    tiles = 0.3 * noisy(4)[0].clamp(-2, 2)
    heard = Whitening(tiles, white_power(tiles.shape[1]), torch.full_like(tiles[:, :1], 0.1))
    exact, here = (load_denoiser(tiny_prior, where, torch.float32) for where in (CPU, device))
    told = []
    for denoiser, where in ((exact, CPU), (here, device)):
        there = heard.to(where)
        drawn = draws(there.y, 0)
        *_, (_, answer) = confirmed_share(there, denoiser, denoiser.schedule, drawn)
        assert answer.device.type == where.type
        told.append(answer.cpu())
    torch.testing.assert_close(told[1], told[0])


def test_the_way_back_is_near_the_exact_one(tiny_prior, device):
    gradients = []
    for where in (CPU, device):
        denoiser = load_denoiser(tiny_prior, where, torch.float32)
        z, t = noisy(2)
        leaf = z.to(where).requires_grad_()
        denoiser.recorded(leaf, t).square().sum().backward()
        gradients.append(leaf.grad.cpu())
    exact, here = gradients
    assert float((here - exact).norm() / exact.norm()) < 5e-3


def test_a_row_does_not_depend_on_its_company(tiny_prior, device):
    """Bit for bit on CUDA, where pictures share batches; a CPU makes one t of all rows a bias."""
    denoiser = load_denoiser(tiny_prior, device, torch.float32)
    asked = [noisy(1 + seed % 3, seed=seed) for seed in range(12)]
    alone = [Batcher(denoiser, 4)(z.to(device), t) for z, t in asked]
    together = Batcher(denoiser, 4)
    with ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(together, z.to(device), t) for z, t in asked]
        for task, expected in zip(tasks, alone, strict=True):
            found = task.result(timeout=60)
            if device.type == "cuda":
                assert torch.equal(found, expected)
            assert torch.allclose(found, expected, atol=1e-5)


def test_pictures_restored_at_once_and_alone_are_the_same_files(tmp_path, tiny_prior, device):
    folder = tmp_path / "in"
    folder.mkdir()
    for k in range(9):
        Image.fromarray(scene(24 + k % 2 * 8, 32, seed=k)).save(folder / f"{k}.png")
    flags = ["--model", tiny_prior, "--steps", "6", "--device", device.type, "--overwrite"]
    reddiff("denoise", folder, "-o", tmp_path / "once", *flags)
    for k in (0, 5, 8):
        reddiff(
            "denoise", folder / f"{k}.png", "-o", tmp_path / "alone.png", *flags, "--overwrite"
        )
        alone = np.asarray(Image.open(tmp_path / "alone.png"))
        assert np.array_equal(np.asarray(Image.open(tmp_path / "once" / f"{k}.png")), alone)


def damaged(folder: Path, task: str) -> list[object]:
    """A picture for a task, and the mask of its hole."""
    picture = scene(40, 56)
    Image.fromarray(picture.mean(2).astype(np.uint8) if task == "colorize" else picture).save(
        folder / "p.png"
    )
    hole = np.zeros((40, 56), np.uint8)
    hole[16:20, 8:50] = hole[5:35:3, 5:50:4] = 255
    Image.fromarray(hole).save(folder / "m.png")
    return [folder / "p.png", *(["-m", folder / "m.png"] if task == "inpaint" else [])]


def difference(folder: Path, command: list[object], device: torch.device) -> int:
    """Of the results on a device and on the CPU, in levels of 255 at most.

    Without another device the command is run once, which shows that it can be.
    """
    pictures = []
    for name in dict.fromkeys(("cpu", device.type)):
        reddiff(*command, "--device", name, "-o", folder / f"{name}.png", "--overwrite")
        pictures.append(np.asarray(Image.open(folder / f"{name}.png")).astype(int))
    return int(abs(pictures[0] - pictures[-1]).max())


@pytest.mark.parametrize("task", TASKS)
def test_tasks_give_what_the_cpu_gives(tmp_path, tiny_prior, device, task):
    flags = ["--model", tiny_prior, "--steps", "8", "--deterministic"]
    command = [task, *damaged(tmp_path, task), *TASKS[task], *flags]
    assert difference(tmp_path, command, device) <= 2


@pytest.mark.parametrize("method", ["reddiff", "ddrm"])
def test_grey_noise_gives_what_the_cpu_gives(tmp_path, tiny_prior, device, method):
    Image.fromarray(scene(40, 56, 1)).save(tmp_path / "p.png")
    flags = ["--model", tiny_prior, "--steps", "8", "--deterministic", "--method", method]
    command = ["denoise", tmp_path / "p.png", "--noise", "0.1", *flags]
    assert difference(tmp_path, command, device) <= 2


@pytest.mark.parametrize("method", ["reddiff-paper", "dps", "pigdm", "ddrm", "diffpir"])
def test_other_methods_give_what_the_cpu_gives(tmp_path, tiny_prior, device, method):
    flags = ["--model", tiny_prior, "--steps", "8", "--deterministic"]
    flags += ["--preset", "paper"] if method == "reddiff-paper" else ["--method", method]
    command = ["superres", *damaged(tmp_path, "superres"), "--scale", "2", "--downsample", "box"]
    assert difference(tmp_path, [*command, "--noise", "0.05", *flags], device) <= 3


def test_a_wide_hole_gets_its_guide(tmp_path, device):
    """The bundled prior, as tiny ones have none."""
    picture = scene(64, 80)
    mask = np.zeros((64, 80), np.uint8)
    mask[16:48, 20:50] = 255
    Image.fromarray(picture).save(tmp_path / "p.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    flags = ["--mask", tmp_path / "m.png", "--steps", "2", "--device", device.type]
    reddiff("inpaint", tmp_path / "p.png", *flags)
    restored = np.asarray(Image.open(tmp_path / "p.inpaint.png"))
    assert np.array_equal(restored[mask == 0], picture[mask == 0])
    assert restored[mask > 0].std() > 1


def test_samples_and_sheets(tmp_path, tiny_prior, device):
    picture = damaged(tmp_path, "denoise")
    flags = ["--model", tiny_prior, "--steps", "4", "--samples", "3", "--compare", "--trace"]
    out, _ = reddiff("denoise", *picture, *flags, "--device", device.type, "--json")
    assert json.loads(out.splitlines()[0])["device"].startswith(device.type)
    written = {path.name for path in tmp_path.glob("p.denoise*")}
    ends = [".png", ".std.png", ".std.npy", ".compare.png", ".trace.gif"]
    assert written == {f"p.denoise{end}" for end in ends}


def test_phase_retrieval_explains_its_data(tmp_path, tiny_prior, device):
    x = np.zeros((32, 32))
    x[4:20, 6:18] = scene(16, 12)[:, :, 0] / 255
    np.save(tmp_path / "p.npy", np.abs(np.fft.fft2(x)))
    flags = ["--data", "amplitude", "--model", tiny_prior, "--steps", "4", "--json"]
    told, _ = reddiff("phase", tmp_path / "p.npy", *flags, "--device", device.type)
    out = json.loads(told.splitlines()[0])
    assert out["status"] == "ok"
    assert out["residual"] < 0.05


def test_evaluation_measures_memory_and_time(tmp_path, tiny_prior, device):
    Image.fromarray(scene(40, 56)).save(tmp_path / "p.png")
    flags = ["--model", tiny_prior, "--method", "reddiff:4,dps:4", "--crop", "32"]
    flags += ["--device", device.type]
    reddiff("eval", "denoise", tmp_path / "p.png", "-o", tmp_path / "e", *flags)
    rows = json.loads((tmp_path / "e" / "eval.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["ok"] * 3
    if device.type == "cuda":
        assert {row["peak_memory_of"] for row in rows[1:]} == {"device"}
        assert all(row["peak_memory_mb"] > 0 for row in rows[1:])


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_training_and_going_on_with_it(tmp_path, device, optimiser):
    if optimiser == "muon":
        pytest.importorskip("pytorch_optimizer")
    (tmp_path / "photos").mkdir()
    for k in range(3):
        Image.fromarray(scene(60, 70, seed=k)).save(tmp_path / "photos" / f"{k}.png")
    curve = []
    for steps, resume in ((7, False), (9, True)):
        settings = TrainOptions(
            *(tmp_path / "photos", tmp_path / "p"),
            size=16,
            channels=(8, 8),
            layers=1,
            batch=2,
            optimiser=optimiser,
            steps=steps,
            warmup=1,
            checkpoint_minutes=0.0,
            wide_every=3,
            resume=resume,
        )
        train(settings, device, lambda *_: None, lambda _: None)
        content = json.loads((tmp_path / "p" / "training.json").read_text())
        curve.append(content["steps"])
    assert curve == [7, 9]
    z, t = noisy(1, side=16)
    D = load_denoiser(tmp_path / "p", device, torch.float32)(z.to(device), t)
    assert bool(D.isfinite().all())


@needs_cuda
def test_peak_of_a_device_that_nothing_has_used_yet():
    program = (
        "import torch; from reddiff_cli.machine.memory import forget_peak, peak_memory\n"
        "device = torch.device('cuda'); forget_peak(device); print(peak_memory(device)[1])"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout.strip() == "device", told.stderr
