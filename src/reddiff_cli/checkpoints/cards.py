"""Cards: one table of models.toml each, saying where a prior lies and how it wants to be used."""

import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import ModelMissing
from ..options.common import LEAST_TILE, METHODS, TASKS, SolverOptions
from .folders import CONFIG, SCHEDULER, WEIGHTS, locate, native_size, read_json

_PACKAGE = Path(__file__).parent.parent
PLACES = ("bundled", "folder", "repo")
FORMATS = ("diffusers", "guided-diffusion")
WIDE_HOLES = ("prior", "patches", "guided")
TURNS = ("all", "mirror", "none")
# Keys that hold a number by task or by method.
NAMED = {**dict.fromkeys(("starts", "prior_weights"), tuple(TASKS)), "chain_starts": METHODS[1:]}
STARTS = ("hole_start", "stroke_start", "sample_start", "faint_start")
WORDS = ("wide_hole", "turns", "good_for", "licence")
# Tasks that start at `faint_start` where y tells little of x.
FAINT_TASKS = frozenset(("superres", "deblur", "restore"))
# Kinds of the keys that a table may hold; the keys of Card and HubOrigin explain them.
KEYS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys((*PLACES, "format", "revision", "file", "family", "sha256"), str),
    **dict.fromkeys(WORDS, str),
    **dict.fromkeys(("bytes", "window", "tile", "smallest"), int),
    **dict.fromkeys(("wide_noise", *STARTS), (int, float)),
    **dict.fromkeys(NAMED, dict),
}
# Side of the smallest windows that a network without attention is shown, and of the smallest
# tiles that are tried when memory runs out.
SMALL_WINDOW, SMALLEST_TILE = 64, 128


@dataclass(frozen=True)
class HubOrigin:
    """Where the Hub keeps a prior. revision: 40 hexadecimal digits, or a branch without a card.

    family: of a guided-diffusion file, which is converted once.    size: bytes, 0 if not known.
    sha256: of `file`, or nothing.
    """

    repo: str
    revision: str
    file: str = WEIGHTS
    family: str = ""
    size: int = 0
    sha256: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """Everything that is fetched: a guided-diffusion file comes alone."""
        if self.family:
            return (self.file,)
        if self.file.startswith("unet/"):
            return (self.file, f"unet/{CONFIG}", f"scheduler/{SCHEDULER}")
        return (self.file, CONFIG, SCHEDULER)


