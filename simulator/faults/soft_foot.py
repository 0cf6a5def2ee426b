"""Soft foot: the frame is bolted down bent, the air gap is uneven and the magnetic pull shakes the stator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.faults.effect import Effect, Running
from simulator.parameter import Values, parameter
from simulator.vibration import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftFoot(Effect):
    """Twice the line frequency leads, whatever the load; 1 x and 2 x of the strained frame follow.

    Static eccentricity: the pull goes with the square of the flux in the gap, at 2 f (Dorrell and Smith, IEE Proc. B
    141 (1994) 193-201).
    """

    fault: ClassVar[Fault] = Fault.SOFT_FOOT
    summary: ClassVar[str] = "twice the line frequency from an uneven air gap, whatever the load; some 1 x and 2 x"

    failure_zones: Values = parameter(
        1.3, "1", limits=(0.2, 10.0), spread=(0.9, 1.8), source="velocity at failure over the C/D limit of ISO 20816-1"
    )
    first_share: Values = parameter(
        0.35, "1", limits=(0.0, 3.0), spread=(0.15, 0.6), source="1 x over twice the line frequency, stiffness differs"
    )
    second_share: Values = parameter(
        0.15, "1", limits=(0.0, 3.0), spread=(0.05, 0.3), source="2 x over twice the line frequency"
    )

    def lines(self, severity: Values, running: Running, rng: np.random.Generator) -> Lines | None:  # noqa: ARG002
        """Tones at twice and four times the line frequency, and at 1 x and 2 x."""
        pull = self.failure_zones * running.limit_mm_s * severity
        turns = pull * running.speed_ratio
        freq_hz = np.stack(
            [2.0 * running.line_hz, 4.0 * running.line_hz, running.shaft_hz, 2.0 * running.shaft_hz], axis=1
        )
        rms_mm_s = np.stack([pull, 0.1 * pull, turns * self.first_share, turns * self.second_share], axis=1)
        return Lines.from_velocity(freq_hz, rms_mm_s)
