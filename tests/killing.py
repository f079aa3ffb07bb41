"""Killing a run of a folder at a given moment, and what must be true of what it leaves."""

import multiprocessing
import multiprocessing.context
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from conftest import scene
from reddiff_cli.formats.carriers import read_record
from reddiff_cli.pictures.files import load_picture

NETWORK = "diffusers.models.unets.unet_2d"
COUNT = 12


def make_pictures(folder: Path, count: int = COUNT) -> Path:
    """Pictures large enough that moments of a run hit reading, computing and writing."""
    folder.mkdir(parents=True)
    for k in range(count):
        Image.fromarray(scene(64, 96, seed=k)).save(folder / f"{k:02}.png")
    return folder


def command_of(pictures: Path, out: Path, prior: Path) -> list[str]:
    """Arguments of a run of a folder."""
    flags = ["--model", str(prior), "--steps", "4", "--device", "cpu", "--noise", "0.05"]
    return ["reddiff", "denoise", str(pictures), "-o", str(out), *flags]


def start(
    command: list[str], run: Callable[[list[str]], None] | None = None
) -> multiprocessing.context.ForkServerProcess:
    """The command in a process of its own, which need not load PyTorch once more."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killing", "reddiff_cli.restore", "reddiff_cli.run", NETWORK])
    process = context.Process(target=_heeding, args=(run or run_command, command))
    process.start()
    return process


def _heeding(run: Callable[[list[str]], None], command: list[str]) -> None:
    """With Ctrl-C as in a terminal: a shell that tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run(command)


def run_command(command: list[str]) -> None:
    """What the process does: all that `reddiff` does."""
    from reddiff_cli.cli import main

    torch.set_num_threads(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.argv = command
    main()


def run_stuck(command: list[str]) -> None:
    """The same with a network that never comes back; stderr goes to a file beside the output."""
    from reddiff_cli.denoisers.denoiser import Denoiser

    def stuck(*_: object) -> None:
        os.write(2, b"computing\n")
        time.sleep(600)

    Denoiser._denoise = stuck  # type: ignore[method-assign, assignment]
    _run_logged(command)


def run_slow(command: list[str]) -> None:
    """The first block of its network ends once a stop was asked for, and the second never does."""
    from reddiff_cli.networks.blocks import Residual

    log = log_of(command)

    def slow(_: Residual, x: torch.Tensor, time_of_noise: torch.Tensor) -> torch.Tensor:
        if log.read_text():
            os.write(2, b"went on\n")
            time.sleep(600)
        os.write(2, b"computing\n")
        while "stopping" not in log.read_text():
            time.sleep(0.01)
        return x

    Residual.forward = slow  # type: ignore[method-assign]
    _run_logged(command)


def log_of(command: list[str]) -> Path:
    """Where the stderr of such a run goes."""
    return Path(command[command.index("-o") + 1] + ".stderr")


def _run_logged(command: list[str]) -> None:
    from reddiff_cli.cli import main

    told = os.open(log_of(command), os.O_WRONLY | os.O_CREAT)
    os.dup2(told, 2)
    sys.argv = command
    main()


def run_whole(command: list[str]) -> int:
    """Run to the end; the exit code."""
    process = start(command)
    process.join(90)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def run_until(command: list[str], out: Path, pictures: int, delay: float, number: int) -> bool:
    """Send a signal `delay` seconds after `pictures` outputs exist; True if it still ran then."""
    process = start(command)
    limit = time.monotonic() + 120
    while process.is_alive() and time.monotonic() < limit and len(results(out)) < pictures:
        time.sleep(0.002)
    time.sleep(delay)
    running = process.is_alive()
    if running:
        os.kill(process.pid, number)
    process.join(60)
    return running and process.exitcode in (-signal.SIGKILL, 130)


def results(out: Path) -> list[Path]:
    """Finished pictures."""
    return sorted(out.glob("*.png")) if out.is_dir() else []


def check_whole(out: Path) -> int:
    """Every output opens and has its record, and nothing else looks like one; their number."""
    found = results(out)
    for path in found:
        load_picture(path)
        assert read_record(path) is not None, path
    others = [p for p in (out.iterdir() if out.is_dir() else []) if p not in found]
    assert all(p.name.startswith(".reddiff-") and not p.suffix for p in others), others
    return len(found)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in results(out)}
