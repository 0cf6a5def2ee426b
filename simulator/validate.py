"""The twin against Case Western's drive-end recordings: same bearing, speed, fault and size, the declared spreads.

Nothing here is fitted: the twin's machines are drawn from the catalogue's defaults, so the figures say how far a
population of plausible motors lies from one particular test rig.
"""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.bearing import CATALOGUE
from service.contract.faults import Fault
from simulator import catalogue, twin
from simulator.population import built
from simulator.recording import MANIFEST_FILE, Recording, RecordingError, read
from simulator.replay import chosen
from simulator.resemblance import Verdict, features, told_apart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FAULTS = tuple(Fault)
ARCHIVE = "cwru.tar.xz"
GROUP = "12k_DE"
KINDS = {"IR": Fault.INNER_RACE, "OR": Fault.OUTER_RACE, "B": Fault.BALL}
SEVERITY = {"0.007": 0.35, "0.014": 0.55, "0.021": 0.75, "0.028": 0.95}
"""Severity that a defect of this diameter (inch) stands for; the largest is what run-to-failure tests end at."""

RIG = "1.5kW-4p-60Hz"
BEARING = "6205"
WINDOW = 4096
WINDOWS_PER_RECORDING = 12
MACHINES_PER_RECORDING = 6


class Row(NamedTuple):
    """One recording of the manifest."""

    file: str
    fault: Fault
    size_in: str
    load_hp: str


def rows(folder: Path) -> list[Row]:
    """The fault recordings at the drive end; ``RecordingError`` where the archive or its manifest is absent."""
    table = folder / MANIFEST_FILE
    if not (folder / ARCHIVE).is_file() or not table.is_file():
        raise RecordingError(f"{folder}: needs {ARCHIVE} and {MANIFEST_FILE}; set MOTOR_DATA to the folder above")
    with table.open(newline="", encoding="utf-8") as file:
        return [
            Row(line["file"], KINDS[line["fault_type"]], line["diameter_in"], line["load_hp"])
            for line in csv.DictReader(file)
            if line["group"] == GROUP and line["fault_type"] in KINDS
        ]


def compare(folder: Path, *, seed: int = 0) -> Iterator[tuple[Fault, Verdict, int, int]]:
    """Per fault type the two-sample test and the number of real and of simulated windows."""
    plan = rows(folder)
    with TemporaryDirectory(prefix="motortwin-") as unpacked:
        with tarfile.open(folder / ARCHIVE) as archive:
            archive.extractall(unpacked, filter="data")
        (Path(unpacked) / MANIFEST_FILE).write_bytes((folder / MANIFEST_FILE).read_bytes())
        yield from _compared(Path(unpacked), plan, seed)


def _compared(folder: Path, plan: list[Row], seed: int) -> Iterator[tuple[Fault, Verdict, int, int]]:
    for fault in dict.fromkeys(row.fault for row in plan):
        real, fake, real_group, fake_group = [], [], [], []
        for number, row in enumerate(row for row in plan if row.fault is fault):
            recording = read(str(folder / row.file))
            own = _real(recording, fault)
            made = _twin(recording, fault, SEVERITY[row.size_in], np.random.default_rng([seed, number]))
            real.append(own)
            fake.append(made)
            # A bearing was reused over the loads: its recordings are one group.
            real_group.append(np.full(len(own), list(SEVERITY).index(row.size_in)))
            fake_group.append(number * MACHINES_PER_RECORDING + np.arange(len(made)) % MACHINES_PER_RECORDING)
        verdict = told_apart(*(np.concatenate(part) for part in (real, fake, real_group, fake_group)))
        yield fault, verdict, sum(map(len, real)), sum(map(len, fake))


def _defect_order(fault: Fault) -> float:
    orders = CATALOGUE[BEARING].orders()
    return {Fault.INNER_RACE: orders.bpfi, Fault.OUTER_RACE: orders.bpfo, Fault.BALL: 2.0 * orders.bsf}[fault]


def _speed(recording: Recording) -> tuple[float, float]:
    if recording.fs_hz is None or recording.speed_rpm is None:
        raise RecordingError(f"{recording.name}: rate or speed unknown")
    return recording.fs_hz, recording.speed_rpm


def _real(recording: Recording, fault: Fault) -> NDArray[np.float64]:
    fs_hz, speed_rpm = _speed(recording)
    samples = chosen(recording, "DE")["x"][0]
    starts = np.linspace(0, samples.size - WINDOW, WINDOWS_PER_RECORDING).astype(int)
    return np.stack([features(samples[s : s + WINDOW], fs_hz, speed_rpm / 60.0, _defect_order(fault)) for s in starts])


def _twin(recording: Recording, fault: Fault, severity: float, rng: np.random.Generator) -> NDArray[np.float64]:
    fs_hz, speed_rpm = _speed(recording)
    n = MACHINES_PER_RECORDING
    machines = built(rng, [catalogue.named(RIG)] * n, [CATALOGUE[BEARING]] * n, np.full(n, fs_hz))
    levels = np.zeros((n, len(FAULTS)))
    levels[:, FAULTS.index(fault)] = severity
    # The load that makes this motor turn at the recorded speed.
    slip = 1.0 - speed_rpm / 1800.0
    state = twin.operate(machines, levels, np.clip(slip / machines.rating.slip, 0.02, 1.2))
    via = twin.path(machines, WINDOW)
    windows = [
        machines.sensors.acceleration(twin.vibrate(machines, via, levels, state, rng), rng)
        for _ in range(WINDOWS_PER_RECORDING // MACHINES_PER_RECORDING)
    ]
    shaft_hz = np.tile(state.operation.speed_rpm / 60.0, len(windows))
    return np.stack(
        [
            features(x, fs_hz, float(hz), _defect_order(fault))
            for x, hz in zip(np.concatenate(windows), shaft_hz, strict=True)
        ]
    )
