"""Cards and folders: names, missing files, identities, sizes, and the commands around them."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from adm_network import random_adm
from conftest import save_random_prior
from reddiff_cli import budget
from reddiff_cli.budget import fit
from reddiff_cli.checkpoints import cards, hub, models
from reddiff_cli.checkpoints.cards import KEYS, Card, HubOrigin, read_cards
from reddiff_cli.checkpoints.folders import CARD, FLAT, PICKLE, WEIGHTS
from reddiff_cli.checkpoints.models import all_cards, find_model
from reddiff_cli.cli import app
from reddiff_cli.denoisers.denoiser import load_model
from reddiff_cli.errors import ModelMissing
from reddiff_cli.evaluation.run import OF_A_CARD
from reddiff_cli.holes.shape import cheapest_patchwork
from reddiff_cli.networks import convert
from reddiff_cli.networks.convert import FAMILIES, Family
from reddiff_cli.networks.weights import read_state
from reddiff_cli.options.common import OutputOptions, SolverOptions
from reddiff_cli.options.damages import Damage, RestoreOptions, parse_degrade
from reddiff_cli.options.kernelspec import parse_kernel
from reddiff_cli.options.tasks import (
    DeblurOptions,
    DenoiseOptions,
    HdrOptions,
    InpaintOptions,
    SuperresOptions,
)
from reddiff_cli.planning.jobs import Job
from reddiff_cli.planning.record import files_of, make_record

NATURAL = "[a]\nformat='diffusers'\nbundled='x'\n"
HUB = f'repo = "a/b"\nrevision = "{"0" * 40}"\n'
CPU = torch.device("cpu")
CHAINS = {"dps": 1.0, "pigdm": 3.0}


def reddiff(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_bundled_prior_is_there():
    card = find_model("natural")
    assert re.fullmatch("[0-9a-f]{12}", card.revision)
    assert (card.folder / "README.md").is_file()
    assert card.licence
    assert card.wide_hole == "guided"
    assert card.turns == "all"
    assert (card.window, card.tile, card.smallest) == (256, 768, 64)


def test_folder_is_a_model(tiny_prior):
    card = find_model(str(tiny_prior))
    assert card.folder == tiny_prior
    assert card.wide_hole == "patches"


def test_revision_follows_the_weights(tmp_path):
    one = save_random_prior(tmp_path / "a", seed=1)
    two = save_random_prior(tmp_path / "b", seed=2)
    assert find_model(str(one)).revision != find_model(str(two)).revision


def test_unknown_names_and_missing_files(tmp_path):
    for name in ("nonesuch", "./none/such", "a/b/c", "a/b@", "/a/b", "https://x/y"):
        with pytest.raises(ModelMissing, match="neither a known name"):
            find_model(name)
    folder = save_random_prior(tmp_path / "a")
    state = read_state(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelMissing, match=WEIGHTS):
        find_model(str(folder))
    torch.save(state, folder / PICKLE)
    with pytest.raises(ModelMissing, match="reddiff models convert"):
        find_model(str(folder))
    assert reddiff("models", "convert", folder, tmp_path / "new").exit_code == 0
    moved = read_state(find_model(str(tmp_path / "new")).folder / WEIGHTS)
    assert all(torch.equal(moved[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a]\nformat='zip'\nbundled='x'", "format"),
        ("[a]\nformat='diffusers'", "needs one of"),
        ("not toml [", "cannot be read"),
        ("a = 3", "not a table"),
        ("[a]\nformat='diffusers'\nbundled='x'\nrepo='y'", "needs one of"),
        ("[a]\nformat='diffusers'\nbundled='x'\nwide_hole='magic'", "wide_hole"),
        ("[a]\nformat='diffusers'\nbundled='x'\nturns='some'", "turns = 'some'; use all, mirror"),
        ("[a]\nformat='diffusers'\nbundled='x'\nwindow='big'", "wrong kind"),
        ("[a]\nformat='diffusers'\nbundled='x'\nwindow=0", "below 16 pixels"),
        ("[a]\nformat='diffusers'\nbundled='x'\nwindwo=3", "unknown key windwo"),
        ("[a]\nformat='diffusers'\nrepo='a/b'\nrevision='main'", "40 hexadecimal"),
        (f"[a]\nformat='diffusers'\n{HUB}file='x.bin'", "needs the sha256 of x.bin"),
        (f"[a]\nformat='diffusers'\n{HUB}sha256='abc'", "64 hexadecimal"),
        (f"[a]\nformat='guided-diffusion'\n{HUB}file='x.pt'", "family"),
        (f"{NATURAL}starts={{denoise='x'}}", "starts.denoise = 'x'; give a number above 0"),
        (f"{NATURAL}starts={{denoise=[1]}}", "starts.denoise"),
        (f"{NATURAL}starts={{denoise=0}}", "starts.denoise = 0"),
        (f"{NATURAL}starts={{denoise=nan}}", "starts.denoise = nan"),
        (
            f"{NATURAL}chain_starts={{reddiff=3.0}}",
            "chain_starts for reddiff, which is none of dps",
        ),
        (f"{NATURAL}starts={{denois=3.0}}", "starts for denois, which is none of inpaint"),
        (f"{NATURAL}prior_weights={{denoise=-1}}", "prior_weights.denoise = -1"),
        (f"{NATURAL}hole_start=-1", "hole_start = -1"),
        (f"{NATURAL}tile=7", "tile = 7, below 16 pixels"),
        (f"{NATURAL}window=64\nsmallest=500", "smallest = 500, above its window"),
        (f"[a]\nformat='diffusers'\n{HUB}file='../../x.safetensors'", "not inside"),
        ("[a]\nformat='diffusers'\nrepo='x'\nrevision='0'", "40 hexadecimal"),
        (f"[a]\nformat='diffusers'\n{HUB}".replace('"a/b"', '"x"'), "owner/name"),
    ],
)
def test_cards_that_make_no_sense(tmp_path, text, problem):
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(ModelMissing, match=rf"models\.toml.*{problem}"):
        read_cards(path)


def test_a_file_of_cards_that_is_gone_says_who_names_it(monkeypatch):
    monkeypatch.setenv("REDDIFF_MODELS", "gone.toml")
    told = r"^gone.toml: cannot be read \(No such file or directory\); give REDDIFF_MODELS a file"
    with pytest.raises(ModelMissing, match=told):
        all_cards()


def test_every_card_is_pinned_and_says_under_which_terms():
    known = all_cards()
    assert {"natural", "imagenet256", "ffhq256", "celebahq256", "cifar10"} <= set(known)
    for card in known.values():
        assert card.licence and card.good_for
        if card.origin:
            assert re.fullmatch("[0-9a-f]{40}", card.origin.revision)
            assert re.fullmatch("[0-9a-f]{64}", card.origin.sha256)
            assert card.origin.family in ("", *FAMILIES)
    assert known["ffhq256"].origin.files == ("diffusion_ffhq_10m.pt",)
    assert known["cat256"].origin.files[0].endswith(".safetensors")


def test_a_site_has_cards_of_its_own(tmp_path, tiny_prior, monkeypatch):
    site = tmp_path / "site.toml"
    site.write_text(
        f'[ours]\nfolder = "{tiny_prior}"\nformat = "diffusers"\nwindow = 48\nlicence = "own"\n'
        f'[natural]\nfolder = "nowhere"\nformat = "diffusers"\n'
    )
    monkeypatch.setenv("REDDIFF_MODELS", str(site))
    card = find_model("ours")
    assert (card.folder, card.window, card.tile, card.smallest) == (tiny_prior, 48, 48, 48)
    with pytest.raises(ModelMissing, match="nowhere"):
        find_model("natural")
    listed = [json.loads(line) for line in reddiff("models", "--json").stdout.splitlines()]
    facts = {fact["name"]: fact for fact in listed}
    assert facts["ours"]["cached"] and facts["ours"]["licence"] == "own"
    assert not facts["natural"]["cached"]
    monkeypatch.setenv("REDDIFF_MODELS", str(tmp_path / "none.toml"))
    assert reddiff("models").exit_code == 3


def test_a_repository_with_several_cards_is_ambiguous():
    with pytest.raises(ModelMissing, match="use imagenet256 or ffhq256"):
        find_model("deepinv/diffunet", offline=True)


def test_sha256_is_checked_once(tmp_path, monkeypatch):
    folder = save_random_prior(tmp_path / "a")
    right = models.digest(folder / WEIGHTS)
    site = tmp_path / "site.toml"
    site.write_text(f'[it]\nformat="diffusers"\n{HUB}sha256="{right}"\n')
    monkeypatch.setenv("REDDIFF_MODELS", str(site))
    monkeypatch.setattr(hub, "cached", lambda place: folder)
    read = []
    monkeypatch.setattr(models, "digest", lambda path: read.append(path) or cards.digest(path))
    assert find_model("it").revision == find_model("it").revision == right[:12]
    assert len(read) == 1
    (folder / WEIGHTS).touch()
    find_model("it", offline=True)
    assert len(read) == 2
    site.write_text(site.read_text().replace(right, "0" * 64))
    with pytest.raises(ModelMissing, match="expected is 0000"):
        find_model("it", offline=True)


def test_list_is_for_people_and_path_and_verify_for_scripts():
    table = reddiff("models")
    assert table.exit_code == 0
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["name", "kind", "window", "MB", "here", "good", "for", "licence"]
    assert any(line.startswith("natural ") and " yes " in line for line in lines)
    assert "research" in next(line for line in lines if line.startswith("imagenet256 "))
    assert table.stdout == reddiff("models", "list").stdout
    path = reddiff("models", "path", "natural").stdout.strip()
    assert path == str(find_model("natural").folder)
    verified = reddiff("models", "verify", "natural")
    assert verified.stdout.startswith(find_model("natural").revision)
    assert verified.stdout.endswith("no sha256 to compare with\n")
    assert reddiff("models", "path", "nonesuch").exit_code == 3


def test_a_folder_is_used_as_networks_of_its_kind(tmp_path):
    """One without attention knows nothing of high noise; strong ones are used as published."""
    folder = save_random_prior(tmp_path / "p")
    card, natural = find_model(str(folder)), find_model("natural")
    for name in ("starts", "sample_start", "chain_starts"):
        assert getattr(card, name) == getattr(natural, name)
    assert (card.turns, card.wide_hole, card.hole_start) == ("mirror", "patches", 0.15)
    config = json.loads((folder / "config.json").read_text())
    config["down_block_types"][-1] = "AttnDownBlock2D"
    (folder / "config.json").write_text(json.dumps(config))
    strong, published = find_model(str(folder)), Card("x", folder)
    for name in ("starts", "sample_start", "chain_starts", "turns"):
        assert getattr(strong, name) == getattr(published, name)


def test_a_folder_says_how_it_is_used(tmp_path):
    folder = save_random_prior(tmp_path / "p")
    said = {"turns": "all", "starts": {"hdr": 0.7}, "hole_start": 2, "window": 64, "later": 1}
    (folder / CARD).write_text(json.dumps(said))
    card = find_model(str(folder))
    told = (card.turns, card.starts, card.hole_start, card.window, card.sample_start)
    assert told == ("all", {"hdr": 0.7}, 2.0, 64, 1.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "does not hold a JSON object"),
        ("{", "cannot be read as JSON"),
        ('{"turns": "some"}', "has turns = 'some'; use all, mirror, none"),
        ('{"starts": 3}', "of the wrong kind"),
        ('{"starts": {"deblur": "x"}}', "give a number above 0"),
        ('{"hole_start": true}', "of the wrong kind"),
    ],
)
def test_a_folder_that_says_nonsense_is_one_line(tmp_path, text, told):
    folder = save_random_prior(tmp_path / "p")
    (folder / CARD).write_text(text)
    result = reddiff("models", "path", folder)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"error: {folder / CARD}: ")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_json_is_heard_before_the_command_as_well():
    listed = reddiff("models", "list", "--json").stdout
    assert json.loads(listed.splitlines()[0])["name"] == "natural"
    assert reddiff("models", "--json", "list").stdout == listed
    refused = reddiff("models", "--json", "path", "natural")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: --json: only the list has it")


@pytest.mark.parametrize("name", FLAT)
def test_a_folder_that_lacks_a_part_is_told_what_belongs_into_it(tiny_prior, tmp_path, name):
    for other in FLAT:
        if other != name:
            (tmp_path / other).write_bytes((tiny_prior / other).read_bytes())
    with pytest.raises(ModelMissing, match=f"{name} is missing; give a folder with config.json, "):
        find_model(str(tmp_path))


def test_a_folder_in_the_home_of_nobody_is_a_model_that_is_missing(picture_file, monkeypatch):
    name = "~nobody-of-that-name/x"
    monkeypatch.setenv("REDDIFF_MODEL", name)
    for words in (
        ("denoise", picture_file, "--dry-run"),
        ("denoise", picture_file, "--model", name),
        ("bench",),
        ("models", "path", name),
    ):
        result = reddiff(*words)
        assert result.exit_code == 3, result
        assert f"error: model '{name}': " in result.stderr


SMALL = Family(channels=32, multipliers=(1, 2), blocks=1, attention=(1,), size=32, head=16)


@pytest.fixture
def adm_file(tmp_path, monkeypatch):
    monkeypatch.setitem(convert.FAMILIES, "ffhq256", SMALL)
    network = random_adm(SMALL)
    torch.save(network.state_dict(), tmp_path / "adm.pt")
    return tmp_path / "adm.pt", network


def test_help_shows_what_may_be_given():
    """Square brackets would be taken for markup and vanish."""
    assert "owner/repository@revision" in " ".join(
        reddiff("models", "path", "--help").stdout.split()
    )


def test_convert_command(adm_file, tmp_path):
    source, _ = adm_file
    result = reddiff("models", "convert", source, tmp_path / "p", "--family", "ffhq256")
    assert (result.exit_code, result.stdout.strip()) == (0, str(tmp_path / "p"))
    card = find_model(str(tmp_path / "p"))
    assert (card.window, card.smallest, card.tile) == (32, 32, 32)
    for arguments, code in (
        ((source, tmp_path / "q"), 2),
        ((tmp_path / "p", tmp_path / "q", "--family", "ffhq256"), 2),
        ((tmp_path / "none.pt", tmp_path / "q", "--family", "ffhq256"), 2),
        ((source, tmp_path / "p", "--family", "ffhq256"), 2),
        ((source, tmp_path / "q", "--family", "adm512"), 2),
        ((source, source / "q", "--family", "ffhq256"), 3),
        ((source, tmp_path / "q", "--family", "imagenet256"), 3),
    ):
        result = reddiff("models", "convert", *arguments)
        assert result.exit_code == code, result.stderr
        assert result.stderr.startswith("error: ")
    assert not (tmp_path / "q").exists()


def test_guided_diffusion_card_is_converted_on_first_use(adm_file, tmp_path):
    source, network = adm_file
    origin = HubOrigin("a/b", "0" * 40, file="adm.pt", family="ffhq256", sha256="1" * 64)
    card = Card("adm", tmp_path / "adm.diffusers", window=32, smallest=32, origin=origin)
    assert (card.source, card.revision) == (source, "1" * 12)
    denoiser = load_model(card, CPU, torch.float32)
    z, t = torch.randn(1, 3, 32, 32), torch.tensor([500])
    abar = denoiser.schedule.alpha_bar[500].float()
    with torch.no_grad():
        eps = network(abar.sqrt() * z, t)[:, :3]
    expected = z - ((1 - abar) / abar).sqrt() * eps
    torch.testing.assert_close(denoiser(z, t), expected, atol=1e-4, rtol=1e-4)
    source.unlink()  # never needed again
    assert torch.equal(load_model(card, CPU, torch.float32)(z, t), denoiser(z, t))


def test_windows_suit_the_network():
    strong = Card("a", Path(), window=256, smallest=256)
    assert strong.windows((64, 96, 128, 256)) == (256,)
    small = Card("a", Path(), window=32, smallest=32)
    assert small.windows((64, 96, 128, 256)) == (32,)
    anything = Card("a", Path(), window=128, smallest=64)
    assert anything.windows((64, 96, 128, 256)) == (64, 96, 128)


@pytest.mark.parametrize("side", [32, 64])
def test_small_windows_cover_a_hole_without_a_crowd(side):
    """With margins of 32 pixels a window of 32 would hold one pixel of the hole."""
    hole = np.zeros((200, 200), dtype=bool)
    hole[60:140, 70:130] = True
    work = cheapest_patchwork(hole, 32, (side,), whole=side**2)
    assert work.index.shape[1:] == (side, side)
    inner = side - 2 * (side // 4)
    assert len(work.index) <= (-(-80 // inner)) * (-(-60 // inner))
    assert set(np.flatnonzero(hole)) <= set(work.pixels.tolist())


def test_settings_that_decide_pixels_are_told_apart_by_eval():
    """Rows that were made with another card must not be taken for rows of this one."""
    about = {"name", "folder", "good_for", "licence", "origin"}
    assert {field.name for field in fields(Card)} | {"configuration"} == about | set(OF_A_CARD)


@pytest.mark.parametrize(
    ("solver", "differs"),
    [
        (SolverOptions(), True),
        (SolverOptions(preset="paper"), False),
        (SolverOptions(method="diffpir"), False),
    ],
)
def test_turns_are_recorded_where_they_decide_pixels(picture_file, tmp_path, solver, differs):
    job = Job("hdr", picture_file, tmp_path / "out.png")
    card = find_model("natural")
    told = card, replace(card, turns="mirror")
    one, other = (make_record(job, each, solver, HdrOptions(), OutputOptions()) for each in told)
    assert (one != other) == differs


HOLED = RestoreOptions((Damage("mask", path=Path(__file__)),), None)
BLURRED = parse_degrade("blur gaussian:1")
SUPERRES, DEBLUR = SuperresOptions(), DeblurOptions(parse_kernel("gaussian:1"))


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (InpaintOptions(), {"hole_start": 1.5}),
        (InpaintOptions(), {"stroke_start": 1.5}),
        *((options, {"wide_hole": "prior"}) for options in (InpaintOptions(), HOLED)),
        *((options, {"wide_noise": 0.2}) for options in (InpaintOptions(), HOLED)),
        (InpaintOptions(), {"starts": {"denoise": 0.7}}),
        (InpaintOptions(), {"prior_weights": {"denoise": 0.7}}),
        *((HOLED, {"prior_weights": {task: 0.7}}) for task in ("inpaint", "denoise")),
        *((each, {"starts": {each.task: 0.7}}) for each in (SUPERRES, DEBLUR, BLURRED)),
        *((each, {"prior_weights": {each.task: 0.7}}) for each in (SUPERRES, DEBLUR, BLURRED)),
        *((each, {"faint_start": 0.7}) for each in (SUPERRES, DEBLUR, BLURRED)),
        (SUPERRES, {"sample_start": 0.7}),
        *(
            (options, {key: {"jpeg": 0.7}})
            for options in (SUPERRES, DEBLUR, BLURRED, DenoiseOptions())
            for key in ("starts", "prior_weights")
        ),
    ],
    ids=str,
)
def test_what_a_card_says_of_a_task_is_recorded(picture_file, tmp_path, options, changes):
    """A result of before it was changed is not taken for one of now."""
    job, card = Job(options.task, picture_file, tmp_path / "out.png"), find_model("natural")
    # Alone: what is said of other tasks is the same.
    changes = {k: getattr(card, k) | v if isinstance(v, dict) else v for k, v in changes.items()}
    solver = SolverOptions(samples=2)
    one, other = (
        make_record(job, each, solver, options, OutputOptions())
        for each in (card, replace(card, **changes))
    )
    assert one != other


@pytest.mark.parametrize("options", [InpaintOptions(), HOLED, DenoiseOptions()], ids=str)
def test_turns_of_the_stages_that_methods_share_are_recorded(picture_file, tmp_path, options):
    """Guides and decoding are the default solver's, which turns pictures."""
    job, card = Job(options.task, picture_file, tmp_path / "out.png"), find_model("natural")
    for method, preset, differs in (("dps", "standard", True), ("reddiff", "paper", False)):
        solver = SolverOptions(method=method, preset=preset)
        one, other = (
            make_record(job, replace(card, turns=turns), solver, options, OutputOptions())
            for turns in ("all", "mirror")
        )
        assert (one != other) == differs


