"""The twin's physics for a batch: strain -> electrical operation -> temperatures -> housing vibration.

The three steps are pure functions of a batch of machines, their severities and conditions; the data set, the fleet and
a notebook's single motor all go through them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from service.contract.faults import Fault
from simulator.excitation import excited
from simulator.faults import Strain
from simulator.path import Path
from simulator.vibration import Lines, tones

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.circuit import Operation
    from simulator.parameter import Values
    from simulator.population import Machines
    from simulator.thermal import Temperatures

FAULTS = tuple(Fault)


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


def rotor_heat(machines: Machines, state: State) -> Values:
    """Heat of rotor and bearings over that at the rated point, ``(n,)``."""
    rated = machines.circuit.operate(1.0)
    now = state.operation
    return (now.friction_w + now.rotor_copper_w) / (rated.friction_w + rated.rotor_copper_w)


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
    ).mounted(machines.sensors)


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
    fs_hz = machines.sensors.fs_hz
    here = excited(machines, severity, state, via.duration_s(index), rng, axial)
    accel = via.shake(index, here.noise_m_s2, here.strikes, rng)
    # Lines are functions of time: a window starts anywhere, but a machine's lines keep their phases to each other.
    began_s = 1000.0 * rng.random((len(machines), 1))
    swell = Lines(here.running.shaft_hz[:, None], machines.background.shaft_modulation[:, None])
    accel *= 1.0 + tones(swell, fs_hz, via.samples, swell.freq_hz * began_s)
    accel += tones(here.lines, fs_hz, via.samples, here.turns + here.lines.freq_hz * began_s)
    return accel
