"""Recordings as the same messages as the twin's: cut into windows, resampled where the edge demands it.

The sampling rates the edge accepts come from the bundle's manifest where one lies beside the service, else from
``FS_HZ``. Integer decimation is preferred, by powers of two first, so that recordings of one test rig taken at 48 and
12 kHz meet at the same rate and cannot be told apart by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

import service.contract as contract_package
from service.contract.manifest import MANIFEST_FILE, Manifest
from service.contract.messages import Axis, Birth, Nameplate, Reading, Sensor
from simulator.recording import Recording, RecordingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from service.contract.bearing import BearingGeometry

FS_HZ = (10_000.0, 26_000.0)
WINDOW = 4096
MIN_SAMPLES = 2048
DECIMATION_MAX = 64
RATED_POWER_W = 1500.0
RATED_RPM = 1500.0
BUNDLE = Path(contract_package.__file__).parent.parent / "models"


@dataclass(frozen=True, slots=True)
class Demand:
    """What the edge takes: samples per row, the fewest of them, sampling rates in Hz."""

    window: int = WINDOW
    min_samples: int = MIN_SAMPLES
    fs_hz: tuple[float, float] = FS_HZ


def demand(bundle: Path = BUNDLE) -> Demand:
    """The bundle's demand, or the usual one where no bundle lies; ``RecordingError`` for a damaged manifest."""
    path = bundle / MANIFEST_FILE
    if not path.is_file():
        return Demand()
    try:
        window = Manifest.model_validate_json(path.read_bytes()).window
    except ValueError:
        raise RecordingError(f"{path}: not a manifest of this version; run make train") from None
    return Demand(window.samples, window.min_samples, window.fs_hz)


def target_fs_hz(fs_hz: float, accepted: tuple[float, float]) -> float:
    """The rate to replay at: as it is where accepted, else an integer fraction (power of two first) or multiple."""
    low, high = accepted
    if low <= fs_hz <= high:
        return fs_hz
    if fs_hz > high:
        factors: list[int] = [64, 32, 16, 8, 4, 2, *range(DECIMATION_MAX, 1, -1)]
        for factor in factors:
            if low <= fs_hz / factor <= high:
                return fs_hz / factor
        return high
    return fs_hz * math.ceil(low / fs_hz)


