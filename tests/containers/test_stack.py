"""What a person sees who types ``docker compose up -d --wait`` and listens from outside."""

from __future__ import annotations

import json
import shutil
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.containers

AUTOSAVED_S = 4.0
"""After this time the broker has certainly written down what it acknowledged; it does so every two seconds."""

ROOT = Path(__file__).resolve().parents[2]
MAY_BE_EMPTY = {"Refused, displaced, masked per second", "Failures"}

ALERTS = "motortwin/v1/motor/+/alert/+"


def test_one_command_ends_with_everything_healthy(stack) -> None:
    lines = stack.compose("ps", "--format", "json").stdout.splitlines()
    states = {state["Service"]: (state["State"], state["Health"]) for state in map(json.loads, lines)}
    assert set(states) == set(stack.services)
    assert all(state == "running" for state, _ in states.values()), states
    assert all(states[name][1] == "healthy" for name in ("mosquitto", "edge", "prometheus")), states
    assert stack.started_s < 120.0


def test_a_listener_outside_hears_of_the_failing_motor_and_nothing_of_the_healthy_one(
    stack, listener, eventually: Callable[..., Any]
) -> None:
    topic = f"motortwin/v1/motor/{stack.failing}/alert/{stack.fault}"

    def opened() -> Any:
        heard = listener.hear(topic, for_s=5.0, messages=1)
        return [alert for _, alert in heard if alert and alert["state"] in ("open", "update")]

    (alert,) = eventually("an open alert", opened, within_s=3 * stack.life_s)
    assert alert["motor"] == stack.failing
    assert alert["condition"] == stack.fault
    # a whole life of both motors, from a late subscriber's view
    alerts = listener.hear(ALERTS, for_s=stack.life_s + 5.0)
    assert {topic.split("/")[3] for topic, _ in alerts} == {stack.failing}


def test_every_topic_in_use_is_documented(listener, eventually: Callable[..., Any]) -> None:
    eventually("health", lambda: listener.hear("motortwin/v1/motor/+/health", for_s=5.0, messages=1), within_s=60.0)
    kinds = {(topic.split("/")[2], topic.split("/")[4]) for topic, _ in listener.hear("motortwin/#", for_s=3.0)}
    assert kinds <= {
        ("motor", "birth"),
        ("motor", "health"),
        ("motor", "alert"),
        ("motor", "availability"),
        ("edge", "availability"),
        ("edge", "rejected"),
    }


def test_the_published_metrics_pass_promtool(stack, run: Callable[..., Any]) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("promtool is missing: apt-get install prometheus")
    page = run("curl", "--silent", "--fail", f"{stack.edge_url}/metrics").stdout
    assert "motortwin_readings_total" in page
    judged = run("bash", "-c", f'{program} check metrics <<<"$1"', "bash", page)
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")


def test_prometheus_scrapes_the_edge_and_a_rule_fires_for_the_failing_motor(
    stack, eventually: Callable[..., Any]
) -> None:
    (up,) = eventually("target", lambda: stack.ask_prometheus("up%7Bjob=%22edge%22%7D"), within_s=20.0)
    assert up["value"][1] == "1"
    firing = eventually(
        "MotorFault", lambda: stack.ask_prometheus("ALERTS%7Balertname=%22MotorFault%22%7D"), within_s=60.0
    )
    assert [(alert["metric"]["alertstate"], alert["metric"]["condition"]) for alert in firing] == [
        ("firing", stack.fault)
    ]
    assert stack.ask_prometheus("ALERTS%7Balertname=%22Watchdog%22,alertstate=%22firing%22%7D")
    assert stack.ask_prometheus("instance:motortwin_readings:rate1m")


def test_every_panel_of_the_dashboard_gets_data(stack, eventually: Callable[..., Any]) -> None:
    panels = json.loads((ROOT / "deploy" / "grafana" / "motortwin.json").read_text())["panels"]
    asked = [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]
    assert len(asked) > 15
    # a panel of troubles is rightly empty where there are none: its series are there all the same
    queries = {(title, expr.removesuffix(" > 0").replace("$__rate_interval", "1m")) for title, expr in asked}

    def unanswered() -> list[tuple[str, str]]:
        return [one for one in sorted(queries) if not stack.ask_prometheus(urllib.parse.quote(one[1]))]

    # what is written only once something went wrong; promtool has judged the expression
    eventually("data", lambda: {title for title, _ in unanswered()} <= MAY_BE_EMPTY, within_s=90.0)


