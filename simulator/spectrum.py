"""What an analyst computes from a window: spectra and indicators. numpy only."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.contract.bearing import BearingGeometry

ENVELOPE_FROM = 0.2
"""The envelope is taken above this share of half the sampling rate, clear of rotor and electrical lines."""


class Spectrum(NamedTuple):
    """Frequencies in Hz and amplitudes (peak values of the lines), both ``(k,)``."""

    f_hz: NDArray[np.float64]
    amplitude: NDArray[np.float64]


class Indicators(NamedTuple):
    """Shape of a window: RMS in m/s^2; the rest without unit."""

    rms_m_s2: float
    kurtosis: float
    crest: float
    flatness: float


@lru_cache(maxsize=16)
def _hann(size: int) -> NDArray[np.float64]:
    window: NDArray[np.float64] = np.hanning(size)
    return window


def amplitude(x: NDArray[Any], fs_hz: float) -> Spectrum:
    """Amplitude spectrum of ``(n,)`` under a Hann window; a line shows its peak value."""
    hann = _hann(x.size)
    centred = np.asarray(x, dtype=np.float64) - float(np.mean(x))
    lines: NDArray[np.float64] = np.abs(np.fft.rfft(centred * hann)) * (2.0 / float(hann.sum()))
    return Spectrum(np.asarray(np.fft.rfftfreq(x.size, 1.0 / fs_hz), dtype=np.float64), lines)


def envelope(x: NDArray[Any], fs_hz: float, band_hz: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """Squared envelope ``(n,)`` in a band, by the analytic signal (Randall and Antoni, MSSP 25 (2011) 485-520)."""
    low, high = band_hz or (ENVELOPE_FROM * 0.5 * fs_hz, 0.5 * fs_hz)
    spectrum = np.fft.fft(x - x.mean())
    f_hz = np.fft.fftfreq(x.size, 1.0 / fs_hz)
    spectrum *= 2.0 * ((f_hz >= low) & (f_hz <= high))
    return np.asarray(np.abs(np.fft.ifft(spectrum)) ** 2, dtype=np.float64)


def envelope_spectrum(x: NDArray[Any], fs_hz: float, band_hz: tuple[float, float] | None = None) -> Spectrum:
    """Amplitude spectrum of the squared envelope; impacts at a rate show as a line there and its multiples."""
    return amplitude(envelope(x, fs_hz, band_hz), fs_hz)


def indicators(x: NDArray[Any]) -> Indicators:
    """RMS, kurtosis (3 for Gaussian noise), crest factor and spectral flatness (1 for white noise) of ``(n,)``."""
    centred = np.asarray(x, dtype=np.float64) - float(np.mean(x))
    squared = centred * centred
    power = float(np.mean(squared))
    if power == 0.0:
        return Indicators(0.0, 0.0, 0.0, 0.0)
    density = np.abs(np.fft.rfft(centred * _hann(centred.size)))[1:] ** 2 + 1e-30
    return Indicators(
        rms_m_s2=float(np.sqrt(power)),
        kurtosis=float(np.mean(squared * squared)) / power**2,
        crest=float(np.abs(centred).max() / np.sqrt(power)),
        flatness=float(np.exp(np.log(density).mean()) / density.mean()),
    )


def characteristic_hz(bearing: BearingGeometry, speed_rpm: float) -> dict[str, float]:
    """Shaft and defect frequencies of a bearing at a speed, Hz; the rolling element's counts both races (2 x BSF)."""
    shaft_hz = speed_rpm / 60.0
    orders = bearing.orders()
    return {
        "FTF": orders.ftf * shaft_hz,
        "1x": shaft_hz,
        "2xBSF": 2.0 * orders.bsf * shaft_hz,
        "BPFO": orders.bpfo * shaft_hz,
        "BPFI": orders.bpfi * shaft_hz,
    }
