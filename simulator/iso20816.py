"""Vibration severity as an engineer reads it: broadband velocity RMS and its zones.

Velocity RMS over 10-1000 Hz from acceleration; zone boundaries of ISO 20816-1:2016, annex (before: 10816-1, table B.1):
class I up to 15 kW, class II up to 75 kW. A: as new, B: unrestricted, C: not for long, D: damaging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Zone = Literal["A", "B", "C", "D"]

CLASS_I_MM_S = (0.71, 1.8, 4.5)
CLASS_II_MM_S = (1.12, 2.8, 7.1)
CLASS_I_UP_TO_W = 15_000.0
BAND_HZ = (10.0, 1000.0)


def limits_mm_s(power_w: float | NDArray[np.float64]) -> NDArray[np.float64]:
    """Boundaries A/B, B/C, C/D in mm/s RMS for a motor of this rated power; shape ``power_w.shape + (3,)``."""
    small = np.asarray(power_w) <= CLASS_I_UP_TO_W
    return np.where(small[..., None], CLASS_I_MM_S, CLASS_II_MM_S)


def velocity_rms_mm_s(accel_m_s2: NDArray[Any], fs_hz: float) -> float:
    """Velocity RMS in mm/s over 10-1000 Hz of one window ``(n,)``.

    Integrated in the frequency domain under a Hann window (so that a line between two bins does not leak into the
    low frequencies that integration lifts), corrected for the window's power.
    """
    x = np.asarray(accel_m_s2, dtype=np.float64)
    n = x.size
    if n < 2:
        raise ValueError("accel_m_s2: at least 2 samples are needed for a velocity")
    hann = np.hanning(n)
    spectrum = np.fft.rfft((x - x.mean()) * hann)
    f_hz = np.fft.rfftfreq(n, 1.0 / fs_hz)
    band = (f_hz >= BAND_HZ[0]) & (f_hz <= BAND_HZ[1])
    velocity = np.abs(spectrum[band]) / (2.0 * np.pi * f_hz[band])
    return 1e3 * float(np.sqrt(2.0 * np.sum(velocity**2) / (n * np.sum(hann**2))))


def zone(velocity_mm_s: float, power_w: float) -> Zone:
    """The zone of a velocity RMS for a motor of this rated power."""
    names: tuple[Zone, ...] = ("A", "B", "C", "D")
    return names[int(np.searchsorted(limits_mm_s(power_w), velocity_mm_s))]