def test_the_page_shows_both_motors_in_a_browser(stack, browser, kept: Path, eventually: Callable[..., Any]) -> None:
    browser.open(stack.edge_url + "/")
    tiles = "return [...document.querySelectorAll('#fleet li')].map(tile => tile.innerText).join()"
    eventually("two tiles", lambda: browser.run(tiles).count("Anomaly") == 2, within_s=30.0)
    (kept / "page.png").write_bytes(browser.screenshot())
    assert "Fails by outer race" in browser.run(tiles)
    assert browser.log() == []


def test_the_edge_is_asked_at_its_own_terminal(stack, eventually: Callable[..., Any]) -> None:
    eventually("both motors", lambda: set(stack.motors()) == {stack.failing, stack.healthy}, within_s=30.0)
    told = json.loads(stack.inside("edge", "motor", "status", "--json").stdout)
    assert {motor["motor"] for motor in told["motors"]} == {stack.failing, stack.healthy}
    looked = stack.inside("edge", "motor", "doctor", "--json")
    found = {one["about"]: one["verdict"] for one in json.loads(looked.stdout)}
    assert {about for about, verdict in found.items() if verdict == "fail"} == set(), looked.stdout
    assert {found[about] for about in ("settings", "broker", "disk", "bundle")} <= {"ok", "warn"}


def test_the_edge_comes_back_from_a_kill_and_remembers(stack, listener, eventually: Callable[..., Any]) -> None:
    eventually("an alert", lambda: stack.motors() and _alerts_open(stack), within_s=2 * stack.life_s)
    before = stack.container("edge")["RestartCount"]
    stack.inside("edge", "python", "-c", _KILL_THE_SERVICE)
    eventually("a restart", lambda: stack.container("edge")["RestartCount"] > before, within_s=20.0)
    eventually("ready", lambda: stack.metrics().get("motortwin_mqtt_connected") == 1.0, within_s=60.0)
    # known motors come from its own disk and from retained births, readings from the session the broker kept
    eventually("readings", lambda: stack.metrics().get("motortwin_readings_total", 0.0) > 0.0, within_s=30.0)
    assert set(stack.motors()) == {stack.failing, stack.healthy}
    assert stack.metrics()["motortwin_states_lost_total"] == 0.0
    said = listener.hear("motortwin/v1/edge/edge/availability", for_s=5.0, messages=1)
    assert [message["state"] for _, message in said] == ["online"]
    assert {topic.split("/")[3] for topic, _ in listener.hear(ALERTS, for_s=3.0)} <= {stack.failing}


def test_the_broker_comes_back_from_a_kill_with_what_it_had_acknowledged(
    stack, listener, run: Callable[..., Any], eventually: Callable[..., Any]
) -> None:
    # a message that nobody will say again, unlike the births and alerts of edge and twin
    topic, password = "motortwin/v1/motor/press-5/birth", stack.prepare("sensor", "press-5")
    stack.reload_users()
    said = ["-t", topic, "-m", '{"said": "once"}', "--retain", "-q", "1"]
    assert run("mosquitto_pub", "-p", str(stack.mqtt_port), "-u", "press-5", "-P", password, *said).returncode == 0
    time.sleep(AUTOSAVED_S)
    sessions = stack.metrics()["motortwin_mqtt_connections_total"]
    before = stack.container("mosquitto")["RestartCount"]

    stack.inside("mosquitto", "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")

    eventually("a restart", lambda: stack.container("mosquitto")["RestartCount"] > before, within_s=20.0)
    eventually(
        "a new session", lambda: stack.metrics().get("motortwin_mqtt_connections_total", 0.0) > sessions, within_s=60.0
    )
    readings = stack.metrics()["motortwin_readings_total"]
    eventually("readings", lambda: stack.metrics()["motortwin_readings_total"] > readings, within_s=60.0)
    assert listener.hear(topic, for_s=5.0, messages=1, retained=True) == [(topic, {"said": "once"})]
    eventually("healthy", lambda: stack.container("edge")["State"]["Health"]["Status"] == "healthy", within_s=40.0)


_KILL_THE_SERVICE = """
import os, pathlib, signal
(program,) = pathlib.Path("/proc/1/task/1/children").read_text().split()[:1]
os.kill(int(program), signal.SIGKILL)
"""


def _alerts_open(stack: Any) -> bool:
    return any(value > 0 for name, value in stack.metrics().items() if name.startswith("motortwin_alerts_open"))
