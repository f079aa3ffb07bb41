"""Tables on stdout: folded to a terminal, and row by row where that is too narrow for columns."""

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from .report import one_line, print_line

GAP = 2  # columns of the terminal between two of the table


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout, as wide as its content where that is no terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    columns, *rows = ([one_line(cell) for cell in line] for line in (columns, *rows))
    if not console.is_terminal:
        _print_whole(columns, rows)
        return
    widths = fitting_widths([columns, *rows], console.width)
    if widths is None:
        for line in as_records(columns, rows, console.width):
            print_line(line)
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name, width in zip(columns, widths, strict=True):
        table.add_column(name, width=width, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def fitting_widths(rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Of columns that share `room` so that no word is cut; None where they cannot.

    Columns have what they need, as far as that leaves the others their longest word.
    """
    cells = list(zip(*rows, strict=True))
    wanted = [max(map(cell_len, column)) for column in cells]
    widths = [
        max(cell_len(word) for cell in column for word in (cell.split() or [""]))
        for column in cells
    ]
    spare = room - sum(widths) - GAP * len(widths)
    if spare < 0:
        return None
    while spare > 0 and widths != wanted:
        for number, most in enumerate(wanted):
            if widths[number] < most and spare > 0:
                widths[number] += 1
                spare -= 1
    return widths


def as_records(columns: list[str], rows: list[list[str]], width: int) -> list[str]:
    """Every row as lines of its own: what its first column says, and below that the others."""
    lines, width = [], max(1, width)  # scripts may have COLUMNS=0
    fold = textwrap.TextWrapper(width, "  ", "    ", break_on_hyphens=False)
    for name, *others in rows:
        lines += textwrap.wrap(name, width) or [""]
        for column, value in zip(columns[1:], others, strict=True):
            lines += fold.wrap(f"{column}: {value}")
    return lines


def _print_whole(columns: list[str], rows: list[list[str]]) -> None:
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        pairs = zip(row, widths, strict=True)
        cells = (cell + " " * (width + GAP - cell_len(cell)) for cell, width in pairs)
        print_line("".join(cells).rstrip())
