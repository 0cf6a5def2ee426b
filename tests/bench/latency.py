"""Publish to health, as another MQTT client sees it, at a steady rate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract import topics
from tests.bench.load import Publisher, Readings, births, motor_id
from tests.bench.processes import HOST, Edge, Mosquitto
from tests.bench.sender import Sender, publications

if TYPE_CHECKING:
    from pathlib import Path


class Answered(NamedTuple):
    """How fast the service answered, what it holds, how long its start took, and what asking cost."""

    p50_ms: float
    p99_ms: float
    rss_mib: float
    start_s: float
    cpu_share: float
    """Of one core, while it answered."""
    load_cpu_share: float
    """Of one core, which the sender took."""
    late_p99_ms: float
    """By how much readings left after they were due."""


def steady(folder: Path, seconds: int, *, motors: int, **settings: str) -> Answered:
    """``motors`` motors of one reading a second each, evenly spread, for ``seconds``; the edge's ``settings``."""
    broker = Mosquitto(folder)
    announcer = Publisher(HOST, broker.port)
    announcer.publish_all(births(motors), retain=True)
    announcer.close()
    service = Edge(broker, folder, **settings)
    sender = Sender(HOST, broker.port, topics.every_motor("health"))
    try:
        readings = Readings("cbor", boot="live")
        order = [(motor, seq) for seq in range(seconds) for motor in range(motors)]
        packets = publications(readings.payload(*which) for which in order)
        cpu_s = service.cpu_s()
        exchange = sender.exchange(packets, motors, answers=len(order))
        share = (service.cpu_s() - cpu_s) / exchange.took_s
        sent_s = {(motor_id(motor), seq): at_s for (motor, seq), at_s in zip(order, exchange.sent_s, strict=True)}
        p50, p99 = np.percentile(delays_ms(sent_s, exchange.heard), [50, 99])
        late = np.percentile(np.subtract(exchange.sent_s, exchange.due_s) * 1e3, 99)
        return Answered(
            float(p50), float(p99), service.rss_mib(), service.start_s, share, exchange.cpu_share, float(late)
        )
    finally:
        sender.close()
        service.stop()
        broker.stop()


def delays_ms(sent_s: dict[tuple[str, int], float], heard: list[tuple[float, bytes]]) -> list[float]:
    """From each reading, by motor and seq, to its answer; ``RuntimeError`` unless each has exactly one."""
    arrived_s: dict[tuple[str, int], float] = {}
    for at_s, payload in heard:
        body = json.loads(payload)
        arrived_s[body["motor"], body["seq"]] = at_s
    missing = len(sent_s.keys() - arrived_s.keys())
    surplus = len(heard) - (len(sent_s) - missing)
    if missing or surplus:
        raise RuntimeError(f"{missing} of {len(sent_s)} readings were not answered, {surplus} answers are too many")
    return [(arrived_s[which] - at_s) * 1e3 for which, at_s in sent_s.items()]
