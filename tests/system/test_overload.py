"""Many times more than the edge can judge: memory stays bounded, what is shed is counted, alerts are not among it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.contract import codec, topics
from tests.bench.load import Publisher
from tests.conftest import ROOT
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Reading
    from tests.conftest import Broker
    from tests.system.conftest import Edge, Watcher

MOTORS = 50
ROOM = 128
SHED = ("queue_full", "queue_bytes")


def sums(edge: Edge) -> dict[str, float]:
    """Where readings have gone, and how large the process is."""
    told = edge.answer("/metrics")[1].decode().splitlines()

    def of(name: str) -> float:
        return sum(float(line.rpartition(" ")[2]) for line in told if line.startswith((name + " ", name + "{")))

    return {
        "judged": of("motortwin_readings_total"),
        "shed": of("motortwin_shed_total"),
        "refused": of("motortwin_rejected_total") + of("motortwin_redelivered_total"),
        "waiting": of("motortwin_inbox_messages"),
        "rss_mib": of("process_resident_memory_bytes") / 2**20,
    }


@pytest.mark.system
@pytest.mark.soak  # hundreds of megabytes as fast as they go: on a busy machine working them off takes minutes
@pytest.mark.parametrize("for_s", [8.0, 600.0])
def test_what_is_far_too_much_is_shed_and_counted_and_no_alert_is_lost(
    edge: Edge, broker: Broker, watcher: Watcher, reading: Callable[..., Reading], for_s: float
) -> None:
    """Three axes of two windows each through the shipped models, as fast as they come."""
    edge.set(
        MOTORTWIN_BUNDLE=str(ROOT / "service" / "models"),
        MOTORTWIN_INBOX_MAX_READINGS=str(ROOM),
        MOTORTWIN_INBOX_PATIENCE_S="0.5",
        MOTORTWIN_INBOX_BATCH="32",  # a step that empties the whole inbox would end every overload
    ).start()
    for k in range(MOTORS):
        watcher.introduce(f"m{k}")
    wait_until(lambda: edge.metric("motortwin_births_total") == MOTORS, "births")
    publisher = Publisher("127.0.0.1", broker.port)
    seqs = dict.fromkeys((f"m{k}" for k in range(MOTORS)), 0)

    rng = np.random.default_rng(1)
    calm = {axis: rng.normal(0.0, 0.5, 8192).astype(np.float32) for axis in ("x", "y", "z")}
    shaking = 8.0 * np.sin(2.0 * np.pi * 1450.0 / 60.0 / 12_000.0 * np.arange(8192))
    wild = {axis: (samples + shaking).astype(np.float32) for axis, samples in calm.items()}

    def send(motor: str) -> None:
        one = reading(motor, seqs[motor], speed_rpm=1450.0, accel_m_s2=wild if motor == "m0" else calm)
        seqs[motor] += 1
        publisher.publish(topics.motor(motor, "reading"), codec.encode_cbor(one, scale_m_s2=0.01))

    sizes: list[float] = []
    began_s = time.monotonic()
    motors = list(seqs)
    turn = 0
    while time.monotonic() - began_s < for_s:
        send(motors[turn % MOTORS])
        turn += 1
        if turn % 500 == 0:
            sizes.append(sums(edge)["rss_mib"])
    publisher.drain()
    sent = sum(seqs.values())
    last = wait_until(
        # what is shed may be something else than a reading: an alert of ours that the broker tells again
        lambda: (
            0 <= (s := sums(edge))["judged"] + s["shed"] + s["refused"] - sent <= MOTORS and s["waiting"] == 0 and s
        ),
        f"the sums of {sent} readings to agree",
        600.0,
    )
    publisher.close()
    folder = ROOT / "build" / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    figures = {"sent": sent, **last, "rss_mib": [min(sizes), max(sizes)]}
    (folder / f"overload-{for_s:.0f}.json").write_text(json.dumps(figures, indent=1) + "\n")
    assert last["shed"] > ROOM  # how much more, the figures tell: that depends on the machine
    assert last["refused"] == 0
    assert max(sizes) < min(sizes) * 1.25
    wait_until(lambda: edge.metric("motortwin_outbox_alerts") == 0, "alerts to leave")
    standing = {(alert["id"], alert["revision"]) for alert in edge.json("/v1/alerts")["alerts"]}
    assert any(alert.startswith("m0") for alert, _ in standing), standing

    def missed() -> set[tuple[str, int]]:
        heard = [heard.body for heard in list(watcher.heard) if "/alert/" in heard.topic and heard.payload]
        return standing - {(alert["id"], alert["revision"]) for alert in heard}

    wait_until(lambda: not missed(), "every alert that stands to be heard")
