"""C-MAPSS FD001 (Saxena et al., PHM 2008): turbofan engines run to failure at one operating point; simulated.

Training engines run until they fail; test engines stop some cycles before, and ``remaining`` says how many.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from training.corpora.source import CorpusAbsentError, CorpusError, files

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAME = "cmapss"
FILES = ("train_FD001.txt", "test_FD001.txt", "RUL_FD001.txt")
SENSORS = 21
_SENSORS_FROM = 5


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine: sensors float64 ``(cycles, 21)`` and the cycles it had left after the last of them."""

    number: int
    sensors: NDArray[np.float64]
    remaining: float


@dataclass(frozen=True, slots=True)
class Engines:
    """The publisher's own split."""

    train: tuple[Engine, ...]
    test: tuple[Engine, ...]


@cache
def engines(folder: Path) -> Engines:
    """Both halves of FD001.

    Raises:
        CorpusAbsentError: a file is not there.
        CorpusError: a file does not hold what the publisher's does.
    """
    raw = {member.rsplit("/", 1)[-1]: content for member, content in files(folder, NAME, lambda n: n.endswith(FILES))}
    if len(raw) < len(FILES):
        raise CorpusAbsentError(NAME, folder)
    tables = {}
    for name in FILES:
        try:
            tables[name] = np.loadtxt(io.BytesIO(raw[name]), ndmin=2)
        except ValueError as error:
            raise CorpusError(f"{name}: {error}; use the publisher's file") from error
        columns = 1 if name.startswith("RUL") else _SENSORS_FROM + SENSORS
        if tables[name].shape[1] != columns or not np.isfinite(tables[name]).all():
            raise CorpusError(f"{name}: {tables[name].shape[1]} columns or NaN; {columns} finite columns are expected")
    train, test, left = (tables[name] for name in FILES)
    if len(np.unique(test[:, 0])) != len(left):
        raise CorpusError(f"{FILES[2]}: {len(left)} rows for {len(np.unique(test[:, 0]))} test engines; fetch again")
    return Engines(_split(train, np.zeros(len(np.unique(train[:, 0])))), _split(test, left[:, 0]))


def _split(table: NDArray[np.float64], left: NDArray[np.float64]) -> tuple[Engine, ...]:
    numbers = np.unique(table[:, 0])
    return tuple(
        Engine(int(number), table[table[:, 0] == number, _SENSORS_FROM:], float(remaining))
        for number, remaining in zip(numbers, left, strict=True)
    )
