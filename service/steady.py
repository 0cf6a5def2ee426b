"""The edge's clock that nobody sets: seconds since the machine started, sleep included.

It survives a restart of the service but not of the machine, so every moment says which run of the machine it is of.
Differences between moments of one run are true time, whatever happens to the wall clock.
"""

from __future__ import annotations

import time
import zlib
from pathlib import Path
from typing import NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Moment(NamedTuple):
    """A reading of the steady clock. ``run`` 0: no such clock is known, nothing can be compared with it."""

    run: int
    s: float


NEVER = Moment(0, 0.0)


def elapsed_s(since: Moment, until: Moment) -> float | None:
    """True seconds between two moments; None where they are of different runs of the machine."""
    return until.s - since.s if since.run == until.run != 0 else None


class Steady:
    """Reads the clock; which run of the machine this is, is looked up once."""

    def __init__(self) -> None:
        try:
            boot = _BOOT_ID.read_bytes()
            self._clock = time.CLOCK_BOOTTIME
        except (OSError, AttributeError):  # not Linux: this process's own clock, unlike any other's
            boot = repr((time.time_ns(), id(self))).encode()
            self._clock = time.CLOCK_MONOTONIC
        self._run = zlib.crc32(boot) or 1

    def now(self) -> Moment:
        """The present moment."""
        return Moment(self._run, time.clock_gettime(self._clock))
