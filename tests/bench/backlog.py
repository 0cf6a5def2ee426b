"""A backlog of readings, laid up in a real mosquitto while the consumer is stopped (SIGSTOP), then worked off."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from service.contract import topics
from tests.bench.load import Publisher, Readings, births
from tests.bench.processes import HOST, Edge, Mosquitto
from tests.bench.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STALL_S = 120.0


class Worked(NamedTuple):
    """How the service worked off a backlog."""

    per_s: float
    cpu_s: float
    """CPU seconds a reading."""
    rss_mib: float
    floor_cpu_s: float | None
    """Mean of what ``floor`` told just before and just after, None without one."""


def edge(folder: Path, encoding: str, count: int, *, motors: int, floor: Callable[[], float] | None = None) -> Worked:
    """The service over ``count`` readings of ``motors`` motors, each of which it has heard before.

    ``floor`` measures, while the service has nothing to do, what the same machine needs at that moment.
    """
    broker = Mosquitto(folder)
    announcer = Publisher(HOST, broker.port)
    announcer.publish_all(births(motors), retain=True)
    announcer.close()
    service = Edge(broker, folder)
    # a listener, as asking /metrics over and over would be billed to the readings
    listener = Sender(HOST, broker.port, topics.every_motor("health"), patience_s=STALL_S)
    try:
        _fill(broker, encoding, motors, motors, "warm")
        listener.exchange([], 1.0, answers=motors)
        service.child.send_signal(signal.SIGSTOP)
        _fill(broker, encoding, count, motors, "bench")
        before_s = floor() if floor else None
        cpu_s, started = service.cpu_s(), time.perf_counter()
        service.child.send_signal(signal.SIGCONT)
        finished, _ = listener.exchange([], 1.0, answers=count).heard[-1]
        spent_s = service.cpu_s() - cpu_s
        floor_s = (before_s + floor()) / 2.0 if floor else None
        lost = service.metric("motortwin_rejected_total") + service.metric("motortwin_shed_total")
        if lost:
            raise RuntimeError(f"the service refused or shed {lost:.0f} readings; the figure would be a lie")
        return Worked(count / (finished - started), spent_s / count, service.rss_mib(), floor_s)
    finally:
        listener.close()
        service.stop()
        broker.stop()


def naive(folder: Path, bundle: Path, encoding: str, count: int, *, motors: int) -> float:
    """Readings/s of the naive loop over the same backlog."""
    broker = Mosquitto(folder)
    command = [sys.executable, "-m", "tests.bench.naive", HOST, str(broker.port), str(bundle), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            if child.stdout is None or child.stdout.readline().strip() != "ready":
                raise RuntimeError("the naive loop did not start")
            child.send_signal(signal.SIGSTOP)
            _fill(broker, encoding, count, motors, "bench")
            child.send_signal(signal.SIGCONT)
            _, elapsed, _ = child.stdout.readline().split()
            return count / float(elapsed)
        finally:
            child.kill()
            broker.stop()


def _fill(broker: Mosquitto, encoding: str, count: int, motors: int, boot: str) -> None:
    publisher = Publisher(HOST, broker.port)
    readings = Readings(encoding, boot=boot)
    for index in range(count):
        publisher.publish(*readings.payload(index % motors, index // motors))
    publisher.drain()
    publisher.close()
