"""Inputs like no machine, as recordings: what a fault classifier must not be sure of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from service.contract.bearing import CATALOGUE
from service.contract.faults import HEALTHY
from training.score import UNKNOWN, score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.bundle import Bundle

FS_HZ = 12_000.0
SPEED_RPM = 1_750.0
SECONDS = 3.0
SEED = 11


def inputs() -> dict[str, NDArray[np.float64]]:
    """Name to waveform in m/s2, ``(n,)``; the same every time."""
    rng = np.random.default_rng(SEED)
    t = np.arange(int(SECONDS * FS_HZ)) / FS_HZ
    noise = rng.normal(size=len(t))
    return {
        "square wave, 7 Hz": 50.0 * np.sign(np.sin(2 * np.pi * 7.3 * t)) + 0.01 * noise,
        "square wave, 100 Hz": 20.0 * np.sign(np.sin(2 * np.pi * 100.7 * t)) + 0.01 * noise,
        "saw tooth": 100.0 * (t * 13.0 % 1.0 - 0.5) + 0.01 * noise,
        "one sine": 10.0 * np.sin(2 * np.pi * 50.3 * t) + 0.01 * noise,
        "chirp": 10.0 * np.sin(2 * np.pi * (10.0 + 800.0 * t) * t),
        "ramp": 100.0 * t,
        "clicks at no order": np.where(np.arange(len(t)) % 363 == 0, 100.0, 0.0) + 0.1 * noise,
        "Cauchy noise": np.clip(rng.standard_cauchy(len(t)), -500.0, 500.0),
        "Brownian drift": 0.1 * np.cumsum(noise),
        "noise of 100 g": 1_000.0 * noise,
        "noise cut at 5 g": np.clip(200.0 * noise, -50.0, 50.0),
        "noise in syllables": 5.0 * noise * np.abs(np.sin(2 * np.pi * 3.1 * t)) ** 4,
    }


def answered(models: Bundle) -> tuple[int, int, tuple[tuple[str, ...], ...]]:
    """How many get a fault's name, how many an alarm, and a row of words for each input."""
    rows, named, alarmed = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name, wave in inputs().items():
            file = Path(folder) / "odd.csv"
            np.savetxt(file, wave[:, None], header="accel_m_s2.x", comments="", fmt="%.6g")
            got = score(str(file), models, bearing=CATALOGUE["6205"], speed_rpm=SPEED_RPM, fs_hz=FS_HZ, unit="m/s2")
            named += got.diagnosis not in {HEALTHY, UNKNOWN}
            alarmed += got.alarm
            leading = max(got.probabilities, key=lambda fault: got.probabilities[fault])
            rows.append((name, got.diagnosis, f"{got.anomaly:.2f}", f"{leading} {got.probabilities[leading]:.2f}"))
    return named, alarmed, tuple(rows)
