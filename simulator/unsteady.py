"""What a scenario may do to a motor's supply and speed: unbalance, a lost phase, stops and starts, load steps, ramps.

The physics is ``electrical``'s; here it is put on a scenario's clock. A reading whose window falls into a transient is
taken while the speed changes: orders sweep, a critical speed is crossed, the current is what rushes in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from simulator import electrical
from simulator.parameter import Values, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.circuit import Circuit
    from simulator.population import Machines
    from simulator.twin import State

Hours = Annotated[float, Field(ge=0.0, le=200_000.0)]

STILL_COOLING = 0.35
"""Cooling of a motor that stands still over that with its fan turning (IC 410 against IC 411)."""

SHAKE_MM_S = 6.0
"""Velocity at twice the line frequency for a torque ripple of rated torque: 2 % of unbalance make a fifth of a mm/s."""

COURSE_STEP_S, LONGEST_STEP_S = 4e-3, 1e-2
"""Step a second of inertia constant: well below what the slip needs to follow a torque."""

MODE_HZ = 1536.0
"""Rate at which a mode is followed through a run; rotor orders lie far below it."""

MEMORY = 5.0
"""Time constants of a mode before the run that it still remembers."""

LEAST_W = 1e-6
"""Loss of a winding without current: the thermal network divides by it."""

START_S = 6.0
"""A start is followed for this many inertia constants, and two seconds."""

SETTLE_S = 2.0
"""A load step or the end of a ramp has settled after this."""


class SupplyPlan(BaseModel):
    """The supply is not what it should be for a while; voltages of both sequences over rated."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    from_h: Hours = 0.0
    to_h: Annotated[Hours | None, Field(description="sound again from here on")] = None
    positive: Annotated[float, Field(ge=0.5, le=1.2, description="below 1 a sag")] = 1.0
    negative: Annotated[float, Field(ge=0.0, le=0.2, description="voltage unbalance; 0.02 is 2 %")] = 0.0
    lost_phase: bool = False

    @model_validator(mode="after")
    def _possible(self) -> SupplyPlan:
        if self.to_h is not None and self.to_h <= self.from_h:
            raise ValueError(f"to_h={self.to_h:g} must lie after from_h={self.from_h:g}")
        if (self.positive, self.negative, self.lost_phase) == (1.0, 0.0, False):
            raise ValueError("give positive (other than 1), negative (above 0) or lost_phase = true")
        return self

    @property
    def supply(self) -> electrical.Supply:
        """The voltages."""
        return electrical.Supply(self.positive, self.negative, self.lost_phase)


