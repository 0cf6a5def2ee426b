"""Alerts on their way out: each leaves only when the broker has acknowledged it.

An ``update`` that has not been sent yet is superseded by a newer one of the same alert, so that a broker which is
away for a week costs at most three messages an alert; ``open`` and ``clear`` always leave. Order is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.contract import codec, topics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from service.contract.messages import Alert
    from service.mqtt import Link
    from service.wire import Token

_IN_FLIGHT = 64
Headers = Callable[[bytes], Mapping[str, str] | None]


def no_headers(_payload: bytes) -> None:
    """Nothing goes beside a payload."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One message that waits: its number gives the order, topic and payload are what is published.

    ``since_s`` is when this process took it up, by a clock that does not jump.
    """

    number: int
    topic: str
    payload: bytes
    supersedable: str | None = None
    since_s: float = field(default_factory=time.monotonic, compare=False)


class Outbox:
    """Waiting alerts, in order. One thread owns it; ``Store`` keeps its rows. ``headers`` go beside each payload."""

    def __init__(self, headers: Headers = no_headers) -> None:
        self._headers = headers
        self._waiting: dict[int, Entry] = {}
        self._in_flight: dict[Token, int] = {}
        self._refused: set[int] = set()
        self._updates: dict[str, int] = {}
        self._next = 1
        self._committed = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def topics(self) -> set[str]:
        """Topics on which something waits."""
        return {entry.topic for entry in self._waiting.values()}

    def entries(self) -> list[Entry]:
        """Everything that waits, in order."""
        return list(self._waiting.values())

    def age_s(self, now_s: float) -> float:
        """How long the oldest has waited, seconds; 0 where nothing waits. May be asked from any thread."""
        entries = self.entries()
        return now_s - entries[0].since_s if entries else 0.0

    @property
    def last(self) -> int:
        """The number of the newest entry there has been."""
        return self._next - 1

    def committed(self, last: int) -> None:
        """Entries up to this number are durable, as far as they can be: they may leave."""
        self._committed = last

    def restore(self, rows: Iterable[tuple[int, str, bytes]]) -> None:
        """Take stored rows; where newer alerts wait already, only topics on which none does, behind them."""
        taken = self.topics()
        for number, topic, payload in rows:
            if topic in taken:
                continue
            kept = self._next if taken else number
            self._waiting[kept] = Entry(kept, topic, payload)
            self._next = max(self._next, kept) + 1

    def add(self, alert: Alert) -> tuple[Entry, int | None]:
        """Queue an alert; the new entry and the number of the unsent update that it supersedes."""
        superseded = self._updates.pop(alert.id, None)
        if superseded is not None and alert.state == "update":
            del self._waiting[superseded]
        else:
            superseded = None
        key = alert.id if alert.state == "update" else None
        entry = Entry(self._next, topics.alert(alert.motor, alert.condition), codec.encode_json(alert), key)
        self._next += 1
        self._waiting[entry.number] = entry
        if key is not None:
            self._updates[key] = entry.number
        return entry, superseded

    def send(self, link: Link) -> None:
        """Publish what waits and is committed, up to a window of unacknowledged ones."""
        if len(self._in_flight) + len(self._refused) >= len(self._waiting):
            return
        busy = {*self._in_flight.values(), *self._refused}
        for entry in list(self._waiting.values()):
            if len(self._in_flight) >= _IN_FLIGHT or entry.number > self._committed:
                return
            if entry.number in busy:
                continue
            token = link.publish(entry.topic, entry.payload, qos=1, retain=True, headers=self._headers(entry.payload))
            if token is None:
                return
            self._in_flight[token] = entry.number
            if entry.supersedable is not None:
                self._updates.pop(entry.supersedable, None)

    def acknowledged(self, token: Token, *, accepted: bool) -> int | None:
        """The number of the entry that may be forgotten; None for another's token or a refusal (tried again later)."""
        number = self._in_flight.pop(token, None)
        if number is None:
            return None
        if not accepted:
            self._refused.add(number)
            return None
        self._waiting.pop(number, None)
        return number

    @property
    def refused(self) -> int:
        """Entries that the broker refused to take on this connection."""
        return len(self._refused)

    def reconnected(self, generation: int) -> None:
        """A new session: what an older client had in flight, or the broker refused, is sent again."""
        self._refused.clear()
        self._in_flight = {token: number for token, number in self._in_flight.items() if token.era == generation}
