"""What has arrived and not yet been taken: a bounded queue between the broker's thread and the worker.

When it is full the link stops reading, so a burst waits at the broker (whose own windows are no protection: mosquitto
2.0.11 exceeds them as soon as acknowledgements flow). When it has been full for longer than a burst lasts, that is an
overload: reading goes on and the newest reading of a motor displaces its older ones; where that motor has none
waiting, the oldest reading of all goes. What goes is counted and acknowledged by the owner.

A step costs much of what it costs whether it holds one reading or eight. Who rather has a cool processor than the last
milliseconds lets the first reading wait a while for company (``gather_s``).
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.wire import Delivery, Token


@dataclass(frozen=True, slots=True)
class Connected:
    """A note: the session with the broker stands; ``kept`` when the broker remembered us."""

    kept: bool


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A note: the broker holds a publication, or (not ``accepted``) refused it."""

    token: Token
    accepted: bool


@dataclass(frozen=True, slots=True)
class Repaired:
    """A note: a person has said that the motor was repaired."""

    motor: str


ShedReason = Literal["queue_full", "queue_bytes"]


class Inbox:
    """A bounded queue of deliveries, in order of arrival; one thread puts, one takes.

    The limits may be exceeded by what was read in one go, at most by half.
    """

    def __init__(
        self,
        max_readings: int,
        max_bytes: int,
        patience_s: float,
        on_room: Callable[[], None] = lambda: None,
        *,
        gather_s: float = 0.0,
    ) -> None:
        self._max_readings = max_readings
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._on_room = on_room
        self._gather_s = gather_s
        self._enough = 1
        self._full_since_s: float | None = None
        self._refused = False
        self._items: dict[int, Delivery] = {}
        self._by_topic: dict[str, deque[int]] = {}
        self._bytes = 0
        self._next = 0
        self._arrival = threading.Condition()
        self._woken = False
        self.notes: deque[Connected | Acknowledged | Repaired] = deque()
        """What other threads tell the worker besides deliveries, in order."""

    def __len__(self) -> int:
        return len(self._items)

    def room(self, now_s: float) -> bool:
        """Whether to read on: while there is room, and through an overload; ``on_room`` follows on a False."""
        with self._arrival:
            if not self._full():
                return True
            if self._full_since_s is None:
                self._full_since_s = now_s
            self._refused = not self._overloaded(now_s)
            return not self._refused

    def put(self, delivery: Delivery, now_s: float) -> list[tuple[Delivery, ShedReason]]:
        """Add one; what had to go for it comes back with the reason."""
        shed: list[tuple[Delivery, ShedReason]] = []
        with self._arrival:
            scale = 1.0 if self._overloaded(now_s) else 1.5
            while self._items and self._bytes + len(delivery.payload) > scale * self._max_bytes:
                shed.append((self._displaced(delivery.topic), "queue_bytes"))
            if len(self._items) >= scale * self._max_readings:
                shed.append((self._displaced(delivery.topic), "queue_full"))
            self._items[self._next] = delivery
            self._by_topic.setdefault(delivery.topic, deque()).append(self._next)
            self._next += 1
            self._bytes += len(delivery.payload)
            if len(self._items) in {1, self._enough}:
                self._arrival.notify()
        return shed

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """What waits, at most ``limit``, the first for ``gather_s`` by then. Empty after ``timeout_s`` or ``wake``."""
        with self._arrival:
            if not self._items and not self._woken:
                self._arrival.wait(timeout_s)
            if self._gather_s and self._items:
                self._gather(limit)
            self._woken = False
            if len(self._items) <= limit:
                taken = list(self._items.values())
                self._items.clear()
                self._by_topic.clear()
                self._bytes = 0
            else:
                taken = [self._removed(key) for key in list(itertools.islice(self._items, limit))]
            if 2 * len(self._items) <= self._max_readings and 2 * self._bytes <= self._max_bytes:
                self._full_since_s = None
            wanted, self._refused = self._refused and not self._full(), self._refused and self._full()
        if wanted:
            self._on_room()
        return taken

    def wake(self) -> None:
        """Let ``take`` return now: something else wants the worker's attention."""
        with self._arrival:
            self._woken = True
            self._arrival.notify()

    def leave(self, note: Connected | Acknowledged | Repaired) -> None:
        """Leave a note for the worker and wake it."""
        self.notes.append(note)
        self.wake()

    def _gather(self, limit: int) -> None:
        """Wait for as many as can be taken, or until the first of them, or a note, has had patience enough."""
        self._enough = limit
        until_s = next(iter(self._items.values())).received_s + self._gather_s
        while len(self._items) < limit and not self._woken and (left_s := until_s - time.perf_counter()) > 0.0:
            self._arrival.wait(left_s)
        self._enough = 1

    def _full(self) -> bool:
        return len(self._items) >= self._max_readings or self._bytes >= self._max_bytes

    def _overloaded(self, now_s: float) -> bool:
        return self._full_since_s is not None and now_s - self._full_since_s > self._patience_s

    def _displaced(self, topic: str) -> Delivery:
        waiting = self._by_topic.get(topic)
        if waiting:
            return self._removed(waiting[0])
        # births are rare and small, and without one every reading of its motor is refused
        oldest_reading = next((key for key, item in self._items.items() if item.topic.endswith("/reading")), None)
        return self._removed(next(iter(self._items)) if oldest_reading is None else oldest_reading)

    def _removed(self, key: int) -> Delivery:
        delivery = self._items.pop(key)
        waiting = self._by_topic[delivery.topic]
        if len(waiting) == 1:
            del self._by_topic[delivery.topic]
        else:
            waiting.remove(key)
        self._bytes -= len(delivery.payload)
        return delivery
