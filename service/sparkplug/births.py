"""What the node has said in this session: sequence numbers, who is born, which metrics changed since. No I/O.

A birth names every metric with its type; data names only what changed. Sequence numbers run 0..255 over all messages of
the node and start at 0 with its birth. ``bdSeq`` counts connections; it ties a birth to the death the broker holds.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from service.sparkplug.payload import Kind, Metric, Value, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.live import Seen

REBIRTH = "Node Control/Rebirth"
_BD_SEQ = "bdSeq"
_WRAP = 256
_MOTOR: dict[str, Kind] = {
    "name": "String",
    "state": "String",
    "diagnosis": "String",
    "health": "Double",
    "severity": "Double",
    "anomaly": "Double",
    "rul_h": "Double",
    "rul_low_h": "Double",
    "rul_high_h": "Double",
    "rul_q25_h": "Double",
    "rul_q75_h": "Double",
    "alerts": "String",
}
_OF_HEALTH = tuple(name for name in _MOTOR if name not in ("name", "alerts"))

Message = tuple[str, bytes]
"""Topic and payload."""


class Births:
    """The node and its devices as a host application knows them."""

    def __init__(self, group: str, node: str, bd_seq: int) -> None:
        self._group = group
        self._node = node
        self._seq = 0
        self._said: dict[str, dict[str, Value]] = {}
        self._node_said: dict[str, Value] = {}
        self.bd_seq = bd_seq % _WRAP
        """Of the present connection."""

    @property
    def commands(self) -> str:
        """Where commands to the node come."""
        return self._topic("NCMD")

    def next_connection(self) -> None:
        """A connection is about to be made that follows another."""
        self.bd_seq = (self.bd_seq + 1) % _WRAP

    def death(self) -> Message:
        """The node's death: the will of the connection, or said by the node itself before it leaves."""
        now_ms = _now_ms()
        return self._topic("NDEATH"), encode([Metric(_BD_SEQ, "Int64", self.bd_seq, now_ms)], now_ms, None)

    def birth(self, facts: Mapping[str, str]) -> Message:
        """The node's birth; every device has to be born anew after it."""
        self._seq = 0
        self._said.clear()
        self._node_said = dict(facts)
        now_ms = _now_ms()
        metrics = [
            Metric(_BD_SEQ, "Int64", self.bd_seq, now_ms),
            Metric(REBIRTH, "Boolean", value=False, ts_ms=now_ms),
            *(Metric(name, "String", value, now_ms) for name, value in facts.items()),
        ]
        return self._topic("NBIRTH"), encode(metrics, now_ms, 0)

    def data(self, facts: Mapping[str, str]) -> Message | None:
        """What changed of the node itself; None where nothing did."""
        changed = {name: value for name, value in facts.items() if self._node_said.get(name) != value}
        if not changed:
            return None
        self._node_said |= changed
        now_ms = _now_ms()
        metrics = [Metric(name, "String", value, now_ms) for name, value in changed.items()]
        return self._topic("NDATA"), encode(metrics, now_ms, self._next_seq())

    def motor(self, seen: Seen) -> Message | None:
        """A motor changed: its birth, its data, or its death when its sensor went silent. None: nothing to say."""
        motor = seen.profile.motor
        if seen.availability == "silent":
            return self.gone(motor)
        values, now_ms = _values(seen), _now_ms()
        said = self._said.get(motor)
        self._said[motor] = values
        if said is None:
            metrics = [Metric(name, kind, values[name], now_ms) for name, kind in _MOTOR.items()]
            metrics += [
                Metric(f"nameplate/{name}", "Double", value, now_ms) for name, value in seen.nameplate().items()
            ]
            return self._topic("DBIRTH", motor), encode(metrics, now_ms, self._next_seq())
        heard_ms = now_ms if seen.heard_ts_s is None else int(1000 * seen.heard_ts_s)
        changed = [Metric(n, kind, values[n], heard_ms) for n, kind in _MOTOR.items() if said[n] != values[n]]
        return (self._topic("DDATA", motor), encode(changed, now_ms, self._next_seq())) if changed else None

    def gone(self, motor: str) -> Message | None:
        """A motor was retired or went silent: its death; None where it was not alive."""
        if self._said.pop(motor, None) is None:
            return None
        return self._topic("DDEATH", motor), encode([], _now_ms(), self._next_seq())

    def _topic(self, kind: str, device: str | None = None) -> str:
        return "/".join(filter(None, ("spBv1.0", self._group, kind, self._node, device)))

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % _WRAP
        return self._seq


def _values(seen: Seen) -> dict[str, Value]:
    values: dict[str, Value] = dict.fromkeys(_MOTOR)
    values["name"] = seen.profile.name
    values["alerts"] = ",".join(sorted(seen.alerts))
    if seen.health is not None:
        for name in _OF_HEALTH:
            value = getattr(seen.health, name)
            values[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return values


def _now_ms() -> int:
    return int(1000 * time.time())
