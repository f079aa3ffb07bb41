"""What a flag may say, one of some words or a number within bounds; all tell it in one way."""

from collections.abc import Collection

from ..errors import UsageError


def check_choice(flag: str, value: str, known: Collection[str]) -> None:
    """UsageError unless the value is one of those that are known."""
    if value not in known:
        raise UsageError(f"{flag} {value}: unknown; use {', '.join(known)}")


def check_between(flag: str, value: float, least: float, most: float) -> None:
    """UsageError unless least <= value <= most, which NaN is not."""
    if not least <= value <= most:
        shown = f"{value:g}" if isinstance(value, float) else value
        raise UsageError(f"{flag} {shown}: must lie between {least} and {most}")
