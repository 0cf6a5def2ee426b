"""Readings in, health and alerts out, through a real broker."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Reading
    from tests.conftest import Broker
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

M1 = "motortwin/v1/motor/m1"
NODE = "motortwin/v1/edge/edge"
DOCUMENTED = re.compile(
    r"motortwin/v1/(motor/[^/]+/(reading|birth|truth|health|availability|alert/[a-z_]+)|edge/[^/]+/(availability|rejected))"
)


def failing(reading: Callable[..., Reading], seq: int, **fields: Any) -> Reading:
    return reading(seq=seq, anomaly=2.0, severity=0.5, faults={"inner_race": 0.95}, **fields)


def opened(watcher: Watcher, edge: Edge, reading: Callable[..., Reading]) -> dict[str, Any]:
    """An inner race alert of m1, open."""
    watcher.introduce("m1")
    edge.start()
    watcher.send(*(failing(reading, seq) for seq in range(2)))
    alert: dict[str, Any] = watcher.wait_for(f"{M1}/alert/inner_race")
    return alert


def test_a_reading_typed_by_hand_gets_an_answer(edge: Edge, watcher: Watcher, broker: Broker) -> None:
    edge.start()
    publish = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), "-q", "1"]
    birth = {
        "motor": "pump-3",
        "ts_s": time.time(),
        "nameplate": {"rated_power_w": 1500, "rated_speed_rpm": 1450},
    }
    subprocess.run(
        [*publish, "-r", "-t", "motortwin/v1/motor/pump-3/birth", "-m", json.dumps(birth)], check=True, timeout=10
    )
    reading = {
        "motor": "pump-3",
        "boot": "a",
        "seq": 1,
        "ts_s": time.time(),
        "fs_hz": 12000,
        "accel_m_s2": {"x": [0.25] * 20 + [0.0] * 44},
        "housing_c": 45,
    }
    subprocess.run(
        [*publish, "-t", "motortwin/v1/motor/pump-3/reading", "-m", json.dumps(reading)], check=True, timeout=10
    )
    health = watcher.wait_for("motortwin/v1/motor/pump-3/health")
    assert health["seq"] == 1
    assert health["anomaly"] == pytest.approx(0.25)
    assert edge.json("/v1/motors/pump-3")["health"]["seq"] == 1


def test_an_unknown_motor_is_told_the_remedy(edge: Edge, watcher: Watcher, reading: Callable[..., Reading]) -> None:
    edge.start()
    watcher.send(reading("stranger"))
    rejection = watcher.wait_for(f"{NODE}/rejected")
    assert rejection["reason"] == "unknown_motor"
    assert "birth" in rejection["remedy"]
    assert "[motors.stranger]" in rejection["remedy"]
    assert edge.json("/v1/motors")["motors"] == []


def test_an_unknown_motor_is_taken_where_the_policy_says_so(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    edge.set(MOTORTWIN_POLICY_UNKNOWN_MOTOR="generic").start()
    watcher.send(reading("stranger", start_s=time.time()))
    watcher.wait_for("motortwin/v1/motor/stranger/health")
    assert [motor["motor"] for motor in edge.json("/v1/motors")["motors"]] == ["stranger"]


def test_an_alert_opens_clears_and_is_retained_for_a_late_subscriber(
    edge: Edge, watcher: Watcher, watch: Callable[[], Watcher], reading: Callable[..., Reading]
) -> None:
    alert = opened(watcher, edge, reading)
    topic = f"{M1}/alert/inner_race"
    assert alert["state"] == "open"
    late = watch().wait_for(topic)
    assert late["id"] == alert["id"]
    assert edge.json("/v1/alerts")["alerts"][0]["id"] == alert["id"]
    watcher.send(*(reading(seq=seq) for seq in range(2, 8)))
    cleared = watcher.wait_for(topic, lambda body: body["state"] == "clear")
    assert cleared["id"] == alert["id"]
    assert cleared["revision"] > alert["revision"]
    latest = watch()
    assert latest.wait_for(topic)["state"] == "clear"
    assert latest.on(topic)[0].retain
    assert edge.json("/v1/alerts")["alerts"] == []
    assert edge.json("/v1/alerts?cleared=true")["alerts"][0]["id"] == alert["id"]
    assert edge.metric('motortwin_alerts_total{condition="inner_race",state="open"}') == 1


def test_a_motor_that_is_retired_leaves_nothing_standing(
    edge: Edge, watcher: Watcher, watch: Callable[[], Watcher], reading: Callable[..., Reading]
) -> None:
    opened(watcher, edge, reading)
    watcher.publish(f"{M1}/birth", b"", retain=True)
    watcher.wait_for(f"{M1}/alert/inner_race", lambda body: body["state"] == "clear")
    wait_until(lambda: edge.json("/v1/motors")["motors"] == [], "the motor to leave the API")
    wait_until(lambda: watcher.on(f"{M1}/health")[-1].payload == b"", "the retained health to be removed")
    late = watch()
    time.sleep(0.3)
    assert {heard.topic for heard in late.heard if heard.topic.startswith(M1)} == {
        heard.topic for heard in late.heard if "/alert/" in heard.topic
    }
    assert all(heard.body["state"] == "clear" for heard in late.heard if "/alert/" in heard.topic)


def test_a_motor_goes_silent_and_comes_back(edge: Edge, watcher: Watcher, reading: Callable[..., Reading]) -> None:
    watcher.introduce("m1", interval_s=0.3)
    edge.start()
    watcher.send(reading(seq=0))
    watcher.wait_for(f"{M1}/availability", lambda body: body["state"] == "online")
    watcher.wait_for(f"{M1}/availability", lambda body: body["state"] == "silent")
    assert edge.json("/v1/motors/m1")["availability"] == "silent"
    watcher.send(reading(seq=1))
    watcher.wait_for(f"{M1}/availability", lambda body: body["state"] == "online")
    assert watcher.wait_for(f"{NODE}/availability")["state"] == "online"


def test_a_retained_reading_is_used_once_and_is_no_sign_of_life(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    from service.contract import codec

    watcher.introduce("m1")
    watcher.publish(f"{M1}/reading", codec.encode_cbor(reading(seq=4)), retain=True)
    edge.start()
    assert watcher.wait_for(f"{M1}/health")["seq"] == 4
    assert edge.json("/v1/motors/m1")["availability"] is None
    edge.stop()
    edge.start()
    wait_until(lambda: edge.metric("motortwin_redelivered_total") >= 1, "the repetition to be recognised")
    assert edge.metric('motortwin_rejected_total{reason="duplicate"}') == 0


def test_only_documented_topics_appear(edge: Edge, watcher: Watcher, reading: Callable[..., Reading]) -> None:
    opened(watcher, edge, reading)
    watcher.send(reading("stranger"))
    watcher.wait_for(f"{NODE}/rejected")
    edge.stop()
    watcher.wait_for(f"{NODE}/availability", lambda body: body["state"] == "offline")
    unknown = {heard.topic for heard in watcher.heard if not DOCUMENTED.fullmatch(heard.topic)}
    assert unknown == set()
    assert f"{M1}/alert/inner_race" in {heard.topic for heard in watcher.heard}


def test_the_metrics_are_clean_under_promtool(edge: Edge, watcher: Watcher, reading: Callable[..., Reading]) -> None:
    opened(watcher, edge, reading)
    watcher.publish(f"{M1}/reading", b"not a reading")
    watcher.wait_for(f"{NODE}/rejected")
    exposition = edge.answer("/metrics")[1]
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition, capture_output=True, timeout=20, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    assert edge.metric('motortwin_alerts_open{condition="inner_race"}') == 1
    assert edge.metric("motortwin_readings_total") == 2
    assert edge.metric('motortwin_motors{state="alarm"}') == 1
    assert edge.metric("motortwin_mqtt_connected") == 1


def test_readiness_degrades_while_the_models_fail_and_recovers(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1")
    edge.start()
    watcher.send(reading(seq=0, x={21: 1.0}))
    wait_until(lambda: edge.answer("/health/ready")[0] == 503, "the failing models to be noticed")
    assert "cannot be judged" in edge.json("/health/ready")["reasons"][0]
    assert edge.metric("motortwin_step_failures_total") >= 1
    watcher.send(reading(seq=1))
    wait_until(lambda: edge.answer("/health/ready")[0] == 200, "recovery")
    assert watcher.wait_for(f"{M1}/health")["seq"] == 1
