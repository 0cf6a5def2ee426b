"""What healthy and faulty machines alike may have in their signal, and the twin's machines have not: added at random.

Nothing in here was measured on any machine. Each disturbance is the plain form of something that a vibration engineer
meets: the colour of a mounting, foreign tones, sensor noise, knocks, flow noise that follows the shaft, gear meshes
with their side bands, noise beating at twice the line frequency, another bearing's or a valve's periodic impacts, the
rumble of a foundation or a flow, harmonics of a coupling, a plug that crackles, and somebody's anti-alias filter. None
of them is a fault of the bearing on the plate, so severities stay as they are.

Signals ``(n, samples)`` float32 in m/s^2, ``rms`` ``(n,)`` in m/s^2, ``turn`` ``(n,)`` turns of the shaft per sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Doubles = NDArray[np.float64]

TWO_PI = 2.0 * np.pi
RING = 256
"""Samples of a ringing impact."""


class Rows(NamedTuple):
    """Windows that are changed in place: signals, their RMS, turns of the shaft per sample, sampling rate."""

    accel: Floats
    rms: Doubles
    turn: Doubles
    fs_hz: Doubles


def disturb(rows: Rows, rng: np.random.Generator) -> None:
    """Every disturbance, each on its share of the rows, in place."""
    count = len(rows.accel)
    _colour(rows, np.flatnonzero(rng.random(count) < 0.4), rng)
    _noise(rows, np.flatnonzero(rng.random(count) < 0.25), rng)
    for share, disturbance in _SINGLE:
        for row in np.flatnonzero(rng.random(count) < share):
            disturbance(rows, int(row), rng)
    _filter(rows, np.flatnonzero(rng.random(count) < 0.12), rng)
    _quantise(rows, np.flatnonzero(rng.random(count) < 0.1), rng)


def _colour(rows: Rows, at: NDArray[np.intp], rng: np.random.Generator) -> None:
    """Through a random smooth filter: a few waves over the spectrum of up to some 12 dB above 300 Hz or so."""
    length = rows.accel.shape[1]
    grid = np.linspace(0.0, 1.0, length // 2 + 1)
    waves = np.cos(np.pi * np.outer(np.arange(1, 9), grid))
    height = rng.normal(0.0, 0.45, (len(at), 8)) / np.sqrt(np.arange(1, 9))
    # Low orders keep their level: velocities are told in mm/s, whatever resonates above.
    onset = np.clip((grid - 0.05) / 0.05, 0.0, 1.0)
    gain = np.exp((height @ waves) * onset).astype(np.float32)
    rows.accel[at] = np.fft.irfft(np.fft.rfft(rows.accel[at]) * gain, length)


def _noise(rows: Rows, at: NDArray[np.intp], rng: np.random.Generator) -> None:
    level = rows.rms[at] * 10.0 ** rng.uniform(-1.5, -0.3, at.size)
    white = rng.standard_normal((at.size, rows.accel.shape[1]), dtype=np.float32)
    rows.accel[at] += level[:, None].astype(np.float32) * white


def _tones(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """Up to three foreign tones, some of them amplitude-modulated."""
    time = np.arange(rows.accel.shape[1], dtype=np.float32)
    for _ in range(rng.integers(1, 4)):
        tone = np.sin(TWO_PI * (rng.uniform(0.02, 0.48) * time + rng.random()))
        beat = rng.uniform(3.0, 60.0) / rows.fs_hz[row]
        depth = rng.uniform(0.0, 0.8) * (rng.random() < 0.4)
        tone *= 1.0 + depth * np.sin(TWO_PI * (beat * time + rng.random()))
        rows.accel[row] += (rows.rms[row] * 10.0 ** rng.uniform(-1.2, 0.0) * tone).astype(np.float32)


def _knocks(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """Ringing knocks at random times, which belong to no order."""
    pulse = _ring(rng)
    for at in rng.integers(0, rows.accel.shape[1] - RING, rng.integers(1, 8)):
        rows.accel[row, at : at + RING] += (rows.rms[row] * rng.uniform(1.0, 8.0) * pulse).astype(np.float32)


def _crackle(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """Noise with heavy tails: a loose plug, a chafed cable, sparks. It strikes at no order, and rings nowhere."""
    noise = rng.standard_t(rng.uniform(0.8, 3.0), rows.accel.shape[1])
    _add(rows, row, np.clip(noise, -500.0, 500.0), rng)


def _flow(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """A band of noise that swells with the shaft or with its vanes: pumps, fans, seals, couplings."""
    time = np.arange(rows.accel.shape[1])
    base = rng.choice((1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9)) * rows.turn[row]
    swell = np.ones(len(time))
    for harmonic in range(1, rng.integers(2, 7)):
        swell += rng.uniform(0.0, 0.8) / harmonic * np.cos(TWO_PI * (harmonic * base * time + rng.random()))
    _add(rows, row, _band(len(time), rng) * np.maximum(swell, 0.0), rng)


def _mesh(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """Gear mesh and its harmonics, modulated by both shafts."""
    time = np.arange(rows.accel.shape[1])
    teeth, other = rng.integers(11, 90), rng.uniform(0.2, 4.0)
    signal = np.zeros(len(time))
    for harmonic in range(1, 4):
        frequency = harmonic * teeth * rows.turn[row]
        swell = np.ones(len(time))
        for order in (1.0, 2.0, 3.0, other, 2.0 * other, 3.0 * other):
            swell += rng.uniform(0.0, 0.5) * np.cos(TWO_PI * (order * rows.turn[row] * time + rng.random()))
        wobble = rng.uniform(0.0, 1.0) * np.sin(TWO_PI * rows.turn[row] * time)
        height = rng.uniform(0.2, 1.0) * (frequency < 0.47)
        signal += height * swell * np.sin(TWO_PI * (frequency * time + rng.random()) + wobble)
    _add(rows, row, signal, rng)


def _hum(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """A band of noise that beats at twice the line frequency."""
    time = np.arange(rows.accel.shape[1])
    twice = rng.choice((100.0, 120.0)) / rows.fs_hz[row]
    swell = 1.0 + rng.uniform(0.1, 0.9) * np.cos(TWO_PI * (twice * time + rng.random()))
    swell += rng.uniform(0.0, 0.4) * np.cos(TWO_PI * (2.0 * twice * time + rng.random()))
    _add(rows, row, _band(len(time), rng) * swell, rng)


def _foreign_impacts(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """Periodic impacts of another bearing or mechanism, at 0.3-12 times the shaft speed, a third of them in step."""
    length = rows.accel.shape[1]
    order = np.exp(rng.uniform(np.log(0.3), np.log(12.0)))
    if rng.random() < 0.3:
        order = max(np.round(order), 1.0)
    period = 1.0 / (order * rows.turn[row])
    at = (rng.random() + np.arange(int(length / period) + 1)) * period
    at += rng.standard_normal(at.size) * rng.uniform(0.0, 0.02) * period
    height = np.exp(rng.uniform(0.0, 0.6) * rng.standard_normal(at.size))
    inside = (at >= 0) & (at < length)
    force = np.bincount(at[inside].astype(np.intp), height[inside], length)
    _add(rows, row, np.convolve(force, _ring(rng))[:length], rng)


def _rumble(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """Broadband shaking between 3 and 300 Hz, 0.1-4 mm/s RMS."""
    length = rows.accel.shape[1]
    frequency = np.fft.rfftfreq(length, 1.0 / rows.fs_hz[row])
    centre, width = np.exp(rng.uniform(np.log(8.0), np.log(200.0))), rng.uniform(0.2, 1.0)
    shape = np.exp(-0.5 * (np.log(np.maximum(frequency, 1.0) / centre) / width) ** 2)
    velocity = np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) * shape, length)
    level = 1e-3 * np.exp(rng.uniform(np.log(0.1), np.log(4.0))) / max(float(velocity.std()), 1e-9)
    accel = np.gradient(velocity) * rows.fs_hz[row] * level
    rows.accel[row] += accel.astype(np.float32)


def _harmonics(rows: Rows, row: int, rng: np.random.Generator) -> None:
    """Twice to eight times the shaft speed, 0.03-0.9 mm/s each and less the higher: couplings, belts, keys, vanes."""
    time = np.arange(rows.accel.shape[1])
    for order in range(2, rng.integers(3, 9)):
        velocity = 1e-3 * np.exp(rng.uniform(np.log(0.03), np.log(0.9))) * np.sqrt(2.0 * 2.0 / order)
        level = velocity * TWO_PI * order * rows.turn[row] * rows.fs_hz[row]
        rows.accel[row] += (level * np.sin(TWO_PI * (order * rows.turn[row] * time + rng.random()))).astype(np.float32)


def _filter(rows: Rows, at: NDArray[np.intp], rng: np.random.Generator) -> None:
    """A low-pass of any steepness: what lies above it is gone."""
    length = rows.accel.shape[1]
    cut, steep = rng.uniform(0.25, 0.48, (at.size, 1)), rng.uniform(8.0, 40.0, (at.size, 1))
    gain = 1.0 / np.sqrt(1.0 + (np.fft.rfftfreq(length) / cut) ** steep)
    rows.accel[at] = np.fft.irfft(np.fft.rfft(rows.accel[at]) * gain.astype(np.float32), length)


def _quantise(rows: Rows, at: NDArray[np.intp], rng: np.random.Generator) -> None:
    """A coarse converter."""
    step = (rows.rms[at] * rng.uniform(0.02, 0.3, at.size)).astype(np.float32)[:, None] + np.float32(1e-6)
    rows.accel[at] = np.rint(rows.accel[at] / step) * step


_SINGLE = (
    (0.2, _tones),
    (0.06, _knocks),
    (0.03, _crackle),
    (0.06, _flow),
    (0.06, _mesh),
    (0.05, _hum),
    (0.015, _foreign_impacts),
    (0.15, _rumble),
    (0.2, _harmonics),
)
"""Share of the rows and what is added to each, one row after the other."""


def _add(rows: Rows, row: int, signal: Doubles, rng: np.random.Generator) -> None:
    """Adds a signal at 0.06-1.4 times the row's own level."""
    level = rows.rms[row] * 10.0 ** rng.uniform(-1.2, 0.15)
    rows.accel[row] += (level / max(float(signal.std()), 1e-9) * signal).astype(np.float32)


def _band(length: int, rng: np.random.Generator) -> Doubles:
    """Noise in a random band of 3-30 % of the sampling rate."""
    low = rng.uniform(0.01, 0.4)
    high = min(0.49, low + rng.uniform(0.03, 0.3))
    frequency = np.fft.rfftfreq(length)
    spectrum = np.fft.rfft(rng.standard_normal(length))
    return np.asarray(np.fft.irfft(spectrum * ((frequency > low) & (frequency < high)), length))


def _ring(rng: np.random.Generator) -> Doubles:
    time = np.arange(RING)
    return np.asarray(np.exp(-time / rng.uniform(6.0, 60.0)) * np.sin(TWO_PI * rng.uniform(0.05, 0.45) * time))