class TransientPlan(BaseModel):
    """The motor starts (and stood still before), its load steps, or its drive ramps."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["start", "load_step", "ramp"]
    at_h: Hours
    stop_h: Annotated[Hours, Field(description="start: stands still from here on")] = 0.0
    load: Annotated[float | None, Field(ge=0.0, le=1.5, description="load_step: from here on")] = None
    drive: Annotated[float | None, Field(ge=0.3, le=1.1, description="ramp: frequency over rated at its end")] = None
    seconds: Annotated[float, Field(gt=0.0, le=120.0, description="ramp: how long it takes")] = 5.0
    inertia_s: Annotated[
        float, Field(gt=0.0, le=30.0, description="energy at rated speed over rated power, load and rotor")
    ] = 0.5

    @model_validator(mode="after")
    def _possible(self) -> TransientPlan:
        for kind, name in (("load_step", "load"), ("ramp", "drive")):
            if (self.kind == kind) != (getattr(self, name) is not None):
                raise ValueError(f"{name} belongs to kind '{kind}', which needs it")
        if self.kind == "start" and self.stop_h >= self.at_h:
            raise ValueError(f"at_h={self.at_h:g} must lie after stop_h={self.stop_h:g}")
        return self

    @property
    def lasts_s(self) -> float:
        """How long it is followed before all counts as steady."""
        return {
            "start": START_S * self.inertia_s + SETTLE_S,
            "load_step": SETTLE_S,
            "ramp": self.seconds + SETTLE_S,
        }[self.kind]


class Critical(BaseModel):
    """A mode of rotor or support that a run-up crosses."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    hz: Annotated[float, Field(ge=1.0, le=1000.0)]
    damping: Annotated[float, Field(ge=0.002, le=0.5)] = 0.05

    def answer(self, f_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Displacement over static displacement; at standstill 1."""
        ratio = f_hz / self.hz
        return np.asarray(1.0 / (1.0 - ratio**2 + 2j * self.damping * ratio), dtype=np.complex128)


@dataclass(frozen=True, slots=True)
class Window:
    """One window within a transient, ``(n,)`` each: turns of the shaft and of the supply since its first sample."""

    transient: Transient
    t_s: NDArray[np.float64]
    turns: NDArray[np.float64]
    supply_turns: NDArray[np.float64]
    speed_rpm: NDArray[np.float64]
    current_a: NDArray[np.float64]
    torque_n_m: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Transient:
    """One transient of one motor as it runs."""

    plan: TransientPlan
    run: electrical.Course
    line_hz: NDArray[np.float64]
    _modes: dict[tuple[float, Critical], tuple[NDArray[np.float64], NDArray[np.complex128]]] = field(
        default_factory=dict, repr=False
    )

    @classmethod
    def of(
        cls,
        plan: TransientPlan,
        circuit: Circuit,
        supply: electrical.Supply,
        load: tuple[float, float],
        drive: tuple[float, float],
    ) -> Transient:
        """Runs it; ``load`` and ``drive`` are those before and after."""
        rated_n_m, omega = float(circuit.rated_torque_n_m), 2.0 * np.pi * float(circuit.supply_hz / circuit.pole_pairs)
        inertia = 2.0 * plan.inertia_s * rated_n_m * omega / omega**2
        full_rpm = omega * 60.0 / (2.0 * np.pi)

        def asked_n_m(_: float, speed_rpm: float) -> float:
            # Pumps and fans pull with the square of speed while they run up.
            law = (speed_rpm / full_rpm) ** 2 if plan.kind == "start" else 1.0
            return load[1] * rated_n_m * law

        def frequency(at_s: float) -> float:
            return drive[0] + (drive[1] - drive[0]) * min(at_s / plan.seconds, 1.0) if plan.kind == "ramp" else drive[1]

        before = 0.0
        if plan.kind != "start":
            before = float(circuit.operate(load[0], frequency=drive[0]).speed_rpm)
        run = electrical.course(
            circuit,
            inertia,
            asked_n_m,
            seconds=plan.lasts_s,
            step_s=min(COURSE_STEP_S * plan.inertia_s, LONGEST_STEP_S),
            speed_rpm=before,
            frequency=frequency,
            supply=supply,
        )
        line_hz = float(circuit.supply_hz) * np.array([frequency(float(t)) for t in run.t_s])
        return cls(plan, run, line_hz)

    def window(self, after_s: float, fs_hz: float, samples: int) -> Window:
        """``samples`` from ``after_s`` after its beginning."""
        t = after_s + np.arange(samples) / fs_hz
        speed, current, torque, line_hz = (
            np.interp(t, self.run.t_s, part)
            for part in (self.run.speed_rpm, self.run.current_a, self.run.torque_n_m, self.line_hz)
        )
        turns, supply = (np.cumsum(f) / fs_hz for f in (speed / 60.0, line_hz))
        return Window(self, t, turns - turns[0], supply - supply[0], speed, current, torque)

    def crossed(self, order: float, critical: Critical, t_s: NDArray[np.float64]) -> NDArray[np.complex128]:
        """What a mode makes of a force that turns with an order and grows with speed squared (1 at the run's end).

        The whole run passes through the mode, so it has no time to answer in full where the sweep is fast.
        """
        key = (order, critical)
        if key not in self._modes:
            self._modes[key] = self._moved(order, critical)
        at, moved = self._modes[key]
        return np.interp(t_s, at, moved.real) + 1j * np.interp(t_s, at, moved.imag)

    def _moved(self, order: float, critical: Critical) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
        early_s = min(MEMORY / (2.0 * np.pi * critical.hz * critical.damping), 20.0)
        at = np.arange(-early_s, self.run.t_s[-1] + 1.0, 1.0 / MODE_HZ)
        shaft_hz = np.interp(at, self.run.t_s, self.run.speed_rpm) / 60.0
        turns = np.cumsum(shaft_hz) / MODE_HZ
        force = (shaft_hz / max(float(shaft_hz[-1]), 1e-9)) ** 2 * np.exp(2j * np.pi * order * turns)
        length = 1 << (2 * at.size).bit_length()
        answer = critical.answer(np.asarray(np.fft.fftfreq(length, 1.0 / MODE_HZ), dtype=np.float64))
        moved: NDArray[np.complex128] = np.fft.ifft(np.fft.fft(force, length) * answer)[: at.size]
        return at, moved


class Course:
    """Supply, stops and transients of one motor.

    Args:
        supplies: as planned.
        transients: as planned.
        elapsed_s: times of the readings.
        load: duty at these times, ``(T,)``; changed in place by load steps.
        drive: drive frequency at these times, ``(T,)``; changed in place by ramps.
    """

    def __init__(
        self,
        supplies: tuple[SupplyPlan, ...],
        transients: tuple[TransientPlan, ...],
        elapsed_s: NDArray[np.float64],
        load: NDArray[np.float64],
        drive: NDArray[np.float64],
    ) -> None:
        self._supplies = supplies
        self._plans = sorted(transients, key=lambda plan: plan.at_h)
        self._levels: list[tuple[tuple[float, float], tuple[float, float]]] = []
        self._runs: dict[int, Transient] = {}
        hours = elapsed_s / 3600.0
        for plan in self._plans:
            at = int(np.searchsorted(hours, plan.at_h - 1e-9))
            first, last = max(at - 1, 0), min(at, hours.size - 1)
            before = float(load[first]), float(drive[first])
            if plan.load is not None:
                load[at:] = plan.load
            if plan.drive is not None:
                drive[at:] = plan.drive
            self._levels.append(((before[0], float(load[last])), (before[1], float(drive[last]))))

    def supply(self, at_h: float) -> electrical.Supply | None:
        """What the supply is at this hour; None while it is sound."""
        return next((p.supply for p in self._supplies if p.from_h <= at_h and (p.to_h is None or at_h < p.to_h)), None)

    def stands_still(self, at_h: float) -> bool:
        """Whether it is switched off."""
        return any(p.kind == "start" and p.stop_h <= at_h < p.at_h for p in self._plans)

    def transient(self, at_h: float, circuit: Circuit) -> tuple[Transient, float] | None:
        """The transient in which this hour lies, and how many seconds after its beginning."""
        for number, plan in enumerate(self._plans):
            after_s = (at_h - plan.at_h) * 3600.0
            if -1e-6 <= after_s < plan.lasts_s:
                if number not in self._runs:
                    load, drive = self._levels[number]
                    self._runs[number] = Transient.of(
                        plan, circuit, self.supply(at_h) or electrical.Supply(), load, drive
                    )
                return self._runs[number], max(after_s, 0.0)
        return None


def standing(state: State, rows: NDArray[np.bool_]) -> State:
    """The state with these rows switched off: no speed, no current, no heat, and the fan stands too."""
    op = state.operation
    off = {
        name: np.where(rows, 0.0, getattr(op, name))
        for name in ("current_a", "input_w", "shaft_w", "stator_copper_w", "rotor_copper_w", "iron_w", "friction_w")
    }
    off["stator_copper_w"] = np.maximum(off["stator_copper_w"], LEAST_W)
    still = replace(op, **off, speed_rpm=np.where(rows, 0.0, op.speed_rpm))
    return replace(
        state,
        load=np.where(rows, 0.0, state.load),
        cooling=np.where(rows, STILL_COOLING * state.cooling, state.cooling),
        operation=still,
    )


def unsymmetrical(
    machines: Machines, state: State, row: int, supply: electrical.Supply, frequency: float
) -> tuple[State, float]:
    """The state with one row on an unsymmetrical supply, and its velocity at twice the line frequency, mm/s RMS.

    The current told is that of the line that carries most. Raises ``OutOfRangeError`` where the motor stalls on it.
    """
    circuit: Circuit = take(machines.circuit, row)
    at = electrical.operate(circuit, float(state.load[row]), supply, frequency)
    op = state.operation
    copper_w = at.copper_w * float(circuit.R1 / (circuit.R1 + circuit.R2))
    changed: dict[str, Values] = {}
    for name, value in (
        ("slip", at.slip),
        ("speed_rpm", at.speed_rpm),
        ("current_a", float(np.abs(at.line_a).max())),
        ("stator_copper_w", copper_w),
        ("rotor_copper_w", at.copper_w - copper_w),
    ):
        changed[name] = np.asarray(getattr(op, name)).copy()
        changed[name][row] = value
    shake_mm_s = SHAKE_MM_S * at.ripple_n_m / float(circuit.rated_torque_n_m)
    return replace(state, operation=replace(op, **changed)), shake_mm_s
