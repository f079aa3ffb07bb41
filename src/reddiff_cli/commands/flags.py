"""Flags that mean the same in every restoring command, defined once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..machine.devices import check_device
from ..options.common import (
    MachineOptions,
    OutputOptions,
    ReportOptions,
    SolverOptions,
    parse_noise,
)
from ..planning.shards import Shard, find_shard, local_device

OUTPUT, SOLVER, MACHINE, MESSAGES = "Output", "Solver", "Machine", "Messages"


def option_in(panel: str) -> Callable[..., Any]:
    """`typer.Option` in one panel of the help."""
    return partial(typer.Option, rich_help_panel=panel)


_output, _solver, _machine, _messages = map(option_in, (OUTPUT, SOLVER, MACHINE, MESSAGES))

# readable: one that is not fails by itself, and the others are restored.
Inputs = Annotated[
    list[Path], typer.Argument(metavar="INPUT...", help="Pictures or folders.", readable=False)
]
Device = Annotated[
    str, _machine("--device", envvar="REDDIFF_DEVICE", help="auto, cpu, cuda, cuda:1, mps.")
]
Quiet = Annotated[bool, _messages("-q", "--quiet", help="Errors only.")]
Verbose = Annotated[int, _messages("-v", "--verbose", count=True, help="Decisions; -vv: traces.")]


@dataclass(frozen=True)
class Shared:
    """Values of the shared flags."""

    output: Annotated[
        str | None,
        _output(
            "-o",
            "--output",
            metavar="PATH",
            help="File, folder/, or - for stdout; without: {stem}.{task}.png beside the input.",
        ),
    ] = None
    recursive: Annotated[bool, _output("-r", "--recursive", help="Descend into folders.")] = False
    overwrite: Annotated[bool, _output("--overwrite", help="Replace existing outputs.")] = False
    strip: Annotated[
        bool, _output("--strip", help="Write no metadata and no settings record.")
    ] = False
    quality: Annotated[int, _output("--quality", help="JPEG and WebP quality, 1 to 100.")] = 95
    format: Annotated[str, _output("--format", help="auto, png, jpg, webp, tiff, exr, hdr.")] = (
        "auto"
    )
    depth: Annotated[str, _output("--depth", help="Bits of the output: auto, 8, 16, float.")] = (
        "auto"
    )
    compare: Annotated[
        bool, _output("--compare", help="Also write {output}.compare.png: before and after.")
    ] = False
    trace: Annotated[
        bool, _output("--trace", help="Also write {output}.trace.gif: the picture at every step.")
    ] = False
    dry_run: Annotated[bool, _output("--dry-run", help="Only show what would be done.")] = False
    model: Annotated[
        str, _solver("--model", envvar="REDDIFF_MODEL", help="A prior's name or folder.")
    ] = "natural"
    offline: Annotated[
        bool, _solver("--offline", help="Never use the network; only what is cached.")
    ] = False
    preset: Annotated[
        str,
        _solver(
            "--preset",
            help="fast, standard, best: up to 20, 50, 100 network evaluations; "
            "perceptual: sharper, farther from the truth; paper: the published form.",
        ),
    ] = "standard"
    steps: Annotated[
        int | None, _solver("--steps", help="Network evaluations per picture or window.")
    ] = None
    prior_weight: Annotated[
        float | None, _solver("--prior-weight", help="1 is neutral; with paper: lambda.")
    ] = None
    lr: Annotated[float | None, _solver("--lr", help="Adam's step; only with paper.")] = None
    start: Annotated[float | None, _solver("--start", help="First noise level s.")] = None
    noise: Annotated[
        str | None,
        _solver(
            "--noise",
            metavar="auto|FLOAT",
            help="Standard deviation of the picture's noise, 0 to 1.",
        ),
    ] = None
    seed: Annotated[int, _solver("--seed", help="Of the noise; the same for every picture.")] = 0
    method: Annotated[
        str,
        _solver(
            "--method", help="reddiff, or what it is compared with: dps, pigdm, ddrm, diffpir."
        ),
    ] = "reddiff"
    samples: Annotated[
        int,
        _solver(
            "--samples",
            help="Above 1: the mean of so many samples, and {output}.std.png and .std.npy, "
            "relative and uncalibrated.",
        ),
    ] = 1
    device: Device = "auto"
    dtype: Annotated[str, _machine("--dtype", help="Of the network: auto, fp32, bf16, fp16.")] = (
        "auto"
    )
    tile: Annotated[
        int | None,
        _machine(
            "--tile", help="Largest side of what the network sees of a picture at once; 0: any."
        ),
    ] = None
    tile_overlap: Annotated[
        int | None,
        _machine(
            "--tile-overlap",
            help="Pixels shared by pieces; a quarter of one, 64 at most. Not of inpaint.",
        ),
    ] = None
    shard: Annotated[
        str | None,
        _machine(
            "--shard",
            metavar="I/N",
            help="Every N-th picture from the I-th on; torchrun and SLURM arrays are understood.",
        ),
    ] = None
    deterministic: Annotated[
        bool, _machine("--deterministic", help="fp32, the same bits every time.")
    ] = False
    fail_fast: Annotated[bool, _messages("--fail-fast", help="Stop at the first failure.")] = False
    json: Annotated[bool, _messages("--json", help="One JSON object a line on stdout.")] = False
    quiet: Quiet = False
    verbose: Verbose = 0

    def solver(self) -> SolverOptions:
        """How to restore."""
        return SolverOptions(
            preset=self.preset,
            steps=self.steps,
            prior_weight=self.prior_weight,
            lr=self.lr,
            s_start=self.start,
            noise=parse_noise(self.noise),
            seed=self.seed,
            samples=self.samples,
            method=self.method,
        )

    def machine(self) -> MachineOptions:
        """Where to compute."""
        check_device(self.device)
        device = local_device(self.device, os.environ)
        return MachineOptions(device, self.dtype, self.tile, self.tile_overlap, self.deterministic)

    def outputs(self, path: Path | None) -> OutputOptions:
        """Where results go, and as what."""
        return OutputOptions(
            path=path,
            folder=(self.output or "").endswith(("/", os.sep)),
            overwrite=self.overwrite,
            strip=self.strip,
            recursive=self.recursive,
            quality=self.quality,
            format=self.format,
            depth=self.depth,
            compare=self.compare,
            trace=self.trace,
        )

    def reports(self, aliases: Mapping[str, str]) -> ReportOptions:
        """What is told; paths by their aliases."""
        return ReportOptions(self.quiet, self.verbose, self.json, self.fail_fast, aliases)

    def part(self) -> Shard:
        """Which of the pictures."""
        return find_shard(self.shard, os.environ)
