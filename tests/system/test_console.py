"""``motor``: what a person types and reads, against a running edge."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from service.contract import topics
from tests.conftest import ROOT, Broker
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.contract.messages import Reading
    from tests.system.conftest import Edge, Watcher

pytestmark = pytest.mark.system

TOKEN = "open-sesame-open-sesame"  # noqa: S105 - made up


@pytest.fixture
def motor(edge: Edge) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs one command against the edge; its token is in the environment unless ``token`` says otherwise."""

    def run(*arguments: str, token: str | None = TOKEN, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith(("MOTOR", "MQTT_"))}
        own |= {"MOTOR_URL": edge.address} | ({} if token is None else {"MOTOR_TOKEN": token}) | environment
        return subprocess.run(
            [sys.executable, "-m", "service.console", *arguments],
            cwd=ROOT,
            env=own,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def fleet(edge: Edge, watcher: Watcher, reading: Callable[..., Reading]) -> Edge:
    """An edge with a token, one motor in alarm and one that is well."""
    edge.set(MOTORTWIN_HTTP_TOKEN=TOKEN, MOTORTWIN_HISTORIAN_INTERVAL_S="0").start()
    for name in ("press-4", "fan-2"):
        watcher.introduce(name)
    watcher.send(*(reading("press-4", seq=n, anomaly=2.0, severity=0.5, faults={"ball": 0.95}) for n in range(3)))
    watcher.send(*(reading("fan-2", seq=n, anomaly=0.1) for n in range(3)))
    watcher.wait_for(topics.alert("press-4", "ball"))
    watcher.wait_for(topics.motor("fan-2", "health"), lambda body: body["seq"] == 2)
    return edge


def one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("motor: ")
    for word in words:
        assert word in done.stderr


@pytest.mark.usefixtures("fleet")
def test_status_shows_the_most_urgent_motor_first(motor: Any) -> None:
    done = motor("status")
    assert done.returncode == 0, done.stderr
    first, head, *rows = done.stdout.splitlines()
    assert first.startswith("edge: ready")
    assert head.split()[:3] == ["MOTOR", "NAME", "STATE"]
    assert [row.split()[0] for row in rows] == ["press-4", "fan-2"]
    assert rows[0].split()[2:4] == ["alarm", "ball"]
    assert "\x1b" not in done.stdout


@pytest.mark.usefixtures("fleet")
def test_status_of_one_motor_shows_its_alert_and_says_so_by_its_code(motor: Any) -> None:
    done = motor("status", "press-4")
    assert done.returncode == 1
    assert "press-4:ball:" in done.stdout
    assert motor("status", "fan-2").returncode == 0
    detail = json.loads(motor("status", "fan-2", "--json").stdout)
    assert detail["health"]["state"] == "ok"
    one_line(motor("status", "nobody"), 4, "no motor has this id", "birth")


@pytest.mark.usefixtures("fleet")
def test_history_comes_as_a_table_as_json_and_as_csv(motor: Any, tmp_path: Path) -> None:
    wait_until(lambda: len(motor("history", "press-4", "--csv").stdout.splitlines()) == 4, "three samples")
    rows = list(csv.DictReader(io.StringIO(motor("history", "press-4", "--csv").stdout)))
    assert [row["diagnosis"] for row in rows] == ["ball"] * 3
    assert motor("history", "press-4").stdout.splitlines()[0].startswith("TIME")
    assert json.loads(motor("history", "press-4", "--json").stdout)["motor"] == "press-4"
    out = tmp_path / "press.csv"
    assert motor("history", "press-4", "--csv", "--out", str(out)).returncode == 0
    assert len(out.read_text().splitlines()) == 4
    one_line(motor("history", "press-4", "--from", "yesterday"), 2, "'yesterday' is no time", "7d")
    assert "nothing is kept" in motor("history", "press-4", "--from", "1999-01-01", "--to", "1999-01-02").stdout


def test_an_alert_is_acknowledged_with_a_comment_by_the_motors_name(fleet: Edge, motor: Any) -> None:
    done = motor("ack", "press-4", "-m", "bearing ordered", "--by", "Anna")
    assert done.returncode == 0, done.stderr
    (note,) = fleet.json("/v1/alerts")["notes"]
    assert (note["kind"], note["by"], note["text"]) == ("acknowledged", "Anna", "bearing ordered")
    assert motor("ack", "press-4", "--as", "repaired", "--by", "Anna").returncode == 0
    kinds = [kept["kind"] for kept in fleet.json("/v1/motors/press-4/alerts")["alerts"][0]["notes"]]
    assert kinds == ["acknowledged", "repaired"]
    assert fleet.json("/health/ready")["status"] == "ready"  # the worker has taken the note in its stride
    one_line(motor("ack", "fan-2"), 2, "fan-2 has no open alert", "press-4")
    one_line(motor("ack", "press-4:ball:1"), 4, "no alert has this id")
    one_line(motor("ack", "press-4", token=None), 4, "token is missing or wrong", "--token-file")
    one_line(motor("ack", "press-4", token="wrong"), 4, "token is missing or wrong")  # noqa: S106 - made up


@pytest.mark.usefixtures("fleet")
def test_the_token_may_stand_in_a_file(motor: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    assert motor("ack", "press-4", "--token-file", str(file), token=None).returncode == 0
    one_line(motor("ack", "press-4", "--token-file", str(tmp_path / "no"), token=None), 2, "cannot be read")


@pytest.mark.usefixtures("fleet")
def test_models_are_listed_and_what_cannot_be_is_said(motor: Any) -> None:
    assert motor("models").stdout.startswith("in use ")
    listed = json.loads(motor("models", "list", "--json").stdout)
    assert listed["repository"][0]["state"] == "READY"
    one_line(motor("models", "swap", "nowhere"), 4, "nowhere")
    one_line(motor("models", "rollback"), 4, "no bundle is on its way")
    one_line(motor("models", "rollback", "--to", "0" * 12), 4, "is of none that ran here")
    one_line(motor("models", "rollback", "--to", "yesterday"), 4, "body.digest")


def test_watch_tells_an_alert_where_nobody_looks_and_ends_by_itself(
    fleet: Edge, motor: Any, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    own = {**os.environ, "MOTOR_URL": fleet.address}
    call = [sys.executable, "-m", "service.console", "watch", "--seconds", "30"]
    process = subprocess.Popen([*call], cwd=ROOT, env=own, stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: fleet.metric("motortwin_streams") == 1.0, "the stream")
        watcher.send(*(reading("fan-2", seq=n, anomaly=2.0, severity=0.5, faults={"cage": 0.9}) for n in range(3, 7)))
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "open" in line
        assert "fan-2  cage" in line
    finally:
        process.kill()
        process.communicate()
    done = motor("watch", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    assert {one["motor"] for one in json.loads(done.stdout.splitlines()[0])["motors"]} == {"press-4", "fan-2"}


def test_a_name_cannot_write_to_the_terminal(edge: Edge, motor: Any, watcher: Watcher) -> None:
    edge.start()
    plate = {"rated_power_w": 1500, "rated_speed_rpm": 1450}
    birth = {"motor": "m1", "ts_s": time.time(), "name": "\x1b]0;owned\x07\nfan", "nameplate": plate}
    watcher.publish(topics.motor("m1", "birth"), json.dumps(birth).encode(), retain=True)
    wait_until(lambda: "m1" in motor("status").stdout, "the motor")
    assert "\x1b" not in motor("status").stdout
    assert "?]0;owned??fan" in motor("status").stdout


def test_an_edge_that_is_away_is_one_line(edge: Edge, motor: Any) -> None:
    edge.address = "http://127.0.0.1:9"
    for command in (("status",), ("watch",), ("history", "m1", "--csv"), ("ack", "m1"), ("models",)):
        one_line(motor(*command), 3, "127.0.0.1:9 does not answer", "MOTOR_URL")
    one_line(motor("status", "--url", "ftp://x"), 2, "http://host:port")


def test_replay_hands_over_to_the_twin(edge: Edge, motor: Any) -> None:
    edge.address = "http://127.0.0.1:9"
    done = motor("replay", "--help")
    assert done.returncode == 0
    assert "python -m simulator replay" in done.stdout


def doctor(motor: Any, edge: Edge, **environment: str) -> dict[str, tuple[str, str, str]]:
    """Verdict, text and remedy by what was looked at, with the edge's own settings."""
    settings = {k: v for k, v in edge.environment.items() if k.startswith(("MQTT_", "MOTORTWIN_"))}
    done = motor("doctor", "--json", **(settings | environment))
    assert done.returncode in (0, 1), done.stderr
    found = {one["about"]: (one["verdict"], one["text"], one["remedy"]) for one in json.loads(done.stdout)}
    assert (done.returncode == 1) == any(verdict == "fail" for verdict, *_ in found.values())
    return found


def test_the_doctor_finds_a_healthy_edge_healthy(fleet: Edge, motor: Any) -> None:
    found = doctor(motor, fleet)
    assert set(found) == {
        *("edge", "token", "motors", "losses", "clock"),
        *("settings", "broker", "disk", "bundle", "permissions"),
    }
    assert {about: one for about, one in found.items() if one[0] == "fail"} == {}
    for about in ("edge", "token", "motors", "losses", "settings", "broker", "bundle", "permissions"):
        assert found[about][0] == "ok", found[about]


def test_the_doctor_names_what_is_wrong_and_what_to_do(
    fleet: Edge, motor: Any, watcher: Watcher, tmp_path: Path
) -> None:
    watcher.publish(topics.motor("press-4", "reading"), b"{")
    wait_until(lambda: fleet.metric('motortwin_rejected_total{reason="undecodable"}') == 1.0, "the refusal")
    secret = tmp_path / "secret"
    secret.write_text("x" * 20)
    secret.chmod(0o644)
    found = doctor(
        motor,
        fleet,
        MOTOR_TOKEN="wrong-token-wrong-token",  # noqa: S106 - made up
        MQTT_URL="mqtt://127.0.0.1:9",
        MQTT_PASSWORD_FILE=str(secret),
        MOTORTWIN_BUNDLE=str(tmp_path),
    )
    assert found["token"][:1] == ("warn",)
    assert found["losses"] == ("warn", "readings refused: 1 undecodable", found["losses"][2])
    assert found["broker"][0] == "fail"
    assert "does not answer" in found["broker"][1]
    assert found["bundle"][0] == "fail"
    assert found["permissions"] == (
        "warn",
        f"everybody on this machine may use {secret}",
        f"chmod o= {secret}",
    )
    assert doctor(motor, fleet, MOTORTWIN_NOED="x")["settings"][0] == "fail"


def test_the_doctor_tells_a_wrong_password_from_a_broker_that_is_away(edge: Edge, motor: Any, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "edge", "right"], check=True, capture_output=True)
    broker = Broker(tmp_path / "closed", f"allow_anonymous false\npassword_file {passwords}\n")
    broker.start()
    try:
        edge.address = "http://127.0.0.1:9"
        edge.set(MQTT_URL=broker.url, MQTT_USERNAME="edge", MQTT_PASSWORD="wrong")  # noqa: S106 - made up
        found = doctor(motor, edge)
        assert found["edge"][0] == "fail"
        assert "python -m service" in found["edge"][2]
        assert found["broker"][0] == "fail"
        assert "refuses" in found["broker"][1]
        assert doctor(motor, edge, MQTT_PASSWORD="right")["broker"][0] == "ok"  # noqa: S106 - made up
    finally:
        broker.kill()


def test_the_doctor_notices_clocks_that_disagree(
    edge: Edge, motor: Any, watcher: Watcher, reading: Callable[..., Reading]
) -> None:
    edge.start()
    for name in ("m1", "m2", "m3"):
        watcher.introduce(name, clock="wall")
        watcher.send(reading(name, ts_s=time.time() + 250.0))
        watcher.wait_for(topics.motor(name, "health"))
    verdict, text, remedy = doctor(motor, edge)["motors"]
    assert verdict == "warn"
    assert re.search(r"2[345]\d s ahead of the edge's", text)
    assert "NTP" in remedy


@pytest.mark.usefixtures("fleet")
def test_the_doctor_works_without_the_edges_settings(motor: Any) -> None:
    done = motor("doctor")
    assert done.returncode == 0, done.stdout
    assert "no settings here" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("0 failed")
