"""Numenta Anomaly Benchmark: a temperature of a large industrial machine, every 5 minutes, with labelled windows."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from training.corpora.source import CorpusAbsentError, CorpusError, files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAME = "nab_machine_temperature"
SERIES = "machine_temperature_system_failure.csv"
WINDOWS = "combined_windows.json"
STEP_S = 300.0


@dataclass(frozen=True, slots=True)
class Temperature:
    """The series: ``ts_s`` float64 ``(n,)``, ``value`` float64 ``(n,)`` in the publisher's unit, windows ``(4, 2)``."""

    ts_s: NDArray[np.float64]
    value: NDArray[np.float64]
    windows_s: NDArray[np.float64]


@cache
def temperature(folder: Path) -> Temperature:
    """The series and its labelled windows.

    Raises:
        CorpusAbsentError: the series or its labels are not there.
        CorpusError: a file cannot be read.
    """
    raw = {
        member.rsplit("/", 1)[-1]: content
        for member, content in files(folder, NAME, lambda name: name.endswith((SERIES, WINDOWS)))
    }
    if len(raw) < 2:
        raise CorpusAbsentError(NAME, folder)
    try:
        _, _, body = raw[SERIES].decode().partition("\n")
        ts = np.loadtxt(io.StringIO(body), delimiter=",", usecols=0, dtype="datetime64[s]")
        value = np.loadtxt(io.StringIO(body), delimiter=",", usecols=1)
        labels = next(spans for name, spans in json.loads(raw[WINDOWS]).items() if name.endswith(SERIES))
        windows = np.array([[np.datetime64(end.split(".")[0], "s") for end in span] for span in labels])
    except (ValueError, StopIteration) as error:
        raise CorpusError(f"{SERIES}: {error}; use the publisher's files") from error
    return Temperature(ts.astype(np.float64), value, windows.astype(np.float64))
