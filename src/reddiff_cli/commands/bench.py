"""`reddiff bench`: how fast this machine is with a prior."""

import time
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..interrupts import dying_at_once
from ..options.checks import check_between
from .flags import Device
from .making import Command, errors_as_lines

HELP = "Measure start-up, seconds per network evaluation, and what the loop adds to them."
EXAMPLE = "Example: reddiff bench --json"

Model = Annotated[
    str, typer.Option("--model", envvar="REDDIFF_MODEL", help="A prior's name or folder.")
]
Dtype = Annotated[str, typer.Option("--dtype", help="Of the network: auto, fp32, bf16, fp16.")]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        help="Side of the pictures, a multiple of 4 from 32 to 1024; else 256, or what the prior "
        "sees at once, if that is less.",
    ),
]
USUAL = 256


def register(app: typer.Typer) -> None:
    """Add the command to an app."""
    app.command("bench", cls=Command, help=HELP, epilog=EXAMPLE)(_bench)


def _bench(
    model: Model = "natural",
    device: Device = "auto",
    dtype: Dtype = "auto",
    size: Size = None,
    repeats: Annotated[int, typer.Option("--repeats", help="Of every measurement.")] = 5,
    graphs: Annotated[
        bool, typer.Option("--graphs", help="Replay CUDA graphs in the loop (an experiment).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    with errors_as_lines(0):
        if size is not None and (not 32 <= size <= 1024 or size % 4):
            raise UsageError(f"--size {size}: give a multiple of 4 between 32 and 1024")
        check_between("--repeats", repeats, 1, 1000)
        from ..checkpoints.models import find_model
        from ..options.common import MachineOptions

        MachineOptions(device, dtype)
        card = find_model(model)
        side = size or (USUAL if card.whole >= USUAL**2 else card.window)
        began = time.perf_counter()
        with dying_at_once():
            import torch  # noqa: F401  (its share of the start-up is what is measured)

            torch_seconds = time.perf_counter() - began
            from ..bench import measure
            from ..machine.computing import choose_device, choose_dtype
            from ..machine.memory import within_memory

        import_seconds = time.perf_counter() - began
        where = choose_device(device)
        chosen = choose_dtype(dtype, where)
        with within_memory(f"--size {side}", "give a smaller --size"):
            facts = measure(card, where, chosen, size=side, repeats=repeats, graphs=graphs)
        started = {
            "torch_import_seconds": round(torch_seconds, 3),
            "import_seconds": round(import_seconds, 3),
        }
        _show(started | facts, as_json)


def _show(facts: dict[str, Any], as_json: bool) -> None:
    from ..reporting.report import print_event, print_line
    from ..reporting.tables import print_table

    if as_json:
        print_event({"event": "bench", **facts})
        return
    about = ("model", "device", "dtype", "path", "torch")
    print_line(", ".join(f"{key} {facts[key]}" for key in about))
    print_line(
        f"start-up: imports {facts['import_seconds']:.2f} s (torch alone "
        f"{facts['torch_import_seconds']:.2f}), load {facts['load_seconds']:.2f} s, "
        f"first evaluation {facts['first_evaluation_seconds']:.2f} s"
    )
    side = facts["size"]
    for row in facts["evaluations"]:
        print_line(
            f"network, {side}x{side}, batch {row['batch']}: "
            f"{1000 * row['seconds']:.1f} ms per evaluation of one picture"
        )
    rows = [
        [
            loop["task"],
            f"{1000 * loop['network_seconds']:.1f}",
            f"{1000 * loop['loop_seconds']:.1f}",
            f"{loop['overhead_percent']:+.1f} %",
        ]
        for loop in facts["loops"]
    ]
    print_table(["task", "network ms", "loop ms", "overhead"], rows)
    print_line(
        f"{facts['pictures_per_minute']} pictures per minute at the standard preset; "
        f"peak memory {facts['peak_memory_mb']} MB"
    )
