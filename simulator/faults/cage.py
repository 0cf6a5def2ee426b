"""Broken cage: rubbing once a turn of the cage (FTF), in bursts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.bearing import Strikes, train
from simulator.faults.spall import Spall
from simulator.parameter import Values, parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.faults.effect import Running

IMPACTS = 12
"""Impacts in one rubbing burst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage(Spall):
    """The broken pocket rubs while it passes the load zone: bursts of rough impacts at FTF, and more slip."""

    fault: ClassVar[Fault] = Fault.CAGE
    summary: ClassVar[str] = "rubbing bursts at FTF (0.35-0.45 x shaft speed)"

    burst_share: Values = parameter(
        0.2, "1", limits=(0.01, 0.6), spread=(0.06, 0.3), source="share of the cage's turn spent rubbing"
    )

    def strikes(
        self, rows: NDArray[np.intp], severity: Values, running: Running, rng: np.random.Generator
    ) -> Strikes | None:
        """Bursts of the broken pocket."""
        rate_hz = running.orders[:, 0] * running.shaft_hz
        times, inside = train(rng, rate_hz, running.contact, running.duration_s)
        at, which = np.nonzero(inside)
        scatter = np.exp(running.contact.height_scatter[at] * rng.standard_normal(at.size))
        peak = self.peak_m_s2(severity, running)[at] * scatter
        length_s = (self.burst_share / rate_hz)[at]
        share = rng.random((IMPACTS, at.size))
        size = rng.standard_normal((IMPACTS, at.size)) * np.sin(np.pi * share) * 0.6
        return Strikes(np.tile(rows[at], IMPACTS), (times[at, which] + share * length_s).ravel(), (peak * size).ravel())