def test_a_composition_is_recorded_as_what_it_means(picture_file, tmp_path, monkeypatch):
    """Blanks and folders make no other settings; what a file holds does."""
    kernel = tmp_path / "k.npy"
    np.save(kernel, np.ones((3, 3)))
    monkeypatch.chdir(tmp_path)
    job = Job("restore", picture_file, tmp_path / "out.png")

    def recorded(text):
        options = parse_degrade(text)
        return make_record(job, find_model("natural"), SolverOptions(), options, OutputOptions())

    one = recorded("blur k.npy | down 2 box | noise 0.02")
    same = recorded(f"  blur  {kernel}|down  2  box  |noise 0.020")
    assert one == same
    assert json.loads(json.dumps(one)) == one
    others = [
        "blur k.npy | down 2 box",
        "blur k.npy | down 2 box | noise 0.03",
        "down 2 box | blur k.npy | noise 0.02",
        "blur k.npy | down 2 | noise 0.02",
        "blur k.npy srgb | down 2 box | noise 0.02",
        "blur k.npy | down 2 k.npy | noise 0.02",
    ]
    told = [one, *map(recorded, others)]
    np.save(kernel, np.ones((5, 5)))
    told.append(recorded("blur k.npy | down 2 box | noise 0.02"))
    assert all(a != b for k, a in enumerate(told) for b in told[:k])


