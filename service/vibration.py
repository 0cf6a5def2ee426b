"""Vibration as people look at it: RMS values, spectra, the squared envelope. For the page only.

The models never see any of this: what they know of a window is inside their graphs. Computed by the historian's thread
(RMS) and on request (spectra), never on the way from a reading to its alert.

Velocity RMS over 10-1000 Hz is what ISO 20816-1:2016 limits; it is integrated in the frequency domain under a Hann
window. The squared envelope is demodulated over a quarter of the sampling rate (Randall and Antoni, MSSP 25 (2011)
485-520, sec. 5), in the one of the models' two bands whose squared envelope varies most.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.contract.messages import Reading

VELOCITY_HZ = (10.0, 1000.0)
CLASS_I_MM_S = (0.71, 1.8, 4.5)
CLASS_II_MM_S = (1.12, 2.8, 7.1)
CLASS_I_UP_TO_W = 15_000.0
_MAX_SAMPLES = 8192
_BAND_STARTS = (1 / 32, 7 / 32)  # of the sampling rate; a band is a quarter of it wide
_ENVELOPE_HZ = 1000.0
_MAX_WATCHED = 16
NEAR_S = 600.0
"""A reading this long before says something of the speed in a window."""
_STEP, _SWEEP = 0.05, 0.01
"""Share of the speed that may change from a reading to the next, and within one window, before orders are blurred."""


def zones_mm_s(rated_power_w: float) -> tuple[float, float, float]:
    """Boundaries A/B, B/C, C/D of velocity RMS for a motor of this power (ISO 20816-1:2016, annex, class I or II).

    An unknown power (NaN) is judged as the smaller, stricter class.
    """
    return CLASS_II_MM_S if rated_power_w > CLASS_I_UP_TO_W else CLASS_I_MM_S


@lru_cache(maxsize=16)
def _hann(n: int) -> NDArray[np.float32]:
    return np.hanning(n).astype(np.float32)


def rms(reading: Reading) -> tuple[float | None, float | None]:
    """Acceleration RMS in m/s^2 and velocity RMS in mm/s over 10-1000 Hz, each of the axis where it is largest."""
    if not reading.accel_m_s2 or reading.fs_hz is None:
        return None, None
    accel, velocity = [], []
    for samples in reading.accel_m_s2.values():
        x = samples[-_MAX_SAMPLES:] - samples[-_MAX_SAMPLES:].mean()
        accel.append(float(np.sqrt(np.mean(np.square(x)))))
        velocity.append(_velocity_rms_mm_s(x, reading.fs_hz))
    return round(max(accel), 4), round(max(velocity), 4)


def _velocity_rms_mm_s(x: NDArray[np.float32], fs_hz: float) -> float:
    n = len(x)
    if n < 3:  # the window is zero at both ends
        return 0.0
    hann = _hann(n)
    low, high = (int(np.ceil(VELOCITY_HZ[0] * n / fs_hz)), int(VELOCITY_HZ[1] * n / fs_hz) + 1)
    line = np.abs(np.fft.rfft(x * hann))[low:high]
    f_hz = np.arange(low, low + len(line)) * (fs_hz / n)
    velocity = line / (2.0 * np.pi * f_hz)
    return 1e3 * float(np.sqrt(2.0 * np.sum(velocity**2) / (n * np.sum(hann**2))))


def portrait(reading: Reading) -> dict[str, Any] | None:
    """The waveform with its spectra, JSON-ready; None for a reading without vibration.

    Returns:
        ``axis`` (the strongest), ``fs_hz``, ``accel_m_s2`` (the last samples), ``spectrum`` (amplitude in m/s^2 at
        multiples of ``spectrum_step_hz``), ``envelope`` (squared envelope, relative to its mean, at multiples of
        ``envelope_step_hz``), ``envelope_band_hz``.
    """
    if not reading.accel_m_s2 or reading.fs_hz is None:
        return None
    axis, samples = max(reading.accel_m_s2.items(), key=lambda item: float(np.square(item[1] - item[1].mean()).mean()))
    x = np.asarray(samples[-_MAX_SAMPLES:], dtype=np.float64)
    x = x - x.mean()
    n, fs_hz = len(x), reading.fs_hz
    hann = np.hanning(n)
    spectrum = 2.0 * np.abs(np.fft.rfft(x * hann)) / max(float(hann.sum()), 1.0)
    candidates = [_squared_envelope(x, start) for start in _BAND_STARTS]
    best = max(range(len(candidates)), key=lambda k: float(candidates[k].var()))
    envelope = candidates[best]
    mean = float(envelope.mean())
    taper = np.hanning(len(envelope))
    lines = np.abs(np.fft.rfft((envelope - mean) * taper)) * 2.0 / max(mean * float(taper.sum()), 1e-30)
    step_hz = fs_hz / n
    keep = min(len(lines), int(_ENVELOPE_HZ / step_hz) + 1)
    start = _BAND_STARTS[best]
    return {
        "axis": axis,
        "fs_hz": fs_hz,
        "accel_m_s2": np.round(x, 4).tolist(),
        "spectrum": np.round(spectrum, 5).tolist(),
        "spectrum_step_hz": step_hz,
        "envelope": np.round(lines[:keep], 4).tolist(),
        "envelope_step_hz": step_hz,
        "envelope_band_hz": (round(start * fs_hz), round((start + 0.25) * fs_hz)),
    }


def _squared_envelope(x: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """|analytic signal of the band|^2, ``(n,)``."""
    n = len(x)
    full = np.fft.fft(x)
    full[: int(start * n)] = 0.0
    full[int((start + 0.25) * n) :] = 0.0
    return np.square(np.abs(np.fft.ifft(2.0 * full)))


class Speed(NamedTuple):
    """The shaft's speed at a reading."""

    ts_s: float
    rpm: float


