"""Tasks whose operator sees the whole picture at once: one stage on one canvas."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor
from torch.nn import functional as F

from ..budget import looking
from ..estimation.noise import is_grey
from ..formats.kinds import DEPTHS
from ..operators import Identity, Operator
from ..pictures.display import from_display
from ..pictures.files import Picture
from ..solvers.reddiff import SIGMA_EXACT, SIGMA_FLOOR
from .degrees import level_behind
from .problem import Problem, Stage, to_pixels
from .setting import Setting
from .transparent import Unseen


@dataclass
class WholePicture(Problem):
    """One picture, its measurement y and operator.

    crop: from the restored canvas to what is shown.    source, noise: as in `Problem`.
    sigma_least: noise of y at least, in [-1, 1] units (None: what the depth of `source` leaves).
    white: as of `Stage`.    unseen: what of y is no part of the picture, and filled in it.

    A grey picture in three channels, shown as it is, is restored in one: noise that is the same in
    all of them would pass for a part of the picture. 256x256, noise 20 of 255: 30.8 instead of
    25.1 dB. (Super-resolution x2 has no use for it: 31.9 and 32.1 dB, with noise 5 30.4 and 30.3.)
    """

    task: str
    source: Picture
    operator: Operator
    y: Tensor
    noise: float
    setting: Setting
    crop: Callable[[Tensor], Tensor] = Tensor.clone
    note: Callable[[Tensor], str] = lambda _: ""
    sigma_least: float | None = None
    white: bool = True
    unseen: Unseen | None = None
    restored: Tensor | None = None

    def __post_init__(self) -> None:
        direct = getattr(self.operator, "direct", None)
        if direct is not None and is_grey(self.y):
            self.y = self.y[:, :1]

    def stages(self) -> Iterator[Stage]:
        """The one stage."""
        start = self.operator.start(self.y)
        if self.setting.solver.preset == "paper" and self.task == "superres":
            # The published form starts from the pseudo-inverse of the mean of f x f pixels.
            start = F.interpolate(self.y, start.shape[2:], mode="nearest")
        yield self._stage(self.operator, self.y, start)

    def hiding(self, unseen: Unseen | None) -> Self:
        """The same, with what is seen of its y going on where the file hides it."""
        if unseen is not None:
            self.y, self.unseen = unseen.filled(self.y), unseen
        return self

    def _stage(
        self, operator: Operator, y: Tensor, start: Tensor, noise: float | None = None
    ) -> Stage:
        """noise: of y, in [0, 1] units; None: that of the picture."""
        least = least_noise(self.source) if self.sigma_least is None else self.sigma_least
        sigma_y = 2 * (self.noise if noise is None else noise)
        s_start, s_end = self.setting.levels(self.task, sigma_y)
        if self.setting.solver.annealed and self.setting.solver.s_start is None:
            behind = (self.task, self.setting.card, operator, start, sigma_y)
            s_start = level_behind(*behind) or s_start
        return Stage(
            view=self.setting.view(),
            operator=operator,
            y=y,
            start=start,
            s_start=s_start,
            sigma_y=sigma_y,
            s_end=s_end,
            weight=self.setting.weight(self.task),
            sigma_least=least,
            white=self.white,
            enough=self._enough(operator),
        )

    def _enough(self, operator: Operator) -> int:
        """Looks that are enough where y is a picture with white noise."""
        if not (self.white and isinstance(operator, Identity)):
            return 0
        return looking(self.setting.card, self.setting.solver).evaluations

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Keep the result."""
        self.restored = mu

    def finish(self) -> Picture:
        """The picture on the canvas, with the source's alpha and metadata."""
        return self._shown(self._result())

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The result if the stage ended at mu."""
        self.accept(stage, mu)
        return self.finish()

    def remark(self) -> str:
        """What the task has to say about its result."""
        return self.note(self._result())

    def _shown(self, x: Tensor) -> Picture:
        """What is on a canvas, as a picture."""
        pixels = to_pixels(self.crop(x))
        channels = self.source.pixels.shape[2]
        if pixels.shape[2] < channels:
            pixels = pixels.repeat(channels, 2)
        pixels = from_display(pixels, self.source)
        return self._put_back(replace(self.source, pixels=pixels))

    def _put_back(self, picture: Picture) -> Picture:
        """A result with the colour that the file has where nothing is seen."""
        if self.unseen is None:
            return picture
        return self.unseen.put_back(picture, DEPTHS.get(self.setting.depth, picture.depth))

    def _result(self) -> Tensor:
        if self.restored is None:
            raise ValueError("the stage has not been solved")
        return self.restored


def least_noise(picture: Picture) -> float:
    """What the rounding of a file's values leaves of noise, in [-1, 1] units."""
    return SIGMA_FLOOR if picture.depth == 8 else SIGMA_EXACT
