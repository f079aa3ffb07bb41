"""`reddiff`, and `python -m reddiff_cli`, which is the same."""

from .interrupts import dying_at_once


def main() -> None:
    """Entry point; all that takes time to load is loaded here."""
    with dying_at_once():
        from .cli import main as run
    run()


if __name__ == "__main__":
    main()
