"""The twin's physics for a batch: strain -> electrical operation -> temperatures -> housing vibration.

The three steps are pure functions of a batch of machines, their severities and conditions; the data set, the fleet and
a notebook's single motor all go through them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from service.contract.faults import Fault
from simulator import iso20816
from simulator.bearing import Strikes
from simulator.faults import Running, Strain
from simulator.parameter import Values, take
from simulator.path import Path
from simulator.vibration import PHASES, RESIDUAL_LINES, Lines, residual_lines, tones

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.circuit import Operation
    from simulator.population import Machines
    from simulator.thermal import Temperatures

FAULTS = tuple(Fault)

FAULT_STRIDE = 7
"""Distance of two faults' first phases; odd against PHASES, so that no two share all of theirs."""


@dataclass(frozen=True, slots=True)
class State:
    """The operating point of ``n`` machines and what it does to heat."""

    load: Values
    cooling: Values
    operation: Operation

    @property
    def housing_w(self) -> Values:
        """Losses that heat the housing: all but the stator copper, W."""
        return self.operation.loss_w - self.operation.stator_copper_w


def operate(machines: Machines, severity: Values, load: Values, frequency: float | Values = 1.0) -> State:
    """Electrical operation under faults.

    Args:
        machines: ``n`` machines.
        severity: ``(n, k)`` in 0..1, the first k of ``Fault``; the others are absent.
        load: what the duty asks for, fraction of rated torque, ``(n,)``.
        frequency: drive frequency over rated, ``(n,)`` or scalar.
    """
    strain = Strain(np.asarray(load, dtype=np.float64), np.ones(len(machines)), np.ones(len(machines)))
    for column, fault in enumerate(FAULTS[: severity.shape[1]]):
        active = severity[:, column] > 0.0
        if active.any():
            changed = machines.effects[fault].strain(severity[:, column], strain)
            strain = Strain(*(np.where(active, new, old) for new, old in zip(changed, strain, strict=True)))
    circuit = replace(machines.circuit, R2=machines.circuit.R2 * strain.rotor)
    return State(strain.load, strain.cooling, circuit.operate(strain.load, frequency=frequency))


def steady(machines: Machines, state: State, ambient_c: float | Values) -> Temperatures:
    """Temperatures after a long time in this state."""
    return machines.thermal.steady(state.operation.stator_copper_w, state.housing_w, ambient_c, state.cooling)


def warm(
    machines: Machines, before: Temperatures, state: State, ambient_c: float | Values, dt_s: float | Values
) -> Temperatures:
    """Temperatures ``dt_s`` later in this state."""
    return machines.thermal.step(
        before, dt_s, state.operation.stator_copper_w, state.housing_w, ambient_c, state.cooling
    )


def operating(state: State, temperatures: Temperatures, ambient_c: float | Values) -> NDArray[np.float64]:
    """True values in ``signals.OPERATING`` order, ``(n, 6)``."""
    columns = [
        state.operation.speed_rpm,
        state.operation.current_a,
        state.load,
        temperatures.winding_c,
        temperatures.housing_c,
        np.asarray(ambient_c, dtype=np.float64),
    ]
    return np.stack(np.broadcast_arrays(*columns), axis=1)


def path(machines: Machines, samples: int) -> Path:
    """The transmission paths of these machines for windows of one length; worth keeping between windows."""
    return Path.modal(
        machines.structure,
        machines.background,
        machines.contact.pulse_s,
        machines.sensors.fs_hz,
        samples,
        machines.ripples,
    )


