"""A scenario in motion: births, then tick by tick what every motor reports and what is true. No I/O, no clock.

All motors of a fleet are one batch of the twin's physics, so a tick costs one pass whatever their number. Every tick
draws from a stream of its own, hence a run is the same bytes each time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from service.contract.faults import Fault
from service.contract.messages import Birth, Reading, Sensor, Truth
from service.contract.signals import OPERATING, SIGNALS
from simulator import duty, twin
from simulator.degradation import course
from simulator.driven import vibration as driven_vibration
from simulator.impairment import Impaired, Journey, Transit
from simulator.parameter import OutOfRangeError, take
from simulator.population import built
from simulator.scenario import Mounting
from simulator.sweep import sweep
from simulator.unsteady import Course, standing, unsymmetrical

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from simulator.scenario import MotorPlan, Scenario
    from simulator.unsteady import Window

FAULTS = tuple(Fault)


@dataclass(frozen=True, slots=True)
class Tick:
    """One moment of the fleet: a reading and its truth per motor; a lost reading is None, its truth is not.

    ``others`` arrive after all of these: readings that had to wait, and duplicates. ``bearing_c`` at the drive end is
    true, and told by no sensor.
    """

    ts_s: float
    readings: tuple[Reading | None, ...]
    truths: tuple[Truth, ...]
    others: tuple[Reading, ...] = ()
    bearing_c: tuple[float, ...] = ()


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
        machines = built(rng, ratings, bearings, fs_hz, [plan.nameplate for plan in plans])
        fixed = [plan.mounting or Mounting(hz=50_000.0) for plan in plans]
        self.machines = replace(
            machines,
            sensors=replace(
                machines.sensors,
                mounting_hz=np.array([0.0 if plan.mounting is None else plan.mounting.hz for plan in plans]),
                mounting_damping=np.array([part.damping for part in fixed]),
            ),
        )
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
        self._drive = np.repeat(np.array([p.drive for p in plans])[:, None], self._elapsed_s.size, axis=1)
        self._courses = {
            row: Course(plan.supply, plan.transient, self._elapsed_s, self._load[row], self._drive[row])
            for row, plan in enumerate(plans)
            if plan.supply or plan.transient
        }
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
        body = self.machines.body
        bearing_c = temperatures.housing_c + body.bearing_rise_k * twin.rotor_heat(self.machines, self._state(0))
        for index in range(len(self)):
            rng = self._rng(1 + index)
            state = self._state(index)
            if index:
                before = temperatures
                temperatures = twin.warm(self.machines, before, state, self._ambient_c[:, index], self.step_s)
                course_c = before.housing_c, temperatures.housing_c
                heat = twin.rotor_heat(self.machines, state)
                bearing_c = self.machines.thermal.bearing_step(body, bearing_c, self.step_s, course_c, heat)
            true = twin.operating(state, temperatures, self._ambient_c[:, index])
            for row, window in self._windows(index).items():
                self._told_meanwhile(true[row], window, row)
            told = self.machines.sensors.scalars(true, rng)
            accel = self._vibration(index, rng)
            tick = replace(self._tick(index, told, accel, rng), bearing_c=tuple(bearing_c.tolist()))
            yield self._arrived(tick, ways)

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
        return replace(tick, readings=tuple(readings), others=tuple(others))

    def _state(self, index: int) -> twin.State:
        state = twin.operate(self.machines, self.severity[:, index], self._load[:, index], self._drive[:, index])
        return self._supplied(state, index)[0]

    def _supplied(self, state: twin.State, index: int) -> tuple[twin.State, dict[int, float]]:
        """The state as supply and switch have it, and what shakes at twice the line frequency for it, mm/s, by row."""
        if not self._courses:
            return state, {}
        at_h = float(self._elapsed_s[index]) / 3600.0
        still = np.zeros(len(self.machines), dtype=np.bool_)
        shaken: dict[int, float] = {}
        for row, course_ in self._courses.items():
            supply = course_.supply(at_h)
            still[row] = course_.stands_still(at_h)
            if supply is not None and not still[row]:
                try:
                    state, shaken[row] = unsymmetrical(
                        self.machines, state, row, supply, float(self._drive[row, index])
                    )
                except OutOfRangeError:
                    # It stalls on this supply, and its protection trips.
                    still[row] = True
        return (standing(state, still) if still.any() else state), shaken

    def _windows(self, index: int) -> dict[int, Window]:
        """Readings that fall into a transient, by row."""
        at_h = float(self._elapsed_s[index]) / 3600.0
        sampling, found = self.scenario.sampling, {}
        for row, course_ in self._courses.items():
            hit = course_.transient(at_h, take(self.machines.circuit, row))
            if hit is not None:
                found[row] = hit[0].window(hit[1], sampling.fs_hz, sampling.samples)
        return found

    def _told_meanwhile(self, true: NDArray[np.float64], window: Window, row: int) -> None:
        """What the slow sensors see of a transient, in place."""
        rated_n_m = float(self.machines.rating.torque_n_m[row])
        true[OPERATING.index("speed_rpm")] = window.speed_rpm.mean()
        true[OPERATING.index("current_a")] = np.sqrt(np.mean(window.current_a**2))
        true[OPERATING.index("load")] = max(float(window.torque_n_m.mean()) / rated_n_m, 0.0)

    def _vibration(self, index: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """What the accelerometers report, ``(motors, axes, samples)``."""
        severity = self.severity[self._owner, index]
        turning = twin.operate(self._seen, severity, self._load[self._owner, index], self._drive[self._owner, index])
        accel = twin.vibrate(self._seen, self._path, severity, turning, rng, axial=self._axial)
        state = turning
        if self._courses:
            state = self._unsteady(accel, turning, severity, index)
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

    def _unsteady(
        self, accel: NDArray[np.float32], turning: twin.State, severity: NDArray[np.float64], index: int
    ) -> twin.State:
        """Puts supply, standstill and transients into the windows, in place; the state as driven machines meet it."""
        own = twin.operate(self.machines, self.severity[:, index], self._load[:, index], self._drive[:, index])
        own, shaken = self._supplied(own, index)
        windows = self._windows(index)
        t_s = np.arange(accel.shape[1]) / self.scenario.sampling.fs_hz
        for row in self._courses:
            for place in np.flatnonzero(self._owner == row):
                rng = self._rng(index * len(self._owner) + int(place), 6)
                if row in windows:
                    accel[place] = sweep(
                        take(self._seen, [place]), self._path, severity[[place]], take(turning, [place]), windows[row],
                        rng, place=int(place), axial=self._axial[[place]], critical=self.scenario.motor[row].critical,
                    )  # fmt: skip
                elif own.operation.speed_rpm[row] == 0.0:
                    accel[place] = 0.0
                elif row in shaken:
                    pull_hz = 2.0 * float(self.machines.rating.supply_hz[row] * self._drive[row, index])
                    peak = shaken[row] * 1e-3 * np.sqrt(2.0) * 2.0 * np.pi * pull_hz
                    accel[place] += (peak * np.cos(2.0 * np.pi * (pull_hz * t_s + rng.random()))).astype(np.float32)
        return take(own, self._owner)

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