def test_files_of_a_composition_are_known_as_read(tmp_path):
    kernel = tmp_path / "k.npy"
    np.save(kernel, np.ones((3, 3)))
    options = parse_degrade(f"blur {kernel} | down 2 {kernel} | mask {kernel} | noise 0.1")
    assert files_of(options) == [kernel] * 3


@pytest.mark.parametrize(
    ("asked", "steps", "start"),
    [
        ({"method": "dps"}, 250, 1.0),  # a linear schedule has 259 levels below
        ({"method": "pigdm"}, 100, 3.0),
        ({"method": "dps", "steps": 300}, 300, 1.0),
        ({"method": "dps", "s_start": 20.0}, 1000, 20.0),
    ],
)
def test_a_chain_begins_where_the_prior_can(asked, steps, start):
    solver, card = SolverOptions(**asked), replace(find_model("natural"), chain_starts=CHAINS)
    fitted = fit(card, solver)
    assert (fitted.evaluations, card.chain_from(fitted)) == (steps, start)
    assert fitted.s_start == solver.s_start  # guide and patches start as for every method
    strong = replace(card, chain_starts={})
    assert (fit(strong, solver), strong.chain_from(solver)) == (solver, solver.s_start)


def test_commands_run_chains_as_the_card_says(picture_file, tmp_path, monkeypatch):
    """As published, DPS would ask for more levels than there are below chain_starts."""
    monkeypatch.setattr(budget, "CHAIN_STEPS", 2)
    asked = ("--method", "dps", "--json")
    done = reddiff("denoise", picture_file, "-o", tmp_path / "a.png", "--noise", "0.1", *asked)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["steps"] for line in told if "steps" in line] == [2]
    plan = reddiff("eval", "denoise", picture_file, "-o", tmp_path / "e", "--dry-run", *asked)
    assert json.loads(plan.stdout)["methods"] == ["start", "dps-2"]
    reddiff("eval", "denoise", picture_file, "-o", tmp_path / "e", "--crop", "16", *asked)
    rows = json.loads((tmp_path / "e" / "eval.json").read_text())["rows"]
    assert [(r["method"], r["evaluations"]) for r in rows] == [("start", 0), ("dps-2", 2)]


