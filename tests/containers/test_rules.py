"""Prometheus' own tool judges rules and configuration; no container needed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.agent.journal import Record
from deploy.agent.report import Report
from deploy.agent.settings import Settings
from service.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def _promtool(*arguments: str) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.fail("promtool is missing: apt-get install prometheus")
    done = subprocess.run(
        [program, *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _known() -> set[str]:
    """Every series name that the edge can expose, and what Prometheus and our recording rules add."""
    exposed = {
        line.split("{")[0].split(" ")[0]
        for line in Metrics().exposition().decode().splitlines()
        if not line.startswith("#")
    }
    recorded = set(re.findall(r"record: (\S+)", (DEPLOY / "prometheus" / "edge.rules.yml").read_text()))
    declared = {
        line.split()[2] + suffix
        for line in Metrics().exposition().decode().splitlines()
        if line.startswith("# TYPE")
        for suffix in ("", "_bucket", "_sum", "_count", "_total", "_info")
    }
    return exposed | declared | recorded


def _used(text: str) -> set[str]:
    return set(re.findall(r"\b(?:instance:)?motortwin_[a-z0-9_:]+", text))


@pytest.mark.parametrize("of", ["edge", "agent"])
def test_alerting_rules_fire_when_they_should_and_only_then(of: str) -> None:
    _promtool("test", "rules", f"{of}.test.yml")


def test_rules_ask_for_nothing_that_the_edge_does_not_expose() -> None:
    used = _used((DEPLOY / "prometheus" / "edge.rules.yml").read_text())
    assert len(used) > 10
    assert used <= _known()


@pytest.mark.parametrize("of", ["edge", "agent"])
def test_every_alert_has_a_test_that_lets_it_fire(of: str) -> None:
    names = set(re.findall(r"- alert: (\S+)", (DEPLOY / "prometheus" / f"{of}.rules.yml").read_text()))
    fired = set(
        re.findall(r"alertname: (\S+)\n\s+exp_alerts:\n", (DEPLOY / "prometheus" / f"{of}.test.yml").read_text())
    )
    assert names == fired


def test_rules_ask_for_nothing_that_the_agent_does_not_expose() -> None:
    report = Report(Settings(registry="", keys=""))
    report.say(Record())
    exposed = set(re.findall(r"^(motortwin_agent_[a-z_]+)", report.exposition().decode(), re.MULTILINE))
    used = _used((DEPLOY / "prometheus" / "agent.rules.yml").read_text())
    assert len(used) == 2
    assert used <= exposed


def test_the_dashboard_asks_for_nothing_that_the_edge_does_not_expose() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "motortwin.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 10
    assert _used("\n".join(expressions)) <= _known()
    for expression in expressions:
        _promtool_accepts(expression.replace("$__rate_interval", "1m"))


def _promtool_accepts(expression: str) -> None:
    rule = json.dumps({"groups": [{"name": "x", "rules": [{"record": "x", "expr": expression}]}]})
    program = shutil.which("promtool") or "promtool"
    done = subprocess.run(
        [program, "check", "rules", "/dev/stdin"], input=rule, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{expression}: {done.stdout}{done.stderr}"


def test_panels_stand_beside_and_never_upon_each_other() -> None:
    panels = json.loads((DEPLOY / "grafana" / "motortwin.json").read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_a_panel_without_data_says_what_to_look_at() -> None:
    for panel in json.loads((DEPLOY / "grafana" / "motortwin.json").read_text())["panels"]:
        told = panel["fieldConfig"]["defaults"]["noValue"]
        troubles = all(target["expr"].endswith("> 0") for target in panel["targets"])
        if panel["type"] == "stat":
            assert told == "no data", panel["title"]
        else:
            assert told.startswith("Nothing of this has happened" if troubles else "No data: "), panel["title"]
            assert "Prometheus" in told


def test_the_dashboard_is_what_its_program_writes() -> None:
    done = subprocess.run(
        [sys.executable, DEPLOY / "grafana" / "dashboard.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
