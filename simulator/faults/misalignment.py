"""Misalignment of the coupling: the shaft is bent to and fro twice a turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.faults.effect import Effect, Running
from simulator.parameter import Values, parameter
from simulator.vibration import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Misalignment(Effect):
    """2 x leads, 1 x, 3 x and 4 x follow; it hardly depends on speed and follows the torque."""

    fault: ClassVar[Fault] = Fault.MISALIGNMENT
    summary: ClassVar[str] = "velocity at 2 x shaft speed with 1 x, 3 x and 4 x"
    axial: ClassVar[float] = 1.5

    failure_zones: Values = parameter(
        1.5, "1", limits=(0.2, 10.0), spread=(1.1, 2.0), source="velocity at failure over the C/D limit of ISO 20816-1"
    )
    first_share: Values = parameter(
        0.4, "1", limits=(0.0, 3.0), spread=(0.15, 0.7), source="1 x over 2 x, parallel offset"
    )
    third_share: Values = parameter(
        0.3, "1", limits=(0.0, 3.0), spread=(0.1, 0.6), source="3 x over 2 x, jaw couplings"
    )
    fourth_share: Values = parameter(0.12, "1", limits=(0.0, 3.0), spread=(0.02, 0.3), source="4 x over 2 x")

    def lines(self, severity: Values, running: Running, rng: np.random.Generator) -> Lines | None:  # noqa: ARG002
        """Tones at 1 x to 4 x."""
        second = self.failure_zones * running.limit_mm_s * severity * (0.7 + 0.3 * running.load)
        rms_mm_s = np.stack(
            [second * self.first_share, second, second * self.third_share, second * self.fourth_share], axis=1
        )
        return Lines.from_velocity(running.shaft_hz[:, None] * np.arange(1.0, 5.0), rms_mm_s)
