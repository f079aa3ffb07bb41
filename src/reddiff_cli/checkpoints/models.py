"""Priors by name: the cards of models.toml, folders, and repositories of the Hub.

`models.toml` lies at the top of an installed package, and of the repository during development;
REDDIFF_MODELS names a file with more cards. What the Hub keeps is looked for in its cache first
and checked by sha256 once; nothing is fetched that is there.
"""

import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..errors import ModelMissing
from . import hub
from .cards import Card, HubOrigin, digest, read_cards, settle_windows
from .folder_card import folder_card
from .folders import CARD, FLAT, NESTED, PICKLE, locate

_PACKAGE = Path(__file__).parent.parent
_REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+?)(?:@([\w./-]+))?")


def all_cards() -> dict[str, Card]:
    """The cards of models.toml, and those of the file that REDDIFF_MODELS names, which win."""
    cards = read_cards(_cards_file())
    site = os.environ.get("REDDIFF_MODELS")
    return {**cards, **read_cards(Path(site))} if site else cards


def find_model(
    name: str, offline: bool = False, watcher: hub.Watcher | None = None, fresh: bool = False
) -> Card:
    """The card for a name, a diffusers folder, or `owner/repository[@revision]` of the Hub.

    Its files are there when this returns: fetched, if they were not and the network may be used.
    ModelMissing otherwise. A guided-diffusion card may still need its conversion (`card.source`).
    Nothing heavy is imported.

    offline: never use the network.    fresh: fetch what is damaged again, ask the Hub where a
    branch or tag stands today, and for what is said of a prior's use, if that was never asked.
    """
    cards = all_cards()
    watcher = watcher or hub.Silence()
    is_folder = name not in cards and _path(name).is_dir()
    match = None if is_folder else _REPOSITORY.fullmatch(name)
    name = _card_of(cards, name, match[1], match[2]) if match else name
    if name in cards:
        card = cards[name]
        origin = card.origin
        found = _from_hub(card, origin, offline, watcher, fresh) if origin else _check_folder(card)
    elif is_folder:
        found = _check_folder(folder_card(name, _path(name)))
        # However the path was spelt: results say by its name what they were made with.
        found = replace(found, name=found.folder.resolve().name)
    elif match:
        found = _from_repository(match[1], match[2] or "main", offline, watcher, fresh)
    else:
        raise ModelMissing(
            f"model '{name}': neither a known name ({', '.join(cards)}) nor a folder nor "
            "owner/repository; see 'reddiff models'"
        )
    return settle_windows(found)


def is_cached(card: Card) -> bool:
    """True if the card's files are on this machine; no request is made."""
    if card.origin is None:
        return not locate(card.folder).missing
    return _locate(card, card.origin) is not None


def size_of(card: Card) -> int | None:
    """Bytes of the weights: of the file that is here, else as the card says; None: not known."""
    found = _locate(card, card.origin) if card.origin else card
    path = _weights_file(found) if found else None
    if path and path.is_file():
        return path.stat().st_size
    return card.origin.size or None if card.origin else None


def verify_model(card: Card) -> tuple[str, bool]:
    """sha256 of the weights, read once more, and whether there was one to compare it with.

    ModelMissing if they differ.
    """
    path = _weights_file(card)
    if not path.is_file():
        raise ModelMissing(f"model '{card.name}': {path} is missing; fetch it again")
    expected = _expected(card.origin, path) if card.origin else ""
    found = digest(path)
    if expected and found != expected:
        raise _wrong_digest(card.name, path, found, expected)
    return found, bool(expected)


def _card_of(cards: dict[str, Card], name: str, repo: str, revision: str | None) -> str:
    """Name of the card for a repository, which knows its files and their sha256; else `name`."""
    known = [
        card.name
        for card in cards.values()
        if card.origin and card.origin.repo == repo and revision in (None, card.origin.revision)
    ]
    if len(known) > 1:
        raise ModelMissing(f"model '{name}': several are there; use {' or '.join(known)}")
    return known[0] if known else name


def _from_hub(
    card: Card, origin: HubOrigin, offline: bool, watcher: hub.Watcher, fresh: bool
) -> Card:
    """A pinned card: from the cache, or fetched."""
    found = _locate(card, origin)
    if found is not None:
        try:
            _check_once(found, origin)
        except ModelMissing:
            if not fresh:
                raise
            hub.forget(_weights_file(found))
        else:
            return found
    place = hub.Place(origin.repo, origin.revision, origin.files)
    if offline or hub.is_offline():
        raise _not_cached(card.name, place)
    size = origin.size or hub.listing(place).sizes.get(origin.file)
    watcher.begin(f"{card.name} ({place})", size, card.licence)
    hub.download(place, watcher)
    found = _locate(card, origin)
    if found is None:
        raise ModelMissing(f"model '{card.name}': fetched, but not found in the cache")
    _check_once(found, origin, fetched=True)
    return found


def _locate(card: Card, origin: HubOrigin) -> Card | None:
    """The card with its folder in the cache, or None; once converted, the source may be gone."""
    place = hub.Place(origin.repo, origin.revision, origin.files)
    folder = hub.cached(place)
    if origin.family:
        source = PurePosixPath(origin.file)
        converted = hub.snapshot(place) / source.parent / f"{source.stem}.diffusers"
        if folder is None and locate(converted).missing:
            return None
        return replace(card, folder=converted)
    return replace(card, folder=folder) if folder else None


