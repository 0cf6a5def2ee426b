"""What the running edge tells of itself: readiness, token, its sensors and their clocks, what was lost."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from service.console.exits import Exit
from service.console.finding import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.console.edge import Edge

_SKEW_S = 120.0
_NOBODY = "motor-doctor:nobody:0"
_LOSSES = {
    "motortwin_rejected_total": (
        "readings refused",
        "the topic motortwin/v1/edge/NODE/rejected names field and remedy",
    ),
    "motortwin_shed_total": ("readings displaced unread", "the machine is too slow, or [inbox] too small"),
    "motortwin_step_failures_total": ("steps that raised", "the log holds the cause; report it"),
    "motortwin_historian_dropped_total": ("samples that history could not take", "look at the disk"),
    "motortwin_states_lost_total": ("stored motor states that could not be read", "the log names the motors"),
}
_LOST_NOTICES = ("refused", "queue_full", "too_old")
_SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.MULTILINE)


def examined(edge: Edge) -> Iterator[Finding]:
    """Everything that can be asked of it; one finding where it does not answer."""
    try:
        status, ready = edge.status("health", "ready")
    except Exit as away:
        yield Finding(
            "edge", "fail", str(away), "look at its log; start it: python -m service, docker compose up -d edge"
        )
        return
    yield _ready(edge, status, ready)
    for look in (_token, _motors, _losses):
        try:
            yield look(edge)
        except Exit as refused:
            yield Finding(look.__name__.strip("_"), "fail", str(refused), "look at the edge's log")


def _ready(edge: Edge, status: int, ready: Any) -> Finding:
    if not isinstance(ready, dict) or "status" not in ready:
        return Finding("edge", "fail", f"{edge.url} answers {status}, and not like an edge", "correct --url")
    if ready["status"] == "ready":
        return Finding("edge", "ok", f"{edge.url} is ready, version {ready['version']}, MQTT {ready['mqtt_protocol']}")
    verdict: Verdict = "fail" if ready["status"] == "unready" else "warn"
    return Finding("edge", verdict, f"{ready['status']}: {'; '.join(ready['reasons'])}", "each reason names its remedy")


def _token(edge: Edge) -> Finding:
    if not edge.get("v1", "site")["changes"]:
        remedy = "set MOTORTWIN_HTTP_TOKEN_FILE where alerts are to be acknowledged or models swapped"
        return Finding("token", "warn", "this edge has none: nothing can be changed", remedy)
    try:
        edge.post("v1", "alerts", _NOBODY, "notes", body={"kind": "comment", "by": "doctor"})
    except Exit as answer:
        # an alert that nobody has is refused only after the token has been looked at
        if "no alert has this id" in str(answer):
            return Finding("token", "ok", "the edge takes it")
        return Finding("token", "warn", str(answer), "give --token-file FILE, the file that http.token_file names")
    return Finding("token", "ok", "the edge takes it")


def _motors(edge: Edge) -> Finding:
    motors = edge.get("v1", "motors")["motors"]
    if not motors:
        return Finding(
            "motors", "warn", "none has introduced itself", "see CONNECT.md, or add [motors.ID] to the settings"
        )
    silent = sorted(motor["motor"] for motor in motors if motor["availability"] == "silent")
    ahead = sorted(_ahead_s(motor) for motor in motors if motor["clock"] == "wall" and motor["health"])
    middle_s = ahead[len(ahead) // 2] if ahead else 0.0
    if abs(middle_s) > _SKEW_S:
        text = f"most sensors' times are {abs(middle_s):.0f} s {'ahead of' if middle_s > 0 else 'behind'} the edge's"
        return Finding("motors", "warn", text, "set the edge's clock (NTP), or the sensors'")
    if silent:
        text = f"{len(silent)} of {len(motors)} are silent: {', '.join(silent[:5])}"
        return Finding("motors", "warn", text, "look at their sensors, their network, their broker user")
    return Finding("motors", "ok", f"{len(motors)} known, all heard")


def _ahead_s(motor: dict[str, Any]) -> float:
    """How far a sensor's time was ahead of the edge's when it was heard."""
    return float(motor["health"]["ts_s"]) - float(motor["heard_ts_s"] or time.time())


def _losses(edge: Edge) -> Finding:
    text = b"".join(edge.lines("metrics")).decode()
    samples = [(name, labels, float(value)) for name, labels, value in _SAMPLE.findall(text)]
    lost = []
    for counter, (what, remedy) in _LOSSES.items():
        reasons = [(labels, value) for name, labels, value in samples if name == counter and value > 0]
        if reasons:
            told = ", ".join(
                f"{value:.0f} {labels.partition('=')[2].strip(chr(34))}".strip() for labels, value in reasons
            )
            lost.append((f"{what}: {told}", remedy))
    notices = sum(
        value
        for name, labels, value in samples
        if name == "motortwin_notices_total" and any(f'result="{result}"' in labels for result in _LOST_NOTICES)
    )
    if notices:
        lost.append((f"alerts that people were not told: {notices:.0f}", "the log names the route and the answer"))
    if not lost:
        return Finding("losses", "ok", "nothing was refused or lost since the start")
    return Finding("losses", "warn", "; ".join(what for what, _ in lost), "; ".join(remedy for _, remedy in lost))
