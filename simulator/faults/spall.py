"""What the defects of races and rolling elements share: impact height against severity."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.faults.effect import Effect, Running
from simulator.parameter import Values, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Spall(Effect):
    """A local defect that is rolled over. Scalars or shape ``(n,)``."""

    peak_ratio: Values = parameter(
        36.0,
        "1",
        limits=(0.0, 1000.0),
        spread=(16.0, 70.0),
        law="log",
        source="peak of the housing's answer over healthy noise RMS at failure; run-to-failure tests end at 20-100",
    )
    growth: Values = parameter(
        1.3, "1", limits=(0.2, 4.0), spread=(1.1, 1.5), source="exponent of impact height over spall size"
    )
    load_share: Values = parameter(
        0.4, "1", limits=(0.0, 1.0), spread=(0.1, 0.6), source="share of the impact that follows the shaft load"
    )

    def peak_m_s2(self, severity: Values, running: Running) -> Values:
        """Height of a strike in the load zone, m/s^2; impact velocity follows speed."""
        load = 1.0 - self.load_share * (1.0 - running.load)
        return running.noise_m_s2 * self.peak_ratio * severity**self.growth * load * running.speed_ratio
