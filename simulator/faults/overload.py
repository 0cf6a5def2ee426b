"""Overload: the driven machine asks for more than rated torque."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.faults.effect import Effect, Running, Strain
from simulator.parameter import Values, parameter
from simulator.vibration import Lines

REACHED_AT = 0.1
"""Severity at which the load has risen from the duty's to rated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload(Effect):
    """Torque from rated at severity 0.1 upwards; current, slip and copper loss follow from the circuit."""

    fault: ClassVar[Fault] = Fault.OVERLOAD
    summary: ClassVar[str] = "torque beyond rated: current, slip and temperatures rise"

    excess: Values = parameter(
        0.42,
        "1",
        limits=(0.05, 1.0),
        spread=(0.35, 0.5),
        source="torque over rated at failure; IEC 60947-4-1 trip class",
    )
    electrical_mm_s: Values = parameter(
        0.6, "mm/s", limits=(0.0, 10.0), spread=(0.1, 1.0), source="growth of the twice line frequency at failure"
    )

    def strain(self, severity: Values, strain: Strain) -> Strain:
        """More torque; a drive already beyond it stays where it is."""
        target = np.maximum(1.0 + self.excess * severity, strain.load)
        share = np.minimum(severity / REACHED_AT, 1.0)
        return strain._replace(load=strain.load + (target - strain.load) * share)

    def lines(self, severity: Values, running: Running, rng: np.random.Generator) -> Lines | None:  # noqa: ARG002
        """The stronger field shakes the stator."""
        return Lines.from_velocity(2.0 * running.line_hz[:, None], (self.electrical_mm_s * severity)[:, None])
