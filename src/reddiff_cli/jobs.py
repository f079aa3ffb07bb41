"""From inputs on the command line to an ordered list of jobs; no pixels are touched.

Everything that can be decided beforehand is: names, collisions, masks, what is done already.
"""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
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
# What is written beside a result: `img.denoise.compare.png`.
SHEETS = ("compare", "std", "tonemap")
OnNote = Callable[[str], None]


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
    on_note: OnNote = lambda _: None,
) -> list[Job]:
    """Jobs in a fixed order. UsageError if an input is missing or an output makes no sense."""
    suffixes = ARRAY_SUFFIXES if task == "phase" else PICTURE_SUFFIXES
    found = (_expand(path, options.recursive, suffixes, on_note) for path in inputs)
    # A picture that is named twice is restored once.
    sources = list({s.path.absolute(): s for sources in found for s in sources}.values())
    if not sources:
        raise UsageError(f"{', '.join(map(str, inputs))}: no picture found; see --recursive")
    outputs = _name_outputs(task, sources, inputs, options)
    _check_outputs(sources, outputs)
    return [
        _plan(task, source, output, mask, options, make_record)
        for source, output in zip(sources, outputs, strict=True)
    ]


def list_pictures(inputs: list[Path], recursive: bool) -> list[Path]:
    """Picture files of the inputs, folders expanded and sorted; UsageError if there are none."""
    sources = (_expand(path, recursive, PICTURE_SUFFIXES, lambda _: None) for path in inputs)
    found = [source.path for folder in sources for source in folder]
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


def _expand(
    path: Path, recursive: bool, suffixes: frozenset[str], on_note: OnNote
) -> list[_Source]:
    if not path.is_dir():
        if not os.path.lexists(path):
            raise UsageError(f"{path}: no such file or folder")
        return [_Source(path, None)]
    files = [p for p in _walk(path, recursive) if not p.is_dir()]
    named = [p for p in files if p.suffix.lower() in suffixes]
    pictures = sorted(p for p in named if not _is_result(p))
    on_note(
        f"{path}: {len(pictures)} pictures, {len(named) - len(pictures)} results of reddiff "
        f"and {len(files) - len(named)} other files left out"
    )
    return [_Source(p, path) for p in pictures]


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    """All paths in a folder, or below it. Links to folders are not followed: they may be loops."""
    for top, folders, names in os.walk(folder):
        yield from (Path(top) / name for name in names)
        if not recursive:
            folders.clear()


def _is_result(path: Path) -> bool:
    """True for names that reddiff gives: a folder may be read again without eating its results."""
    stem = path.stem
    for sheet in SHEETS:
        stem = stem.removesuffix(f".{sheet}")
    return any(stem.endswith(f".{task}") for task in TASKS)


def _name_outputs(
    task: str, sources: list[_Source], inputs: list[Path], options: OutputOptions
) -> list[Path]:
    target = options.path
    if target is not None and not options.folder and _is_file_target(target, inputs):
        if (
            options.format != "auto"
            and FORMATS.get(target.suffix.lower()) != FORMATS[f".{options.format}"]
        ):
            raise UsageError(f"-o {target}: is no {options.format}; drop --format or rename it")
        return [target]
    if target is not None and target.is_file():
        raise UsageError(f"-o {target}: is a file, and there are several inputs; give a folder")
    names = [_output(task, source, options, source.path.stem) for source in sources]
    full = [_output(task, source, options, source.path.name) for source in sources]
    while True:
        counts = Counter(names)
        # a.jpg and a.png: both keep their suffix, whatever the order; and a.jpg.png beside them.
        longer = [
            other if counts[name] > 1 else name for name, other in zip(names, full, strict=True)
        ]
        if longer == names:
            return names
        names = longer


def _check_outputs(sources: list[_Source], outputs: list[Path]) -> None:
    """UsageError for an output that is an input, or stands for two pictures."""
    taken = {os.path.realpath(source.path) for source in sources}
    first: dict[Path, Path] = {}
    for source, output in zip(sources, outputs, strict=True):
        if os.path.realpath(output) in taken:
            raise UsageError(f"{output}: is an input too; choose another -o")
        if output in first:
            raise UsageError(
                f"{output}: would hold both {first[output]} and {source.path}; "
                "give their common folder with -r, or two commands"
            )
        first[output] = source.path
        format_of(output)


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


def _check_readable(path: Path) -> None:
    """PictureError for what is no file: reading a pipe would wait for ever."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        reason = error.strerror or error
        raise PictureError(f"{path}: cannot be read ({reason})", "Unreadable") from error
    if not stat.S_ISREG(mode):
        message = f"{path}: is no file but a pipe or a device; give - and pipe it into stdin"
        raise PictureError(message, "Unreadable")


def _check_writable(output: Path) -> None:
    """Find out before hours of work, not after."""
    try:
        if stat.S_ISDIR(output.stat().st_mode):
            raise PictureError(f"{output}: is a folder; choose another -o", "Output")
    except FileNotFoundError:
        pass
    except OSError as error:  # too long a name, for example
        reason = error.strerror or error
        raise PictureError(f"{output}: cannot be written ({reason})", "Unwritable") from error
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
        _check_readable(source.path)
        own_mask = find_mask(mask, source.path, source.root)
        _check_writable(output)
        if os.path.lexists(output) and not options.overwrite:
            if same_settings(read_record(output), make_record(source.path, own_mask)):
                return Job(task, source.path, output, own_mask, "skip", "done already")
            reason = f"{output}: exists with other settings; use --overwrite"
            raise PictureError(reason, "Exists")
    except PictureError as error:
        return Job(task, source.path, output, None, "fail", str(error), error.kind)
    return Job(task, source.path, output, own_mask)
