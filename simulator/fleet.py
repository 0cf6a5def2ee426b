"""A scenario in motion: births, then tick by tick what every motor reports and what is true. No I/O, no clock.

All motors of a fleet are one batch of the twin's physics, so a tick costs one pass whatever their number. Every tick
draws from a stream of its own, hence a run is the same bytes each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from service.contract.faults import Fault
from service.contract.messages import Birth, Reading, Sensor, Truth
from service.contract.signals import OPERATING, SIGNALS
from simulator import duty, twin
from simulator.degradation import course
from simulator.driven import vibration as driven_vibration
from simulator.impairment import Impaired, Journey, Transit
from simulator.parameter import take
from simulator.population import built

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.population import Machines
    from simulator.scenario import MotorPlan, Scenario

FAULTS = tuple(Fault)


@dataclass(frozen=True, slots=True)
class Tick:
    """One moment of the fleet: a reading and its truth per motor; a lost reading is None, its truth is not.

    ``others`` arrive after all of these: readings that had to wait, and duplicates.
    """

    ts_s: float
    readings: tuple[Reading | None, ...]
    truths: tuple[Truth, ...]
    others: tuple[Reading, ...] = ()


class Fleet:
    """The motors of a scenario.

    Args:
        scenario: what happens.
        boot: boot id of all sensors; a new one for every start that shares a broker with earlier ones.
        start_ts_s: time of the first reading; default the scenario's.
    """

    def __init__(self, scenario: Scenario, *, boot: str = "twin", start_ts_s: float | None = None) -> None:
        self.scenario = scenario
        self.boot = boot
        self.start_ts_s = scenario.start.timestamp() if start_ts_s is None else start_ts_s
        self.step_s = scenario.step_h * 3600.0
        plans, count = scenario.motor, len(scenario.motor)
        rng = self._rng(0)
        ratings, bearings = [plan.plate() for plan in plans], [plan.geometry() for plan in plans]
        fs_hz = np.full(count, scenario.sampling.fs_hz)
        self.machines: Machines = built(rng, ratings, bearings, fs_hz, [plan.nameplate for plan in plans])
        # Each axis has a path of its own from the same machine to its sensor.
        axes = len(scenario.sampling.axes)
        self._owner = np.repeat(np.arange(count), axes)
        self._seen = take(self.machines, self._owner).along_other_axes(rng, axes)
        self._axial = np.tile([axis == "z" for axis in scenario.sampling.axes], count)
        self._path = twin.path(self._seen, scenario.sampling.samples)
        self._elapsed_s = np.arange(0.0, scenario.duration_h * 3600.0 + 0.5 * self.step_s, self.step_s)
        self._load = np.stack(
            [duty.load(p.load.profile, p.load.level, p.load.low, self._elapsed_s, rng) for p in plans]
        )
        self._ambient_c = duty.ambient_c(
            np.array([p.ambient_c for p in plans]),
            np.array([p.ambient_swing_k for p in plans]),
            self._elapsed_s,
            rng,
            count,
        )
        self._drive = np.array([p.drive for p in plans])
        self.severity = self._severities(plans, rng)
        self._missing = np.array([[name in plan.missing for name in OPERATING] for plan in plans])

    def __len__(self) -> int:
        """Number of ticks."""
        return self._elapsed_s.size

    def births(self, *, interval_s: float, clock: Literal["wall", "simulated"]) -> tuple[Birth, ...]:
        """What every motor says of itself; ``interval_s`` is the time between readings on the edge's own clock."""
        reach = float(self.machines.sensors.range_m_s2.max())
        return tuple(
            Birth(
                motor=plan.id,
                ts_s=self.start_ts_s,
                name=plan.name or plan.id,
                nameplate=self.machines.nameplate(row),
                bearing=plan.geometry(),
                sensors=(
                    *(
                        Sensor(signal=f"accel_m_s2.{axis}", unit="m/s^2", low=-reach, high=reach)
                        for axis in self.scenario.sampling.axes
                    ),
                    *(
                        Sensor(signal=signal.name, unit=signal.unit, low=signal.low, high=signal.high)
                        for signal in SIGNALS
                        if signal.name not in plan.missing
                    ),
                ),
                interval_s=interval_s,
                clock=clock,
            )
            for row, plan in enumerate(self.scenario.motor)
        )

    def ticks(self) -> Iterator[Tick]:
        """Every moment of the scenario in order."""
        temperatures = twin.steady(self.machines, self._state(0), self._ambient_c[:, 0])
        ways = self._ways()
        for index in range(len(self)):
            rng = self._rng(1 + index)
            state = self._state(index)
            if index:
                temperatures = twin.warm(self.machines, temperatures, state, self._ambient_c[:, index], self.step_s)
            true = twin.operating(state, temperatures, self._ambient_c[:, index])
            told = self.machines.sensors.scalars(true, rng)
            accel = self._vibration(index, rng)
            yield self._arrived(self._tick(index, told, accel, rng), ways)

    def _rng(self, stream: int, kind: int = 2) -> np.random.Generator:
        key = np.random.SeedSequence(self.scenario.seed, spawn_key=(kind, stream))
        return np.random.Generator(np.random.SFC64(key))

    def _ways(self) -> dict[int, tuple[Impaired, Journey]]:
        """Failing sensors and troubled ways, by row; a motor without either is left alone."""
        return {
            row: (Impaired(plan.sensor_fault, self._rng(row, 3)), Journey(plan.transit or Transit(), self._rng(row, 4)))
            for row, plan in enumerate(self.scenario.motor)
            if plan.sensor_fault or plan.transit is not None
        }

    def _arrived(self, tick: Tick, ways: dict[int, tuple[Impaired, Journey]]) -> Tick:
        """What arrives of a tick."""
        if not ways:
            return tick
        at_h = (tick.ts_s - self.start_ts_s) / 3600.0
        readings, others = list(tick.readings), []
        for row, (sensors, journey) in ways.items():
            reading = readings[row]
            first, *more = journey(None if reading is None else sensors(reading, at_h), at_h) or (None,)
            readings[row] = first
            others += [late for late in more if late is not None]
        return Tick(tick.ts_s, tuple(readings), tick.truths, tuple(others))

    def _state(self, index: int) -> twin.State:
        return twin.operate(self.machines, self.severity[:, index], self._load[:, index], self._drive)

    def _vibration(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """What the accelerometers report, ``(motors, axes, samples)``."""
        severity = self.severity[self._owner, index]
        state = twin.operate(self._seen, severity, self._load[self._owner, index], self._drive[self._owner])
        accel = twin.vibrate(self._seen, self._path, severity, state, rng, axial=self._axial)
        for row, owner in enumerate(self._owner):
            driven = self.scenario.motor[owner].driven
            if driven is not None:
                shaft_hz, load = float(state.operation.speed_rpm[row]) / 60.0, float(state.load[row])
                own = self._rng(index * len(self._owner) + row, 5)
                accel[row] += driven_vibration(
                    driven, shaft_hz, load, self.scenario.sampling.fs_hz, accel.shape[1], own
                )
        self._seen.sensors.acceleration(accel, rng)
        return accel.reshape(len(self.machines), -1, accel.shape[1])

    def _severities(self, plans: tuple[MotorPlan, ...], rng: np.random.Generator) -> NDArray[np.float64]:
        """Truth over the whole scenario, ``(motors, ticks, len(Fault))``."""
        severity = np.zeros((len(plans), self._elapsed_s.size, len(FAULTS)))
        hours = self._elapsed_s / 3600.0
        for row, plan in enumerate(plans):
            for fault in plan.fault:
                grown = course(
                    hours, fault.onset_h, fault.failure_h, fault.severity, fault.repair_h, law=fault.law, rng=rng
                )
                column = FAULTS.index(fault.kind)
                severity[row, :, column] = np.maximum(severity[row, :, column], grown)
        return severity

    def _tick(
        self, index: int, told: NDArray[np.float32], accel: NDArray[np.float32], rng: np.random.Generator
    ) -> Tick:
        ts_s = self.start_ts_s + float(self._elapsed_s[index])
        sampling = self.scenario.sampling
        lost = rng.random(len(self.machines))
        gap = rng.random(told.shape)
        readings: list[Reading | None] = []
        truths = []
        for row, plan in enumerate(self.scenario.motor):
            known = ~(self._missing[row] | (gap[row] < plan.gaps))
            reading = Reading(
                motor=plan.id,
                boot=self.boot,
                seq=index,
                ts_s=ts_s,
                fs_hz=sampling.fs_hz,
                accel_m_s2={axis: accel[row, place] for place, axis in enumerate(sampling.axes)},
                **{name: float(told[row, column]) for column, name in enumerate(OPERATING) if known[column]},
            )
            readings.append(None if lost[row] < plan.drop_out else reading)
            truths.append(self._truth(plan, index, ts_s, self.severity[row, index]))
        return Tick(ts_s, tuple(readings), tuple(truths))

    def _truth(self, plan: MotorPlan, index: int, ts_s: float, severity: NDArray[np.float64]) -> Truth:
        now_h = float(self._elapsed_s[index]) / 3600.0
        # A failure counts until it is repaired.
        ends = [
            f.failure_h
            for f in plan.fault
            if f.failure_h is not None and (f.repair_h is None or (now_h < f.repair_h and f.failure_h < f.repair_h))
        ]
        end_h = min(ends, default=None)
        return Truth(
            motor=plan.id,
            boot=self.boot,
            seq=index,
            ts_s=ts_s,
            faults={fault: float(s) for fault, s in zip(FAULTS, severity, strict=True) if s > 0.0},
            failed=bool((severity >= 1.0).any()),
            failure_ts_s=None if end_h is None else self.start_ts_s + end_h * 3600.0,
            rul_h=None if end_h is None else max(end_h - now_h, 0.0),
        )
