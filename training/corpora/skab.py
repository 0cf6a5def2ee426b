"""Skoltech Anomaly Benchmark: a motor and a water pump at 1 Hz, with labelled anomalies.

The groups of files were run at different operating points, so each file's own fault-free head is its baseline; a
detector fitted on one group and tested on another sees the operating point.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from training.corpora.source import CorpusError, files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAME = "skab"
CHANNELS = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)
EXPECTED = 34
"""Labelled files in the publisher's release."""


@dataclass(frozen=True, slots=True)
class Run:
    """One labelled run: ``values`` float64 ``(n, 8)`` in ``CHANNELS`` order, ``anomaly`` bool ``(n,)``, about 1 Hz."""

    name: str
    values: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    ts_s: NDArray[np.float64]

    @property
    def group(self) -> str:
        """The publisher's folder."""
        return self.name.split("/")[0]


@cache
def runs(folder: Path) -> tuple[Run, ...]:
    """The labelled files that are there, in the order of their names.

    Raises:
        CorpusAbsentError: none is there.
        CorpusError: a file has other columns or holds no numbers.
    """
    found = []
    for member, raw in files(folder, NAME, lambda name: name.endswith(".csv") and not name.startswith("anomaly-free")):
        head, _, body = raw.decode("utf-8-sig").partition("\n")
        columns = [column.strip() for column in head.split(";")]
        missing = {"datetime", "anomaly", *CHANNELS} - set(columns)
        if missing:
            raise CorpusError(f"{member}: column {min(missing)!r} is missing; use the publisher's files")
        try:
            at = columns.index("datetime")
            ts = np.loadtxt(io.StringIO(body), delimiter=";", usecols=at, dtype="datetime64[s]", ndmin=1)
            rest = [columns.index(name) for name in (*CHANNELS, "anomaly")]
            table = np.loadtxt(io.StringIO(body), delimiter=";", usecols=rest, ndmin=2)
        except ValueError as error:
            raise CorpusError(f"{member}: {error}; use the publisher's files") from error
        found.append(Run(member.removesuffix(".csv"), table[:, :-1], table[:, -1] > 0.5, ts.astype(np.float64)))
    return tuple(sorted(found, key=lambda run: run.name))
