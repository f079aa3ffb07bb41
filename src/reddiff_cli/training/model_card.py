"""The README of a prior that was trained here: what it is, from what, and how good."""

import csv
from typing import Any

from .options import TrainOptions


def model_card(
    options: TrainOptions, steps: int, seconds: float, curve: list[dict[str, Any]]
) -> str:
    """Draft: settings, last validation, and one line per photograph if SOURCES.csv is there."""
    lines = [
        f"# {options.output.resolve().name}",
        "",
        f"UNet2DModel, channels {'-'.join(map(str, options.channels))}, {options.layers} layers "
        f"per block, pixel-unshuffle {options.unshuffle}, prediction {options.prediction}; "
        f"trained with `reddiff train` for {steps} steps in {seconds / 60:.0f} "
        "minutes.",
        "",
    ]
    if curve:
        lines += [f"Last validation: {curve[-1]}", ""]
    sources = options.folder.resolve().parent / "SOURCES.csv"
    if sources.is_file():
        lines += ["## Photographs", ""]
        prefix = options.folder.resolve().name + "/"
        with sources.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["file"].startswith(prefix)]
        lines += [f"- {row['file']}: {row['source']} ({row['licence']})" for row in rows]
    return "\n".join(lines) + "\n"
