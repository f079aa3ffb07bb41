"""What results are called, and that nothing of the user is lost by writing them."""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import PictureError, UsageError
from ..formats.carriers import sidecar
from ..formats.kinds import FORMATS, PICTURE_SUFFIXES, format_of
from ..options.common import TASKS, OutputOptions

# What is written beside a result: `img.denoise.compare.png`.
SHEETS = ("compare", "std", "tonemap", "trace")
# As in the names that the help text gives.
PLACEHOLDER = re.compile(r"\{\w*\}")


@dataclass(frozen=True)
class Source:
    """A picture to restore. root: the input folder below which it was found."""

    path: Path
    root: Path | None


IsOf = Callable[[Source, Path], bool]


def place_of(path: Path) -> Path:
    """One for all spellings of a path; links to pictures stay pictures of their own."""
    return Path(os.path.realpath(path.parent)) / path.name


def named_once(paths: Sequence[Path]) -> list[Path]:
    """Paths in their order, less those that were named before."""
    first: dict[Path, Path] = {}
    for path in paths:
        first.setdefault(place_of(path), path)
    return list(first.values())


def is_result(path: Path, *, sheets: bool = True) -> bool:
    """True for names that reddiff gives: a folder may be read again without eating its results.

    sheets: those of what lies beside a result as well.
    """
    stem = without_sheet(path) if sheets else path.stem
    return any(stem.endswith(f".{task}") for task in TASKS)


def without_sheet(path: Path) -> str:
    """The stem of a result, for what lies beside it as well."""
    stem = path.stem
    if path == sidecar(path.with_name(stem)):
        stem = stem.removesuffix(".hdr")
    for sheet in SHEETS:
        stem = stem.removesuffix(f".{sheet}")
    return stem


def sheets_of(output: Path, sheets: Sequence[str]) -> list[Path]:
    """The files beside a result: what comes after its stem was asked for."""
    return [output.with_name(f"{output.stem}.{suffix}") for suffix in sheets]


def name_outputs(
    task: str,
    sources: list[Source],
    inputs: list[Path],
    options: OutputOptions,
    sheets: Sequence[str],
    is_of: IsOf,
) -> list[Path]:
    """One output for each source; UsageError where -o cannot hold them.

    sheets: what is written beside each; two outputs are told apart by more where these would be
    one file.    is_of: whether a file is the result of a source already: it keeps its name, and
    a picture that has come later gets the longer one.
    """
    if options.path is not None:
        _check_target(options.path, options.folder)
        if _is_for_one(task, options.path, inputs, options):
            return [options.path]
    names = [_output(task, source, options, source.path.stem) for source in sources]
    full = [_output(task, source, options, source.path.name) for source in sources]
    names = _apart(sources, names, full, sheets, is_of)
    while (longer := _apart(sources, names, full, sheets, lambda *_: False)) != names:
        names = longer
    return names


def _apart(
    sources: list[Source], names: list[Path], full: list[Path], sheets: Sequence[str], is_of: IsOf
) -> list[Path]:
    """Names, in full where they or what lies beside them would be one file, but for results."""
    written = [(name, *_beside(name, sheets)) for name in names]
    counts = Counter(path for own in written for path in own)
    # a.jpg and a.png: both keep their suffix, whatever the order; and a.jpg.png beside them.
    return [
        other if any(counts[path] > 1 for path in own) and not is_of(source, own[0]) else own[0]
        for source, own, other in zip(sources, written, full, strict=True)
    ]


def check_outputs(
    sources: list[Source], outputs: list[Path], reads: Iterable[Path], sheets: Sequence[str]
) -> None:
    """UsageError for an output or sheet that is read as well, or stands for two pictures.

    reads: files that the options name, as masks and kernels.
    """
    inputs = {os.path.realpath(source.path) for source in sources}
    others = {os.path.realpath(path) for path in reads}
    first: dict[Path, Path] = {}
    for source, output in zip(sources, outputs, strict=True):
        format_of(output)
        for written in (output, *_beside(output, sheets)):
            place = os.path.realpath(written)
            if place in inputs or place in others:
                what = "is an input too" if place in inputs else "is read as well"
                raise UsageError(f"{written}: {what}; choose another -o")
            if written in first:
                raise UsageError(
                    f"{written}: would hold both {first[written]} and {source.path}; "
                    "give their common folder with -r, or two commands"
                )
            first[written] = source.path


