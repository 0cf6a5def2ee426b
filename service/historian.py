"""What has been, kept: samples of each motor, alerts and what people said of them. SQLite, WAL, a thread of its own.

The worker hands over references and goes on; RMS values, rows and commits are this thread's. A sample is kept when a
motor's event time has moved by ``historian.interval_s`` or its state has changed. Where the file cannot be written,
inference and alerts go on: it is counted, said in readiness, and tried again every few seconds; what waits meanwhile
is bounded. A damaged file is moved aside. What is kept is bounded by size and by age, oldest first.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from service import vibration
from service.archive import ALERT_COLUMNS, SAMPLE_COLUMNS, Archive
from service.contract.faults import Fault
from service.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from service.contract.messages import Alert, Health, Reading
    from service.metrics import Metrics
    from service.settings import HistorianSettings

_log = logging.getLogger(__name__)

_TURN_S = 1.0
_RETRY_S = 5.0
_TIDY_S = 60.0
_MAX_WAITING = 4096
_GROUP = 512
_SOON = 64
"""So many samples do not wait for the turn: each holds its reading's window."""
_ANSWER_S = 10.0
_STATES = {"ok": 0, "warning": 1, "alarm": 2}

_Entry = TypeVar("_Entry")
NoteKind = Literal["acknowledged", "repaired", "false_alarm", "comment"]


@dataclass(frozen=True, slots=True)
class Note:
    """What a person said of an alert."""

    alert: str
    kind: NoteKind
    by: str
    text: str
    ts_s: float


@dataclass(slots=True)
class _Pending:
    note: Note
    done: threading.Event = field(default_factory=threading.Event)
    error: str = ""


