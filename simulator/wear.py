"""Does the twin wear as real bearings do? RMS and kurtosis against life, beside the PRONOSTIA bearings run to failure.

Every curve is one bearing and axis: level relative to its own beginning, and kurtosis, at ``BINS`` even shares of its
life. The real curves span an envelope; what counts is the share of the twin's points inside. Four bearings do not know
all that bearings do, so beside it stands how often a real bearing lies inside the envelope of the three others.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.bearing import CATALOGUE
from service.contract.faults import BEARING_FAULTS, Fault
from simulator import catalogue, twin
from simulator.degradation import KNOTS, severities
from simulator.population import built
from simulator.recording import FEMTO_FS_HZ, FEMTO_RPM, RecordingError, read

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

BINS = 25
BEGINNING = 0.2
"""Share of life that gives a curve its reference level."""

SAMPLES = 2560
MARGIN = 0.05
"""Widening of the envelope, natural logarithm: equal machines differ by 5 % through mounting and sampling."""

MOTORS = 60
SNAPSHOTS = 4
"""Twin's windows per motor and bin."""

RIG = "0.25kW-4p-60Hz"
BEARING = "pronostia"
"""A motor of the rig's 250 W, and its bearing."""

ONSET = (0.2, 0.95)
"""Share of life at which the defect begins, uniform; before it the bearing is as new."""

FAULTS = tuple(Fault)


class Curves(NamedTuple):
    """Relative RMS and kurtosis, logarithms, ``(curves, BINS)``; ``bearing`` (curves,) tells whose they are."""

    rms: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    bearing: NDArray[np.int64]


class Wear(NamedTuple):
    """Shares of points inside the real envelope."""

    inside: float
    inside_rms: float
    inside_kurtosis: float
    real_inside_others: float


def compare(folder: Path, *, seed: int = 0) -> tuple[Wear, Curves, Curves]:
    """The shares, the real curves and the twin's; ``RecordingError`` where no recording is there."""
    files = sorted(folder.glob("*.npz"))
    if len(files) < 2:
        raise RecordingError(f"{folder}: needs two PRONOSTIA .npz at least; set MOTOR_DATA to the folder above")
    real = recorded(files)
    made = simulated(np.random.default_rng([seed, 77]))
    rms, kurtosis = (inside(getattr(real, name), getattr(made, name)) for name in ("rms", "kurtosis"))
    return Wear(0.5 * (rms + kurtosis), rms, kurtosis, _left_out(real)), real, made


def recorded(files: list[Path]) -> Curves:
    """Curves of the recordings, two axes each."""
    rms, kurtosis, bearing = [], [], []
    for number, file in enumerate(files):
        for samples in read(str(file)).channels.values():
            level, shape = _indicators(samples)
            edges = np.linspace(0, len(level), BINS + 1).astype(int)
            binned = [np.array([np.median(x[a:b]) for a, b in itertools.pairwise(edges)]) for x in (level, shape)]
            rms.append(_relative(binned[0]))
            kurtosis.append(binned[1])
            bearing.append(number)
    return Curves(np.stack(rms), np.stack(kurtosis), np.array(bearing))


def simulated(rng: np.random.Generator) -> Curves:
    """The twin's curves: one bearing fault each, grown from onset to failure along the declared paths."""
    machines = built(rng, [catalogue.named(RIG)] * MOTORS, [CATALOGUE[BEARING]] * MOTORS, np.full(MOTORS, FEMTO_FS_HZ))
    speeds = np.array(sorted(FEMTO_RPM.values()))[rng.integers(0, len(FEMTO_RPM), MOTORS)]
    drive = speeds / machines.rating.speed_rpm
    onset = rng.uniform(*ONSET, MOTORS)
    knots = severities(rng, MOTORS)
    races = [FAULTS.index(fault) for fault in BEARING_FAULTS]
    column = np.array(races)[rng.integers(0, len(races), MOTORS)]
    via = twin.path(machines, SAMPLES)
    rms, kurtosis = np.empty((MOTORS, BINS)), np.empty((MOTORS, BINS))
    for step in range(BINS):
        levels, shapes = [], []
        for part in range(SNAPSHOTS):
            life = (step + (part + 0.5) / SNAPSHOTS) / BINS
            at = np.clip((life - onset) / (1.0 - onset), 0.0, 1.0) * (KNOTS - 1)
            severity = np.zeros((MOTORS, len(FAULTS)))
            severity[np.arange(MOTORS), column] = [
                np.interp(x, np.arange(KNOTS), k) for x, k in zip(at, knots, strict=True)
            ]
            state = twin.operate(machines, severity, np.full(MOTORS, 0.3), drive)
            accel = machines.sensors.acceleration(twin.vibrate(machines, via, severity, state, rng), rng)
            level, shape = _indicators(accel)
            levels.append(level)
            shapes.append(shape)
        rms[:, step], kurtosis[:, step] = np.median(levels, axis=0), np.median(shapes, axis=0)
    return Curves(np.stack([_relative(row) for row in rms]), kurtosis, np.arange(MOTORS))


def inside(real: NDArray[np.float64], curves: NDArray[np.float64]) -> float:
    """Share of points ``(n, BINS)`` between the lowest and the highest real curve of their bin."""
    return float(np.mean((curves >= real.min(axis=0) - MARGIN) & (curves <= real.max(axis=0) + MARGIN)))


def _left_out(real: Curves) -> float:
    shares = []
    for number in np.unique(real.bearing):
        own = real.bearing == number
        shares += [inside(values[~own], values[own]) for values in (real.rms, real.kurtosis)]
    return float(np.mean(shares))


def _indicators(x: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log RMS and log kurtosis of each window ``(n, samples)``."""
    centred = x.astype(np.float64) - x.mean(axis=1, keepdims=True, dtype=np.float64)
    power = np.mean(centred**2, axis=1) + 1e-12
    return 0.5 * np.log(power), np.log(np.mean(centred**4, axis=1) / power**2 + 1e-12)


def _relative(log_rms: NDArray[np.float64]) -> NDArray[np.float64]:
    reference: float = np.median(log_rms[: round(BEGINNING * BINS)])
    return log_rms - reference
