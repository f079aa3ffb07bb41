"""Mistakes on the command line that Typer finds: one line each, as of all else."""

import pytest
from typer.testing import CliRunner

from reddiff_cli.cli import app


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("phase d.npy", "reddiff phase: --data is missing (What was recorded: amplitude, inten"),
        ("deblur x.png", "reddiff deblur: --kernel is missing (gaussian:S, motion:"),
        ("restore x.png", "reddiff restore: --degrade is missing (What happened"),
        ("denoise", "reddiff denoise: INPUT... is missing (Pictures or folders); see 'reddiff d"),
        ("denoise x.png --nope", "--nope: is no flag of reddiff denoise; see 'reddiff denoise --"),
        (
            "inpaint x.png --mas m",
            "--mas: is no flag of reddiff inpaint; use --mask, or see 'redd",
        ),
        (
            "superres x --respons a",
            "--respons: is no flag of reddiff superres; use --response, or",
        ),
        ("superres x --sise=3", "--sise: is no flag of reddiff superres; see 'reddiff superres -"),
        ("denoise x.png -Z", "-Z: is no flag of reddiff denoise; see 'reddiff denoise --help'"),
        ("denoise x.png -q=3", "-q=3: -q takes no value; write -q"),
        (
            "denoise x.png --seed abc",
            "--seed abc: is no whole number; give one, or see 'reddiff d",
        ),
        (
            "denoise x.png --seed=1.5",
            "--seed 1.5: is no whole number; give one, or see 'reddiff d",
        ),
        (
            "eval denoise x.png -o out --assume-noise 7",
            "--assume-noise 7: give auto or a number between 0 and 1",
        ),
        (
            "hdr x --stops 1 --stops b",
            "--stops b: is no number; give one, or see 'reddiff hdr --h",
        ),
        (
            "eval superres x --crop abc",
            "--crop abc: is no whole number; give one, or see 'reddiff",
        ),
        (
            "train x -o d --lr high",
            "--lr high: is no number; give one, or see 'reddiff train --help'",
        ),
        (
            "denoise x.png --seed",
            "--seed: lacks its value; give one, or see 'reddiff denoise --help",
        ),
        (
            "denoise x.png --json=1",
            "--json: takes no value; drop '=' and what follows, or see 'red",
        ),
        (
            "models list --json=1",
            "--json: takes no value; drop '=' and what follows, or see 'reddi",
        ),
        (
            "models --json=1",
            "--json: takes no value; drop '=' and what follows, or see 'reddiff m",
        ),
        ("eval", "reddiff eval: TASK INPUT... is missing (One of inpaint,"),
        ("eval --suite paper", "reddiff eval --suite: no pictures; give files or folders, or"),
        ("eval --suite=paper -o d", "reddiff eval --suite: no pictures; give files or folders"),
        (
            "train x",
            "reddiff train: -o is missing (Folder of the new prior); see 'reddiff train -",
        ),
        ("train x -o d", "--steps and --minutes: neither is given; give one of them"),
        (
            "train x y -o d",
            "y: is more than reddiff train takes; drop it, or see 'reddiff train -",
        ),
        (
            "bench x y",
            "x y: is more than reddiff bench takes; drop it, or see 'reddiff bench --he",
        ),
        (
            "models fetch",
            "reddiff models fetch: NAME... is missing (Names, or owner/repository@re",
        ),
        ("models convert", "reddiff models convert: SOURCE is missing (A guided-diffusion file,"),
        ("models nope", "nope: is no command of reddiff models; see 'reddiff models --help'"),
        (
            "models fetc natural",
            "fetc: is no command of reddiff models; use fetch, or see 'reddif",
        ),
        ("inpant x.png", "inpant: is no command of reddiff; use inpaint, or see 'reddiff --help'"),
        ("it's", "it's: is no command of reddiff; see 'reddiff --help'"),
        ("--nope", "--nope: is no flag of reddiff; see 'reddiff --help'"),
        (
            "--seed 1 denoise x",
            "--seed: is no flag of reddiff; give it after the command, see 're",
        ),
    ],
)
def test_a_mistake_is_one_line(line, told):
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {told}")
    assert result.stderr.count("\n") == 1


def test_an_empty_command_is_named():
    result = CliRunner().invoke(app, [""])
    assert result.exit_code == 2
    assert result.stderr == "error: '': is no command of reddiff; see 'reddiff --help'\n"


def test_without_a_command_there_is_help():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Usage: reddiff" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("source", ["file", "folder"])
def test_what_converting_takes_a_family_for(tmp_path, source):
    path = tmp_path / "prior"
    if source == "file":
        path.write_bytes(b"weights")
        flags, told = [], f"{path}: does not say of which family it is; give it, as --family ima"
    else:
        path.mkdir()
        flags = ["--family", "ffhq256"]
        told = f"--family ffhq256: is for files, {path} is a folder; drop it"
    command = ["models", "convert", str(path), str(tmp_path / "new"), *flags]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {told}")
