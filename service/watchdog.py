"""Gives the process up when a run of a graph takes too long: it cannot be interrupted, only left.

The exit code is ``GAVE_UP``; whoever supervises the service (a container's restart policy, systemd, or our own
``--supervise``) starts it again, and ``service.flight`` tells it which reading to be careful with. Leaving at once is
safe, as any other death: what was not acknowledged comes again.

While it watches it also beats: one byte a second to a supervisor that asked for it. A process that no longer runs
Python at all misses its beats, and is killed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from service.contract.manifest import GraphName
    from service.contract.messages import Reading
    from service.flight import Flight
    from service.monitor import Models

_log = logging.getLogger(__name__)

GAVE_UP = 75
"""Exit code: temporary failure (sysexits.h), start the service again."""

HEARTBEAT_VARIABLE = "HEARTBEAT_FD_OF_MOTORTWIN"  # not among the settings, which begin with MOTORTWIN_
BEAT_S = 1.0


def heartbeat() -> int | None:
    """Where a supervisor wants to hear from us, None where there is none."""
    text = os.environ.get(HEARTBEAT_VARIABLE, "")
    return int(text) if text.isdigit() else None


class Watched:
    """A bundle whose every run tells the watchdog that the one before has ended; a ``service.monitor.Models``."""

    def __init__(self, models: Models, tick: Callable[[], None]) -> None:
        self.manifest = models.manifest
        self.digest = models.digest
        self._models = models
        self._tick = tick

    def run(self, graph: GraphName, feeds: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
        """Outputs of one graph by name; raises ``InferenceError``."""
        self._tick()
        return self._models.run(graph, feeds)


class Watchdog:
    """Watches one thread's steps from another.

    A step may take as long as it needs, as long as no single run of a graph in it takes longer than the limit.

    Args:
        flight: told what is being judged.
        limit_s: longest time for one run of a graph.
        heartbeat: descriptor that takes a byte a second, None without a supervisor.
        leave: ends the process; it is not expected to return.
    """

    def __init__(
        self, flight: Flight, limit_s: float, heartbeat: int | None = None, leave: Callable[[int], object] = os._exit
    ) -> None:
        self._flight = flight
        self._limit_s = limit_s
        self._heartbeat = heartbeat
        self._leave = leave
        self._since_s: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * BEAT_S)

    def take_up(self, models: Models) -> Watched:
        """Another bundle runs from now on: what to run it by. Called by the thread that is watched, between steps."""
        self._flight.take_up(models.digest)
        return self.watched(models)

    def watched(self, models: Models) -> Watched:
        """What to run these models by."""
        return Watched(models, self._tick)

    @contextlib.contextmanager
    def over(self, readings: Sequence[Reading]) -> Iterator[None]:
        """While these are judged. Raises ``Suspected`` or ``Condemned`` instead of beginning."""
        self._flight.enter(readings)
        self._since_s = time.monotonic()
        try:
            yield
        finally:
            self._since_s = None
            self._flight.leave(readings)

    def _tick(self) -> None:
        self._since_s = time.monotonic()

    def _watch(self) -> None:
        beat_at_s = 0.0
        pause_s = min(BEAT_S, self._limit_s) / 4
        while not self._stopping.wait(pause_s):
            now_s, since_s = time.monotonic(), self._since_s
            if since_s is not None and now_s - since_s > self._limit_s:
                self._flight.hung()
                _log.critical("a run of a graph takes longer than %g s; the service gives itself up", self._limit_s)
                faulthandler.dump_traceback()
                self._leave(GAVE_UP)
                return
            if self._heartbeat is not None and now_s >= beat_at_s:
                beat_at_s = now_s + BEAT_S
                self._beat(self._heartbeat)

    def _beat(self, descriptor: int) -> None:
        try:
            os.write(descriptor, b".")
        except BrokenPipeError:
            _log.error("the supervisor is gone; the service stops in good order")
            self._heartbeat = None
            os.kill(os.getpid(), signal.SIGTERM)
        except BlockingIOError:
            pass  # the supervisor is busy; the bytes that wait already say that we live
