"""Each class of bad input is counted, described with field and remedy, and changes no state."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from service.contract import codec
from service.store import FILE
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.contract.messages import Reading
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

M1 = "motortwin/v1/motor/m1"
REJECTED = "motortwin/v1/edge/edge/rejected"


def body(reading: Reading, **changes: Any) -> bytes:
    """A reading as JSON with fields changed by hand."""
    return json.dumps(json.loads(codec.encode_json(reading)) | changes).encode()


def cases(reading: Callable[..., Reading]) -> list[tuple[str, str, str, bytes]]:
    """Topic, expected reason, expected field, payload. The last good reading of m1 has seq 5."""
    good = reading(seq=6)
    topic = f"{M1}/reading"
    late = reading(seq=6, start_s=time.time() - 30 * 86_400)
    early = reading(seq=6, start_s=time.time() + 30 * 86_400)
    return [
        (topic, "undecodable", "payload", b"not a reading"),
        (topic, "undecodable", "payload", b""),
        (topic, "undecodable", "payload", b"\xa1\x61"),
        (topic, "undecodable", "payload", b"[1, 2]"),
        (topic, "oversized", "payload", b"x" * 10_000_000),
        (topic, "invalid", "speed_rpm", body(good, speed_rpm="fast")),
        (topic, "invalid", "sped_rpm", body(good, sped_rpm=1480)),
        (topic, "invalid", "seq", body(good, seq=-1)),
        (topic, "invalid", "motor", body(good, motor="m1/../m2")),
        (topic, "not_finite", "housing_c", body(good, housing_c=float("nan"))),
        (topic, "not_finite", "accel_m_s2.x", body(good, accel_m_s2={"x": [0.0, float("inf")]})),
        (topic, "empty", "accel_m_s2.x", body(good, accel_m_s2={"x": []})),
        (topic, "sampling", "fs_hz", body(good, fs_hz=500.0)),
        (topic, "sampling", "accel_m_s2.x", body(good, accel_m_s2={"x": [0.0] * 3})),
        (topic, "topic", "motor", body(good, motor="m2")),
        ("motortwin/v1/motor/m 1$/reading", "topic", "topic", body(good)),
        (topic, "duplicate", "seq", body(reading(seq=5))),
        (topic, "out_of_order", "ts_s", body(good, ts_s=good.ts_s - 7200)),
        ("motortwin/v1/motor/wall/reading", "past", "ts_s", body(late, motor="wall")),
        ("motortwin/v1/motor/wall/reading", "future", "ts_s", body(early, motor="wall")),
        (f"{M1}/birth", "invalid", "nameplate", b'{"motor": "m1", "ts_s": 1800000000.0}'),
    ]


def stored(data: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(data / FILE) as connection:
        rows = connection.execute("SELECT id, state, health FROM motor ORDER BY id").fetchall()
    connection.close()
    return rows


def test_every_class_of_bad_input_is_counted_and_described_and_changes_no_state(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1")
    watcher.introduce("wall", clock="wall")
    edge.start()
    watcher.send(*(reading(seq=seq) for seq in range(6)), reading("wall", start_s=time.time()))
    watcher.wait_for(f"{M1}/health", lambda health: health["seq"] == 5)
    watcher.wait_for("motortwin/v1/motor/wall/health")
    wait_until(lambda: len(stored(edge.data)) == 2, "both motors to be stored")
    before = stored(edge.data)
    answered = len(watcher.on(f"{M1}/health"))
    for number, (topic, reason, field, payload) in enumerate(cases(reading)):
        name = f'motortwin_rejected_total{{reason="{reason}"}}'
        count = edge.metric(name)
        watcher.publish(topic, payload)
        rejections = wait_until(
            lambda wanted=number + 1: watcher.on(REJECTED) if len(watcher.on(REJECTED)) >= wanted else None,
            f"a rejection of case {number}: {reason} {field}",
        )
        rejection = rejections[-1].body
        assert (rejection["reason"], rejection["field"]) == (reason, field), rejection
        assert rejection["remedy"], rejection
        assert rejection["topic"] == topic
        assert edge.metric(name) == count + 1
        time.sleep(0.1)  # the bucket of rejections refills five times a second
    assert stored(edge.data) == before
    assert len(watcher.on(f"{M1}/health")) == answered
    watcher.send(reading(seq=6))
    watcher.wait_for(f"{M1}/health", lambda health: health["seq"] == 6)


def test_a_flood_of_rubbish_is_counted_in_full_and_described_in_part(edge: Edge, watcher: Watcher) -> None:
    edge.start()
    for _ in range(200):
        watcher.publish(f"{M1}/reading", b"rubbish")
    name = 'motortwin_rejected_total{reason="undecodable"}'
    wait_until(lambda: edge.metric(name) == 200, "200 rejections counted")
    described = len(watcher.on(REJECTED))
    assert 10 <= described < 100
    time.sleep(1.0)
    watcher.publish(f"{M1}/reading", b"rubbish")
    last = wait_until(lambda: watcher.on(REJECTED)[described:], "one more description")[-1].body
    assert last["suppressed"] > 0

    def told() -> int:
        heard = watcher.on(REJECTED)
        return sum(each.body["suppressed"] for each in heard) + len(heard)

    wait_until(lambda: told() == 201, "every rejection to be described or counted in a description")
