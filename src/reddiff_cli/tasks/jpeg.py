"""JPEG artefacts: the picture that is likely among all that the encoder turns into this file."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..errors import UsageError
from ..formats.deep import turn
from ..formats.jpeg import JpegFile, read_jpeg
from ..jobs import Job
from ..operators import measure_jpeg
from ..operators.jpeg import SIGMA
from ..pictures import Picture, load_picture
from ..task_options import JpegOptions
from .problem import Stage, to_pixels
from .setting import Setting
from .whole import WholePicture

# Below this noise level the prior only finishes what the intervals leave open.
S_END = 0.05


@dataclass
class Decoding(WholePicture):
    """y in units of quantisation steps; restored in the stored orientation, on whole blocks."""

    file: JpegFile | None = None

    def finish(self) -> Picture:
        """Cropped to the picture and turned upright."""
        if self.file is None:
            raise ValueError("no file to go by")
        stored = self._result()[:, :, : self.file.height, : self.file.width]
        return replace(self.source, pixels=turn(to_pixels(stored), self.file.orientation))

    def stages(self) -> Iterator[Stage]:
        """The one stage, with the noise of rounding in units of y."""
        for stage in super().stages():
            yield replace(stage, sigma_y=SIGMA, s_end=S_END)


def pose(job: Job, options: JpegOptions, setting: Setting) -> Decoding:
    """The file's quantised coefficients as the measurement."""
    if setting.solver.noise is not None:
        raise UsageError("--noise: the file's own tables say what was lost; drop --noise")
    return make_decoding(load_picture(job.input), read_jpeg(job.input), setting)


def make_decoding(picture: Picture, file: JpegFile, setting: Setting) -> Decoding:
    """The coefficients of a file as the measurement of what the picture was."""
    operator, y = measure_jpeg(file.components, file.colour)
    return Decoding(
        task="jpeg",
        source=picture,
        operator=operator,
        y=y,
        noise=0.0,
        setting=setting,
        note=lambda x: f"{float(operator.residual(x, y).max()):.3f} steps outside the intervals",
        file=file,
    )
