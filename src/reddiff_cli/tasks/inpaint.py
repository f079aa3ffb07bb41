"""Inpainting a picture: thin holes by the prior, wide ones from patches first, then the prior."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError, counted
from ..holes.grain import Grain, add_grain, measure_grain, surroundings
from ..holes.shape import solid_share
from ..operators import Inpaint
from ..options.tasks import InpaintOptions
from ..pictures.display import from_display
from ..pictures.files import Hole, Picture
from ..pictures.masks import NEARLY_ALL, covered_share, load_hole
from ..planning.jobs import Job
from ..tiling import patchwork
from .holed import bent, parts_of
from .problem import Problem, Stage, to_pixels, to_tensor
from .setting import Setting
from .wide import WideFilling, fill_hole, share_of_patches

# Context around thin and wide holes in pixels, and the window sizes to choose from.
THIN_MARGIN, THIN_WINDOWS = 10, (64, 96, 128, 256)
WIDE_MARGIN = 32
# The prior starts at this multiple of the noise that patches are taken to have.
WIDE_START = 2.0


def pose(job: Job, options: InpaintOptions, setting: Setting) -> "Inpainting":
    """The picture and its mask as a problem."""
    picture = setting.load(job.input)
    noisy = setting.told_noise("inpaint") != 0  # else nothing looks at the picture for it
    smoothed = picture.smoothed
    try:
        hole = load_hole(picture, job.mask, options, setting.on_note, smeared=smoothed)
    except UsageError as error:  # a loop over pictures ends here, and has to be told at which
        raise UsageError(f"{job.input}: {error}") from error
    picture, setting = setting.seeing(job.input, picture, hole)
    source = make_opaque(picture, hole)
    if job.mask is None and picture.alpha is not None and not picture.alpha.all():
        partly = int(((picture.alpha > 0) & (picture.alpha < 1)).sum())
        if partly:
            stay = (
                "partly transparent pixel stays as it is",
                "partly transparent pixels stay as they are",
            )
            setting.on_note(
                f"warning: {job.input}: {counted(partly, *stay)}; only fully transparent ones are "
                "filled (erase with a hard edge, or give --mask)"
            )
    share = covered_share(hole)
    if share > NEARLY_ALL:
        setting.on_note(f"warning: {job.input}: {share:.0%} of the picture is to be filled")
    noise, white = 0.0, True
    if noisy:
        known = torch.from_numpy(~hole)[None, None].float()
        seen = to_tensor(emptied(source, hole))
        noise = setting.noise("inpaint", job.input, seen, known, smoothed=smoothed)
        white = setting.white(Inpaint(known), seen, noise, known, smoothed=smoothed)
    return Inpainting(source, hole, noise, setting, grain=options.grain, white=white)


class Inpainting(Problem):
    """One picture and its hole; the canvas (1, C, H, W) in [-1, 1] is filled stage by stage.

    denoise: the result is the solver's everywhere, not only in the hole; then the network sees
    the whole picture at once.    grain: the hole gets the grain of the rest.    white: as of
    `Stage`.
    """

    def __init__(
        self,
        source: Picture,
        hole: Hole,
        noise: float,
        setting: Setting,
        *,
        denoise: bool = False,
        grain: bool = False,
        white: bool = True,
    ) -> None:
        self.source, self._hole, self.noise = source, hole, noise
        self._setting, self._denoise, self._white = setting, denoise, white
        self._seen = emptied(source, hole)
        self._canvas = to_tensor(self._seen)
        self._estimate = self._canvas.clone() if denoise else None
        self._grainy = grain
        self._filling: WideFilling | None = None

    @property
    def hole(self) -> Hole:
        """What is filled."""
        return self._hole

    def stages(self) -> Iterator[Stage]:
        """Wide parts get their start, thin ones are filled beside that, and wide ones last."""
        card, solver, canvas = self._setting.card, self._setting.solver, self._canvas
        if solver.preset == "paper":
            # The published form starts from the masked picture: zero (grey) in the hole.
            canvas[:, :, torch.from_numpy(self._hole)] = 0
            s_start, _ = self._setting.levels("inpaint", 2 * self.noise)
            yield self._stage(self._hole, s_start, (card.window,), WIDE_MARGIN)
            return
        fill_hole(canvas, self._hole)
        self._filling = WideFilling(canvas, self._hole, self.noise, self._setting)
        yield from self._filling.stages()
        wide = self._filling.wide
        thin = self._hole & ~wide
        if thin.any():
            s_start, _ = self._setting.levels("inpaint", 2 * self.noise, solid_share(thin))
            stage = bent(self._stage(thin, s_start, THIN_WINDOWS, THIN_MARGIN))
            yield replace(stage, more=bool(wide.any()))
        if wide.any():
            start = solver.s_start or WIDE_START * card.wide_noise
            yield self._stage(wide, start, (128, card.window), WIDE_MARGIN, patched=True)

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Put the pixels that were restored into the canvas; observed ones stay as they are."""
        if stage.shared and self._filling is not None:
            self._filling.accept(stage, mu)
            return
        work, operator = parts_of(stage)
        channels = mu.shape[1]
        canvas = self._canvas.view(1, channels, -1)
        # Not `start`: of several samples, its other holes hold the mean.
        before = canvas[:, :, work.pixels][:, :, None]
        canvas[:, :, work.pixels] = torch.where(operator.known == 1, before, mu)[:, :, 0]
        if self._estimate is not None:
            self._estimate.view(1, channels, -1)[:, :, work.pixels] = mu[:, :, 0]

    def finish(self) -> Picture:
        """Restored pixels in the hole, the input's own everywhere else."""
        if self._estimate is not None:
            return replace(self.source, pixels=to_pixels(self._estimate))
        canvas = self._canvas
        if self._grainy and self._grain is not None:
            canvas = add_grain(canvas, self._hole, self._grain, self._setting.solver.seed)
        inside = canvas[:, :, torch.from_numpy(self._hole)][:, :, None]  # (1, C, 1, N)
        pixels = self.source.pixels.copy()
        pixels[self._hole] = from_display(to_pixels(inside), self._seen)[0]
        return replace(self.source, pixels=pixels)

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The result if the stage ended at mu."""
        if stage.shared and self._filling is not None:
            guessed = from_display(to_pixels(self._filling.preview(stage, mu)), self._seen)
            return replace(self.source, pixels=guessed)
        self.accept(stage, mu)
        return self.finish()

    def remark(self) -> str:
        """How much grain the hole has got, or could have had."""
        if self._grain is None:
            return "no place is flat enough to measure grain on" if self._grainy else ""
        sigma = self.source.unit * self._grain.sigma / 2
        if self._grainy:
            return f"grain {sigma:.4f}"
        if not self._grain.is_likely:
            return ""
        return f"the picture may be grainy ({sigma:.4f}); --grain gives the filled places the same"

    @cached_property
    def _grain(self) -> Grain | None:
        if not self._hole.any():
            return None
        area = (..., *surroundings(self._hole))
        known = torch.from_numpy(~self._hole)[None, None].to(self._canvas.dtype)
        return measure_grain(self._canvas[area], known[area])

    def _stage(
        self,
        hole: Hole,
        s_start: float,
        sizes: tuple[int, ...],
        margin: int,
        *,
        patched: bool = False,
    ) -> Stage:
        if self._denoise:
            work = patchwork(hole.shape, [(0, 0)], max(hole.shape), margin)
        else:
            work = self._setting.windows(hole, margin, sizes)
        start = work.take(self._canvas)
        known = work.take(torch.from_numpy(~hole)[None, None]).to(start)
        weight = self._setting.weight("inpaint", float(known.mean()))
        share = share_of_patches(self.noise, weight, self._setting) if patched else 0.0
        observed = known + share * (1 - known)
        y = start * (observed > 0)
        about = (work, Inpaint(observed), y, start, s_start, 2 * self.noise)
        return Stage(*about, weight=weight, white=self._white)


def emptied(picture: Picture, hole: Hole) -> Picture:
    """Linear light black in its hole: a spark there must not set the scale of the rest."""
    if not picture.linear:
        return picture
    return replace(picture, pixels=np.where(hole[:, :, None], np.float32(0), picture.pixels))


def make_opaque(picture: Picture, hole: Hole) -> Picture:
    """The picture with its hole opaque; without alpha if nothing transparent is left."""
    if picture.alpha is None:
        return picture
    alpha = np.where(hole, np.float32(1), picture.alpha)
    return replace(picture, alpha=None if bool((alpha == 1).all()) else alpha)
