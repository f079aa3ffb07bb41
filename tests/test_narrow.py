"""Narrow terminals: tables fold, and where that is not enough, nothing is cut all the same."""

import re

import pytest
from rich.cells import cell_len
from typer.main import get_command
from typer.testing import CliRunner

from reddiff_cli.cli import app
from reddiff_cli.reporting import tables
from reddiff_cli.reporting.tables import as_records, fitting_widths, print_table

RUNNER = CliRunner()


def pages():
    """Every command with its words, the app itself first."""
    found = {(): get_command(app)}
    for name, command in get_command(app).commands.items():
        found[(name,)] = command
        found |= {(name, n): c for n, c in getattr(command, "commands", {}).items()}
    return found


@pytest.mark.parametrize("width", [30, 40, 60, 67, 68, 80])
def test_help_cuts_nothing(width):
    for words, command in pages().items():
        result = RUNNER.invoke(app, [*words, "--help"], env={"COLUMNS": str(width)})
        assert result.exit_code == 0
        text = result.stdout
        assert "…" not in text, words
        assert max(map(len, text.splitlines())) <= width
        for parameter in command.params:
            assert all(name in text for name in parameter.opts if name.startswith("-"))
        told = " ".join(text.replace("│", " ").split())
        assert command.help.split(".")[0][:20] in told


ROWS = [["a", "size", "what it is"], ["natural", "33", "photographs in general, of all kinds"]]


def test_columns_share_what_there_is():
    assert fitting_widths(ROWS, 200) == [7, 4, 36]
    widths = fitting_widths(ROWS, 40)
    assert widths[:2] == [7, 4]
    assert sum(widths) + 3 * tables.GAP == 40
    assert fitting_widths(ROWS, 20) is None  # `photographs` would be cut


@pytest.mark.parametrize("width", [16, 24, 40, 80])
def test_a_table_on_a_terminal_loses_no_letter(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    print_table(*(ROWS[0], ROWS[1:]))
    lines = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(cell_len, lines)) <= width
    seen = "".join(lines).replace(" ", "")
    if width < 80:
        assert all(word in seen for word in ("natural", "33", "photographs", "general,", "kinds"))
    else:
        assert len(lines) == 2


@pytest.mark.parametrize("width", [0, 1, 7])
def test_where_there_is_no_room_at_all(monkeypatch, capsys, width):
    """COLUMNS is 0 in some containers and editors."""
    result = RUNNER.invoke(app, ["inpaint", "--help"], env={"COLUMNS": str(width)})
    assert result.exit_code == 0
    assert "--grow-mask" in "".join(result.stdout.split())
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_table(ROWS[0], ROWS[1:])
    assert "natural" in "".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [12, 80])
def test_what_a_cell_holds_is_shown_as_it_is(monkeypatch, capsys, width, terminal):
    """What looked like a style was left out; a line feed made a line that is no row."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(*(("FORCE_COLOR", "1") if terminal else ("NO_COLOR", "1")))
    print_table(["a", "b"], [["x", "[red]y\n:cat:"]])
    assert "[red]y\\n:cat:" in "".join(capsys.readouterr().out.split())


def test_rows_of_their_own():
    assert as_records(*(ROWS[0], ROWS[1:]), 24) == [
        "natural",
        "  size: 33",
        "  what it is:",
        "    photographs in",
        "    general, of all",
        "    kinds",
    ]


def test_models_and_scores_are_whole_lines_where_there_is_no_terminal(capsys):
    print_table(["method", "n"], [["start", "2"], ["reddiff-4", "2"]])
    assert capsys.readouterr().out == "method     n\nstart      2\nreddiff-4  2\n"
