"""One picture through stdin and stdout: spooled to files, so that all else only knows files."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .errors import ReddiffError, UsageError

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
)


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
            sys.stdout.buffer.write(written.read_bytes())
            sys.stdout.buffer.flush()


def renamed(text: str, aliases: Mapping[str, str]) -> str:
    """Text with files that stand for streams called by their names."""
    for path, name in aliases.items():
        text = text.replace(path, name)
    return text


def _read_stdin(folder: Path) -> Path:
    if sys.stdin.isatty():
        raise UsageError("-: stdin is a terminal; pipe a picture into it")
    content = sys.stdin.buffer.read()
    if not content:
        raise UsageError("-: stdin is empty; pipe a picture into it")
    found = [suffix for start, suffix in SIGNATURES if content.startswith(start)]
    if content[4:8] == b"ftyp" and content[8:11] in (b"hei", b"mif", b"hev"):
        found = [".heic"]
    path = folder / f"stdin{found[0] if found else '.png'}"
    path.write_bytes(content)
    return path
