"""Diffusers folders of every kind that priors come in, against diffusers' own networks."""

import json

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DModel

from conftest import save_random_prior
from reddiff_cli.checkpoints.folders import CONFIG, NESTED, PICKLE, SCHEDULER, WEIGHTS, native_size
from reddiff_cli.checkpoints.models import find_model
from reddiff_cli.errors import ModelMissing
from reddiff_cli.networks.network import build, load_prior, new_config, save_prior

OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
# The keys of google/ddpm-*-256 as diffusers 0.0.4 wrote them, 8 times narrower and at 128 pixels.
GOOGLE = {
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.0.4",
    "act_fn": "silu",
    "attention_head_dim": None,
    "block_out_channels": [32, 32, 64, 64, 64, 64],
    "center_input_sample": False,
    "down_block_types": ["DownBlock2D"] * 4 + ["AttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "in_channels": 3,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 128,
    "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * 4,
}
GOOGLE_SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "_diffusers_version": "0.1.1",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": True,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "variance_type": "fixed_small",
}


def write(folder, config, scheduler):
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config))
    (folder / SCHEDULER).write_text(json.dumps(scheduler))


def test_noise_has_no_mean_colour():
    """The picture hides it; what a network says of it is its own bias."""
    prior = load_prior(find_model("natural").folder)
    x_t = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([100, 400, 731])
    eps = prior.network(x_t, t)
    assert float(eps.mean((2, 3)).abs().max()) < 1e-6
    half = load_prior(find_model("natural").folder, dtype=torch.bfloat16)
    assert float(half.network(x_t.bfloat16(), t).mean((2, 3)).abs().max()) < 1e-6
    prior.network.zero_mean = False
    plain = prior.network(x_t, t)
    assert float(plain.mean((2, 3)).abs().max()) > 1e-3
    torch.testing.assert_close(eps, plain - plain.mean((2, 3), True))


@pytest.mark.parametrize(
    ("value", "prediction", "told"),
    [(1, "epsilon", "zero_mean 1; must be true or false"), (True, "sample", "not for sample")],
)
def test_zero_mean_where_it_makes_no_sense_is_refused(tmp_path, value, prediction, told):
    config = new_config((8, 8), 1, 16, 1, 8)
    save_prior(tmp_path, config, build(config).unet.state_dict(), prediction)
    (tmp_path / CONFIG).write_text(json.dumps(config | {"zero_mean": value}))
    with pytest.raises(ModelMissing, match=told):
        load_prior(tmp_path)


@pytest.mark.parametrize("value", [-1, "731", 7.5])
def test_a_highest_time_step_that_is_none_is_refused(value):
    with pytest.raises(ModelMissing, match=f"highest_timestep {value!r}; must be"):
        build(new_config((8, 8), 1, 16, 1, 8) | {"highest_timestep": value})


def test_google_layout_of_2022(tmp_path):
    torch.manual_seed(0)
    write(tmp_path, GOOGLE, GOOGLE_SCHEDULER)
    unet = UNet2DModel.from_config(GOOGLE).eval()
    state = {}
    for key, value in unet.state_dict().items():
        for new, old in OLD_NAMES.items():
            key = key.replace(f".{new}.", f".{old}.") if ".attentions." in key else key
        state[key] = value
    assert any("proj_attn" in key for key in state)
    torch.save(state, tmp_path / PICKLE)
    with pytest.raises(ModelMissing, match="models convert"):
        load_prior(tmp_path)
    prior = load_prior(tmp_path, PICKLE)
    assert (prior.network.multiple, prior.network.smallest) == (32, 128)
    x, t = torch.randn(1, 3, 128, 128), torch.tensor([400])
    with torch.no_grad():
        expected = unet(x, t).sample
    torch.testing.assert_close(prior.network(x, t), expected, atol=1e-5, rtol=1e-5)
    alpha_bar = DDPMScheduler.from_config(GOOGLE_SCHEDULER).alphas_cumprod
    torch.testing.assert_close(prior.schedule.alpha_bar.float(), alpha_bar)


def test_saved_pipelines_have_sub_folders(tmp_path):
    folder = save_random_prior(tmp_path / "p")
    flat = load_prior(folder).network
    for part in ("unet", "scheduler"):
        (folder / part).mkdir()
    for name, place in zip((CONFIG, SCHEDULER, WEIGHTS), NESTED, strict=True):
        (folder / name).rename(folder / place)
    x, t = torch.randn(1, 3, 16, 16), torch.tensor([9])
    assert torch.equal(load_prior(folder).network(x, t), flat(x, t))


