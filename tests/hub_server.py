"""A Hugging Face Hub of one's own on the loopback: files with their metadata, and mishaps.

Speaks what the Hub client asks for: model information, the tree of a revision, HEAD and GET of
`resolve` with ETag, X-Repo-Commit, X-Linked-* and Range.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATER = "f" * 40


@dataclass
class Repository:
    """files: content by name.    large: names that the Hub stores by sha256 (LFS)."""

    files: dict[str, bytes]
    large: tuple[str, ...] = ()
    commit: str = COMMIT
    licence: str = "apache-2.0"
    refuse: tuple[int, str] | None = None  # status and X-Error-Code of every answer
    # What its branch becomes once somebody has asked what it holds; both commits stay.
    later: "Repository | None" = None
    listed: bool = False

    def at(self, revision: str | None) -> "Repository | None":
        """The repository at a commit, or where its branch stands."""
        if self.later and (revision == self.later.commit or self.listed):
            return self.later if revision != self.commit else self
        return self if revision in (None, "main", self.commit) else None


@dataclass
class Hub:
    """What is served, what was asked for, and what goes wrong."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    break_after: int | None = None  # bytes of a large file after which the connection breaks
    breaks: int = 0  # how often it does
    leaves: bool = False  # after a break nobody answers any more
    gone: bool = False
    lie: bool = False  # one byte of large files is wrong
    endpoint: str = ""

    def etag(self, repository: Repository, name: str) -> str:
        content = repository.files[name]
        if name in repository.large:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(content).hexdigest()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            hub.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}")
            if hub.gone:
                self.close_connection = True
                return None
            path = self.path.split("?")[0]
            if path == "/":
                return self.say(200, b"a hub")
            match = re.fullmatch(
                r"/(?:api/models/)?([^/]+/[^/]+)(?:/(revision|tree|resolve)/([^/]+)(?:/(.*))?)?",
                path,
            )
            name, kind, revision, file = match.groups() if match else (None,) * 4
            repository = hub.repositories.get(name or "")
            if repository is None:
                return self.say(404, error="RepoNotFound")
            if repository.refuse:
                return self.say(repository.refuse[0], error=repository.refuse[1])
            whole, repository = repository, repository.at(revision)
            if repository is None:
                return self.say(404, error="RevisionNotFound")
            if kind == "tree":
                return self.say(200, json.dumps(self.tree(repository)).encode())
            if kind == "resolve":
                return self.file(repository, file, body)
            whole.listed = True
            return self.say(200, json.dumps(self.info(name, repository)).encode())

        def tree(self, repository: Repository) -> list[dict]:
            entries = []
            for name, content in repository.files.items():
                entry = {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                if name in repository.large:
                    digest = hub.etag(repository, name)
                    entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 130}
                entries.append(entry)
            return entries

        def info(self, name: str, repository: Repository) -> dict:
            siblings = [{"rfilename": k, "size": len(v)} for k, v in repository.files.items()]
            card = {"license": repository.licence}
            return {"id": name, "sha": repository.commit, "siblings": siblings, "cardData": card}

        def file(self, repository: Repository, name: str, body: bool) -> None:
            if name not in repository.files:
                self.say(404, error="EntryNotFound")
                return
            content = repository.files[name]
            large = name in repository.large
            if large and hub.lie:
                content = content[:-1] + bytes([content[-1] ^ 1])
            headers = {"X-Repo-Commit": repository.commit, "Accept-Ranges": "bytes"}
            headers["ETag"] = f'"{hub.etag(repository, name)}"'
            if large:
                headers["X-Linked-Etag"] = headers["ETag"]
                headers["X-Linked-Size"] = str(len(content))
            start = int((re.findall(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0])[0])
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            breaks = body and large and hub.break_after is not None and hub.breaks > 0
            self.say(206 if start else 200, content[start:], headers, cut=breaks)

        def say(
            self,
            status: int,
            content: bytes = b"",
            headers: dict | None = None,
            error: str = "",
            cut: bool = False,
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for key, value in {
                **(headers or {}),
                **({"X-Error-Code": error} if error else {}),
            }.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if not cut:
                self.wfile.write(content)
                return
            hub.breaks -= 1
            self.wfile.write(content[: hub.break_after])
            self.wfile.flush()
            self.close_connection = True
            hub.gone = hub.leaves

    return Handler


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Run the hub while the block lasts; hub.endpoint is its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
