"""One picture through stdin and stdout: spooled to files, so that all else only knows files."""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from types import FrameType

from .errors import PictureError, ReddiffError, UsageError

STREAM = Path("-")
# First bytes of the kinds of files whose reader is chosen by suffix.
SIGNATURES = (
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
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
    with tempfile.TemporaryDirectory(prefix="reddiff-") as folder, _gone_with_terminal(folder):
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
def writing_stdout() -> Iterator[None]:
    """PictureError if stdout takes nothing; a reader who has gone is heard of elsewhere."""
    try:
        if sys.stdout is None:  # closed before the program began
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


@contextmanager
def _gone_with_terminal(folder: str) -> Iterator[None]:
    """A folder that is removed where the terminal is closed, which ends a process at once.

    After Ctrl-C and SIGTERM, which end it in order, whoever made the folder removes it.
    """

    def end(number: int, frame: FrameType | None) -> None:
        rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    hangup = getattr(signal, "SIGHUP", None)  # which Windows has not
    main = threading.current_thread() is threading.main_thread()
    # What nohup has a process ignore stays ignored.
    if hangup is None or not main or signal.getsignal(hangup) != signal.SIG_DFL:
        yield
        return
    signal.signal(hangup, end)
    try:
        yield
    finally:
        signal.signal(hangup, signal.SIG_DFL)


def renamed(text: str, aliases: Mapping[str, str]) -> str:
    """Text with files that stand for streams called by their names."""
    for path, name in aliases.items():
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
    path.write_bytes(content)
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
