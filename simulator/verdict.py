"""Alerts against the twin's truth: what was caught before it failed, what was missed, what was a false alarm. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.contract.faults import ANOMALY, Fault

if TYPE_CHECKING:
    from service.contract.messages import Alert, Truth


@dataclass(slots=True)
class _Course:
    """One motor's truth over time: the active faults from each change on."""

    ts_s: list[float] = field(default_factory=list)
    active: list[frozenset[Fault]] = field(default_factory=list)
    failures: list[tuple[float, frozenset[Fault]]] = field(default_factory=list)
    failed: bool = False

    def at(self, ts_s: float) -> frozenset[Fault]:
        """Faults with a severity above zero at a time; none before the first truth."""
        index = bisect_right(self.ts_s, ts_s)
        return self.active[index - 1] if index else frozenset()

    def since(self, ts_s: float) -> float:
        """Start of the spell without a healthy moment that leads up to a time."""
        index = bisect_right(self.ts_s, ts_s) - 1
        while index > 0 and self.active[index - 1]:
            index -= 1
        return self.ts_s[max(index, 0)]


class Verdict:
    """Collects truths and alerts of one run and counts.

    A motor's failure is *missed* unless an alert naming one of its active faults opened before it failed. An alert is
    *false* if it names a fault whose severity was zero when it opened; a bare ``anomaly`` if no fault was active.
    """

    def __init__(self) -> None:
        self._courses: dict[str, _Course] = {}
        self._opened: dict[str, Alert] = {}

    def truth(self, truth: Truth) -> None:
        """Take one truth; a motor's must come in order of time."""
        course = self._courses.setdefault(truth.motor, _Course())
        active = frozenset(fault for fault, severity in truth.faults.items() if severity > 0)
        if not course.active or course.active[-1] != active:
            course.ts_s.append(truth.ts_s)
            course.active.append(active)
        if truth.failed and not course.failed:
            failed_at = truth.failure_ts_s if truth.failure_ts_s is not None else truth.ts_s
            course.failures.append((failed_at, active))
        course.failed = truth.failed

    def alert(self, alert: Alert) -> bool:
        """Take one alert message; True for the first message of an alert."""
        first = alert.id not in self._opened
        if first:
            self._opened[alert.id] = alert
        return first

    @property
    def alerts(self) -> int:
        """How many alerts opened."""
        return len(self._opened)

    def false(self) -> list[Alert]:
        """Alerts that the truth does not bear out."""
        return [alert for alert in self._opened.values() if not self._true(alert)]

    def missed(self) -> list[tuple[str, float]]:
        """``(motor, failure ts_s)`` of failures that no alert named in time."""
        return [
            (motor, failed_at)
            for motor, course in self._courses.items()
            for failed_at, faults in course.failures
            if not self._warnings(motor, course, failed_at, faults)
        ]

    def warned(self) -> dict[Fault, float]:
        """Faults that were named before their motor failed -> longest lead in hours."""
        leads: dict[Fault, float] = {}
        for motor, course in self._courses.items():
            for failed_at, faults in course.failures:
                for alert in self._warnings(motor, course, failed_at, faults):
                    fault = Fault(alert.condition)
                    lead_h = (failed_at - alert.opened_ts_s) / 3600
                    leads[fault] = max(lead_h, leads.get(fault, 0.0))
        return leads

    def _true(self, alert: Alert) -> bool:
        course = self._courses.get(alert.motor)
        active = course.at(alert.opened_ts_s) if course else frozenset()
        return bool(active) if alert.condition == ANOMALY else alert.condition in active

    def _warnings(self, motor: str, course: _Course, failed_at: float, faults: frozenset[Fault]) -> list[Alert]:
        begun = course.since(failed_at)
        return [
            alert
            for alert in self._opened.values()
            if alert.motor == motor and alert.condition in faults and begun <= alert.opened_ts_s < failed_at
        ]
