"""Motor windows: what a vibration waveform becomes before a generator sees it, for recordings and for the twin alike.

Per frequency band the envelope (RMS over 1/16 turn of the shaft, log10) is sampled by shaft angle, which puts the
characteristic orders (FTF 0.4 to BPFI 5.4 for a 6205) at fixed places below the Nyquist order of 8, whatever the speed.
A window is the order spectrum of the envelope over eight turns, log10, ``(33, 3)``: step k is order k / 4, and step 0
is the envelope's mean level, which is taken relative to the same motor when healthy. Magnitudes carry no phase: a
generator of raw envelopes would have to learn every possible start angle from a few dozen windows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from training.gan.windows import Floats, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_TURN = 16
TURNS = 4
SEGMENT = PER_TURN * TURNS
WINDOW_TURNS = 2 * TURNS
STEPS = SEGMENT // 2 + 1
BANDS_HZ = ((200.0, 1500.0), (1500.0, 3500.0), (3500.0, 5800.0))
CHANNELS = tuple(f"log_rms_{low:.0f}_{high:.0f}_hz" for low, high in BANDS_HZ)
QUIET = 0.3
"""Added to the power of a line of the envelope's spectrum, which has no unit: about a third of a healthy
line, so that chance dips of the noise do not become the largest features of its logarithm."""
FLOOR = 1e-6
"""Mean square in (m/s^2)^2 under which a band is called silent, so that its logarithm stays finite."""


def decimated(accel_m_s2: NDArray[np.floating], factor: int) -> NDArray[np.float64]:
    """Keeps every ``factor``-th sample ``(..., n)`` after cutting the spectrum at the new Nyquist frequency."""
    n = accel_m_s2.shape[-1] // factor * factor
    spectrum = np.fft.rfft(accel_m_s2[..., :n])
    keep = n // factor // 2 + 1
    return np.fft.irfft(spectrum[..., :keep], n // factor) / factor


def levels(accel_m_s2: NDArray[np.floating], fs_hz: float, speed_rpm: float) -> Floats:
    """log10 RMS per band and 1/16 turn, in segments of ``TURNS`` turns.

    Args:
        accel_m_s2: ``(B, n)``; whole segments are cut from the front.
        fs_hz: sampling rate, at least 11.6 kHz so that every band is there.
        speed_rpm: shaft speed.

    Returns:
        ``(B * n_segments, SEGMENT, 3)``.

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
    segments = int(n / step) // SEGMENT
    if segments < 1:
        raise InputError(f"accel_m_s2: {n} samples are fewer than {TURNS} turns; {int(step * SEGMENT) + 1} are needed")
    edges = (np.arange(segments * SEGMENT) * step).astype(np.intp)
    end = int(segments * SEGMENT * step)
    spectrum = np.fft.rfft(accel_m_s2, axis=-1)
    f_hz = np.fft.rfftfreq(n, 1.0 / fs_hz)
    width = np.diff(np.append(edges, end))
    out = np.empty((len(accel_m_s2), segments * SEGMENT, len(BANDS_HZ)))
    for band, (low, high) in enumerate(BANDS_HZ):
        passed = np.fft.irfft(spectrum * ((f_hz >= low) & (f_hz < high)), n, axis=-1)[:, :end]
        power = np.add.reduceat(passed * passed, edges, axis=-1) / width
        out[:, :, band] = 0.5 * np.log10(np.maximum(power, FLOOR))
    return out.reshape(-1, SEGMENT, len(BANDS_HZ)).astype(np.float32)


def spectra(segments: Floats) -> Floats:
    """Windows ``(n - 1, STEPS, 3)`` from successive segments ``(n, SEGMENT, 3)``; neighbours share a segment.

    Two segments' Hann-weighted power spectra are averaged (Welch).
    """
    centred = segments - segments.mean(axis=1, keepdims=True)
    taper = np.hanning(SEGMENT).astype(np.float32)[:, None]
    power = np.abs(np.fft.rfft(centred * taper, axis=1))[:, 1:] ** 2
    lines = 0.5 * np.log10(0.5 * (power[:-1] + power[1:]) + QUIET)
    level = 0.5 * (segments[:-1].mean(axis=1) + segments[1:].mean(axis=1))
    return np.concatenate([level[:, None], lines], axis=1).astype(np.float32)