def test_a_chain_that_is_short_refuses_no_default(picture_file, tmp_path):
    """`--start 0.02` leaves a few levels of the 1000 that DPS takes."""
    asked = ("--method", "dps", "--start", "0.02", "--json")
    done = reddiff("denoise", picture_file, "-o", tmp_path / "a.png", "--noise", "0.1", *asked)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    (steps,) = [line["steps"] for line in told if "steps" in line]
    assert 1 < steps < 20
    assert f"the prior's levels took {steps} network evaluations, not 1000" in done.stderr


@pytest.mark.parametrize("solver", [SolverOptions(), SolverOptions(preset="paper")])
def test_red_diff_is_no_chain(solver):
    assert fit(find_model("natural"), solver) == solver


@pytest.mark.parametrize(("method", "differs"), [("ddrm", True), ("reddiff", False)])
def test_the_start_of_a_chain_is_recorded(picture_file, tmp_path, method, differs):
    job = Job("denoise", picture_file, tmp_path / "out.png")
    one, other = (
        make_record(
            job,
            replace(find_model("natural"), chain_starts={"ddrm": s}),
            SolverOptions(method=method),
            DenoiseOptions(),
            OutputOptions(),
        )
        for s in (1.0, 2.0)
    )
    assert (one != other) == differs


