"""Motor windows of real bearings (CWRU, drive end, 12 kHz) and of the twin of that motor.

The unit is the damaged bearing: fault kind, diameter and position. All recordings of a bearing are on one side of the
split, since one bearing was probably used for the four loads. A fold leaves one fault size out. ``K`` is the number of
recorded failures per fault kind, spread over as many bearings as there are.

Traps kept in sight: the only healthy recording (97.mat) is 48 kHz, decimated here, 5 s at no load, so healthy against
fault is confounded with load; it is split in time. Scores are therefore averaged over the three fault kinds.
"""

from __future__ import annotations

import csv
import io
import tarfile
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.io import loadmat

from service.contract.bearing import CATALOGUE
from service.contract.faults import HEALTHY, Fault
from simulator import catalogue, twin
from simulator.parameter import take
from simulator.population import built
from training.gan import envelope
from training.gan.windows import Floats, InputError, Split, Windows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLASSES = (HEALTHY, Fault.INNER_RACE.value, Fault.OUTER_RACE.value, Fault.BALL.value)
KINDS = {"IR": 1, "OR": 2, "B": 3}
FOLDS_IN = (0.007, 0.014, 0.021)
"""Fault sizes that all three kinds have; each is left out in turn. 0.028 in is only ever training material."""

G_M_S2 = 9.80665
RATED_HP = 2.0
POWER_W = 1491.0
FS_HZ = 12_000.0
LARGEST_IN = 0.028
NOMINAL_RPM = {"0": 1797.0, "1": 1772.0, "2": 1750.0, "3": 1730.0}
"""The publisher's speeds by load in hp, for the files that do not state their own."""
TWIN_MOTORS = 12
"""Twin motors per draw: same plate and bearing, structure and noise unknown, hence drawn anew."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One file: windows ``(n, STEPS, 3)`` in time order, neighbours overlapping by half; bearing is the unit."""

    kind: int
    size_in: float
    bearing: int
    load: float
    speed_rpm: float
    windows: Floats


@cache
def recordings(folder: Path) -> tuple[Recording, ...]:
    """The healthy recording first, then the 60 fault recordings.

    Args:
        folder: holds ``cwru/cwru.tar.xz`` and ``cwru/MANIFEST.csv``.

    Raises:
        InputError: the files are absent.
    """
    archive, listing = folder / "cwru" / "cwru.tar.xz", folder / "cwru" / "MANIFEST.csv"
    if not archive.exists() or not listing.exists():
        raise InputError(f"MOTOR_DATA: {archive} or {listing.name} is not there; point MOTOR_DATA at the data folder")
    with listing.open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file) if row["group"] in {"12k_DE", "normal"}}
    found: list[Recording] = []
    bearings: dict[tuple[str, str, str], int] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            row = rows.get(member.name)
            if row is None:
                continue
            file_bytes = tar.extractfile(member)
            assert file_bytes is not None
            arrays = loadmat(io.BytesIO(file_bytes.read()))
            name = next(key for key in arrays if key.endswith("_DE_time"))
            accel = arrays[name].ravel() * G_M_S2
            healthy = row["group"] == "normal"
            fs_hz = 48_000.0 if healthy else FS_HZ
            if fs_hz > FS_HZ:
                accel = envelope.decimated(accel, round(fs_hz / FS_HZ))
            speed_rpm = float(row["rpm"] or NOMINAL_RPM[row["load_hp"]])
            key = (row["fault_type"], row["diameter_in"], row["or_position"])
            found.append(
                Recording(
                    kind=0 if healthy else KINDS[row["fault_type"]],
                    size_in=0.0 if healthy else float(row["diameter_in"]),
                    bearing=0 if healthy else bearings.setdefault(key, len(bearings) + 1),
                    load=float(row["load_hp"]) / RATED_HP,
                    speed_rpm=speed_rpm,
                    windows=envelope.spectra(envelope.levels(accel[None], FS_HZ, speed_rpm)),
                )
            )
    return tuple(sorted(found, key=lambda r: (r.kind, r.size_in, r.bearing, r.load)))


