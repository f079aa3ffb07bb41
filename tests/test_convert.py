"""guided-diffusion files as diffusers folders: outputs, not names, decide whether it is right."""

import json
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DModel

from adm_network import random_adm
from reddiff_cli.checkpoints.folders import SCHEDULER
from reddiff_cli.errors import ModelMissing, UsageError
from reddiff_cli.networks import convert
from reddiff_cli.networks.convert import (
    FAMILIES,
    adm_config,
    convert_file,
    convert_folder,
    convert_state,
)
from reddiff_cli.networks.network import load_prior, new_config, save_prior
from reddiff_cli.networks.unet import make_unet
from reddiff_cli.networks.weights import split_heads, write_state

# The shapes of the published networks, 8 or 4 times narrower.
SMALL = {
    "imagenet256": replace(FAMILIES["imagenet256"], channels=32, head=16),
    "ffhq256": replace(FAMILIES["ffhq256"], channels=32, head=16),
}
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 64, 64, generator=generator), torch.tensor([700, 31])


@pytest.fixture(scope="module", params=SMALL)
def adm(request, pictures):
    """Family, state dict and output of a random ADM network."""
    family = SMALL[request.param]
    network = random_adm(family)
    with torch.no_grad():
        return family, network.state_dict(), network(*pictures)


@pytest.fixture
def small_families(monkeypatch):
    for name, family in SMALL.items():
        monkeypatch.setitem(convert.FAMILIES, name, family)


def stock_output(config, state, pictures):
    unet = UNet2DModel(**{k: v for k, v in config.items() if not k.startswith("_")}).eval()
    unet.load_state_dict(state)
    with torch.no_grad():
        return unet(*pictures).sample


def test_output_of_the_stock_network_equals_the_source(adm, pictures):
    family, state, expected = adm
    assert float(expected.std()) > 0.1
    output = stock_output(adm_config(family), convert_state(state, family), pictures)
    assert float((output - expected).abs().max()) < TOLERANCE


def plain_split(qkv, head):
    return tuple(part.clone() for part in qkv.chunk(3))


@pytest.mark.parametrize("adm", ["imagenet256"], indirect=True)
@pytest.mark.parametrize(
    ("change", "split"),
    [
        ({}, plain_split),
        ({"norm_eps": 1e-6}, split_heads),
        ({"flip_sin_to_cos": False}, split_heads),
        ({"freq_shift": 1}, split_heads),
        ({"attention_head_dim": 32}, split_heads),
    ],
    ids=["chunk", "eps", "sin", "shift", "heads"],
)
def test_each_known_mistake_would_be_seen(adm, pictures, monkeypatch, change, split):
    family, state, expected = adm
    monkeypatch.setattr(convert, "split_heads", split)
    config = {**adm_config(family), **change}
    output = stock_output(config, convert_state(state, family), pictures)
    assert float((output - expected).abs().max()) > 3 * TOLERANCE


@pytest.mark.parametrize("adm", ["imagenet256"], indirect=True)
def test_attention_in_the_middle_without_its_norm_would_be_seen(adm, pictures):
    """diffusers leaves the norm out when attn_norm_num_groups is not given, and says nothing."""
    family, state, expected = adm
    config = {**adm_config(family), "attn_norm_num_groups": None}
    converted = convert_state(state, family)
    kept = {k: v for k, v in converted.items() if "mid_block.attentions.0.group_norm" not in k}
    assert len(kept) == len(converted) - 2
    output = stock_output(config, kept, pictures)
    assert float((output - expected).abs().max()) > 3 * TOLERANCE


@pytest.mark.parametrize("adm", ["ffhq256"], indirect=True)
@pytest.mark.parametrize("archive", [True, False], ids=["zip", "legacy"])
def test_file_to_prior(tmp_path, adm, pictures, small_families, archive):
    family, state, expected = adm
    name = next(key for key, value in SMALL.items() if value == family)
    source = tmp_path / "weights.pt"
    torch.save(state, source, _use_new_zipfile_serialization=archive)
    folder = convert_file(source, tmp_path / "out" / "prior", name)
    prior = load_prior(folder)
    assert (prior.network.channels, prior.network.smallest, prior.prediction) == (
        3,
        256,
        "epsilon",
    )
    epsilon = prior.network(*pictures)
    assert float((epsilon - expected[:, :3]).abs().max()) < TOLERANCE
    assert sorted(path.name for path in folder.parent.iterdir()) == ["prior"]


@pytest.mark.parametrize("adm", ["ffhq256"], indirect=True)
def test_16_bit_files_become_fp32(adm):
    family, state, _ = adm
    half = {key: value.half() for key, value in state.items()}
    converted = convert_state(half, family)
    assert {value.dtype for value in converted.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("name", "parameters"), [("imagenet256", 552_814_086), ("ffhq256", 93_563_910)]
)
def test_real_sizes(name, parameters):
    """Names and shapes of the published networks, without their memory."""
    with torch.device("meta"):
        state = random_adm(FAMILIES[name]).state_dict()
        converted = convert_state(state, FAMILIES[name])  # checks every name and shape
    assert sum(value.numel() for value in converted.values()) == parameters


