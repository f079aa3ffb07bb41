"""README and the pages behind it tell the truth: commands are there, and links lead somewhere.

Their `reddiff` lines are understood; those that need nothing from the network, and train or time
nothing, can be planned, too.
"""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

from conftest import scene
from reddiff_cli.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("src/**/*.md")),
    *sorted(ROOT.glob("tests/**/*.md")),
]
# The lines of a model card are those of the day when it was trained.
BLOCKS = [
    block
    for page in PAGES
    if "priors" not in page.parts
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
]
LINES = [
    # Without comments, and without what the shell does with the command.
    re.split(r"  #|;| (?:\| jq|>|&)(?: |$)", line.removeprefix("$ ").strip())[0].strip()
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
] + [example.replace("\\|", "|") for example in re.findall(r"\| `(reddiff .*)` \|", README)]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
COMMANDS = sorted(
    {
        line
        for line in LINES
        if re.match(r"reddiff (?!train|models|bench|.*imagenet256|.*\$)", line)
    }
)


LEFT = sorted({line for line in LINES if line.startswith("reddiff ")} - set(COMMANDS))


def commands():
    return get_command(app).commands


def parse(command, words):
    """What a command makes of its words, before it does anything."""
    below = getattr(command, "commands", {})
    if words and words[0] in below:
        parse(below[words[0]], words[1:])
    else:
        command.make_context(command.name, words)


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help_and_is_documented(name):
    command = commands()[name]
    assert command.help
    assert "Example: reddiff " in command.epilog
    assert f"reddiff {name}" in README
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


def test_there_are_commands_to_check():
    assert len(COMMANDS) >= 20
    assert len(LEFT) >= 10


@pytest.mark.parametrize("line", LEFT)
def test_the_other_lines_of_readme_are_understood(line):
    parse(get_command(app), shlex.split(line)[1:])


@pytest.mark.parametrize("line", COMMANDS)
def test_lines_of_readme_can_be_planned(line, tmp_path, monkeypatch):
    """In a folder that holds what README talks about: img.png, m.png, photos/, masks/."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").mkdir()
    shutil.copytree(ROOT / "tests" / "pictures", tmp_path / "tests" / "pictures")
    for name in (
        "img.png",
        "photo.png",
        "small.png",
        "grey.png",
        "photo.jpg",
        "dark.png",
        "middle.png",
        "bright.png",
        "photos/a.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as file:  # what is in it does not matter here
            Image.fromarray(scene()).save(file, "PNG")
    (tmp_path / "masks").mkdir()
    values = np.zeros(scene().shape[:2], dtype=np.uint8)
    values[9:20, 9:20] = 255
    for name in ("m.png", "masks/a.png"):
        Image.fromarray(values).save(tmp_path / name)
    np.save(tmp_path / "pattern.npy", np.abs(np.fft.fft2(scene(32, 32, 1), (64, 64))) ** 2)
    arguments = [part for part in shlex.split(line)[1:] if part != "--dry-run"]
    result = CliRunner().invoke(app, arguments + (["--dry-run"] if line[8] != "-" else []))
    assert result.exit_code == 0, result.output


def headings(page):
    """What links may name of a page, as code hosts call it."""
    titles = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    names = [re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles]
    return {
        f"{name}-{count}" if (count := names[:k].count(name)) else name
        for k, name in enumerate(names)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = FENCED.sub("", page.read_text("utf-8"))
    for link in re.findall(r"\]\(([^()\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        place, _, heading = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists() and target.is_relative_to(ROOT), link
        assert not heading or heading in headings(target), link


def test_two_commands_do_everything():
    assert "tests/pictures/coffee.png --mask tests/pictures/coffee-mask.png" in README
    block = re.search(r"<!-- test-command -->\n```sh\n(.*?)\n```\n<!-- end -->", README, re.DOTALL)
    assert block
    assert len(block.group(1).splitlines()) == 1
    assert "pytest" in block.group(1)
