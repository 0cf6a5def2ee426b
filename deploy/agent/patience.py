"""How long to leave something alone that came damaged: twice as long each time."""

from __future__ import annotations

import time

TRIES = 5
LONGEST_S = 3600.0


class Patience:
    """Counts failures in a row.

    Args:
        first_s: wait after the first one.
    """

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._failures = 0
        self._until_s = 0.0

    @property
    def waiting(self) -> bool:
        """Whether it is too early to try again."""
        return time.monotonic() < self._until_s

    def failed(self) -> bool:
        """One more; True when that was often enough to believe that it will stay so."""
        self._until_s = time.monotonic() + min(LONGEST_S, self._first_s * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return self._failures >= TRIES

    def over(self) -> None:
        """It went well."""
        self._failures, self._until_s = 0, 0.0
