"""The broker comes late, goes, comes back forgetful, refuses us, or speaks an older language."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import iotcore
import pytest

from tests.conftest import free_port
from tests.service.core.conftest import make_reading
from tests.system.conftest import Watcher, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.contract.messages import Reading
    from tests.conftest import Broker
    from tests.system.conftest import Edge

pytestmark = pytest.mark.system

M1 = "motortwin/v1/motor/m1"
NODE = "motortwin/v1/edge/edge/availability"
ALERT = f"{M1}/alert/inner_race"


def failing(reading: Callable[..., Reading], seq: int) -> Reading:
    return reading(seq=seq, anomaly=2.0, severity=0.5, faults={"inner_race": 0.95})


def test_the_service_may_start_before_the_broker_exists(
    edge: Edge, broker: Broker, watch: Callable[[], Watcher], reading: Callable[..., Reading]
) -> None:
    broker.stop()
    edge.start(ready=False)
    status, _ = edge.answer("/health/ready")
    assert status == 503
    assert edge.answer("/health/live")[0] == 200
    assert (
        "does not answer"
        in wait_until(
            lambda: [r for r in edge.json("/health/ready")["reasons"] if "does not answer" in r], "the reason"
        )[0]
    )
    broker.start()
    wait_until(lambda: edge.answer("/health/ready")[0] == 200, "readiness once the broker is there")
    watcher = watch()
    watcher.introduce("m1")
    watcher.send(reading())
    watcher.wait_for(f"{M1}/health")


def test_a_broker_restart_loses_nothing_and_availability_follows(
    edge: Edge, broker: Broker, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1")
    edge.start()
    watcher.send(failing(reading, 0), failing(reading, 1))
    watcher.wait_for(ALERT)
    broker.stop()
    wait_until(lambda: edge.json("/health/ready")["status"] == "degraded", "the loss to be noticed")
    assert edge.answer("/health/ready")[0] == 200
    broker.start()
    wait_until(lambda: edge.json("/health/ready")["status"] == "ready", "the session to stand again")
    wait_until(lambda: watcher.on(NODE) and watcher.on(NODE)[-1].body["state"] == "online", "online again")
    watcher.send(*(reading(seq=seq) for seq in range(2, 8)))
    watcher.wait_for(ALERT, lambda alert: alert["state"] == "clear")
    assert edge.metric("motortwin_mqtt_connections_total") == 2


def test_a_broker_that_forgot_everything_is_told_again(
    edge: Edge, broker: Broker, watcher: Watcher, watch: Callable[[], Watcher], reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1")
    edge.start()
    watcher.send(failing(reading, 0), failing(reading, 1))
    alert = watcher.wait_for(ALERT)
    broker.kill()
    (broker.folder / "mosquitto.db").unlink(missing_ok=True)
    broker.start()
    late = watch()
    assert late.wait_for(ALERT)["id"] == alert["id"]
    assert late.wait_for(f"{M1}/health")["seq"] == 1
    assert late.wait_for(f"{M1}/availability")["state"] == "online"
    assert late.wait_for(NODE)["state"] == "online"


def test_alerts_raised_while_the_broker_is_away_arrive_in_order_when_it_returns(
    edge: Edge, broker: Broker, watcher: Watcher, watch: Callable[[], Watcher], reading: Callable[..., Reading]
) -> None:
    watcher.introduce("m1", interval_s=0.1)
    edge.start()
    watcher.send(failing(reading, 0))
    watcher.wait_for(f"{M1}/health")
    watcher.send(failing(reading, 1))
    broker.kill()
    broker.start()
    late = watch()
    assert late.wait_for(ALERT)["state"] in {"open", "update"}
    wait_until(lambda: edge.metric("motortwin_outbox_alerts") == 0, "the outbox to drain")


def test_many_motors_heard_for_the_first_time_at_once_displace_nothing(
    edge: Edge, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    """Their announcements on the way out must not make the client read more than the inbox has asked for."""
    motors = [f"m{number}" for number in range(600)]
    for motor in motors:
        watcher.introduce(motor)
    edge.set(MOTORTWIN_INBOX_MAX_READINGS="256").start()
    wait_until(lambda: edge.metric("motortwin_births_total") == len(motors), "births")
    edge.process.send_signal(signal.SIGSTOP)
    watcher.send(*(reading(motor, seq) for seq in range(3) for motor in motors))
    edge.process.send_signal(signal.SIGCONT)
    wait_until(lambda: edge.metric("motortwin_readings_total") == 3 * len(motors), "every reading")
    assert edge.metric('motortwin_shed_total{reason="queue_full"}') == 0.0


def test_kill_of_the_service_makes_it_offline_by_the_will(edge: Edge, watcher: Watcher) -> None:
    edge.start()
    watcher.wait_for(NODE, lambda body: body["state"] == "online")
    edge.kill()
    watcher.wait_for(NODE, lambda body: body["state"] == "offline")
    edge.start()
    watcher.wait_for(NODE, lambda body: body["state"] == "online")
    assert edge.stop() == 0
    watcher.wait_for(NODE, lambda body: body["state"] == "offline")


def test_bad_credentials_are_said_in_readiness_and_log(edge: Edge, broker: Broker) -> None:
    passwords = broker.folder / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "edge", "right"], check=True, timeout=10)
    passwords.chmod(0o644)
    broker.stop()
    broker._extra_config = f"allow_anonymous false\npassword_file {passwords}"
    broker.start()
    edge.set(MQTT_USERNAME="edge", MQTT_PASSWORD="wrong").start(ready=False)  # noqa: S106 - it is wrong
    reasons = wait_until(
        lambda: [r for r in edge.json("/health/ready")["reasons"] if "MQTT_PASSWORD" in r], "the refusal in readiness"
    )
    assert "refuses us" in reasons[0]
    assert edge.answer("/health/ready")[0] == 503
    log = edge.log.read_text()
    assert "refuses us" in log
    assert "wrong" not in log
    edge.stop()
    edge.set(MQTT_PASSWORD="right").start()  # noqa: S106 - a test's own


def test_a_broker_of_mqtt_3_1_1_is_spoken_to_in_its_language(edge: Edge, reading: Callable[..., Reading]) -> None:
    with iotcore.Broker(port=free_port(), listen="127.0.0.1", max_payload_size=200_000) as old:
        watcher = Watcher(old.port)
        try:
            edge.set(MQTT_URL=f"mqtt://127.0.0.1:{old.port}").start()
            assert edge.json("/health/ready")["mqtt_protocol"] == "3.1.1"
            watcher.introduce("m1")
            watcher.send(failing(reading, 0), failing(reading, 1))
            assert watcher.wait_for(ALERT)["state"] == "open"
            assert watcher.wait_for(NODE)["state"] == "online"
            assert edge.stop() == 0
        finally:
            watcher.close()


def test_a_peer_that_accepts_and_says_nothing_does_not_hang_the_service(edge: Edge) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as mute:
        edge.set(MQTT_URL=f"mqtt://127.0.0.1:{mute.getsockname()[1]}").start(ready=False)
        time.sleep(0.5)
        assert edge.answer("/health/ready")[0] == 503
        assert edge.stop() == 0


@pytest.mark.parametrize("stands_s", [0.0, pytest.param(600.0, marks=pytest.mark.soak)])
def test_a_broker_that_stands_still_is_noticed_and_everything_arrives_when_it_goes_on(
    edge: Edge, broker: Broker, watcher: Watcher, reading: Callable[..., Reading], stands_s: float
) -> None:
    watcher.introduce("m1", interval_s=0.1)
    edge.set(MQTT_KEEPALIVE_S="5").start()
    watcher.send(failing(reading, 0))
    watcher.wait_for(f"{M1}/health")
    assert broker._process is not None
    broker._process.send_signal(signal.SIGSTOP)
    try:
        wait_until(lambda: edge.metric("motortwin_mqtt_connected") == 0.0, "the loss to be noticed", 30.0)
        status, told = edge.answer("/health/ready")
        assert (status, b'"degraded"' in told, b"broker was lost" in told) == (200, True, True), told
        assert edge.answer("/v1/motors/m1")[0] == 200
        size, until_s = edge.metric("process_resident_memory_bytes"), time.monotonic() + stands_s
        while time.monotonic() < until_s:
            time.sleep(5.0)
            assert edge.answer("/health/ready")[0] == 200
        assert edge.metric("process_resident_memory_bytes") < 1.05 * size
    finally:
        broker._process.send_signal(signal.SIGCONT)
    wait_until(lambda: edge.metric("motortwin_mqtt_connected") == 1.0, "the session", 30.0)
    watcher.send(failing(reading, 1))
    assert watcher.wait_for(ALERT)["state"] == "open"
    watcher.wait_for(NODE, lambda body: body["state"] == "online")
    wait_until(lambda: edge.metric("motortwin_outbox_alerts") == 0, "the outbox to drain")
    assert edge.metric("motortwin_readings_total") == 2.0


def test_mutual_tls_to_the_broker_works_and_a_stranger_authority_is_refused(
    edge: Edge, broker: Broker, tmp_path: Path
) -> None:
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=30)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt")
    (tmp_path / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "edge"):
        openssl("req", *curve[:-2], "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", "names", "-out", f"{name}.crt"),
        )
    broker.stop()
    files = f"cafile {tmp_path}/ca.crt\ncertfile {tmp_path}/server.crt\nkeyfile {tmp_path}/server.key"
    secure = free_port()
    broker._extra_config = f"listener {secure} 127.0.0.1\n{files}\nrequire_certificate true"
    broker.start()
    edge.set(
        MQTT_URL=f"mqtts://127.0.0.1:{secure}",
        MQTT_CA_FILE=str(tmp_path / "stranger.crt"),
        MQTT_CERT_FILE=str(tmp_path / "edge.crt"),
        MQTT_KEY_FILE=str(tmp_path / "edge.key"),
    ).start(ready=False)
    wait_until(lambda: [r for r in edge.json("/health/ready")["reasons"] if "certificate" in r.lower()], "the refusal")
    edge.stop()
    edge.set(MQTT_CA_FILE=str(tmp_path / "ca.crt")).start()
    watcher = Watcher(broker.port)
    try:
        watcher.introduce("m1")
        watcher.send(make_reading())
        watcher.wait_for(f"{M1}/health")
    finally:
        watcher.close()
