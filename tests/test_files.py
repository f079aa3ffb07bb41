"""Files are written whole or not at all, whoever writes them."""

import errno
import os
import stat
from pathlib import Path

import pytest
import torch

from reddiff_cli.errors import PictureError
from reddiff_cli.files import TEMPORARY, write_json, write_whole
from reddiff_cli.networks.weights import read_state, write_state

WRITERS = {
    "bytes": lambda path: write_whole(path, b"new"),
    "json": lambda path: write_json(path, {"new": 1}),
    "weights": lambda path: write_state(path, {"new": torch.zeros(3)}),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_write_that_fails_leaves_what_was_there(write, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text("old")

    def full(*_):
        assert any(p.name.startswith(TEMPORARY) for p in tmp_path.iterdir())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises((OSError, PictureError), match="No space left"):
        write(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="POSIX rights")
@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_new_files_have_the_rights_of_those_that_they_replace(write, tmp_path):
    path = tmp_path / "a"
    (tmp_path / "usual").touch()
    write(path)
    rights = [stat.S_IMODE(p.stat().st_mode) for p in (path, tmp_path / "usual")]
    assert rights[0] == rights[1]
    path.chmod(0o640)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_was_written_is_read(tmp_path):
    WRITERS["weights"](tmp_path / "a.safetensors")
    assert torch.equal(read_state(tmp_path / "a.safetensors")["new"], torch.zeros(3))
