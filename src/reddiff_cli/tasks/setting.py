"""What the tasks need of a run: the prior's card, the solver's options, a voice, tiles."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ..checkpoints.cards import Card
from ..errors import counted
from ..estimation.noise import NoiseEstimate, estimate_noise, is_white
from ..formats.kinds import smooths
from ..holes.shape import WHOLE, cheapest_patchwork
from ..operators import Operator, keeps_noise
from ..options.common import OVERLAP, TASKS, MachineOptions, SolverOptions
from ..pictures.display import spread_out
from ..pictures.files import Hole, Picture, load_picture
from ..planning.jobs import OnNote
from ..tiling import Patchwork, Whole
from .levels import FALLING, SPARSE, UNIT_STEPS, noise_levels

# Pixels of the largest tile of a network that takes any size, in squares of the card's `tile`, so
# that a picture of that size passes in one piece with the margins of a blur. Two rows of the
# bundled one in bf16: 1.36 GB at 768x768, 1.40 GB at 800x800.
MORE = 1.1


@dataclass(frozen=True)
class Setting:
    """What the tasks need of a run: the prior's card, the solver's options, a voice, tiles.

    depth: of the files that are written, as --depth says it.    check: called often in what takes
    long without the network; what it raises ends that.    load: reads the picture to restore.
    strip: whether they are to say nothing beside their pixels.
    """

    card: Card
    solver: SolverOptions
    on_note: OnNote
    machine: MachineOptions = MachineOptions()
    depth: str = "auto"
    check: Callable[[], None] = lambda: None
    load: Callable[[Path], Picture] = load_picture
    strip: bool = False

    def seeing(
        self, path: Path, picture: Picture, hole: Hole | None = None
    ) -> tuple[Picture, "Setting"]:
        """The picture as the prior is to see it, and this setting with noise in its units.

        hole: as of `spread_out`.
        """
        spread, told = spread_out(picture, hole), self.solver.noise
        noise = told / spread.unit if isinstance(told, float) else told
        if spread is picture or (isinstance(noise, float) and noise > 1):
            return picture, self
        seen = spread.pixels if hole is None else spread.pixels[~hole]
        reached = 100 * spread.unit * float(seen.max())
        times = f"the prior sees them {1 / spread.unit:g} times as bright"
        hot = 0 if spread.sparks is None else int((spread.sparks > 0).any(2).sum())
        but = f", but for {counted(hot, 'hot pixel')}" if hot else ""
        self.on_note(f"{path}: its values reach {reached:.2g} % of white{but}; {times}")
        return spread, replace(self, solver=replace(self.solver, noise=noise))

    def told_noise(self, task: str) -> float | None:
        """The noise that somebody told, or the task takes for granted; None: to be estimated."""
        given = TASKS[task].noise if self.solver.noise is None else self.solver.noise
        return None if isinstance(given, str) else given

    def noise(
        self,
        task: str,
        path: Path,
        picture: Tensor,
        known: Tensor | None = None,
        smoothed: bool | None = None,
        *,
        blurred: bool = False,
    ) -> float:
        """Noise in [0, 1] units: as given, or the task's own, or as of `estimate`."""
        told = self.told_noise(task)
        if told is not None:
            return told
        return self.estimate(path, picture, known, smoothed, blurred=blurred).sigma

    def estimate(
        self,
        path: Path,
        picture: Tensor,
        known: Tensor | None = None,
        smoothed: bool | None = None,
        *,
        blurred: bool = False,
        by_coefficients: bool = False,
    ) -> NoiseEstimate:
        """Noise that nobody told.

        known, smoothed, blurred: as of `estimate_noise`; None: if files of this kind do so.
        by_coefficients: y will be told from those of a JPEG; the least noise of lossy files is
        right for what is left of its errors then.
        """
        smoothed = smooths(path) if smoothed is None else smoothed
        estimate = estimate_noise(picture, known, smoothed=smoothed, blurred=blurred)
        if estimate.warning and not by_coefficients:
            self.on_note(f"warning: {path}: {estimate.warning}; noise {estimate.sigma:.4f}")
        return estimate

    def white(
        self,
        operator: Operator,
        y: Tensor,
        noise: float,
        known: Tensor | None = None,
        *,
        smoothed: bool = False,
    ) -> bool:
        """True if this noise is in y and differs from pixel to pixel: `is_white`.

        Not measured without noise, and where y shows no picture. Behind a blur and the like
        noise may be told too high.    smoothed: as of `estimate_noise`.
        """
        if noise == 0 or not keeps_noise(operator):
            return True
        at_least = 0.0 if getattr(operator, "direct", None) is None else noise
        return is_white(y, at_least, known, smoothed=smoothed)

    def view(self) -> Whole:
        """The whole canvas, in tiles as asked for or as the prior's card says."""
        asked, card = self.machine, self.card
        tile = card.tile if asked.tile is None else asked.tile
        overlap = min(OVERLAP, tile // 4)
        if asked.tile_overlap is not None:
            overlap = min(asked.tile_overlap, tile // 2)
        free = asked.tile is None and math.isinf(card.whole)
        return Whole(tile, overlap, card.smallest, round(MORE * tile**2) if free else 0)

    def windows(self, hole: Hole, margin: int, sizes: tuple[int, ...]) -> Patchwork:
        """Windows over a hole, of those sizes that suit the network; none larger than --tile."""
        card, tile = self.card, self.machine.tile or math.inf
        fitting = tuple(size for size in card.windows(sizes) if size <= tile)
        whole = min(WHOLE, card.whole) if max(hole.shape) <= tile else 0
        return cheapest_patchwork(hole, margin, fitting or (round(tile),), whole)

    def levels(self, task: str, sigma_y: float, solid: float = 0.0) -> tuple[float, float]:
        """First and last noise level: as given, or as of `noise_levels`."""
        first, last = noise_levels(task, self.card, sigma_y, solid)
        return self.solver.s_start or first, last

    def weight(self, task: str, share: float = SPARSE) -> float:
        """Of the prior, as its card says; what the user asks for comes on top.

        share: how much of what the network sees is observed, if the task is to fill holes.
        """
        weight = self.card.prior_weights.get(task, 1.0)
        if task == "inpaint":
            dense = self.card.prior_weights.get("denoise", 1.0)
            weight += (dense - weight) * min(1.0, max(0.0, (share - SPARSE) / (1 - SPARSE)))
        if task not in FALLING:
            return weight
        return weight * math.sqrt(UNIT_STEPS / self.solver.steps_of_red_diff)
