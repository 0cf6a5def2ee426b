"""What has arrived and not yet been taken: a bounded queue between the broker's thread and the worker.

At QoS 1 it never overflows: the broker holds back what exceeds the window of unacknowledged messages. What a
publisher sends at QoS 0 has no such brake, so on overflow the newest reading of a motor wins over its older ones;
where that motor has none waiting, the oldest reading of all goes. What goes is counted and acknowledged by the owner.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from service.mqtt import Delivery, Token


@dataclass(frozen=True, slots=True)
class Connected:
    """A note: the session with the broker stands; ``kept`` when the broker remembered us."""

    kept: bool


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A note: the broker holds a publication, or (not ``accepted``) refused it."""

    token: Token
    accepted: bool


ShedReason = Literal["queue_full", "queue_bytes"]


class Inbox:
    """A bounded queue of deliveries, in order of arrival; one thread puts, one takes."""

    def __init__(self, max_readings: int, max_bytes: int) -> None:
        self._max_readings = max_readings
        self._max_bytes = max_bytes
        self._items: dict[int, Delivery] = {}
        self._by_topic: dict[str, deque[int]] = {}
        self._bytes = 0
        self._next = 0
        self._arrival = threading.Condition()
        self._woken = False
        self.notes: deque[Connected | Acknowledged] = deque()
        """What the broker's thread tells the worker besides deliveries, in order."""

    def __len__(self) -> int:
        return len(self._items)

    def put(self, delivery: Delivery) -> list[tuple[Delivery, ShedReason]]:
        """Add one; what had to go for it comes back with the reason (the new one itself where nothing else can)."""
        shed: list[tuple[Delivery, ShedReason]] = []
        with self._arrival:
            while self._items and self._bytes + len(delivery.payload) > self._max_bytes:
                shed.append((self._displaced(delivery.topic), "queue_bytes"))
            if len(self._items) >= self._max_readings:
                shed.append((self._displaced(delivery.topic), "queue_full"))
            self._items[self._next] = delivery
            self._by_topic.setdefault(delivery.topic, deque()).append(self._next)
            self._next += 1
            self._bytes += len(delivery.payload)
            if len(self._items) == 1:
                self._arrival.notify()
        return shed

    def take(self, limit: int, timeout_s: float) -> list[Delivery]:
        """What waits, at most ``limit``; waits for the first, not for more. Empty after ``timeout_s`` or ``wake``."""
        with self._arrival:
            if not self._items and not self._woken:
                self._arrival.wait(timeout_s)
            self._woken = False
            keys = [key for key, _ in zip(self._items, range(limit), strict=False)]
            return [self._removed(key) for key in keys]

    def wake(self) -> None:
        """Let ``take`` return now: something else wants the worker's attention."""
        with self._arrival:
            self._woken = True
            self._arrival.notify()

    def leave(self, note: Connected | Acknowledged) -> None:
        """Leave a note for the worker and wake it."""
        self.notes.append(note)
        self.wake()

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
        waiting.remove(key)
        if not waiting:
            del self._by_topic[delivery.topic]
        self._bytes -= len(delivery.payload)
        return delivery
