"""Imbalance: a force that turns with the shaft and grows with the square of speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.faults.effect import Effect, Running
from simulator.parameter import Values, parameter
from simulator.vibration import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Imbalance(Effect):
    """One line at 1 x, a trace at 2 x from the uneven stiffness of the supports."""

    fault: ClassVar[Fault] = Fault.IMBALANCE
    summary: ClassVar[str] = "velocity at 1 x shaft speed, grows with speed squared"

    failure_zones: Values = parameter(
        1.8, "1", limits=(0.2, 10.0), spread=(1.4, 2.4), source="velocity at failure over the C/D limit of ISO 20816-1"
    )
    second_share: Values = parameter(
        0.05, "1", limits=(0.0, 1.0), spread=(0.0, 0.12), source="2 x over 1 x from uneven supports"
    )

    def lines(self, severity: Values, running: Running, rng: np.random.Generator) -> Lines | None:  # noqa: ARG002
        """Tones at 1 x and 2 x."""
        rms_mm_s = self.failure_zones * running.limit_mm_s * severity * running.speed_ratio**2
        orders = np.array([1.0, 2.0])
        return Lines.from_velocity(
            running.shaft_hz[:, None] * orders, np.stack([rms_mm_s, rms_mm_s * self.second_share], axis=1)
        )
