"""A run that is killed leaves whole pictures only; the same command then finishes the rest."""

import json
import os
import random
import re
import select
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image
from typer.testing import CliRunner

from conftest import scene
from killing import (
    check_whole,
    command_of,
    contents,
    log_of,
    make_pictures,
    results,
    run_slow,
    run_stuck,
    run_until,
    run_whole,
    start,
)
from reddiff_cli.cli import app
from reddiff_cli.errors import HungUp, Terminated, code_of
from reddiff_cli.interrupts import Interrupts, ending_in_order, nothing

fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_prior):
    root = tmp_path_factory.mktemp("kill")
    pictures = make_pictures(root / "in")
    assert run_whole(command_of(pictures, root / "whole", tiny_prior)) == 0
    return root, pictures, contents(root / "whole")


@pytest.mark.slow
def test_kill_and_go_on(undisturbed, tiny_prior):
    """Killed again and again at random moments, in one folder, and finished in the end."""
    root, pictures, expected = undisturbed
    out = root / "killed"
    command = command_of(pictures, out, tiny_prior)
    moments = random.Random(4)
    before = {}
    for target in (0, 1, 3, 5, 7, 9):
        killed = run_until(command, out, target, moments.uniform(0, 0.05), signal.SIGKILL)
        assert killed, "it ended before the signal came"
        assert check_whole(out) < len(expected)
        now = contents(out)
        assert before.items() <= now.items()
        before = now
    (out / ".reddiff-left-over").write_bytes(b"half a picture")
    assert run_whole(command) == 0
    assert check_whole(out) == len(expected)
    assert contents(out) == expected


@pytest.mark.slow
def test_interrupt(undisturbed, tiny_prior):
    """Ctrl-C: exit code 130, finished pictures stay, no temporary file."""
    root, pictures, expected = undisturbed
    out = root / "interrupted"
    command = command_of(pictures, out, tiny_prior)
    assert run_until(command, out, 2, 0.02, signal.SIGINT)
    assert 2 <= check_whole(out) < len(expected)
    assert len(list(out.iterdir())) == len(results(out))
    assert contents(out).items() <= expected.items()


@pytest.mark.parametrize("flags", [[], ["-q"]])
def test_a_second_interrupt_ends_at_once(flags, tiny_prior, tmp_path):
    """The first waits for the network and says so; the second waits for nothing."""
    pictures, out = make_pictures(tmp_path / "in", 1), tmp_path / "out"
    command = [*command_of(pictures, out, tiny_prior), *flags]
    process, log = start(command, run_stuck), log_of(command)
    try:
        for told in ("computing", "Ctrl-C again stops at once"):
            limit = time.monotonic() + 60
            while not (log.exists() and told in log.read_text()) and time.monotonic() < limit:
                time.sleep(0.01)
            assert told in log.read_text()
            assert process.is_alive()
            os.kill(process.pid, signal.SIGINT)
        process.join(60)
        assert process.exitcode == 130
    finally:
        process.kill()
    assert log.read_text().count("\n") == 2
    assert not results(out)


