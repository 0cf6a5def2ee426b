"""Motor windows: what a vibration waveform becomes before a generator sees it, for recordings and for the twin alike.

Per frequency band the RMS of the band-passed waveform over 1/16 turn of the shaft, as log10, less the healthy level of
the same motor: ``(turns * 16, 3)``. Sampling by shaft angle puts the characteristic orders (FTF 0.4 to BPFI 5.4 for a
6205) at fixed places below the Nyquist order of 8, whatever the speed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.gan.windows import Floats, InputError

PER_TURN = 16
TURNS = 4
STEPS = PER_TURN * TURNS
BANDS_HZ = ((200.0, 1500.0), (1500.0, 3500.0), (3500.0, 5800.0))
CHANNELS = tuple(f"log_rms_{low:.0f}_{high:.0f}_hz" for low, high in BANDS_HZ)
FLOOR = 1e-6
"""Mean square in (m/s^2)^2 under which a band is called silent, so that its logarithm stays finite."""


def decimated(accel_m_s2: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Keeps every ``factor``-th sample ``(..., n)`` after cutting the spectrum at the new Nyquist frequency."""
    n = accel_m_s2.shape[-1] // factor * factor
    spectrum = np.fft.rfft(accel_m_s2[..., :n])
    keep = n // factor // 2 + 1
    return np.fft.irfft(spectrum[..., :keep], n // factor) / factor


def levels(accel_m_s2: NDArray[np.floating], fs_hz: float, speed_rpm: float) -> Floats:
    """log10 RMS per band and 1/16 turn, not yet relative to healthy.

    Args:
        accel_m_s2: ``(B, n)``; whole windows of ``TURNS`` turns are cut from the front.
        fs_hz: sampling rate, at least 11.6 kHz so that every band is there.
        speed_rpm: shaft speed.

    Returns:
        ``(B * n_windows, STEPS, 3)``.

    Raises:
        InputError: the rate is too low, speed is not positive, a sample is not finite, or the recording is too short.
    """
    if fs_hz < 2.0 * BANDS_HZ[-1][1]:
        raise InputError(f"fs_hz: {fs_hz:g} is below {2.0 * BANDS_HZ[-1][1]:g}; record faster, the top band needs it")
    if not speed_rpm > 0:
        raise InputError(f"speed_rpm: {speed_rpm} must be positive; angles need a turning shaft")
    if not np.isfinite(accel_m_s2).all():
        raise InputError("accel_m_s2: NaN or infinite; cut the recording before the gap")
    n = accel_m_s2.shape[-1]
    step = fs_hz * 60.0 / speed_rpm / PER_TURN
    windows = int(n / step) // STEPS
    if windows < 1:
        raise InputError(f"accel_m_s2: {n} samples are fewer than {TURNS} turns; {int(step * STEPS) + 1} are needed")
    edges = (np.arange(windows * STEPS) * step).astype(np.intp)
    end = int(windows * STEPS * step)
    spectrum = np.fft.rfft(accel_m_s2, axis=-1)
    f_hz = np.fft.rfftfreq(n, 1.0 / fs_hz)
    width = np.diff(np.append(edges, end))
    out = np.empty((len(accel_m_s2), windows * STEPS, len(BANDS_HZ)))
    for band, (low, high) in enumerate(BANDS_HZ):
        passed = np.fft.irfft(spectrum * ((f_hz >= low) & (f_hz < high)), n, axis=-1)[:, :end]
        power = np.add.reduceat(passed * passed, edges, axis=-1) / width
        out[:, :, band] = 0.5 * np.log10(np.maximum(power, FLOOR))
    return out.reshape(-1, STEPS, len(BANDS_HZ)).astype(np.float32)
