"""deploy/mutual-tls.yml's broker: its configuration and the handbook's certificates, with a real mosquitto."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, free_port
from tests.service.core.conftest import make_reading
from tests.system.conftest import Watcher, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Broker
    from tests.system.conftest import Edge

pytestmark = pytest.mark.system


def certificates(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The handbook's script."""
    return subprocess.run(
        [ROOT / "deploy" / "certificates", folder, *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_who_shows_no_certificate_of_the_broker_s_authority_is_refused_and_the_edge_is_taken(
    edge: Edge, broker: Broker, tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        assert certificates(folder).returncode == 0
        assert certificates(folder, "--client", "edge").returncode == 0
    refused = certificates(ours, "--client", "../server")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    shipped = (ROOT / "deploy" / "mosquitto" / "mutual-tls.conf").read_text()
    secure = free_port()
    broker.stop()
    broker._extra_config = shipped.replace("listener 8883", f"listener {secure} 127.0.0.1").replace(
        "/mosquitto/secrets", str(ours)
    )
    broker.start()

    edge.set(MQTT_URL=f"mqtts://127.0.0.1:{secure}", MQTT_CA_FILE=str(ours / "ca.crt")).start(ready=False)
    wait_until(lambda: "did not return a certificate" in broker.log.read_text(), "the refusal without a certificate")
    assert edge.metric("motortwin_mqtt_connections_total") == 0.0
    edge.stop()
    edge.set(MQTT_CERT_FILE=str(theirs / "edge.crt"), MQTT_KEY_FILE=str(theirs / "edge.key")).start(ready=False)
    wait_until(lambda: "certificate verify failed" in broker.log.read_text(), "the refusal of a stranger's certificate")
    assert edge.metric("motortwin_mqtt_connections_total") == 0.0
    edge.stop()
    edge.set(MQTT_CERT_FILE=str(ours / "edge.crt"), MQTT_KEY_FILE=str(ours / "edge.key")).start()
    watcher = Watcher(broker.port)
    try:
        watcher.introduce("m1")
        watcher.send(make_reading())
        watcher.wait_for("motortwin/v1/motor/m1/health")
    finally:
        watcher.close()
