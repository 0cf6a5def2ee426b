"""What a power cut, a restart or a bad disk may not take away."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from service import bundle, monitor
from service.contract import codec, topics
from service.monitor import FleetState, MotorState
from service.steady import NEVER
from service.store import FILE
from tests.conftest import ROOT
from tests.service.core.conftest import make_profile
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.contract.messages import Reading
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

M1 = "motortwin/v1/motor/m1"
ALERT = f"{M1}/alert/inner_race"


def failing(reading: Callable[..., Reading], seq: int) -> Reading:
    return reading(seq=seq, anomaly=2.0, severity=0.5, faults={"inner_race": 0.95})


def stored_state(data: Path, motor: str = "m1") -> MotorState:
    connection = sqlite3.connect(data / FILE)
    try:
        row: Any = connection.execute("SELECT state FROM motor WHERE id = ?", (motor,)).fetchone()
    finally:
        connection.close()
    return timeless(MotorState.from_bytes(row[0]))


def stored_motors(data: Path, seq: int) -> set[str]:
    """Motors whose reading of this number is in the store."""
    with contextlib.closing(sqlite3.connect(data / FILE)) as connection:
        rows = connection.execute("SELECT id, state FROM motor").fetchall()
    return {motor for motor, state in rows if MotorState.from_bytes(state).boots[0].seq == seq}


def newest_health(watcher: Watcher, after: int, seq: int) -> set[str]:
    """Motors whose health of this number has been heard since so many messages."""
    heard = [item for item in watcher.heard[after:] if item.topic.endswith("/health") and item.payload]
    return {item.body["motor"] for item in heard if item.body["seq"] == seq}


def timeless(state: MotorState) -> MotorState:
    """A state without the edge's own steady clock, which differs from run to run; all else must be equal."""
    return state._replace(heard=NEVER)


def uninterrupted(folder: Path, readings: list[Reading], motor: str = "m1") -> MotorState:
    """What the core makes of the readings in one go."""
    result = monitor.step(
        FleetState(),
        readings,
        {motor: make_profile(motor)},
        bundle.load(folder),
        now_ts_s=time.time(),
        policy=monitor.Policy(),
    )
    assert not result.refusals
    return result.state[motor]


def test_a_restart_asserts_open_alerts_again_and_continues_the_filter(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], tiny_bundle: Path
) -> None:
    readings = [failing(reading, seq) for seq in range(7)]
    watcher.introduce("m1")
    edge.start()
    watcher.send(*readings[:4])
    watcher.wait_for(f"{M1}/health", lambda health: health["seq"] == 3)
    opened = watcher.wait_for(ALERT)
    assert edge.stop() == 0
    told = len(watcher.on(ALERT))
    edge.start()
    again = wait_until(lambda: watcher.on(ALERT)[told:], "the alert to be asserted again")[0].body
    assert (again["id"], again["revision"]) == (opened["id"], watcher.on(ALERT)[told - 1].body["revision"])
    assert [alert["id"] for alert in edge.json("/v1/alerts")["alerts"]] == [opened["id"]]
    assert edge.json("/v1/motors/m1")["health"]["seq"] == 3
    watcher.send(*readings[4:])
    watcher.wait_for(f"{M1}/health", lambda health: health["seq"] == 6)
    edge.stop()
    assert stored_state(edge.data) == uninterrupted(tiny_bundle, readings)


