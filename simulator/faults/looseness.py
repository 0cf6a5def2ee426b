"""Mechanical looseness: the motion is truncated once a turn, which makes harmonics, half orders and knocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from service.contract.faults import Fault
from simulator.bearing import Strikes, train
from simulator.faults.effect import Effect, Running
from simulator.parameter import Values, parameter
from simulator.vibration import Lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

HARMONICS = 10
HALF_ORDERS = np.array([0.5, 1.5, 2.5, 3.5])


@dataclass(frozen=True, slots=True, kw_only=True)
class Looseness(Effect):
    """A slowly falling row of harmonics, half orders once it rattles, and one knock a turn."""

    fault: ClassVar[Fault] = Fault.LOOSENESS
    summary: ClassVar[str] = "many harmonics of shaft speed, half orders, one knock a turn"

    failure_zones: Values = parameter(
        1.0, "1", limits=(0.2, 10.0), spread=(0.7, 1.4), source="velocity at 1 x at failure over the C/D limit"
    )
    decay: Values = parameter(
        0.8, "1", limits=(0.0, 3.0), spread=(0.4, 1.2), source="velocity of harmonic k ~ k^-decay, truncated sine"
    )
    half_share: Values = parameter(
        0.3,
        "1",
        limits=(0.0, 2.0),
        spread=(0.0, 0.7),
        source="half orders over the neighbouring harmonic when rattling",
    )
    knock_ratio: Values = parameter(
        8.0, "1", limits=(0.0, 200.0), spread=(2.0, 16.0), law="log", source="peak of a knock over noise RMS at failure"
    )
    noise_growth: Values = parameter(
        0.5, "1", limits=(0.0, 5.0), spread=(0.1, 1.0), source="growth of the broadband noise at failure"
    )

    def noise_gain(self, severity: Values) -> Values:
        """Chattering joints raise the noise."""
        return 1.0 + self.noise_growth * severity

    def lines(self, severity: Values, running: Running, rng: np.random.Generator) -> Lines | None:
        """Harmonics 1-10 with random unevenness, and half orders."""
        first = self.failure_zones * running.limit_mm_s * severity * running.speed_ratio
        orders = np.arange(1.0, HARMONICS + 1.0)
        uneven = np.exp(0.35 * rng.standard_normal((severity.size, HARMONICS)))
        whole = first[:, None] * orders ** -self.decay[:, None] * uneven
        half = (first * self.half_share * np.minimum(severity / 0.4, 1.0))[:, None] * (
            HALF_ORDERS + 0.5
        ) ** -self.decay[:, None]
        return Lines.from_velocity(
            running.shaft_hz[:, None] * np.concatenate([orders, HALF_ORDERS]), np.hstack([whole, half])
        )

    def strikes(
        self, rows: NDArray[np.intp], severity: Values, running: Running, rng: np.random.Generator
    ) -> Strikes | None:
        """One knock a turn, uneven in height."""
        times, inside = train(rng, running.shaft_hz, running.contact, running.duration_s)
        at, which = np.nonzero(inside)
        peak = running.noise_m_s2 * self.knock_ratio * severity
        return Strikes(rows[at], times[at, which], peak[at] * rng.lognormal(0.0, 0.4, at.size))
