"""Cooling failure: a blocked or broken fan takes less heat away from the housing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from service.contract.faults import Fault
from simulator.faults.effect import Effect, Strain
from simulator.parameter import Values, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooling(Effect):
    """Conductance from housing to ambient falls; temperatures rise at unchanged current."""

    fault: ClassVar[Fault] = Fault.COOLING
    summary: ClassVar[str] = "housing loses its cooling, temperatures rise at unchanged load"

    lost_share: Values = parameter(
        0.66,
        "1",
        limits=(0.05, 0.95),
        spread=(0.58, 0.74),
        source="cooling lost at failure; without its fan a TEFC motor keeps about a third (IC 411 against IC 410)",
    )

    def strain(self, severity: Values, strain: Strain) -> Strain:
        """Less cooling."""
        return strain._replace(cooling=strain.cooling * (1.0 - self.lost_share * severity))
