"""An edge's history as Parquet: every sample, in order, and nothing half-written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyarrow import parquet

from service.archive import FILE, SAMPLE_COLUMNS, Archive
from training import history
from training.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.training


def sample(motor: str, ts_s: float, **values: float) -> tuple[object, ...]:
    """A row of the archive; what is not named is absent."""
    known = {"motor": motor, "ts_s": ts_s, "heard_ts_s": ts_s + 1.0, "diagnosis": "healthy", "state": 0} | values
    return tuple(known.get(name) for name in SAMPLE_COLUMNS)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    archive = Archive(tmp_path)
    archive.open()
    rows = [sample(motor, 1e9 + k, anomaly=0.01 * k) for k in range(50) for motor in ("m2", "m1")]
    archive.write(rows, [], [])
    archive.close()
    return tmp_path / FILE


def test_every_sample_is_there_by_motor_and_time_with_what_was_absent_as_null(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(history, "PIECE", 16)
    out = tmp_path / "out" / "all.parquet"
    assert main(["history", str(kept), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 100 samples\n"
    table = parquet.read_table(out)
    assert tuple(table.column_names) == SAMPLE_COLUMNS
    assert table["motor"].to_pylist() == ["m1"] * 50 + ["m2"] * 50
    assert table["ts_s"].to_pylist()[:50] == [1e9 + k for k in range(50)]
    assert table["anomaly"].to_pylist()[:3] == [0.0, 0.01, 0.02]
    assert table["winding_c"].null_count == 100
    assert main(["history", str(kept), "--out", str(out), "--motor", "m2"]) == 0
    assert set(parquet.read_table(out)["motor"].to_pylist()) == {"m2"}


def test_what_is_no_history_is_one_line_and_an_older_file_stays(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "x.parquet", tmp_path / "other.db"
    out.write_bytes(b"older")
    other.write_bytes(b"this is no database" * 400)
    for source, more in (
        (other, ()),
        (tmp_path / "absent.db", ()),
        (kept, ("--motor", "m9")),
        (kept, ("--motor", "/")),
    ):
        assert main(["history", str(source), "--out", str(out), *more]) == 2
        told = capsys.readouterr()
        assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert out.read_bytes() == b"older"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []
