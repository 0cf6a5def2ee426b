"""C-MAPSS FD001: windows of turbofan engines, and the damage law that stands in for a physics twin.

Failing means fewer than ``HORIZON`` cycles of life left at the window's end. ``K`` training engines are seen to fail;
the others were taken out of service while at least ``CENSORED`` cycles were left, so only their early life is known.
Test engines are split off first. Saxena et al., Damage propagation modeling for aircraft engine run-to-failure
simulation, PHM 2008, gives the law: wear grows exponentially, and each sensor answers linearly near its healthy value.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from training.gan.windows import Floats, InputError, Split, Windows

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

STEPS = 24
HORIZON = 30
CENSORED = 60
EARLY = 125
"""Engines with more life left than this are taken as healthy, as is usual for this data set."""
TEST_ENGINES = 50
CLASSES = ("healthy", "failing")
SETTINGS = 3
SENSORS = 21
DRIFT_RATES = (0.5, 1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine's life: sensors ``(cycles, 21)``; the last row is failure. FD001 has a single operating point."""

    number: int
    sensors: Floats


@cache
def engines(folder: Path) -> tuple[Engine, ...]:
    """The 100 training engines.

    Args:
        folder: holds ``cmapss/FD001.tar.xz`` or ``cmapss/train_FD001.txt``.

    Raises:
        InputError: the file is absent or does not hold 26 columns.
    """
    plain, archive = folder / "cmapss" / "train_FD001.txt", folder / "cmapss" / "FD001.tar.xz"
    if plain.exists():
        table = np.loadtxt(plain, dtype=np.float64, ndmin=2)
    elif archive.exists():
        with tarfile.open(archive) as tar:
            member = tar.extractfile("train_FD001.txt")
            assert member is not None
            table = np.loadtxt(member, dtype=np.float64, ndmin=2)
    else:
        raise InputError(
            f"MOTOR_DATA: neither {archive} nor {plain.name} is there; point MOTOR_DATA at the data folder"
        )
    if table.shape[1] != 2 + SETTINGS + SENSORS or not np.isfinite(table).all():
        raise InputError(f"train_FD001.txt: {table.shape[1]} columns or NaN; 26 finite columns are expected")
    return tuple(
        Engine(
            int(number),
            table[table[:, 0] == number, 2 + SETTINGS :].astype(np.float32),
        )
        for number in np.unique(table[:, 0])
    )


def cut(engine: Engine, *, stride: int, rul: tuple[int, int], channels: NDArray[np.intp]) -> Windows:
    """Windows of one engine whose remaining life at the end lies in ``[rul[0], rul[1])``, every ``stride`` cycles."""
    cycles = len(engine.sensors)
    last = np.arange(cycles - 1 - rul[0], STEPS - 2, -stride)
    last = last[cycles - 1 - last < rul[1]]
    left = cycles - 1 - last
    at = last[:, None] - np.arange(STEPS - 1, -1, -1)
    return Windows(
        values=engine.sensors[at][:, :, channels],
        label=(left < HORIZON).astype(np.intp),
        severity=np.clip(1.0 - left / EARLY, 0.0, 1.0).astype(np.float32),
        operating=np.zeros((len(last), 0), dtype=np.float32),
        unit=np.full(len(last), engine.number, dtype=np.intp),
        classes=CLASSES,
        channels=tuple(f"sensor_{c + 1}" for c in channels),
    )


def gathered(parts: list[Windows]) -> Windows:
    """All windows of several engines."""
    return parts[0].joined(*parts[1:])