class Kept(NamedTuple):
    """A motor's newest window, and the speed at the one before it."""

    reading: Reading
    before: Speed | None


def steady(kept: Kept) -> bool | None:
    """Whether the shaft turned steadily in a window, judged by the reading before; None where that says nothing.

    Orders stand where they are marked only while the speed stands: through a ramp a line sweeps over as many lines of
    the spectrum as its order says, and the marks would point at neighbours.
    """
    reading, before = kept
    rpm, fs_hz = reading.speed_rpm, reading.fs_hz
    if rpm is None or before is None or fs_hz is None or not 0.0 < reading.ts_s - before.ts_s <= NEAR_S:
        return None
    change = abs(rpm - before.rpm) / max(abs(rpm), abs(before.rpm), 1.0)
    window_s = max((len(samples) for samples in reading.accel_m_s2.values()), default=0) / fs_hz
    return change <= _STEP and change * window_s / (reading.ts_s - before.ts_s) <= _SWEEP


class Windows:
    """Each motor's newest reading with vibration, in bounded memory: whoever was heard longest ago gives way first.

    A motor that somebody looked at lately is not displaced. Thread-safe.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Kept, int]] = OrderedDict()
        self._bytes = 0
        self._watched: OrderedDict[str, None] = OrderedDict()

    def put(self, *readings: Reading) -> None:
        """Keep the newest window of each motor."""
        with self._lock:
            for reading in readings:
                if reading.accel_m_s2:
                    self._put(reading)
            # a watched motor met at the front goes behind once, so the loop ends after one turn
            for _ in range(len(self._kept)):
                if self._bytes <= self._max_bytes:
                    break
                oldest = next(iter(self._kept))
                if oldest in self._watched and len(self._kept) > len(self._watched):
                    self._kept.move_to_end(oldest)
                else:
                    self._drop(oldest)

    def get(self, motor: str) -> Kept | None:
        """The newest window, None where none is kept; from now on the motor's windows outlast others."""
        with self._lock:
            self._watched[motor] = None
            self._watched.move_to_end(motor)
            if len(self._watched) > _MAX_WATCHED:
                self._watched.popitem(last=False)
            kept = self._kept.get(motor)
            return None if kept is None else kept[0]

    def forget(self, motor: str) -> None:
        """A motor left."""
        with self._lock:
            self._watched.pop(motor, None)
            self._drop(motor)

    def _put(self, reading: Reading) -> None:
        last = self._kept.pop(reading.motor, None)
        before = None
        if last is not None:
            kept, gone = last
            self._bytes -= gone
            if kept.reading.speed_rpm is not None:
                before = Speed(kept.reading.ts_s, kept.reading.speed_rpm)
        size = 0
        for samples in reading.accel_m_s2.values():
            size += samples.nbytes
        self._kept[reading.motor] = Kept(reading, before), size
        self._bytes += size

    def _drop(self, motor: str) -> None:
        gone = self._kept.pop(motor, None)
        if gone is not None:
            self._bytes -= gone[1]
