"""A picture that went through several damages: one operator built from parts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..kernels.files import Kernels, check_filter_covers
from ..kernels.tensors import make_kernel
from ..light.response import LIGHT, LINEAR, VALUES, parse_response
from ..operators import (
    Blur,
    Composite,
    Downsample,
    Grey,
    Inpaint,
    Whitened,
    behind,
    compose,
    enlargement,
    in_values,
    rec601,
)
from ..operators.chain import Part
from ..options.damages import Damage, RestoreOptions
from ..pictures.files import Hole, Picture
from ..pictures.masks import check_something_is_known, hole_from_file
from ..planning.jobs import Job
from .blurred_light import behind_all, find_response_of, tested_with
from .colorize import coloured
from .deblur import check_kernel
from .degraded import DegradedPicture
from .origin import find_origin
from .problem import Stage, to_tensor
from .setting import Setting
from .superres import check_room, enlarged, make_downsample
from .transparent import filled, hearable
from .wide import WideFilling, fill_hole, share_of_patches

Margins = tuple[int, int, int, int]  # left, right, top, bottom


@dataclass
class Composition(DegradedPicture):
    """A picture behind several damages. Wide holes in it are filled first, as those of `inpaint`.

    What fills them is then taken as measured, with a noise of its own: it goes back through the
    other damages with the rest, and joins it.
    """

    _filling: WideFilling | None = None

    def stages(self) -> Iterator[Stage]:
        """Those of the guide, at sizes of the damaged picture, then that of the whole."""
        mask = self._parts[-1]
        if isinstance(mask, Inpaint) and self.setting.solver.preset != "paper":
            yield from self.decoding_stages()
            hole, filled = (mask.known[0, 0] == 0).numpy(), self.y.clone()
            filling = WideFilling(filled, hole, self.noise, self.setting)
            if filling.wide.any():
                self._filling = filling
                fill_hole(filled, hole)
                yield from filling.stages()
                yield self._patched(mask.known, filling.wide, filled)
                return
        yield from super().stages()

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Keep the result of a stage."""
        if stage.shared and self._filling is not None:
            self._filling.accept(stage, mu)
        else:
            super().accept(stage, mu)

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The result if the stage ended at mu."""
        if not stage.shared or self._filling is None:
            return super().preview(stage, mu)
        filled = self._filling.preview(stage, mu)
        return self._shown(compose(self._parts[:-1]).start(filled))

    def _measurement(self, seen: Tensor) -> Tensor:
        return _measured(self._parts, seen)

    def _listens(self) -> bool:
        """Not behind a mask: its holes would be heard as well."""
        return not isinstance(self._parts[-1], Inpaint | Whitened) and super()._listens()

    @property
    def _blurred(self) -> bool:
        return any(isinstance(in_values(part), Blur) for part in self._parts)

    @property
    def _parts(self) -> tuple[Part, ...]:
        return cast(Composite, self.operator).parts

    def _patched(self, known: Tensor, wide: Hole, filled: Tensor) -> Stage:
        """The stage to which wide parts are known a little, as they are filled."""
        weight = self.setting.weight(self.task)
        share = share_of_patches(self.noise, weight, self.setting)
        mask = Whitened(torch.where(torch.from_numpy(wide), share, known))
        operator, y = compose((*self._parts[:-1], mask)), mask(filled)
        return self._stage(operator, y, operator.start(y))


def pose(job: Job, options: RestoreOptions, setting: Setting) -> Composition:
    """The picture as a measurement through all parts."""
    picture = setting.load(job.input)
    kernels = Kernels()
    parts = tuple(make_part(damage, picture, kernels) for damage in options.parts)
    known = next((part.known for part in parts if isinstance(part, Inpaint)), None)
    hole = None if known is None else (known[0, 0] == 0).numpy()
    picture, setting = setting.seeing(job.input, picture, hole)
    grey = any(damage.kind == "grey" for damage in options.parts)
    chain = compose(parts)
    said = ""
    check_room(job, picture, enlargement(chain), setting)
    # What a mask hides has no value in y, and gets none.
    seen, unseen = hearable(picture) if known is None else (to_tensor(picture), None)
    y = _measured(parts, seen)
    margins = canvas_margins(parts)
    _check_size(job, chain, y)
    origin = find_origin(
        "restore",
        job.input,
        picture,
        y,
        setting,
        known=known,
        blurred=options.blurred,
        told=None if options.noise is None else options.noise / picture.unit,
    )
    noise, shown = origin.noise.sigma, filled(y, unseen)
    if _tells_response(options, picture, setting):
        response = find_response_of(parts, shown, tested_with(origin))
        said = f"response {response.kind} (auto)"
        chain = chain if response == VALUES else behind_all(parts, response)
    source = coloured(picture) if grey else picture
    if enlargement(chain) > 1:
        source = enlarged(source, enlargement(chain))

    def crop(x: Tensor) -> Tensor:
        return F.pad(x, [-n for n in margins])

    white = setting.white(chain, y, noise, known, smoothed=origin.lossy)
    about = ("restore", source, chain, shown, noise, setting, crop)
    problem = Composition(*about, white=white, note=lambda _: said, unseen=unseen)
    return problem.read_from(origin)


def _tells_response(options: RestoreOptions, picture: Picture, setting: Setting) -> bool:
    """True if blurs of which nobody said what they acted on may be of light.

    Published methods take them for blurs of values, and so does `deblur` with Gaussians.
    """
    kernels = [damage.kernel for damage in options.parts if damage.kernel is not None]
    untold = not any(damage.response for damage in options.parts)
    shaken = any(kernel.family != "gaussian" for kernel in kernels)
    ours = setting.solver.annealed and not picture.linear
    return ours and untold and shaken and options.blurred


def canvas_margins(parts: tuple[Part, ...]) -> Margins:
    """What the canvas of x has around the picture, from the unknown boundaries of its blurs."""
    margins = [0, 0, 0, 0]
    for part in map(in_values, reversed(parts)):
        if isinstance(part, Downsample):
            margins = [part.scale * n for n in margins]
        if isinstance(part, Blur):
            (top, bottom), (left, right) = part.margins
            added = (left, right, top, bottom)
            margins = [n + more for n, more in zip(margins, added, strict=True)]
    left, right, top, bottom = margins
    return left, right, top, bottom


def make_part(damage: Damage, picture: Picture, kernels: Kernels | None = None) -> Part:
    """The operator of one damage; the picture is the damaged one, whose size a mask has.

    kernels: those that were read before.
    """
    response = LIGHT if picture.linear else parse_response(damage.response or LINEAR)
    if damage.kernel is not None:
        return behind(response, Blur(make_kernel(damage.kernel, kernels)))
    if damage.kind == "down":
        return behind(response, make_downsample(damage.scale, damage.filter, kernels))
    if damage.path is not None:
        hole = hole_from_file(picture, damage.path)
        check_something_is_known(hole, damage.path)
        return Inpaint(torch.from_numpy(~hole)[None, None].float())
    return rec601()


def _measured(parts: tuple[Part, ...], seen: Tensor) -> Tensor:
    """y of what a file shows: grey if colours were lost, and nothing where it is masked."""
    if seen.shape[1] == 3 and any(isinstance(part, Grey) for part in parts):
        seen = rec601()(seen)
    for part in parts:
        if isinstance(part, Inpaint):
            seen = part(seen)
    return seen


def _check_size(job: Job, chain: Composite, y: Tensor) -> None:
    """A kernel may not be larger than the picture it was laid on, nor lie outside of it."""
    height, width = y.shape[2:]
    for part in map(in_values, reversed(chain.parts)):
        if isinstance(part, Downsample):
            check_filter_covers(job.input, part.drawn, part.scale, height, width)
            height, width = height * part.scale, width * part.scale
        if isinstance(part, Blur):
            check_kernel(job.input, part.kernel, height, width)
