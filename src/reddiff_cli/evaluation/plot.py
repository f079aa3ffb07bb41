"""A line plot drawn with Pillow: axes, ticks at round values, a legend; x is logarithmic."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

Points = Sequence[tuple[float, float]]

SIZE = (900, 560)
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 72, 60
APART = 30  # pixels between labels of the x axis, at least
INK, GRID = "#222222", "#dddddd"
# Colours that stay apart for colour-blind eyes (Okabe and Ito 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MARK = 4  # radius of a point
TICKS = 6  # about so many on the y axis


def line_plot(lines: Mapping[str, Points], title: str, x_label: str, y_label: str) -> Image.Image:
    """One line for each name, its points (x, y) sorted by x; x > 0. ValueError without points."""
    points = [point for line in lines.values() for point in line]
    if not points:
        raise ValueError("nothing to draw")
    frame = _Frame([x for x, _ in points], [y for _, y in points])
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=14)
    _draw_axes(draw, font, frame, sorted({x for x, _ in points}))
    draw.text((LEFT - 40, 12), title, INK, ImageFont.load_default(size=18))
    draw.text(((LEFT + SIZE[0] - RIGHT) / 2, SIZE[1] - 22), x_label, INK, font, anchor="mm")
    draw.text((LEFT - 40, TOP - 16), y_label, INK, font, anchor="ls")
    for number, (name, line) in enumerate(lines.items()):
        _draw_line(draw, font, frame, sorted(line), name, number)
    return image


class _Frame:
    """From values to pixels."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        low, high = math.log(min(xs)), math.log(max(xs))
        margin = 0.05 * (high - low) or 0.5
        self.x_range = (low - margin, high + margin)
        self.y_ticks = ticks(min(ys), max(ys))
        self.y_range = (self.y_ticks[0], self.y_ticks[-1])

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixel of a value."""
        right = (math.log(x) - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = (y - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        width, height = SIZE[0] - LEFT - RIGHT, SIZE[1] - TOP - BOTTOM
        return LEFT + right * width, SIZE[1] - BOTTOM - up * height


def ticks(low: float, high: float) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) from below `low` to above `high`."""
    span = max(high - low, 1e-3 * max(abs(high), abs(low), 1.0))
    rough = span / TICKS
    power: float = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [k * step for k in range(first, max(last, first + 1) + 1)]


def _draw_axes(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    frame: _Frame,
    xs: Sequence[float],
) -> None:
    bottom, top = frame.y_range
    for y in frame.y_ticks:
        _, row = frame.place(xs[0], y)
        draw.line([(LEFT, row), (SIZE[0] - RIGHT, row)], GRID)
        draw.text((LEFT - 8, row), f"{y:g}", INK, font, anchor="rm")
    last = -float(APART)
    for x in xs:
        column, row = frame.place(x, bottom)
        if column - last < APART:
            continue
        last = column
        draw.line([(column, row), (column, frame.place(x, top)[1])], GRID)
        draw.text((column, row + 8), f"{x:g}", INK, font, anchor="mt")
    corner = (LEFT, SIZE[1] - BOTTOM)
    draw.line([(LEFT, TOP), corner, (SIZE[0] - RIGHT, SIZE[1] - BOTTOM)], INK, width=2)


def _draw_line(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    frame: _Frame,
    line: Points,
    name: str,
    number: int,
) -> None:
    colour = COLOURS[number % len(COLOURS)]
    places = [frame.place(x, y) for x, y in line]
    for one, other in pairwise(places):
        draw.line([one, other], colour, width=2)
    row = TOP + 12 + 24 * number
    column = SIZE[0] - RIGHT + 18
    draw.line([(column, row), (column + 24, row)], colour, width=2)
    for x, y in [*places, (column + 12, row)]:
        draw.ellipse((x - MARK, y - MARK, x + MARK, y + MARK), fill=colour)
    draw.text((column + 32, row), name, INK, font, anchor="lm")
