"""PRONOSTIA bearings run to failure (Nectoux et al., IEEE PHM 2012): two axes at 25.6 kHz, 0.1 s every 10 s.

A life ends where the publisher stopped the test, at 20 g. The accelerometers clip near 48 g.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from service.contract.bearing import CATALOGUE
from simulator import recording
from training.corpora.source import CorpusError, files

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "femto_pronostia"
BEARING = CATALOGUE["pronostia"]
STEP_S = recording.FEMTO_STEP_S
FS_HZ = recording.FEMTO_FS_HZ


@dataclass(frozen=True, slots=True)
class Life:
    """One bearing from new to failed: ``accel_m_s2`` float32 ``(2, snapshots, 2560)``, one snapshot every 10 s."""

    name: str
    accel_m_s2: NDArray[np.float32]
    speed_rpm: float

    def __len__(self) -> int:
        return int(self.accel_m_s2.shape[1])


@cache
def lives(folder: Path) -> tuple[Life, ...]:
    """The bearings that are there, in the order of their names.

    Raises:
        CorpusAbsentError: none is there.
        CorpusError: a file is damaged.
    """
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for member, raw in files(folder, NAME, lambda name: name.endswith(".npz")):
            path = Path(scratch) / PurePosixPath(member).name
            path.write_bytes(raw)
            try:
                read = recording.read(str(path))
            except recording.RecordingError as error:
                raise CorpusError(f"{member}: {error}") from error
            path.unlink()
            if read.speed_rpm is None:
                raise CorpusError(f"{member}: the name says no condition; keep the publisher's Bearing<condition>_<n>")
            name = path.stem.removeprefix("Learning_set_")
            found.append(Life(name, np.stack([read.channels["x"], read.channels["y"]]), read.speed_rpm))
    return tuple(sorted(found, key=lambda life: life.name))
