"""What a file tells of its picture besides the pixels: how it was encoded, and its noise."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..estimation.noise import NoiseEstimate
from ..pictures.files import Picture
from .compressed import find_decoding
from .encoding import Encoding
from .jpeg import Decoding
from .setting import Setting

# Network evaluations that take the errors of an encoder out of y first. Training crops, dB, y as
# it is decoded and after 8 / 20 evaluations: x4, quality 75 24.98 and 25.32 / 25.40; gaussian:2,
# quality 75 29.84 and 30.48 / 30.67; motion:9,30, quality 85 32.10 and 32.64 / 32.84.
DECODING = 20


@dataclass(frozen=True)
class Origin:
    """Where a measurement y comes from.

    decoding: how y is told from a file's coefficients, if it is.    noise: that of what the file
    shows, estimated, or (`told`) as somebody told it.    lossy: the file has smoothed its noise.
    table: (8, 8), a JPEG's steps of luminance; None where they are not known.    was: what has
    become of the picture before, for people.
    """

    decoding: Decoding | None
    noise: NoiseEstimate
    told: bool = False
    lossy: bool = False
    table: Tensor | None = None
    was: str = ""


def find_origin(
    task: str,
    path: Path,
    picture: Picture,
    y: Tensor,
    setting: Setting,
    *,
    known: Tensor | None = None,
    blurred: bool = False,
    told: float | None = None,
) -> Origin:
    """The origin of y, which is what a file shows.

    known, blurred: as of `estimate_noise`.    told: the noise as part of a damage, in [0, 1]
    units, which the flag of it outdoes.
    """
    encoding = Encoding.of(path, picture, setting)
    decoding = find_decoding(encoding, picture, setting, DECODING)
    noise = setting.told_noise(task)
    if noise is None and setting.solver.noise is None:
        noise = told
    if noise is None:
        coefficients = decoding is not None
        seen = (known, encoding.lossy)
        estimate = setting.estimate(path, y, *seen, blurred=blurred, by_coefficients=coefficients)
    else:
        estimate = NoiseEstimate(noise)
    steps = None if encoding.table is None else torch.from_numpy(encoding.table.copy())
    return Origin(
        decoding, estimate, noise is not None, encoding.lossy, steps, was=encoding.remark
    )
