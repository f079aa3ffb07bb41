"""The README of a prior that was trained here: what it is, from what, and how good."""

import csv
from pathlib import Path
from typing import Any

from ..errors import counted
from .options import TrainOptions


def model_card(
    options: TrainOptions, steps: int, seconds: float, curve: list[dict[str, Any]]
) -> str:
    """Draft: settings, last validation, and one line per photograph if SOURCES.csv is there."""
    lines = [
        f"# {options.output.resolve().name}",
        "",
        f"UNet2DModel, channels {'-'.join(map(str, options.channels))}, "
        f"{counted(options.layers, 'layer')} per block, pixel-unshuffle {options.unshuffle}, "
        f"prediction {options.prediction}; "
        f"trained with `reddiff train` for {counted(steps, 'step')} in "
        f"{counted(round(seconds / 60), 'minute')}.",
        "",
    ]
    if curve:
        lines += [f"Last validation: {curve[-1]}", ""]
    photographs = _photographs(options.folder.resolve())
    lines += ["## Photographs", "", *photographs] if photographs else []
    return "\n".join(lines) + "\n"


def _photographs(folder: Path) -> list[str]:
    """One line for each that SOURCES.csv beside their folder names; what it lacks is left out.

    The table may be anybody's: whatever is wrong with it, hours of training do not end by it.
    """
    path = folder.parent / "SOURCES.csv"
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            rows = [row for row in csv.DictReader(file) if row.get("file")]
    except (OSError, csv.Error) as error:
        return [f"{path.name}: cannot be read ({error})"]
    return [_line(row) for row in rows if row["file"].startswith(folder.name + "/")]


def _line(row: dict[str, str]) -> str:
    source, licence = row.get("source"), row.get("licence")
    told = f"- {row['file']}" + (f": {source}" if source else "")
    return told + (f" ({licence})" if licence else "")