def vibrate(
    machines: Machines,
    via: Path,
    severity: Values,
    state: State,
    rng: np.random.Generator,
    index: NDArray[np.intp] | None = None,
    axial: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Housing acceleration without the sensor, float32 ``(b, samples)``, m/s^2.

    Args:
        machines: one machine per row, ``b`` of them.
        via: their transmission paths (those of the distinct machines).
        severity: ``(b, k)``, the first k of ``Fault``.
        state: operation of each row.
        rng: source of phases, slip and noise.
        index: path of each row, ``(b,)``; default one path per row.
        axial: whether the sensor listens along the shaft, ``(b,)``; default across it.
    """
    if index is None:
        index = np.arange(len(machines))
    rating, background = machines.rating, machines.background
    speed_rpm = state.operation.speed_rpm
    slip = state.operation.slip
    fs_hz = machines.sensors.fs_hz
    speed_ratio = speed_rpm / rating.speed_rpm
    running = Running(
        shaft_hz=speed_rpm / 60.0,
        line_hz=speed_rpm * rating.poles / (120.0 * (1.0 - slip)),
        slip=slip,
        speed_ratio=speed_ratio,
        load=state.load,
        limit_mm_s=np.broadcast_to(iso20816.limits_mm_s(rating.power_w), (len(machines), 3))[:, 2],
        noise_m_s2=background.rms_m_s2 * speed_ratio,
        duration_s=via.duration_s(index),
        bars=np.rint(machines.residue.rotor_bars),
        orders=machines.orders,
        contact=machines.contact,
    )
    noise_m_s2 = running.noise_m_s2.copy()
    lines = [residual_lines(machines.residue, running.shaft_hz, running.line_hz, fs_hz, speed_ratio, state.load)]
    phase_columns = [np.arange(RESIDUAL_LINES)]
    strikes = [_knocks(machines, running, rng)]
    for column, fault in enumerate(FAULTS[: severity.shape[1]]):
        rows = np.flatnonzero(severity[:, column] > 0.0)
        if not rows.size:
            continue
        effect, here, s = take(machines.effects[fault], rows), take(running, rows), severity[rows, column]
        noise_m_s2[rows] *= effect.noise_gain(s)
        added = effect.lines(s, here, rng)
        if added is not None:
            if axial is not None:
                height = np.where(axial[rows], effect.axial, 1.0)[:, None]
                added = Lines(added.freq_hz, added.peak_m_s2 * height)
            lines.append(_spread(added, rows, len(machines)))
            first = RESIDUAL_LINES + FAULT_STRIDE * column
            phase_columns.append(np.arange(first, first + added.freq_hz.shape[1]) % PHASES)
        impacts = effect.strikes(rows, s, here, rng)
        if impacts is not None:
            strikes.append(impacts)
    accel = via.shake(index, noise_m_s2, strikes, rng)
    # Lines are functions of time: a window starts anywhere, but a machine's lines keep their phases to each other.
    began_s = 1000.0 * rng.random((len(machines), 1))
    swell = Lines(running.shaft_hz[:, None], background.shaft_modulation[:, None])
    accel *= 1.0 + tones(swell, fs_hz, via.samples, swell.freq_hz * began_s)
    every = Lines(np.hstack([part.freq_hz for part in lines]), np.hstack([part.peak_m_s2 for part in lines]))
    start_turns = machines.phases[:, np.concatenate(phase_columns)] + every.freq_hz * began_s
    accel += tones(every, fs_hz, via.samples, start_turns)
    return accel


def _spread(lines: Lines, rows: NDArray[np.intp], count: int) -> Lines:
    freq_hz, peak = np.zeros((count, lines.freq_hz.shape[1])), np.zeros((count, lines.freq_hz.shape[1]))
    freq_hz[rows], peak[rows] = lines.freq_hz, lines.peak_m_s2
    return Lines(freq_hz, peak)


def _knocks(machines: Machines, running: Running, rng: np.random.Generator) -> Strikes:
    """Single impacts from outside (dropped tools, valves) that a healthy machine meets too."""
    count = rng.poisson(machines.background.knocks_per_s * running.duration_s)
    row = np.repeat(np.arange(len(machines)), count)
    peak = running.noise_m_s2[row] * rng.lognormal(np.log(4.0), 0.6, row.size)
    return Strikes(row, rng.random(row.size) * running.duration_s[row], peak)
