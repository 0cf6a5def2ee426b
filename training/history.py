"""An edge's ``history.db`` as Parquet, for those who analyse: here, as the edge itself carries no pyarrow.

One row a sample, by motor and time; columns and units as in ``history.csv``, absent values null. Read in pieces, so a
year of a fleet needs no more memory than a day of it. The file appears whole or not at all.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from service.archive import SAMPLE_COLUMNS
from service.contract.topics import is_id

if TYPE_CHECKING:
    from pathlib import Path

PIECE = 65_536
"""Rows of one piece."""
_TEXT = ("motor", "diagnosis")
_SCHEMA = pa.schema([(name, pa.string() if name in _TEXT else pa.float64()) for name in SAMPLE_COLUMNS])


class HistoryError(ValueError):
    """A history that cannot be given out; one line with the remedy."""


def export(source: Path, out: Path, motor: str | None = None) -> int:
    """Writes the samples of all motors, or of one; the number of rows.

    Args:
        source: a ``history.db``; a running edge's may be read too, with its ``-wal`` beside it.
        out: the Parquet file.
        motor: a motor's id.

    Raises:
        HistoryError: the source is no history, or holds nothing of the motor.
        OSError: the file cannot be written.
    """
    if motor is not None and not is_id(motor):
        raise HistoryError("--motor: not a motor's id: 1-64 letters, digits, '_', '.', '-'")
    where, values = ("", ()) if motor is None else (" WHERE motor = ?", (motor,))
    question = f"SELECT {', '.join(SAMPLE_COLUMNS)} FROM sample{where} ORDER BY motor, ts_s"  # noqa: S608 - constants
    partial = out.with_name(out.name + ".partial")
    rows = 0
    try:
        with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as history:
            answer = history.execute(question, values)
            out.parent.mkdir(parents=True, exist_ok=True)
            with parquet.ParquetWriter(partial, _SCHEMA) as writer:
                while piece := answer.fetchmany(PIECE):
                    columns = [
                        pa.array(column, kind.type)
                        for column, kind in zip(zip(*piece, strict=True), _SCHEMA, strict=True)
                    ]
                    writer.write_table(pa.table(columns, schema=_SCHEMA))
                    rows += len(piece)
        if not rows:
            raise HistoryError(f"{source} holds no sample" + (f" of {motor}" if motor is not None else ""))
        partial.replace(out)
    except sqlite3.Error as error:
        raise HistoryError(
            f"{source} is no history of an edge ({error}); give a copy of data_dir/history.db"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return rows
