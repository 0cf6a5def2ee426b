"""One motor for a notebook: ``Motor(nameplate, bearing).run(...)`` gives arrays with names and units.

>>> from simulator import Motor
>>> run = Motor("7.5kW-4p-50Hz", "6208", seed=1).run(hours=100, step_h=1, faults={"outer_race": (20, 90)})
>>> run["housing_c"], run.velocity_mm_s[-1], run.zone[-1], run.severity["outer_race"][-1]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from service.contract.faults import Fault
from service.contract.messages import Nameplate
from service.contract.signals import OPERATING, SIGNALS
from simulator import iso20816, scenario
from simulator.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from service.contract.bearing import BearingGeometry
    from service.contract.messages import Birth

UNITS = {signal.name: signal.unit for signal in SIGNALS} | {
    "bearing_c": "degC",
    "ts_s": "s",
    "accel_m_s2": "m/s^2",
    "velocity_mm_s": "mm/s",
}


@dataclass(frozen=True, slots=True)
class Run:
    """What one motor did over ``T`` readings.

    ``ts_s`` (T,), Unix seconds; ``signals`` by name of ``OPERATING``, (T,) each, NaN where missing; ``accel_m_s2``
    float32 (T, samples) at ``fs_hz``; ``severity`` by fault, (T,) each; ``rul_h`` (T,), inf without failure;
    ``bearing_c`` (T,), which no sensor tells.
    ``run["housing_c"]`` is short for ``run.signals["housing_c"]``.
    """

    birth: Birth
    ts_s: NDArray[np.float64]
    signals: dict[str, NDArray[np.float64]]
    fs_hz: float
    accel_m_s2: NDArray[np.float32]
    severity: dict[Fault, NDArray[np.float64]]
    rul_h: NDArray[np.float64]
    bearing_c: NDArray[np.float64]

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self.signals[name]

    @property
    def units(self) -> dict[str, str]:
        """Unit by name."""
        return UNITS

    @property
    def velocity_mm_s(self) -> NDArray[np.float64]:
        """Velocity RMS of each reading over 10-1000 Hz, (T,)."""
        return np.array([iso20816.velocity_rms_mm_s(window, self.fs_hz) for window in self.accel_m_s2])

    @property
    def zone(self) -> list[iso20816.Zone | None]:
        """ISO 20816 zone of each reading, None without vibration."""
        power_w = self.birth.nameplate.rated_power_w
        return [None if np.isnan(v) else iso20816.zone(float(v), power_w) for v in self.velocity_mm_s]


class Motor:
    """A motor with a bearing.

    Args:
        nameplate: a rating like "7.5kW-4p-50Hz", a contract nameplate, or a data sheet as a scenario has it.
        bearing: a designation of the catalogue, a geometry, or None for what such a motor usually has.
        seed: makes this very machine: its structure, noise, residual imbalance, sensors.

    Raises:
        simulator.scenario.ScenarioError: impossible plate or bearing; one line.
    """

    def __init__(
        self,
        nameplate: str | Nameplate | Mapping[str, float] = "1.5kW-4p-50Hz",
        bearing: str | BearingGeometry | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.seed = seed
        key = {str: "rating", Nameplate: "nameplate"}.get(type(nameplate), "data_sheet")
        plate = {key: nameplate}
        self._plan: dict[str, Any] = {"id": "motor", "bearing": bearing, **plate}
        self._scenario(hours=1.0, step_h=1.0)

    def run(
        self,
        *,
        hours: float,
        step_h: float,
        load: float | Mapping[str, Any] = 0.75,
        faults: Mapping[Fault | str, float | tuple[float, float]] | None = None,
        ambient_c: float = 22.0,
        fs_hz: float = 12_800.0,
        samples: int = 4096,
        **plan: Any,
    ) -> Run:
        """Runs it.

        Args:
            hours: how long.
            step_h: time between readings.
            load: fraction of rated torque, or a scenario's load table like ``{"profile": "shift", "level": 0.8}``.
            faults: by fault a fixed severity, or (onset_h, failure_h) between which it grows to 1.
            ambient_c: mean temperature of the cooling air.
            fs_hz: sampling rate.
            samples: per reading.
            plan: further keys of a scenario's motor: drive, supply, transient, critical, mounting, driven,
                sensor_fault. What does not arrive is NaN.

        Raises:
            simulator.scenario.ScenarioError: one line that names what is impossible.
        """
        fleet = Fleet(
            self._scenario(
                hours=hours,
                step_h=step_h,
                sampling={"fs_hz": fs_hz, "samples": samples},
                load={"level": load} if isinstance(load, int | float) else dict(load),
                ambient_c=ambient_c,
                fault=[_plan(kind, course) for kind, course in (faults or {}).items()],
                **plan,
            )
        )
        ticks = list(fleet.ticks())
        readings = [tick.readings[0] for tick in ticks]
        blank = np.full(samples, np.nan, dtype=np.float32)
        truths = [tick.truths[0] for tick in ticks]
        return Run(
            birth=fleet.births(interval_s=min(step_h * 3600.0, 86_400.0), clock="simulated")[0],
            ts_s=np.array([tick.ts_s for tick in ticks]),
            signals={
                name: np.array([getattr(reading, name, None) for reading in readings], dtype=np.float64)
                for name in OPERATING
            },
            fs_hz=fs_hz,
            accel_m_s2=np.stack([blank if r is None else r.accel_m_s2.get("x", blank) for r in readings]),
            severity={fault: np.array([truth.faults.get(fault, 0.0) for truth in truths]) for fault in Fault},
            bearing_c=np.array([tick.bearing_c[0] for tick in ticks]),
            rul_h=np.array([np.inf if truth.rul_h is None else truth.rul_h for truth in truths]),
        )

    def _scenario(
        self, *, hours: float, step_h: float, sampling: Mapping[str, Any] | None = None, **plan: Any
    ) -> scenario.Scenario:
        return scenario.parse(
            {
                "title": "one motor",
                "seed": self.seed,
                "duration_h": hours,
                "step_h": step_h,
                "sampling": sampling or {},
                "motor": [self._plan | plan],
            },
            where="Motor",
        )


def _plan(kind: Fault | str, course: float | tuple[float, float]) -> dict[str, Any]:
    if isinstance(course, tuple):
        onset_h, failure_h = course
        return {"kind": kind, "onset_h": onset_h, "failure_h": failure_h}
    return {"kind": kind, "severity": course}
