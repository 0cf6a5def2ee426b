"""The Grafana dashboard as code: ``python deploy/grafana/dashboard.py`` writes ``motortwin.json`` beside this file.

Rows from top to bottom answer: what is wrong with the motors, does the edge hear them, is it quick, is it well.
"""  # noqa: INP001 - a program, not a package

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("motortwin.json")
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24
NO_DATA = "No data: does Prometheus reach the edge's /metrics, and is its data source this one?"
NO_TROUBLE = "Nothing of this has happened, or Prometheus does not reach the edge: see 'Edge answers'"
RED_ABOVE_ZERO = [{"color": "green", "value": None}, {"color": "red", "value": 1}]
RED_BELOW_ONE = [{"color": "red", "value": None}, {"color": "green", "value": 1}]

Query = tuple[str, str]
"""Expression and legend."""

STATS: list[tuple[str, str, list[dict[str, Any]]]] = [
    ("Edge answers", 'min(up{job="edge"})', RED_BELOW_ONE),
    ("Broker connected", "min(motortwin_mqtt_connected)", RED_BELOW_ONE),
    ("State is saved", "min(motortwin_store_up)", RED_BELOW_ONE),
    ("Open alerts", "sum(motortwin_alerts_open)", RED_ABOVE_ZERO),
    ("Silent motors", "sum(motortwin_motors_silent)", RED_ABOVE_ZERO),
    ("Motors", "sum(motortwin_motors)", [{"color": "blue", "value": None}]),
]

CHARTS: list[tuple[str, str, list[Query]]] = [
    ("Motors by state", "short", [("sum by (state) (motortwin_motors)", "{{state}}")]),
    ("Open alerts by condition", "short", [("sum by (condition) (motortwin_alerts_open) > 0", "{{condition}}")]),
    (
        "Readings per second",
        "reqps",
        [("sum by (instance) (rate(motortwin_readings_total[$__rate_interval]))", "{{instance}}")],
    ),
    (
        "Refused, displaced, masked per second",
        "reqps",
        [
            ("sum by (reason) (rate(motortwin_rejected_total[$__rate_interval])) > 0", "refused: {{reason}}"),
            ("sum by (reason) (rate(motortwin_shed_total[$__rate_interval])) > 0", "displaced: {{reason}}"),
            ("sum by (signal) (rate(motortwin_masked_total[$__rate_interval])) > 0", "masked: {{signal}}"),
        ],
    ),
    (
        "From arrival to answer",
        "s",
        [
            (
                f"histogram_quantile({q}, sum by (le) (rate(motortwin_latency_seconds_bucket[$__rate_interval])))",
                name,
            )
            for q, name in ((0.5, "median"), (0.99, "99 of 100"))
        ],
    ),
    ("Mean time of a batch by stage", "s", [("instance:motortwin_stage_seconds:mean5m", "{{stage}}")]),
    (
        "Waiting inside the edge",
        "short",
        [("sum(motortwin_inbox_messages)", "messages"), ("sum(motortwin_outbox_alerts)", "alerts")],
    ),
    (
        "Failures",
        "short",
        [
            ("sum(increase(motortwin_step_failures_total[$__rate_interval]))", "steps"),
            ("sum(increase(motortwin_store_failures_total[$__rate_interval]))", "store"),
            ("sum(increase(motortwin_states_lost_total[$__rate_interval]))", "states lost"),
        ],
    ),
    (
        "Drift of the inputs",
        "short",
        [("max by (signal) (motortwin_drift_score)", "{{signal}}"), ("max(motortwin_drift_threshold)", "found at")],
    ),
    ("Motors by drift", "short", [("sum by (status) (motortwin_drift_motors)", "{{status}}")]),
    (
        "Sensors that say nothing",
        "reqps",
        [
            ("sum by (signal) (rate(motortwin_missing_total[$__rate_interval])) > 0", "missing: {{signal}}"),
            ("sum by (signal) (rate(motortwin_flat_total[$__rate_interval])) > 0", "flat: {{signal}}"),
        ],
    ),
    ("Age of the oldest waiting alert", "s", [("max(motortwin_outbox_age_seconds)", "outbox")]),
    ("Surprise of the health filter", "short", [("instance:motortwin_filter_nis:mean15m", "{{instance}}")]),
    ("Memory of the edge", "bytes", [('process_resident_memory_bytes{job="edge"}', "{{instance}}")]),
    (
        "Processor of the edge",
        "percentunit",
        [('rate(process_cpu_seconds_total{job="edge"}[$__rate_interval])', "{{instance}}")],
    ),
]


def _panel(number: int, kind: str, title: str, queries: list[Query], at: dict[str, int], **more: Any) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
        for at, (expression, legend) in enumerate(queries)
    ]
    return {
        "id": number,
        "type": kind,
        "title": title,
        "datasource": DATASOURCE,
        "gridPos": at,
        "targets": targets,
        **more,
    }


def dashboard() -> dict[str, Any]:
    """The whole dashboard as Grafana's JSON model."""
    panels = []
    width = COLUMNS // len(STATS)
    for column, (title, expression, steps) in enumerate(STATS):
        look = {"defaults": {"thresholds": {"mode": "absolute", "steps": steps}, "noValue": "no data"}, "overrides": []}
        place = {"x": column * width, "y": 0, "w": width, "h": 4}
        panels.append(_panel(len(panels) + 1, "stat", title, [(expression, "")], place, fieldConfig=look))
    for at, (title, unit, queries) in enumerate(CHARTS):
        place = {"x": at % 2 * 12, "y": 4 + at // 2 * 8, "w": 12, "h": 8}
        only_troubles = all(expression.endswith("> 0") for expression, _ in queries)
        empty = NO_TROUBLE if only_troubles else NO_DATA
        look = {"defaults": {"unit": unit, "min": 0, "noValue": empty}, "overrides": []}
        panels.append(_panel(len(panels) + 1, "timeseries", title, queries, place, fieldConfig=look))
    return {
        "uid": "motortwin",
        "title": "motortwin",
        "tags": ["motortwin"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "panels": panels,
    }


def text() -> str:
    """What ``motortwin.json`` holds."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if TARGET.read_text() == text() else f"{TARGET} is not what {__file__} writes: run it")
    TARGET.write_text(text())
