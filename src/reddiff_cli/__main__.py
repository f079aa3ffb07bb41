"""`python -m reddiff_cli` is the same as `reddiff`."""

from .cli import main

if __name__ == "__main__":
    main()
