"""Inner race spall: strikes at BPFI, carried through the load zone once a turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.bearing import Strikes, by_element, load_zone, spalled, train
from simulator.faults.spall import Spall

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.faults.effect import Running
    from simulator.parameter import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerRace(Spall):
    """The defect turns with the shaft: BPFI with side bands at the shaft speed."""

    fault: ClassVar[Fault] = Fault.INNER_RACE
    summary: ClassVar[str] = "impacts at BPFI, modulated once a turn by the load zone"

    def strikes(
        self, rows: NDArray[np.intp], severity: Values, running: Running, rng: np.random.Generator
    ) -> Strikes | None:
        """Impacts of the spall on the inner ring."""
        rate_hz = running.orders[:, 3] * running.shaft_hz
        times, inside = train(rng, rate_hz, running.contact, running.duration_s)
        times, uneven = by_element(rng, times, rate_hz, running.orders, running.contact)
        angle = 2.0 * np.pi * (running.shaft_hz[:, None] * times + rng.random((rows.size, 1)))
        height = self.peak_m_s2(severity, running)[:, None] * load_zone(angle, running.contact) * uneven
        return spalled(rng, rows, times, inside, height, rate_hz, severity, running.contact)
