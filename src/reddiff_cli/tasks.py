"""From a picture to a measurement and back: what is known, how to start, what is written.

The only place where pixels in [0, 1] become tensors in [-1, 1], and the reverse.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from .filling import bend_smoothly, fill_smoothly
from .holes import WHOLE, cheapest_patchwork, regions, wide_part
from .models import Card
from .operators import Inpaint
from .options import SolverOptions
from .pictures import Hole, Picture
from .solvers.reddiff import SIGMA_FLOOR
from .synthesis import context_margin, synthesise
from .tiling import Patchwork, to_device

# Context around thin and wide holes in pixels, and the window sizes to choose from.
THIN_MARGIN, THIN_WINDOWS = 10, (64, 96, 128, 256)
WIDE_MARGIN = 32
# The prior starts at this multiple of the noise that patches are taken to have.
WIDE_START = 2.0


@dataclass(frozen=True)
class Stage:
    """One run of a solver on the pixels of a patchwork, laid out as (1, C, 1, N).

    y: measurement.    start: first mu.    s_start: first noise level.
    """

    work: Patchwork
    operator: Inpaint
    y: Tensor
    start: Tensor
    s_start: float

    def to(self, device: torch.device) -> "Stage":
        """The same stage with its tensors on a device."""
        return replace(
            self,
            work=to_device(self.work, device),
            operator=Inpaint(self.operator.known.to(device)),
            y=self.y.to(device),
            start=self.start.to(device),
        )

    def write(self, canvas: Tensor, mu: Tensor) -> None:
        """Put the pixels that were restored into the canvas; observed ones stay as they are."""
        values = torch.where(self.operator.known == 1, self.start, mu)
        canvas.view(1, canvas.shape[1], -1)[:, :, self.work.pixels] = values[:, :, 0]

    def residual(self, mu: Tensor) -> float:
        """Root mean square of y - mu over what was observed, in [0, 1] units."""
        observed = self.operator.known == 1
        total = ((self.y - mu) * observed).square().sum()
        return float((total / (observed.sum() * mu.shape[1]).clamp(min=1)).sqrt()) / 2


def to_tensor(picture: Picture) -> Tensor:
    """Pixels (H, W, C) in [0, 1] -> (1, C, H, W) in [-1, 1], with memory of its own."""
    return torch.from_numpy(picture.pixels).permute(2, 0, 1)[None] * 2 - 1


def to_pixels(x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(1, C, H, W) in [-1, 1] -> (H, W, C) in [0, 1], clipped."""
    values = ((x[0].float().cpu() + 1) / 2).clamp(0, 1)
    return values.permute(1, 2, 0).contiguous().numpy()


def inpaint_stages(
    hole: Hole,
    card: Card,
    options: SolverOptions,
    sigma_y: float,
    canvas: Tensor,
    on_note: Callable[[str], None],
) -> Iterator[Stage]:
    """Stages of inpainting; the caller writes each result into `canvas` before the next.

    canvas: (1, C, H, W) in [-1, 1], filled smoothly here, or by patches where the hole is wide
    and the card asks for it. Thin parts come first, with wide ones held at their start.
    """
    s_start = options.s_start or card.hole_start
    if options.preset == "paper":
        # The published form starts from the masked picture: zero (grey) in the hole.
        canvas[:, :, torch.from_numpy(hole)] = 0
        yield _stage(canvas, hole, card, s_start, (card.window,), WIDE_MARGIN)
        return
    fill_hole(canvas, hole)
    wide = wide_part(hole) if card.wide_hole == "patches" else np.zeros_like(hole)
    thin = hole & ~wide
    if wide.any():
        on_note("a wide hole: filled with patches of its surroundings first")
        fill_with_patches(canvas, wide, hole, options.seed)
    if thin.any():
        stage = _stage(canvas, thin, card, s_start, THIN_WINDOWS, THIN_MARGIN)
        known = stage.operator.known
        yield replace(stage, start=stage.work.map_windows(bend_smoothly, stage.start, known))
    if wide.any():
        start = options.s_start or WIDE_START * card.wide_noise
        # Iterating D without data lets any bias of the network grow, so the patches stay in the
        # data term: as pixels measured with a noise of their own.
        trust = min(1.0, (max(sigma_y, SIGMA_FLOOR) / card.wide_noise) ** 2)
        yield _stage(canvas, wide, card, start, (128, card.window), WIDE_MARGIN, trust)


def fill_hole(canvas: Tensor, hole: Hole) -> None:
    """Smooth filling in place, region by region."""
    known = torch.from_numpy(~hole).to(canvas.dtype)[None, None]
    for region in regions(hole, 32):
        area = (slice(None), slice(None), *region.slices)
        canvas[area] = fill_smoothly(canvas[area] * known[area], known[area])


def fill_with_patches(canvas: Tensor, wide: Hole, hole: Hole, seed: int) -> None:
    """Patch synthesis of the wide parts in place, region by region."""
    inner = torch.from_numpy(wide)
    blocked = torch.from_numpy(hole)
    for tight in regions(wide, 0):
        margin = context_margin(tight.bottom - tight.top, tight.right - tight.left)
        rows = slice(max(0, tight.top - margin), tight.bottom + margin)
        columns = slice(max(0, tight.left - margin), tight.right + margin)
        area = canvas[0, :, rows, columns]
        area.copy_(synthesise(area.clone(), inner[rows, columns], blocked[rows, columns], seed))


def _stage(
    canvas: Tensor,
    hole: Hole,
    card: Card,
    s_start: float,
    sizes: tuple[int, ...],
    margin: int,
    trust: float = 0.0,
) -> Stage:
    work = cheapest_patchwork(hole, margin, card.windows(sizes), min(WHOLE, card.whole))
    start = work.take(canvas)
    known = work.take(torch.from_numpy(~hole)[None, None]).to(canvas.dtype)
    weight = known + trust * (1 - known)
    return Stage(work, Inpaint(weight), start * (weight > 0), start, s_start)


def finish_inpaint(picture: Picture, hole: Hole, canvas: Tensor) -> Picture:
    """Restored pixels in the hole, the input's own everywhere else."""
    pixels = np.where(hole[:, :, None], to_pixels(canvas), picture.pixels)
    return replace(picture, pixels=pixels)


def make_opaque(picture: Picture, hole: Hole) -> Picture:
    """The picture with its hole opaque; without alpha if nothing transparent is left."""
    if picture.alpha is None:
        return picture
    alpha = np.where(hole, np.float32(1), picture.alpha)
    return replace(picture, alpha=None if bool((alpha == 1).all()) else alpha)
