"""The twin against Case Western's drive-end recordings: same bearing, speed, fault and size.

Twice: drawn from the catalogue's defaults, which never saw these recordings and say how far a population of plausible
motors lies from one particular rig; and as the preset of that rig, identified on the recordings of loads 0 and 1 hp and
compared on 2 and 3 hp. Folds keep a bearing's recordings, and the twin's windows that stand for it, together.
"""

from __future__ import annotations

import csv
import tarfile
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.bearing import CATALOGUE
from service.contract.faults import Fault
from simulator import catalogue, identify, preset, twin
from simulator.population import built
from simulator.recording import MANIFEST_FILE, Recording, RecordingError, read
from simulator.replay import chosen
from simulator.resemblance import Verdict, features, told_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from simulator.preset import Preset, Specimen

FAULTS = tuple(Fault)
ARCHIVE = "cwru.tar.xz"
GROUP = "12k_DE"
KINDS = {"IR": Fault.INNER_RACE, "OR": Fault.OUTER_RACE, "B": Fault.BALL}
SEVERITY = {"0.007": 0.35, "0.014": 0.55, "0.021": 0.75, "0.028": 0.95}
"""Severity that a defect of this diameter (inch) stands for; the largest is what run-to-failure tests end at."""

RIG = "1.5kW-4p-60Hz"
BEARING = "6205"
FS_HZ = 12_000.0
WINDOW = identify.WINDOW
WINDOWS_PER_RECORDING = 12
MACHINES_PER_RECORDING = 6

PRESET = "cwru"
FITTED = ("0", "1")
REPORTED = ("2", "3")
"""Loads in hp that the preset is identified on, and those it is judged on."""


class Row(NamedTuple):
    """One recording of the manifest."""

    file: str
    fault: Fault
    size_in: str
    load_hp: str
    position: str


class Pair(NamedTuple):
    """One recording's features and those of the twin that stands for it, ``(n, len(FEATURES))`` each."""

    row: Row
    real: NDArray[np.float64]
    twin: NDArray[np.float64]


class Comparison(NamedTuple):
    """One kind of fault."""

    fault: Fault
    verdict: Verdict
    pairs: list[Pair]


def rows(folder: Path) -> list[Row]:
    """The fault recordings at the drive end; ``RecordingError`` where the archive or its manifest is absent."""
    table = folder / MANIFEST_FILE
    if not (folder / ARCHIVE).is_file() or not table.is_file():
        raise RecordingError(f"{folder}: needs {ARCHIVE} and {MANIFEST_FILE}; set MOTOR_DATA to the folder above")
    with table.open(newline="", encoding="utf-8") as file:
        return [
            Row(line["file"], KINDS[line["fault_type"]], line["diameter_in"], line["load_hp"], line["or_position"])
            for line in csv.DictReader(file)
            if line["group"] == GROUP and line["fault_type"] in KINDS
        ]


def compare(folder: Path, *, seed: int = 0, rig: Preset | None = None) -> Iterator[Comparison]:
    """Per fault the two-sample test: the defaults on all loads, or a preset on the loads it never saw."""
    plan = [row for row in rows(folder) if rig is None or row.load_hp in REPORTED]

    def made(row: Row, recording: Recording, rng: np.random.Generator) -> NDArray[np.float64]:
        return _drawn(row, recording, rng) if rig is None else _of_rig(rig, row, recording, rng)

    with _unpacked(folder) as files:
        for fault in dict.fromkeys(row.fault for row in plan):
            yield _compared(files, fault, [row for row in plan if row.fault is fault], made, seed)


def loads_apart(folder: Path) -> Iterator[Comparison]:
    """The same test with recordings of the same bearing at loads 0 and 1 hp in the twin's place: how far load goes."""
    plan = rows(folder)
    twins = dict(zip(REPORTED, FITTED, strict=True))

    with _unpacked(folder) as files:

        def made(row: Row, _: Recording, __: np.random.Generator) -> NDArray[np.float64]:
            other = next(r for r in plan if r[1:3] == row[1:3] and r.load_hp == twins[row.load_hp] and r[4] == row[4])
            return _recorded(read(str(files / other.file)), row.fault)

        judged = [row for row in plan if row.load_hp in REPORTED]
        for fault in dict.fromkeys(row.fault for row in plan):
            yield _compared(files, fault, [row for row in judged if row.fault is fault], made, 0)


def known_bearing(item: Comparison) -> float:
    """AUROC of a classifier that met both sides' other windows of the same bearing: folds by recording. Stricter."""
    group = np.repeat(np.arange(len(item.pairs)), WINDOWS_PER_RECORDING)
    real, fake = (np.concatenate([getattr(pair, side) for pair in item.pairs]) for side in ("real", "twin"))
    return told_apart(real, fake, group, group).auroc


