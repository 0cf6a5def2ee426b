"""Ten times what the queue holds comes while a graph runs, on any machine: the run ends when the test says so."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from service import opening, settings
from service.contract import codec, topics
from service.runtime import Runtime
from tests.bench.load import Publisher
from tests.system.conftest import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from service.contract.manifest import GraphName
    from service.contract.messages import Reading
    from service.monitor import Models
    from tests.conftest import Broker
    from tests.system.conftest import Watcher

ROOM, MOTORS, TIMES = 32, 8, 10


class Held:
    """A bundle whose graphs wait while the gate is closed."""

    def __init__(self, models: Models) -> None:
        self.manifest, self.digest, self._models = models.manifest, models.digest, models
        self.open, self.waiting = threading.Event(), threading.Event()
        self.open.set()

    def run(self, graph: GraphName, feeds: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
        """Outputs of one graph, once the gate is open."""
        if not self.open.is_set():
            self.waiting.set()
            assert self.open.wait(PATIENCE_S)
        return self._models.run(graph, feeds)


class Running:
    """The edge in this process, over a real broker."""

    def __init__(self, folder: Path, bundle: Path, broker: Broker) -> None:
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("MQTT_", "MOTORTWIN_"))}
        ours |= {
            "MQTT_URL": broker.url,
            "MOTORTWIN_BUNDLE": str(bundle),
            "MOTORTWIN_DATA_DIR": str(folder / "data"),
            "MOTORTWIN_INBOX_MAX_READINGS": str(ROOM),
            "MOTORTWIN_INBOX_PATIENCE_S": "0",
            "MOTORTWIN_WATCHDOG_RUN_S": "60",
        }
        chosen = settings.load(None, ours)
        opened = opening.opened(chosen)
        self.models = Held(opened.models)
        self.runtime = Runtime(chosen, opened._replace(models=self.models))  # type: ignore[arg-type]
        self.runtime.start()

    def sum_of(self, family: str) -> float:
        """A metric over its labels."""
        lines = self.runtime.exposition().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((family + " ", family + "{")))


@pytest.fixture
def running(tmp_path: Path, tiny_bundle: Path, broker: Broker) -> Iterator[Running]:
    edge = Running(tmp_path, tiny_bundle, broker)
    yield edge
    edge.models.open.set()
    assert edge.runtime.stop()


@pytest.mark.system
def test_the_newest_readings_of_each_motor_outlast_ten_times_too_many_and_alerts_are_never_shed(
    running: Running, broker: Broker, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    motors = [f"m{k}" for k in range(MOTORS)]
    for motor in motors:
        watcher.introduce(motor)
    wait_until(lambda: running.sum_of("motortwin_births_total") == MOTORS, "births")

    def bad(motor: str, seq: int) -> Reading:
        return reading(motor, seq, anomaly=2.0, severity=0.5, faults={"inner_race": 0.95})

    # one alert stands before it begins, and its motor is not among those that follow
    watcher.introduce("standing")
    watcher.send(bad("standing", 0), bad("standing", 1))
    early = watcher.wait_for(topics.alert("standing", "inner_race"))
    running.models.open.clear()
    watcher.send(reading("standing", 2))
    assert running.models.waiting.wait(PATIENCE_S)

    publisher = Publisher("127.0.0.1", broker.port)
    sent = 0
    for seq in range(TIMES * ROOM // MOTORS):
        for motor in motors:
            publisher.publish(topics.motor(motor, "reading"), codec.encode_cbor(bad(motor, seq)))
            sent += 1
    publisher.drain()
    publisher.close()
    inbox, largest = running.runtime.inbox, 0
    until_s = time.monotonic() + PATIENCE_S
    while len(inbox) + running.sum_of("motortwin_shed_total") < sent and time.monotonic() < until_s:
        largest = max(largest, len(inbox))
    held = len(inbox)
    assert held + running.sum_of('motortwin_shed_total{reason="queue_full"}') == sent == TIMES * ROOM
    assert max(largest, held) <= 1.5 * ROOM
    assert running.sum_of("motortwin_readings_total") == 2

    running.models.open.set()
    newest = TIMES * ROOM // MOTORS - 1
    for motor in motors:
        watcher.wait_for(topics.motor(motor, "health"), lambda health: health["seq"] == newest)
    judged = 0
    for motor in motors:
        seqs = [heard.body["seq"] for heard in watcher.on(topics.motor(motor, "health"))]
        assert seqs == list(range(newest + 1 - len(seqs), newest + 1))
        judged += len(seqs)
    assert judged == held
    wait_until(lambda: running.sum_of("motortwin_readings_total") == 3 + judged, "the sums to agree")
    assert running.sum_of("motortwin_rejected_total") == 0
    for motor in motors:
        watcher.wait_for(topics.alert(motor, "inner_race"), lambda alert: alert["state"] == "open")
    wait_until(lambda: running.sum_of("motortwin_outbox_alerts") == 0, "alerts to leave")
    assert watcher.wait_for(topics.alert("standing", "inner_race"))["id"] == early["id"]
