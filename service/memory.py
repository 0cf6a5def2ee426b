"""All that a restart must find again: motor states, last healths, births, alerts on their way out. No I/O.

Every change made here is also noted in a ``Changes``, so that what the store holds after the next commit is what is
here now.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from service import monitor
from service.contract import topics
from service.errors import CorruptState
from service.monitor import FleetState, MotorState
from service.outbox import Headers, Outbox, no_headers
from service.registry import Registry
from service.store import Changes, MotorRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from service.contract.messages import Alert, Birth
    from service.monitor import StepResult
    from service.store import Restored

_log = logging.getLogger(__name__)


class Memory:
    """What the worker knows; one thread owns it."""

    def __init__(self, configured: Mapping[str, Birth], headers: Headers = no_headers) -> None:
        self.state = FleetState()
        self.registry = Registry(configured)
        self.outbox = Outbox(headers)
        self.healths: dict[str, bytes] = {}
        """Each motor's last health message, as it was published."""
        self.heard_ts_s: dict[str, float] = {}
        """When that was, by the edge's clock."""

    def take(self, result: StepResult, changes: Changes) -> None:
        """Accept what a step led to; healths must have been noted before."""
        self.state = result.state
        for motor in result.changed:
            state = result.state.get(motor)
            if state is not None:
                changes.motors[motor] = self._row(motor, state)
        self.queue(result.alerts, changes)

    def queue(self, alerts: Iterable[Alert], changes: Changes) -> None:
        """Put alerts on their way out."""
        for alert in alerts:
            entry, superseded = self.outbox.add(alert)
            changes.outbox[entry.number] = (entry.topic, entry.payload)
            if superseded is not None:
                changes.outbox[superseded] = None

    def retire(self, motor: str, now_ts_s: float, reason: str, changes: Changes) -> list[Alert]:
        """Forget a motor; its cleared alerts, which are on their way out."""
        result = monitor.retire(self.state, motor, now_ts_s, reason)
        self.state = result.state
        self.healths.pop(motor, None)
        self.heard_ts_s.pop(motor, None)
        changes.motors[motor] = None
        self.queue(result.alerts, changes)
        return result.alerts

    def everything(self) -> Changes:
        """One transaction that makes the store hold all of this and nothing else."""
        return Changes(
            motors={motor: self._row(motor, state) for motor, state in self.state.items()},
            births=dict(self.registry.births),
            outbox={entry.number: (entry.topic, entry.payload) for entry in self.outbox.entries()},
            instead=True,
        )

    def adopt(self, restored: Restored) -> int:
        """Take what the store held, wherever nothing newer is known; the number of states that could not be read."""
        lost = 0
        states = {}
        for row in restored.motors:
            if row.motor in self.state:
                continue
            try:
                states[row.motor] = MotorState.from_bytes(row.state)
            except CorruptState as error:
                _log.error("%s: %s", row.motor, error)
                lost += 1
                continue
            if row.health is not None:
                self.healths[row.motor] = row.health
            self.heard_ts_s[row.motor] = row.heard_ts_s
        self.state = FleetState({**self.state, **states})
        self.registry.restore(restored.births)
        self.outbox.restore(restored.outbox)
        return lost

    def held(self, alert: Alert) -> bool:
        """True where something of ours will stand on this alert's topic."""
        topic = topics.alert(alert.motor, alert.condition)
        return topic in self.outbox.topics() or any(
            topic == topics.alert(ours.motor, ours.condition) for ours in monitor.open_alerts(self.state)
        )

    def _row(self, motor: str, state: MotorState) -> MotorRow:
        return MotorRow(motor, state.to_bytes(), self.healths.get(motor), self.heard_ts_s.get(motor, 0.0))
