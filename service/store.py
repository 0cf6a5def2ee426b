"""What must survive a power cut: motor states, births, alerts on their way out. SQLite, WAL, ``synchronous=FULL``.

One transaction a batch (group commit), and readings are acknowledged after it. A file that is not a database, or a
damaged one, is moved aside, never deleted. A second service on the same folder is refused by a file lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from service.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

FILE = "motortwin.db"
LOCK_FILE = "motortwin.lock"
SCHEMA = 1
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_TABLE_NAMES = ("motor", "birth", "outbox")
_MOST_ROWS = 64
_TABLES = """
CREATE TABLE motor (id TEXT PRIMARY KEY, state BLOB NOT NULL, health BLOB, heard_ts_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE birth (motor TEXT PRIMARY KEY, payload BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox (number INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL);
"""


class InUse(StoreError):  # noqa: N818 - named after what was found
    """Another service works on the same folder."""


class NewerSchema(StoreError):  # noqa: N818 - named after what was found
    """A newer release wrote the file; this one must not touch it."""


class MotorRow(NamedTuple):
    """One motor as stored: its state (``MotorState.to_bytes``), its last health as JSON, when it was last heard."""

    motor: str
    state: bytes
    health: bytes | None
    heard_ts_s: float


@dataclass(slots=True)
class Changes:
    """What one transaction writes. None stands for what is to be removed.

    With ``instead`` the file holds this and nothing else afterwards.
    """

    motors: dict[str, MotorRow | None] = field(default_factory=dict)
    births: dict[str, bytes | None] = field(default_factory=dict)
    outbox: dict[int, tuple[str, bytes] | None] = field(default_factory=dict)
    instead: bool = False

    def __bool__(self) -> bool:
        return bool(self.motors or self.births or self.outbox or self.instead)


@dataclass(frozen=True, slots=True)
class Restored:
    """What the file held at opening."""

    motors: list[MotorRow] = field(default_factory=list)
    births: dict[str, bytes] = field(default_factory=dict)
    outbox: list[tuple[int, str, bytes]] = field(default_factory=list)


class Store:
    """The file and its one connection; used from one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self.moved_aside = 0
        """Damaged files found and not yet counted by the owner."""

    @property
    def is_open(self) -> bool:
        """True while commits can be tried."""
        return self._connection is not None

    def open(self) -> Restored:
        """Open or create the file and read it whole; a damaged one is moved aside and a new one begun.

        Raises:
            InUse: another process holds the folder.
            NewerSchema: a newer release wrote the file.
            StoreError: the folder cannot be used (permissions, disk full); may be tried again.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError as error:
            raise StoreError(f"data_dir {self._folder} cannot be used: {error.strerror}") from error
        try:
            return self._opened()
        except sqlite3.DatabaseError as error:
            self._drop_connection()
            if not _is_corrupt(error):
                raise StoreError(f"{self._path} cannot be opened: {error}") from error
            self._move_aside(error)
        try:
            return self._opened()
        except sqlite3.DatabaseError as error:
            self._drop_connection()
            raise StoreError(f"{self._path} cannot be created: {error}") from error

    def commit(self, changes: Changes) -> None:
        """Write one batch durably; raises ``StoreError``, after which the file is closed and ``open`` may be tried."""
        if self._connection is None:
            raise StoreError(f"{self._path} is not open")
        try:
            self._written(self._connection, changes)
        except sqlite3.Error as error:
            self._drop_connection()
            if _is_corrupt(error):
                self._move_aside(error)
            raise StoreError(f"{self._path} cannot be written: {error}") from error

    def close(self) -> None:
        """Close the file and let another service have the folder."""
        self._drop_connection()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _opened(self) -> Restored:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1.0)
        self._connection = connection
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA temp_store=MEMORY")  # a large batch would keep its undo in a file
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            damaged = sqlite3.DatabaseError(verdict)
            damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damaged
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            self.close()
            raise NewerSchema(
                f"{self._path} was written by a newer release (schema {version}, known {SCHEMA}); "
                "start that release, or point data_dir elsewhere"
            )
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
        motors = connection.execute("SELECT id, state, health, heard_ts_s FROM motor ORDER BY id")
        births = connection.execute("SELECT motor, payload FROM birth")
        outbox = connection.execute("SELECT number, topic, payload FROM outbox ORDER BY number")
        return Restored([MotorRow(*row) for row in motors], dict(births), list(outbox))

    @staticmethod
    def _written(connection: sqlite3.Connection, changes: Changes) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if changes.instead:
                for table in _TABLE_NAMES:
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a constant
            _put(connection, [row for row in changes.motors.values() if row])
            gone = [(motor,) for motor, row in changes.motors.items() if row is None]
            connection.executemany("DELETE FROM motor WHERE id = ?", gone)
            for motor, payload in changes.births.items():
                if payload is None:
                    connection.execute("DELETE FROM birth WHERE motor = ?", (motor,))
                else:
                    connection.execute("INSERT OR REPLACE INTO birth VALUES (?, ?)", (motor, payload))
            for number, entry in changes.outbox.items():
                if entry is None:
                    connection.execute("DELETE FROM outbox WHERE number = ?", (number,))
                else:
                    connection.execute("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", (number, *entry))
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled back already
                connection.execute("ROLLBACK")
            raise

    def _take_lock(self) -> None:
        if self._lock is None:
            self._lock = _locked(self._folder)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # it is given up either way
                self._connection.close()
            self._connection = None

    def _move_aside(self, error: sqlite3.Error) -> None:
        """Rename the damaged file and its companions, so that someone can look at them later."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        target = self._path.with_name(f"{FILE}.corrupt-{stamp}")
        while target.exists():  # a rename replaces what is there
            target = target.with_name(target.name + "x")
        self.moved_aside += 1
        for suffix in ("", "-wal", "-shm"):
            source = self._path.with_name(FILE + suffix)
            try:
                if source.exists():
                    source.rename(target.with_name(target.name + suffix))
            except OSError as failure:
                raise StoreError(f"{source} is damaged and cannot be moved aside: {failure.strerror}") from failure
        _log.error("%s is damaged (%s); moved aside to %s", self._path, error, target.name)


def _put(connection: sqlite3.Connection, rows: list[MotorRow]) -> None:
    """Insert or replace. Many rows a statement: each one gives the interpreter away and must win it back."""
    at, size = 0, _MOST_ROWS
    while at < len(rows):
        while size > len(rows) - at:
            size //= 2  # few sizes, so that each statement is prepared once
        connection.execute(
            f"INSERT INTO motor VALUES {', '.join(['(?, ?, ?, ?)'] * size)} ON CONFLICT (id) DO UPDATE SET "  # noqa: S608
            "state = excluded.state, health = excluded.health, heard_ts_s = excluded.heard_ts_s",
            [value for row in rows[at : at + size] for value in row],
        )
        at += size


def check_unused(folder: Path) -> None:
    """Raises ``InUse`` where another service holds this folder's lock, ``OSError`` where it cannot be looked at."""
    os.close(_locked(folder))


def _locked(folder: Path) -> int:
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise InUse(f"data_dir {folder} is in use by another motortwin; stop it or set another") from error
    return descriptor


def _is_corrupt(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _CORRUPT