def resampled(recording: Recording, to_hz: float) -> Recording:
    """The recording at another rate: polyphase filter with anti-alias (``scipy.signal.resample_poly``)."""
    fs_hz = recording.fs_hz
    if fs_hz is None or fs_hz == to_hz:
        return recording
    from scipy.signal import resample_poly  # noqa: PLC0415 - scipy is optional, only recordings need it

    ratio = Fraction(to_hz / fs_hz).limit_denominator(1000)
    if abs(float(ratio) * fs_hz / to_hz - 1.0) > 1e-4:
        raise RecordingError(
            f"{recording.name}: no simple ratio leads from {fs_hz:g} to {to_hz:g} Hz; choose another rate"
        )
    up, down = ratio.numerator, ratio.denominator
    channels = {
        name: np.asarray(resample_poly(samples, up, down, axis=1), dtype=np.float32)
        for name, samples in recording.channels.items()
    }
    # Slow signals need no filter: the value nearest in time. One a snapshot stays one a snapshot.
    before = next(iter(recording.channels.values())).shape[1]
    count = next(iter(channels.values())).shape[1]
    nearest = np.minimum(np.arange(count) * down // up, before - 1)
    scalars = {name: values[nearest] if len(values) == before else values for name, values in recording.scalars.items()}
    return replace(recording, channels=channels, fs_hz=to_hz, scalars=scalars)


def chosen(recording: Recording, channel: str | None) -> dict[Axis, NDArray[np.float32]]:
    """Samples by message axis: the named channel as x; by default DE of a test rig, else all of x, y, z.

    Raises:
        RecordingError: the recording has no such channel.
    """
    known = recording.channels
    if not known:
        return {}
    if channel is None and "DE" in known:
        channel = "DE"
    if channel is not None:
        if channel not in known:
            raise RecordingError(f"{recording.name}: no channel {channel!r}; it has {', '.join(known)}")
        return {"x": known[channel]}
    axes = {name: samples for name, samples in known.items() if name in ("x", "y", "z")}
    if not axes:
        raise RecordingError(f"{recording.name}: choose one of its channels {', '.join(known)} with --channel")
    return cast("dict[Axis, NDArray[np.float32]]", axes)


def readings(
    recording: Recording,
    motor: str,
    *,
    boot: str,
    start_ts_s: float,
    channel: str | None = None,
    window: int = WINDOW,
    min_samples: int = MIN_SAMPLES,
) -> Iterator[Reading]:
    """The recording as readings, without overlap; a last piece shorter than a window is left out.

    A recording shorter than one window is one reading if it has ``min_samples``. Raises ``RecordingError``.
    """
    axes = chosen(recording, channel)
    if not axes:
        yield from _rows(recording, motor, boot, start_ts_s)
        return
    fs_hz = recording.fs_hz
    if fs_hz is None:
        raise RecordingError(f"{recording.name}: the sampling rate is unknown; give --fs-hz")
    snapshots, length = next(iter(axes.values())).shape
    size = min(window, length)
    if size < min_samples:
        raise RecordingError(f"{recording.name}: {size} samples at {fs_hz:g} Hz; the edge needs {min_samples} at least")
    seq = 0
    for snapshot in range(snapshots):
        at_s = snapshot * (recording.step_s or 0.0)
        for first in range(0, length - size + 1, size):
            piece = slice(first, first + size)
            slow: dict[str, Any] = {
                name: _mean(values[piece] if len(values) == length else values[snapshot : snapshot + 1])
                for name, values in recording.scalars.items()
            }
            slow.setdefault("speed_rpm", recording.speed_rpm)
            yield Reading(
                motor=motor,
                boot=boot,
                seq=seq,
                ts_s=start_ts_s + at_s + first / fs_hz,
                fs_hz=fs_hz,
                accel_m_s2={axis: np.ascontiguousarray(samples[snapshot, piece]) for axis, samples in axes.items()},
                **slow,
            )
            seq += 1


def _rows(recording: Recording, motor: str, boot: str, start_ts_s: float) -> Iterator[Reading]:
    """A table without acceleration: one reading per row, at the table's times from the start on."""
    if recording.ts_s is None:
        raise RecordingError(f"{recording.name}: neither acceleration nor ts_s; nothing to replay")
    for seq, at_s in enumerate(recording.ts_s - recording.ts_s[0]):
        slow: dict[str, Any] = {name: _mean(values[seq : seq + 1]) for name, values in recording.scalars.items()}
        yield Reading(motor=motor, boot=boot, seq=seq, ts_s=start_ts_s + float(at_s), **slow)


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def birth(
    recording: Recording,
    motor: str,
    *,
    ts_s: float,
    interval_s: float,
    bearing: BearingGeometry | None,
    rated_power_w: float = RATED_POWER_W,
    rated_speed_rpm: float | None = None,
    channel: str | None = None,
    clock: Literal["wall", "simulated"] = "simulated",
) -> Birth:
    """What the service must know of the recorded machine; the rated speed defaults to the recorded one."""
    speed_rpm = rated_speed_rpm or recording.speed_rpm or RATED_RPM
    # The pole count and supply whose synchronous speed lies just above.
    pairs, supply_hz = min(
        ((p, f) for p in (1, 2, 3, 4) for f in (50.0, 60.0) if 60.0 * f / p >= speed_rpm),
        key=lambda option: 60.0 * option[1] / option[0],
        default=(1, 60.0),
    )
    sensors = (*(f"accel_m_s2.{axis}" for axis in chosen(recording, channel)), *recording.scalars)
    return Birth(
        motor=motor,
        ts_s=ts_s,
        name=f"recording {recording.name}"[:128],
        nameplate=Nameplate(
            rated_power_w=rated_power_w, rated_speed_rpm=speed_rpm, supply_hz=supply_hz, poles=2 * pairs
        ),
        bearing=bearing,
        sensors=tuple(Sensor(signal=s, unit="m/s^2" if s.startswith("accel") else "") for s in sensors),
        interval_s=min(max(interval_s, 1e-3), 86_400.0),
        clock=clock,
    )