def test_what_a_card_leaves_open_is_as_of_any_prior(tmp_path):
    path = tmp_path / "cards.toml"
    path.write_text('[one]\nfolder = "p"\nformat = "diffusers"\n')
    open_windows = {"window": 0, "tile": 0, "smallest": 0}  # which its network settles
    assert read_cards(path) == {"one": Card("one", tmp_path / "p", **open_windows)}


def test_every_setting_of_a_card_arrives(tmp_path):
    """A key that is allowed in models.toml must not be dropped on the way to the Card."""
    settings = {
        "window": 128,
        "tile": 512,
        "smallest": 32,
        "starts": {"denoise": 0.7},
        "prior_weights": {"denoise": 0.6},
        "sample_start": 2.5,
        "faint_start": 5.5,
        "chain_starts": {"dps": 1.5},
        "hole_start": 3.5,
        "stroke_start": 4.5,
        "wide_hole": "patches",
        "wide_noise": 0.07,
        "turns": "none",
        "good_for": "tests",
        "licence": "none",
    }
    places = {"bundled", "folder", "repo", "format", "revision", "file", "family"}
    assert set(settings) == set(KEYS) - places - {"sha256", "bytes"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    lines = [re.sub(r'{"(\w+)": ', r"{ \1 = ", line) for line in lines]
    path = tmp_path / "cards.toml"
    path.write_text('[one]\nfolder = "."\nformat = "diffusers"\n' + "\n".join(lines))
    card = read_cards(path)["one"]
    assert {key: getattr(card, key) for key in settings} == settings
