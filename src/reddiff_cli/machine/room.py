"""How much may be computed at once: so many pixels, or any single picture."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """Threads take the pixels of their pictures in and wait while there is no space for them.

    most: pixels at once. A picture larger than that is let in alone; with 0 each one is.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._used = 0
        self._inside = 0
        self._change = threading.Condition()

    @contextmanager
    def taken(self, pixels: int) -> Iterator[None]:
        """The pixels are inside within the context."""
        with self._change:
            self._change.wait_for(lambda: not self._inside or self._used + pixels <= self.most)
            self._used, self._inside = self._used + pixels, self._inside + 1
        try:
            yield
        finally:
            with self._change:
                self._used, self._inside = self._used - pixels, self._inside - 1
                self._change.notify_all()