def test_readings_that_come_while_the_service_is_away_wait_for_it(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1")
    edge.start()
    watcher.send(reading(seq=0))
    watcher.wait_for(f"{M1}/health")
    edge.stop()
    watcher.send(*(reading(seq=seq) for seq in range(1, 40)))
    edge.start()
    watcher.wait_for(f"{M1}/health", lambda health: health["seq"] == 39)
    answered = [heard.body["seq"] for heard in watcher.on(f"{M1}/health")]
    assert list(dict.fromkeys(answered)) == list(range(40))
    assert edge.metric("motortwin_readings_total") == 39


@pytest.mark.parametrize("cuts", [20, pytest.param(200, marks=pytest.mark.soak)])
def test_power_cuts_under_load_lose_no_reading_and_no_alert(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], tiny_bundle: Path, cuts: int
) -> None:
    motors, chunk = [f"m{number}" for number in range(5)], 12
    per_motor = cuts * chunk
    sent = {motor: [reading(motor, seq, severity=seq / per_motor) for seq in range(per_motor)] for motor in motors}
    sent["m0"] = [
        reading("m0", seq, anomaly=2.0, severity=0.5, faults={"inner_race": 0.95}) for seq in range(per_motor)
    ]
    for motor in motors:
        watcher.introduce(motor)
    edge.start()
    rng = np.random.default_rng(3)
    for cut in range(cuts):
        load = [sent[motor][seq] for seq in range(cut * chunk, (cut + 1) * chunk) for motor in motors]
        sender = threading.Thread(target=watcher.send, args=load)
        sender.start()
        time.sleep(float(rng.uniform(0.0, 0.1)))
        edge.kill()
        edge.start(patience_s=120.0)
        sender.join()
    for motor in motors:
        watcher.wait_for(f"motortwin/v1/motor/{motor}/health", lambda health: health["seq"] == per_motor - 1)
    # Health is telemetry (QoS 0): what is on its way at a cut may go with its connection; the newest is told again.
    wait_until(lambda: set(motors) <= stored_motors(edge.data, per_motor - 1), "the last commit")
    edge.kill()
    for motor in motors:
        watcher.publish(f"motortwin/v1/motor/{motor}/health", b"", retain=True)
    told = len(watcher.heard)
    edge.start(patience_s=120.0)
    wait_until(lambda: set(motors) <= newest_health(watcher, told, per_motor - 1), "the newest health of every motor")
    edge.stop()
    for motor in motors:
        assert stored_state(edge.data, motor) == uninterrupted(tiny_bundle, sent[motor], motor)
        answered = {heard.body["seq"] for heard in watcher.on(f"motortwin/v1/motor/{motor}/health") if heard.payload}
        assert answered <= set(range(per_motor))
        assert len(answered) >= per_motor - cuts
    lifecycle = {
        (h.body["id"], h.body["revision"]): h.body["state"]
        for h in watcher.on("motortwin/v1/motor/m0/alert/inner_race")
    }
    ids = {alert for alert, _ in lifecycle}
    assert len(ids) == 1
    assert sorted(revision for _, revision in lifecycle) == list(range(len(lifecycle)))


def test_a_damaged_database_is_moved_aside_and_nothing_sticks_on(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1")
    edge.start()
    watcher.send(failing(reading, 0), failing(reading, 1))
    opened = watcher.wait_for(ALERT)
    edge.stop()
    database = edge.data / FILE
    damaged = b"this is no database" * 400
    database.write_bytes(damaged)
    edge.start()
    aside = list(edge.data.glob("*.corrupt-*"))
    assert [path.read_bytes() for path in aside] == [damaged]
    assert edge.metric("motortwin_store_moved_aside_total") == 1
    cleared = watcher.wait_for(ALERT, lambda alert: alert["state"] == "clear")
    assert (cleared["id"], cleared["revision"]) == (opened["id"], opened["revision"] + 1)
    watcher.send(failing(reading, 2), failing(reading, 3))
    watcher.wait_for(ALERT, lambda alert: alert["state"] == "open" and alert["id"] != opened["id"])


def test_a_disk_that_cannot_be_written_costs_durability_only(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    edge.data.write_text("a file where the folder should be")
    watcher.introduce("m1")
    edge.start()
    ready = edge.json("/health/ready")
    assert ready["status"] == "degraded"
    assert any("nothing is saved" in reason for reason in ready["reasons"])
    watcher.send(failing(reading, 0), failing(reading, 1))
    watcher.wait_for(ALERT)
    assert edge.metric("motortwin_store_up") == 0
    assert edge.metric("motortwin_store_failures_total") >= 1
    edge.data.unlink()
    wait_until(lambda: edge.json("/health/ready")["status"] == "ready", "the store to be tried again")
    assert edge.metric("motortwin_store_up") == 1
    watcher.send(failing(reading, 2))
    watcher.wait_for(f"{M1}/health", lambda health: health["seq"] == 2)
    edge.stop()
    assert stored_state(edge.data).boots[0].seq == 2


def test_a_second_service_on_the_same_folder_is_refused_in_one_line(edge: Edge) -> None:
    edge.start()
    second = subprocess.run(
        [sys.executable, "-m", "service"],
        cwd=ROOT,
        env=edge.environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert second.returncode == 4
    assert second.stderr.strip().splitlines()[-1].startswith("motortwin: data_dir")
    assert "Traceback" not in second.stderr
    assert edge.answer("/health/ready")[0] == 200


def test_a_stop_under_load_is_clean_and_answers_what_it_took(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1")
    edge.start()
    for seq in range(100):
        watcher._client.publish(topics.motor("m1", "reading"), codec.encode_cbor(reading(seq=seq)), qos=1)
    assert edge.stop() == 0
    edge.start()
    watcher.wait_for(f"{M1}/health", lambda health: health["seq"] == 99)
    answered = [heard.body["seq"] for heard in watcher.on(f"{M1}/health")]
    assert sorted(set(answered)) == list(range(100))
