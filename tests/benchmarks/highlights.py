"""The law by which clipped channels are guessed from recorded ones, and how well it does.

    python tests/benchmarks/highlights.py TRAINING VALIDATION [--stops 1 2 3]

Folders of photographs, taken as scenes: centre crops of 256x256 after a reduction by whole
numbers, over-exposed by so many stops without noise. For every combination of clipped channels and
each of them, prints the coefficients that fit the training photographs (as `LAW` in
src/reddiff_cli/operators/highlights.py holds them, by least squares over u in [0, 1], at most
1500 pixels of a photograph and exposure), and the rms error over the validation photographs, of 1:
of the clipping level itself, of what the surroundings say, of these coefficients, and of the law
of the package. Then the same of pixels with all channels clipped: the coefficients of the dome
(its height) and of how the channels differ around.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from reddiff_cli.holes.smooth import rise_smoothly
from reddiff_cli.operators import Exposure
from reddiff_cli.operators.highlights import (
    LAW,
    follow_channels,
    fully_clipped,
    partly_clipped,
    reach_of_dome,
    share_and_tint,
)
from reddiff_cli.planning.jobs import list_pictures

SIDE, MOST = 256, 1500
CLIPPED = (*LAW, (0, 1, 2))
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Clipped:
    """Clipped with the same channels clipped: (N, 3) each, and the clipping level (N,)."""

    truth: Values
    around: Values  # what the surroundings say
    guess: Values  # of the package
    border: Values  # what a dome of no height has, 0 to 1 as below
    dome: Values
    tint: Values
    level: Values

    def design(self, channel: int, clipped: tuple[int, ...]) -> Values:
        """Columns that a law weighs."""
        if len(clipped) == 3:
            return np.stack([self.dome[:, channel], self.tint[:, channel]], 1)
        others = [k for k in range(3) if k not in clipped]
        below = [(self.level - self.truth[:, k]) / self.level for k in others]
        share = (self.around[:, channel] - self.level) / (1 - self.level)
        return np.stack([np.ones_like(share), share, *below], 1)

    def _told(self, channel: int, clipped: tuple[int, ...]) -> Values:
        """What no coefficient weighs."""
        return self.border[:, channel] if len(clipped) == 3 else np.zeros_like(self.level)

    def errors(self, channel: int, clipped: tuple[int, ...], law: Values) -> list[float]:
        """rms of 1: the level, the surroundings, these coefficients, the package."""
        way = np.clip(self._told(channel, clipped) + self.design(channel, clipped) @ law, 0, 1)
        fitted = self.level + (1 - self.level) * way
        guesses = (self.level, self.around[:, channel], fitted, self.guess[:, channel])
        return [float(np.sqrt(np.mean((g - self.truth[:, channel]) ** 2))) for g in guesses]

    def law(self, channel: int, clipped: tuple[int, ...]) -> Values:
        """The coefficients that fit best."""
        room = 1 - self.level
        way = self.truth[:, channel] - self.level  # times room, as errors count in u
        way = way - room * self._told(channel, clipped)
        design = self.design(channel, clipped) * room[:, None]
        return np.linalg.lstsq(design, way, rcond=None)[0]


def scenes(folder: Path) -> Iterator[Tensor]:
    """(1, 3, SIDE, SIDE) in [0, 1]."""
    for path in list_pictures([folder], recursive=False, output=None):
        with Image.open(path) as file:
            picture = file.convert("RGB")
        picture = picture.reduce(max(1, min(picture.size) // SIDE))
        if min(picture.size) < SIDE:
            continue
        left, top = (picture.width - SIDE) // 2, (picture.height - SIDE) // 2
        crop = np.asarray(picture.crop((left, top, left + SIDE, top + SIDE)))
        yield torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float() / 255


def gather(folder: Path, stops: list[float]) -> dict[tuple[int, ...], Clipped]:
    """The clipped pixels of a folder, by the channels that are clipped in them."""
    found: dict[tuple[int, ...], list[list[Values]]] = {channels: [] for channels in CLIPPED}
    for number, scene in enumerate(scenes(folder)):
        for ev in stops:
            operator = Exposure(ev)
            y = operator(2 * scene - 1)
            clipped, level = operator.clipped(y), operator.level()
            recorded = torch.where(clipped, torch.zeros_like(scene), scene)
            around = follow_channels(recorded, clipped).clamp(level, 1)
            about = (clipped, level, 2 * operator.tolerance * level)
            partly = partly_clipped(recorded, *about)
            columns = (scene, around, fully_clipped(partly, *about), *domes(partly, *about))
            for channels, parts in found.items():
                wanted = torch.tensor([k in channels for k in range(3)])[:, None, None]
                places = (clipped[0] == wanted).all(0).flatten().nonzero()[:, 0].numpy()
                places = np.random.default_rng(number).permutation(places)[:MOST]
                values = [t[0].flatten(1).T[places].double().numpy() for t in columns]
                parts.append([*values, np.full(len(places), level)])
    return {
        channels: Clipped(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        for channels, parts in found.items()
    }


def domes(u: Tensor, clipped: Tensor, level: float, gap: float) -> list[Tensor]:
    """What falls from the border to nothing; what rises to 1; and to how the channels differ."""
    whole = clipped.all(1, keepdim=True).to(u.dtype)
    reach, nothing = reach_of_dome(u, whole, level, gap), torch.zeros_like(u)
    share, tint = share_and_tint(u, whole, level, gap, reach)
    pairs = ((share, nothing), (nothing, nothing + 1), (nothing, tint))
    return [rise_smoothly(around, whole, top, reach) for around, top in pairs]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--stops", type=float, nargs="*", default=[1.0, 2.0, 3.0])
    asked = parser.parse_args()
    if min(asked.stops) <= 0:
        parser.error("--stops must be above 0")
    training, validation = (gather(f, asked.stops) for f in (asked.training, asked.validation))
    print("clipped guessed   pixels   level surroundings fitted package   law")
    for channels in CLIPPED:
        for channel in channels:
            law = training[channels].law(channel, channels)
            seen = validation[channels]
            level, around, fitted, package = seen.errors(channel, channels, law)
            names = "".join("RGB"[k] for k in channels), "RGB"[channel]
            shown = ", ".join(f"{value:.2f}" for value in law)
            print(
                f"{names[0]:8}{names[1]:7}{len(seen.level):9d}{level:8.4f}{around:13.4f}"
                f"{fitted:7.4f}{package:8.4f}   {shown}"
            )


if __name__ == "__main__":
    main()
