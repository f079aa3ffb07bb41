"""How a prior without a card is used: as a file beside it says, or as networks of its kind are.

`reddiff train` writes that file; its keys are those of a card, as models.toml explains them.
"""

from pathlib import Path
from typing import Any

from ..errors import ModelMissing
from .cards import KEYS, PLACES, Card, as_used, use_problem
from .folders import CARD, attends, locate, read_json

# A network without attention sees no more than a few dozen pixels around each: of high noise, at
# which only the large is left of a picture, it can say nothing. The levels of `natural`.
WITHOUT_ATTENTION: dict[str, Any] = {
    "starts": {"superres": 1.0, "deblur": 1.0, "restore": 1.0}
    | {"colorize": 3.0, "hdr": 0.2, "jpeg": 0.5},
    "sample_start": 1.0,
    "chain_starts": {"dps": 1.0, "pigdm": 3.0, "ddrm": 1.0, "diffpir": 1.0},
}
# Of holes no folder is trusted with more than it has shown.
ANY = {"wide_hole": "patches", "hole_start": 0.15}
USE = frozenset(KEYS) - {*PLACES, "format", "revision", "file", "family", "sha256", "bytes"}


def folder_card(name: str, folder: Path) -> Card:
    """The card of a folder; ModelMissing where the file beside it makes no sense."""
    config = locate(folder).config
    weak = config.is_file() and not attends(read_json(config))
    use = {**ANY, **(WITHOUT_ATTENTION if weak else {}), **_said(folder / CARD)}
    return Card(name=name, folder=folder, **as_used(use))


def _said(path: Path) -> dict[str, Any]:
    """What the file says; keys that are not known are for other versions."""
    if not path.is_file():
        return {}
    said = {key: value for key, value in read_json(path).items() if key in USE}
    if problem := use_problem(said):
        raise ModelMissing(f"{path}: {problem}")
    return said
