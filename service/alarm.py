"""When a condition is worth an alert, and the alert's messages from opening to clearing. Pure.

Each motor remembers, per condition of ``CONDITIONS``, which of the last ``span`` readings were hits (a bit each) and
how many readings in a row were quiet. An alert opens on a hit that completes ``open_hits`` of ``span``; it clears
after ``clear_after`` quiet readings in a row. Between ``clear_at`` and ``open_at`` a reading is neither.

- Evidence that is missing (NaN) is neither a hit nor quiet: a sensor that lost its vibration channel clears nothing.
- A named fault supersedes a bare ``anomaly``: while a fault's alert is open the anomaly does not open, and an open
  one is cleared in the same reading. People get one alert for one trouble, with its name as soon as there is one.
- A condition that the present bundle does not judge is cleared, as nothing else ever would.
- Clearing forgets the hits, so reopening takes fresh evidence.
- A fault of the shaft does not open while a motor settles; its hits are kept, so that one that is there from the first
  day opens right after. Till then it is a warning and a diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service import outlook
from service.contract.faults import ANOMALY, CONDITIONS, Fault
from service.contract.messages import Alert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from service.contract.manifest import AlarmSpec

COLUMN: dict[str, int] = {condition: column for column, condition in enumerate(CONDITIONS)}
"""Condition to column of the alarm arrays."""

SEVERITY_STEP = 0.1
"""A severity that moved this far since the alert's last message is told."""

_OF_SHAFT = np.isin(
    CONDITIONS, (Fault.IMBALANCE, Fault.MISALIGNMENT, Fault.LOOSENESS, Fault.BENT_SHAFT, Fault.SOFT_FOOT)
)
_QUIET_MAX = np.uint32(2**32 - 1)
_ROUNDING = 1e-9  # 0.5 - 0.4 is a step of 0.1 too


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """The manifest's ``alarms`` as arrays ``(C,)`` over ``CONDITIONS``; a condition without a rule is not ``known``."""

    known: NDArray[np.bool_]
    open_at: NDArray[np.float64]
    clear_at: NDArray[np.float64]
    open_hits: NDArray[np.uint8]
    span: NDArray[np.uint64]
    clear_after: NDArray[np.uint32]


class Verdict(NamedTuple):
    """Alarm arrays after a reading, and what passed, opened and cleared with it; all ``(n, C)``.

    ``calm`` where nothing did, nothing is open and no hit is remembered.
    """

    hits: NDArray[np.uint64]
    quiet: NDArray[np.uint32]
    opened: NDArray[np.bool_]
    cleared: NDArray[np.bool_]
    passing: NDArray[np.bool_]
    calm: bool


class Evidence(NamedTuple):
    """What one reading says of one motor; None where it says nothing."""

    ts_s: float
    anomaly: float | None
    probability: Mapping[str, float]
    severity: float | None
    rul_h: float | None
    band: str | None
    model: str


def rules_of(alarms: Mapping[str, AlarmSpec]) -> Rules:
    """The manifest's alarm settings, ready for ``judge``."""
    specs = [alarms.get(condition) for condition in CONDITIONS]
    return Rules(
        known=np.array([spec is not None for spec in specs]),
        open_at=np.array([spec.open_at if spec else np.inf for spec in specs]),
        clear_at=np.array([spec.clear_at if spec else np.inf for spec in specs]),
        open_hits=np.array([spec.open_hits if spec else 64 for spec in specs], dtype=np.uint8),
        span=np.array([(1 << spec.span) - 1 if spec else 0 for spec in specs], dtype=np.uint64),
        clear_after=np.array([spec.clear_after if spec else 1 for spec in specs], dtype=np.uint32),
    )


def judge(
    hits: NDArray[np.uint64],
    quiet: NDArray[np.uint32],
    is_open: NDArray[np.bool_],
    values: NDArray[np.float64],
    rules: Rules,
    settling: Callable[[], NDArray[np.bool_]] | None = None,
) -> Verdict:
    """One reading of each of ``n`` motors.

    Args:
        hits: ``(n, C)`` hit memory, newest reading in bit 0.
        quiet: ``(n, C)`` quiet readings in a row.
        is_open: ``(n, C)`` alerts that are open now.
        values: ``(n, C)`` anomaly and probabilities, NaN without evidence.
        rules: thresholds and counts.
        settling: gives ``(n,)`` motors that have only just begun, see ``service.level``, and is asked only where
            something opens; None for none.
    """
    hit = values >= rules.open_at
    grown = np.minimum(quiet, _QUIET_MAX - np.uint32(1)) + np.uint32(1)
    quiet = np.where(values < rules.clear_at, grown, np.where(values >= rules.clear_at, np.uint32(0), quiet))
    if not (hits.any() or hit.any() or is_open.any()):
        return Verdict(hits, quiet, hit, hit, hit, calm=True)
    hits = np.where(np.isnan(values), hits, (hits << np.uint64(1) | hit) & rules.span)
    opened = ~is_open & hit & (np.bitwise_count(hits) >= rules.open_hits)
    cleared = is_open & ((quiet >= rules.clear_after) | ~rules.known)
    if settling is not None and opened.any():
        opened &= ~(settling()[:, None] & _OF_SHAFT)
    anomaly = COLUMN[ANOMALY]
    named = (is_open & ~cleared) | opened
    named[:, anomaly] = False
    explained = named.any(axis=1)
    opened[:, anomaly] &= ~explained
    cleared[:, anomaly] |= is_open[:, anomaly] & explained
    hits = np.where(cleared, np.uint64(0), hits)
    quiet = np.where(opened | cleared, np.uint32(0), quiet)
    return Verdict(hits, quiet, opened, cleared, hit, calm=False)


