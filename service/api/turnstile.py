"""One guest at a time, and never more of the machine than half a core: the motors' readings go first."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_WAITING = 8
PATIENCE_S = 5.0


class Busy(Exception):  # noqa: N818 - named after what was found
    """Too many wait already, or it took too long."""


class Turnstile:
    """Lets one through; the next follows after a pause as long as that one took."""

    def __init__(self, max_waiting: int = MAX_WAITING, patience_s: float = PATIENCE_S) -> None:
        self._inside = threading.Lock()
        self._places = threading.BoundedSemaphore(max_waiting)
        self._patience_s = patience_s
        self._free_at_s = 0.0

    @contextlib.contextmanager
    def through(self) -> Iterator[None]:
        """While one is inside. Raises ``Busy``."""
        if not self._places.acquire(blocking=False):
            raise Busy("too many inferences wait; ask again in a second")
        try:
            if not self._inside.acquire(timeout=self._patience_s):
                raise Busy(f"no turn within {self._patience_s:g} s; ask again in a second")
            try:
                time.sleep(max(0.0, self._free_at_s - time.monotonic()))
                began_s = time.monotonic()
                try:
                    yield
                finally:
                    ended_s = time.monotonic()
                    self._free_at_s = ended_s + (ended_s - began_s)
            finally:
                self._inside.release()
        finally:
            self._places.release()