def split(folder: Path, failures: int, seed: int, *, synthetic: int) -> Split:
    """One draw: fold ``seed % 3`` leaves a fault size out, then ``failures`` recordings per kind are drawn.

    Args:
        folder: where the data lies.
        failures: fault recordings per kind in training; at most 12, which is all that remain of inner race and ball.
        seed: of the draw.
        synthetic: windows per fault kind to make with the twin.
    """
    if not 1 <= failures <= 12:
        raise InputError(f"failures: {failures} recordings per kind is outside 1..12; choose fewer")
    rng = np.random.default_rng([seed, 2])
    held = FOLDS_IN[seed % len(FOLDS_IN)]
    everything = recordings(folder)
    normal = next(r for r in everything if r.kind == 0)
    baseline = np.zeros_like(normal.windows[0])
    baseline[0] = _first_half(normal)[:, 0].mean(axis=0)

    chosen: list[Recording] = []
    for kind in KINDS.values():
        pool: dict[int, list[Recording]] = {}
        for r in everything:
            if r.kind == kind and r.size_in != held:
                pool.setdefault(r.bearing, []).append(r)
        drawn: list[Recording] = []
        while len(drawn) < failures:
            for bearing in rng.permutation([b for b in pool if pool[b]]):
                if len(drawn) < failures:
                    drawn.append(pool[bearing].pop(rng.integers(len(pool[bearing]))))
        chosen += drawn

    train = _windows([(r, _first_half(r)) for r in (normal, *chosen)], baseline)
    reserve = _windows([(r, _second_half(r)) for r in (normal, *chosen)], baseline)
    unseen = [(r, r.windows[::4]) for r in everything if r.size_in == held]
    test = _windows([(normal, _second_half(normal)), *unseen], baseline)
    return Split(train, {f"{held:.3f} in": test}, reserve, twin_windows(synthetic, seed))


def _first_half(r: Recording) -> Floats:
    return r.windows[: len(r.windows) // 2]


def _second_half(r: Recording) -> Floats:
    # One window is left out, so that no segment is in both halves.
    return r.windows[len(r.windows) // 2 + 1 :]


def _windows(parts: list[tuple[Recording, Floats]], baseline: Floats) -> Windows:
    sizes = [len(windows) for _, windows in parts]

    def column(value: Callable[[Recording], float]) -> Floats:
        return np.repeat([value(r) for r, _ in parts], sizes).astype(np.float32)

    return Windows(
        values=np.concatenate([windows for _, windows in parts]) - baseline,
        label=column(lambda r: r.kind).astype(np.intp),
        severity=column(lambda r: r.size_in / LARGEST_IN),
        operating=column(lambda r: r.load / 1.5)[:, None],
        unit=column(lambda r: r.bearing).astype(np.intp),
        classes=CLASSES,
        channels=envelope.CHANNELS,
        aligned=True,
    )


def twin_windows(count: int, seed: int) -> Windows:
    """``count`` windows per fault kind from twins of the test-bench motor: 2 hp, four poles, 60 Hz, a 6205.

    What the plate does not tell (structure, noise, slip, habits of the defect) is drawn from the spreads that the
    physics declares, afresh for each of ``TWIN_MOTORS`` motors; each motor's own healthy level is the reference.
    """
    rng = np.random.default_rng([seed, 3])
    ratings = [catalogue.rating(np.array(POWER_W), np.array(4.0), np.array(60.0))] * TWIN_MOTORS
    motors = built(rng, ratings, [CATALOGUE["6205"]] * TWIN_MOTORS, np.full(TWIN_MOTORS, FS_HZ))
    faults = [Fault(name) for name in CLASSES[1:]]
    owner = np.arange(count * len(faults)) % TWIN_MOTORS
    kind = np.repeat(np.arange(len(faults)), count)
    severity = np.zeros((len(owner), len(Fault)))
    size = rng.uniform(0.2, 1.0, len(owner))
    severity[np.arange(len(owner)), [list(Fault).index(faults[k]) for k in kind]] = size
    load = rng.choice([0.0, 0.5, 1.0, 1.5], len(owner))
    samples = int(envelope.WINDOW_TURNS * FS_HZ * 60.0 / 1690.0) + envelope.PER_TURN
    path = twin.path(motors, samples)
    machines = take(motors, owner)
    state = twin.operate(machines, severity, load)
    accel = twin.vibrate(machines, path, severity, state, rng, owner)
    speed = state.operation.speed_rpm
    faulty = np.concatenate([_one_window(a, s) for a, s in zip(accel, speed, strict=True)])

    quiet_load = np.zeros(TWIN_MOTORS)
    quiet = np.zeros((TWIN_MOTORS, len(Fault)))
    idle = twin.operate(motors, quiet, quiet_load)
    calm = twin.vibrate(motors, path, quiet, idle, rng)
    reference = np.concatenate([_one_window(a, s) for a, s in zip(calm, idle.operation.speed_rpm, strict=True)])
    reference[:, 1:] = 0.0
    return Windows(
        values=faulty - reference[owner],
        label=(kind + 1).astype(np.intp),
        severity=size.astype(np.float32),
        operating=(load / 1.5).astype(np.float32)[:, None],
        unit=np.full(len(owner), -1, dtype=np.intp),
        classes=CLASSES,
        channels=envelope.CHANNELS,
        aligned=True,
    )


def _one_window(accel_m_s2: Floats, speed_rpm: float) -> Floats:
    return envelope.spectra(envelope.levels(accel_m_s2[None], FS_HZ, speed_rpm)[:2])