class Historian:
    """Takes what has happened, writes it in groups. ``take`` and ``heed`` belong to the worker; the rest to anyone."""

    def __init__(self, folder: Path, settings: HistorianSettings, metrics: Metrics) -> None:
        self.archive = Archive(folder)
        self.windows = vibration.Windows(settings.window_mib * 1_048_576)
        self._settings = settings
        self._metrics = metrics
        self._last: dict[str, tuple[float, str]] = {}
        self._samples: deque[tuple[Health, Reading, float]] = deque()
        self._alerts: deque[tuple[Alert, float]] = deque()
        self._notes: deque[_Pending] = deque()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="historian", daemon=True)
        self._retry_at_s = 0.0
        self._tidy_at_s = 0.0
        self.fault: str | None = None
        """Why no history is kept at present, for a person; None while all is well."""

    def start(self) -> None:
        """Open the file and begin; one that cannot be opened is tried again later."""
        self._guarded_turn()
        self._thread.start()

    def stop(self) -> None:
        """Write what waits and end."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_RETRY_S)

    def take(self, healths: Sequence[Health], readings: Sequence[Reading], heard_ts_s: float) -> None:
        """What came out of a step, and the reading that each of it answers; costs the worker a look-up per reading."""
        self.windows.put(*readings)
        interval_s, known = self._settings.interval_s, self._last
        for health, reading in zip(healths, readings, strict=True):
            motor, ts_s, state = health.motor, health.ts_s, health.state
            last = known.get(motor)
            if last is not None and last[1] == state and abs(ts_s - last[0]) < interval_s:
                continue
            known[motor] = (ts_s, state)
            self._bounded(self._samples)
            self._samples.append((health, reading, heard_ts_s))
        if len(self._samples) >= _SOON and self.fault is None:
            self._wake.set()

    def heed(self, alerts: Iterable[Alert]) -> None:
        """Alert messages, in order."""
        for alert in alerts:
            self._bounded(self._alerts)
            self._alerts.append((alert, time.time()))

    def retire(self, motor: str) -> None:
        """A motor is no longer known; its past stays until it is too old."""
        self._last.pop(motor, None)
        self.windows.forget(motor)

    def say(self, note: Note) -> None:
        """Keep what a person said, durably; raises ``StoreError`` where that does not succeed."""
        if self.fault is not None:
            raise StoreError(self.fault)
        pending = _Pending(note)
        self._notes.append(pending)
        self._wake.set()
        if not pending.done.wait(_ANSWER_S):
            raise StoreError("the historian does not answer; it is written when it can be")
        if pending.error:
            raise StoreError(pending.error)

    def _bounded(self, queue: deque[Any]) -> None:
        if len(queue) >= _MAX_WAITING:
            queue.popleft()
            self._metrics.historian_dropped.inc()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_TURN_S)
            self._wake.clear()
            self._guarded_turn()
        self._guarded_turn()
        self.archive.close()

    def _guarded_turn(self) -> None:
        try:
            self._turn(time.monotonic())
        except Exception as error:  # noqa: BLE001 - the last stop of a thread: what it held is lost, the rest goes on
            self._failed(error, time.monotonic())

    def _turn(self, now_s: float) -> None:
        if self.fault is not None and now_s < self._retry_at_s and not self._stopping.is_set():
            return
        try:
            if not self.archive.is_open:
                self.archive.open()
                self._tidy_at_s = now_s
            while self._samples or self._alerts or self._notes:
                self._write()
            if now_s >= self._tidy_at_s:
                self._tidy_at_s = now_s + _TIDY_S
                settings = self._settings
                used = self.archive.tidy(settings.max_mib * 1_048_576, time.time() - settings.max_days * 86_400.0)
                self._metrics.historian_bytes.set(used)
        except (sqlite3.Error, OSError) as error:
            self._failed(error, now_s)
            return
        if self.fault is not None:
            _log.warning("history is kept again")
        self.fault = None
        self._metrics.historian_up.set(1)

    def _write(self) -> None:
        """One transaction. What could not be written goes back; notes are answered either way."""
        samples, alerts, notes = _taken(self._samples), _taken(self._alerts), _taken(self._notes)
        error = "the historian failed on it"
        try:
            self.archive.write(
                [_sample_row(*sample) for sample in samples],
                [_alert_row(*alert) for alert in alerts],
                [(n.note.alert, n.note.ts_s, n.note.kind, n.note.by, n.note.text) for n in notes],
            )
        except sqlite3.Error as failure:
            self._samples.extendleft(reversed(samples))
            self._alerts.extendleft(reversed(alerts))
            error = f"{self.archive.path} cannot be written: {failure}"
            raise
        else:
            error = ""
        finally:
            for note in notes:
                note.error = error
                note.done.set()

    def _failed(self, error: Exception, now_s: float) -> None:
        text = f"{self.archive.path} cannot be used: {error}; free or repair the disk under data_dir"
        if self.fault is None:
            _log.error("%s; inference goes on", text, exc_info=not isinstance(error, sqlite3.Error | OSError))
        self.fault = text
        self._retry_at_s = now_s + _RETRY_S
        self._metrics.historian_failures.inc()
        self._metrics.historian_up.set(0)
        try:
            self.archive.give_up(error)
        except OSError as failure:
            _log.error("%s is damaged and cannot be moved aside: %s", self.archive.path, failure.strerror)


def _taken(queue: deque[_Entry]) -> list[_Entry]:
    """Up to a group of entries off a queue that others append to."""
    return [queue.popleft() for _ in range(min(len(queue), _GROUP))]


def _sample_row(health: Health, reading: Reading, heard_ts_s: float) -> tuple[float | int | str | None, ...]:
    values: dict[str, float | int | str | None] = {
        "motor": health.motor,
        "ts_s": health.ts_s,
        "heard_ts_s": heard_ts_s,
        "state": _STATES[health.state],
        "diagnosis": health.diagnosis,
    }
    for name in ("anomaly", "severity", "health", "rul_h", "rul_low_h", "rul_high_h", "nis"):
        values[name] = getattr(health, name)
    for name in ("speed_rpm", "load", "current_a", "winding_c", "housing_c", "ambient_c"):
        values[name] = None if name in health.missing else getattr(reading, name)
    values["accel_rms_m_s2"], values["velocity_rms_mm_s"] = vibration.rms(reading)
    for fault in Fault:
        values[fault] = health.probabilities.get(fault)
    return tuple(values[name] for name in SAMPLE_COLUMNS)


def _alert_row(alert: Alert, heard_ts_s: float) -> tuple[float | int | str | None, ...]:
    return tuple(heard_ts_s if name == "heard_ts_s" else getattr(alert, name) for name in ALERT_COLUMNS)
