"""From force to acceleration at the sensor: transmission paths sampled for windows of one length, in batches.

A path is known by its modes (a population of machines) or by what was identified on one real machine: amplitude of the
answer to an impact and of the noise over frequency. Phases of the latter follow from the amplitudes: structures driven
near a bearing answer at once, so the response is taken as minimum-phase (Oppenheim and Schafer, Discrete-Time Signal
Processing, 3rd ed., ch. 12: the cepstrum of log amplitude, folded).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from simulator.parameter import OutOfRangeError
from simulator.vibration import BLOCK, FLAT_FROM_HZ, NOISE_RIPPLES, Background, Structure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.bearing import Strikes
    from simulator.parameter import Values
    from simulator.sensor import Sensors

GUARD = 0.25
"""Extra length of the transform, as a share of the window, so that its periodicity never shows in the window."""

MODES_FLOOR = 1e-6
"""Least amplitude of an identified path over its largest: a logarithm needs one."""


class Delay(NamedTuple):
    """What a structure does to an impact's time and not to its spectrum: seconds, and a share.

    ``dispersion_s`` is how much later the lowest frequency comes than the highest: long bending waves are slow (Cremer,
    Heckl and Petersson, Structure-Borne Sound, 3rd ed., ch. 3). Echoes come ``echo_s`` apart from the ends of the
    structure, each ``echo_share`` of the one before, by an all-pass (Schroeder, J. Audio Eng. Soc. 10 (1962) 219-223).
    """

    dispersion_s: float = 0.0
    echo_s: float = 0.0
    echo_share: float = 0.0

    def over(self, f_hz: NDArray[np.float64], fs_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        """The phase over frequency, amplitude 1."""
        # A delay of dispersion_s (1 - 2 f / fs) is a phase of its integral.
        spread = np.exp(-2j * np.pi * self.dispersion_s * (f_hz - f_hz**2 / fs_hz))
        late = np.exp(-2j * np.pi * self.echo_s * f_hz)
        echoes = (late - self.echo_share) / (1.0 - self.echo_share * late)
        return np.asarray(spread * echoes, dtype=np.complex128)


class Path:
    """A batch of paths for windows of one length.

    Args:
        fs_hz: sampling rates, ``(n,)``.
        samples: window length.
        impact: answer to an impact over frequency, complex64 ``(n, length // 2 + 1)``, its peak in time is 1.
        noise: amplitude of the noise over frequency, float32, same shape, unit RMS.
    """

    def __init__(self, fs_hz: Values, samples: int, impact: NDArray[np.complex64], noise: NDArray[np.float32]) -> None:
        self.samples = samples
        self.length = padded(samples)
        self.fs_hz = fs_hz
        self.impact = impact
        self.noise = noise

    @classmethod
    def modal(
        cls,
        structure: Structure,
        background: Background,
        pulse_s: Values,
        fs_hz: Values,
        samples: int,
        ripples: NDArray[np.float64],
    ) -> Self:
        """Paths through modes.

        Args:
            structure: ``(n, MODES)``.
            background: ``(n,)``.
            pulse_s: duration of an impact, ``(n,)``.
            fs_hz: sampling rates, ``(n,)``.
            samples: window length.
            ripples: ``(n, NOISE_RIPPLES)`` standard normal numbers that give each machine its own noise colour.

        Raises:
            OutOfRangeError: a mode that this sampling rate cannot show.
        """
        heard = np.where(structure.gain != 0.0, structure.mode_hz, 0.0)
        if np.any(heard >= 0.5 * fs_hz[:, None]):
            worst = int(np.argmax((heard / fs_hz[:, None]).max(axis=1)))
            raise OutOfRangeError(
                f"fs_hz={fs_hz[worst]:g}: must be above twice the structure's mode_hz={heard[worst].max():g}"
            )
        length = padded(samples)
        bins = length // 2 + 1
        f_hz = (fs_hz[:, None] / length * np.arange(bins)).astype(np.float32)
        H = structure.accelerance(f_hz)
        # An impact is a smooth force pulse: Gaussian with sigma of a quarter of its duration.
        sigma = (0.25 * pulse_s).astype(np.float32)[:, None]
        pulse = np.exp(-2.0 * np.float32(np.pi) ** 2 * (f_hz * sigma) ** 2) / _placed(bins)
        impact = H * pulse
        impact = impact / np.abs(np.fft.irfft(impact, length)).max(axis=1, keepdims=True)
        return cls(fs_hz, samples, impact, _coloured(H, f_hz, background, ripples, length))

    @classmethod
    def identified(
        cls,
        fs_hz: Values,
        samples: int,
        impact: NDArray[np.float64],
        noise: NDArray[np.float64],
        delay: Delay = Delay(),  # noqa: B008 - a named tuple of numbers
    ) -> Self:
        """Paths by amplitude over even frequencies from 0 to half the rate, both ``(n, k)``; any scale."""
        length = padded(samples)
        at = np.linspace(0.0, 1.0, length // 2 + 1)
        knots = np.linspace(0.0, 1.0, impact.shape[1])
        level = np.log(np.maximum(impact, MODES_FLOOR * impact.max(axis=1, keepdims=True)))
        spectrum = _minimum_phase(np.stack([np.interp(at, knots, row) for row in level]), length)
        spectrum = spectrum * delay.over(0.5 * fs_hz[:, None] * at, fs_hz[:, None]) / _placed(at.size)
        spectrum /= np.abs(np.fft.irfft(spectrum, length)).max(axis=1, keepdims=True)
        power = np.square(np.stack([np.interp(at, knots, row) for row in noise]))
        return cls(fs_hz, samples, spectrum.astype(np.complex64), _unit(power, length))

    def mounted(self, sensors: Sensors) -> Self:
        """These paths as sensors with a mounting resonance hear them; themselves where all sit stiff.

        Raises:
            OutOfRangeError: a resonance that this sampling rate cannot show.
        """
        if not sensors.mounting_hz.any():
            return self
        high = sensors.mounting_hz >= 0.5 * self.fs_hz
        if high.any():
            hz = float(sensors.mounting_hz[high][0])
            raise OutOfRangeError(f"fs_hz={self.fs_hz[high][0]:g}: must be above twice the sensor's mounting_hz={hz:g}")
        answer = sensors.mounting(self.fs_hz[:, None] / self.length * np.arange(self.length // 2 + 1))
        return type(self)(
            self.fs_hz,
            self.samples,
            (self.impact * answer).astype(np.complex64),
            (self.noise * np.abs(answer)).astype(np.float32),
        )

    def shake(
        self,
        index: NDArray[np.intp],
        rms_m_s2: Values,
        strikes: list[Strikes],
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """Noise plus impacts, float32 ``(b, samples)``.

        Args:
            index: machine of each row, ``(b,)``.
            rms_m_s2: noise level of each row, ``(b,)``; 0 is silence.
            strikes: impacts; the height is the peak of the housing's answer in m/s^2.
            rng: source of the noise.
        """
        rows, bins = len(index), self.length // 2 + 1
        spectrum = rng.standard_normal((rows, 2 * bins), dtype=np.float32).view(np.complex64)
        spectrum *= self.noise[index] * rms_m_s2.astype(np.float32)[:, None]
        struck = [train for train in strikes if train.row.size]
        if struck:
            force = self._deposited(index, struck)
            hit = np.flatnonzero(force.any(axis=1))
            spectrum[hit] += np.fft.rfft(force[hit]) * self.impact[index[hit]]
        start = (self.length - self.samples) // 2
        accel = np.fft.irfft(spectrum, self.length)[:, start : start + self.samples]
        return accel.astype(np.float32, copy=False)

    def duration_s(self, index: NDArray[np.intp]) -> Values:
        """Length over which strikes are wanted, guard included, ``(b,)``."""
        return self.length / self.fs_hz[index]

    def _deposited(self, index: NDArray[np.intp], strikes: list[Strikes]) -> NDArray[np.float32]:
        """Impacts as samples of force, ``(b, length)``, each shared by its two neighbouring samples."""
        row = np.concatenate([train.row for train in strikes])
        place = np.concatenate([train.time_s for train in strikes]) * self.fs_hz[index[row]]
        height = np.concatenate([train.height for train in strikes])
        whole = np.floor(place)
        part = place - whole
        at = whole.astype(np.intp) % self.length
        size = len(index) * self.length
        force = np.bincount(row * self.length + at, weights=height * (1.0 - part), minlength=size)
        force += np.bincount(row * self.length + (at + 1) % self.length, weights=height * part, minlength=size)
        return force.reshape(len(index), self.length).astype(np.float32)


def padded(samples: int) -> int:
    """Length of the transform for windows of this length, a whole number of blocks."""
    return BLOCK * -(-round(samples * (1.0 + GUARD)) // BLOCK)


def _placed(bins: int) -> NDArray[np.float32]:
    """Impacts are placed between samples by linear interpolation, which attenuates by this; to be undone."""
    attenuation: NDArray[np.float32] = np.sinc(np.linspace(0.0, 0.5, bins, dtype=np.float32)) ** 2
    return attenuation


def _minimum_phase(log_amplitude: NDArray[np.float64], length: int) -> NDArray[np.complex128]:
    """Spectrum ``(n, length // 2 + 1)`` with this amplitude whose energy comes as early as can be."""
    cepstrum = np.fft.irfft(log_amplitude, length)
    half = length // 2
    cepstrum[:, 1:half] *= 2.0
    cepstrum[:, half + 1 :] = 0.0
    return np.asarray(np.exp(np.fft.rfft(cepstrum)), dtype=np.complex128)


def _coloured(
    H: NDArray[np.complex64],
    f_hz: NDArray[np.float32],
    background: Background,
    ripples: NDArray[np.float64],
    length: int,
) -> NDArray[np.float32]:
    """Amplitude of the noise spectrum of modal paths; float32 ``(n, bins)``."""
    bins = f_hz.shape[1]
    waves = np.cos(np.pi * np.outer(np.arange(1, NOISE_RIPPLES + 1), np.linspace(0.0, 1.0, bins))).astype(np.float32)
    tilt = (ripples * background.ripple[:, None] / np.sqrt(np.arange(1, NOISE_RIPPLES + 1))).astype(np.float32)
    colour = background.colour.astype(np.float32)[:, None]
    # Broadband forces make a flat velocity at low frequencies, so acceleration rises with f up to the corner.
    x = np.log(np.maximum(f_hz, 1.0) / background.corner_hz.astype(np.float32)[:, None])
    airborne = np.exp(2.0 * (tilt @ waves + x - 0.5 * (1.0 + colour) * np.log1p(np.exp(2.0 * x))))
    ringing = np.square(H.real) + np.square(H.imag)
    flat = np.square(f_hz) / (np.square(f_hz) + np.float32(FLAT_FROM_HZ**2))
    white = background.white_share[:, None]
    ringing_share = (background.structure_share[:, None] * (1.0 - white)).astype(np.float32)
    airborne_share = 1.0 - white.astype(np.float32) - ringing_share
    power = (
        ringing * (ringing_share / ringing.mean(axis=1, keepdims=True))
        + airborne * (airborne_share / airborne.mean(axis=1, keepdims=True))
        + flat * white.astype(np.float32)
    )
    return _unit(power, length)


def _unit(power: NDArray[Any], length: int) -> NDArray[np.float32]:
    """Amplitude for complex normals of variance 2 so that their inverse transform has unit RMS."""
    # irfft of complex normals of variance 2 over `bins` has RMS sqrt(2 sum power * 2) / length.
    amplitude: NDArray[np.float32] = np.sqrt(power * (length**2 / 4.0 / power.sum(axis=1, keepdims=True)))
    return np.asarray(amplitude, dtype=np.float32)
