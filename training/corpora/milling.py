"""AI4I 2020 (Matzka 2020): a milling machine as a table of independent rows; synthetic, and no time series.

``TWF HDF PWF OSF RNF`` say which rule made the failure: they are the label in other words, and only ever a control.
``UDI`` and the product's serial number are row numbers and do not leave this module.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from training.corpora.source import CorpusError, files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAME = "ai4i2020"
MEASURED = (
    "Air temperature [K]",
    "Process temperature [K]",
    "Rotational speed [rpm]",
    "Torque [Nm]",
    "Tool wear [min]",
)
MODES = ("TWF", "HDF", "PWF", "OSF", "RNF")
QUALITIES = ("L", "M", "H")


@dataclass(frozen=True, slots=True)
class Rows:
    """One row a product.

    ``measured`` ``(n, 5)``, ``quality`` ``(n,)`` into ``QUALITIES``, ``failed`` ``(n,)``, leaking
    ``modes`` ``(n, 5)``.
    """

    measured: NDArray[np.float64]
    quality: NDArray[np.intp]
    failed: NDArray[np.bool_]
    modes: NDArray[np.bool_]


@cache
def rows(folder: Path) -> Rows:
    """The table.

    Raises:
        CorpusAbsentError: it is not there.
        CorpusError: a column is missing or a value is no number.
    """
    _, raw = next(files(folder, NAME, lambda name: name.endswith("ai4i2020.csv")))
    table = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"))))
    missing = [name for name in (*MEASURED, "Type", "Machine failure", *MODES) if not table or name not in table[0]]
    if missing:
        raise CorpusError(f"ai4i2020.csv: column {missing[0]!r} is missing; use the publisher's file")
    try:
        measured = np.array([[float(row[name]) for name in MEASURED] for row in table])
        quality = np.array([QUALITIES.index(row["Type"]) for row in table], dtype=np.intp)
    except ValueError as error:
        raise CorpusError(f"ai4i2020.csv: {error}; use the publisher's file") from error
    modes = np.array([[row[mode] == "1" for mode in MODES] for row in table])
    return Rows(measured, quality, np.array([row["Machine failure"] == "1" for row in table]), modes)
