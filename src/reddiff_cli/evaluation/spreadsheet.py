"""Scores as comma-separated values, which spreadsheets and pandas open."""

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

# What comes first, in this order; anything else follows as it comes.
FIRST = (
    *("case", "task", "input", "mask", "method", "status"),
    *("psnr", "ssim", "lpips", "evaluations", "seconds"),
)


def as_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A line of names, and one for each row; what a row does not have is empty.

    An object gets a column for each of its keys, as `error_type`. Bytes of a file's name that are
    no UTF-8 are spelled out, as in JSON lines.
    """
    flat = [_flattened(row) for row in rows]
    seen = dict.fromkeys(name for row in flat for name in row)
    names = [name for name in FIRST if name in seen]
    names += [name for name in seen if name not in FIRST]
    text = StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}_{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat
