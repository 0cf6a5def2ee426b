"""The broker's rules of deploy/mosquitto let the edge say all that its settings can switch on."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from service.contract import codec, topics
from service.contract.messages import Birth, Nameplate
from tests.conftest import ROOT, Broker
from tests.system.conftest import wait_until

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
    for name in ("edge", "witness"):
        subprocess.run(["mosquitto_passwd", "-b", str(users), name, PASSWORD], check=True, capture_output=True)
    acl = (ROOT / "deploy" / "mosquitto" / "acl").read_text()
    rules.write_text(f"user witness\ntopic readwrite #\n\n{acl}")
    broker = Broker(tmp_path / "guarded", f"allow_anonymous false\npassword_file {users}\nacl_file {rules}\n")
    broker.start()
    yield broker
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
