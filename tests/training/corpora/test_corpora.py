"""Loaders read the publishers' formats, from a folder or an archive, and name what is absent or damaged."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.contract.faults import HEALTHY
from training.corpora import cwru, femto, milling, nab, skab, source, turbofan

if TYPE_CHECKING:
    from pathlib import Path

SKAB_HEAD = "datetime;" + ";".join(skab.CHANNELS) + ";anomaly;changepoint\n"


def _engines_table(lengths: list[int]) -> str:
    rows = []
    for number, cycles in enumerate(lengths, start=1):
        rows += [f"{number} {cycle} 0 0 100 " + " ".join(["1.5"] * 21) for cycle in range(1, cycles + 1)]
    return "\n".join(rows) + "\n"


def test_a_data_set_that_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    for load, name in ((skab.runs, "skab"), (milling.rows, "ai4i2020"), (turbofan.engines, "cmapss")):
        with pytest.raises(source.CorpusAbsentError, match=rf"^{name}: absent.*training fetch {name}"):
            load(tmp_path)


def test_the_folder_is_what_the_variable_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOTOR_DATA", str(tmp_path))
    assert source.root() == tmp_path
    monkeypatch.delenv("MOTOR_DATA")
    assert source.root() == source.DEFAULT


@pytest.mark.parametrize("kind", ["folder", "tar.xz", "zip"])
def test_engines_are_read_from_a_folder_or_an_archive(tmp_path: Path, kind: str) -> None:
    files = {
        "train_FD001.txt": _engines_table([5, 7]),
        "test_FD001.txt": _engines_table([3, 4]),
        "RUL_FD001.txt": "12\n98\n",
    }
    home = tmp_path / "cmapss"
    home.mkdir()
    if kind == "folder":
        for name, text in files.items():
            (home / name).write_text(text)
    elif kind == "zip":
        with zipfile.ZipFile(home / "FD001.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
    else:
        with tarfile.open(home / "FD001.tar.xz", "w:xz") as tar:
            for name, text in files.items():
                item = tarfile.TarInfo(name)
                item.size = len(text)
                tar.addfile(item, io.BytesIO(text.encode()))
    engines = turbofan.engines(tmp_path)
    assert [len(engine.sensors) for engine in engines.train] == [5, 7]
    assert [engine.remaining for engine in engines.test] == [12.0, 98.0]
    assert engines.train[0].sensors.shape == (5, turbofan.SENSORS)


def test_engines_of_another_shape_are_refused_in_one_line(tmp_path: Path) -> None:
    home = tmp_path / "cmapss"
    home.mkdir()
    for name in turbofan.FILES:
        (home / name).write_text("1 2 3\n")
    with pytest.raises(source.CorpusError, match=r"^train_FD001\.txt: 3 columns.*26 finite columns are expected$"):
        turbofan.engines(tmp_path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    home = tmp_path / "skab"
    home.mkdir()
    (home / "skab.tar.xz").write_bytes(b"not an archive")
    with pytest.raises(source.CorpusError, match=r"skab\.tar\.xz: damaged archive.*fetch skab again"):
        skab.runs(tmp_path)


def test_a_run_of_the_test_bed_keeps_its_labels(tmp_path: Path) -> None:
    home = tmp_path / "skab" / "valve1"
    home.mkdir(parents=True)
    row = "2020-03-09 10:14:3{};" + ";".join("1.0" for _ in skab.CHANNELS) + ";{}.0;0.0\n"
    (home / "0.csv").write_text(SKAB_HEAD + row.format(3, 0) + row.format(4, 1))
    (run,) = skab.runs(tmp_path)
    assert run.name == "valve1/0"
    assert run.group == "valve1"
    assert run.anomaly.tolist() == [False, True]
    assert np.diff(run.ts_s).tolist() == [1.0]


def test_a_run_without_a_channel_is_refused_by_its_name(tmp_path: Path) -> None:
    home = tmp_path / "skab"
    home.mkdir()
    (home / "other.csv").write_text("datetime;anomaly\n2020-03-09 10:14:33;0\n")
    with pytest.raises(source.CorpusError, match="column 'Accelerometer1RMS' is missing"):
        skab.runs(tmp_path)


def test_the_columns_that_name_the_rule_are_kept_apart_from_what_was_measured(tmp_path: Path) -> None:
    home = tmp_path / "ai4i2020"
    home.mkdir()
    names = ["UDI", "Product ID", "Type", *milling.MEASURED, "Machine failure", *milling.MODES]
    values = ["1", "M14860", "M", "298.1", "308.6", "1551", "42.8", "0", "1", "0", "1", "0", "0", "0"]
    (home / "ai4i2020.csv").write_text("\ufeff" + ",".join(names) + "\n" + ",".join(values) + "\n", encoding="utf-8")
    rows = milling.rows(tmp_path)
    assert rows.measured.tolist() == [[298.1, 308.6, 1551.0, 42.8, 0.0]]
    assert milling.QUALITIES[rows.quality[0]] == "M"
    assert rows.failed.tolist() == [True]
    assert rows.modes.tolist() == [[False, True, False, False, False]]


def test_every_case_western_file_is_known_once_with_its_bearing() -> None:
    entries = cwru.entries()
    assert len({entry.file for entry in entries}) == len(entries) == 64
    assert len([entry for entry in entries if entry.fs_hz == cwru.FS_HZ]) == 60
    assert len({entry.sha256 for entry in entries}) == len(entries)
    inner = {entry.bearing for entry in entries if entry.fault == "inner_race"}
    assert inner == {"inner_race-007", "inner_race-014", "inner_race-021", "inner_race-028"}


@pytest.mark.data("cwru/cwru.tar.xz")
def test_the_healthy_recording_meets_the_others_at_their_rate(recordings: Path) -> None:
    found = cwru.recordings(recordings)
    healthy = [one for one in found if one.entry.fault == HEALTHY]
    assert len(found) == 61
    assert [len(one.accel_m_s2) for one in healthy] == [pytest.approx(243_938 / 4, abs=1)]
    assert found[0].windows(12_000).shape == (10, 12_000)


@pytest.mark.data("femto_pronostia", "nab_machine_temperature")
def test_lives_end_at_failure_and_windows_lie_in_the_series(recordings: Path) -> None:
    assert {life.name: len(life) for life in femto.lives(recordings)}["Bearing3_1"] == 515
    series = nab.temperature(recordings)
    assert series.windows_s.shape == (4, 2)
    assert (series.windows_s > series.ts_s[0]).all()
    assert (series.windows_s < series.ts_s[-1]).all()
