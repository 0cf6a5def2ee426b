"""Rolling element defect: it meets both races in turn, 2 x BSF, carried through the load zone by the cage.

A damaged element dents what it rolls over, so race lines stand faintly beside its own: many of the rolling-element
recordings that Smith and Randall (MSSP 64-65 (2015) 100-131) went through show them, few the textbook's lines alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.bearing import Strikes, joined, load_zone, spalled, train
from simulator.faults.spall import Spall
from simulator.parameter import Values, parameter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.faults.effect import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Ball(Spall):
    """2 x BSF, every other strike on the other race, side bands at FTF; the spin axis wanders off the tracks."""

    fault: ClassVar[Fault] = Fault.BALL
    summary: ClassVar[str] = "impacts at 2 x BSF on both races in turn, modulated by the cage"

    wander: Values = parameter(
        0.3,
        "1",
        limits=(0.0, 1.0),
        spread=(0.0, 0.8),
        source="how far the defect leaves the tracks as the ball's axis tilts",
    )
    race_marks: Values = parameter(
        0.1,
        "1",
        limits=(0.0, 1.0),
        spread=(0.0, 0.2),
        source="strike of the dents that it leaves in both races over its own",
    )

    def strikes(
        self, rows: NDArray[np.intp], severity: Values, running: Running, rng: np.random.Generator
    ) -> Strikes | None:
        """Impacts of the defective rolling element."""
        rate_hz = 2.0 * running.orders[:, 1] * running.shaft_hz
        times, inside = train(rng, rate_hz, running.contact, running.duration_s)
        cage = 2.0 * np.pi * (running.orders[:, :1] * running.shaft_hz[:, None] * times + rng.random((rows.size, 1)))
        race = np.where(np.arange(times.shape[1]) % 2 == 0, 1.0, running.contact.race_ratio[:, None])
        # The axis drifts over some turns of the cage: a slow random gate.
        drift = (
            2.0
            * np.pi
            * (
                running.orders[:, :1] * running.shaft_hz[:, None] * times * rng.uniform(0.1, 0.6, (rows.size, 1))
                + rng.random((rows.size, 1))
            )
        )
        track = 1.0 - self.wander[:, None] * 0.5 * (1.0 - np.cos(drift))
        peak = self.peak_m_s2(severity, running)[:, None]
        height = peak * load_zone(cage, running.contact) * race * track
        own = spalled(rng, rows, times, inside, height, rate_hz, severity, running.contact)
        return joined(own, *self._marks(rows, peak * self.race_marks[:, None], severity, running, rng))

    @staticmethod
    def _marks(
        rows: NDArray[np.intp],
        peak: NDArray[np.float64],
        severity: Values,
        running: Running,
        rng: np.random.Generator,
    ) -> list[Strikes]:
        """Impacts on the dents of the outer and of the inner race, the latter carried through the load zone."""
        found = []
        for column, turns in ((2, False), (3, True)):
            rate_hz = running.orders[:, column] * running.shaft_hz
            times, inside = train(rng, rate_hz, running.contact, running.duration_s)
            angle = 2.0 * np.pi * (running.shaft_hz[:, None] * times + rng.random((rows.size, 1)))
            height = peak * (load_zone(angle, running.contact) if turns else np.ones_like(times))
            found.append(spalled(rng, rows, times, inside, height, rate_hz, severity, running.contact))
        return found
