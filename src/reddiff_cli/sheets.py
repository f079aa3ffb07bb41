"""Pictures for people beside a result: before and after, the course of the solver, the spread.

`{stem}.compare.png`, `{stem}.trace.gif`, and in sample mode `{stem}.std.png` and `.std.npy`.
"""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from .files import write_whole
from .options.common import OutputOptions
from .pictures.files import Picture, Pixels, save_picture, with_depth
from .tasks import Problem, Stage

GAP = 8  # pixels between the panels of a sheet
TRACE_SIDE = 384  # longest side of an animation
TRACE_SECONDS = 4.0
UNCALIBRATED = "relative, uncalibrated"
_SPACE = slice(16, 20)  # bytes of a colour profile that name its colour space


class Sheets:
    """Collects what is asked for while one picture is restored, and writes it at the end."""

    def __init__(self, output: Path, problem: Problem, options: OutputOptions) -> None:
        self._output, self._problem, self._options = output, problem, options
        self._frames: list[Image.Image] = []
        self._spread: Pixels | None = None

    def look(self, stage: Stage, mu: Tensor) -> None:
        """One frame of the animation, if there is one."""
        if self._options.trace:
            frame = self._problem.preview(stage, mu[:1].cpu())
            self._frames.append(_thumbnail(_shown(frame)))

    def average(self, pictures: Sequence[Picture]) -> Picture:
        """Mean of samples; their standard deviation is kept for `save`."""
        stack = np.stack([picture.pixels for picture in pictures])
        # In single precision the mean of three equal values may be another.
        mean = stack.mean(0, dtype=np.float64)
        squares = sum(np.square(pixels - mean) for pixels in stack)
        unit = pictures[0].unit
        self._spread = (unit * np.sqrt(squares / (len(stack) - 1))).astype(np.float32)
        return replace(pictures[0], pixels=mean.astype(np.float32))

    def save(self, restored: Picture) -> None:
        """Write the sheets; PictureError when the file system refuses."""
        if self._options.compare:
            hole = self._problem.hole
            panels = [_shown(self._problem.before), _shown(restored)]
            if hole is not None:
                panels.insert(1, hole[:, :, None].astype(np.float32))
            profile = _profile_of(self._problem.before)
            self._write("compare.png", _png(_side_by_side(panels), profile))
        for suffix, extra in self._problem.extras().items():
            save_picture(extra, self._output.with_name(f"{self._output.stem}.{suffix}"), None)
        if self._frames:
            self._write("trace.gif", _animation(self._frames))
        if self._spread is not None:
            largest = float(self._spread.max()) or 1.0
            self._write("std.png", _png(_image(self._spread / largest)))
            buffer = BytesIO()
            np.save(buffer, self._spread)
            self._write("std.npy", buffer.getvalue())

    def _write(self, suffix: str, content: bytes) -> None:
        write_whole(self._output.with_name(f"{self._output.stem}.{suffix}"), content)


def _side_by_side(panels: Sequence[Pixels]) -> Image.Image:
    """Panels of one height; smaller ones are enlarged by whole pixels, as they are."""
    height = max(len(panel) for panel in panels)
    images = [_image(panel) for panel in panels]
    images = [_enlarge(image, max(1, height // image.height)) for image in images]
    width = sum(image.width for image in images) + GAP * (len(images) - 1)
    sheet = Image.new("RGB", (width, height), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + GAP
    return sheet


def _enlarge(image: Image.Image, factor: int) -> Image.Image:
    size = (image.width * factor, image.height * factor)
    return image.resize(size, Image.Resampling.NEAREST)


def _shown(picture: Picture) -> Pixels:
    """The pixels as a screen shows them, in [0, 1]: linear light as sRGB values."""
    return with_depth(picture, 16).pixels if picture.linear else picture.pixels


def _image(pixels: Pixels) -> Image.Image:
    eight = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(eight if eight.shape[2] == 3 else eight.repeat(3, axis=2))


def _thumbnail(pixels: Pixels) -> Image.Image:
    image = _image(pixels)
    image.thumbnail((TRACE_SIDE, TRACE_SIDE))
    return image


def _profile_of(picture: Picture) -> bytes:
    """That of its values, where what is in colours, as a sheet is, can have it."""
    icc = picture.metadata.icc
    return icc if icc[_SPACE] == b"RGB " and not picture.linear else b""


def _png(image: Image.Image, profile: bytes = b"") -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", icc_profile=profile)
    return buffer.getvalue()


def _animation(frames: Sequence[Image.Image]) -> bytes:
    """A GIF that plays once in about TRACE_SECONDS and rests on its last frame."""
    buffer = BytesIO()
    each = max(40, round(1000 * TRACE_SECONDS / len(frames)))
    times = [each] * (len(frames) - 1) + [2000]
    rest = list(frames[1:])
    frames[0].save(buffer, "GIF", save_all=True, append_images=rest, duration=times)
    return buffer.getvalue()
