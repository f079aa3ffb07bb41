"""The rows of an evaluation: kept in a JSON file while they come, and not measured twice."""

import json
import math
import platform
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Self

from .. import __version__
from ..errors import PictureError, UsageError
from ..files import write_whole
from ..planning.shards import Shard
from .inputs import digest_of
from .options import START, Case
from .spreadsheet import as_csv

Row = dict[str, Any]
Settings = dict[str, Any]
# Columns of numbers, and how the mean and the standard deviation over the pictures are shown.
_FORMS = {
    "psnr": "{:.2f} +- {:.2f}",
    "ssim": "{:.3f} +- {:.3f}",
    "lpips": "{:.3f} +- {:.3f}",
    "residual_ratio": "{:.2f}",
    "seconds": "{:.1f}",
    "peak_memory_mb": "{:.0f}",
}
# Seconds between two writings of the whole file: one of 6000 rows took 0.1 to 1.7 of them.
EVERY = 10.0
OK, REFUSED, FAILED = "ok", "refused", "failed"


class Ledger:
    """Rows of one folder, by case, contents of the input and method; a context manager.

    The file is written while rows come, and at the end, also of a run that is broken off.
    A shard writes a file of its own; a later run without shards finds the rows of all of them.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Settings],
        shard: Shard,
        *,
        overwrite: bool = False,
    ) -> None:
        part = f".{shard.index + 1}-of-{shard.count}" if shard.count > 1 else ""
        self.part, self.path = part, folder / f"eval{part}.json"
        self.facts: dict[str, Any] = {}
        self.means: list[Row] = []
        self._settings = dict(settings)
        self._rows: dict[tuple[str, str, str], Row] = {}
        self._others: dict[tuple[str, str, str], Row] = {}
        self._written = -math.inf  # seconds; the first row is written at once, if that can be
        self._pending = False
        if not overwrite:
            for path in sorted(folder.glob("eval*.json")):
                self._read(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pending:
            self.write()

    def find(self, case: str, digest: str, method: str) -> Row | None:
        """The row of these settings, if it was measured or refused before."""
        key = (case, digest, method)
        row = self._rows.get(key) or self._others.get(key)
        if row is not None:
            self._rows[key] = row
        return row

    def of_other_methods(self, rows: Iterable[Row]) -> list[Row]:
        """What stands for the pictures of these rows by methods that they do not have."""
        measured = {_key(row) for row in rows if row["status"] != FAILED}
        pictures = {key[:2] for key in measured}
        return [
            row for key, row in self._rows.items() if key[:2] in pictures and key not in measured
        ]

    def add(self, row: Row) -> None:
        """Keep a row. What only a kill could lose was measured within EVERY seconds."""
        self._rows[_key(row)] = row
        self._pending = True
        if time.monotonic() - self._written >= EVERY:
            self.write()

    def forget_failure(self, case: str, path: Path) -> None:
        """A picture that failed before is tried again."""
        self._rows.pop((case, str(path), FAILED), None)

    def forget_failures(self, cases: Iterable[Case], asked: Iterable[Path]) -> None:
        """Those of inputs that are not asked for, so that none stands that is not of this run.

        They may be gone, or be folders that can be read now. What is asked for is tried again.
        """
        names, inputs = {case.name for case in cases}, {str(path) for path in asked}
        for key, row in list(self._rows.items()):
            if row["status"] == FAILED and row["case"] in names and row["input"] not in inputs:
                del self._rows[key]

    def write(self) -> None:
        """The whole file, so that no half of it can be seen; and its tables for spreadsheets."""
        content = {
            "program": f"reddiff {__version__}",
            "versions": versions(),
            **self.facts,
            "settings": self._settings,
            "means": self.means,
            "rows": list(self._rows.values()),
        }
        write_whole(self.path, (json.dumps(content, indent=1) + "\n").encode())
        write_whole(self.path.with_suffix(".csv"), as_csv(self._rows.values()))
        means = self.path.with_name(f"means{self.part}.csv")
        if self.means:
            write_whole(means, as_csv(self.means))
        else:  # those of before are not those of these rows
            means.unlink(missing_ok=True)
        self._written, self._pending = time.monotonic(), False

    def _read(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            found, rows = dict(content["settings"]), {_key(row): row for row in content["rows"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{path}: cannot be read ({error}); use --overwrite to start anew"
            raise PictureError(message, "Unreadable") from error
        if found and not found.keys() & self._settings.keys():
            # Its table and sheets would make way for those of this one.
            told = f"{path}: holds {', '.join(found)}"
            raise UsageError(f"{told}; choose another -o, or use --overwrite")
        for name, settings in self._settings.items():
            if name in found and found[name] != settings:
                changed = [k for k in settings if found[name].get(k) != settings[k]]
                raise UsageError(
                    f"{path}: was made with another {', '.join(changed)}; choose another -o, or "
                    "use --overwrite"
                )
        if path != self.path:
            self._others |= rows
            return
        self._settings = found | self._settings
        self._rows |= rows


def _key(row: Row) -> tuple[str, str, str]:
    """What a row is known by. A file that failed has no method, and maybe no contents."""
    if row["status"] == FAILED:
        return row["case"], row["input"], FAILED
    return row["case"], contents_of(row), row["method"]


def contents_of(row: Row) -> str:
    """What stands for the contents of a row's picture, and of its mask if it has one."""
    return digest_of(row["input_sha256"], row.get("mask_sha256"))


