"""Fetching from a server of our own, through the commands, and never again afterwards."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from conftest import save_random_prior, scene
from hub_server import COMMIT, LATER, Hub, Repository, serve
from reddiff_cli.checkpoints.folders import CARD, CONFIG, FLAT, NESTED, PICKLE, SCHEDULER, WEIGHTS
from reddiff_cli.errors import ModelMissing
from reddiff_cli.formats.carriers import read_record
from reddiff_cli.networks.network import load_prior
from reddiff_cli.networks.weights import read_state

NAME = f"someone/free@{COMMIT}"  # the same prior, without a card
CHUNK = 10 * 1024 * 1024  # the Hub client keeps what came in pieces of this size
# Several commands in one process that has its own Hub variables.
DRIVER = """
import json, sys
from typer.testing import CliRunner
from reddiff_cli.cli import app
results = []
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, arguments)
    results.append([result.exit_code, result.stdout, result.stderr])
print(json.dumps(results))
"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line on stderr besides the announcement of a fetch; the exit code is 3."""
        lines = [line for line in self.err.splitlines() if not line.startswith("fetching ")]
        assert self.code == 3, self
        assert len(lines) == 1 and lines[0].startswith("error: "), self.err
        return lines[0]


@dataclass(frozen=True)
class Command:
    """`reddiff` in processes of its own, as the Hub client reads its variables on import."""

    home: Path
    cards: Path
    endpoint: str
    offline: bool = False

    def __call__(self, *arguments: object) -> Result:
        run = self._run("-m", "reddiff_cli", *map(str, arguments))
        return Result(run.returncode, run.stdout, run.stderr)

    def all(self, *commands: str) -> list[Result]:
        run = self._run("-c", DRIVER, json.dumps([command.split() for command in commands]))
        assert run.returncode == 0, run.stderr
        return [Result(*result) for result in json.loads(run.stdout)]

    def unreachable(self) -> "Command":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return replace(self, endpoint=f"http://127.0.0.1:{probe.getsockname()[1]}")

    def add_card(self, name: str, repo: str, **keys: str) -> None:
        table = {"repo": repo, "revision": COMMIT, "format": "diffusers", **keys}
        lines = [f"[{name}]", *(f'{key} = "{value}"' for key, value in table.items())]
        with self.cards.open("a") as file:
            file.write("\n".join(lines) + "\n")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess:
        theirs = ("PROXY", "HF_", "REDDIFF")
        environment = {
            **{k: v for k, v in os.environ.items() if not any(t in k.upper() for t in theirs)},
            "HF_HOME": str(self.home),
            "HF_ENDPOINT": self.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": str(int(self.offline)),
            "REDDIFF_MODELS": str(self.cards),
        }
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=120
        )


@pytest.fixture(scope="module")
def prior_files(tmp_path_factory) -> dict[str, bytes]:
    folder = save_random_prior(tmp_path_factory.mktemp("p") / "p", prediction="epsilon")
    return {name: (folder / name).read_bytes() for name in FLAT}


@pytest.fixture
def hub(prior_files):
    names = "someone/prior", "someone/free"
    with serve(Hub({n: Repository(dict(prior_files), (WEIGHTS,)) for n in names})) as hub:
        yield hub


@pytest.fixture
def reddiff(tmp_path, hub) -> Command:
    command = Command(tmp_path / "home", tmp_path / "site.toml", hub.endpoint)
    sha256 = hub.etag(hub.repositories["someone/prior"], WEIGHTS)
    command.add_card("mine", "someone/prior", sha256=sha256, licence="of mine")
    return command


def test_fetch_once_and_never_again(reddiff, hub):
    (result,) = reddiff.all("models fetch mine")
    assert (result.code, result.out) == (0, "")
    first, last = result.err.splitlines()
    assert first.startswith(f"fetching mine (someone/prior@{COMMIT[:7]}), ")
    assert first.endswith(" MB; licence: of mine")
    assert last.startswith("mine: ")
    asked = len(hub.requests)
    began = time.monotonic()
    for command in (reddiff.unreachable(), replace(reddiff, offline=True)):
        again, path, unpinned, listed = command.all(
            "models fetch mine",
            f"models path someone/prior@{COMMIT}",
            "models path someone/prior",
            "models list --json",
        )
        assert (again.code, again.err.splitlines()) == (0, [last])
        assert (path.code, path.err) == (0, "")
        assert path == unpinned  # the card's
        folder = Path(path.out.strip())
        assert sorted(p.name for p in folder.glob("[a-z]*")) == sorted(FLAT)
        facts = [json.loads(line) for line in listed.out.splitlines()]
        cached = {fact["name"]: fact["cached"] for fact in facts}
        assert cached["mine"] and cached["natural"] and not cached["imagenet256"]
    assert time.monotonic() - began < 20  # one vain attempt of the client takes 23 seconds
    assert len(hub.requests) == asked


def test_download_goes_on_where_it_broke_off(reddiff, hub, prior_files):
    big = {**prior_files, WEIGHTS: bytes(range(256)) * (2 * CHUNK // 256) + b"end"}
    repository = hub.repositories["someone/big"] = Repository(big, (WEIGHTS,))
    reddiff.add_card("big", "someone/big", sha256=hub.etag(repository, WEIGHTS))
    hub.break_after, hub.breaks = CHUNK + 999, 1
    fetched, verified = reddiff.all("models fetch big", "models verify big")
    assert fetched.code == 0, fetched.err
    assert "Error while downloading" not in fetched.err
    ranges = [request for request in hub.requests if "bytes=" in request]
    assert [request.split("bytes=")[1] for request in ranges] == [f"{CHUNK}-"]
    assert verified.out.endswith("as expected\n")


def test_wrong_content_is_refused_and_leaves_the_cache(reddiff, hub):
    hub.lie = True
    card, name, path = reddiff.all("models fetch mine", f"models fetch {NAME}", "models path mine")
    assert "has sha256" in card.error
    assert "has sha256" in name.error
    assert "not in the cache" in path.error
    hub.lie = False
    (result,) = reddiff.all("models fetch mine")
    assert result.code == 0, result.err


def test_damage_in_the_cache_is_found_and_mended(reddiff):
    _, path = reddiff.all("models fetch mine", "models path mine")
    weights = (Path(path.out.strip()) / WEIGHTS).resolve()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    damaged, fetched, verified = reddiff.all(
        "models path mine", "models fetch mine", "models verify mine"
    )
    assert "run 'reddiff models fetch mine'" in damaged.error
    assert fetched.code == 0, fetched.err
    assert verified.out.endswith("as expected\n")


REFUSALS = {
    "denied": ((401, ""), "no such repository"),
    "hidden": ((401, "RepoNotFound"), "no such repository"),
    "gated": ((403, "GatedRepo"), "accept its terms at https://huggingface.co/someone/gated"),
    "absent": ((404, "RepoNotFound"), "no such repository"),
    "rewritten": ((404, "RevisionNotFound"), f"has no revision {COMMIT}"),
    "teapot": ((418, ""), "status 418"),
}


def test_refusals(reddiff, hub, prior_files):
    for name, (refuse, _) in REFUSALS.items():
        hub.repositories[f"someone/{name}"] = Repository({}, refuse=refuse)
    lacking = {name: content for name, content in prior_files.items() if name != SCHEDULER}
    for name in ("lacking", "bare"):
        hub.repositories[f"someone/{name}"] = Repository(lacking, (WEIGHTS,))
    reddiff.add_card("lacking", "someone/lacking")
    *refused, by_card, by_name = reddiff.all(
        *(f"models fetch someone/{name}@{COMMIT}" for name in REFUSALS),
        "models fetch lacking",
        "models fetch someone/bare",
    )
    for result, (_, words) in zip(refused, REFUSALS.values(), strict=True):
        assert words in result.error
    assert f"has no {SCHEDULER}" in by_card.error
    assert "holds no prior" in by_name.error


def test_server_that_goes_away(reddiff, hub):
    hub.break_after, hub.breaks, hub.leaves = 5000, 1, True
    fetched, path = reddiff.all("models fetch mine", "models path mine")
    assert "broke off" in fetched.error and fetched.error.endswith("; try again")
    files = [path.name for path in reddiff.home.rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith(".incomplete")]
    assert "not in the cache" in path.error


@pytest.mark.parametrize("how", ["variable", "refused", "dry-run"])
def test_empty_cache_without_a_network(reddiff, hub, how, picture_file, mask_file):
    command = reddiff.unreachable() if how == "refused" else reddiff
    command = replace(command, offline=how == "variable")
    dry = ["--dry-run"] if how == "dry-run" else []
    began = time.monotonic()
    result = command("inpaint", picture_file, "--mask", mask_file, "--model", "mine", *dry)
    assert time.monotonic() - began < 15  # the client alone would try for 23 seconds
    assert str(reddiff.home) in result.error
    assert f"someone/prior@{COMMIT[:7]}" in result.error
    if how != "refused":
        assert "run 'reddiff models fetch mine'" in result.error
    assert hub.requests == []


def test_branch_moves_only_when_fetched(reddiff, hub):
    fetched, before = reddiff.all("models fetch someone/free", "models path someone/free")
    assert fetched.code == 0, fetched.err
    hub.repositories["someone/free"].commit = LATER
    still, _, after = reddiff.all(
        "models path someone/free", "models fetch someone/free", "models path someone/free"
    )
    folders = [Path(result.out.strip()).name for result in (before, still, after)]
    assert folders == [COMMIT, COMMIT, LATER]


def test_what_a_repository_says_of_its_use_comes_with_it(reddiff, hub, prior_files, tmp_path):
    """`card.json`, as `reddiff train` writes it, in both layouts; one without it works as well."""
    said = {"starts": {"denoise": 0.37}, "turns": "none", "of another version": 1}
    flat = {**prior_files, CARD: json.dumps(said).encode()}
    moved = dict(zip(NESTED, (prior_files[name] for name in FLAT), strict=True))
    hub.repositories["someone/flat"] = Repository(flat, (WEIGHTS,))
    hub.repositories["someone/deep"] = Repository({**moved, CARD: flat[CARD]}, (NESTED[2],))
    names = [f"someone/{name}" for name in ("flat", "deep", "free")]
    fetched = reddiff.all(*(f"models fetch {name}" for name in names))
    assert [result.code for result in fetched] == [0, 0, 0]
    asked = len(hub.requests)
    found = reddiff.all(*(f"models path {name}" for name in names))
    assert len(hub.requests) == asked
    folders = [Path(result.out.strip()) for result in found]
    assert [(folder / CARD).is_file() for folder in folders] == [True, True, False]
    Image.fromarray(scene(24, 24)).save(tmp_path / "img.png")
    task = ["denoise", tmp_path / "img.png", "--noise", "0.05", "--steps", "2", "--overwrite"]
    turns = []
    for name in names:
        result = reddiff(*task, "--model", name)
        assert result.code == 0, result.err
        turns.append(read_record(tmp_path / "img.denoise.png")["turns"])
    assert turns == ["none", "none", "mirror"]


def test_a_download_that_broke_off_has_what_is_said_of_its_use(reddiff, hub, prior_files):
    """It comes first: the weights alone would be used in another way."""
    files = {**prior_files, CARD: b'{"turns": "none"}'}
    hub.repositories["someone/free"] = Repository(files, (WEIGHTS,))
    hub.break_after, hub.breaks, hub.leaves = 100, 1, True
    assert reddiff("models", "fetch", "someone/free").code == 3
    order = [r.split()[1].rsplit("/", 1)[1] for r in hub.requests if r.startswith("GET")]
    named = [name for name in order if name in (CARD, WEIGHTS)]
    assert named[:2] == [CARD, WEIGHTS]


def test_what_is_said_of_its_use_is_of_the_same_commit(reddiff, hub, prior_files):
    """A branch that moves between two requests gave one commit's weights another's card."""
    before = Repository({**prior_files, CARD: b'{"turns": "none"}'}, (WEIGHTS,))
    before.later = Repository({**prior_files, CARD: b'{"turns": "all"}'}, (WEIGHTS,), LATER)
    gone = Repository({**prior_files, CARD: b'{"turns": "none"}'}, (WEIGHTS,))
    gone.later = Repository(dict(prior_files), (WEIGHTS,), LATER)
    hub.repositories |= {"someone/moved": before, "someone/less": gone}
    results = reddiff.all(
        *("models fetch someone/moved", "models path someone/moved"),
        *("models fetch someone/less", "models path someone/less"),
    )
    assert [result.code for result in results] == [0] * 4, results
    moved, less = (Path(results[k].out.strip()) for k in (1, 3))
    assert moved.name == less.name == LATER
    assert json.loads((moved / CARD).read_text()) == {"turns": "all"}
    assert not (less / CARD).exists()


def test_what_was_fetched_without_a_card_gets_it_when_it_is_fetched(
    reddiff, hub, prior_files, picture_file
):
    """Once, and never where the network is not to be used; without one the prior works as ever.

    What only uses it asks nobody: the same command would have other results with a network.
    """
    files = {**prior_files, CARD: b'{"turns": "none"}'}
    hub.repositories["someone/free"] = Repository(files, (WEIGHTS,))
    fetched, path = reddiff.all("models fetch someone/free", "models path someone/free")
    folder = Path(path.out.strip())
    (folder / CARD).resolve().unlink()
    (folder / CARD).unlink()
    again = f"models fetch {NAME}"
    asked, began = len(hub.requests), time.monotonic()
    for command in (replace(reddiff, offline=True), reddiff.unreachable()):
        assert [result.code for result in command.all(again)] == [0]
    assert reddiff.all("models path someone/free") == [path]
    flags = "--noise", "0.05", "--steps", "2", "--model", NAME
    assert reddiff("denoise", picture_file, *flags).code == 0
    assert time.monotonic() - began < 20
    assert len(hub.requests) == asked
    assert not (folder / CARD).exists()
    (found,) = reddiff.all(again)
    assert found.code == 0
    assert found.err.startswith(f"fetching {CARD} of {NAME}, ")
    assert (folder / CARD).read_bytes() == files[CARD]
    asked = len(hub.requests)
    (found,) = reddiff.all(again)
    assert "fetching" not in found.err
    assert len(hub.requests) == asked


def test_layouts_and_pickles(reddiff, hub, tmp_path, prior_files):
    moved = dict(zip(NESTED, (prior_files[name] for name in FLAT), strict=True))
    files = {**moved, "model_index.json": b"{}", "README.md": b"#"}
    hub.repositories["someone/pipe"] = Repository(files, (NESTED[2],))
    (tmp_path / WEIGHTS).write_bytes(prior_files[WEIGHTS])
    expected = read_state(tmp_path / WEIGHTS)
    torch.save(expected, tmp_path / PICKLE)
    files = {CONFIG: prior_files[CONFIG], SCHEDULER: prior_files[SCHEDULER]}
    files[PICKLE] = (tmp_path / PICKLE).read_bytes()
    repository = hub.repositories["someone/old"] = Repository(files, (PICKLE,))
    hub.repositories["someone/older"] = repository
    reddiff.add_card("old", "someone/old", file=PICKLE, sha256=hub.etag(repository, PICKLE))
    _, pipe, refused, _, old = reddiff.all(
        "models fetch someone/pipe",
        "models path someone/pipe",
        "models fetch someone/older",
        "models fetch old",
        "models path old",
    )
    folder = Path(pipe.out.strip())
    assert load_prior(folder).prediction == "epsilon"
    assert not (folder / "README.md").exists()
    assert "as a pickle only" in refused.error
    folder = Path(old.out.strip())
    with pytest.raises(ModelMissing, match="models convert"):
        load_prior(folder)
    network = load_prior(folder, PICKLE).network
    assert all(torch.equal(value, expected[k]) for k, value in network.unet.state_dict().items())


def test_pictures_are_restored_while_fetching_and_offline(reddiff, hub, picture_file, mask_file):
    task = ["inpaint", picture_file, "--mask", mask_file, "--steps", 2, "--model", "mine"]
    result = reddiff(*task)
    assert result.code == 0, result.err
    assert result.err.splitlines()[0].startswith("fetching mine ")
    made = picture_file.with_name("img.inpaint.png")
    digest = hub.etag(hub.repositories["someone/prior"], WEIGHTS)
    assert digest[:12] in str(Image.open(made).info)
    before, asked = made.read_bytes(), len(hub.requests)
    result = reddiff.unreachable()(*task)
    assert result.code == 0, result.err
    assert result.err.splitlines() == [f"[1/1] {picture_file}: skipped, done already"]
    assert made.read_bytes() == before
    assert len(hub.requests) == asked
