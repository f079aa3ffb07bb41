"""The boundary denoiser(z, t) -> D, against the raw network and against diffusers."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from conftest import save_random_prior
from doubles import windows_everywhere
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.denoisers.denoiser import Denoiser, load_denoiser, load_model
from reddiff_cli.denoisers.grey import Completion
from reddiff_cli.errors import DeviceMissing, ModelMissing, UsageError
from reddiff_cli.machine.computing import choose_device, choose_dtype, compute_exactly
from reddiff_cli.metrics import psnr
from reddiff_cli.networks.network import WEIGHTS, load_prior
from reddiff_cli.pictures.files import load_picture
from reddiff_cli.schedule import linear_betas

CPU = torch.device("cpu")
PICTURES = Path(__file__).parent / "pictures"


def save_diffusers(folder, prediction="epsilon", out_channels=3):
    """A folder written by diffusers itself, as any user may have one."""
    torch.manual_seed(1)
    unet = UNet2DModel(
        sample_size=32,
        in_channels=3,
        out_channels=out_channels,
        layers_per_block=1,
        block_out_channels=(16, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        add_attention=False,
    )
    unet.save_pretrained(folder)
    scheduler = DDPMScheduler(prediction_type=prediction, clip_sample=False)
    scheduler.save_config(folder)
    return unet.eval(), scheduler


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_d_equals_diffusers_pred_original_sample(tmp_path, prediction):
    unet, scheduler = save_diffusers(tmp_path, prediction)
    denoiser = load_denoiser(tmp_path, CPU, torch.float32)
    x_t = torch.randn(2, 3, 16, 16)
    t = torch.tensor([120, 120])
    with torch.no_grad():
        out = unet(x_t, t).sample
    expected = scheduler.step(out, 120, x_t).pred_original_sample
    z = x_t / scheduler.alphas_cumprod[120].sqrt()
    torch.testing.assert_close(denoiser(z, t), expected, atol=1e-5, rtol=1e-5)


def test_learned_variance_is_cut_off(tmp_path):
    unet, scheduler = save_diffusers(tmp_path, out_channels=6)
    denoiser = load_denoiser(tmp_path, CPU, torch.float32)
    t = torch.tensor([300])
    z = torch.randn(1, 3, 16, 16)
    abar = scheduler.alphas_cumprod[300]
    with torch.no_grad():
        eps = unet(abar.sqrt() * z, t).sample[:, :3]
    expected = z - ((1 - abar) / abar).sqrt() * eps
    torch.testing.assert_close(denoiser(z, t), expected, atol=1e-5, rtol=1e-5)


def test_unshuffled_network_sees_blocks_as_channels(tiny_prior):
    prior = load_prior(tiny_prior)
    assert (prior.network.channels, prior.network.multiple) == (3, 4)
    denoiser = Denoiser(prior, CPU, torch.float32)
    z, t = torch.randn(1, 3, 16, 24), torch.tensor([50])
    abar = prior.schedule.alpha_bar[50].float()
    seen = torch.nn.functional.pixel_unshuffle(abar.sqrt() * z, 2)
    with torch.no_grad():
        v = torch.nn.functional.pixel_shuffle(prior.network.unet(seen, t), 2)
    expected = abar * z - (1 - abar).sqrt() * v
    torch.testing.assert_close(denoiser(z, t), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(17, 23), (1, 1), (3, 40), (16, 16)])
def test_any_size_goes_through(tiny_prior, shape):
    denoiser = load_denoiser(tiny_prior, CPU, torch.float32)
    clean = denoiser(torch.randn(1, 3, *shape), torch.tensor([10]))
    assert clean.shape == (1, 3, *shape)
    assert bool(clean.isfinite().all())


def test_grey_picture_under_a_colour_prior(tiny_prior):
    denoiser = load_denoiser(tiny_prior, CPU, torch.float32)
    z, t = torch.randn(3, 1, 16, 16), torch.tensor([100, 700, 100])
    colour, told = Completion(denoiser.schedule)(z, t)
    assert torch.equal(denoiser(z, t), denoiser(colour, told).mean(1, keepdim=True))
    rows = [denoiser(z[k : k + 1], t[k : k + 1]) for k in range(3)]
    torch.testing.assert_close(denoiser(z, t), torch.cat(rows))


@pytest.mark.parametrize("step", [0, 50, 300, 960, 999])
def test_noise_of_a_completed_grey_picture_is_what_a_colour_network_expects(step):
    schedule = linear_betas()
    s = float(schedule.s[step])
    eps = torch.randn(1, 1, 200, 200, generator=torch.Generator().manual_seed(1))
    colour, told = Completion(schedule)(s * eps, torch.tensor([step]))
    torch.testing.assert_close(colour.mean(1, keepdim=True), s * eps, atol=1e-4 * s, rtol=0)
    wanted = min(3**0.5 * s, float(schedule.s[-1]))
    level = float(schedule.s[int(told)])
    assert level == pytest.approx(wanted, rel=0.1)
    covariance = colour[0].flatten(1).cov()
    assert float(covariance.diag().mean()) == pytest.approx(level**2, rel=0.02)
    if level < float(schedule.s[-1]) and step:  # else channels cannot be independent
        torch.testing.assert_close(covariance, level**2 * torch.eye(3), atol=0.08 * s**2, rtol=0)


def test_grey_photographs_are_denoised_as_well_as_their_colours_are():
    """Three noisy channels tell more than one; equal channels with equal noise lose 7 dB more."""
    denoiser = load_model(find_model("natural"), CPU, torch.float32)
    picture = torch.from_numpy(load_picture(PICTURES / "coffee.png").pixels).permute(2, 0, 1)
    x = picture[None, :, :96, :96] * 2 - 1
    grey = x.mean(1, keepdim=True)
    noise = 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([denoiser.schedule.nearest_t(0.2)])
    in_colour = psnr(denoiser(x + noise, t), x)
    in_grey = psnr(denoiser(grey + noise[:, :1], t), grey)
    assert float(in_grey) > float(in_colour) - 2.5


def natural(dtype=torch.float32, **changes):
    prior = load_prior(find_model("natural").folder, dtype=dtype)
    for name, value in changes.items():
        setattr(prior.network, name, value)
    return Denoiser(prior, torch.device("cpu"), dtype), prior


def test_above_the_last_level_it_knows_a_network_sees_that_level():
    denoiser, prior = natural()
    s, last = prior.schedule.s, prior.network.highest
    assert 14 < float(s[last]) < 16
    x = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    steps = torch.tensor([999, 300, last, 900])
    levels = s[steps].float()[:, None, None, None]
    z = x + levels * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    seen = denoiser(z, steps)
    faint = z * (s[steps.clamp(max=last)].float()[:, None, None, None] / levels)
    torch.testing.assert_close(seen, denoiser(faint, steps.clamp(max=last)))
    for row in range(4):  # one level for all rows is looked up elsewhere
        one = slice(row, row + 1)
        torch.testing.assert_close(denoiser(z[one], steps[one]), seen[one], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_at_the_top_of_the_schedule_d_is_near_the_mean_of_pictures(dtype):
    """Whatever the noise: 1000 times the error of eps would be seen otherwise."""
    denoiser, prior = natural(dtype)
    asked, _ = natural(dtype, highest=None, zero_mean=False)
    for level in (20.0, 150.0):
        t = torch.tensor([prior.schedule.nearest_t(level)])
        noise = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
        z = 0.1 + level * noise
        assert float(denoiser(z, t).square().mean().sqrt()) < 0.3
        assert float(asked(z, t).square().mean().sqrt()) > 1


def test_a_level_without_noise_shows_the_picture_itself(tiny_prior):
    prior = load_prior(tiny_prior)
    schedule = replace(prior.schedule, alpha_bar=prior.schedule.alpha_bar.clone())
    schedule.alpha_bar[0] = 1
    denoiser = Denoiser(replace(prior, schedule=schedule), torch.device("cpu"), torch.float32)
    z = torch.randn(2, 3, 32, 32)
    assert torch.equal(denoiser(z, torch.tensor([0, 0])), z)
    assert bool(denoiser(z, torch.tensor([0, 500])).isfinite().all())


def test_gradient_above_the_last_level():
    denoiser, _ = natural()
    z = 100 * torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    z.requires_grad_()
    denoiser.recorded(z, torch.tensor([950])).square().sum().backward()
    assert bool(z.grad.isfinite().all())
    assert 0 < float(z.grad.abs().max()) < 1


def test_batches_larger_than_a_micro_batch(tiny_prior):
    denoiser = load_denoiser(tiny_prior, CPU, torch.float32)
    z, t = torch.randn(19, 3, 8, 8), torch.arange(0, 950, 50)
    rows = torch.cat([denoiser(z[i : i + 1], t[i : i + 1]) for i in range(19)])
    torch.testing.assert_close(denoiser(z, t), rows, atol=1e-4, rtol=1e-4)


def test_nothing_is_recorded(tiny_prior):
    denoiser = load_denoiser(tiny_prior, CPU, torch.float32)
    z = torch.randn(1, 3, 8, 8, requires_grad=True)
    assert not denoiser(z, torch.tensor([5])).requires_grad


def slope(denoiser, z, t, vector):
    """Gradient of <D(z), vector> in z, recorded."""
    leaf = z.clone().requires_grad_(True)
    clean = denoiser(leaf, t)
    (gradient,) = torch.autograd.grad(clean, leaf, vector)
    return clean.detach(), gradient


def change_along(denoiser, z, t, way, h=0.02):
    """Derivative of D at z along a direction, by differences of the fourth order."""
    near, far = (denoiser(z + k * way, t) - denoiser(z - k * way, t) for k in (h, 2 * h))
    return (8 * near - far) / (12 * h)


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (1, 1, 16, 16), (1, 3, 9, 13), (6, 1, 5, 8)])
def test_recorded_gradient_is_that_of_finite_differences(tiny_prior, shape):
    """Colour and grey, padded or not, few rows or more than are recorded at once."""
    denoiser = load_denoiser(tiny_prior, CPU, torch.float32)
    torch.manual_seed(3)
    z, vector, way = torch.randn(3, *shape).unbind(0)
    t = torch.full((shape[0],), 200)
    clean, gradient = slope(denoiser.recorded, z, t, vector)
    torch.testing.assert_close(clean, denoiser(z, t), atol=1e-5, rtol=1e-5)
    measured = (change_along(denoiser, z, t, way) * vector).flatten(1).sum(1)
    expected = (gradient * way).flatten(1).sum(1)  # row by row: none sees another
    torch.testing.assert_close(measured, expected, rtol=1e-3, atol=1e-4 * float(gradient.norm()))


def test_recorded_rows_beyond_a_part_give_the_same_gradient(tiny_prior):
    denoiser = load_denoiser(tiny_prior, CPU, torch.float32)
    torch.manual_seed(5)
    z, vector = torch.randn(2, 9, 3, 8, 8).unbind(0)
    t = torch.arange(0, 900, 100)
    rows = [slice(k, k + 1) for k in range(9)]
    alone = [slope(denoiser.recorded, z[k], t[k], vector[k])[1] for k in rows]
    _, gradient = slope(denoiser.recorded, z, t, vector)
    torch.testing.assert_close(gradient, torch.cat(alone), atol=1e-4, rtol=1e-4)


def test_recording_leaves_weights_alone_and_runs_through_windows(tiny_prior):
    prior = load_prior(tiny_prior)
    denoiser = Denoiser(prior, CPU, torch.float32)
    work = windows_everywhere(20, 28, 16, 4)
    torch.manual_seed(4)
    z, t = work.take(torch.randn(1, 3, 20, 28)), torch.tensor([300])
    vector, way = torch.randn_like(z), torch.randn_like(z)
    _, gradient = slope(lambda z, t: work.denoise(denoiser.recorded, z, t), z, t, vector)
    change = change_along(lambda z, t: work.denoise(denoiser, z, t), z, t, way)
    assert (gradient * way).sum().item() == pytest.approx(
        (change * vector).sum().item(), rel=1e-3, abs=1e-4 * float(gradient.norm())
    )
    assert all(p.grad is None and not p.requires_grad for p in prior.network.parameters())


def test_bf16_gradient_is_near_fp32(tiny_prior):
    torch.manual_seed(6)
    z, vector, t = torch.randn(1, 3, 16, 16), torch.randn(1, 3, 16, 16), torch.tensor([144])
    _, exact = slope(load_denoiser(tiny_prior, CPU, torch.float32).recorded, z, t, vector)
    _, rough = slope(load_denoiser(tiny_prior, CPU, torch.bfloat16).recorded, z, t, vector)
    assert rough.dtype == torch.float32
    assert float((rough - exact).norm() / exact.norm()) < 0.05


def test_bf16_is_near_fp32(tiny_prior):
    z, t = torch.randn(1, 3, 32, 32), torch.tensor([57])
    exact = load_denoiser(tiny_prior, CPU, torch.float32)(z, t)
    rough = load_denoiser(tiny_prior, CPU, torch.bfloat16)(z, t)
    assert rough.dtype == torch.float32
    assert float((rough - exact).abs().max()) < 0.05


def test_what_a_check_raises_ends_an_evaluation(tiny_prior):
    denoiser = load_denoiser(tiny_prior, CPU, torch.float32)
    z, t = torch.full((1, 3, 32, 32), 0.3), torch.tensor([20])
    before, calls = denoiser(z, t), []

    def check():
        calls.append(1)
        if len(calls) == 3:
            raise KeyError

    denoiser.heed(check)
    with pytest.raises(KeyError):
        denoiser(z, t)
    assert len(calls) == 3
    assert torch.equal(denoiser(z, t), before)
    assert len(calls) > 10


def test_large_picture_in_windows_has_no_seam_on_a_constant(tiny_prior):
    """D of a per-pixel function in windows is that function, and windows blend without a step."""
    denoiser = load_denoiser(tiny_prior, CPU, torch.float32)
    work = windows_everywhere(70, 90, 32, 8)
    z, t = torch.full((1, 3, 70, 90), 0.3), torch.tensor([20])
    blended = work.put(z, work.denoise(denoiser, work.take(z), t))
    steps = [(blended[:, :, 1:] - blended[:, :, :-1]), (blended[..., 1:] - blended[..., :-1])]
    whole = denoiser(z, t)
    largest = max(float((whole[..., 1:] - whole[..., :-1]).abs().max()), 1e-3)
    assert max(float(step.abs().max()) for step in steps) < 2 * largest + 0.02


def test_damaged_folders_are_refused(tmp_path):
    folder = save_random_prior(tmp_path / "p")
    (folder / WEIGHTS).write_bytes(b"no tensors here")
    with pytest.raises(ModelMissing, match="cannot be loaded"):
        load_prior(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelMissing, match="missing"):
        load_prior(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelMissing, match="JSON"):
        load_prior(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("num_class_embeds", 10, "class-conditional"),
        ("attention_legacy_order", True, "attention_legacy_order"),
        ("in_channels", 7, "7 input channels"),
        ("_class_name", "UNet2DConditionModel", "UNet2DConditionModel"),
        ("down_block_types", ["NoSuchBlock", "DownBlock2D"], "cannot build"),
    ],
)
def test_networks_that_would_compute_something_else(tmp_path, key, value, message):
    folder = save_random_prior(tmp_path / "p", unshuffle=1)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(ModelMissing, match=message):
        load_prior(folder)


@pytest.mark.parametrize(
    ("name", "weight", "message"),
    [
        ("conv_in.weight", torch.zeros(1), "size mismatch for conv_in.weight"),
        ("conv_in.weight", None, "Missing key.*conv_in.weight"),
        ("more", torch.zeros(1), "Unexpected key.*more"),
    ],
)
def test_wrong_weights_are_refused(tmp_path, name, weight, message):
    folder = save_random_prior(tmp_path / "p")
    state = load_file(folder / WEIGHTS) | {name: weight}
    saved = {key: value.clone() for key, value in state.items() if value is not None}
    save_file(saved, folder / WEIGHTS)
    with pytest.raises(ModelMissing, match=message):
        load_prior(folder)


def test_too_few_weights_are_refused(tmp_path):
    folder = save_random_prior(tmp_path / "p")
    save_file({"conv_in.weight": torch.zeros(1)}, folder / WEIGHTS)
    with pytest.raises(ModelMissing, match="1 weights are too few"):
        load_prior(folder)


def test_devices():
    assert choose_device("cpu") == CPU
    assert choose_dtype("fp32", CPU) == torch.float32
    assert choose_dtype("auto", torch.device("cuda")) == torch.float16
    for name in ("warp", "autofoo", "auto:x", "auto@-3", "cpu@1", "cpu:7", "cuda:", "CPU", ""):
        with pytest.raises(UsageError, match=f"--device {name}: unknown; use auto, cpu"):
            choose_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceMissing, match="0 CUDA"):
            choose_device("cuda")
        assert choose_device("auto").type in ("cpu", "mps")


@pytest.mark.parametrize("own", [None, ":16:8"])
def test_deterministic_fixes_the_workspace_of_cublas(own, monkeypatch):
    """Unless someone has; without it CUDA says in a warning that its products are not."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", own or "")  # and as it was afterwards
    if own is None:
        monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *_, **__: None)
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda _: None)
    for name in ("benchmark", "allow_tf32"):
        monkeypatch.setattr(torch.backends.cudnn, name, False)
    compute_exactly()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == (own or ":4096:8")


