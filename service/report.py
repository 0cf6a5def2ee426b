"""A motor or the fleet on paper, for the shift book: one HTML document without scripts, links or files beside it.

It prints as it stands (a browser makes the PDF). Every text that came from outside is escaped; times are UTC, because
paper has no zone. What the historian does not hold is not in it.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from html import escape
from typing import TYPE_CHECKING, Any

from service import outlook
from service.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.archive import Series
    from service.contract.messages import Health
    from service.live import Seen

_STYLE = """
body { font: 10.5pt/1.4 system-ui, sans-serif; color: #16202c; max-width: 60rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 1.4rem 0 .4rem; } p { margin: .3rem 0; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; }
th, td { padding: .25rem .5rem; } th { border-bottom: 2px solid #526071; }
td, .facts th { border-bottom: 1px solid #d5dbe3; }
.facts th { width: 30%; font-weight: 500; }
.alarm { color: #b42318; font-weight: 600; } .ok { color: #146c43; }
.warning, .silent { color: #8a5200; font-weight: 600; }
.soft { color: #526071; }
blockquote { margin: .2rem 0 .2rem 1rem; padding-left: .6rem; border-left: 3px solid #d5dbe3; }
.trends { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: .6rem 1.2rem; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-size: .9rem; } svg { width: 100%; height: 5.5rem; background: #f4f6f9; }
.sign { margin-top: 2.5rem; display: flex; gap: 3rem; } .sign span { border-top: 1px solid #526071; flex: 1; }
tr, blockquote { break-inside: avoid; } @page { margin: 15mm; }
"""
POLICY = "default-src 'none'; style-src 'sha256-" + (
    base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode() + "'; frame-ancestors 'none'"
)
"""The content security policy that lets the document have its own style and nothing else."""

_URGENCY = ("alarm", "warning", "silent", "unheard", "ok")
_UNITS = {"rpm": "1/min", "a": "A", "k": "K", "s": "s"}
_LINES = ("bpfo", "bpfi", "bsf", "ftf")
_ENDLESS_H = 1e12
_WIDTH, _HEIGHT = 600.0, 110.0
_TRENDS = {
    "health": ("Health", "%", 100.0),
    "rul_h": ("Life left", "h", 1.0),
    "severity": ("Severity", "%", 100.0),
    "anomaly": ("Anomaly score, alarm at 1", "", 1.0),
    "velocity_rms_mm_s": ("Vibration velocity, RMS", "mm/s", 1.0),
    "accel_rms_m_s2": ("Vibration acceleration, RMS", "m/s²", 1.0),
    "housing_c": ("Housing", "°C", 1.0),
    "winding_c": ("Winding", "°C", 1.0),
    "load": ("Load", "%", 100.0),
}


def of_fleet(
    node: str, model: str, motors: Sequence[Seen], alerts: Sequence[dict[str, Any]], sums: dict[str, Any], span: str
) -> str:
    """The fleet now, its alerts in a span of time, and what they cost.

    Args:
        node: the edge.
        model: the bundle in use, in words.
        motors: every motor.
        alerts: rows of the historian with their ``notes``, newest first.
        sums: what ``money.reckon`` says.
        span: the span of the alerts, in words.
    """
    counts = {state: sum(_state(seen) == state for seen in motors) for state in _URGENCY}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no motor is known"
    rows = "".join(map(_row, sorted(motors, key=_urgency)))
    head = "<tr><th>Motor<th>State<th>Diagnosis<th>Health<th>Life left<th>Last heard</tr>"
    money = (
        f"<p>At risk now: {sums['cost_at_risk']:,.0f} {escape(sums['currency'])} "
        f'<span class="soft">({escape(sums["cost_at_risk_formula"])})</span></p>'
        f"<p>Avoided: {sums['cost_avoided']:,.0f} {escape(sums['currency'])} "
        f'<span class="soft">({escape(sums["cost_avoided_formula"])})</span></p>'
    )
    body = f"<p>{escape(told)}.</p><h2>Motors</h2><table>{head}{rows}</table>"
    return _document(
        f"Fleet of {node}", model, body + _alerts(alerts, span, with_motor=True) + f"<h2>Money</h2>{money}"
    )


def of_motor(
    node: str,
    model: str,
    seen: Seen,
    plate: dict[str, float | None],
    past: Series,
    alerts: Sequence[dict[str, Any]],
    span: str,
) -> str:
    """One motor: what is known now, its trends, its alerts and what people said of them."""
    health = seen.health
    facts: list[tuple[str, str]] = [("Id", seen.profile.motor), ("Last heard", _moment(seen.heard_ts_s))]
    if health is not None:
        drivers = (health.contributions or {}).items()
        likely = sorted(health.probabilities.items(), key=lambda pair: -pair[1])[:3]
        facts += [
            ("Diagnosis", _words(health.diagnosis)),
            ("Health", _percent(health.health)),
            ("Life left", _life(seen)),
            *([] if health.rul_q25_h is None else [("9 in 10 end within", _widest(health))]),
            ("Severity", _percent(health.severity)),
            ("Most likely faults", ", ".join(f"{_words(fault)} {share:.0%}" for fault, share in likely)),
            ("Drives the anomaly score", ", ".join(f"{_band(n)} {s:.0%}" for n, s in drivers)),
            ("Not measured", ", ".join(map(_words, health.missing))),
        ]
    facts += [_plated(name, value) for name, value in plate.items() if value is not None]
    table = "".join(f"<tr><th>{escape(name)}<td>{escape(text)}</tr>" for name, text in facts if text)
    trends = "".join(_trend(past, name) for name in _TRENDS)
    state = _state(seen)
    body = (
        f'<p class="{state}">{escape(state)}</p><h2>What is known</h2><table class="facts">{table}</table>'
        f"<h2>Trends, {escape(span)}</h2>"
        + (f'<div class="trends">{trends}</div>' if trends else "<p>Nothing is kept of this span.</p>")
    )
    name = seen.profile.name or seen.profile.motor
    return _document(f"{name}, heard by {node}", model, body + _alerts(alerts, "on record", with_motor=False))


def _document(title: str, model: str, body: str) -> str:
    made = _moment(dt.datetime.now(dt.UTC).timestamp())
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f'<p class="soft">{made}, motortwin {escape(VERSION)}, model {escape(model)}. Times are UTC.</p>'
        f'{body}<p class="sign"><span>Handed over by</span><span>Taken over by</span></p></body></html>\n'
    )


def _row(seen: Seen) -> str:
    health, state = seen.health, _state(seen)
    name, motor = seen.profile.name, seen.profile.motor
    cells = [
        f"{escape(name)}<br><span class='soft'>{escape(motor)}</span>" if name and name != motor else escape(motor),
        f'<span class="{state}">{state}</span>',
        "" if health is None else escape(_words(health.diagnosis)),
        "" if health is None else _percent(health.health),
        _life(seen),
        _moment(seen.heard_ts_s),
    ]
    return "<tr>" + "".join(f"<td>{cell}" for cell in cells) + "</tr>"


def _alerts(alerts: Sequence[dict[str, Any]], span: str, *, with_motor: bool) -> str:
    heading = f"<h2>Alerts, {escape(span)}</h2>"
    head = "<tr><th>State<th>What<th>Since<th>Why, and what was said</tr>"
    if not alerts:
        return f"{heading}<p>None.</p>"
    parts = []
    for alert in alerts:
        state = "ended" if alert["state"] == "clear" else "open"
        where = f"{escape(alert['motor'])}, " if with_motor else ""
        look = "soft" if state == "ended" else "alarm"
        what = f"{where}{escape(_words(alert['condition']))}"
        why = escape(alert["reason"]) + "".join(map(_note, alert["notes"]))
        parts.append(
            f'<tr><td><span class="{look}">{state}</span><td>{what}<td>{_moment(alert["opened_ts_s"])}<td>{why}</tr>'
        )
    return f"{heading}<table>{head}{''.join(parts)}</table>"


def _note(note: dict[str, Any]) -> str:
    said = f": {escape(note['text'])}" if note["text"] else ""
    who = f"{escape(_words(note['kind']))} by {escape(note['by'])}, {_moment(note['ts_s'])}"
    return f"<blockquote>{who}{said}</blockquote>"


def _trend(past: Series, name: str) -> str:
    """One column as a line with its least, greatest and last value; nothing where fewer than two are known."""
    label, unit, scale = _TRENDS[name]
    points = [
        (ts_s, scale * value)
        for ts_s, value in zip(past.columns["ts_s"], past.columns.get(name, ()), strict=False)
        if ts_s is not None and value is not None
    ]
    if len(points) < 2:
        return ""
    values = [value for _, value in points]
    low, high, first_s, last_s = min(values), max(values), points[0][0], points[-1][0]
    # from zero where zero means something, or the noise of a steady motor fills the picture
    floor = low if unit == "°C" else min(low, 0.0)
    spread, length_s = (high - floor) or 1.0, (last_s - first_s) or 1.0
    line = " ".join(
        f"{_WIDTH * (ts_s - first_s) / length_s:.1f},{5 + (_HEIGHT - 10) * (1 - (value - floor) / spread):.1f}"
        for ts_s, value in points
    )
    caption = escape(f"{label}: {values[-1]:.4g} {unit}".strip() + f" (from {low:.4g} to {high:.4g})")
    box = f'viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" preserveAspectRatio="none"'
    look = 'fill="none" stroke="#1d4ed8" stroke-width="1.5" vector-effect="non-scaling-stroke"'
    return (
        f'<figure><figcaption>{caption}</figcaption><svg {box} role="img" aria-label="{caption}">'
        f'<polyline {look} points="{line}"/></svg>'
        f'<span class="soft">{_moment(first_s)} to {_moment(last_s)}</span></figure>'
    )


def _state(seen: Seen) -> str:
    known = None if seen.health is None else seen.health.state
    if known in (None, "ok") and seen.availability == "silent":
        return "silent"
    return known or "unheard"


def _urgency(seen: Seen) -> tuple[int, float, str]:
    rul_h = None if seen.health is None else seen.health.rul_h
    return _URGENCY.index(_state(seen)), _ENDLESS_H if rul_h is None else rul_h, seen.profile.motor


def _life(seen: Seen) -> str:
    health = seen.health
    if health is None:
        return ""
    ends_h = health.rul_low_h, health.rul_high_h, health.rul_q25_h, health.rul_q75_h
    return outlook.remaining(health.rul_h, *ends_h)


def _widest(health: Health) -> str:
    return outlook.widest(health.rul_h, health.rul_low_h, health.rul_high_h)


def _plated(name: str, value: float) -> tuple[str, str]:
    """A value of the plate with its unit; a bearing's frequencies are in turns of the shaft."""
    stem, _, suffix = name.rpartition("_")
    if suffix in _UNITS:
        return _words(stem), f"{value:.4g} {_UNITS[suffix]}"
    return _band(name), f"{value:.3g} a turn"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _band(name: str) -> str:
    return name.upper() if name in _LINES else _words(name)


def _moment(ts_s: float | None) -> str:
    if ts_s is None:
        return "never"
    return f"{dt.datetime.fromtimestamp(int(ts_s), dt.UTC):%Y-%m-%d %H:%M}"