def identified(folder: Path, *, seed: int = 0, progress: Callable[[str], None] | None = None) -> Preset:
    """The rig from its recordings at loads 0 and 1 hp; takes half a minute a specimen."""
    plan = [row for row in rows(folder) if row.load_hp in FITTED]
    rig = preset.Preset(
        title="Case Western's bearing rig at the drive end: SKF 6205-2RS with seeded defects, 12 kHz",
        source="identified on the 12 kHz drive-end recordings of 0 and 1 hp by python -m simulator validate --identify",
        rating=RIG,
        bearing=BEARING,
        fs_hz=FS_HZ,
        specimen=(),
    )
    found = []
    with _unpacked(folder) as files:
        for fault, size_in, position in dict.fromkeys((row.fault, row.size_in, row.position) for row in plan):
            own = [row for row in plan if (row.fault, row.size_in, row.position) == (fault, size_in, position)]
            samples = [_sample(read(str(files / row.file))) for row in own]
            found.append(
                identify.specimen(
                    rig, fault, size_in, position, SEVERITY[size_in], samples, defect_order(fault), seed=seed
                )
            )
            if progress is not None:
                progress(f"{fault} {size_in} in {position}".rstrip())
    # One pair of recordings says little of how pairs differ; the rig's pairs together do.
    scatter = float(np.sqrt(np.mean([item.occasion_scatter**2 for item in found])))
    return rig.model_copy(
        update={"specimen": tuple(item.model_copy(update={"occasion_scatter": scatter}) for item in found)}
    )


def defect_order(fault: Fault) -> float:
    """Strikes per turn of a defect in the rig's bearing."""
    orders = CATALOGUE[BEARING].orders()
    return {Fault.INNER_RACE: orders.bpfi, Fault.OUTER_RACE: orders.bpfo, Fault.BALL: 2.0 * orders.bsf}[fault]


@contextmanager
def _unpacked(folder: Path) -> Iterator[Path]:
    with TemporaryDirectory(prefix="motortwin-") as name:
        with tarfile.open(folder / ARCHIVE) as archive:
            archive.extractall(name, filter="data")
        (Path(name) / MANIFEST_FILE).write_bytes((folder / MANIFEST_FILE).read_bytes())
        yield Path(name)


def _compared(
    files: Path,
    fault: Fault,
    plan: list[Row],
    made: Callable[[Row, Recording, np.random.Generator], NDArray[np.float64]],
    seed: int,
) -> Comparison:
    pairs = []
    for number, row in enumerate(plan):
        recording = read(str(files / row.file))
        pairs.append(
            Pair(row, _recorded(recording, fault), made(row, recording, np.random.default_rng([seed, number])))
        )
    # A bearing was reused over the loads and positions; the twin's windows of it are in the same fold, so that no
    # classifier gets to know one side's bearing without the other's.
    groups = [np.full(WINDOWS_PER_RECORDING, list(SEVERITY).index(pair.row.size_in)) for pair in pairs]
    group = np.concatenate(groups)
    real, fake = (np.concatenate([getattr(pair, side) for pair in pairs]) for side in ("real", "twin"))
    return Comparison(fault, told_apart(real, fake, group, group), pairs)


def _recorded(recording: Recording, fault: Fault) -> NDArray[np.float64]:
    windows = identify.cut(_sample(recording).accel_m_s2, WINDOWS_PER_RECORDING)
    return _features(windows, np.full(len(windows), _sample(recording).speed_rpm / 60.0), fault)


def _sample(recording: Recording) -> identify.Sample:
    if recording.fs_hz != FS_HZ or recording.speed_rpm is None:
        raise RecordingError(f"{recording.name}: is not at {FS_HZ:g} Hz, or its speed is unknown")
    return identify.Sample(chosen(recording, "DE")["x"][0], recording.speed_rpm)


def _features(windows: NDArray[np.float32], shaft_hz: NDArray[np.float64], fault: Fault) -> NDArray[np.float64]:
    order = defect_order(fault)
    return np.stack([features(x, FS_HZ, float(hz), order) for x, hz in zip(windows, shaft_hz, strict=True)])


def _of_rig(rig: Preset, row: Row, recording: Recording, rng: np.random.Generator) -> NDArray[np.float64]:
    specimen: Specimen = rig.find(row.fault, row.size_in, row.position)
    speed_rpm = _sample(recording).speed_rpm
    return _features(*preset.windows(rig, specimen, speed_rpm, WINDOWS_PER_RECORDING, WINDOW, rng), row.fault)


def _drawn(row: Row, recording: Recording, rng: np.random.Generator) -> NDArray[np.float64]:
    n = MACHINES_PER_RECORDING
    machines = built(rng, [catalogue.named(RIG)] * n, [CATALOGUE[BEARING]] * n, np.full(n, FS_HZ))
    levels = np.zeros((n, len(FAULTS)))
    levels[:, FAULTS.index(row.fault)] = SEVERITY[row.size_in]
    # The load that makes this motor turn at the recorded speed.
    slip = 1.0 - _sample(recording).speed_rpm / 1800.0
    state = twin.operate(machines, levels, np.clip(slip / machines.rating.slip, 0.02, 1.2))
    via = twin.path(machines, WINDOW)
    windows = [
        machines.sensors.acceleration(twin.vibrate(machines, via, levels, state, rng), rng)
        for _ in range(WINDOWS_PER_RECORDING // MACHINES_PER_RECORDING)
    ]
    shaft_hz = np.tile(state.operation.speed_rpm / 60.0, len(windows))
    return _features(np.concatenate(windows), shaft_hz, row.fault)
