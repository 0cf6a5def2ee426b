"""What shakes a housing: rotor and electrical lines, broadband noise, and the modes of the structure.

The structure is a sum of modes. Force to acceleration (accelerance) of mode m, Ewins, Modal Testing, 2nd ed., ch. 2::

    H(f) = sum_m g_m f^2 / (f_m^2 - f^2 + 2 j zeta_m f_m f)

Impacts and structure-borne noise pass through H in the frequency domain; lines are given as they appear on the housing,
by their velocity, since that is what ISO 20816 limits. Whole batches of windows are built at once: lines as one small
matrix product per window (exp(j w (64 a + b)) = exp(j w 64 a) exp(j w b)), everything else in one inverse transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator.parameter import Values, check, parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray


TWO_PI = 2.0 * np.pi
BLOCK = 64
MODES = 3
NOISE_RIPPLES = 4

RESIDUAL_LINES = 12
FLAT_FROM_HZ = 150.0
"""The flat part of the noise spectrum begins here."""

PHASES = 64
"""Random phases that each machine's lines draw on."""


@dataclass(frozen=True, slots=True)
class Structure:
    """Transmission path from bearing to sensor: modes as shape ``(n, MODES)``; a gain of 0 switches a mode off."""

    mode_hz: Values
    damping: Values
    gain: Values

    @classmethod
    def drawn(cls, rng: np.random.Generator, fs_hz: Values) -> Structure:
        """One to three modes between 500 Hz and 0.45 fs with 1-8 % damping, log-uniform; one dominates."""
        n = fs_hz.size
        top = np.log(0.45 * fs_hz / 500.0)
        mode_hz = 500.0 * np.exp(rng.random((n, MODES)) * top[:, None])
        damping = np.exp(rng.uniform(np.log(0.01), np.log(0.08), (n, MODES)))
        # g_m peaks at 1 / (2 zeta); scaling by zeta makes gain the height of the resonance.
        gain = damping * np.exp(rng.normal(0.0, 0.7, (n, MODES))) * rng.choice([-1.0, 1.0], (n, MODES))
        gain *= np.arange(MODES) < rng.integers(1, MODES + 1, n)[:, None]
        return cls(mode_hz, damping, gain)

    def accelerance(self, f_hz: NDArray[np.float32]) -> NDArray[np.complex64]:
        """H at the frequencies ``(n, k)``, complex64 ``(n, k)``; arbitrary scale."""
        squared = f_hz * f_hz
        total = np.zeros(f_hz.shape, dtype=np.complex64)
        for m in range(self.mode_hz.shape[1]):
            f_m = self.mode_hz[:, m, None].astype(np.float32)
            below = np.empty(f_hz.shape, dtype=np.complex64)
            below.real = f_m * f_m - squared
            below.imag = (2.0 * self.damping[:, m, None].astype(np.float32)) * f_m * f_hz
            total += (self.gain[:, m, None].astype(np.float32) * squared) / below
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Broadband noise of a healthy machine at rated speed, as the sensor sees it. Scalars or shape ``(n,)``."""

    rms_m_s2: Values = parameter(
        0.6, "m/s^2", limits=(0.0, 100.0), spread=(0.12, 2.5), law="log", source="healthy small machines, 0.01-0.3 g"
    )
    colour: Values = parameter(
        0.4, "1", limits=(-2.0, 3.0), spread=(-0.4, 1.4), source="amplitude ~ f^-colour of airborne and flow noise"
    )
    corner_hz: Values = parameter(
        400.0,
        "Hz",
        limits=(10.0, 5000.0),
        spread=(120.0, 1500.0),
        law="log",
        source="below it broadband velocity is flat; above it the colour holds",
    )
    structure_share: Values = parameter(
        0.4, "1", limits=(0.0, 1.0), spread=(0.0, 0.8), source="share of power that rings in the structure's modes"
    )
    white_share: Values = parameter(
        0.1, "1", limits=(0.0, 1.0), spread=(0.01, 0.5), law="log", source="share of power that is flat"
    )
    ripple: Values = parameter(
        0.4, "1", limits=(0.0, 2.0), spread=(0.0, 0.7), source="log-amplitude of slow waves in the spectrum"
    )
    shaft_modulation: Values = parameter(
        0.05, "1", limits=(0.0, 0.9), spread=(0.0, 0.3), source="noise level following the shaft, driven machine"
    )
    knocks_per_s: Values = parameter(
        0.0, "1/s", limits=(0.0, 50.0), spread=(0.0, 0.6), source="single impacts from outside: valves, forklifts"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """Lines of a healthy machine at rated speed: velocities in mm/s RMS, accelerations in m/s^2 RMS."""

    imbalance_mm_s: Values = parameter(
        0.35,
        "mm/s",
        limits=(0.0, 5.0),
        spread=(0.06, 1.1),
        law="log",
        source="ISO 21940-11, G2.5-G6.3; ISO 20816 zone A",
    )
    misalignment_mm_s: Values = parameter(
        0.15, "mm/s", limits=(0.0, 5.0), spread=(0.02, 0.5), law="log", source="ISO 20816-1 zone A, second order"
    )
    third_mm_s: Values = parameter(0.05, "mm/s", limits=(0.0, 5.0), spread=(0.01, 0.2), law="log", source="as second")
    electrical_mm_s: Values = parameter(
        0.12, "mm/s", limits=(0.0, 5.0), spread=(0.01, 0.5), law="log", source="twice line frequency, IEC 60034-14"
    )
    slot_m_s2: Values = parameter(
        0.15, "m/s^2", limits=(0.0, 20.0), spread=(0.005, 0.8), law="log", source="rotor slot passing and side bands"
    )
    rotor_bars: Values = parameter(
        28.0, "1", limits=(10.0, 120.0), spread=(18.0, 58.0), source="rotor bars of small cage motors"
    )
    blade_m_s2: Values = parameter(
        0.08,
        "m/s^2",
        limits=(0.0, 20.0),
        spread=(0.002, 0.6),
        law="log",
        source="vane passing of fan and driven machine",
    )
    blades: Values = parameter(6.0, "1", limits=(2.0, 40.0), spread=(3.0, 12.0), source="vanes of fan or impeller")
    tone_m_s2: Values = parameter(
        0.03, "m/s^2", limits=(0.0, 20.0), spread=(0.001, 0.4), law="log", source="drive switching, neighbours"
    )
    tone_share: Values = parameter(
        0.5, "1", limits=(0.01, 0.99), spread=(0.05, 0.95), source="frequency of that tone over half the sampling rate"
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class Lines:
    """Steady tones of a batch: frequency in Hz and peak acceleration in m/s^2, both ``(b, k)``."""

    freq_hz: NDArray[np.float64]
    peak_m_s2: NDArray[np.float64]

    @classmethod
    def from_velocity(cls, freq_hz: NDArray[np.float64], rms_mm_s: NDArray[np.float64]) -> Lines:
        """Tones given by their velocity in mm/s RMS."""
        return cls(freq_hz, rms_mm_s * 1e-3 * np.sqrt(2.0) * TWO_PI * freq_hz)


def residual_lines(
    residue: Residue, shaft_hz: Values, line_hz: Values, fs_hz: Values, speed_ratio: Values, load: Values
) -> Lines:
    """Lines of the machine without a fault, ``(b, 12)``; rotor forces grow with the square of speed."""
    turns = speed_ratio**2
    velocity = [
        (shaft_hz, residue.imbalance_mm_s * turns),
        (2.0 * shaft_hz, residue.misalignment_mm_s * turns),
        (3.0 * shaft_hz, residue.third_mm_s * turns),
        (4.0 * shaft_hz, residue.third_mm_s * turns * 0.4),
        (2.0 * line_hz, residue.electrical_mm_s * (0.6 + 0.4 * load)),
    ]
    slot_hz = np.rint(residue.rotor_bars) * shaft_hz
    blade_hz = np.rint(residue.blades) * shaft_hz
    acceleration = [
        (slot_hz - 2.0 * line_hz, residue.slot_m_s2 * 0.6),
        (slot_hz, residue.slot_m_s2 * (0.4 + 0.6 * load)),
        (slot_hz + 2.0 * line_hz, residue.slot_m_s2 * 0.5),
        (2.0 * slot_hz, residue.slot_m_s2 * 0.3),
        (blade_hz, residue.blade_m_s2 * turns),
        (2.0 * blade_hz, residue.blade_m_s2 * turns * 0.3),
        (residue.tone_share * 0.5 * fs_hz, residue.tone_m_s2),
    ]
    moving = Lines.from_velocity(*(np.stack(column, axis=1) for column in zip(*velocity, strict=True)))
    shaking = [np.stack(column, axis=1) for column in zip(*acceleration, strict=True)]
    return Lines(np.hstack([moving.freq_hz, shaking[0]]), np.hstack([moving.peak_m_s2, np.sqrt(2.0) * shaking[1]]))


def tones(lines: Lines, fs_hz: Values, samples: int, start_turns: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sum of the lines, float32 ``(b, samples)``; what lies above half the rate is left out.

    ``start_turns`` ``(b, k)`` are the phases of the first sample, in turns.
    """
    turns = lines.freq_hz / fs_hz[:, None]
    height = np.where(turns < 0.5, lines.peak_m_s2, 0.0).astype(np.float32)
    blocks = -(-samples // BLOCK)
    along = np.arange(0.0, blocks * BLOCK, BLOCK)[None, :, None] * turns[:, None, :]
    coarse = _angle(along + start_turns[:, None, :])
    fine = _angle(turns[:, :, None] * np.arange(float(BLOCK)))
    left = np.concatenate([np.cos(coarse), -np.sin(coarse)], axis=2)
    left *= np.concatenate([height, height], axis=1)[:, None, :]
    right = np.concatenate([np.cos(fine), np.sin(fine)], axis=1)
    summed: NDArray[np.float32] = (left @ right).reshape(len(turns), blocks * BLOCK)
    return summed[:, :samples]


def _angle(turns: NDArray[np.float64]) -> NDArray[np.float32]:
    """Angles in rad from turns, reduced to half a turn in double precision, so that single precision suffices after."""
    angle: NDArray[np.float32] = np.multiply(turns - np.rint(turns), TWO_PI, dtype=np.float32, casting="same_kind")
    return angle
