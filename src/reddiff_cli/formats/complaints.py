"""What OpenImageIO has to say about a file."""

from typing import Protocol

MOST_WORDS = 120  # letters of an error, which often says all twice


class Complaining(Protocol):
    """The module, and whatever it opens."""

    def geterror(self) -> str: ...


def complaint(source: Complaining) -> str:
    """The error that is pending, once and in short; it would be printed as the program ends."""
    try:
        told = str(source.geterror())
    except UnicodeDecodeError:  # it holds bytes of the file, as they are
        return "damaged"
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    text = "; ".join(dict.fromkeys(lines))
    return text if len(text) <= MOST_WORDS else f"{text[:MOST_WORDS]}..."