@dataclass(frozen=True)
class Card:
    """One prior: a diffusers folder and how to use it (keys explained in models.toml).

    A card with an origin has its folder once it was looked up.
    """

    name: str
    folder: Path
    window: int = 256
    tile: int = 256
    smallest: int = SMALL_WINDOW
    starts: dict[str, float] = field(default_factory=dict)
    prior_weights: dict[str, float] = field(default_factory=dict)
    chain_starts: dict[str, float] = field(default_factory=dict)
    wide_hole: str = "prior"
    wide_noise: float = 0.03
    hole_start: float = 10.0
    stroke_start: float = 0.0  # 0: as hole_start
    sample_start: float = 10.0
    faint_start: float = 0.0  # 0: as starts
    turns: str = "mirror"
    good_for: str = ""
    licence: str = ""
    origin: HubOrigin | None = None

    def chain_from(self, solver: SolverOptions) -> float | None:
        """Noise level at which dps, pigdm, ddrm and diffpir start; None: the schedule's top."""
        return solver.s_start or self.chain_starts.get(solver.method)

    @property
    def start_of_strokes(self) -> float:
        """Noise level at which holes start that are several pixels wide."""
        return self.stroke_start or self.hole_start

    @property
    def revision(self) -> str:
        """12 hexadecimal digits that name the weights: of their sha256, or of the commit."""
        if self.origin is None:
            return known_digest(locate(self.folder).weights)[:12]
        # A folder of the cache is named by its commit.
        return (self.origin.sha256 or self.folder.name)[:12]

    @property
    def configuration(self) -> str:
        """12 hexadecimal digits of both json files; nothing for what a commit names."""
        if self.origin is not None:
            return ""
        parts = locate(self.folder)
        return known_digest(parts.config)[:6] + known_digest(parts.scheduler)[:6]

    @property
    def weights(self) -> str:
        """Name of the weights in the folder."""
        if self.origin is None or self.origin.family:
            return WEIGHTS
        return PurePosixPath(self.origin.file).name

    @property
    def source(self) -> Path | None:
        """The guided-diffusion file that the folder is made from, or None."""
        if self.origin is None or not self.origin.family:
            return None
        return self.folder.parent / PurePosixPath(self.origin.file).name

    @property
    def whole(self) -> float:
        """Pixels of the largest picture that the network may see at once."""
        return self.window**2 if self.smallest == self.window else math.inf

    def windows(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Those window sizes that suit the network; its own, if none does."""
        return tuple(s for s in sizes if self.smallest <= s <= self.window) or (self.window,)

    def smaller_tiles(self, given: int | None) -> list[int]:
        """Tiles to try when memory runs out: halves of the given one, or of the card's own."""
        tile = self.tile if given is None else given
        least = max(SMALLEST_TILE, self.smallest)
        sizes = []
        while tile // 2 >= least:
            tile //= 2
            sizes.append(tile)
        return sizes


def read_cards(path: Path) -> dict[str, Card]:
    """All cards of a TOML file; ModelMissing if it cannot be understood.

    Window sizes that a card leaves open are 0 until `settle_windows`.
    """
    try:
        tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        told = f"{path}: cannot be read ({getattr(error, 'strerror', '') or error})"
        raise ModelMissing(f"{told}; give REDDIFF_MODELS a file of cards, or unset it") from error
    cards = {}
    for name, table in tables.items():
        problem = _problem(table)
        if problem:
            raise ModelMissing(f"{path}: card '{name}' {problem}")
        cards[name] = _card(path, name, table)
    return cards


def settle_windows(card: Card) -> Card:
    """The card with its open window sizes from its network's configuration.

    A network with attention is used at the size that it was trained on, as far as nothing else is
    said; one without takes windows of any size.
    """
    if card.origin and card.origin.family:
        native: int | None = card.window or 256  # ADM networks attend
    else:
        native = native_size(read_json(locate(card.folder).config))
    window = card.window or native or 256
    smallest = card.smallest or native or SMALL_WINDOW
    tile = card.tile or window
    return replace(card, window=window, smallest=min(smallest, window), tile=tile)


def digest(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Of weights that were found once and are used by this process.
known_digest = cache(digest)


def _problem(table: object) -> str:
    """What is wrong with a table, or nothing."""
    if not isinstance(table, dict):
        return "is not a table"
    for key in table:
        if key not in KEYS:
            return f"has an unknown key {key}; known are {', '.join(KEYS)}"
    if sum(place in table for place in PLACES) != 1:
        return f"needs one of {', '.join(place + ' = ...' for place in PLACES)}"
    if table.get("format") not in FORMATS:
        return f'needs format = "{FORMATS[0]}" or "{FORMATS[1]}"'
    if problem := use_problem(table):
        return problem
    if table["format"] == "guided-diffusion" and not ("repo" in table and "family" in table):
        return "needs repo and family for a guided-diffusion file; or run 'reddiff models convert'"
    return _origin_problem(table) if "repo" in table else ""


def use_problem(table: Mapping[str, Any]) -> str:
    """What is wrong with how a table wants its prior to be used, or nothing."""
    for key, value in table.items():
        if not isinstance(value, KEYS[key]) or isinstance(value, bool):
            return f"has {key} = {value!r}, which is of the wrong kind"
    if table.get("wide_hole", Card.wide_hole) not in WIDE_HOLES:
        return f"has wide_hole = {table['wide_hole']!r}; use {', '.join(WIDE_HOLES)}"
    if table.get("turns", Card.turns) not in TURNS:
        return f"has turns = {table['turns']!r}; use {', '.join(TURNS)}"
    return _number_problem(table)


def _number_problem(table: Mapping[str, Any]) -> str:
    for key in ("window", "tile", "smallest"):
        if table.get(key, LEAST_TILE) < LEAST_TILE:
            return f"has {key} = {table[key]}, below {LEAST_TILE} pixels"
    if table.get("smallest", 0) > table.get("window", math.inf):
        return f"has smallest = {table['smallest']}, above its window"
    for key in ("wide_noise", *STARTS):
        if not _is_positive(table.get(key, 1)):
            return f"has {key} = {table[key]}; give a number above 0"
    for key, names in NAMED.items():
        for name, value in table.get(key, {}).items():
            if name not in names:
                return f"has {key} for {name}, which is none of {', '.join(names)}"
            if not _is_positive(value):
                return f"has {key}.{name} = {value!r}; give a number above 0"
    return ""


def _is_positive(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < float(value) < math.inf  # type: ignore[arg-type]


def _origin_problem(table: Mapping[str, Any]) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", str(table.get("revision", ""))):
        return "needs revision = 40 hexadecimal digits, so that it never changes"
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", table["repo"]):
        return f"has repo = {table['repo']!r}; give owner/name"
    file = PurePosixPath(table.get("file", WEIGHTS))
    if file.is_absolute() or ".." in file.parts:
        return f"has file = '{file}', which is not inside of the repository"
    if "family" in table and "file" not in table:
        return "needs file"
    sha256 = table.get("sha256", "")
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        return "has a sha256 that is not 64 hexadecimal digits"
    if not sha256 and not str(table.get("file", WEIGHTS)).endswith(".safetensors"):
        return f"needs the sha256 of {table['file']}, a pickle"
    return ""


def _card(path: Path, name: str, table: Mapping[str, Any]) -> Card:
    origin = None
    folder = Path()
    if "repo" in table:
        origin = HubOrigin(
            repo=table["repo"],
            revision=table["revision"],
            file=table.get("file", WEIGHTS),
            family=table.get("family", ""),
            size=table.get("bytes", 0),
            sha256=table.get("sha256", ""),
        )
    elif "bundled" in table:
        folder = _PACKAGE / table["bundled"]
    else:
        folder = path.parent / table["folder"]
    return Card(name, folder, origin=origin, **as_used(table))


def as_used(table: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a Card that say how it is used; windows of 0 are open."""
    return {
        **{key: table.get(key, 0) for key in ("window", "tile", "smallest")},
        **{key: {n: float(v) for n, v in table[key].items()} for key in NAMED if key in table},
        **{key: float(table[key]) for key in ("wide_noise", *STARTS) if key in table},
        **{key: table[key] for key in WORDS if key in table},
    }
