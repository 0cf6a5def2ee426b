"""Labelled data for training: windows with waveforms, histories without. Same seed, same bytes, any number of workers.

Work is cut into chunks; chunk ``i`` draws from its own stream ``SeedSequence(seed, spawn_key=(kind, i))``, so the
result does not depend on who computes which chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from service.contract.faults import TAUGHT, Fault
from service.contract.signals import NAMEPLATE, OPERATING
from simulator import duty, twin
from simulator.degradation import Paths
from simulator.parameter import Values, take
from simulator.population import Machines, population
from simulator.thermal import Temperatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MIN_SAMPLES = 2048
"""No window has fewer valid samples, unless asked for shorter ones."""

MIN_FAULTS = 2
"""A second fault is drawn from the others."""

MOTORS_PER_CHUNK = 16
WINDOWS_PER_MOTOR = 4
CHUNK = MOTORS_PER_CHUNK * WINDOWS_PER_MOTOR
HISTORIES_PER_CHUNK = 32

ORDERS_FROM = NAMEPLATE.index("ftf")


@dataclass(frozen=True, slots=True)
class Windows:
    """``n`` labelled windows.

    ``accel_m_s2`` float32 (n, samples), zero behind ``samples`` (n,) valid ones at ``fs_hz`` (n,); ``operating``
    float32 (n, 6) and ``nameplate`` float32 (n, 9) in the contract's order, NaN where unknown; ``severity`` float32
    (n, k), the truth by fault; ``motor`` int64 (n,), windows of one motor share it.
    """

    accel_m_s2: NDArray[np.float32]
    samples: NDArray[np.float32]
    fs_hz: NDArray[np.float32]
    operating: NDArray[np.float32]
    nameplate: NDArray[np.float32]
    severity: NDArray[np.float32]
    motor: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histories:
    """``m`` motors over ``T`` readings, without waveforms.

    ``ts_s`` float64 (T,) from 0; ``operating`` float32 (m, T, 6), NaN where missing; ``nameplate`` float32 (m, 9);
    ``severity`` float32 (m, T, len(TAUGHT)); ``failure_ts_s`` float64 (m,), inf without failure; ``rul_h`` float64
    (m, T), inf without failure, 0 after it.
    """

    ts_s: NDArray[np.float64]
    operating: NDArray[np.float32]
    nameplate: NDArray[np.float32]
    severity: NDArray[np.float32]
    failure_ts_s: NDArray[np.float64]
    rul_h: NDArray[np.float64]


Progress = Callable[[int, int], None]
_Data = TypeVar("_Data", Windows, Histories)


def windows(
    count: int,
    *,
    seed: int,
    samples: int = 4096,
    healthy_share: float = 0.3,
    faults: tuple[Fault, ...] = TAUGHT,
    workers: int = 1,
    progress: Progress | None = None,
) -> Windows:
    """Windows of motors that are healthy, or have one fault (sometimes two) of severity 0.03-1.

    Motors, bearings, structures, noise, loads, temperatures, sensors and missing values are drawn from the spreads that
    the physics declares. With ``workers > 1`` the caller's main module must be importable (processes are spawned).
    ``faults`` are those that occur, and the columns of ``severity``. ``progress(done, whole)`` is told of every part
    that is finished.
    """
    if not 0.0 <= healthy_share <= 1.0:
        raise ValueError(f"healthy_share={healthy_share}: must lie within 0..1")
    if len(set(faults)) != len(faults) or len(faults) < MIN_FAULTS:
        raise ValueError(f"faults={', '.join(faults)}: needs at least {MIN_FAULTS}, each once")
    job = partial(_windows_chunk, seed, samples, healthy_share, faults)
    return _gathered(Windows, job, _sizes(count, CHUNK), workers, progress)


def histories(count: int, *, seed: int, hours: float, step_h: float, workers: int = 1) -> Histories:
    """Motors from new: some stay healthy, most get one fault that grows to failure within or beyond the span."""
    if not 0.0 < step_h <= hours:
        raise ValueError(f"step_h={step_h}: must lie within 0 (exclusive)..hours={hours}")
    job = partial(_histories_chunk, seed, hours, step_h)
    return _gathered(Histories, job, _sizes(count, HISTORIES_PER_CHUNK), workers)


def _sizes(count: int, chunk: int) -> list[int]:
    if count < 1:
        raise ValueError(f"count={count}: must be at least 1")
    return [min(chunk, count - start) for start in range(0, count, chunk)]


def _gathered(
    kind: type[_Data],
    job: Callable[[int, int], _Data],
    sizes: list[int],
    workers: int,
    progress: Progress | None = None,
) -> _Data:
    parts: list[_Data] = []
    with ExitStack() as stack:
        made: Iterator[_Data]
        if workers > 1:
            pool = stack.enter_context(ProcessPoolExecutor(workers, mp_context=get_context("spawn")))
            made = pool.map(job, range(len(sizes)), sizes, chunksize=max(1, len(sizes) // (8 * workers)))
        else:
            made = map(job, range(len(sizes)), sizes)
        for part in made:
            parts.append(part)
            if progress is not None:
                progress(sum(sizes[: len(parts)]), sum(sizes))
    # The time axis is common to all histories; everything else is stacked.
    stacked: dict[str, Any] = {
        f.name: parts[0].ts_s if f.name == "ts_s" and isinstance(parts[0], Histories) else _joined(parts, f.name)
        for f in fields(kind)
    }
    return kind(**stacked)


def _joined(parts: list[Any], name: str) -> NDArray[Any]:
    return np.concatenate([getattr(part, name) for part in parts])


def _rng(seed: int, kind: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(kind, index))))


def _windows_chunk(
    seed: int, samples: int, healthy_share: float, faults: tuple[Fault, ...], index: int, size: int
) -> Windows:
    rng = _rng(seed, 0, index)
    motors = population(rng, MOTORS_PER_CHUNK)
    owner = np.arange(size) % MOTORS_PER_CHUNK
    machines = take(motors, owner)
    drawn = _severities(rng, size, healthy_share, faults)
    severity = np.zeros((size, len(Fault)))
    severity[:, [list(Fault).index(fault) for fault in faults]] = drawn
    drive = _drive_frequency(rng, motors)[owner]
    state = twin.operate(machines, severity, _loads(rng, size), drive)
    true = _conditions(rng, machines, severity, state, drive)
    operating = machines.sensors.scalars(true, rng)
    _mask(rng, operating, drive)
    accel = twin.vibrate(machines, twin.path(motors, samples), severity, state, rng, owner)
    machines.sensors.acceleration(accel, rng)
    valid = _valid_samples(rng, size, samples)
    accel *= np.arange(samples) < valid[:, None]
    return Windows(
        accel_m_s2=accel,
        samples=valid.astype(np.float32),
        fs_hz=machines.sensors.fs_hz.astype(np.float32),
        operating=operating,
        nameplate=_told(rng, motors)[owner],
        severity=drawn.astype(np.float32),
        motor=(index * MOTORS_PER_CHUNK + owner).astype(np.int64),
    )


def _severities(rng: np.random.Generator, size: int, healthy_share: float, faults: tuple[Fault, ...]) -> Values:
    """One fault for most, two for 12 % of the faulty, ``(size, len(faults))``."""
    severity = np.zeros((size, len(faults)))
    first = rng.integers(0, len(faults), size)
    second = (first + rng.integers(1, len(faults), size)) % len(faults)
    size_first, size_second = rng.uniform(0.03, 1.0, size), rng.uniform(0.03, 1.0, size)
    faulty = rng.random(size) >= healthy_share
    rows = np.arange(size)
    severity[rows, first] = np.where(faulty, size_first, 0.0)
    both = faulty & (rng.random(size) < 0.12)
    # Overload without cooling trips any protection within minutes: nobody records that pair.
    thermal = [faults.index(fault) for fault in (Fault.COOLING, Fault.OVERLOAD) if fault in faults]
    both &= ~(np.isin(first, thermal) & np.isin(second, thermal))
    severity[rows[both], second[both]] = size_second[both]
    return severity


def _loads(rng: np.random.Generator, size: int) -> Values:
    """Duty loads: mostly 0.4-1, sometimes idling; the healthy limit is rated torque."""
    return np.where(rng.random(size) < 0.15, rng.uniform(0.0, 0.4, size), rng.uniform(0.4, 1.0, size))


def _drive_frequency(rng: np.random.Generator, motors: Machines) -> Values:
    """A fifth of the motors hang on a drive that turns them slower or a little faster, within 900-3600 1/min."""
    n = len(motors)
    low = np.maximum(900.0 / motors.rating.speed_rpm, 0.5)
    high = np.minimum(3600.0 / motors.rating.speed_rpm, 1.1)
    driven = rng.random(n) < 0.2
    return np.where(driven, low + rng.random(n) * np.maximum(high - low, 0.0), 1.0)


def _conditions(
    rng: np.random.Generator, machines: Machines, severity: Values, state: twin.State, drive: Values
) -> NDArray[np.float64]:
    """Operating values after a while in this state, from another load or from cold."""
    size = len(severity)
    ambient_c = np.clip(rng.normal(24.0, 9.0, size), -15.0, 48.0)
    before = twin.steady(machines, twin.operate(machines, severity, _loads(rng, size), drive), ambient_c)
    cold = rng.random(size) < 0.12
    start = Temperatures(*(np.where(cold, ambient_c, node) for node in before))
    elapsed_s = machines.thermal_tau_s * rng.exponential(3.0, size)
    temperatures = twin.warm(machines, start, state, ambient_c, elapsed_s)
    return twin.operating(state, temperatures, ambient_c)


# Which signals a plant measures: share of motors, then the signals that are missing (signals.OPERATING order).
_EQUIPMENT: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.36, ()),
    (0.14, ("load",)),
    (0.10, ("current_a",)),
    (0.08, ("winding_c",)),
    (0.06, ("ambient_c",)),
    (0.06, ("speed_rpm",)),
    (0.05, ("speed_rpm", "load", "winding_c")),
    (0.05, ("winding_c", "housing_c", "ambient_c")),
    (0.05, ("current_a", "load", "winding_c", "housing_c", "ambient_c")),
    (0.05, OPERATING),
)
_MISSING = np.array([[name in missing for name in OPERATING] for _, missing in _EQUIPMENT])
_SHARES = np.array([share for share, _ in _EQUIPMENT])


def _mask(rng: np.random.Generator, operating: NDArray[np.float32], drive: Values) -> None:
    """Missing values as NaN, in place: equipment that is not there, and single drop-outs."""
    kind = rng.choice(len(_EQUIPMENT), len(operating), p=_SHARES / _SHARES.sum())
    missing = _MISSING[kind] | (rng.random(operating.shape) < 0.02)
    # A drive knows its speed; without it nobody could tell the orders.
    missing[:, OPERATING.index("speed_rpm")] &= drive == 1.0
    operating[missing] = np.nan


def _told(rng: np.random.Generator, motors: Machines) -> NDArray[np.float32]:
    """Nameplates as people enter them: a few per cent off, sometimes without current or bearing; ``(n, 9)``."""
    plate = motors.nameplates()
    n = len(plate)
    plate[:, 0] *= 1.0 + 0.002 * rng.standard_normal(n).astype(np.float32)
    plate[:, 1] *= 1.0 + 0.02 * rng.standard_normal(n).astype(np.float32)
    plate[:, 2:5] *= np.exp(0.06 * rng.standard_normal((n, 3))).astype(np.float32)
    plate[rng.random(n) < 0.04, 1] = np.nan
    plate[rng.random(n) < 0.05, ORDERS_FROM:] = np.nan
    return plate


def _valid_samples(rng: np.random.Generator, size: int, samples: int) -> NDArray[np.intp]:
    """Most windows are full; the rest have any length from the shortest allowed one."""
    low = min(MIN_SAMPLES, samples)
    return np.where(rng.random(size) < 0.7, samples, rng.integers(low, samples + 1, size))


def _histories_chunk(seed: int, hours: float, step_h: float, index: int, size: int) -> Histories:
    rng = _rng(seed, 1, index)
    machines = population(rng, size)
    ts_s = np.arange(0.0, hours + 0.5 * step_h, step_h) * 3600.0
    paths = Paths.drawn(rng, size, hours * 3600.0)
    severity = paths.severity(ts_s)
    load = duty.loads(rng, size, ts_s)
    ambient_c = duty.ambient_c(rng.uniform(8.0, 36.0, size), rng.uniform(0.0, 8.0, size), ts_s, rng, size)
    true = np.empty((size, ts_s.size, len(OPERATING)))
    temperatures = Temperatures(ambient_c[:, 0], ambient_c[:, 0])
    for step in range(ts_s.size):
        state = twin.operate(machines, severity[:, step], load[:, step])
        temperatures = twin.warm(machines, temperatures, state, ambient_c[:, step], step_h * 3600.0)
        true[:, step] = twin.operating(state, temperatures, ambient_c[:, step])
    operating = machines.sensors.scalars(true.swapaxes(0, 1), rng).swapaxes(0, 1)
    kind = rng.choice(len(_EQUIPMENT), size, p=_SHARES / _SHARES.sum())
    missing = _MISSING[kind][:, None, :] | (rng.random(operating.shape) < 0.01)
    rul_h = np.maximum(paths.failure_s[:, None] - ts_s, 0.0) / 3600.0
    return Histories(
        ts_s=ts_s,
        operating=np.where(missing, np.float32(np.nan), operating),
        nameplate=_told(rng, machines),
        severity=severity.astype(np.float32),
        failure_ts_s=paths.failure_s,
        rul_h=rul_h,
    )
