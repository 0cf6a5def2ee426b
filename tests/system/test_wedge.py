"""A graph that hangs on one reading: the service is back within ten seconds, and that reading is the only loss."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.contract import topics
from tests.service.core.conftest import GRAPHS, make_reading, write_bundle
from tests.service.swap.conftest import Press, spinning
from tests.system.conftest import Edge, Watcher, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Broker

LAPS_FOR_HOURS = 2e9


@pytest.fixture
def supervised(tmp_path: Path, broker: Broker) -> Iterator[Edge]:
    """An edge with its own supervisor, the limits as they are by default, and a graph that spins on demand."""
    bundle = write_bundle(tmp_path / "bundle", texts={"anomaly": spinning(GRAPHS["anomaly"])})
    edge = Edge(tmp_path, bundle, broker.url)
    edge.arguments = ("--supervise",)
    yield edge
    if edge.process is not None and edge.process.poll() is None:
        edge.stop()


@pytest.mark.system
def test_a_reading_that_hangs_a_graph_costs_ten_seconds_a_time_and_only_itself(
    supervised: Edge, watcher: Watcher
) -> None:
    watcher.introduce("m1")
    watcher.introduce("m2")
    supervised.start()
    watcher.send(make_reading("m1", seq=0), make_reading("m2", seq=0))
    watcher.wait_for(topics.motor("m2", "health"), lambda health: health["seq"] == 0)
    sent_s = time.monotonic()
    watcher.send(make_reading("m1", seq=1, x={22: LAPS_FOR_HOURS}))
    wait_until(lambda: supervised.log.read_text().count("page http") == 2, "the restart", timeout_s=20.0)
    assert time.monotonic() - sent_s < 10.0
    watcher.send(make_reading("m2", seq=1), make_reading("m1", seq=2))
    watcher.wait_for(topics.motor("m2", "health"), lambda health: health["seq"] == 1, timeout_s=30.0)
    watcher.wait_for(topics.motor("m1", "health"), lambda health: health["seq"] == 2, timeout_s=30.0)
    # it was alone when it hung, or was told from its batch by hanging once more
    assert supervised.log.read_text().count("gives itself up") <= 2
    rejected = watcher.wait_for(topics.node("edge", "rejected"), lambda told: told["reason"] == "unprocessable")
    assert "died or hung" in rejected["detail"]
    assert {health.body["seq"] for health in watcher.on(topics.motor("m1", "health"))} == {0, 2}
    watcher.send(make_reading("m1", seq=3))
    watcher.wait_for(topics.motor("m1", "health"), lambda health: health["seq"] == 3)
    assert supervised.stop() == 0


@pytest.mark.system
def test_a_bundle_that_hangs_on_its_probation_is_gone_after_the_restart_and_the_reading_is_judged(
    tmp_path: Path, broker: Broker, watcher: Watcher
) -> None:
    press = Press(tmp_path / "press")
    raw = press.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    (tmp_path / "key.pub").write_bytes(b64encode(raw))
    edge = Edge(tmp_path, press(1, signed=False), broker.url).set(
        MOTORTWIN_TRUST_KEYS=str(tmp_path / "key.pub"),
        MOTORTWIN_SWAP_MIN_READINGS="5",
        MOTORTWIN_SWAP_MAX_SLOWDOWN="1000",
        MOTORTWIN_WATCHDOG_RUN_S="2",
    )
    edge.arguments = ("--supervise",)
    watcher.introduce("m1")
    edge.start()
    try:
        press(
            2,
            texts={"anomaly": spinning(GRAPHS["anomaly"])},
            to=edge.data / "bundles" / "incoming" / "next",
        )
        for seq in range(200):
            watcher.send(make_reading("m1", seq=seq))
            time.sleep(0.1)
            if edge.json("/v1/model")["version"] == 2:
                break
        watcher.send(make_reading("m1", seq=500, x={22: LAPS_FOR_HOURS}))
        wait_until(lambda: edge.log.read_text().count("page http") == 2, "the restart", timeout_s=20.0)
        watcher.wait_for(topics.motor("m1", "health"), lambda health: health["seq"] == 500, timeout_s=20.0)
        edge.address = re.findall(r"page (http://[0-9.:]+)/", edge.log.read_text())[-1]
        assert edge.json("/v1/model")["version"] == 1
        assert "the service died while it was on probation" in edge.log.read_text()
    finally:
        assert edge.stop() == 0