def versions() -> dict[str, str]:
    """Of what decides the numbers, besides ourselves."""
    import numpy
    import PIL
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
    }


def slug(name: str) -> str:
    """A case's name as part of a file name."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


@dataclass(frozen=True)
class Means:
    """Mean and standard deviation of one method over the pictures of a case that it restored.

    evaluations: mean of those that a picture, or a window of it, took.
    """

    case: str
    method: str
    evaluations: float
    pictures: int
    values: dict[str, tuple[float, float] | None]
    reason: str = ""

    def facts(self) -> Row:
        """For scripts."""
        told: Row = {"case": self.case, "method": self.method, "evaluations": self.evaluations}
        told["pictures"] = self.pictures
        for name, value in self.values.items():
            told[name] = None if value is None else round(value[0], 4)
            told[f"{name}_sd"] = None if value is None else round(value[1], 4)
        return told | ({"reason": self.reason} if self.reason else {})


def summarise(rows: Iterable[Row], cases: Iterable[Case], labels: Iterable[str]) -> list[Means]:
    """One entry for each case and method, in their order, `start` first; failures left out."""
    everything = list(rows)
    found = []
    for case in cases:
        for label in (START, *labels):
            own = [r for r in everything if (r["case"], r["method"]) == (case.name, label)]
            good = [row for row in own if row["status"] == OK]
            refused = [row for row in own if row["status"] == REFUSED]
            if not good and not refused:
                continue
            values = {name: _mean([row[name] for row in good]) for name in _FORMS}
            reason = refused[0]["error"]["message"] if refused else ""
            evaluations = round(fmean(row["evaluations"] for row in good), 1) if good else 0.0
            found.append(Means(case.name, label, evaluations, len(good), values, reason))
    return found


def _mean(values: list[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return fmean(known), stdev(known) if len(known) > 1 else 0.0


def table(
    means: list[Means], several: bool, kid: Mapping[tuple[str, str], float]
) -> list[list[str]]:
    """Rows of text; the first is the head. several: with a column of cases, and KID."""
    head = ["method", "evals", "PSNR", "SSIM", "LPIPS", "residual/noise", "s", "MB", "n"]
    if several:
        head = ["case", *head[:5], "KID", *head[5:]]
    lines = [head]
    for entry in means:
        measured = ((entry.values[name], form) for name, form in _FORMS.items())
        texts = ["-" if value is None else form.format(*value) for value, form in measured]
        line = [entry.method, f"{entry.evaluations:g}", *texts, str(entry.pictures)]
        if several:
            value = kid.get((entry.case, entry.method))
            line = [entry.case, *line[:5], "-" if value is None else f"{value:.4f}", *line[5:]]
        lines.append(line)
    return lines