def test_what_cannot_be_expressed_is_refused(tmp_path, small_families):
    family = SMALL["ffhq256"]
    state = random_adm(family).state_dict()
    with pytest.raises(ModelMissing, match="class-conditional"):
        convert_state({**state, "label_emb.weight": torch.zeros(1000, 128)}, family)
    with pytest.raises(ModelMissing, match="another one"):
        convert_state(state, SMALL["imagenet256"])
    with pytest.raises(ModelMissing, match="another one"):
        convert_state(random_adm(SMALL["imagenet256"]).state_dict(), family)
    # ADM-512 halves its first width, so its time embedding is wider than 4 x that.
    wide = random_adm(replace(family, channels=64)).state_dict()
    mixed = {key: wide[key] if "time_embed" in key else value for key, value in state.items()}
    with pytest.raises(ModelMissing, match="time_embedding.*shape"):
        convert_state(mixed, family)
    torch.save({"model": state}, tmp_path / "nested.pt")
    with pytest.raises(ModelMissing, match=r"nested.pt: not a plain state dict"):
        convert_file(tmp_path / "nested.pt", tmp_path / "a", "ffhq256")
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(ModelMissing, match=r"w.pt: not a network of family imagenet256"):
        convert_file(tmp_path / "w.pt", tmp_path / "a", "imagenet256")
    with pytest.raises(ModelMissing, match="unknown; use imagenet256"):
        convert_file(tmp_path / "w.pt", tmp_path / "a", "adm512")
    assert not (tmp_path / "a").exists()


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the pickle was run')",))


def test_a_pickle_with_code_is_not_run(tmp_path):
    torch.save({"weight": Trap()}, tmp_path / "evil.pt")
    with pytest.raises(ModelMissing, match="could run code"):
        convert_file(tmp_path / "evil.pt", tmp_path / "a", "ffhq256")
    (tmp_path / "junk.pt").write_bytes(b"\x80\x02junk" * 10)
    with pytest.raises(ModelMissing, match=r"junk\.pt"):
        convert_file(tmp_path / "junk.pt", tmp_path / "a", "ffhq256")


def test_an_existing_folder_is_left_alone(tmp_path, small_families):
    torch.save(random_adm(SMALL["ffhq256"]).state_dict(), tmp_path / "w.pt")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        convert_file(tmp_path / "w.pt", tmp_path / "a", "ffhq256")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["letter.txt"]


def save_port(folder, family, state):
    """A folder as a fork of diffusers writes it: q, k, v by a plain split, and its own keys."""
    folder.mkdir()
    config = adm_config(family)
    for key in ("flip_sin_to_cos", "freq_shift", "attn_norm_num_groups", "norm_eps"):
        config.pop(key)
    config |= {"time_embedding_type": "adm", "attention_legacy_order": True}
    converted = convert_state(state, family)
    for old, new in convert._attentions(family):
        for kind in ("weight", "bias"):
            parts = state[f"{old}.qkv.{kind}"].flatten(1 if kind == "weight" else 0).chunk(3)
            names = [f"{new}.{part}.{kind}" for part in ("to_q", "to_k", "to_v")]
            converted.update(zip(names, (part.clone() for part in parts), strict=True))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "scheduler_config.json").write_text(json.dumps(convert.ADM_SCHEDULER))
    return converted


@pytest.mark.parametrize("adm", ["imagenet256"], indirect=True)
def test_ports_of_adm_networks_are_repaired(tmp_path, adm, pictures):
    family, state, expected = adm
    ported = save_port(tmp_path / "port", family, state)
    write_state(tmp_path / "port" / "diffusion_pytorch_model.safetensors", ported)
    epsilon = load_prior(tmp_path / "port").network(*pictures)
    assert float((epsilon - expected[:, :3]).abs().max()) < TOLERANCE


@pytest.mark.parametrize("adm", ["ffhq256"], indirect=True)
def test_a_folder_with_a_pickle_is_refused_until_it_is_converted(tmp_path, adm, pictures):
    family, state, expected = adm
    ported = save_port(tmp_path / "port", family, state)
    torch.save(ported, tmp_path / "port" / "diffusion_pytorch_model.bin")
    with pytest.raises(ModelMissing, match="models convert"):
        load_prior(tmp_path / "port")
    (tmp_path / "port" / "card.json").write_text('{"turns": "none"}')
    convert_folder(tmp_path / "port", tmp_path / "new")
    assert json.loads((tmp_path / "new" / "card.json").read_text()) == {"turns": "none"}
    epsilon = load_prior(tmp_path / "new").network(*pictures)
    assert float((epsilon - expected[:, :3]).abs().max()) < TOLERANCE
    stored = json.loads((tmp_path / "new" / "config.json").read_text())
    assert "attention_legacy_order" not in stored


@pytest.mark.parametrize(
    ("config", "scheduler", "message"),
    [
        ({"num_class_embeds": 10}, {}, "class-conditional"),
        ({"class_embed_type": "timestep"}, {}, "class-conditional"),
        ({"norm_eps": "1e-5"}, {}, "norm_eps = '1e-5'; it is of the wrong kind"),
        ({"out_channels": 5}, {}, "3 input and 5 output channels"),
        ({"zero_mean": True}, {"prediction_type": "sample"}, "zero_mean is for epsilon"),
        ({}, {"prediction_type": "flow"}, "prediction_type 'flow'"),
        ({}, {"_class_name": "ScoreSdeVeScheduler"}, "score network"),
        ({}, {"beta_schedule": "laplace"}, "'laplace' is not supported"),
        ({}, {"num_train_timesteps": None}, "cannot be loaded"),
    ],
)
def test_what_no_command_would_take_is_not_converted(tmp_path, config, scheduler, message):
    """It was, with exit code 0, and --model refused the new folder."""
    torch.manual_seed(0)
    stored = new_config((8, 8), 1, 16, 1, 8) | config
    state = make_unet(stored).state_dict()
    save_prior(tmp_path / "p", stored, state, "epsilon")
    path = tmp_path / "p" / SCHEDULER
    path.write_text(json.dumps(json.loads(path.read_text()) | scheduler))
    with pytest.raises(ModelMissing, match=message):
        load_prior(tmp_path / "p")
    with pytest.raises(ModelMissing, match=message):
        convert_folder(tmp_path / "p", tmp_path / "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["p"]
