"""What pages and programs see: each motor's newest health, its alerts, whether it is heard.

The worker writes, readers copy. Every change takes the next number, so a reader who remembers the last number it has
seen asks for what is newer and gets each motor at most once: a slow reader gets fewer updates, never a longer queue.
Entries are values that are replaced, so the lock is held for copying references only.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from service.contract.signals import NAMEPLATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.contract.messages import Alert, Health
    from service.historian import Note
    from service.monitor import Profile

_KEPT = 256


class Seen(NamedTuple):
    """One motor as people see it; ``change`` numbers its newest change."""

    profile: Profile
    change: int
    health: Health | None = None
    heard_ts_s: float | None = None
    availability: Literal["online", "silent"] | None = None
    alerts: Mapping[str, Alert] = MappingProxyType({})

    def document(self) -> dict[str, Any]:
        """The motor as JSON-ready values."""
        return {
            "motor": self.profile.motor,
            "name": self.profile.name,
            "clock": self.profile.clock,
            "interval_s": self.profile.interval_s,
            "availability": self.availability,
            "heard_ts_s": self.heard_ts_s,
            "health": None if self.health is None else self.health.model_dump(mode="json"),
            "alerts": sorted(self.alerts),
        }

    def nameplate(self) -> dict[str, float | None]:
        """What the models know of the motor, None where unknown."""
        values = self.profile.nameplate.tolist()
        return {name: None if math.isnan(value) else value for name, value in zip(NAMEPLATE, values, strict=True)}


@dataclass(frozen=True, slots=True)
class News:
    """What changed after a number: motors, alert messages in order, ids of motors that left, what people noted.

    ``full``: this is the whole picture; what a reader had before is void.
    """

    change: int
    full: bool
    motors: list[Seen]
    alerts: list[Alert]
    gone: list[str]
    notes: list[Note]


class Live:
    """The present picture of the fleet. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._motors: dict[str, Seen] = {}
        self._cleared: deque[Alert] = deque(maxlen=_KEPT)
        self._alerts: deque[tuple[int, Alert]] = deque(maxlen=_KEPT)
        self._gone: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._notes: deque[tuple[int, Note]] = deque(maxlen=_KEPT)
        self._change = 1

    @property
    def change(self) -> int:
        """The number of the newest change."""
        return self._change

    def introduce(self, profile: Profile) -> None:
        """A motor is known, or known better."""
        with self._lock:
            seen = self._motors.get(profile.motor)
            change = self._next()
            self._motors[profile.motor] = (
                Seen(profile, change) if seen is None else seen._replace(profile=profile, change=change)
            )

    def retire(self, motor: str) -> None:
        """A motor is no longer known."""
        with self._lock:
            if self._motors.pop(motor, None) is not None:
                self._gone.append((self._next(), motor))

    def update(self, healths: Sequence[tuple[Health, float]], alerts: Sequence[Alert]) -> None:
        """Newest health with the time it was heard, and alerts, after a step."""
        newest = {health.motor: (health, heard_ts_s) for health, heard_ts_s in healths}
        with self._lock:
            for motor, (health, heard_ts_s) in newest.items():
                seen = self._motors.get(motor)
                if seen is not None:
                    self._motors[motor] = Seen(
                        seen.profile, self._next(), health, heard_ts_s, seen.availability, seen.alerts
                    )
            for alert in alerts:
                self._note(alert)

    def availability(self, motor: str, state: Literal["online", "silent"]) -> None:
        """A motor is heard again, or has gone silent."""
        with self._lock:
            seen = self._motors.get(motor)
            if seen is not None:
                self._motors[motor] = seen._replace(availability=state, change=self._next())

    def note(self, note: Note) -> None:
        """Somebody said something of an alert."""
        with self._lock:
            self._notes.append((self._next(), note))

    def motors(self) -> list[Seen]:
        """Every motor, by id."""
        with self._lock:
            seen = list(self._motors.values())
        return sorted(seen, key=lambda one: one.profile.motor)

    def motor(self, motor: str) -> Seen | None:
        """One motor, None for an unknown one."""
        with self._lock:
            return self._motors.get(motor)

    def alerts(self, *, cleared: bool) -> list[Alert]:
        """Open alerts, newest first; with ``cleared`` followed by the ones that ended lately."""
        with self._lock:
            standing = [alert for seen in self._motors.values() for alert in seen.alerts.values()]
            ended = list(reversed(self._cleared)) if cleared else []
        return sorted(standing, key=lambda alert: alert.opened_ts_s, reverse=True) + ended

    def news(self, after: int) -> News:
        """What changed after ``after`` (0: everything)."""
        with self._lock:
            change = self._change
            forgotten = [log[0][0] for log in (self._gone, self._alerts, self._notes) if len(log) == _KEPT]
            full = after == 0 or any(after < oldest - 1 for oldest in forgotten)
            motors = [seen for seen in self._motors.values() if full or seen.change > after]
            alerts = [] if full else [alert for number, alert in self._alerts if number > after]
            gone = [] if full else [motor for number, motor in self._gone if number > after]
            notes = [] if full else [note for number, note in self._notes if number > after]
        return News(change, full, motors, alerts, gone, notes)

    def counts(self) -> tuple[dict[str, int], dict[str, int], int]:
        """Motors by state (``unheard`` before the first reading), open alerts by condition, silent motors."""
        by_state: dict[str, int] = {}
        by_condition: dict[str, int] = {}
        motors = self.motors()
        for seen in motors:
            state = seen.health.state if seen.health else "unheard"
            by_state[state] = by_state.get(state, 0) + 1
            for condition in seen.alerts:
                by_condition[condition] = by_condition.get(condition, 0) + 1
        return by_state, by_condition, sum(seen.availability == "silent" for seen in motors)

    def _note(self, alert: Alert) -> None:
        change = self._next()
        self._alerts.append((change, alert))
        if alert.state == "clear":
            self._cleared.append(alert)
        seen = self._motors.get(alert.motor)
        if seen is not None:
            others = {condition: other for condition, other in seen.alerts.items() if condition != alert.condition}
            standing = others if alert.state == "clear" else {**others, alert.condition: alert}
            self._motors[alert.motor] = seen._replace(alerts=standing, change=change)

    def _next(self) -> int:
        self._change += 1
        return self._change
