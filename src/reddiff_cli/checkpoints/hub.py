"""The Hugging Face Hub and its cache: the only file that talks to a network.

The cache is the Hub client's own. It is asked first, without a request; the network is used only
for what is not there, and a network that is down is noticed at once instead of after its retries.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ..errors import ModelMissing

PATIENCE = 5.0  # seconds to wait for the first answer


class Watcher(Protocol):
    """Who is told about a fetch."""

    def begin(self, what: str, size: int | None, licence: str) -> None:
        """A fetch of `size` bytes (None: not known) is about to start."""

    def progress(self, done: int, total: int) -> None:
        """Bytes that have come, and bytes in all."""


class Silence:
    """Tells nobody."""

    def begin(self, what: str, size: int | None, licence: str) -> None:
        """Nothing."""

    def progress(self, done: int, total: int) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Place:
    """Files of a repository at one revision: 40 hexadecimal digits, a branch or a tag."""

    repo: str
    revision: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.repo}@{self.revision[:7]}"


@dataclass(frozen=True)
class Listing:
    """What the Hub says about a repository: sizes in bytes by file name, the licence tag, and the
    commit (40 hexadecimal digits) of which it says so.
    """

    sizes: dict[str, int]
    licence: str
    commit: str


def cache_folder() -> Path:
    """Where the Hub client keeps its files."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def is_offline() -> bool:
    """True if the Hub client is told to stay offline (HF_HUB_OFFLINE)."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


def snapshot(place: Place) -> Path:
    """Folder of a pinned revision in the cache; it need not exist."""
    repository = "--".join(["models", *place.repo.split("/")])
    return cache_folder() / repository / "snapshots" / place.revision


def cached(place: Place) -> Path | None:
    """The snapshot folder if all files are in the cache, without any request."""
    from huggingface_hub import try_to_load_from_cache

    paths = [
        try_to_load_from_cache(place.repo, file, revision=place.revision) for file in place.files
    ]
    if not all(isinstance(path, str) for path in paths):
        return None
    depth = len(PurePosixPath(place.files[0]).parts)
    return Path(str(paths[0])).parents[depth - 1]


def listing(place: Place) -> Listing:
    """Names, sizes and licence of a repository, by one request; ModelMissing if that fails."""
    from huggingface_hub import HfApi

    _check_network(place)
    try:
        info = HfApi().model_info(
            place.repo, revision=place.revision, files_metadata=True, timeout=2 * PATIENCE
        )
    except Exception as error:  # clients of several HTTP libraries, each with its own family
        raise _explain(place, error) from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    card: Any = info.card_data or {}
    return Listing(sizes, str(card.get("license") or ""), info.sha or place.revision)


def download(place: Place, watcher: Watcher) -> Path:
    """Fetch the files into the cache; returns the snapshot folder. ModelMissing if that fails."""
    import huggingface_hub

    _check_network(place)
    # The client warns of every retry; what matters is said in one line by us.
    huggingface_hub.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        folder = huggingface_hub.snapshot_download(
            place.repo,
            revision=place.revision,
            allow_patterns=list(place.files),
            tqdm_class=_bar(watcher),
        )
    except Exception as error:  # as above
        raise _explain(place, error) from error
    for file in place.files:
        if not (Path(folder) / file).is_file():
            raise ModelMissing(f"{place}: the repository has no {file}; check the card")
    return Path(folder)


def is_known_to_lack(place: Place) -> bool:
    """True if it was found out before that a commit has none of the files."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(place.repo, f, revision=place.revision) for f in place.files)
    # A path, None where nothing is known, or what says that there is no such file.
    return all(path is not None and not isinstance(path, str) for path in found)


def note_lack(place: Place) -> None:
    """Keep in the cache, as the client does, that a commit has none of the files."""
    for file in place.files:
        mark = snapshot(place).parents[1] / ".no_exist" / place.revision / file
        with suppress(OSError):  # a cache that cannot be written asks every time
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def forget(path: Path) -> None:
    """Remove a file from the cache, with the content that it points to."""
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def etag(path: Path) -> str:
    """sha256 by which the Hub names the content of a large file, or nothing."""
    name = path.resolve().name
    return name if re.fullmatch("[0-9a-f]{64}", name) else ""


def _check_network(place: Place) -> None:
    """Without a network the client would try again for half a minute."""
    import ssl
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    except urllib.error.HTTPError as answer:
        answer.close()  # somebody is there
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        # The client has certificates of its own.
        if not isinstance(reason, ssl.SSLError):
            raise _unreachable(place, reason) from error


def _unreachable(place: Place, reason: object) -> ModelMissing:
    from huggingface_hub import constants

    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return ModelMissing(
        f"{place} is not in the cache ({cache_folder()}) and {constants.ENDPOINT} cannot be "
        f"reached ({text.splitlines()[0]}); fetch it where there is a network, or copy the cache "
        "folder and set HF_HOME"
    )


def _explain(place: Place, error: Exception) -> ModelMissing:
    """One line for whatever the client raised, most special first."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    page = f"https://huggingface.co/{place.repo}"
    if isinstance(error, errors.GatedRepoError):
        return ModelMissing(
            f"{place}: access is gated; accept its terms at {page} and set HF_TOKEN"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return ModelMissing(f"{place.repo}: has no revision {place.revision}; see {page}")
    if isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        return ModelMissing(
            f"{place}: no such folder, and no such repository on the Hub (or it is private, then "
            "set HF_TOKEN); check the name"
        )
    if isinstance(error, errors.HFValidationError):
        return ModelMissing(f"{place}: neither a folder nor the name of a repository")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, OSError):
        return ModelMissing(f"{place}: a file is missing there; check the card")
    if status is not None:
        return ModelMissing(f"{place}: the Hub answers with status {status}; try again later")
    cause = error.__cause__ or error
    reason = (str(cause).splitlines() or [""])[0] or type(cause).__name__
    return ModelMissing(f"{place}: the download broke off ({reason}); try again")


def _bar(watcher: Watcher) -> type:
    """A class with the face of tqdm, which passes bytes on to the watcher."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **settings: Any) -> None:  # noqa: ANN401
            # Two bars count bytes; the other one counts what compression leaves of them.
            bytes_bar = settings.get("unit") == "B"
            self._counts = bytes_bar and settings.get("desc") != "Downloading bytes"
            self._came = int(settings.get("initial") or 0)
            super().__init__(*arguments, **{**settings, "disable": True})
            self.total = settings.get("total") or 0

        def update(self, n: float | None = 1) -> bool | None:
            self._came += int(n or 0)
            if self._counts:
                watcher.progress(self._came, int(self.total or 0))
            return None

    return Bar
