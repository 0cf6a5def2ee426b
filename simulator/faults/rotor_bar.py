"""Broken rotor bars: the cage pulls unevenly, once in every pass of a pole over the gap.

The rotor's field slips past the broken bars at the slip frequency, so force and torque swell at twice that, the pole
pass frequency F_p = 2 s f: side bands at F_p around the shaft speed and its harmonics, and around the line frequency in
the current (Thomson and Fenger, IEEE Ind. Appl. Mag. 7 (2001) 26-34; ISO 20958). Windows shorter than 1 / F_p (about
0.3 s at rated slip) do not resolve them. Current crowds into the bars beside the gap: the cage's resistance rises, so
slip and rotor loss do at the same load, and the slot lines with their side bands at twice the line frequency grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.faults.effect import Effect, Running, Strain
from simulator.parameter import Values, parameter
from simulator.vibration import Lines

HARMONICS = np.arange(1.0, 4.0)
PASSES = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class RotorBar(Effect):
    """Pole pass side bands around 1 x to 3 x, slot lines with side bands at twice the line frequency, more slip."""

    fault: ClassVar[Fault] = Fault.ROTOR_BAR
    summary: ClassVar[str] = "side bands at pole pass (2 s f) around 1 x and its harmonics; more slip at the same load"

    broken_share: Values = parameter(
        0.2,
        "1",
        limits=(0.0, 0.6),
        spread=(0.12, 0.28),
        source="bars broken at failure over all; N bars in parallel of which N - n are left raise the resistance",
    )
    failure_zones: Values = parameter(
        0.9, "1", limits=(0.0, 10.0), spread=(0.6, 1.3), source="velocity at 1 x at failure over the C/D limit"
    )
    decay: Values = parameter(
        1.0, "1", limits=(0.0, 4.0), spread=(0.6, 1.6), source="velocity of harmonic k ~ k^-decay; ISO 20958 annexes"
    )
    side_share: Values = parameter(
        0.45, "1", limits=(0.0, 1.0), spread=(0.3, 0.7), source="first pole pass side band over its harmonic"
    )
    slot_ratio: Values = parameter(
        2.0, "1", limits=(0.0, 50.0), spread=(0.8, 4.0), law="log", source="slot lines over noise RMS at failure"
    )

    def strain(self, severity: Values, strain: Strain) -> Strain:
        """The cage's resistance over its own."""
        return strain._replace(rotor=strain.rotor / (1.0 - self.broken_share * severity))

    def lines(self, severity: Values, running: Running, rng: np.random.Generator) -> Lines | None:  # noqa: ARG002
        """Harmonics with two pole pass side bands on each side, which follow the rotor's current, and slot lines."""
        pass_hz = 2.0 * running.slip * running.line_hz
        size = self.failure_zones * running.limit_mm_s * severity * (0.15 + 0.85 * running.load)
        first = self.side_share
        heights = np.stack([0.3 * first, first, np.ones_like(first), first, 0.3 * first], axis=1)
        centre_hz = running.shaft_hz[:, None] * HARMONICS
        freq_hz = centre_hz[:, :, None] + PASSES * pass_hz[:, None, None]
        rms_mm_s = (size[:, None] * HARMONICS ** -self.decay[:, None])[:, :, None] * heights[:, None, :]
        # At the synchronous speed's neighbours nothing may turn backwards.
        flat = (len(severity), HARMONICS.size * PASSES.size)
        bands = Lines.from_velocity(np.maximum(freq_hz, 0.0).reshape(flat), rms_mm_s.reshape(flat))
        slot_hz = running.bars * running.shaft_hz
        slots_hz = np.stack([slot_hz - 2.0 * running.line_hz, slot_hz, slot_hz + 2.0 * running.line_hz], axis=1)
        peak = running.noise_m_s2 * self.slot_ratio * severity * running.load
        slots = peak[:, None] * np.array([0.8, 1.0, 0.7])
        return Lines(np.hstack([bands.freq_hz, slots_hz]), np.hstack([bands.peak_m_s2, slots]))