@pytest.mark.parametrize(
    ("config", "scheduler", "message"),
    [
        (
            {"time_embedding_type": "fourier", "down_block_types": ["SkipDownBlock2D"] * 2},
            {"_class_name": "ScoreSdeVeScheduler", "sigma_max": 1348.0},
            "NCSN",
        ),
        ({}, {"_class_name": "EDMEulerScheduler", "sigma_max": 80.0}, "EDMEulerScheduler"),
        ({}, {"_class_name": "IPNDMScheduler", "trained_betas": None}, "IPNDM.* names no betas"),
        ({}, {"beta_schedule": "linear", "rescale_betas_zero_snr": True}, "zero_snr"),
        ({}, {"beta_schedule": "linear", "use_flow_sigmas": True}, "use_flow_sigmas"),
        ({}, {"beta_schedule": "laplace"}, "'laplace' is not supported; only linear"),
        ({}, {"beta_schedule": "linear", "prediction_type": "flow"}, "flow"),
    ],
    ids=["ncsnpp", "edm", "ipndm", "zero-snr", "flow-sigmas", "betas", "prediction"],
)
def test_other_diffusions_are_refused(tmp_path, config, scheduler, message):
    folder = save_random_prior(tmp_path / "p", unshuffle=1)
    stored = json.loads((folder / CONFIG).read_text())
    write(folder, {**stored, **config}, scheduler)
    with pytest.raises(ModelMissing, match=message):
        load_prior(folder)


@pytest.mark.parametrize(
    ("config", "scheduler", "message"),
    [
        ({"in_channels": ...}, {}, "in_channels is missing"),
        ({"block_out_channels": ...}, {}, "block_out_channels is missing"),
        ({"block_out_channels": 3}, {}, "block_out_channels = 3; it is of the wrong kind"),
        ({"in_channels": None}, {}, "in_channels = None; it is"),
        (
            {"layers_per_block": 100_000},
            {},
            "2 levels with 100000 layers_per_block, for which 102",
        ),
        ({"block_out_channels": [16] * 100_000}, {}, "100000 levels with 1 layers_per_block"),
        ({"norm_eps": "1e-5"}, {}, "norm_eps = '1e-5'; it is"),
        ({"norm_eps": None}, {}, "norm_eps = None; it is"),
        ({"freq_shift": [0]}, {}, r"freq_shift = \[0\]; it is"),
        ({"pixel_unshuffle": 0}, {}, "need 1 or 3"),
        ({"out_channels": 4}, {}, "12 input and 4 output channels; need as many"),
        ({"out_channels": 36}, {}, "12 input and 36 output channels"),
        ({"out_channels": ...}, {}, "12 input and 3 output channels"),
        ({"norm_num_groups": 0}, {}, "ZeroDivisionError"),
        ({}, {"num_train_timesteps": None}, "TypeError"),
        ({}, {"num_train_timesteps": 0}, "betas are missing"),
        ({}, {"num_train_timesteps": 10**13}, "num_train_timesteps 10000000000000 are too many"),
        ({}, {"trained_betas": "no"}, "cannot be loaded"),
        ({}, {"beta_end": 1.5}, "between 0 and 1"),
    ],
)
def test_damaged_configurations_are_one_line(tmp_path, config, scheduler, message):
    folder = save_random_prior(tmp_path / "p")
    parts = [(CONFIG, config), (SCHEDULER, scheduler)]
    changed = [json.loads((folder / name).read_text()) | change for name, change in parts]
    write(folder, *({k: v for k, v in part.items() if v is not ...} for part in changed))
    with pytest.raises(ModelMissing, match=message):
        load_prior(folder)


def test_memory_that_runs_out_is_no_damage(tmp_path, monkeypatch):
    def full(path):
        raise MemoryError

    folder = save_random_prior(tmp_path / "p")
    monkeypatch.setattr("reddiff_cli.networks.weights.read_state", full)
    with pytest.raises(MemoryError):
        load_prior(folder)


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (GOOGLE, 128),
        ({**GOOGLE, "sample_size": [64, 96]}, 96),
        ({**GOOGLE, "sample_size": None}, None),
        ({"down_block_types": ["DownBlock2D"], "sample_size": 32, "add_attention": False}, None),
        ({"down_block_types": ["DownBlock2D"], "sample_size": 32, "pixel_unshuffle": 2}, 64),
    ],
)
def test_size_that_a_network_was_trained_on(config, size):
    assert native_size(config) == size


@pytest.mark.parametrize("change", [{"down_block_types": None}, {"sample_size": "x"}])
def test_a_size_of_the_wrong_kind_is_one_line(change):
    with pytest.raises(ModelMissing, match="wrong kind"):
        native_size(GOOGLE | change | {"add_attention": True})
