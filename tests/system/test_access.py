"""The broker's rules of deploy/mosquitto: everybody may say and hear what their part is, and nothing beside it."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from service.contract import codec, topics
from service.contract.messages import Birth, Nameplate
from tests.conftest import ROOT, Broker
from tests.service.core.conftest import make_reading
from tests.system.conftest import PATIENCE_S, Watcher, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Edge

pytestmark = pytest.mark.system

PASSWORD = "for-this-test-only"  # noqa: S105 - made up


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """A broker with the plant's rules, and one user more, who hears and says everything."""
    users, rules = tmp_path / "users", tmp_path / "acl"
    users.touch()
    for name in ("edge", "witness", "press-4", "viewer"):
        subprocess.run(["mosquitto_passwd", "-b", str(users), name, PASSWORD], check=True, capture_output=True)
    acl = (ROOT / "deploy" / "mosquitto" / "acl").read_text()
    rules.write_text(f"user witness\ntopic readwrite #\n\n{acl}")
    broker = Broker(tmp_path / "guarded", f"allow_anonymous false\npassword_file {users}\nacl_file {rules}\n")
    broker.start()
    yield broker
    broker.kill()


OURS, OTHERS, NODE = "motortwin/v1/motor/press-4", "motortwin/v1/motor/press-5", "motortwin/v1/edge/edge"
SAID = {
    "press-4": {f"{OURS}/reading", f"{OURS}/birth"},
    "edge": {
        *(f"{motor}/{what}" for motor in (OURS, OTHERS) for what in ("health", "availability", "alert/inner_race")),
        *(f"{NODE}/{what}" for what in ("availability", "rejected")),
    },
    "viewer": set(),
}
HEARD = {
    "press-4": set(),
    "edge": {f"{motor}/{what}" for motor in (OURS, OTHERS) for what in ("reading", "birth", "alert/inner_race")},
    "viewer": {
        *(
            f"{motor}/{what}"
            for motor in (OURS, OTHERS)
            for what in ("birth", "health", "availability", "alert/inner_race")
        ),
        *(f"{NODE}/{what}" for what in ("availability", "rejected", "release")),
    },
}
TOPICS = [
    *(
        f"{motor}/{what}"
        for motor in (OURS, OTHERS)
        for what in ("reading", "birth", "truth", "health", "availability", "alert/inner_race")
    ),
    *(f"{NODE}/{what}" for what in ("availability", "rejected", "release", "desired")),
    "somewhere/else",
]


@pytest.mark.parametrize("name", sorted(SAID))
def test_each_says_and_hears_its_own_part_only(guarded: Broker, name: str) -> None:
    def exchange(speaker: str, listener: str, due: set[str]) -> set[str]:
        """What of all topics the listener hears from the speaker."""
        ear = Watcher(guarded.port, listener, PASSWORD)
        publish = ["mosquitto_pub", "-V", "5", "-p", str(guarded.port), "-u", speaker, "-P", PASSWORD, "-q", "1"]
        try:
            for topic in TOPICS:
                # a connection each: this broker may end one on which it was asked for what it refuses
                said = [*publish, "-t", topic, "-m", "x"]
                subprocess.run(said, check=False, capture_output=True, timeout=10)
            wait_until(lambda: due <= {heard.topic for heard in ear.heard}, f"{listener} to hear {speaker}")
            time.sleep(0.5)  # what must not come would have come by now
            return {heard.topic for heard in ear.heard}
        finally:
            ear.close()

    assert exchange(name, "witness", SAID[name]) == SAID[name]
    assert exchange("witness", name, HEARD[name]) == HEARD[name]


def test_alerts_that_the_broker_will_not_take_are_kept_and_their_age_is_told(edge: Edge, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    said = ("motor/+/reading", "motor/+/birth", "edge/#")
    rules.write_text("topic read #\n" + "".join(f"topic write motortwin/v1/{topic}\n" for topic in said))
    broker = Broker(tmp_path / "strict", f"acl_file {rules}\n")
    broker.start()
    try:
        edge.set(MQTT_URL=broker.url).start()
        watcher = Watcher(broker.port)
        watcher.introduce("m1")
        for seq in range(2):
            watcher.send(make_reading(seq=seq, anomaly=2.0, severity=0.5, faults={"inner_race": 0.95}))
        wait_until(lambda: edge.metric("motortwin_outbox_age_seconds") > 0.5, "an alert that waits")
        assert edge.metric("motortwin_outbox_alerts") >= 1.0
        assert edge.metric("motortwin_readings_total") == edge.metric("motortwin_filter_nis_count") == 2.0
        assert 0.0 < edge.metric("motortwin_input_age_seconds") < PATIENCE_S
        watcher.close()
    finally:
        broker.kill()


def test_home_assistant_and_sparkplug_get_through(edge: Edge, guarded: Broker, tmp_path: Path) -> None:
    port = str(guarded.port)
    who = ["-p", port, "-u", "witness", "-P", PASSWORD]
    log = tmp_path / "heard"
    topics_heard = ["-t", "homeassistant/#", "-t", "spBv1.0/#"]
    with log.open("wb") as out:
        listener = subprocess.Popen(["mosquitto_sub", *who, *topics_heard, "-F", "%t"], stdout=out)
    try:
        edge.set(
            MQTT_URL=guarded.url,
            MQTT_USERNAME="edge",
            MQTT_PASSWORD=PASSWORD,
            MOTORTWIN_HOMEASSISTANT_DISCOVERY="on",
            MOTORTWIN_SPARKPLUG_ON="true",
            MOTORTWIN_SPARKPLUG_INTERVAL_S="0.1",
        ).start()
        plate = Nameplate(rated_power_w=1500.0, rated_speed_rpm=1450.0)
        birth = codec.encode_json(Birth(motor="m1", ts_s=1.8e9, nameplate=plate, clock="simulated")).decode()
        subprocess.run(
            ["mosquitto_pub", *who, "-q", "1", "-r", "-t", topics.motor("m1", "birth"), "-m", birth], check=True
        )
        wanted = {"spBv1.0/motortwin/NBIRTH/edge", "spBv1.0/motortwin/DBIRTH/edge/m1"}
        wanted.add("homeassistant/device/motortwin_m1/config")
        wait_until(lambda: wanted <= set(log.read_text().split()), f"{wanted}")
        nothing = ["-t", "spBv1.0/motortwin/NCMD/edge", "-m", "nonsense"]
        subprocess.run(["mosquitto_pub", *who, *nothing], check=True)
        wait_until(lambda: edge.metric('motortwin_sparkplug_total{result="refused"}') == 1.0, "the command")
        assert edge.stop() == 0
        wait_until(lambda: "spBv1.0/motortwin/NDEATH/edge" in log.read_text().split(), "the death")
    finally:
        listener.kill()
        listener.wait(10)
