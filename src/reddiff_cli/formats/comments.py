"""The user comment of an EXIF block: what people and cameras wrote there beside our record."""

import json
from contextlib import suppress
from typing import Any

ASCII = b"ASCII\0\0\0"  # how such a comment says what its letters are


def words(comment: Any) -> str:  # noqa: ANN401  (whatever a file holds)
    """What a person or a camera put into a user comment; records of ours are left out."""
    raw = comment.encode() if isinstance(comment, str) else comment
    if not isinstance(raw, bytes):  # a wrong type of tag
        return ""
    text = _decoded(raw).strip("\0 ")
    lines = [line for line in text.splitlines() if not _is_record(line)]
    return "\n".join(lines).strip()


def _is_record(line: str) -> bool:
    """Whether it is one of ours; other programs write JSON as well."""
    with suppress(ValueError):
        found = json.loads(line)
        return isinstance(found, dict) and {"task", "seed"} <= set(found)
    return False


def _decoded(comment: bytes) -> str:
    """By the eight bytes that say how a user comment is coded."""
    if comment.startswith(b"UNICODE\0"):
        text = comment[8:]
        big = text[:2] == b"\xfe\xff" or (text[:1] == b"\0" and text[1:2] != b"\0")
        return text.decode("utf-16-be" if big else "utf-16-le", "replace").lstrip("\ufeff")
    known = comment.startswith((ASCII, b"\0" * 8))
    return (comment[8:] if known else comment).decode("utf-8", "replace")
