"""Bent shaft: its bow turns with it, as a displacement that is there at any speed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.faults.effect import Effect, Running
from simulator.parameter import Values, parameter
from simulator.vibration import Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class BentShaft(Effect):
    """1 x from a bow at mid-span, 2 x from one near the coupling, both strong along the shaft.

    The bow is a given displacement, so velocity follows speed where that of imbalance follows its square (Nicholas,
    Gunter and Allaire, J. Eng. Power 98 (1976) 171-181, below the first critical speed).
    """

    fault: ClassVar[Fault] = Fault.BENT_SHAFT
    summary: ClassVar[str] = "1 x and 2 x, strong along the shaft; velocity follows speed, not its square"
    axial: ClassVar[float] = 1.4

    failure_zones: Values = parameter(
        1.5, "1", limits=(0.2, 10.0), spread=(1.1, 2.0), source="velocity at failure over the C/D limit of ISO 20816-1"
    )
    second_share: Values = parameter(
        0.45, "1", limits=(0.0, 3.0), spread=(0.2, 0.9), source="2 x over 1 x, by the bow's distance from the coupling"
    )
    third_share: Values = parameter(0.06, "1", limits=(0.0, 1.0), spread=(0.0, 0.12), source="3 x over 1 x")

    def lines(self, severity: Values, running: Running, rng: np.random.Generator) -> Lines | None:  # noqa: ARG002
        """Tones at 1 x to 3 x."""
        first = self.failure_zones * running.limit_mm_s * severity * running.speed_ratio
        rms_mm_s = np.stack([first, first * self.second_share, first * self.third_share], axis=1)
        return Lines.from_velocity(running.shaft_hz[:, None] * np.arange(1.0, 4.0), rms_mm_s)
