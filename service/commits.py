"""Commits beside the worker's turns: what the disk takes is not taken from the readings that come meanwhile.

One commit at a time, by a thread of its own, in the order of the turns. What happens while one is under way gathers in
the next group. When it is through, and only then, the alerts in it may leave and its readings are acknowledged. While
one is under way the journal is the thread's; at any other time it is the worker's.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from service.group import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from service.journal import Journal
    from service.metrics import Metrics
    from service.mqtt import Link
    from service.outbox import Outbox
    from service.store import Changes
    from service.wire import Delivery, Token


class _UnderWay(NamedTuple):
    """A commit: it holds alerts up to the number ``last``, and these deliveries wait for it."""

    result: Future[None]
    last: int
    tokens: list[Token]


class Commits:
    """Gathers, commits, lets go. One thread owns it.

    Args:
        journal: where to.
        outbox: whose alerts leave once they are committed.
        link: takes alerts and acknowledgements.
        metrics: told how long each takes.
        wake: called, from the other thread, when one has ended.
    """

    def __init__(
        self, journal: Journal, outbox: Outbox, link: Link, metrics: Metrics, wake: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._outbox = outbox
        self._link = link
        self._metrics = metrics
        self._wake = wake
        self._group = Group()
        self._under_way: _UnderWay | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")

    @property
    def changes(self) -> Changes:
        """Where the effects of the present turn go."""
        return self._group.changes

    def patience_s(self, now_s: float, longest_s: float) -> float:
        """How long to wait for more deliveries; the end of a commit wakes."""
        return longest_s if self._under_way is not None else self._group.patience_s(now_s, longest_s)

    def add(self, deliveries: Iterable[Delivery], now_s: float) -> None:
        """Deliveries whose effects are in ``changes``."""
        self._group.add(deliveries, now_s)

    def proceed(self, now_s: float, *, idle: bool) -> None:
        """Let go what has been committed, begin what is due, try a failed store again. ``idle``: nothing came."""
        if self._under_way is not None and self._under_way.result.done():
            self._let_go()
        if self._under_way is None:
            if self._group.due(now_s, self._link.window, idle=idle):
                self._begin()
            elif self._journal.retry(now_s):
                self._outbox.committed(self._outbox.last)
        self._outbox.send(self._link)

    def settle(self) -> None:
        """Commit everything and let it go before this returns."""
        self._let_go()
        self._begin()
        self._let_go()

    def finish(self) -> None:
        """Commit what is left and close the store; nothing leaves any more."""
        if self._under_way is not None:
            self._under_way.result.result()
        self._thread.shutdown()
        self._journal.commit(self._group.changes, time.monotonic())
        self._journal.close()

    def _begin(self) -> None:
        group, self._group = self._group, Group()
        if self._journal.fault is None:
            result = self._thread.submit(self._commit, group.changes)
            self._under_way = _UnderWay(result, self._outbox.last, group.tokens)
            result.add_done_callback(lambda _: self._wake())
        else:  # the journal may read all of the memory, which is this thread's
            self._commit(group.changes)
            self._let_leave(self._outbox.last, group.tokens)

    def _commit(self, changes: Changes) -> None:
        started = time.perf_counter()
        self._journal.commit(changes, time.monotonic())
        if changes:
            self._metrics.stage["commit"].observe(time.perf_counter() - started)

    def _let_go(self) -> None:
        """Wait for the commit, if one is under way; then alerts leave and readings are acknowledged."""
        if self._under_way is None:
            return
        done, self._under_way = self._under_way, None
        done.result.result()
        self._let_leave(done.last, done.tokens)

    def _let_leave(self, last: int, tokens: list[Token]) -> None:
        self._outbox.committed(last)
        with self._link.burst():
            self._outbox.send(self._link)
            self._link.acknowledge(tokens)
