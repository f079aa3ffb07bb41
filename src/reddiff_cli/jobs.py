"""From inputs on the command line to an ordered list of jobs; no pixels are touched.

Everything that can be decided beforehand is: names, collisions, masks, what is done already.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .arrays import ARRAY_SUFFIXES
from .carriers import read_record
from .errors import PictureError, UsageError
from .masks import find_mask
from .options import TASKS, OutputOptions
from .pictures import FORMATS, PICTURE_SUFFIXES, format_of

Record = dict[str, Any]
MakeRecord = Callable[[Path, Path | None], Record]
# Key of a record for what was found out on the way; it follows from the rest, and may not differ.
FOUND = "found"


@dataclass(frozen=True)
class Job:
    """One picture. action: restore, skip or fail; reason says why for the latter two."""

    task: str
    input: Path
    output: Path
    mask: Path | None = None
    action: str = "restore"
    reason: str = ""
    kind: str = ""


@dataclass(frozen=True)
class _Source:
    path: Path
    root: Path | None  # the input folder below which the picture was found


def plan_jobs(
    task: str,
    inputs: list[Path],
    mask: Path | None,
    options: OutputOptions,
    make_record: MakeRecord,
) -> list[Job]:
    """Jobs in a fixed order. UsageError if an input is missing or an output makes no sense."""
    suffixes = ARRAY_SUFFIXES if task == "phase" else PICTURE_SUFFIXES
    sources = [source for path in inputs for source in _expand(path, options.recursive, suffixes)]
    if not sources:
        raise UsageError(f"{', '.join(map(str, inputs))}: no picture found; see --recursive")
    outputs = _name_outputs(task, sources, inputs, options)
    taken = {source.path.resolve() for source in sources}
    for output in outputs:
        if output.resolve() in taken:
            raise UsageError(f"{output}: is an input too; choose another -o")
        format_of(output)
    return [
        _plan(task, source, output, mask, options, make_record)
        for source, output in zip(sources, outputs, strict=True)
    ]


def list_pictures(inputs: list[Path], recursive: bool) -> list[Path]:
    """Picture files of the inputs, folders expanded and sorted; UsageError if there are none."""
    found = [s.path for path in inputs for s in _expand(path, recursive, PICTURE_SUFFIXES)]
    if not found:
        raise UsageError(f"{', '.join(map(str, inputs))}: no picture found; see --recursive")
    return list(dict.fromkeys(found))


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal; PictureError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or error
        raise PictureError(f"{path}: cannot be read ({reason})", "Unreadable") from error


def same_settings(found: Record | None, wanted: Record) -> bool:
    """True if a file's record says that it was made with the wanted settings."""
    return found is not None and {k: v for k, v in found.items() if k != FOUND} == wanted


def _expand(path: Path, recursive: bool, suffixes: frozenset[str]) -> list[_Source]:
    if path.is_dir():
        found = path.rglob("*") if recursive else path.iterdir()
        pictures = sorted(p for p in found if p.suffix.lower() in suffixes and p.is_file())
        return [_Source(p, path) for p in pictures if not _is_result(p)]
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    return [_Source(path, None)]


def _is_result(path: Path) -> bool:
    """True for names that reddiff gives: a folder may be read again without eating its results."""
    return any(path.stem.endswith(f".{task}") for task in TASKS)


def _name_outputs(
    task: str, sources: list[_Source], inputs: list[Path], options: OutputOptions
) -> list[Path]:
    target = options.path
    if target is not None and _is_file_target(target, inputs):
        if (
            options.format != "auto"
            and FORMATS.get(target.suffix.lower()) != FORMATS[f".{options.format}"]
        ):
            raise UsageError(f"-o {target}: is no {options.format}; drop --format or rename it")
        return [target]
    if target is not None and target.is_file():
        raise UsageError(f"-o {target}: is a file, and there are several inputs; give a folder")
    plain = [_output(task, source, options, source.path.stem) for source in sources]
    counts = Counter(plain)
    return [
        # a.jpg and a.png: both keep their suffix, whatever the order.
        name if counts[name] == 1 else _output(task, source, options, source.path.name)
        for name, source in zip(plain, sources, strict=True)
    ]


def _is_file_target(target: Path, inputs: list[Path]) -> bool:
    single = len(inputs) == 1 and not inputs[0].is_dir()
    return single and not target.is_dir() and bool(target.suffix)


def _output(task: str, source: _Source, options: OutputOptions, stem: str) -> Path:
    suffix = _suffix(options, source.path)
    if options.path is None:
        return source.path.with_name(f"{stem}.{task}{suffix}")
    relative = source.path.relative_to(source.root) if source.root else Path(source.path.name)
    return options.path / relative.with_name(f"{stem}{suffix}")


def _suffix(options: OutputOptions, source: Path) -> str:
    if options.format != "auto":
        return f".{options.format}"
    # Linear light stays linear light: a png could not hold it.
    return source.suffix.lower() if source.suffix.lower() in (".exr", ".hdr") else ".png"


def _check_writable(output: Path) -> None:
    """Find out before hours of work, not after."""
    if output.is_dir():
        raise PictureError(f"{output}: is a folder; choose another -o", "Output")
    folder = output.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise PictureError(f"{output}: cannot be written below {folder}", "Unwritable")


def _plan(
    task: str,
    source: _Source,
    output: Path,
    mask: Path | None,
    options: OutputOptions,
    make_record: MakeRecord,
) -> Job:
    try:
        own_mask = find_mask(mask, source.path, source.root)
        _check_writable(output)
        if output.exists() and not options.overwrite:
            if same_settings(read_record(output), make_record(source.path, own_mask)):
                return Job(task, source.path, output, own_mask, "skip", "done already")
            reason = f"{output}: exists with other settings; use --overwrite"
            raise PictureError(reason, "Exists")
    except PictureError as error:
        return Job(task, source.path, output, None, "fail", str(error), error.kind)
    return Job(task, source.path, output, own_mask)