def test_an_interrupt_does_not_wait_for_an_evaluation(tiny_prior, tmp_path):
    """On a CPU one may take many seconds: the network stops between two of its blocks."""
    pictures, out = make_pictures(tmp_path / "in", 1), tmp_path / "out"
    command = command_of(pictures, out, tiny_prior)
    process, log = start(command, run_slow), log_of(command)
    try:
        limit = time.monotonic() + 60
        while not (log.exists() and log.read_text()) and time.monotonic() < limit:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        process.join(60)
        assert process.exitcode == 130
    finally:
        process.kill()
    assert "went on" not in log.read_text()
    assert not results(out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_stdin_held_is_gone_with_the_process(number, tiny_prior, tmp_path):
    """Ended by a scheduler or a closed terminal, and with the exit status of that."""
    picture, spools = make_pictures(tmp_path / "in", 1) / "00.png", tmp_path / "tmp"
    spools.mkdir()
    command = command_of("-", tmp_path / "o.png", tiny_prior)
    with picture.open("rb") as stdin:
        process = subprocess.Popen(
            [sys.executable, "-m", "reddiff_cli", *command[1:]],
            stdin=stdin,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TMPDIR": str(spools)},
            preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
        )
    try:
        limit = time.monotonic() + 60
        while not list(spools.glob("*/stdin.png")) and time.monotonic() < limit:
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(60) == -number
    finally:
        process.kill()
    assert list(spools.iterdir()) == []


def run_apart(*arguments, **settings):
    """The command in a process that heeds signals as one of a shell does, with one thread."""

    def usual():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)

    command = [sys.executable, "-m", "reddiff_cli", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": usual}
    alike = {"env": os.environ | {"OMP_NUM_THREADS": "1"}}  # as `run_whole`: the same to the byte
    return subprocess.Popen(command, **pipes | alike | settings)


@pytest.mark.slow
def test_a_scheduler_ends_a_run_in_order(undisturbed, tiny_prior, tmp_path):
    """As Ctrl-C does: whole pictures and the summary stay. `timeout` sends SIGTERM twice."""
    _, pictures, expected = undisturbed
    out, log = tmp_path / "out", tmp_path / "run.jsonl"
    with log.open("wb") as stdout:
        command = command_of(pictures, out, tiny_prior)[1:]
        process = run_apart(*command, "--json", "-q", stdout=stdout)
        try:
            limit = time.monotonic() + 90
            while len(results(out)) < 2 and time.monotonic() < limit:
                time.sleep(0.002)
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGTERM  # 143 in a shell
    *pictured, summary = map(json.loads, log.read_text().splitlines())
    assert summary["event"] == "summary"
    assert summary["exit_code"] == 143
    assert 2 <= summary["ok"] == len(pictured) == check_whole(out) < len(expected)
    assert contents(out).items() <= expected.items()
    assert len(list(out.iterdir())) == len(results(out))
    assert stderr.decode().strip() == "stopping, as SIGTERM asks; Ctrl-C stops at once"


def show(terminal, closed):
    """Read what is written, as a terminal does, until somebody closes it."""
    while not closed.is_set():
        if select.select([terminal], [], [], 0.02)[0]:
            os.read(terminal, 4096)
    os.close(terminal)


@pytest.mark.slow
def test_a_run_whose_terminal_is_closed_ends_in_order(undisturbed, tiny_prior, tmp_path):
    """Nobody reads its messages any more; scripts read what it has written to a file.

    Which is not for the bars that the terminal has shown.
    """
    _, pictures, expected = undisturbed
    out, log = tmp_path / "out", tmp_path / "run.jsonl"
    terminal, end = os.openpty()

    def take_over():
        os.setsid()
        fcntl.ioctl(end, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    with log.open("wb") as stdout:
        command = command_of(pictures, out, tiny_prior)[1:]
        streams = {"stdin": end, "stderr": end, "preexec_fn": take_over}
        process = run_apart(*command, "--json", stdout=stdout, **streams)
        os.close(end)
        closed = threading.Event()
        threading.Thread(target=show, args=(terminal, closed)).start()
        try:
            limit = time.monotonic() + 90
            while len(results(out)) < 2 and time.monotonic() < limit:
                time.sleep(0.002)
            closed.set()
            assert process.wait(60) == -signal.SIGHUP  # 129 in a shell
        finally:
            closed.set()
            process.kill()
    *pictured, summary = map(json.loads, log.read_text().splitlines())
    assert (summary["event"], summary["exit_code"]) == ("summary", 129)
    assert 2 <= summary["ok"] == len(pictured) == check_whole(out) < len(expected)
    assert contents(out).items() <= expected.items()


@pytest.fixture(params=[signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def ending(request):
    """The number of a signal that ends a process, as it does where nobody heeds it."""
    before = signal.signal(request.param, signal.SIG_DFL)
    # Shells start what runs in the background with Ctrl-C ignored, tests as well.
    interrupted = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)
    signal.signal(signal.SIGINT, interrupted)


def test_what_ends_a_run_is_heard_once_and_where_work_is_saved(ending):
    """Training saves after the step in which it came, as after Ctrl-C."""
    stands_for = Terminated if ending == signal.SIGTERM else HungUp
    with ending_in_order():
        with Interrupts(nothing, nothing) as interrupts:
            assert not interrupts.heard
            for _ in range(2):
                os.kill(os.getpid(), ending)
            assert interrupts.heard == ending
            with pytest.raises(stands_for) as caught:
                interrupts.throw()
            assert code_of(caught.value) == 128 + ending
        os.kill(os.getpid(), ending)  # while the last words are said
        with pytest.raises(KeyboardInterrupt), Interrupts(nothing) as interrupts:
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(ending) == signal.SIG_IGN
    assert signal.getsignal(ending) == signal.SIG_DFL
    with pytest.raises(stands_for), ending_in_order():
        os.kill(os.getpid(), ending)
    assert signal.getsignal(ending) == signal.SIG_DFL


def test_who_calls_from_python_is_ended_by_signals_as_before(ending):
    """A process would ignore what ends it for the rest of its life."""
    with pytest.raises(Terminated), Interrupts(nothing):
        os.kill(os.getpid(), ending)
    assert signal.getsignal(ending) == signal.SIG_DFL
    with Interrupts(nothing, nothing):
        assert signal.getsignal(ending) != signal.SIG_DFL
    assert signal.getsignal(ending) == signal.SIG_DFL


def test_what_nohup_has_ignored_stays_ignored(ending):
    signal.signal(ending, signal.SIG_IGN)
    with ending_in_order(), Interrupts(nothing) as interrupts:
        os.kill(os.getpid(), ending)
        assert not interrupts.heard
    assert signal.getsignal(ending) == signal.SIG_IGN


@pytest.mark.parametrize(
    "line",
    [
        "models",
        "--help",
        "inpaint IMG --mask MASK --steps 2 --model PRIOR --device cpu -o -",
        "inpaint IMG --mask MASK --steps 2 --model PRIOR --device cpu --json",
        "inpaint IMG --mask MASK --dry-run",
    ],
)
def test_a_reader_who_has_gone_ends_it_as_other_tools(line, tiny_prior, picture_file, mask_file):
    """By SIGPIPE (141 in a shell), and without a word: `| head` has what it wanted."""
    names = {"IMG": picture_file, "MASK": mask_file, "PRIOR": tiny_prior}
    process = run_apart(*(names.get(word, word) for word in line.split()))
    try:
        process.stdout.close()
        stderr = process.stderr.read().decode()
        assert process.wait(60) == -signal.SIGPIPE
    finally:
        process.kill()
    assert all(" -> " in told for told in stderr.splitlines())


def test_left_over_files_are_no_inputs(undisturbed, tiny_prior, tmp_path):
    pictures = make_pictures(tmp_path / "in", 1)
    (pictures / ".reddiff-x1y2z3").write_bytes((pictures / "00.png").read_bytes())
    command = command_of(pictures, tmp_path / "out", tiny_prior)
    result = CliRunner().invoke(app, [*command[1:], "--dry-run"])
    assert len(result.stdout.splitlines()) == 1


def test_outputs_hold_no_time(undisturbed):
    """Byte-equal results need files that do not say when, or how fast, they were made."""
    _, _, expected = undisturbed
    for content in expected.values():
        kinds, place, text = [], 8, b""
        while place < len(content):
            (length,) = struct.unpack_from(">I", content, place)
            kinds.append(content[place + 4 : place + 8])
            text += content[place + 8 : place + 8 + length] if kinds[-1] == b"tEXt" else b""
            place += length + 12
        assert b"tIME" not in kinds
        assert set(kinds) <= {b"IHDR", b"tEXt", b"IDAT", b"IEND"}
        assert b"seconds" not in text
        assert not re.search(rf"{time.gmtime().tm_year}-\d\d|\d\d:\d\d:\d\d".encode(), text)


@pytest.mark.skipif(os.name != "posix", reason="Windows has other signals")
@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("denoise", "typer"),
        ("denoise", "rich.console"),
        ("eval", "rich.console"),
        ("train", "torch"),
        ("bench", "numpy.linalg"),
    ],
)
def test_an_interrupt_while_all_is_loaded_is_no_traceback(tmp_path, command, module):
    """Nor an error of a library that is half there."""
    Image.fromarray(scene(32, 32)).save(tmp_path / "a.png")
    flags = [str(tmp_path), "-o", str(tmp_path / "out"), "--steps", "2"]
    flags = [] if command == "bench" else flags
    flags = ["denoise", *flags] if command == "eval" else flags
    code = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = {["reddiff", command, *flags]!r}
from reddiff_cli.__main__ import main
main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, "", "")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows has other signals")
def test_an_interrupt_while_typer_makes_its_commands_is_no_traceback():
    code = """
import os, signal, sys, typer.main
signal.signal(signal.SIGINT, signal.default_int_handler)
make = typer.main.get_command
def interrupted(app):
    os.kill(os.getpid(), signal.SIGINT)
    return make(app)
typer.main.get_command = interrupted
sys.argv = ["reddiff", "--version"]
from reddiff_cli.__main__ import main
main()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, "", "")
