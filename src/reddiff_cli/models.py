"""Priors by name: the cards of models.toml, and folders.

A card says where a prior lies and how it wants to be used. `models.toml` lies beside this file in
an installed package, and at the top of the repository during development.
"""

import hashlib
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from .errors import ModelMissing

WEIGHTS = "diffusion_pytorch_model.safetensors"
FILES = ("config.json", "scheduler_config.json", WEIGHTS)
_PACKAGE = Path(__file__).parent


@dataclass(frozen=True)
class Card:
    """One prior: a diffusers folder and how to use it (keys explained in models.toml)."""

    name: str
    folder: Path
    window: int = 256
    tile: int = 256
    starts: dict[str, float] = field(default_factory=dict)
    wide_hole: str = "prior"
    wide_noise: float = 0.03
    hole_start: float = 10.0
    sample_start: float = 10.0
    good_for: str = ""
    licence: str = ""

    @property
    def revision(self) -> str:
        """The first 12 hexadecimal digits of the sha256 of the weights."""
        return weights_digest(self.folder)[:12]


def find_model(name: str) -> Card:
    """The card for a name of models.toml, or for a diffusers folder given by its path.

    ModelMissing if neither exists or files are missing. Nothing heavy is imported.
    """
    cards = read_cards(_cards_file())
    if name in cards:
        card = cards[name]
    elif Path(name).is_dir():
        card = _folder_card(Path(name))
    else:
        raise ModelMissing(
            f"model '{name}': neither a known name ({', '.join(cards)}) nor a folder; "
            "see models.toml, or give a diffusers folder"
        )
    for file in FILES:
        if not (card.folder / file).is_file():
            raise ModelMissing(f"model '{name}': {card.folder / file} is missing")
    return card


def read_cards(path: Path) -> dict[str, Card]:
    """All cards of a models.toml; ModelMissing if it cannot be understood."""
    try:
        tables: dict[str, dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ModelMissing(f"{path}: cannot be read ({error})") from error
    return {name: _card(path, name, table) for name, table in tables.items()}


@cache
def weights_digest(folder: Path) -> str:
    """sha256 of the weights file, in hexadecimal."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cards_file() -> Path:
    installed = _PACKAGE / "models.toml"
    return installed if installed.is_file() else _PACKAGE.parent.parent / "models.toml"


def _card(path: Path, name: str, table: dict[str, Any]) -> Card:
    if table.get("format") != "diffusers" or "bundled" not in table:
        raise ModelMissing(f"{path}: card '{name}' needs bundled = ... and format = \"diffusers\"")
    if table.get("wide_hole", "prior") not in ("prior", "patches"):
        raise ModelMissing(f'{path}: card \'{name}\': wide_hole must be "prior" or "patches"')
    return Card(
        name=name,
        folder=_PACKAGE / str(table["bundled"]),
        window=int(table.get("window", 256)),
        tile=int(table.get("tile", table.get("window", 256))),
        starts={task: float(s) for task, s in table.get("starts", {}).items()},
        wide_hole=str(table.get("wide_hole", "prior")),
        wide_noise=float(table.get("wide_noise", 0.03)),
        hole_start=float(table.get("hole_start", 10.0)),
        sample_start=float(table.get("sample_start", 10.0)),
        good_for=str(table.get("good_for", "")),
        licence=str(table.get("licence", "")),
    )


def _folder_card(folder: Path) -> Card:
    """A folder says nothing about its strength, so it is used like a weak one."""
    return Card(
        name=str(folder), folder=folder, wide_hole="patches", hole_start=0.15, sample_start=1.0
    )
