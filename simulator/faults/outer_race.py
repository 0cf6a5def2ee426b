"""Outer race spall: strikes at BPFO, as hard as its place in the load zone makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.bearing import Strikes, by_element, spalled, train
from simulator.faults.spall import Spall
from simulator.parameter import Values, parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.faults.effect import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class OuterRace(Spall):
    """The defect stands still: BPFO with little modulation, the more the farther it sits from the load line."""

    fault: ClassVar[Fault] = Fault.OUTER_RACE
    summary: ClassVar[str] = "impacts at BPFO, steady; weaker outside the load zone"

    position: Values = parameter(
        1.0,
        "1",
        limits=(0.05, 1.0),
        spread=(0.55, 1.0),
        source="strike height by place, 1 in the load line (6 o'clock)",
    )
    rotor_modulation: Values = parameter(
        0.1, "1", limits=(0.0, 0.9), spread=(0.0, 0.5), source="the rotor's imbalance turns the load once a revolution"
    )

    def strikes(
        self, rows: NDArray[np.intp], severity: Values, running: Running, rng: np.random.Generator
    ) -> Strikes | None:
        """Impacts of the spall on the outer ring."""
        rate_hz = running.orders[:, 2] * running.shaft_hz
        times, inside = train(rng, rate_hz, running.contact, running.duration_s)
        times, uneven = by_element(rng, times, rate_hz, running.orders, running.contact)
        angle = 2.0 * np.pi * (running.shaft_hz[:, None] * times + rng.random((rows.size, 1)))
        turning = 1.0 + self.rotor_modulation[:, None] * np.cos(angle)
        height = (self.peak_m_s2(severity, running) * self.position)[:, None] * turning * uneven
        return spalled(rng, rows, times, inside, height, rate_hz, severity, running.contact)
