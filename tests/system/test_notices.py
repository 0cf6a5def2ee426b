"""Alerts to people and to Home Assistant, from readings on a real broker."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import jinja2
import pytest

from service.contract import topics
from tests.conftest import ROOT, SEARCH_PATH, free_port
from tests.receiver import Receiver
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.contract.messages import Reading
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

HOOK = '[webhooks.shift]\nurl_file = "{url}"\nsecret = "geheim-geheim-geheim"\nretry_max_s = 0.2\n'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def configured(edge: Edge, folder: Path, text: str) -> Edge:
    config = folder / "edge.toml"
    config.write_text(text)
    edge.arguments = ("--config", str(config))
    return edge


def failing(reading: Callable[..., Reading], *, seqs: range, motor: str = "m1") -> list[Reading]:
    return [reading(motor, seq=seq, anomaly=2.0, severity=0.5, faults={"inner_race": 0.95}) for seq in seqs]


def healthy(reading: Callable[..., Reading], *, seqs: range, motor: str = "m1") -> list[Reading]:
    return [reading(motor, seq=seq, anomaly=0.1) for seq in seqs]


def alarm(watcher: Watcher, reading: Callable[..., Reading], seqs: range = range(3)) -> None:
    watcher.introduce("m1")
    watcher.send(*failing(reading, seqs=seqs))
    watcher.wait_for(topics.alert("m1", "inner_race"), lambda alert: alert["state"] != "clear")


def test_an_alert_and_its_end_reach_a_webhook_and_the_secrets_stay_hidden(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(f"{receiver.url}/topsecret")
    configured(edge, tmp_path, HOOK.format(url=tmp_path / "url")).start()
    alarm(watcher, reading)
    wait_until(lambda: receiver.got, "the alert")
    watcher.send(*healthy(reading, seqs=range(3, 20)))
    wait_until(lambda: len(receiver.got) == 2, "its end")
    assert [got.json["alert"]["state"] for got in receiver.got] == ["open", "clear"]
    assert edge.metric('motortwin_notices_total{format="generic",result="delivered"}') == 2.0
    shown = subprocess.run(
        [sys.executable, "-m", "service", *edge.arguments, "--show-settings"],
        cwd=ROOT,
        env=edge.environment,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "secret" in shown
    assert "geheim" not in shown + edge.log.read_text()
    assert "topsecret" not in shown + edge.log.read_text()


def test_a_receiver_that_is_away_delays_no_alert_and_survives_a_power_cut(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "url").write_text(f"http://127.0.0.1:{port}/hook")
    configured(edge, tmp_path, HOOK.format(url=tmp_path / "url")).start()
    alarm(watcher, reading)
    wait_until(lambda: edge.metric("motortwin_notices_waiting") == 1.0, "the queue")
    told = edge.json("/health/ready")
    assert told["status"] == "degraded"
    assert "webhook-shift: 127.0.0.1 does not answer" in told["reasons"][0]
    edge.kill()
    receiver = Receiver()
    try:
        (tmp_path / "url").write_text(receiver.url)
        edge.start()
        wait_until(lambda: receiver.got, "the alert after the power cut")
        assert receiver.got[0].json["alert"]["condition"] == "inner_race"
    finally:
        edge.kill()
        receiver.close()


def test_a_real_alertmanager_shows_the_alert_and_its_end(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], tmp_path: Path
) -> None:
    program = shutil.which("prometheus-alertmanager", path=SEARCH_PATH) or shutil.which("alertmanager")
    if program is None:
        pytest.skip("alertmanager is absent; apt-get install prometheus-alertmanager")
    (tmp_path / "am.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    port = free_port()
    address = f"http://127.0.0.1:{port}/api/v2/alerts"
    process = subprocess.Popen(
        [
            program,
            f"--config.file={tmp_path / 'am.yml'}",
            f"--storage.path={tmp_path / 'am'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def alerts() -> list[Any]:
        try:
            with urllib.request.urlopen(address, timeout=5.0) as answer:
                return json.loads(answer.read())
        except OSError:
            return []

    try:
        text = f'[webhooks.am]\nformat = "alertmanager"\nurl = "{address}"\nretry_max_s = 0.2\nrepeat_s = 5\n'
        configured(edge, tmp_path, text).start()
        alarm(watcher, reading)
        (shown,) = wait_until(alerts, "the alert in Alertmanager")
        assert shown["labels"]["motor"] == "m1"
        assert shown["labels"]["alertname"] == "MotorFault"
        assert shown["status"]["state"] in ("active", "unprocessed")
        watcher.send(*healthy(reading, seqs=range(3, 20)))
        wait_until(lambda: not alerts(), "its end")
    finally:
        process.terminate()
        process.wait(10)


def test_every_route_can_be_tried_before_it_is_needed(edge: Edge, receiver: Receiver, tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}/"
    text = f'[webhooks.a]\nurl = "{receiver.url}"\nformat = "slack"\n[webhooks.b]\nurl = "{away}"\n'
    configured(edge, tmp_path, text)
    call = [sys.executable, "-m", "service", *edge.arguments, "--try-notices"]
    done = subprocess.run(call, cwd=ROOT, env=edge.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "webhook-a (localhost): delivered"
    assert done.stdout.splitlines()[1].startswith("webhook-b (127.0.0.1): failed does not answer")
    assert "No motor is concerned" in receiver.got[0].body.decode()
    receiver.answers = [(403, {})]
    configured(edge, tmp_path, text.partition("[webhooks.b]")[0])
    done = subprocess.run(call, cwd=ROOT, env=edge.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "webhook-a (localhost): refused answers 403: <b>not today</b>\n")


def test_home_assistant_finds_a_motor_reads_its_topics_and_forgets_it_when_it_retires(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    edge.set(MOTORTWIN_HOMEASSISTANT_DISCOVERY="on", MOTORTWIN_HTTP_PUBLIC_URL="https://edge.plant").start()
    watcher.introduce("pump.7")
    watcher.send(*failing(reading, seqs=range(3), motor="pump.7"))
    topic = next(
        heard.topic
        for heard in wait_until(
            lambda: [h for h in watcher.heard if h.topic.startswith("homeassistant/device/")], "discovery"
        )
    )
    found = watcher.wait_for(topic)
    object_id = topic.split("/")[2]
    assert object_id.replace("_", "").replace("-", "").isalnum(), "Home Assistant's alphabet has no dot"
    assert found["device"]["identifiers"] == [object_id]
    assert found["device"]["configuration_url"] == "https://edge.plant/#/motor/pump.7"
    assert found["origin"]["name"] == "motortwin"

    health = watcher.wait_for(topics.motor("pump.7", "health"), lambda body: body["state"] == "alarm")
    available = watcher.wait_for(topics.motor("pump.7", "availability"))
    states = {}
    for name, entity in found["components"].items():
        assert entity["platform"] in ("sensor", "binary_sensor")
        (message,) = watcher.on(entity["state_topic"])[-1:]
        states[name] = rendered(entity["value_template"], message.body)
        for one in entity["availability"]:
            said = rendered(one["value_template"], watcher.on(one["topic"])[-1].body)
            assert said == one["payload_available"]
    assert states["diagnosis"] == health["diagnosis"] == "inner_race"
    assert states["diagnosis"] in found["components"]["diagnosis"]["options"]
    assert float(states["health"]) == pytest.approx(100 * health["health"], abs=0.01)
    assert states["anomaly"] == "2.0"
    assert (states["alert"], states["availability"]) == ("ON", "ON")
    assert available["state"] == "online"
    assert len({entity["unique_id"] for entity in found["components"].values()}) == len(found["components"])
    del health["health"]
    assert rendered(found["components"]["health"]["value_template"], health) == "None"

    watcher.publish(topics.motor("pump.7", "birth"), b"", retain=True)
    wait_until(lambda: watcher.on(topic)[-1].payload == b"", "the empty message that removes the device")


def test_a_motor_that_left_while_the_edge_was_down_leaves_nothing_at_the_broker(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading], tmp_path: Path
) -> None:
    plate = "{ rated_power_w = 1500, rated_speed_rpm = 1450 }"
    motor = f'[motors.m1]\nclock = "simulated"\nnameplate = {plate}\n'
    configured(edge, tmp_path, f'[homeassistant]\ndiscovery = "on"\n{motor}').start()
    watcher.send(*failing(reading, seqs=range(1)))
    watcher.wait_for(topics.motor("m1", "availability"))
    retained = [topics.motor("m1", "health"), topics.motor("m1", "availability")]
    retained.append("homeassistant/device/motortwin_m1/config")
    wait_until(lambda: all(watcher.on(topic) for topic in retained), "what is retained")
    edge.stop()
    configured(edge, tmp_path, '[homeassistant]\ndiscovery = "on"\n').start()
    wait_until(lambda: all(watcher.on(topic)[-1].payload == b"" for topic in retained), "three empty messages")


def test_home_assistant_is_told_nothing_unless_it_is_switched_on_and_can_be_untold(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    edge.set(MOTORTWIN_HOMEASSISTANT_DISCOVERY="on").start()
    watcher.introduce("m1")
    topic = "homeassistant/device/motortwin_m1/config"
    watcher.wait_for(topic)
    edge.stop()
    edge.set(MOTORTWIN_HOMEASSISTANT_DISCOVERY="remove").start()
    wait_until(lambda: watcher.on(topic)[-1].payload == b"", "the removal")
    edge.stop()
    told = len(watcher.heard)
    edge.set(MOTORTWIN_HOMEASSISTANT_DISCOVERY="off").start()
    watcher.introduce("m2")
    watcher.send(*failing(reading, seqs=range(1), motor="m2"))
    watcher.wait_for(topics.motor("m2", "health"))
    assert not [heard for heard in watcher.heard[told:] if heard.topic.startswith("homeassistant/")]


def rendered(template: str, body: Any) -> str:
    """What Home Assistant's template engine, which is Jinja2, makes of a message."""
    return jinja2.Environment(autoescape=False).from_string(template).render(value_json=body)  # noqa: S701 - no HTML
