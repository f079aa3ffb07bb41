"""From inputs on the command line to an ordered list of jobs; no pixels are touched.

Everything that can be decided beforehand is: names, collisions, masks, what is done already.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import PictureError, ReddiffError, UsageError, counted
from ..formats.arrays import ARRAY_SUFFIXES
from ..formats.carriers import read_record
from ..formats.damage import unopened
from ..formats.endings import is_whole
from ..formats.kinds import FORMATS, PICTURE_SUFFIXES
from ..options.common import OutputOptions
from ..pictures.masks import Masks
from .outputs import (
    Source,
    check_nothing_is_lost,
    check_outputs,
    check_writable,
    is_result,
    name_outputs,
    named_once,
    place_of,
    sheets_of,
    without_sheet,
)
from .shards import WHOLE, Shard

Record = dict[str, Any]
MakeRecord = Callable[["Job"], Record]
# Key of a record for what was found out on the way; it follows from the rest, and may not differ.
FOUND = "found"
OnNote = Callable[[str], None]
OnError = Callable[[OSError], None]


@dataclass(frozen=True)
class Job:
    """One picture. action: restore, skip or fail; reason says why, if that must be said."""

    task: str
    input: Path
    output: Path
    mask: Path | None = None
    action: str = "restore"
    reason: str = ""
    kind: str = ""

    def failed(self, error: ReddiffError) -> "Job":
        """The job as one that must fail by this."""
        return replace(self, action="fail", reason=str(error), kind=error.kind)


def plan_jobs(
    task: str,
    inputs: list[Path],
    mask: Path | None,
    options: OutputOptions,
    make_record: MakeRecord,
    on_note: OnNote = lambda _: None,
    reads: Sequence[Path] = (),
    sheets: Sequence[str] = (),
    shard: Shard = WHOLE,
) -> list[Job]:
    """Jobs in a fixed order. UsageError if an input is missing or an output makes no sense.

    reads: files that the task's options name.    sheets: what is written beside every result, by
    what comes after its stem.    shard: the part of the jobs to plan. Names and collisions are
    those of all, but only its own are read to see what is done.
    """
    suffixes = ARRAY_SUFFIXES if task == "phase" else PICTURE_SUFFIXES
    inputs = _without_results(task, inputs, on_note)
    for path in inputs:
        if path.is_dir() and options.path and _same_place(path, options.path):
            raise UsageError(
                f"-o {options.path}: is the folder that is read; drop it for results beside the "
                "pictures, or give another"
            )
    errors: list[OSError] = []
    found = [_expand(path, options, suffixes, errors.append, on_note, mask) for path in inputs]
    named = [source for sources in found for source in sources]
    sources, inputs = list({place_of(s.path): s for s in named}.values()), named_once(inputs)
    if len(sources) < len(named):
        again = counted(len(named) - len(sources), "picture")
        on_note(f"{again} named more than once, to be restored once")
    unread = [_unread(task, error, options) for error in errors]
    if not sources and not unread:
        raise UsageError(f"{', '.join(map(str, inputs))}: no picture found; see --recursive")
    outputs = name_outputs(task, sources, inputs, options, sheets, partial(_is_result_of, task))
    masks = Masks(mask)
    jobs = [_pair(task, *pair, masks) for pair in zip(sources, outputs, strict=True)]
    check_outputs(sources, outputs, [*reads, *{job.mask for job in jobs if job.mask}], sheets)
    jobs += dict.fromkeys(unread)
    mine = shard.take(jobs)
    if not mine:
        on_note(f"warning: {shard} holds no picture (of {len(jobs)})")
    return [plan_job(job, options, make_record, sheets) for job in mine]


def list_pictures(
    inputs: list[Path],
    recursive: bool,
    output: Path | None = None,
    mask: Path | None = None,
    unread: dict[Path, PictureError] | None = None,
) -> list[Path]:
    """Picture files of the inputs, folders expanded and sorted; UsageError if there are none.

    output, mask: the folders of the results and of masks, which are not looked into where they
    lie below an input.    unread: takes folders that cannot be read; else the first is raised.
    """
    options, errors = OutputOptions(path=output, recursive=recursive), list[OSError]()
    sources = [_expand(p, options, PICTURE_SUFFIXES, errors.append, mask=mask) for p in inputs]
    for error in errors:
        if unread is None:
            raise PictureError(_why_unread(error), "Unreadable")
        unread[Path(error.filename)] = PictureError(_why_unread(error), "Unreadable")
    found = [source.path for folder in sources for source in folder]
    if not found and not unread:
        raise UsageError(f"{', '.join(map(str, inputs))}: no picture found; see --recursive")
    return list(dict.fromkeys(found))


def file_digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal; PictureError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unopened(path, error) from error


def same_settings(found: Record | None, wanted: Record) -> bool:
    """True if a file's record says that it was made with the wanted settings."""
    return found is not None and {k: v for k, v in found.items() if k != FOUND} == wanted


def _same_place(one: Path, other: Path) -> bool:
    """Whether two paths, of which the first exists, are one, however they are spelt."""
    return other.exists() and one.samefile(other)


def _why_not_done(found: Record | None, wanted: Record) -> str:
    """Why what lies there is not the result that is wanted."""
    if found is None:
        return "exists, and says not how it was made; use --overwrite to replace it"
    inputs = [(record or {}).get("input_sha256") for record in (found, wanted)]
    if all(inputs) and inputs[0] != inputs[1]:
        return "is the result of another picture; give another -o, or --overwrite to lose it"
    return "exists with other settings; use --overwrite"