def open_alert(motor: str, condition: str, evidence: Evidence, spec: AlarmSpec, hit_count: int, revision: int) -> Alert:
    """The first message of a new alert."""
    seen = f"in {hit_count} of the last {spec.span} readings" if spec.span > 1 else "in the last reading"
    band = f", most in {evidence.band.replace('_', ' ')}" if evidence.band else ""
    if condition == ANOMALY:
        what = (
            f"Unlike healthy running {seen}: anomaly {evidence.anomaly or 0.0:.2f} (opens at {spec.open_at:.2f}){band}"
            f"{_unexplained(evidence)}"
        )
    else:
        probability = evidence.probability.get(condition, 0.0)
        what = f"{_fault(condition)} {seen}: probability {probability:.2f} (opens at {spec.open_at:.2f}){band}"
    return Alert(
        id=f"{motor}:{condition}:{_ms(evidence.ts_s)}",
        motor=motor,
        condition=condition,
        state="open",
        revision=revision,
        opened_ts_s=evidence.ts_s,
        ts_s=evidence.ts_s,
        severity=evidence.severity,
        probability=evidence.probability.get(condition),
        anomaly=evidence.anomaly,
        rul_h=evidence.rul_h,
        reason=f"{what}{_outlook(evidence)}.",
        model=evidence.model,
    )


def moved(alert: Alert, severity: float | None, rul_h: float | None) -> bool:
    """Whether an open alert is worth another message.

    What matters: severity moved by ``SEVERITY_STEP``, or the remaining life became known or halved.
    """
    worse = severity is not None and (
        alert.severity is None or abs(severity - alert.severity) >= SEVERITY_STEP - _ROUNDING
    )
    return worse or (rul_h is not None and (alert.rul_h is None or rul_h < alert.rul_h / 2))


def updated(alert: Alert, evidence: Evidence) -> Alert | None:
    """The next message of an open alert, or None while nothing that matters changed."""
    severity, rul_h = evidence.severity, evidence.rul_h
    if not moved(alert, severity, rul_h):
        return None
    subject = "Anomaly" if alert.condition == ANOMALY else _fault(alert.condition)
    return alert.model_copy(
        update={
            "state": "update",
            "revision": alert.revision + 1,
            "ts_s": evidence.ts_s,
            "severity": alert.severity if severity is None else severity,
            "probability": evidence.probability.get(alert.condition, alert.probability),
            "anomaly": alert.anomaly if evidence.anomaly is None else evidence.anomaly,
            "rul_h": alert.rul_h if rul_h is None else rul_h,
            "reason": f"{subject} goes on{_outlook(evidence)}.",
            "model": evidence.model,
        }
    )


def cleared(alert: Alert, ts_s: float, reason: str, model: str) -> Alert:
    """The last message of an alert."""
    return alert.model_copy(
        update={"state": "clear", "revision": alert.revision + 1, "ts_s": ts_s, "reason": reason[:400], "model": model}
    )


def clear_reason(condition: str, evidence: Evidence, spec: AlarmSpec | None, explained_by: str | None) -> str:
    """One sentence: why an alert ended."""
    if spec is None:
        return f"{_fault(condition)} is not judged by the present models."
    if condition == ANOMALY and explained_by is not None:
        return f"Explained by {explained_by.replace('_', ' ')}, which has an alert of its own."
    subject = "Running like healthy ones" if condition == ANOMALY else f"{_fault(condition)} no longer seen"
    value = evidence.anomaly if condition == ANOMALY else evidence.probability.get(condition)
    return (
        f"{subject} for {spec.clear_after} readings in a row: "
        f"{'anomaly' if condition == ANOMALY else 'probability'} {value or 0.0:.2f} (clears under {spec.clear_at:.2f})."
    )


def _ms(ts_s: float) -> int:
    return int(ts_s * 1000)


def _fault(condition: str) -> str:
    return f"{condition.replace('_', ' ').capitalize()} fault"


def _unexplained(evidence: Evidence) -> str:
    """A bare anomaly opens only while no fault's alert is open: its cause is unknown, and the likeliest one is told."""
    if not evidence.probability:
        return ""
    likeliest = max(evidence.probability, key=lambda fault: evidence.probability[fault])
    return f"; cause unknown so far (likeliest {likeliest.replace('_', ' ')}, {evidence.probability[likeliest]:.2f})"


def _outlook(evidence: Evidence) -> str:
    severity = "" if evidence.severity is None else f", severity {evidence.severity:.2f}"
    life = "" if evidence.rul_h is None else f", {outlook.left(evidence.rul_h)}"
    return severity + life
