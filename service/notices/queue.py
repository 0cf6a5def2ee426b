"""What a route has yet to tell, and which alerts it has told as open. SQLite, in order, bounded.

Where the disk does not take it, the queue goes on in memory: alerts are told all the same, but would not survive a
power cut.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from typing import TYPE_CHECKING, TypeVar

from service.notices.notice import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_log = logging.getLogger(__name__)

_RETRY_S = 60.0
_NAMES = ("waiting", "standing")
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_Found = TypeVar("_Found")
_TABLES = """
CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, queued_ts_s REAL NOT NULL, notice BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS standing (alert TEXT PRIMARY KEY, notice BLOB NOT NULL) WITHOUT ROWID;
"""


class Queue:
    """One route's file; used from the route's thread."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._limit = limit
        self.fault: str | None = None
        """Why what waits would not survive a power cut; None while it would."""
        self._retry_at_s = 0.0
        try:
            self._connection = _opened(path)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            self._connection = _opened(None)

    def put(self, notices: Sequence[tuple[Notice, bool]], now_ts_s: float) -> int:
        """Take alert messages, in order; those with True are to be told. How many older ones gave way."""
        if self.fault is not None and time.monotonic() >= self._retry_at_s:
            self._return()
        return self._tried(lambda: self._put(notices, now_ts_s))

    def first(self, count: int) -> list[tuple[int, float, Notice]]:
        """The oldest: number, when it came, what it is. What cannot be read is removed."""
        return self._tried(lambda: self._first(count))

    def remove(self, numbers: Sequence[int]) -> None:
        """These are told, or given up."""
        self._tried(lambda: self._remove(numbers))

    def standing(self) -> list[Notice]:
        """Alerts that are open as far as this route has been told."""
        return self._tried(self._standing)

    def __len__(self) -> int:
        return self._tried(self._count)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _count(self) -> int:
        count: int = self._connection.execute("SELECT count(*) FROM waiting").fetchone()[0]
        return count

    def _put(self, notices: Sequence[tuple[Notice, bool]], now_ts_s: float) -> int:
        with self._transaction() as connection:
            for notice, told in notices:
                raw = notice.to_bytes()
                if notice.alert.state == "clear":
                    connection.execute("DELETE FROM standing WHERE alert = ?", (notice.alert.id,))
                else:
                    connection.execute("INSERT OR REPLACE INTO standing VALUES (?, ?)", (notice.alert.id, raw))
                if told:
                    connection.execute("INSERT INTO waiting (queued_ts_s, notice) VALUES (?, ?)", (now_ts_s, raw))
            excess = max(self._count() - self._limit, 0)
            connection.execute(
                "DELETE FROM waiting WHERE number IN (SELECT number FROM waiting ORDER BY number LIMIT ?)", (excess,)
            )
        return excess

    def _first(self, count: int) -> list[tuple[int, float, Notice]]:
        rows = self._connection.execute("SELECT * FROM waiting ORDER BY number LIMIT ?", (count,)).fetchall()
        found = [(number, queued_ts_s, Notice.from_bytes(raw)) for number, queued_ts_s, raw in rows]
        self._remove([number for number, _, notice in found if notice is None])
        return [(number, queued_ts_s, notice) for number, queued_ts_s, notice in found if notice is not None]

    def _remove(self, numbers: Sequence[int]) -> None:
        if numbers:
            with self._transaction() as connection:
                connection.executemany("DELETE FROM waiting WHERE number = ?", [(number,) for number in numbers])

    def _standing(self) -> list[Notice]:
        rows = self._connection.execute("SELECT notice FROM standing ORDER BY alert").fetchall()
        return [notice for (raw,) in rows if (notice := Notice.from_bytes(raw)) is not None]

    def _tried(self, use: Callable[[], _Found]) -> _Found:
        """What ``use`` finds; where the file fails, what memory holds from then on."""
        try:
            return use()
        except sqlite3.Error as error:
            self._connection = self._aside(error)
            return use()

    def _aside(self, error: Exception) -> sqlite3.Connection:
        """Go on in memory, with whatever can still be read from the file."""
        self._failed(error)
        memory = _opened(None)
        with contextlib.suppress(sqlite3.Error):
            _copy(self._connection, memory)
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        return memory

    def _return(self) -> None:
        """Try the file again; it then holds what memory held."""
        try:
            file = _opened(self._path)
            _copy(self._connection, file)
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            return
        self._connection.close()
        self._connection = file
        self.fault = None
        _log.warning("%s works again", self._path)

    def _failed(self, error: Exception) -> None:
        if self.fault is None:
            _log.error("%s cannot be used (%s); alerts wait in memory", self._path, error)
        self.fault = f"{self._path.name} cannot be used: {error}"
        self._retry_at_s = time.monotonic() + _RETRY_S

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _transaction(self._connection) as connection:
            yield connection


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled back already
            connection.execute("ROLLBACK")
        raise


def _opened(path: Path | None) -> sqlite3.Connection:
    """The file, or memory for None; a damaged file is moved aside and a new one begun."""
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        if path is None or error.sqlite_errorcode & 0xFF not in _CORRUPT:
            raise
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.replace(path.with_name(f"{path.name}.corrupt{suffix}"))
        _log.error("%s is damaged (%s); moved aside to %s.corrupt", path, error, path.name)
        return _connected(path)


def _connected(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, timeout=1.0)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_TABLES)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _copy(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Make ``target`` hold what ``source`` holds."""
    with _transaction(target):
        for name in _NAMES:
            rows = source.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - a constant
            target.execute(f"DELETE FROM {name}")  # noqa: S608 - a constant
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                target.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608 - constants
