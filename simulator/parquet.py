"""Arrays as a Parquet table: one row per first index, further axes as fixed-size lists; needs pyarrow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


class ParquetError(ValueError):
    """A table that cannot be written; one line with the remedy."""


def write(path: Path, columns: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    """Writes ``(rows, ...)`` arrays; ``about`` goes into the schema's metadata under ``about`` as JSON.

    Raises:
        ParquetError: pyarrow is not installed.
        OSError: the file cannot be written.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, only tables need it
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise ParquetError(
            "--out: Parquet needs pyarrow; pip install 'motortwin[recordings]', or write another format"
        ) from None
    arrays = {}
    for name, values in columns.items():
        flat = pa.array(values.ravel())
        for size in reversed(values.shape[1:]):
            flat = pa.FixedSizeListArray.from_arrays(flat, size)
        arrays[name] = flat
    table = pa.table(arrays).replace_schema_metadata({"about": json.dumps(about)})
    parquet.write_table(table, path)
