"""Stages that fill holes: windows over a canvas, of which some pixels are known."""

from dataclasses import replace

from ..holes.smooth import bend_smoothly
from ..operators import Inpaint
from ..tiling import Patchwork
from .problem import Stage


def parts_of(stage: Stage) -> tuple[Patchwork, Inpaint]:
    """Windows and operator of such a stage; ValueError for any other."""
    if not isinstance(stage.view, Patchwork) or not isinstance(stage.operator, Inpaint):
        raise ValueError("not a stage that fills holes")
    return stage.view, stage.operator


def bent(stage: Stage) -> Stage:
    """The stage with its start bent smoothly over the hole."""
    work, operator = parts_of(stage)
    return replace(stage, start=work.map_windows(bend_smoothly, stage.start, operator.known))
