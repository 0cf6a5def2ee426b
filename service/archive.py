"""The historian's file: samples, alerts, notes; how they are written, thinned for a chart, exported, and given up.

Writing belongs to one thread; every question opens its own read-only connection, which a writer never blocks (WAL).
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from service.contract.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE = "history.db"
SCHEMA = 1
MAX_POINTS = 2000
"""Points of one series; a finer step is made this coarse."""
MAX_ROWS = 200_000
"""Rows of one export."""
MAX_ALERTS = 20_000
"""Alerts that are kept."""

Row = tuple[float | int | str | None, ...]

# How the samples of one step become one point: nothing bad is averaged away.
_POINT = {
    "state": "MAX",
    "anomaly": "MAX",
    "severity": "MAX",
    "health": "MIN",
    "rul_h": "AVG",
    "rul_low_h": "AVG",
    "rul_high_h": "AVG",
    "nis": "MAX",
    "speed_rpm": "AVG",
    "load": "AVG",
    "current_a": "AVG",
    "winding_c": "MAX",
    "housing_c": "MAX",
    "ambient_c": "AVG",
    "accel_rms_m_s2": "MAX",
    "velocity_rms_mm_s": "MAX",
    **{fault.value: "MAX" for fault in Fault},
}
SERIES = tuple(_POINT)
SAMPLE_COLUMNS = ("motor", "ts_s", "heard_ts_s", "diagnosis", *SERIES)
ALERT_COLUMNS = (
    *("id", "motor", "condition", "state", "revision", "opened_ts_s", "ts_s", "heard_ts_s"),
    *("severity", "probability", "anomaly", "rul_h", "reason", "model"),
)
NOTE_COLUMNS = ("alert", "ts_s", "kind", "by", "text")

_TABLES = f"""
CREATE TABLE sample (number INTEGER PRIMARY KEY, motor TEXT NOT NULL, ts_s REAL NOT NULL, heard_ts_s REAL NOT NULL,
  diagnosis TEXT NOT NULL, {", ".join(f"{name} REAL" for name in SERIES)});
