"""Mistakes on the command line that Typer finds: one line each, as of all else."""

import pytest
from typer.testing import CliRunner

from reddiff_cli.cli import app


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("phase d.npy", "reddiff phase: missing option '--data' (What was recorded: amplitude, "),
        ("deblur x.png", "reddiff deblur: missing option '--kernel' (gaussian:S, motion:"),
        ("restore x.png", "reddiff restore: missing option '--degrade' (What happened"),
        ("denoise", "reddiff denoise: missing argument 'INPUT...' (Pictures or folders)"),
        ("denoise x.png --nope", "reddiff denoise: no such option: --nope"),
        ("denoise x.png --seed abc", "reddiff denoise: invalid value for '--seed': Input should"),
        ("denoise x.png --seed", "reddiff denoise: option '--seed' requires an argument; see 're"),
        ("denoise x.png --json=1", "reddiff denoise: option '--json' does not take a value; see"),
        ("models list --json=1", "reddiff models list: option '--json' does not take a value;"),
        ("models --json=1", "reddiff models: option '--json' does not take a value; see"),
        ("eval", "reddiff eval: missing argument 'TASK INPUT...'"),
        ("models convert", "reddiff models convert: missing argument 'source'"),
        ("models nope", "reddiff models: no such command 'nope'"),
        ("inpant x.png", "reddiff: no such command 'inpant'. Did you mean 'inpaint'?"),
        ("--nope", "reddiff: no such option: --nope"),
    ],
)
def test_a_mistake_is_one_line(line, told):
    result = CliRunner().invoke(app, line.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith("--help'\n")


def test_without_a_command_there_is_help():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Usage: reddiff" in result.stdout
    assert result.stderr == ""
