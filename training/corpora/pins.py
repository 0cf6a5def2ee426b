"""What ``python -m training fetch`` downloads: the publishers' addresses, and the sha256 each original must have."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from training.corpora import cwru

TABLE = Path(__file__).with_name("pins.csv")
CWRU_ADDRESS = "https://engineering.case.edu/sites/default/files/{name}"
DATA_SETS = ("cwru", "femto_pronostia", "cmapss", "ai4i2020", "skab", "nab_machine_temperature")


@dataclass(frozen=True, slots=True)
class Pin:
    """One file of a data set.

    Attributes:
        data_set: folder below ``MOTOR_DATA``.
        file: path in that folder.
        address: of the file, or of the archive that holds it.
        sha256: of the file; of the samples as little-endian int32 where it is packed from many (``packed``).
        member: end of the path in the archive, or the folder to pack; empty where the address is the file itself.
        packed: the file is made of the many CSV files in the archive's folder ``member``.
    """

    data_set: str
    file: str
    address: str
    sha256: str
    member: str = ""
    packed: bool = False


def pins() -> tuple[Pin, ...]:
    """Every file of every data set."""
    originals = tuple(
        Pin("cwru", entry.file, CWRU_ADDRESS.format(name=PurePosixPath(entry.file).name), entry.sha256)
        for entry in cwru.entries()
    )
    with TABLE.open(newline="", encoding="utf-8") as file:
        others = tuple(
            Pin(row["data_set"], row["file"], row["address"], row["sha256"], row["member"], row["packed"] == "yes")
            for row in csv.DictReader(file)
        )
    return originals + others
