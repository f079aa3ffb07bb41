"""The transparency of an enlarged picture: shapes, which the prior knows as it knows pictures.

Discs, letters and thin lines, reduced from 256x256 by 2: 42.3, 34.7 and 20.7 dB, where Lanczos has
31.2, 25.7 and 16.9 (`python tests/benchmarks/cutouts.py FOLDER`). With 6 evaluations it is 1.3 dB
less, with 20 and 40 0.5 and 1.3 dB more.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..estimation.noise import FLOOR
from ..operators import Downsample
from ..pictures.files import Picture, Pixels
from ..signatures import DenoiseFunction
from ..tiling import Patchwork
from .degraded import DegradedPicture
from .problem import Stage, View, solver_of_shared, to_pixels
from .setting import Setting
from .whole import WholePicture

# Network evaluations, whatever the picture gets.
STEPS = 10
# Context around edges in pixels, and the window sizes to choose from; all of it is seen where that
# is hardly more. A disc and letters of 512x512 so 44.2 and 39.0 dB from 42 and 56 % of the pixels,
# with a context of 16 44.3 and 38.9 from 67 and 81 %, as a whole 43.9 and 38.6.
MARGIN, WINDOWS, MOST = 8, (64, 96, 128), 0.75


@dataclass(frozen=True)
class Edges:
    """Windows over what of a canvas is open; elsewhere D is what is there.

    known: (1, 1, H, W) in [-1, 1].    open: the same size, True where D is to be looked for.
    """

    windows: Patchwork
    known: Tensor
    open: Tensor

    def denoise(self, denoiser: DenoiseFunction, z: Tensor, t: Tensor) -> Tensor:
        """D of z, (B, 1, H, W)."""
        found = self.windows.denoise(denoiser, self.windows.take(z), t)
        return torch.where(self.open, self.windows.put(z, found), self.known)

    def to(self, device: torch.device) -> "Edges":
        """The same with its tensors on a device."""
        return Edges(self.windows.to(device), self.known.to(device), self.open.to(device))


@dataclass
class Matte(WholePicture):
    """A transparency, y in one channel, as a picture of its own.

    Only its edges go through the network.
    """

    @property
    def alpha(self) -> Pixels:
        """Of the enlarged picture, (f H, f W) in [0, 1]; exact where it is certain."""
        least, most = self._bounds()
        return np.where(least == most, least, to_pixels(self._result())[:, :, 0])

    def stages(self) -> Iterator[Stage]:
        """The one stage."""
        for stage in super().stages():
            yield replace(stage, view=self._edges(), shared=STEPS)

    def _edges(self) -> View:
        """Windows over what may change, or the whole."""
        least, most = self._bounds()
        changing = least != most
        windows = self.setting.windows(changing, MARGIN, WINDOWS)
        if windows.index.numel() > MOST * changing.size:
            return self.setting.view()
        known = 2 * torch.from_numpy(least)[None, None] - 1
        return Edges(windows, known, torch.from_numpy(changing)[None, None])

    def _bounds(self) -> tuple[Pixels, Pixels]:
        small = to_pixels(self.y)[:, :, 0]
        return bounds(small, self.operator.start(self.y).shape[2] // len(small))


@dataclass
class EnlargedPicture(DegradedPicture):
    """A picture behind a reduction, whose transparency was reduced as well.

    matte: the transparency; None where it is the same everywhere, or there is none.
    """

    matte: Matte | None = None
    _mattes: bool = False

    def stages(self) -> Iterator[Stage]:
        """One of the transparency, if need be, and those of the picture."""
        if self.matte is not None:
            self._mattes = True
            ahead = next(WholePicture.stages(self))
            yield from (replace(stage, ahead=ahead) for stage in self.matte.stages())
            self._mattes = False
        yield from super().stages()

    def accept(self, stage: Stage, mu: Tensor) -> None:
        """Keep the result, or the transparency that it will have."""
        if self._mattes and self.matte is not None:
            self.matte.accept(stage, mu)
            self.source = replace(self.source, alpha=self.matte.alpha)
        else:
            super().accept(stage, mu)

    def preview(self, stage: Stage, mu: Tensor) -> Picture:
        """The result if the stage ended at mu."""
        if not self._mattes:
            return super().preview(stage, mu)
        self.accept(stage, mu)
        return self._shown(self.operator.start(self.y))


def make_matte(picture: Picture, reduction: Downsample, setting: Setting) -> Matte | None:
    """The transparency of a picture as `EnlargedPicture` wants it, by the default solver."""
    alpha = picture.alpha
    if alpha is None or float(alpha.min()) == float(alpha.max()):
        return None
    y = 2 * torch.from_numpy(np.ascontiguousarray(alpha))[None, None] - 1
    setting = replace(setting, solver=solver_of_shared(setting.solver, STEPS))
    return Matte("superres", picture, reduction, y, FLOOR / 255, setting)


def bounds(alpha: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    """The least and the most around each pixel of an enlarged transparency, (f H, f W) each.

    Where they are equal nothing of what is opaque, or hidden, shows through.
    """
    least_most = torch.from_numpy(np.stack([-alpha, alpha]))[None]
    around = F.interpolate(F.max_pool2d(least_most, 3, 1, 1), scale_factor=scale, mode="nearest")
    return (-around[0, 0]).numpy(), around[0, 1].numpy()
