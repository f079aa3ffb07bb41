"""One picture through stdin and stdout: spooled to files, so that all else only knows files."""

import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PictureError, ReddiffError, UsageError, counted
from ..formats.damage import AGAIN

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STREAM = Path("-")
# First bytes of the kinds of files whose reader is chosen by suffix.
SIGNATURES = (
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"II+\0", ".tif"),
    (b"MM\0+", ".tif"),
    (b"\x76\x2f\x31\x01", ".exr"),
    (b"#?RADIANCE", ".hdr"),
    (b"#?RGBE", ".hdr"),
    (b"\x93NUMPY", ".npy"),
    (b"\x89HDF", ".h5"),
    (b"PK\x03\x04", ".npz"),
    # Lossy files, whose noise is measured otherwise.
    (b"\xff\xd8\xff", ".jpg"),
    (b"\0\0\0\x0cjP  ", ".jp2"),
)
# Beginnings of the brands of ISO media files. `mif1` stands for pictures of any kind, and says so
# by other brands beside it.
BRANDS = ((b"avi", ".avif"), (b"hei", ".heic"), (b"hev", ".heic"))
ANY_BRAND = b"mif"


@dataclass(frozen=True)
class Spooled:
    """Inputs and output as files. aliases: path -> what it stands for, for messages."""

    inputs: list[Path]
    output: Path | None
    aliases: dict[str, str] = field(default_factory=dict)


@contextmanager
def spooled(inputs: list[Path], output: Path | None, pictures: int) -> Iterator[Spooled]:
    """Inputs and output with `-` replaced by files; stdout is written when the body is done.

    pictures: how many of the inputs get a result of their own (a folder counts as one).
    UsageError for more than one `-`, or stdin without -o.
    """
    if STREAM not in inputs and output != STREAM:
        yield Spooled(inputs, output)
        return
    if inputs.count(STREAM) > 1:
        raise UsageError("-: stdin holds one picture; give it once")
    if STREAM in inputs and output is None:
        raise UsageError("-: a picture from stdin needs -o FILE, or -o - for stdout")
    if output == STREAM and pictures > 1:
        raise UsageError("-o -: stdout holds one picture; give one input")
    if output == STREAM and inputs[0].is_dir():
        raise UsageError(f"-o -: stdout holds one picture, {inputs[0]} is a folder; give one file")
    with writing_stdout(surely=output == STREAM):  # nothing is restored for nobody
        pass
    with tempfile.TemporaryDirectory(prefix="reddiff-") as folder:
        read = [_read_stdin(Path(folder)) if path == STREAM else path for path in inputs]
        written = Path(folder) / "stdout.png" if output == STREAM else output
        temporary = [path for path in (*read, written) if path and path.parent == Path(folder)]
        aliases = dict.fromkeys(map(str, temporary), "-")
        try:
            yield Spooled(read, written, aliases)
        except ReddiffError as error:
            error.args = (renamed(str(error), aliases),)
            raise
        if output == STREAM and written is not None and written.is_file():
            with writing_stdout():
                sys.stdout.buffer.write(written.read_bytes())
                sys.stdout.buffer.flush()


@contextmanager
def writing_stdout(*, surely: bool = True) -> Iterator[None]:
    """PictureError if stdout takes nothing; a reader who has gone is heard of elsewhere.

    surely: whether something will be written.
    """
    try:
        if surely and sys.stdout is None:  # closed before the program began
            raise OSError("closed")
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if sys.stdout is not None:  # what is left in its buffer would be tried again at the end
            with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())
        reason = error.strerror or str(error)
        raise PictureError(f"stdout cannot be written ({reason})", "Unwritable") from error


def lose_what_stderr_refuses() -> None:
    """Let no message that cannot be written end a run: to a full disk, to a closed terminal."""
    # On Windows a terminal is no file; and what a test puts there is none.
    if os.name == "posix" and isinstance(sys.stderr, io.TextIOWrapper):
        into = io.BufferedWriter(_Forgiving(sys.stderr.fileno(), "wb", closefd=False))
        form = sys.stderr.encoding, sys.stderr.errors
        sys.stderr = io.TextIOWrapper(into, *form, line_buffering=True)


class _Forgiving(io.FileIO):
    """A file that loses what the system does not take. Who reads a pipe may still go."""

    def write(self, content: "ReadableBuffer", /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError:
            return memoryview(content).nbytes


def renamed(text: str, aliases: Mapping[str, str]) -> str:
    """Text with files that stand for streams called by their names, and a cure that fits them."""
    for path, name in aliases.items():
        if text.startswith(path):
            text = text.replace(AGAIN, "pipe it again")
        text = text.replace(path, name)
    return text


def _read_stdin(folder: Path) -> Path:
    if sys.stdin is None:
        raise UsageError("-: stdin is closed; pipe a picture into it")
    if sys.stdin.isatty():
        raise UsageError("-: stdin is a terminal; pipe a picture into it")
    content = sys.stdin.buffer.read()
    if not content:
        raise UsageError("-: stdin is empty; pipe a picture into it")
    path = folder / f"stdin{_suffix_of(content)}"
    try:
        path.write_bytes(content)
    except OSError as error:
        told = f"-: {counted(len(content), 'byte')} of stdin cannot be kept in {folder.parent}"
        cure = "set TMPDIR to a folder with room"
        raise PictureError(f"{told} ({error.strerror}); {cure}", "Unwritable") from error
    return path


def _suffix_of(content: bytes) -> str:
    """What a file with this content is called, where its reader is chosen by that; else .png."""
    found = [suffix for start, suffix in SIGNATURES if content.startswith(start)]
    if content[4:8] == b"ftyp":
        # The major brand, and after its version all that it is compatible with.
        length = min(int.from_bytes(content[:4]), 256)
        brands = [content[at : at + 4] for at in (8, *range(16, length, 4))]
        found += [suffix for b in brands for start, suffix in BRANDS if b.startswith(start)]
        found += [".heic"] if brands[0].startswith(ANY_BRAND) else []
    found += [".webp"] if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else []
    return found[0] if found else ".png"