CREATE INDEX sample_of_motor ON sample (motor, ts_s);
CREATE TABLE alert (id TEXT PRIMARY KEY, motor TEXT NOT NULL, condition TEXT NOT NULL, state TEXT NOT NULL,
  revision INTEGER NOT NULL, opened_ts_s REAL NOT NULL, ts_s REAL NOT NULL, heard_ts_s REAL NOT NULL, severity REAL,
  probability REAL, anomaly REAL, rul_h REAL, reason TEXT NOT NULL, model TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX alert_of_motor ON alert (motor, opened_ts_s);
CREATE TABLE note (number INTEGER PRIMARY KEY, alert TEXT NOT NULL, ts_s REAL NOT NULL, kind TEXT NOT NULL,
  by TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX note_of_alert ON note (alert);
"""
_INSERT_SAMPLE = f"INSERT INTO sample ({', '.join(SAMPLE_COLUMNS)}) VALUES ({', '.join('?' * len(SAMPLE_COLUMNS))})"  # noqa: S608 - constants
_UPSERT_ALERT = (
    f"INSERT INTO alert ({', '.join(ALERT_COLUMNS)}) VALUES ({', '.join('?' * len(ALERT_COLUMNS))}) "  # noqa: S608 - constants
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in ALERT_COLUMNS[3:])} "
    "WHERE excluded.revision >= alert.revision"
)
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PIECE = 5000


class Series(NamedTuple):
    """A motor's past, thinned: ``columns`` are parallel lists, ``ts_s`` among them."""

    from_ts_s: float
    to_ts_s: float
    step_s: float
    columns: dict[str, list[float | None]]


class Archive:
    """The file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / FILE
        self._connection: sqlite3.Connection | None = None

    @property
    def is_open(self) -> bool:
        """True while it can be written."""
        return self._connection is not None

    def open(self) -> None:
        """Open or create the file; raises ``sqlite3.Error`` or ``OSError``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA temp_store=MEMORY")  # a large batch would keep its undo in a file
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                raise sqlite3.NotSupportedError(f"a newer release wrote it (schema {version}, known {SCHEMA})")
            if version == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
            # The fault vocabulary grows: a file from before its newest words lacks their columns.
            known = {row[1] for row in connection.execute("PRAGMA table_info(sample)")}
            for name in SERIES:
                if name not in known:
                    connection.execute(f"ALTER TABLE sample ADD COLUMN {name} REAL")
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection

    def write(self, samples: Sequence[Row], alerts: Sequence[Row], notes: Sequence[Row]) -> None:
        """One transaction; raises ``sqlite3.Error``, after which nothing of it is written."""
        connection = self._writer()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_INSERT_SAMPLE, samples)
            connection.executemany(_UPSERT_ALERT, alerts)
            connection.executemany("INSERT INTO note (alert, ts_s, kind, by, text) VALUES (?, ?, ?, ?, ?)", notes)
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):  # a full disk may have rolled back already
                connection.execute("ROLLBACK")
            raise

    def tidy(self, max_bytes: int, before_ts_s: float) -> int:
        """Remove what is too old, then the oldest beyond the size; the bytes in use afterwards."""
        connection = self._writer()
        while connection.execute(
            "DELETE FROM sample WHERE heard_ts_s < ? AND number IN (SELECT number FROM sample ORDER BY number LIMIT ?)",
            (before_ts_s, _PIECE),
        ).rowcount:
            pass
        ended = "SELECT id FROM alert WHERE state = 'clear'"
        connection.execute(f"DELETE FROM alert WHERE heard_ts_s < ? AND id IN ({ended})", (before_ts_s,))  # noqa: S608
        connection.execute(
            f"DELETE FROM alert WHERE id IN ({ended} ORDER BY heard_ts_s DESC LIMIT -1 OFFSET ?)",  # noqa: S608 - constants
            (MAX_ALERTS,),
        )
        connection.execute("DELETE FROM note WHERE alert NOT IN (SELECT id FROM alert)")
        while (used := self._used_bytes(connection)) > max_bytes and connection.execute(
            "DELETE FROM sample WHERE number IN (SELECT number FROM sample ORDER BY number LIMIT ?)", (_PIECE,)
        ).rowcount:
            pass
        return used

    def give_up(self, error: Exception) -> None:
        """Close after a failure; a damaged file is renamed, so that someone can look at it later and a new one begins.

        Raises ``OSError`` where it cannot be renamed.
        """
        self.close()
        code = getattr(error, "sqlite_errorcode", None)
        if code is None or code & 0xFF not in _CORRUPT:
            return
        target = self.path.with_name(f"{FILE}.corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        for suffix in ("", "-wal", "-shm"):
            source = self.path.with_name(FILE + suffix)
            if source.exists():
                source.rename(target.with_name(target.name + suffix))

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # it is given up either way
                self._connection.close()
            self._connection = None

    def series(self, motor: str, from_ts_s: float | None, to_ts_s: float | None, step_s: float | None) -> Series:
        """A motor's samples, one point a step: the worst of most columns, the mean of the rest.

        Without limits the whole past, without a step about 500 points; never more than ``MAX_POINTS``.
        """
        with self._reader() as connection:
            first, last = connection.execute(
                "SELECT MIN(ts_s), MAX(ts_s) FROM sample WHERE motor = ?", (motor,)
            ).fetchone()
            start = first if from_ts_s is None else from_ts_s
            end = last if to_ts_s is None else to_ts_s
            if start is None or end is None or end < start:
                return Series(start or 0.0, end or 0.0, 0.0, {"ts_s": [], **{name: [] for name in SERIES}})
            step = max((end - start) / 500 if step_s is None else step_s, (end - start) / MAX_POINTS, 1e-3)
            points = ", ".join(f"{how}({name})" for name, how in _POINT.items())
            rows = connection.execute(
                f"SELECT MAX(ts_s), {points} FROM sample WHERE motor = ? AND ts_s BETWEEN ? AND ? "  # noqa: S608 - constants
                "GROUP BY CAST((ts_s - ?) / ? AS INTEGER) ORDER BY 1",
                (motor, start, end, start, step),
            ).fetchall()
        columns = zip(*rows, strict=True) if rows else ([] for _ in range(len(SERIES) + 1))
        return Series(
            start, end, step, {name: list(column) for name, column in zip(("ts_s", *SERIES), columns, strict=True)}
        )

    def rows(self, motor: str, from_ts_s: float | None, to_ts_s: float | None) -> Iterator[Row]:
        """A motor's samples as they were kept, header first, at most ``MAX_ROWS``."""
        yield SAMPLE_COLUMNS
        low, high = from_ts_s if from_ts_s is not None else -1e18, to_ts_s if to_ts_s is not None else 1e18
        with self._reader() as connection:
            yield from connection.execute(
                f"SELECT {', '.join(SAMPLE_COLUMNS)} FROM sample WHERE motor = ? AND ts_s BETWEEN ? AND ? "  # noqa: S608
                "ORDER BY ts_s, number LIMIT ?",
                (motor, low, high, MAX_ROWS),
            )

    def alerts(self, motor: str, limit: int) -> list[dict[str, Any]]:
        """A motor's alerts, newest first."""
        with self._reader() as connection:
            found = connection.execute(
                f"SELECT {', '.join(ALERT_COLUMNS)} FROM alert WHERE motor = ? ORDER BY opened_ts_s DESC LIMIT ?",  # noqa: S608
                (motor, limit),
            )
            return [dict(zip(ALERT_COLUMNS, row, strict=True)) for row in found]

    def recent(self, since_ts_s: float, standing: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Alerts that stand (by id) or were heard of since then by the edge's clock, newest first."""
        with self._reader() as connection:
            found = connection.execute(
                f"SELECT {', '.join(ALERT_COLUMNS)} FROM alert WHERE heard_ts_s >= ? "  # noqa: S608
                f"OR id IN ({', '.join('?' * len(standing))}) ORDER BY heard_ts_s DESC LIMIT ?",
                (since_ts_s, *standing, limit),
            )
            return [dict(zip(ALERT_COLUMNS, row, strict=True)) for row in found]

    def has_alert(self, alert: str) -> bool:
        """Whether an alert is kept under this id."""
        with self._reader() as connection:
            return connection.execute("SELECT 1 FROM alert WHERE id = ?", (alert,)).fetchone() is not None

    def notes(self, alerts: Sequence[str]) -> list[dict[str, Any]]:
        """What was said of these alerts, oldest first."""
        with self._reader() as connection:
            found = connection.execute(
                f"SELECT {', '.join(NOTE_COLUMNS)} FROM note WHERE alert IN ({', '.join('?' * len(alerts))}) "  # noqa: S608
                "ORDER BY number",
                tuple(alerts),
            )
            return [dict(zip(NOTE_COLUMNS, row, strict=True)) for row in found]

    def repaired(self) -> list[tuple[str, str, float, float]]:
        """Ended fault alerts that somebody noted as repaired: id, motor, opened_ts_s, ended ts_s; by motor and time."""
        with self._reader() as connection:
            return connection.execute(
                "SELECT id, motor, opened_ts_s, ts_s FROM alert WHERE state = 'clear' AND condition != 'anomaly' "
                "AND id IN (SELECT alert FROM note WHERE kind = 'repaired') ORDER BY motor, opened_ts_s"
            ).fetchall()

    def _writer(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("it is not open")
        return self._connection

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=1.0, check_same_thread=False)) as connection:
            yield connection

    @staticmethod
    def _used_bytes(connection: sqlite3.Connection) -> int:
        pages, free, size = (
            int(connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
