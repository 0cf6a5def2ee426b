"""What is kept of the past, what is thinned, what happens when the disk does not want to."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.archive import FILE, MAX_POINTS, SAMPLE_COLUMNS, Archive
from service.errors import StoreError
from service.historian import Historian, Note
from service.metrics import Metrics
from service.settings import HistorianSettings
from tests.system.conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.contract.messages import Alert, Health, Reading

T0_S = 1_800_000_000.0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make(tmp_path: Path, metrics: Metrics) -> Iterator[Callable[..., Historian]]:
    made: list[Historian] = []

    def start(**settings: float) -> Historian:
        historian = Historian(tmp_path / "data", HistorianSettings(**settings), metrics)
        made.append(historian)
        historian.start()
        return historian

    yield start
    for historian in made:
        historian.stop()


def row(motor: str, ts_s: float, **values: float) -> tuple[float | str | None, ...]:
    given = {"motor": motor, "ts_s": ts_s, "heard_ts_s": ts_s, "diagnosis": "healthy", **values}
    return tuple(given.get(name) for name in SAMPLE_COLUMNS)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    opened = Archive(tmp_path)
    opened.open()
    yield opened
    opened.close()


def feed(
    historian: Historian,
    health: Callable[..., Health],
    reading: Callable[..., Reading],
    times: range,
    state: str = "ok",
) -> None:
    for seq in times:
        taken = reading(seq=seq, ts_s=T0_S + seq)
        told = health(seq=seq, boot=taken.boot, ts_s=T0_S + seq, state=state, health=0.5, anomaly=0.25)
        historian.take([told], [taken], time.time())


def test_samples_are_kept_one_an_interval_and_at_every_change_of_state(
    make: Callable[..., Historian], health: Callable[..., Health], reading: Callable[..., Reading]
) -> None:
    historian = make(interval_s=60)
    feed(historian, health, reading, range(120))
    feed(historian, health, reading, range(120, 125), "alarm")
    historian.stop()
    series = historian.archive.series("m1", None, None, 1.0)
    assert [ts_s - T0_S for ts_s in series.columns["ts_s"] if ts_s] == [0.0, 60.0, 120.0]
    assert series.columns["state"] == [0.0, 0.0, 2.0]
    assert series.columns["health"] == [0.5] * 3
    assert None not in series.columns["velocity_rms_mm_s"]


def test_an_alert_is_kept_in_its_newest_revision_with_what_people_said(
    make: Callable[..., Historian], alert: Callable[..., Alert]
) -> None:
    historian = make()
    historian.heed([alert(revision=0), alert(state="clear", revision=2), alert(state="update", revision=1)])
    wait_until(lambda: historian.archive.is_open and historian.archive.has_alert("m1:ball:1"), "the alert on disk")
    historian.say(Note("m1:ball:1", "repaired", "Ann", "<b>new bearing</b>", T0_S))
    (kept,) = historian.archive.alerts("m1", 10)
    assert (kept["state"], kept["revision"]) == ("clear", 2)
    (note,) = historian.archive.notes(["m1:ball:1"])
    assert (note["kind"], note["by"], note["text"]) == ("repaired", "Ann", "<b>new bearing</b>")
    assert historian.archive.repaired() == [("m1:ball:1", "m1", T0_S, T0_S + 2)]


def test_a_note_is_refused_while_nothing_can_be_kept_and_inference_is_not_held_up(
    tmp_path: Path,
    make: Callable[..., Historian],
    metrics: Metrics,
    health: Callable[..., Health],
    reading: Callable[..., Reading],
) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    historian = make(interval_s=0)
    wait_until(lambda: historian.fault is not None, "the fault")
    assert "data_dir" in (historian.fault or "")
    with pytest.raises(StoreError, match="cannot be used"):
        historian.say(Note("m1:ball:1", "comment", "Ann", "", T0_S))
    started = time.perf_counter()
    feed(historian, health, reading, range(5000))
    assert time.perf_counter() - started < 5.0
    exposition = metrics.exposition().decode()
    assert "motortwin_historian_up 0.0" in exposition
    assert "motortwin_historian_failures_total 1.0" in exposition
    assert f"motortwin_historian_dropped_total {5000 - 4096}.0" in exposition


def test_history_is_kept_again_when_the_disk_works_again(
    tmp_path: Path,
    make: Callable[..., Historian],
    monkeypatch: pytest.MonkeyPatch,
    health: Callable[..., Health],
    reading: Callable[..., Reading],
) -> None:
    monkeypatch.setattr("service.historian._RETRY_S", 0.1)
    (tmp_path / "data").write_text("in the way")
    historian = make()
    wait_until(lambda: historian.fault is not None, "the fault")
    feed(historian, health, reading, range(1))
    (tmp_path / "data").unlink()
    wait_until(lambda: historian.fault is None, "the recovery")
    assert historian.archive.series("m1", None, None, None).columns["ts_s"] == [T0_S]


def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(
    tmp_path: Path, make: Callable[..., Historian], monkeypatch: pytest.MonkeyPatch, alert: Callable[..., Alert]
) -> None:
    monkeypatch.setattr("service.historian._RETRY_S", 0.1)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / FILE).write_bytes(b"not a database" * 100)
    historian = make()
    historian.heed([alert()])
    wait_until(lambda: historian.archive.is_open and historian.archive.has_alert("m1:ball:1"), "the alert on disk")
    assert [path.read_bytes()[:14] for path in folder.glob(f"{FILE}.corrupt-*")] == [b"not a database"]


def test_a_file_of_a_newer_release_is_left_alone(tmp_path: Path, make: Callable[..., Historian]) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    connection = sqlite3.connect(folder / FILE)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    historian = make()
    wait_until(lambda: historian.fault is not None, "the fault")
    assert "newer release" in (historian.fault or "")
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_a_file_from_before_the_newest_fault_was_known_is_gone_on_with(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.open()
    archive.write([row("m1", T0_S)], [], [])
    archive.close()
    with sqlite3.connect(tmp_path / FILE) as older:
        older.execute(f"ALTER TABLE sample DROP COLUMN {SAMPLE_COLUMNS[-1]}")
    archive.open()
    archive.write([row("m1", T0_S + 60.0, **{SAMPLE_COLUMNS[-1]: 0.5})], [], [])
    header, *kept = archive.rows("m1", T0_S - 1.0, T0_S + 61.0)
    assert [line[header.index(SAMPLE_COLUMNS[-1])] for line in kept] == [None, 0.5]
    archive.close()


def test_a_series_is_bounded_and_keeps_the_worst(archive: Archive) -> None:
    archive.write([row("m1", float(ts_s), anomaly=ts_s % 1000, health=0.5, load=1.0) for ts_s in range(20_000)], [], [])
    series = archive.series("m1", None, None, 0.001)
    assert len(series.columns["ts_s"]) <= MAX_POINTS + 1
    assert max(value or 0.0 for value in series.columns["anomaly"]) == 999.0
    assert archive.series("m1", 100.0, 199.0, 10.0).columns["anomaly"] == [109.0 + 10 * k for k in range(10)]
    assert archive.series("m1", 200.0, 100.0, None).columns["ts_s"] == []
    assert archive.series("nobody", None, None, None).columns["ts_s"] == []
    assert archive.series("nobody", 0.0, 10.0, 1.0).columns["anomaly"] == []


def test_the_oldest_gives_way_by_size_and_by_age(archive: Archive) -> None:
    archive.write([row("m1", float(ts_s)) for ts_s in range(20_000)], [], [])
    used = archive.tidy(10**9, before_ts_s=100.0)
    assert archive.series("m1", None, None, None).from_ts_s == 100.0
    assert archive.tidy(used // 2, before_ts_s=0.0) <= used // 2
    left = archive.series("m1", None, None, None)
    assert left.from_ts_s > 5000.0
    assert left.to_ts_s == 19_999.0


def test_an_export_begins_with_its_header_and_is_in_order(archive: Archive) -> None:
    archive.write([row("m1", 2.0), row("m1", 1.0), row("m2", 1.5)], [], [])
    header, *rows = archive.rows("m1", None, None)
    assert header == SAMPLE_COLUMNS
    assert [found[1] for found in rows] == [1.0, 2.0]


def test_a_write_that_fails_leaves_nothing_of_itself(archive: Archive) -> None:
    with pytest.raises(sqlite3.Error):
        archive.write([row("m1", 1.0)], [], [(None, None, None, None, None)])
    assert archive.series("m1", None, None, None).columns["ts_s"] == []
    archive.write([row("m1", 1.0)], [], [])
    assert archive.series("m1", None, None, None).columns["ts_s"] == [1.0]


def test_temperatures_that_were_masked_are_not_kept(
    make: Callable[..., Historian], health: Callable[..., Health], reading: Callable[..., Reading]
) -> None:
    historian = make()
    taken = reading(winding_c=9999.0, housing_c=40.0)
    historian.take([health(boot=taken.boot, seq=taken.seq, missing=("winding_c",))], [taken], T0_S)
    historian.stop()
    columns = historian.archive.series("m1", None, None, None).columns
    assert (columns["winding_c"], columns["housing_c"]) == ([None], [40.0])
    assert np.isfinite(columns["ts_s"][0] or 0.0)