def _without_results(task: str, inputs: list[Path], on_note: OnNote) -> list[Path]:
    """Inputs less the results of the task, unless there are no others.

    Of `*.png` a shell makes the results of the last run as well.
    """
    results = [path for path in inputs if not path.is_dir() and _is_made(path, task)]
    if not results or len(results) == len(inputs):
        return inputs
    shown = ", ".join(map(str, results[:3])) + (", ..." if len(results) > 3 else "")
    on_note(
        f"warning: {len(results)} left out that {task} has made ({shown}); "
        "give them without others to restore them again"
    )
    left_out = set(results)
    return [path for path in inputs if path not in left_out]


def _is_result_of(task: str, source: Source, output: Path) -> bool:
    """True if a file is what a task made of a picture, as that is now."""
    found = read_record(output)
    if found is None or found.get("task") != task:
        return False
    with suppress(PictureError):  # said when it is read
        return found.get("input_sha256") == file_digest(source.path)
    return False


def _is_made(path: Path, task: str) -> bool:
    """True for results of a task, by their name and record, and for what lies beside one."""
    stem = without_sheet(path)
    if not stem.endswith(f".{task}"):
        return False
    # Sheets hold no record, and have not always the suffix of their result.
    named = [path] if stem == path.stem else [path.with_name(f"{stem}{s}") for s in FORMATS]
    return any(read_record(result) for result in named)


def _expand(
    path: Path,
    options: OutputOptions,
    suffixes: frozenset[str],
    on_error: OnError,
    on_note: OnNote = lambda _: None,
    mask: Path | None = None,
) -> list[Source]:
    """The pictures that an input stands for.    on_error: of folders that cannot be read."""
    if not path.is_dir():
        if not os.path.lexists(path):
            raise UsageError(f"{path}: no such file or folder")
        return [Source(path, None)]
    files = list(_walk(path, options, mask, on_error))
    named = [p for p in files if p.suffix.lower() in suffixes]
    pictures = sorted(p for p in named if not is_result(p))
    foreign = [p.name for p in sorted(named) if is_result(p, sheets=False) and not read_record(p)]
    if foreign:
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        on_note(
            f"warning: {path}: {len(foreign)} left out that are called like results but hold no "
            f"record ({shown}); unless --strip made them, rename them or give them by name"
        )
    made = counted(len(named) - len(pictures), "result")
    left_out = f"{made} of reddiff and {counted(len(files) - len(named), 'other file')} left out"
    on_note(f"{path}: {counted(len(pictures), 'picture')}, {left_out}")
    return [Source(p, path) for p in pictures]


def _walk(
    folder: Path, options: OutputOptions, mask: Path | None, on_error: OnError
) -> Iterator[Path]:
    """All files in a folder, or below it. Links to folders are not followed: they may be loops.

    Nor are the folder that takes the results and that of the masks, where they lie below: the same
    command goes on. What macOS keeps beside a file on a foreign disk (`._NAME`) is no picture.
    """
    others = [path for path in (options.path, mask) if path is not None]
    for top, folders, names in os.walk(folder, onerror=on_error):
        yield from (Path(top) / name for name in names if not name.startswith("._"))
        below = folders if options.recursive else []
        folders[:] = [n for n in below if not any(_same_place(Path(top) / n, o) for o in others)]


def _unread(task: str, error: OSError, options: OutputOptions) -> Job:
    """A folder that cannot be read: nobody knows which pictures it holds, and all of them fail."""
    folder = Path(error.filename)
    about = task, folder, options.path or folder, None
    return Job(*about, "fail", _why_unread(error), "Unreadable")


def _why_unread(error: OSError) -> str:
    return f"{error.filename}: folder cannot be read ({error.strerror}); make it readable"


def check_readable(path: Path) -> None:
    """PictureError for what is no file: reading a pipe would wait for ever."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            path.open("rb").close()
            return
    except OSError as error:
        raise unopened(path, error) from error
    message = f"{path}: is no file but a pipe or a device; give - and pipe it into stdin"
    raise PictureError(message, "Unreadable")


def _pair(task: str, source: Source, output: Path, masks: Masks) -> Job:
    """A picture, its output and its mask."""
    job = Job(task, source.path, output)
    try:
        return replace(job, mask=masks.find(source.path, source.root))
    except PictureError as error:
        return job.failed(error)


def plan_job(
    job: Job, options: OutputOptions, make_record: MakeRecord, sheets: Sequence[str]
) -> Job:
    """The job with what is to be done: nothing, where its result is there or cannot be."""
    if job.action == "fail":
        return job
    output = job.output
    try:
        check_readable(job.input)
        check_writable(output, sheets)
        if not options.overwrite:
            if os.path.lexists(output):
                found, wanted = read_record(output), make_record(job)
                if options.strip or not same_settings(found, wanted):
                    raise PictureError(f"{output}: {_why_not_done(found, wanted)}", "Exists")
                if not is_whole(output):
                    return replace(job, reason=f"{output}: is cut off, and made once more")
                if all(sheet.exists() for sheet in sheets_of(output, sheets)):
                    return replace(job, action="skip", reason="done already")
                # A sheet is missing (a run was killed, or did not ask for it): all once more.
            else:
                check_nothing_is_lost(output, sheets)
    except PictureError as error:
        return job.failed(error)
    return job
