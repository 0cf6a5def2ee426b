"""Case Western Reserve University bearing data: drive-end faults of an SKF 6205 at 12 kHz, and a healthy recording.

``cwru.csv`` says of each file what it shows. The healthy ``97.mat`` was taken at 48 kHz; it is decimated with an
anti-alias filter, or it could be told apart by its sampling rate alone. The same damaged bearing was probably used at
all four loads, so whatever is split or resampled is split by ``Labelled.bearing``, never by window.
"""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from service.contract.bearing import CATALOGUE
from service.contract.faults import HEALTHY, Fault
from simulator import recording, replay
from training.corpora.source import CorpusError, files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "cwru"
TABLE = Path(__file__).with_name("cwru.csv")
FS_HZ = 12_000.0
BEARING = CATALOGUE["6205"]
RATED_RPM = 1750.0
"""Of the rig's 2 hp motor, at 60 Hz."""
FAULTS: dict[str, str] = {
    "IR": str(Fault.INNER_RACE),
    "OR": str(Fault.OUTER_RACE),
    "B": str(Fault.BALL),
    "normal": HEALTHY,
}
SIZES_MIL = (7, 14, 21, 28)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, as the publisher's pages describe it; ``diameter_mil`` is 0 and ``position`` empty where healthy."""

    file: str
    fault: str
    diameter_mil: int
    position: str
    load_hp: int
    speed_rpm: float
    fs_hz: float
    sha256: str

    @property
    def bearing(self) -> str:
        """Which bearing this is: recordings that share it were taken of the same damage."""
        return f"{self.fault}-{self.diameter_mil:03d}{'@' + self.position if self.position else ''}"


@dataclass(frozen=True, slots=True)
class Labelled:
    """One recording: drive-end acceleration ``(n,)`` float32 in m/s^2 at ``FS_HZ``, and what it shows."""

    entry: Entry
    accel_m_s2: NDArray[np.float32]

    def windows(self, samples: int) -> NDArray[np.float32]:
        """Windows without overlap ``(k, samples)``; the rest is left out."""
        count = len(self.accel_m_s2) // samples
        return self.accel_m_s2[: count * samples].reshape(count, samples)


@cache
def entries() -> tuple[Entry, ...]:
    """Every known file."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return tuple(
            Entry(
                file=row["file"],
                fault=FAULTS[row["fault"]],
                diameter_mil=int(row["diameter_mil"]),
                position=row["position"],
                load_hp=int(row["load_hp"]),
                speed_rpm=float(row["speed_rpm"]),
                fs_hz=float(row["fs_hz"]),
                sha256=row["sha256"],
            )
            for row in csv.DictReader(file)
        )


@cache
def recordings(folder: Path) -> tuple[Labelled, ...]:
    """The 60 drive-end fault recordings at 12 kHz and the decimated healthy one, those of them that are there.

    Raises:
        CorpusAbsentError: none is there.
        CorpusError: a file is damaged.
    """
    known = {e.file: e for e in entries() if e.fs_hz == FS_HZ or e.fault == HEALTHY}
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for member, raw in files(folder, NAME, known.__contains__):
            entry = known[member]
            path = Path(scratch) / Path(member).name
            path.write_bytes(raw)
            try:
                read = recording.read(str(path), fs_hz=entry.fs_hz, speed_rpm=entry.speed_rpm)
            except recording.RecordingError as error:
                raise CorpusError(f"{member}: {error}") from error
            path.unlink()
            found.append(Labelled(entry, replay.resampled(read, FS_HZ).channels["DE"][0]))
    return tuple(sorted(found, key=lambda one: one.entry.file))