def _from_repository(
    repo: str, revision: str, offline: bool, watcher: hub.Watcher, fresh: bool
) -> Card:
    """A repository without a card: only safetensors, in either layout."""
    name = f"{repo}@{revision}"
    places = [hub.Place(repo, revision, files) for files in (FLAT, NESTED)]
    moves = not re.fullmatch("[0-9a-f]{40}", revision)
    for place in places:
        folder = hub.cached(place)
        if folder and not (fresh and moves):
            # Only where somebody asks for it: results are not to depend on whether there is a
            # network. Without one the prior is used as it always was.
            if fresh and not (offline or hub.is_offline()):
                with suppress(ModelMissing):
                    _fetch_use(name, place, folder.name, watcher)
            return _repository_card(name, place, folder, fetched=False)
    if offline or hub.is_offline():
        raise _not_cached(name, places[0])
    listing = hub.listing(places[0])
    place = _fitting(name, places, listing)
    size = sum(listing.sizes[file] for file in place.files)
    watcher.begin(name, size, listing.licence or "none stated")
    # First: of a download that breaks off, it should not be what is missing.
    _fetch_use(name, place, listing.commit, hub.Silence(), listing)
    folder = hub.download(place, watcher)
    # A branch may have moved in between: what is said of other weights is not of these.
    _fetch_use(name, place, folder.name, hub.Silence())
    return _repository_card(name, place, folder, fetched=True)


def _fetch_use(
    name: str,
    place: hub.Place,
    commit: str,
    watcher: hub.Watcher,
    listing: hub.Listing | None = None,
) -> None:
    """Fetch what a repository says of the use of a commit's weights, unless it is known already.

    Priors that were fetched before this was asked for lack it. ModelMissing if that fails.
    """
    use = hub.Place(place.repo, commit, (CARD,))
    if hub.cached(use) or hub.is_known_to_lack(use):
        return
    listing = listing or hub.listing(use)
    if CARD not in listing.sizes:
        hub.note_lack(use)
        return
    watcher.begin(f"{CARD} of {name}", listing.sizes[CARD], listing.licence)
    hub.download(use, watcher)


def _repository_card(name: str, place: hub.Place, folder: Path, fetched: bool) -> Card:
    origin = HubOrigin(place.repo, place.revision, place.files[2])
    card = replace(folder_card(name, folder), origin=origin)
    _check_once(card, origin, fetched)
    return card


def _fitting(name: str, places: list[hub.Place], listing: hub.Listing) -> hub.Place:
    for place in places:
        if all(file in listing.sizes for file in place.files):
            return place
    if any(file in listing.sizes for file in (PICKLE, f"unet/{PICKLE}")):
        raise ModelMissing(
            f"{name}: holds its weights as a pickle only ({PICKLE}), which is not opened "
            "unchecked; fetch it yourself and run 'reddiff models convert', or write a card with "
            "its sha256 (REDDIFF_MODELS)"
        )
    raise ModelMissing(f"{name}: holds no prior; needed are {', '.join(FLAT)}")


def _check_folder(card: Card) -> Card:
    missing = locate(card.folder).missing
    if not missing:
        return card
    pickled = locate(card.folder, PICKLE)
    if missing == [locate(card.folder).weights] and not pickled.missing:
        raise ModelMissing(
            f"model '{card.name}': {missing[0]} is missing, and {PICKLE}, a pickle, is not opened "
            f"unchecked; run 'reddiff models convert {card.folder} NEWFOLDER' if you trust it"
        )
    told = f"model '{card.name}': {missing[0]} is missing"
    raise ModelMissing(f"{told}; give a folder with {', '.join(FLAT)}")


def _path(name: str) -> Path:
    """Where a folder lies; ModelMissing if it is said to be in the home of nobody."""
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise ModelMissing(f"model '{name}': there is no such home; give the folder") from error


def _not_cached(name: str, place: hub.Place) -> ModelMissing:
    return ModelMissing(
        f"model '{name}' ({place}) is not in the cache ({hub.cache_folder()}) and the network is "
        f"off; run 'reddiff models fetch {name}' where there is a network, or copy the cache "
        "folder and set HF_HOME"
    )


def _check_once(card: Card, origin: HubOrigin, fetched: bool = False) -> None:
    """Compare the sha256 of the weights, and note beside them that it was right.

    What was just fetched and is wrong leaves the cache, so that it can be fetched again.
    """
    path = _weights_file(card)
    expected = _expected(origin, path)
    if not expected or not path.is_file():
        return
    state = path.stat()
    seal = path.with_name(f".{path.name}.checked")
    content = f"{expected} {state.st_size} {state.st_mtime_ns}\n"
    if seal.is_file() and seal.read_text(encoding="utf-8") == content:
        return
    found = digest(path)
    if found != expected:
        if fetched:
            hub.forget(path)
        raise _wrong_digest(card.name, path, found, expected)
    # A cache that cannot be written is checked every time.
    if os.access(path.parent, os.W_OK):
        seal.write_text(content, encoding="utf-8")


def _weights_file(card: Card) -> Path:
    """What was fetched: the guided-diffusion file, or the weights in the folder."""
    return card.source or locate(card.folder, card.weights).weights


def _expected(origin: HubOrigin, path: Path) -> str:
    return origin.sha256 or hub.etag(path)


def _wrong_digest(name: str, path: Path, found: str, expected: str) -> ModelMissing:
    return ModelMissing(
        f"model '{name}': {path} has sha256 {found[:16]}..., expected is {expected[:16]}...; run "
        f"'reddiff models fetch {name}' to fetch it again"
    )


def _cards_file() -> Path:
    installed = _PACKAGE / "models.toml"
    return installed if installed.is_file() else _PACKAGE.parent.parent / "models.toml"
