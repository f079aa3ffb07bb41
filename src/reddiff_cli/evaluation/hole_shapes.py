"""Holes for evaluations: a box, single pixels, or strokes of a brush; drawn from a generator."""

import math

import numpy as np

from ..errors import PictureError
from ..pictures.files import Hole
from .options import HoleOptions

# Width of a brush and length of a stroke, as shares of the shorter side of the picture.
BRUSH = (0.02, 0.07)
STROKE = (0.15, 0.5)
BEND = 0.5  # radians between points of a stroke, standard deviation


def check_hole(options: HoleOptions, size: tuple[int, int]) -> None:
    """PictureError if a box does not fit into (H, W), or if all pixels or none would be filled."""
    shown = f"{size[1]}x{size[0]} pixels"
    if options.kind == "box":
        if options.value >= min(size):
            told = f"a box of {options.value:g} needs more than {shown}"
            raise PictureError(
                f"{told}; give a smaller one, or a larger picture or --crop", "Hole"
            )
    elif (count := _count(options, size)) in (0, size[0] * size[1]):
        told = f"a hole of {options.value:g} of {shown} is {count} pixels"
        raise PictureError(f"{told}; give a share that fills some and leaves some", "Hole")


def draw_hole(options: HoleOptions, size: tuple[int, int], random: np.random.Generator) -> Hole:
    """(H, W), True = to be filled. Random and freeform holes have exactly the share asked for.

    PictureError as of `check_hole`.
    """
    check_hole(options, size)
    if options.kind == "box":
        return _box(int(options.value), size, random)
    count = _count(options, size)
    if options.kind == "random":
        flat = np.zeros(size[0] * size[1], dtype=bool)
        flat[random.permutation(flat.size)[:count]] = True
        return flat.reshape(size)
    return _strokes(count, size, random)


def _count(options: HoleOptions, size: tuple[int, int]) -> int:
    return round(options.value * size[0] * size[1])


def _box(side: int, size: tuple[int, int], random: np.random.Generator) -> Hole:
    hole = np.zeros(size, dtype=bool)
    top, left = (int(random.integers(0, length - side + 1)) for length in size)
    hole[top : top + side, left : left + side] = True
    return hole


def _strokes(count: int, size: tuple[int, int], random: np.random.Generator) -> Hole:
    """Strokes until `count` pixels are covered; the last dab is cut to the pixel."""
    hole = np.zeros(size, dtype=bool)
    shorter = min(size)
    rows, columns = np.mgrid[: size[0], : size[1]]
    while True:
        radius = max(1.0, random.uniform(*BRUSH) * shorter / 2)
        place = random.uniform(0, 1, 2) * size
        angle = random.uniform(0, 2 * math.pi)
        dabs = math.ceil(random.uniform(*STROKE) * shorter / radius)
        for _ in range(dabs):
            distance = np.hypot(rows - place[0], columns - place[1])
            new = (distance <= radius) & ~hole
            missing = count - int(hole.sum())
            if int(new.sum()) >= missing:
                nearest = np.argsort(np.where(new, distance, np.inf), axis=None, kind="stable")
                hole.flat[nearest[:missing]] = True
                return hole
            hole |= new
            angle += random.normal(0, BEND)
            place = place + radius * np.array([math.sin(angle), math.cos(angle)])