def test_alpha_bar_comes_from_the_scheduler_of_the_folder(tmp_path):
    folder = save_random_prior(tmp_path / "p")
    scheduler = json.loads((folder / "scheduler_config.json").read_text())
    scheduler["beta_schedule"] = "scaled_linear"
    (folder / "scheduler_config.json").write_text(json.dumps(scheduler))
    assert not torch.equal(load_prior(folder).schedule.alpha_bar, linear_betas().alpha_bar)


def save_small(folder, channels, attention):
    """A network of diffusers for 1 or 3 channels, with attention (trained on 32) or without."""
    torch.manual_seed(2)
    unet = UNet2DModel(
        sample_size=32,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(16, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D" if attention else "DownBlock2D"),
        up_block_types=("AttnUpBlock2D" if attention else "UpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        add_attention=attention,
    )
    unet.save_pretrained(folder)
    DDPMScheduler().save_config(folder)
    return unet.eval()


def test_colour_picture_under_a_grey_prior(tmp_path):
    save_small(tmp_path, 1, attention=False)
    denoiser = load_denoiser(tmp_path, CPU, torch.float32)
    z, t = torch.randn(2, 3, 16, 16), torch.tensor([100, 700])
    planes = [denoiser(z[:, c : c + 1], t) for c in range(3)]
    torch.testing.assert_close(denoiser(z, t), torch.cat(planes, 1), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="2 channels, prior has 1"):
        denoiser(z[:, :2], t)


def test_small_pictures_are_continued_to_what_attention_knows(tmp_path):
    unet = save_small(tmp_path, 3, attention=True)
    denoiser = load_denoiser(tmp_path, CPU, torch.float32)
    z, t = torch.randn(1, 3, 20, 32), torch.tensor([300])
    mirrored = torch.cat([z, z[:, :, 7:19].flip(2)], 2)
    abar = denoiser.schedule.alpha_bar[300].float()
    with torch.no_grad():
        eps = unet(abar.sqrt() * mirrored, t).sample
    expected = (mirrored - ((1 - abar) / abar).sqrt() * eps)[:, :, :20]
    torch.testing.assert_close(denoiser(z, t), expected, atol=1e-5, rtol=1e-5)
    for shape in ((1, 1), (2, 33), (40, 7)):
        assert denoiser(torch.randn(1, 3, *shape), t).shape == (1, 3, *shape)
    # A card may allow less.
    less = load_denoiser(tmp_path, CPU, torch.float32, smallest=20)
    with torch.no_grad():
        eps = unet(abar.sqrt() * z, t).sample
    expected = z - ((1 - abar) / abar).sqrt() * eps
    torch.testing.assert_close(less(z, t), expected, atol=1e-5, rtol=1e-5)
