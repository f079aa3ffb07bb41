"""JPEG artefacts: the picture that is likely among all that the encoder turns into this file."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from torch import Tensor

from ..formats.deep import turn
from ..formats.jpeg import JpegFile, is_no_jpeg, read_jpeg
from ..formats.kinds import is_jpeg
from ..operators import measure_jpeg
from ..operators.jpeg import SIGMA
from ..options.tasks import JpegOptions
from ..pictures.files import Picture
from ..planning.jobs import Job
from .encoding import as_it_was, traces_in
from .problem import Stage, to_pixels
from .setting import Setting
from .whole import WholePicture

# Below this noise level the prior only finishes what the intervals leave open.
S_END = 0.05


@dataclass
class Decoding(WholePicture):
    """y in units of quantisation steps; restored in the stored orientation, on whole blocks."""

    file: JpegFile = field(kw_only=True)

    def finish(self) -> Picture:
        """Cropped to the picture and turned upright."""
        top, left = self.file.top, self.file.left
        stored = self._result()[..., top : top + self.file.height, left : left + self.file.width]
        return replace(self.source, pixels=turn(to_pixels(stored), self.file.orientation))

    def stages(self) -> Iterator[Stage]:
        """The one stage, with the noise of rounding in units of y."""
        for stage in super().stages():
            yield replace(stage, sigma_y=SIGMA, s_end=S_END)


def pose(job: Job, options: JpegOptions, setting: Setting) -> Decoding:
    """The quantised coefficients as the measurement: of the file, or of what it was before."""
    picture = setting.load(job.input)
    if is_jpeg(job.input):
        file, remark = as_it_was(read_jpeg(job.input))
        return make_decoding(picture, file, setting, remark)
    traces = traces_in(picture)
    if traces is None:
        raise is_no_jpeg(job.input)
    return make_decoding(picture, traces.file, setting, traces.remark)


def make_decoding(picture: Picture, file: JpegFile, setting: Setting, was: str = "") -> Decoding:
    """The coefficients of a file as the measurement of what the picture was.

    was: what has become of the picture before, for people.
    """
    operator, y = measure_jpeg(file.components, file.colour)

    def outside(x: Tensor) -> str:
        steps = f"{float(operator.residual(x, y).max()):.3f} steps outside the intervals"
        return f"{was}; {steps}" if was else steps

    return Decoding(
        task="jpeg",
        source=picture,
        operator=operator,
        y=y,
        noise=0.0,
        setting=setting,
        note=outside,
        file=file,
    )