def check_nothing_is_lost(output: Path, sheets: Sequence[str]) -> None:
    """PictureError if a file lies where something goes beside a result that is not there yet."""
    for path in _beside(output, sheets):
        if os.path.lexists(path):
            raise PictureError(f"{path}: exists; use --overwrite", "Exists")


def check_writable(output: Path, sheets: Sequence[str]) -> None:
    """PictureError if a result or what goes beside it cannot be: now, not after hours of work."""
    for path in (output, *_beside(output, sheets)):
        check_place(path)


def check_place(output: Path) -> None:
    """PictureError if there cannot be such a file."""
    try:
        mode = output.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "folder" if stat.S_ISDIR(mode) else "device or a pipe"
            raise PictureError(f"{output}: is a {kind}; choose another -o", "Output")
    except FileNotFoundError:
        pass
    except OSError as error:  # too long a name, for example
        told = f"{output}: cannot be written ({error.strerror or error}); choose another -o"
        raise PictureError(told, "Unwritable") from error
    folder = output.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        # Of a file system that is read-only nobody tells before a file is opened.
        reason = "no write permission, or read-only" if folder.is_dir() else "which is no folder"
        told = f"{output}: cannot be written below {folder} ({reason}); choose another -o"
        raise PictureError(told, "Unwritable")


def _beside(output: Path, sheets: Sequence[str]) -> list[Path]:
    own = [sidecar(output)] if format_of(output) == "HDR" else []
    return [*sheets_of(output, sheets), *own]


def _check_target(target: Path, folder: bool) -> None:
    """UsageError for what is named by -o and can neither be a file nor a folder."""
    there = target.exists()
    if PLACEHOLDER.search(str(target)) and not there:
        raise UsageError(f"-o {target}: names in braces are not filled in; give a file or folder/")
    if there and not (target.is_dir() or target.is_file()):
        told = f"-o {target}: is a device or a pipe"
        raise UsageError(f"{told}; give a file or folder, - for stdout")
    if target.name.lower() in PICTURE_SUFFIXES.union(FORMATS) and not (folder or there):
        suffix = target.name if target.name.lower() in FORMATS else ".png"
        told = f"-o {target}: is a suffix without a name; give NAME{suffix}"
        raise UsageError(f"{told}, or {target}/ for a folder of that name")


def _is_for_one(task: str, target: Path, inputs: list[Path], options: OutputOptions) -> bool:
    """Whether it is the file of the only picture; UsageError for a file where more are wanted."""
    single = len(inputs) == 1 and not inputs[0].is_dir()
    if single and target.suffix and not options.folder and not target.is_dir():
        asked = options.format
        if asked != "auto" and FORMATS.get(target.suffix.lower()) != FORMATS[f".{asked}"]:
            raise UsageError(f"-o {target}: is no {asked}; drop --format or rename it")
        return True
    if _is_one_file(target, options):
        if single:
            raise UsageError(f"-o {target}: is a file there; give a folder, or NAME.png")
        why = "there are several inputs" if len(inputs) > 1 else f"{inputs[0]} is a folder"
        shots = ", or --exposures if they are of one scene" if task == "hdr" else ""
        raise UsageError(f"-o {target}: is one file, and {why}; give a folder{shots}")
    return False


def _is_one_file(target: Path, options: OutputOptions) -> bool:
    """Whether it is a file, or would be by its name."""
    named = target.suffix.lower() in FORMATS and not options.folder and not target.is_dir()
    return named or target.is_file()


def _output(task: str, source: Source, options: OutputOptions, stem: str) -> Path:
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
