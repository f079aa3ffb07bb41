"""Flags that mean the same in every restoring command, defined once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

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

# readable: one that is not fails by itself, and the others are restored.
Inputs = Annotated[
    list[Path],
    typer.Argument(metavar="INPUT...", help="Pictures or folders.", readable=False),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="REDDIFF_DEVICE",
        help="auto, cpu, cuda, cuda:1, mps.",
        rich_help_panel=MACHINE,
    ),
]
Quiet = Annotated[
    bool, typer.Option("-q", "--quiet", help="Errors only.", rich_help_panel=MESSAGES)
]
Verbose = Annotated[
    int,
    typer.Option(
        "-v", "--verbose", count=True, help="Decisions; -vv: traces.", rich_help_panel=MESSAGES
    ),
]


@dataclass(frozen=True)
class Shared:
    """Values of the shared flags."""

    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="File, folder/, or - for stdout; without: {stem}.{task}.png beside the input.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    recursive: Annotated[
        bool,
        typer.Option("-r", "--recursive", help="Descend into folders.", rich_help_panel=OUTPUT),
    ] = False
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace existing outputs.", rich_help_panel=OUTPUT),
    ] = False
    strip: Annotated[
        bool,
        typer.Option(
            "--strip", help="Write no metadata and no settings record.", rich_help_panel=OUTPUT
        ),
    ] = False
    quality: Annotated[
        int,
        typer.Option("--quality", help="JPEG and WebP quality, 1 to 100.", rich_help_panel=OUTPUT),
    ] = 95
    format: Annotated[
        str,
        typer.Option(
            "--format", help="auto, png, jpg, webp, tiff, exr, hdr.", rich_help_panel=OUTPUT
        ),
    ] = "auto"
    depth: Annotated[
        str,
        typer.Option(
            "--depth", help="Bits of the output: auto, 8, 16, float.", rich_help_panel=OUTPUT
        ),
    ] = "auto"
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Also write {output}.compare.png: before and after.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    trace: Annotated[
        bool,
        typer.Option(
            "--trace",
            help="Also write {output}.trace.gif: the picture at every step.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show what would be done.", rich_help_panel=OUTPUT),
    ] = False
    model: Annotated[
        str,
        typer.Option(
            "--model",
            envvar="REDDIFF_MODEL",
            help="A prior's name or folder.",
            rich_help_panel=SOLVER,
        ),
    ] = "natural"
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="Never use the network; only what is cached.", rich_help_panel=SOLVER
        ),
    ] = False
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="fast, standard, best: up to 20, 50, 100 network evaluations; "
            "perceptual: sharper, farther from the truth; paper: the published form.",
            rich_help_panel=SOLVER,
        ),
    ] = "standard"
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", help="Network evaluations per picture or window.", rich_help_panel=SOLVER
        ),
    ] = None
    prior_weight: Annotated[
        float | None,
        typer.Option(
            "--prior-weight", help="1 is neutral; with paper: lambda.", rich_help_panel=SOLVER
        ),
    ] = None
    lr: Annotated[
        float | None,
        typer.Option("--lr", help="Adam's step; only with paper.", rich_help_panel=SOLVER),
    ] = None
    start: Annotated[
        float | None,
        typer.Option("--start", help="First noise level s.", rich_help_panel=SOLVER),
    ] = None
    noise: Annotated[
        str | None,
        typer.Option(
            "--noise",
            metavar="auto|FLOAT",
            help="Standard deviation of the picture's noise, 0 to 1.",
            rich_help_panel=SOLVER,
        ),
    ] = None
    seed: Annotated[
        int,
        typer.Option(
            "--seed", help="Of the noise; the same for every picture.", rich_help_panel=SOLVER
        ),
    ] = 0
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="reddiff, or what it is compared with: dps, pigdm, ddrm, diffpir.",
            rich_help_panel=SOLVER,
        ),
    ] = "reddiff"
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            help="Above 1: the mean of so many samples, and {output}.std.png and .std.npy, "
            "relative and uncalibrated.",
            rich_help_panel=SOLVER,
        ),
    ] = 1
    device: Device = "auto"
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype", help="Of the network: auto, fp32, bf16, fp16.", rich_help_panel=MACHINE
        ),
    ] = "auto"
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile",
            help="Largest side of what the network sees of a picture at once; 0: any.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    tile_overlap: Annotated[
        int | None,
        typer.Option(
            "--tile-overlap",
            help="Pixels shared by pieces; a quarter of one, 64 at most. Not of inpaint.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Every N-th picture from the I-th on; torchrun and SLURM arrays are understood.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic", help="fp32, the same bits every time.", rich_help_panel=MACHINE
        ),
    ] = False
    fail_fast: Annotated[
        bool,
        typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=MESSAGES),
    ] = False
    json: Annotated[
        bool,
        typer.Option("--json", help="One JSON object a line on stdout.", rich_help_panel=MESSAGES),
    ] = False
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
