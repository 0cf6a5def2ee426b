"""Commits go on beside the turns; nothing leaves before its own is through."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from service.commits import Commits
from service.contract import topics
from service.group import WITHIN_S
from service.journal import Journal
from service.metrics import Metrics
from service.outbox import Outbox
from service.store import FILE, Changes, MotorRow, Store
from service.wire import Delivery, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from service.contract.messages import Alert


class Wire:
    """Notes what leaves; the broker's part is played by the test."""

    window = 512

    def __init__(self) -> None:
        self.left: list[str | int] = []

    def publish(self, topic: str, _payload: bytes, **_: Any) -> Token:
        """Take one alert."""
        self.left.append(topic)
        return Token(1, 1000 + len(self.left))

    def acknowledge(self, tokens: Iterable[Token]) -> None:
        """Take acknowledgements."""
        self.left += [token.mid for token in tokens]

    def burst(self) -> contextlib.nullcontext[None]:
        """What goes out together."""
        return contextlib.nullcontext()


class Bench:
    """Commits over a real store, and a turn's worth of work."""

    def __init__(self, folder: Path) -> None:
        self.store, self.outbox, self.wire = Store(folder), Outbox(), Wire()
        self.ended = threading.Event()
        self.journal = Journal(self.store, Metrics(), lambda: Changes(instead=True))
        self.journal.begin(lambda _: Changes(), 0.0)
        self.commits = Commits(self.journal, self.outbox, self.wire, Metrics(), self.ended.set)

    def work(self, mid: int, now_s: float, alert: Alert | None = None) -> None:
        """A reading and what follows from it."""
        motor = f"m{mid}"
        self.commits.changes.motors[motor] = MotorRow(motor, b"state", None, 0.0)
        if alert is not None:
            entry, _ = self.outbox.add(alert)
            self.commits.changes.outbox[entry.number] = (entry.topic, entry.payload)
        topic = f"motortwin/v1/motor/{motor}/reading"
        self.commits.add([Delivery(topic, b"", 0, False, False, 0.0, Token(1, mid))], now_s)
        self.commits.proceed(now_s, idle=False)


def stored(folder: Path) -> list[str]:
    """What the file holds, as another program sees it."""
    with contextlib.closing(sqlite3.connect(folder / FILE)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM motor ORDER BY id")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.commits.finish()


def test_turns_go_on_while_the_disk_works_and_nothing_leaves_before_its_commit(
    bench: Bench, alert: Callable[..., Alert], tmp_path: Path
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # the commit waits for it
        bench.work(1, 0.0, alert("m1"))
        bench.work(2, 0.1, alert("m2"))
        bench.work(3, 0.2)
        assert bench.commits.patience_s(9.0, 0.5) == 0.5
        assert bench.wire.left == []
        assert stored(tmp_path) == []
        other.execute("COMMIT")
    assert bench.ended.wait(10.0)
    bench.commits.proceed(0.3, idle=False)
    first, second = (topics.alert(motor, "ball") for motor in ("m1", "m2"))
    assert bench.wire.left == [first, 1]
    bench.commits.settle()
    assert bench.wire.left == [first, 1, second, 2, 3]
    assert stored(tmp_path) == ["m1", "m2", "m3"]


def test_a_store_that_fails_holds_nothing_back_and_is_saved_whole_when_it_works(bench: Bench, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        bench.work(1, 0.0)
        bench.work(1, WITHIN_S)
        assert bench.ended.wait(10.0)  # a second later the commit has given up
        assert bench.journal.fault is not None
        bench.commits.settle()
        assert bench.wire.left == [1, 1]
        other.execute("COMMIT")
    bench.commits.proceed(1e9, idle=True)
    assert bench.journal.fault is None
