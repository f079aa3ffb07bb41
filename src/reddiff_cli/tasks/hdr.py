"""Highlights above the clipping level, from one over-exposed photograph or several exposures."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..estimation.exposures import noise_between, shown_stops
from ..estimation.noise import FLOOR
from ..estimation.verdicts import Grounds
from ..formats.kinds import FLOAT, format_of
from ..light.response import Response, parse_response
from ..light.tonemap import tonemap
from ..operators import Exposure, Exposures, Operator, PaperHdr
from ..options.tasks import HdrOptions
from ..pictures.files import Picture, Pixels, load_picture
from ..pictures.shots import Photograph, check_alike
from ..planning.jobs import Job, check_readable
from .listening import ListeningPicture
from .problem import Stage, to_pixels, to_tensor
from .setting import Setting
from .transparent import filled, hearable
from .whole import least_noise

FLOAT_FORMATS = ("EXR", "HDR", "TIFF")
# A recorded value this many standard deviations below white may be a clipped one with noise.
CLIPPED_WITHIN = 3.0
# But not more than this where nobody told the noise: in a close-up an estimate is of skin, and its
# brightest places would become patches.
WITHIN_OF_AN_ESTIMATE = 4 / 255

# Shares of clipped values that leave nothing to restore, or nothing to restore it from.
DOUBTFUL_SHARES = {
    0.0: "nothing is clipped in it",
    1.0: "everything is clipped in it, and nothing recorded: the result is a guess",
}


@dataclass
class Highlights(ListeningPicture):
    """The scene at a level where its highlights fit; `gain` brings it back to its exposure.

    Noise that nobody told is taken away from what was recorded, too. Where no file has smoothed
    it, several photographs tell it by what differs between them, and one tells it to the network,
    which knows texture.

    photograph: as it was read (the first of several); `source` is as the result will be.
    """

    photograph: Picture | None = None
    gain: float = 1.0
    response: Response = Response()
    floating: bool = False
    tonemap: bool = False

    @property
    def grounds(self) -> Grounds:
        """A guess if nobody told the noise, and a file has smoothed it."""
        return Grounds(self.lossy and self.setting.told_noise(self.task) is None)

    def stages(self) -> Iterator[Stage]:
        """One that tells the noise, if need be, and the one that restores the picture."""
        told = self.setting.told_noise(self.task) is not None
        if isinstance(self.operator, Exposure) and not (told or self.lossy):
            estimated = self.noise
            yield from self.probing()
            if self._takes_as_white() is not None:
                self.noise = min(self.noise, estimated)  # edges of what is clipped count as noise
                tolerance = _tolerance(self.noise, WITHIN_OF_AN_ESTIMATE)
                self.operator = replace(self.operator, tolerance=tolerance)
        yield from super().stages()

    @property
    def before(self) -> Picture:
        """The photograph."""
        return self.source if self.photograph is None else self.photograph

    def finish(self) -> Picture:
        """Linear light for float files, where 1 is white; else the picture, exposed for its
        highlights."""
        pixels = self._light() if self.floating else self._dark()
        return self._put_back(replace(self.source, pixels=pixels))

    def extras(self) -> dict[str, Picture]:
        """A tone-mapped 8-bit picture, if it was asked for."""
        if not self.tonemap:
            return {}
        shown = tonemap(self._light()).astype(np.float32) / np.float32(255)
        return {"tonemap.png": self._put_back(replace(self.source, pixels=shown, depth=8))}

    def _put_back(self, picture: Picture) -> Picture:
        """A result with the colour that the file has where nothing is seen: in light its light."""
        if self.unseen is None or picture.depth != FLOAT:
            return super()._put_back(picture)
        lit = replace(self.unseen, colour=self.response.decode(self.unseen.colour))
        return lit.put_back(picture, FLOAT)

    def _dark(self) -> Pixels:
        return to_pixels(self._result()).astype(np.float32)

    def _light(self) -> Pixels:
        return (self.gain * self.response.decode(self._dark())).astype(np.float32)


def pose(job: Job, options: HdrOptions, setting: Setting) -> Highlights:
    """The photograph, or the photographs, as measurements of one scene."""
    paths = (job.input, *options.others)
    for path in options.others:
        check_readable(path)
    pictures = [load_picture(path) for path in paths]
    check_alike([_shot(path, made) for path, made in zip(paths, pictures, strict=True)])
    heard = [hearable(picture) for picture in pictures]
    response = parse_response(options.response)
    shots = [y for y, _ in heard]
    _compare(job.input, shots, options, response, setting)
    smoothed = [picture.smoothed for picture in pictures]
    noises = _noises(paths, shots, smoothed, options.exposures, response, setting)
    noise, (seen, unseen) = min(noises), heard[0]
    # White where nothing is seen was never clipped.
    single = filled(seen, unseen)
    within = WITHIN_OF_AN_ESTIMATE if setting.told_noise("hdr") is None else 1.0
    tolerance = _tolerance(max(noises), within)
    operator: Operator
    if options.operator == "paper":
        operator, y, level = PaperHdr(tolerance=min(1.0, 2 * tolerance)), single, 0.0
    elif options.others:
        lowest = min(options.exposures)
        stops = tuple(shot - lowest + options.stops for shot in options.exposures)
        trust = tuple((noise / other) ** 2 if other else 1.0 for other in noises)
        operator = Exposures(stops, response, tolerance, trust)
        y = torch.stack([to_tensor(picture) for picture in pictures], 1)
        level = options.stops - lowest
    else:
        operator, y, level = Exposure(options.stops, response, tolerance), single, options.stops
    floating = holds_light(job.output, setting.depth)
    # Darker values of the same curve and primaries; a profile is not one of linear light.
    kept = pictures[0].metadata if not floating else replace(pictures[0].metadata, icc=b"")
    source = replace(pictures[0], metadata=kept, depth=FLOAT if floating else 16)
    as_it_is = floating or options.operator == "paper"  # which halves contrast instead
    shown = "" if as_it_is else f"exposed {level:g} EV darker, so that the highlights fit"
    doubt = DOUBTFUL_SHARES.get(_share_clipped(operator, y))
    if doubt is not None:
        setting.on_note(f"warning: {job.input}: {doubt}")
    return Highlights(
        task="hdr",
        photograph=pictures[0],
        source=source,
        operator=operator,
        y=y,
        noise=noise,
        setting=setting,
        note=lambda _: shown,
        sigma_least=max(map(least_noise, pictures)),
        gain=2**level,
        response=response,
        floating=floating,
        tonemap=options.tonemap,
        lossy=any(smoothed),
        # Of several, one may show what another hides.
        unseen=None if options.others else unseen,
    )


def _shot(path: Path, picture: Picture) -> Photograph:
    size = picture.width, picture.height
    return Photograph(path, size, picture.pixels.shape[2] == 1, picture.linear)


def _compare(
    path: Path, shots: list[Tensor], options: HdrOptions, response: Response, setting: Setting
) -> None:
    """Warn of exposures that are not so far apart as was told."""
    shown = shown_stops(shots, options.exposures, response) if options.others else ()
    if all(map(math.isclose, shown, options.exposures)):
        return
    told, seen = (
        ", ".join(f"{round(value, 1) + 0.0:g}" for value in stops)
        for stops in (options.exposures, shown)
    )
    # A photograph at -2, 0, 2 stops whose values went through v^2 (3 - 2 v), too: its light is off
    # by 0.48 stops with these, and by 0.93 with those that are seen here.
    curve = "the camera's curve is none of --response, as of JPEGs with much contrast"
    cure = f"either --exposures or their order are wrong, or {curve}: then leave the stops"
    seen = f"by --response {options.response} the pictures show {seen}"
    warning = f"warning: {path}: exposures are told as {told} stops, {seen}"
    setting.on_note(f"{warning}; {cure}")


def _noises(
    paths: tuple[Path, ...],
    shots: list[Tensor],
    smoothed: list[bool],
    stops: tuple[float, ...],
    response: Response,
    setting: Setting,
) -> list[float]:
    """Of each photograph, in [0, 1] units.

    The errors of encoders differ from file to file, and would pass for noise of the whole picture.
    """
    seen = zip(paths, shots, smoothed, strict=True)
    noises = [setting.noise("hdr", path, y, smoothed=lossy) for path, y, lossy in seen]
    told = setting.told_noise("hdr") is not None
    if told or len(paths) == 1 or any(smoothed):
        return noises
    differing = noise_between(shots, stops, response, noises)
    return [max(sigma, FLOOR / 255) for sigma in differing]


def _tolerance(noise: float, within: float) -> float:
    """How far below white a value may be a clipped one; all in [0, 1] units."""
    return max(1.5 / 255, min(CLIPPED_WITHIN * noise, within))


def holds_light(path: Path, depth: str) -> bool:
    """True if a file of this name and --depth holds light above 1."""
    return format_of(path) in FLOAT_FORMATS and depth in ("auto", "float")


def _share_clipped(operator: Operator, y: Tensor) -> float:
    """Share of values that say only "at least"; NaN where the operator does not know."""
    clipped = getattr(operator, "clipped", None)
    return math.nan if clipped is None else float(clipped(y).double().mean())
