"""Wide holes get a start that the prior alone cannot give: a guide, and patches that follow it."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..holes.shape import Region, regions, wide_part
from ..holes.smooth import fill_smoothly
from ..holes.synthesis import context_margin, synthesise, thickness
from ..pictures.pixels import Hole
from ..solvers.reddiff import SIGMA_FLOOR
from .guide import Guide
from .problem import Stage
from .setting import Setting

# A hole longer than LONGEST, and than so many times its own thickness, gets its patches in pieces
# that overlap: else a wire across a photograph would be searched for in all of it at once.
LONGEST, THICK_TO_LONG, OVERLAP = 400, 4, 16


class WideFilling:
    """Fills the wide parts of a hole as the prior's card says: by patches, guided or not.

    canvas: (1, C, H, W) in [-1, 1], filled smoothly in the hole; filled in place.
    noise: of the picture, in [0, 1] units.    wide: what of the hole is filled, maybe nothing.
    """

    def __init__(self, canvas: Tensor, hole: Hole, noise: float, setting: Setting) -> None:
        self._canvas, self._hole, self._noise, self._setting = canvas, hole, noise, setting
        alone = setting.card.wide_hole == "prior"
        self.wide: Hole = np.zeros_like(hole) if alone else wide_part(hole)
        self._guide: Guide | None = None

    def stages(self) -> Iterator[Stage]:
        """Stages of the guide, which all methods share; after the last the canvas is filled."""
        if not self.wide.any():
            return
        self._setting.on_note("a wide hole: filled with patches of its surroundings first")
        if self._setting.card.wide_hole == "guided":
            self._guide = Guide(self._canvas, self._hole, self.wide, self._noise, self._setting)
            yield from self._guide.stages()
        seed = self._setting.solver.seed
        check = self._setting.check
        fill_with_patches(self._canvas, self.wide, self._hole, seed, self._guide, check)

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Take the last mu of a stage of the guide."""
        self._guide_of(stage).accept(stage, mu)

    def preview(self, stage: Stage, mu: Tensor) -> Tensor:
        """The canvas as the guide would fill it if the stage ended at mu, (1, C, H, W)."""
        return self._guide_of(stage).preview(stage, mu)

    def _guide_of(self, stage: Stage) -> Guide:
        if self._guide is None or not stage.shared:
            raise ValueError("not a stage of the guide")
        return self._guide


def share_of_patches(noise: float, weight: float, setting: Setting) -> float:
    """How much a patched pixel counts, of what an observed one does.

    Iterating D without data lets any bias of the network grow, so patches stay in the data term:
    as pixels measured with a noise of their own. They are weighed against the prior whatever its
    weight is; the peers know no such weight.    noise: in [0, 1] units.    weight: of the prior.
    """
    trust = min(1.0, (max(2 * noise, SIGMA_FLOOR) / setting.card.wide_noise) ** 2)
    return trust * (weight if setting.solver.annealed else 1.0)


def fill_hole(canvas: Tensor, hole: Hole) -> None:
    """Smooth filling in place, region by region."""
    known = torch.from_numpy(~hole).to(canvas.dtype)[None, None]
    for region in regions(hole, 32):
        area = (slice(None), slice(None), *region.slices)
        canvas[area] = fill_smoothly(canvas[area] * known[area], known[area])


def fill_with_patches(
    canvas: Tensor,
    wide: Hole,
    hole: Hole,
    seed: int,
    guide: Guide | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Patch synthesis of the wide parts in place, region by region; long ones piece by piece.

    check: as of `synthesise`.
    """
    left, blocked = wide.copy(), torch.from_numpy(hole)
    for tight in regions(wide, 0):
        thick = thickness(torch.from_numpy(wide[tight.grown(1).slices]))
        pieces = tight.pieces(max(LONGEST, THICK_TO_LONG * thick))
        for piece in pieces:
            if not left[piece.slices].any():
                continue
            # The next piece does its share of the overlap again, with this one before its eyes.
            todo = piece.grown(OVERLAP if len(pieces) > 1 else 0)
            window = todo.grown(context_margin(todo.bottom - todo.top, todo.right - todo.left))
            inside = wide if len(pieces) == 1 else _only(left, todo)
            area = canvas[0][(slice(None), *window.slices)]
            part = torch.from_numpy(inside[window.slices])
            bad, several = blocked[window.slices], len(pieces) > 1
            guessed = None
            if guide is not None:
                guessed = torch.where(bad, guide.area(window)[0], area)
                area[:, part] = guessed[:, part]  # stays where no patch can be found
            about = area.clone(), part, bad, seed
            area.copy_(synthesise(*about, filled=several, guide=guessed, check=check))
            left[piece.slices] = False


def _only(hole: Hole, region: Region) -> Hole:
    """What of a hole lies in a region."""
    part = np.zeros_like(hole)
    part[region.slices] = hole[region.slices]
    return part