def split(folder: Path, failures: int, seed: int, *, synthetic: int) -> Split:
    """One draw: test engines first, then the ``failures`` engines that were seen to fail.

    Args:
        folder: where the data lies.
        failures: engines in training whose last cycles are known, 1 or more.
        seed: of the draw.
        synthetic: windows to make with the damage law.
    """
    if not 1 <= failures <= TEST_ENGINES:
        raise InputError(f"failures: {failures} is outside 1..{TEST_ENGINES}; choose fewer failed engines")
    rng = np.random.default_rng([seed, 1])
    lives = engines(folder)
    order = rng.permutation(len(lives))
    test = [lives[i] for i in order[:TEST_ENGINES]]
    failed = [lives[i] for i in order[TEST_ENGINES : TEST_ENGINES + failures]]
    censored = [lives[i] for i in order[TEST_ENGINES + failures :]]
    known = np.concatenate([e.sensors for e in failed] + [e.sensors[: -CENSORED - 1] for e in censored])
    channels = np.flatnonzero(np.ptp(known, axis=0) > 0)
    train = gathered(
        [cut(e, stride=1, rul=(0, HORIZON), channels=channels) for e in failed]
        + [cut(e, stride=8, rul=(HORIZON, 1000), channels=channels) for e in failed]
        + [cut(e, stride=12, rul=(CENSORED, 1000), channels=channels) for e in censored]
    )
    halves = {"A": test[: TEST_ENGINES // 2], "B": test[TEST_ENGINES // 2 :]}
    tests = {
        name: gathered([cut(e, stride=10, rul=(0, 1000), channels=channels) for e in half])
        for name, half in halves.items()
    }
    # Overlapping windows of the same last cycles would be near-copies, so the reserve is other engines' ends.
    reserve = gathered(
        [cut(e, stride=3, rul=(0, 4 * HORIZON), channels=channels) for e in censored[: max(failures, 4)]]
    )
    return Split(train, tests, reserve, law_windows(failed, censored, channels, synthetic, rng))


def law_windows(
    failed: list[Engine], censored: list[Engine], channels: NDArray[np.intp], count: int, rng: np.random.Generator
) -> Windows:
    """The damage law grafted onto healthy engines: failing windows of engines that were never seen to fail.

    Per sensor, ``y(r) = y_0 + a g_b(r)`` with ``g_b(r) = (exp(-b r / EARLY) - exp(-b)) / (1 - exp(-b))`` over the
    cycles ``r`` left; one rate b for all sensors and the drifts a are fitted by least squares on the failed engines. A
    healthy window of a censored engine then drifts along the law; drift and rate scatter by 15 %.
    """
    rate, drift = _fitted_law(failed, channels)
    values, severity = [], []
    donors = [engine for engine in censored if len(engine.sensors) - 1 - EARLY >= STEPS]
    if not donors:
        raise InputError("censored: no engine has a healthy stretch long enough to graft damage on; use fewer failures")
    for _ in range(count):
        donor = donors[rng.integers(len(donors))]
        start = rng.integers(0, len(donor.sensors) - EARLY - STEPS + 1)
        left = rng.integers(0, HORIZON)
        r = left + np.arange(STEPS - 1, -1, -1)
        g = _law(r, rate * np.exp(0.15 * rng.standard_normal()))
        a = drift * np.exp(0.15 * rng.standard_normal(drift.shape))
        values.append(donor.sensors[start : start + STEPS][:, channels] + g[:, None] * a)
        severity.append(1.0 - left / EARLY)
    return Windows(
        values=np.asarray(values, dtype=np.float32),
        label=np.ones(count, dtype=np.intp),
        severity=np.asarray(severity, dtype=np.float32),
        operating=np.zeros((count, 0), dtype=np.float32),
        unit=np.full(count, -1, dtype=np.intp),
        classes=CLASSES,
        channels=tuple(f"sensor_{c + 1}" for c in channels),
    )


def _law(r: NDArray[np.number], rate: float) -> NDArray[np.float64]:
    floor = np.exp(-rate)
    return np.asarray(np.maximum((np.exp(-rate * r / EARLY) - floor) / (1.0 - floor), 0.0))


def _fitted_law(failed: list[Engine], channels: NDArray[np.intp]) -> tuple[float, NDArray[np.float64]]:
    best: tuple[float, float, NDArray[np.float64]] | None = None
    healthy = [e.sensors[: max(STEPS, len(e.sensors) - EARLY)][:, channels].mean(axis=0) for e in failed]
    spread = np.concatenate([e.sensors[:, channels] for e in failed]).std(axis=0) + 1e-9
    for rate in DRIFT_RATES:
        above, below = np.zeros(len(channels)), 0.0
        tails = []
        for engine, base in zip(failed, healthy, strict=True):
            y = engine.sensors[-EARLY:][:, channels] - base
            g = _law(np.arange(len(y) - 1, -1, -1), rate)
            above, below = above + g @ y, below + float(g @ g)
            tails.append((y, g))
        drift = above / below
        error = sum(float((((y - g[:, None] * drift) / spread) ** 2).sum()) for y, g in tails)
        if best is None or error < best[0]:
            best = (error, rate, drift)
    assert best is not None
    return best[1], best[2]
