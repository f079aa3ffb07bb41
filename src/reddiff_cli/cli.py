"""The command line: flags become options, and each command calls one function.

Nothing heavy is imported at module level, so that `--help` and mistakes answer at once.
"""

import os
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from . import __version__
from .commands import bench as command_bench
from .commands import eval as command_eval
from .commands import models as command_models
from .commands import train as command_train
from .commands.making import restores
from .commands.narrow import FoldingGroup
from .interrupts import dying_at_once, end_as_told
from .machine.allocator import keep_pages
from .options.damages import RestoreOptions, parse_degrade
from .options.kernelspec import KERNEL_HELP, parse_kernel
from .options.tasks import (
    ColorizeOptions,
    DeblurOptions,
    DenoiseOptions,
    HdrOptions,
    InpaintOptions,
    JpegOptions,
    SuperresOptions,
    parse_exposures,
    parse_filter,
)
from .reporting.streams import lose_what_stderr_refuses
from .retrieval.options import PhaseOptions, parse_support

EPILOG = (
    "Exit codes: 0 all done, 1 a picture failed, 2 usage, 3 model not available, "
    "4 device not available, 129 terminal closed, 130 interrupted, 143 terminated."
)

app = typer.Typer(
    name="reddiff",
    cls=FoldingGroup,
    help="Restore damaged pictures with one diffusion prior and an honest model of the damage.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"reddiff {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Restore damaged pictures with one diffusion prior and an honest model of the damage."""


@restores(
    app,
    "inpaint",
    example="reddiff inpaint photo.jpg --mask scratches.png",
    help="Fill holes: scratches, missing pixels, removed objects. "
    "Known pixels stay bit-identical.",
)
def _inpaint(
    mask: Annotated[
        Path | None,
        typer.Option(
            "-m",
            "--mask",
            help="White = fill; a file, or a folder paired by name. Without it: transparent "
            "pixels, else magenta (255, 0, 255).",
            readable=False,
        ),
    ] = None,
    invert_mask: Annotated[bool, typer.Option("--invert-mask", help="Black = fill.")] = False,
    grow_mask: Annotated[int, typer.Option("--grow-mask", help="Dilate by pixels.")] = 0,
    grain: Annotated[
        bool, typer.Option("--grain", help="Give the filled places the grain of the rest.")
    ] = False,
) -> InpaintOptions:
    return InpaintOptions(mask, invert_mask, grow_mask, grain)


@restores(
    app,
    "superres",
    example="reddiff superres small.png --scale 4",
    help="Enlarge a picture that was made small by a known filter.",
)
def _superres(
    scale: Annotated[int, typer.Option("--scale", help="2 to 8; the output is exactly that.")] = 4,
    downsample: Annotated[
        str,
        typer.Option(
            "--downsample",
            help="What made the small picture: bicubic (Pillow's), box, lanczos, gaussian:SIGMA, "
            "or a kernel file.",
        ),
    ] = "bicubic",
    response: Annotated[
        str,
        typer.Option(
            "--response",
            help="What was reduced: linear (values, as most programs do), or light behind srgb or "
            "gamma:G, as cameras and GIMP do.",
        ),
    ] = "linear",
) -> SuperresOptions:
    return SuperresOptions(scale, parse_filter(downsample), response)


@restores(
    app,
    "deblur",
    example="reddiff deblur shaken.jpg --kernel motion:15,30",
    help="Undo a known blur: out of focus, motion, or a kernel of your own.",
)
def _deblur(
    kernel: Annotated[str, typer.Option("--kernel", help=KERNEL_HELP)],
    boundary: Annotated[
        str,
        typer.Option(
            "--boundary",
            help="What lay outside the picture: unknown, reflect, replicate, circular.",
        ),
    ] = "unknown",
    response: Annotated[
        str,
        typer.Option(
            "--response",
            help="From light, which cameras blur, to values: auto, srgb, linear (values were "
            "blurred), gamma:G.",
        ),
    ] = "auto",
) -> DeblurOptions:
    return DeblurOptions(parse_kernel(kernel), boundary, response)


@restores(
    app,
    "phase",
    example="reddiff phase pattern.npy --data intensity",
    help="Find the picture whose Fourier transform has the recorded magnitudes.",
)
def _phase(
    data: Annotated[str, typer.Option("--data", help="What was recorded: amplitude, intensity.")],
    layout: Annotated[
        str, typer.Option("--layout", help="Where frequency zero is: auto, centered, corner.")
    ] = "auto",
    support: Annotated[
        str | None,
        typer.Option("--support", metavar="HxW", help="Size of the object; else estimated."),
    ] = None,
    starts: Annotated[int, typer.Option("--starts", help="Random starts of the search.")] = 32,
    keep: Annotated[int, typer.Option("--keep", help="Runs that the prior refines.")] = 4,
    detector_mask: Annotated[
        Path | None,
        typer.Option(
            "--detector-mask",
            help="Bad pixels: white in a picture, or not 0 in an array.",
            readable=False,
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Name inside .h5, .cxi, .npz, .mat.")
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option("--scale", help="Data per amplitude of a picture in [0, 1]; else found."),
    ] = None,
) -> PhaseOptions:
    size = parse_support(support)
    return PhaseOptions(data, layout, size, starts, keep, detector_mask, dataset, scale)


@restores(
    app,
    "hdr",
    example="reddiff hdr blown.jpg --stops 2 -o scene.exr",
    help="Bring back clipped highlights: EXR, HDR or float TIFF in linear light, or 16-bit PNG.",
)
def _hdr(
    stops: Annotated[
        float,
        typer.Option(
            "--stops",
            help="How much too bright, up to 8: room for highlights; 0 only with --exposures.",
        ),
    ] = 1.0,
    response: Annotated[
        str, typer.Option("--response", help="From light to values: srgb, linear, gamma:G.")
    ] = "srgb",
    operator: Annotated[
        str, typer.Option("--operator", help="exposure, or paper: clip(2 x) as in benchmarks.")
    ] = "exposure",
    exposures: Annotated[
        str | None,
        typer.Option("--exposures", help="Stops of several photographs of one scene: -2,0,2."),
    ] = None,
    tonemap: Annotated[
        bool, typer.Option("--tonemap", help="Also write {output}.tonemap.png, 8 bits to look at.")
    ] = False,
) -> HdrOptions:
    return HdrOptions(stops, response, operator, parse_exposures(exposures), tonemap=tonemap)


@restores(
    app,
    "jpeg",
    example="reddiff jpeg blocky.jpg",
    help="Remove the blocks and rings of JPEG; "
    "rounding apart, the result encodes to the same file.\n\n"
    "Also of a PNG or TIFF that was JPEG once, where its pixels still show it.",
)
def _jpeg() -> JpegOptions:
    return JpegOptions()


@restores(
    app,
    "denoise",
    example="reddiff denoise iso6400.png",
    help="Remove noise.\n\n"
    "Takes 4 network evaluations (2 with --preset fast), up to 12 where dark and\n"
    "light places differ, and some to measure the noise. Where that fails, and\n"
    "with --start or --samples, it takes those of its preset; --steps are exact.",
)
def _denoise() -> DenoiseOptions:
    return DenoiseOptions()


@restores(
    app,
    "colorize",
    example="reddiff colorize grandmother.png",
    help="Give a grey photograph colours that have its grey values.",
)
def _colorize() -> ColorizeOptions:
    return ColorizeOptions()


@restores(
    app,
    "restore",
    example="reddiff restore scan.png --degrade 'blur gaussian:1.5 | down 2 | noise 0.02'",
    help="Undo several damages at once.",
)
def _restore(
    degrade: Annotated[
        str,
        typer.Option(
            "--degrade",
            help="What happened to the picture, in order: blur KERNEL [RESPONSE] | "
            "down SCALE [FILTER] [RESPONSE] | grey | mask FILE | noise SIGMA.",
        ),
    ],
) -> RestoreOptions:
    return parse_degrade(degrade)


command_eval.register(app)
command_train.register(app)
command_models.register(app)
command_bench.register(app)


def main() -> None:
    """What `reddiff` does, once it is loaded."""
    # Threads that wait by spinning stall each other when several processes share the cores (as
    # under `xargs -P`): 16 s instead of more than 120 s for one picture beside another process.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_pages()
    lose_what_stderr_refuses()
    try:
        with dying_at_once():
            command = get_command(app)
        command()
    except SystemExit as end:
        end_as_told(end)
        raise
