"""The MQTT shell against a real mosquitto: everything arrives, is counted, and survives a broker's restart."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from service.contract import topics
from service.contract.codec import decode_birth, decode_reading
from simulator.__main__ import main
from simulator.fleet import Fleet
from simulator.publish import Broker, BrokerError, Link, publish
from simulator.scenario import parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system

SCENARIO = parse(
    {
        "title": "two motors",
        "duration_h": 9,
        "step_h": 1,
        "sampling": {"samples": 2048},
        "motor": [{"id": "m-1"}, {"id": "m-2", "fault": [{"kind": "ball", "severity": 0.5}]}],
    }
)


class Listener:
    """Collects every message of the twin."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topics.ROOT}/#", qos=1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.got.append((message.topic, bytes(message.payload), message.retain))

    def of(self, kind: str) -> list[bytes]:
        """Payloads of one kind of topic."""
        return [payload for topic, payload, _ in self.got if topic.endswith(f"/{kind}")]

    def wait_for(self, count: int, kind: str) -> None:
        """Returns once that many have come, or after 10 s."""
        deadline = time.monotonic() + 10.0
        while len(self.of(kind)) < count and time.monotonic() < deadline:
            time.sleep(0.02)

    def close(self) -> None:
        """Ends the subscription."""
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def listener(broker: Any) -> Iterator[Listener]:
    heard = Listener(broker.port)
    time.sleep(0.2)
    yield heard
    heard.close()


@pytest.mark.parametrize("encoding", ["cbor", "json"])
def test_births_readings_and_truth_arrive_complete(broker: Any, listener: Listener, encoding: Any) -> None:
    with Link(Broker.of(broker.url), encoding=encoding) as link:
        publish(Fleet(SCENARIO), link, speedup=float("inf"))
        counts = link.close()
    assert (counts.births, counts.readings, counts.lost) == (2, 20, 0)
    assert counts.acknowledged == counts.published == 42
    listener.wait_for(20, "reading")
    listener.wait_for(20, "truth")
    readings = [decode_reading(payload) for payload in listener.of("reading")]
    assert sorted((r.motor, r.seq) for r in readings) == [(m, s) for m in ("m-1", "m-2") for s in range(10)]
    assert {decode_birth(payload).clock for payload in listener.of("birth")} == {"simulated"}
    assert len(listener.of("truth")) == 20


def test_births_are_retained_for_those_who_come_late(broker: Any) -> None:
    with Link(Broker.of(broker.url)) as link:
        publish(Fleet(SCENARIO), link, speedup=float("inf"))
    late = Listener(broker.port)
    late.wait_for(2, "birth")
    late.close()
    assert [retained for topic, _, retained in late.got if topic.endswith("/birth")] == [True, True]
    assert late.of("reading") == []


def test_a_run_is_paced_by_the_speedup_and_says_its_interval(broker: Any, listener: Listener) -> None:
    started = time.monotonic()
    with Link(Broker.of(broker.url)) as link:
        publish(Fleet(SCENARIO), link, speedup=3600.0 / 0.08)
    assert 0.7 < time.monotonic() - started < 3.0
    listener.wait_for(2, "birth")
    assert decode_birth(listener.of("birth")[0]).interval_s == pytest.approx(0.08)


def test_a_stop_ends_the_run_at_once(broker: Any) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    started = time.monotonic()
    with Link(Broker.of(broker.url)) as link:
        publish(Fleet(SCENARIO), link, speedup=1.0, stop=stop)
        counts = link.close()
    assert time.monotonic() - started < 5.0
    assert counts.readings == 2
    assert counts.lost == 0


def test_nothing_is_lost_and_births_come_again_when_the_broker_restarts(broker: Any) -> None:
    long = SCENARIO.model_copy(update={"duration_h": 99.0})
    link = Link(Broker.of(broker.url))
    link.open()
    player = threading.Thread(target=publish, args=(Fleet(long), link), kwargs={"speedup": 3600.0 / 0.03})
    player.start()
    time.sleep(0.8)
    broker.stop()
    time.sleep(0.5)
    broker.start()
    player.join(timeout=30.0)
    counts = link.close(timeout_s=20.0)
    assert counts.connects >= 2
    assert counts.readings == 200
    assert counts.lost == 0
    assert counts.published > 402  # the births again


def test_a_broker_that_is_not_there_is_named_with_what_to_check() -> None:
    with pytest.raises(BrokerError, match=r"mqtt://127\.0\.0\.1:1: cannot connect: .*is a broker running there"):
        Link(Broker.of("mqtt://127.0.0.1:1")).open(timeout_s=3.0)


def test_a_wrong_password_is_told_as_such(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    kind = type(request.getfixturevalue("broker"))
    (tmp_path / "passwd").write_text("")
    strict = kind(tmp_path / "strict", f"password_file {tmp_path / 'passwd'}\n")
    strict.start()
    try:
        with pytest.raises(BrokerError, match="refused: Not authorized"):
            Link(Broker.of(f"mqtt://twin:wrong@127.0.0.1:{strict.port}")).open(timeout_s=3.0)
    finally:
        strict.kill()


def test_urls_carry_host_port_user_password_and_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Broker.of("mqtts://u:p%40ss@plant") == Broker("plant", 8883, True, "u", "p@ss")
    assert "p@ss" not in str(Broker.of("mqtts://u:p%40ss@plant"))
    monkeypatch.setenv("MQTT_URL", "mqtt://there:1999")
    assert Broker.of() == Broker("there", 1999)
    for bad in ("http://x", "mqtt://", "mqtt://h:port", "nonsense"):
        with pytest.raises(BrokerError, match="MQTT_URL"):
            Broker.of(bad)


def test_the_command_line_replays_a_recording(
    broker: Any, listener: Listener, cwru_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["replay", str(cwru_file), "--motor", "rig", "--bearing", "6205", "--rate", "500", "--mqtt", broker.url]
    assert main([*arguments, "--target-fs-hz", "12000", "--window", "4096"]) == 0
    assert "readings=4 published=5 acknowledged=5 lost=0" in capsys.readouterr().out
    listener.wait_for(4, "reading")
    assert len([decode_reading(payload) for payload in listener.of("reading")]) == 4
    told = decode_birth(listener.of("birth")[0])
    assert told.bearing is not None
    assert told.bearing.elements == 9


def test_the_command_line_runs_a_scenario(broker: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "inner_race", "--speedup", "inf", "--mqtt", broker.url, "--encoding", "json"]) == 0
    assert "readings=242 published=486 acknowledged=486 lost=0" in capsys.readouterr().out
