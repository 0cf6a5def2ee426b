"""One route: a thread that takes alert messages, keeps them on the disk, and tells them until it succeeds.

Between two attempts it waits a random time up to a bound that doubles (full jitter), or as long as the other side asks
for. A refusal, a queue that is full and a message that has become too old are counted and dropped; nothing else is.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from service.notices.notice import wanted
from service.notices.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prometheus_client import Counter

    from service.contract.messages import Alert
    from service.notices.notice import Notice
    from service.notices.options import MailSettings, WebhookSettings
    from service.notices.outcome import Outcome, Teller

_log = logging.getLogger(__name__)

_RETRY_FIRST_S = 1.0
_IDLE_S = 60.0
_HANDED_OVER = 4096
_HOUR_S = 3600.0
_STOP_S = 2.0


class Route(threading.Thread):
    """``hand_over`` and ``reconcile`` belong to the worker and never wait; the rest is this thread's."""

    def __init__(
        self,
        name: str,
        options: WebhookSettings | MailSettings,
        teller: Teller,
        folder: Path,
        counters: dict[str, Counter],
    ) -> None:
        super().__init__(name=f"notices {name}", daemon=True)
        self._title = name
        self._options = options
        self._teller = teller
        self._path = folder / f"{name}.db"
        self._counters = counters
        self._arrived: deque[Notice] = deque()
        self._present: list[Notice] | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._attempt = 0
        self._try_at_s = 0.0
        self._repeat_at_s = 0.0
        self._trouble = ""
        self._queue_trouble: str | None = None
        self.waiting = 0
        """Messages that have not been told."""

    @property
    def fault(self) -> str | None:
        """Why nothing gets through at present, for a person; None while all is well."""
        if self._trouble:
            return f"{self._title}: {self._teller.place} {self._trouble}"
        return None if self._queue_trouble is None else f"{self._title}: {self._queue_trouble}"

    def hand_over(self, notices: Sequence[Notice]) -> None:
        """Alert messages, in order."""
        for notice in notices:
            if wanted(notice.alert, self._options):
                if len(self._arrived) >= _HANDED_OVER:
                    self._arrived.popleft()
                    self._counters["queue_full"].inc()
                self._arrived.append(notice)
        self._wake.set()

    def reconcile(self, standing: Sequence[Notice]) -> None:
        """After a start: what is open now. What was missed meanwhile is told."""
        self._present = [notice for notice in standing if wanted(notice.alert, self._options)]
        self._wake.set()

    def stop(self) -> None:
        """Keep what waits and end; an attempt that hangs is not waited for."""
        self._stopping.set()
        self._wake.set()
        if self.is_alive():
            self.join(_STOP_S)

    def run(self) -> None:
        """Until ``stop``."""
        queue = Queue(self._path, self._options.max_waiting)
        try:
            while not self._stopping.is_set():
                self._turn(queue)
                self._wake.wait(self._pause_s(queue))
                self._wake.clear()
            self._take(queue)
        finally:
            queue.close()

    def _turn(self, queue: Queue) -> None:
        self._take(queue)
        while not self._stopping.is_set() and time.monotonic() >= self._try_at_s:
            batch = self._fresh(queue)
            if not batch:
                break
            self._tell(queue, batch)
            self._take(queue)
        self._repeat(queue)

    def _pause_s(self, queue: Queue) -> float:
        now_s = time.monotonic()
        until_s = self._try_at_s if self.waiting else now_s + _IDLE_S
        if self._teller.repeat_s is not None and queue.standing():
            until_s = min(until_s, self._repeat_at_s)
        return max(until_s - now_s, 0.0)

    def _take(self, queue: Queue) -> None:
        """Put what was handed over on the disk."""
        present, self._present = self._present, None
        arrived = [self._arrived.popleft() for _ in range(len(self._arrived))]
        if present is not None:
            arrived = _missed(queue.standing(), present) + arrived
        gone = 0
        if arrived:
            gone = queue.put([(one, one.alert.state in self._options.states) for one in arrived], time.time())
        self.waiting = len(queue)
        self._queue_trouble = queue.fault
        self._counters["queue_full"].inc(gone)

    def _fresh(self, queue: Queue) -> list[tuple[int, Notice]]:
        """The oldest ones that are worth telling."""
        oldest_ts_s = time.time() - self._options.max_age_h * _HOUR_S
        while True:
            batch = queue.first(self._teller.batch)
            stale = [number for number, queued_ts_s, _ in batch if queued_ts_s < oldest_ts_s]
            if not stale:
                return [(number, notice) for number, _, notice in batch]
            queue.remove(stale)
            self._counters["too_old"].inc(len(stale))

    def _tell(self, queue: Queue, batch: Sequence[tuple[int, Notice]]) -> None:
        outcome = self._teller.tell([notice for _, notice in batch])
        self._note(outcome)
        self._counters[outcome.result].inc(1 if outcome.result == "failed" else len(batch))
        if outcome.result == "failed":
            self._wait(outcome)
            return
        self._attempt = 0
        self._repeat_at_s = time.monotonic() + (self._teller.repeat_s or 0.0)
        queue.remove([number for number, _ in batch])
        self.waiting = len(queue)

    def _repeat(self, queue: Queue) -> None:
        """Where the other side forgets what is not told again, tell it again."""
        now_s = time.monotonic()
        if self._teller.repeat_s is None or now_s < max(self._repeat_at_s, self._try_at_s):
            return
        standing = queue.standing()
        self._repeat_at_s = now_s + self._teller.repeat_s
        for first in range(0, len(standing), self._teller.batch):
            outcome = self._teller.tell(standing[first : first + self._teller.batch])
            self._note(outcome)
            self._counters["repeated" if outcome.result == "delivered" else outcome.result].inc()
            if outcome.result != "delivered":
                return

    def _wait(self, outcome: Outcome) -> None:
        longest_s = self._options.retry_max_s
        bound_s = min(longest_s, _RETRY_FIRST_S * 2.0**self._attempt)
        self._attempt = min(self._attempt + 1, 30)
        wait_s = random.uniform(0.0, bound_s)  # noqa: S311 - jitter
        if outcome.wait_s is not None:
            wait_s = min(max(wait_s, outcome.wait_s), longest_s)
        self._try_at_s = time.monotonic() + wait_s

    def _note(self, outcome: Outcome) -> None:
        """Keep the trouble for readiness; log it when it is news."""
        trouble = "" if outcome.result == "delivered" else outcome.text
        if trouble and trouble != self._trouble:
            _log.warning("%s: %s %s", self._title, self._teller.place, trouble)
        elif outcome.text and not trouble:
            _log.warning("%s: %s took it, but %s", self._title, self._teller.place, outcome.text)
        elif self._trouble and not trouble:
            _log.info("%s: %s takes alerts again", self._title, self._teller.place)
        self._trouble = trouble


def _missed(told: Sequence[Notice], present: Sequence[Notice]) -> list[Notice]:
    """What a route was not told before a power cut: ends first, then beginnings."""
    open_ids = {notice.alert.id for notice in present}
    told_ids = {notice.alert.id for notice in told}
    ended = [notice for notice in told if notice.alert.id not in open_ids]
    begun = [notice for notice in present if notice.alert.id not in told_ids]
    return [_ended(notice.alert, notice) for notice in ended] + [_begun(notice.alert, notice) for notice in begun]


def _ended(alert: Alert, notice: Notice) -> Notice:
    update = {"state": "clear", "revision": alert.revision + 1, "reason": "It ended while the edge was not running."}
    return type(notice)(alert.model_copy(update=update), notice.name)


def _begun(alert: Alert, notice: Notice) -> Notice:
    return type(notice)(alert.model_copy(update={"state": "open"}), notice.name)
