"""The contact sheet of an evaluation: one picture per row, one way of seeing it per column."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..formats.opening import open_picture

CELL = 256  # largest side of a panel
GAP, HEAD, FOOT = 6, 22, 18  # pixels between panels, above and below them
INK = "#222222"


@dataclass(frozen=True)
class Panel:
    """A picture file, or none (the reason is then the text), and a line below it."""

    path: Path | None
    text: str = ""


def contact_sheet(titles: Sequence[str], rows: Sequence[Sequence[Panel]]) -> Image.Image:
    """Every row has one panel for each title; small pictures are enlarged by whole pixels."""
    height = HEAD + sum(CELL + FOOT + GAP for _ in rows)
    sheet = Image.new("RGB", (len(titles) * (CELL + GAP) - GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=14)
    for column, title in enumerate(titles):
        draw.text((column * (CELL + GAP) + CELL / 2, HEAD / 2), title, INK, font, anchor="mm")
    for number, row in enumerate(rows):
        top = HEAD + number * (CELL + FOOT + GAP)
        for column, panel in enumerate(row):
            left = column * (CELL + GAP)
            if panel.path is not None and panel.path.is_file():
                with open_picture(panel.path) as image:
                    sheet.paste(_fitted(image.convert("RGB")), (left, top))
            place = (left + CELL / 2, top + CELL + FOOT / 2)
            draw.text(place, _shortened(panel.text, draw, font), INK, font, anchor="mm")
    return sheet


def _shortened(
    text: str, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> str:
    """At most as wide as a panel."""
    whole = text
    while text and draw.textlength(text if text == whole else f"{text}...", font) > CELL:
        text = text[:-1]
    return text if text == whole else f"{text}..."


def _fitted(image: Image.Image) -> Image.Image:
    """In the middle of a white square of side CELL."""
    factor = max(1, CELL // max(image.size))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    panel = Image.new("RGB", (CELL, CELL), "white")
    panel.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    return panel
