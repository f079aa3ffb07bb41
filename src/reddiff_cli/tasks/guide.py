"""What a wide hole holds in the large: the prior fills it at small sizes, where it is narrow.

A small prior knows how edges go on over a few pixels, not over a hundred. At an eighth of its size
a hole of a hundred pixels is twelve wide; from there on every finer size starts from what the
coarser one said, and adds what that could not show. Patches then bring the texture
(holes/synthesis.py).
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from ..holes.scales import Scale, enlarged, finer, halvings, levels_to_narrow
from ..holes.shape import Region
from ..holes.synthesis import thickness
from ..operators import Inpaint, JoinedInpaint
from ..pictures.pixels import Hole
from ..solvers.reddiff import SIGMA_FLOOR
from .holed import bent, parts_of
from .levels import FIRST
from .problem import Stage, solver_of_shared
from .setting import Setting

# The coarsest size is the one at which the hole is so thick at most, in pixels; no side of the
# picture becomes shorter than LEAST_SIDE.
NARROW, LEAST_SIDE = 12, 16
# First noise level there, where nothing is known of the hole, and at the finer sizes; and network
# evaluations of each.
FIRST_START, FINER_START = 3.0, 0.5
FIRST_STEPS, FINER_STEPS = 100, 20
# Down to this level, in so many of the evaluations, D misses whole shades of known pixels, which
# are told to the hole; below it what it misses is detail, which would grow into the hole. In
# pictures that were halved FAR times detail is shade, too. `guide.py FOLDER --limit 16` with
# hardly anything told (SHADES=3 SHADES_STEPS=2) / as it is / told at all noise (FAR=0): 22.95 /
# 22.58 / 22.32 dB; but of seven guides that were looked at three had coloured rectangles with
# nothing told, and one as it is. Other boxes in validation photographs, in the same way: 24x30
# pixels 25.94 / 26.16 / - (41), 40x40 22.95 / 23.09 / - (34), 64x90 19.67 / 19.64 / 19.61 (24),
# and 250x250 in crops of 1024x1024 16.03 / 16.08 / 16.24 (19).
SHADES, SHADES_STEPS, FAR = 1.0, 24, 5
MARGIN, WINDOWS = 16, (64, 96, 128, 256)


class Guide:
    """A picture whose wide holes are filled at half of its size.

    canvas: (1, C, H, W) in [-1, 1], filled smoothly.    hole: all pixels that are not known.
    wide: its wide parts.    noise: of the picture, in [0, 1] units.
    """

    def __init__(
        self, canvas: Tensor, hole: Hole, wide: Hole, noise: float, setting: Setting
    ) -> None:
        self._canvas, self._hole = canvas, torch.from_numpy(hole)
        part, known = torch.from_numpy(wide), (~self._hole)[None, None].to(canvas)
        count = levels_to_narrow(thickness(part), NARROW, hole.shape, LEAST_SIDE)
        self._scales = halvings(canvas, known, part, count)
        self._noise, self._setting = noise, setting
        self._done = self._scales[-1].x

    def stages(self) -> Iterator[Stage]:
        """From the coarsest size to half of the picture's."""
        count = len(self._scales)
        yield from self._coarsest(count)
        for level in range(count - 1, 0, -1):
            scale = self._scales[level - 1]
            self._done = finer(self._done, scale)
            yield self._stage(level, replace(scale, x=self._done), FINER_START, FINER_STEPS)

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Take the last mu of a stage."""
        work, operator = parts_of(stage)
        before = work.take(self._done)
        self._done = work.put(self._done, torch.where(operator.known == 1, before, mu))

    def preview(self, stage: Stage, mu: Tensor) -> Tensor:
        """The whole canvas if the stage ended at mu, (1, C, H, W)."""
        self.accept(stage, mu)
        size = self._canvas.shape[2:]
        guessed = F.interpolate(self._done, size, mode="bilinear", align_corners=False)
        return torch.where(self._hole, guessed, self._canvas)

    def area(self, region: Region) -> Tensor:
        """What lies in a region of the canvas, enlarged, (1, C, height, width)."""
        height, width = self._canvas.shape[2:]
        rows = slice(region.top, min(height, region.bottom))
        columns = slice(region.left, min(width, region.right))
        return enlarged(self._done, rows, columns)

    def _coarsest(self, level: int) -> Iterator[Stage]:
        """The picture at 1 / 2^level of its size, of whose hole nothing is known."""
        scale = self._scales[-1]
        whole = bent(self._stage(level, scale, FIRST_START, FIRST_STEPS))
        work, operator = parts_of(whole)
        told = replace(whole, operator=JoinedInpaint(operator.known, work))
        if level >= FAR:
            yield told
            return
        yield replace(told, s_end=SHADES, shared=SHADES_STEPS)
        begun = replace(scale, x=self._done)
        rest = self._stage(level, begun, SHADES, FIRST_STEPS - SHADES_STEPS)
        yield replace(rest, weight=whole.weight)

    def _stage(self, level: int, scale: Scale, s_start: float, steps: int) -> Stage:
        """The picture at 1 / 2^level of its size."""
        work = self._setting.windows(scale.wide.numpy(), MARGIN, WINDOWS)
        start, known = work.take(scale.x), work.take(scale.known)
        sigma_y = 2 * self._noise / 2**level  # the mean of four pixels has half of their noise
        solver = solver_of_shared(self._setting.solver, steps)
        weight = replace(self._setting, solver=solver).weight("inpaint", float(known.mean()))
        return Stage(
            work,
            Inpaint(known),
            start * known,
            start,
            max(s_start, FIRST * max(sigma_y, SIGMA_FLOOR)),
            sigma_y,
            weight=weight,
            shared=steps,
        )
