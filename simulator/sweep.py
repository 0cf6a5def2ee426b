"""A window while the speed changes: the steady state's lines and impacts by the angle of the shaft, not by time.

Orders follow the shaft, electrical lines the supply. A line's acceleration goes with the square of speed and, through a
critical speed, passes through its mode (Ewins, Modal Testing, 2nd ed., ch. 3). Impacts come where the shaft's angle
brings them; noise follows speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.bearing import Strikes
from simulator.excitation import excited

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.parameter import Values
    from simulator.path import Path
    from simulator.population import Machines
    from simulator.twin import State
    from simulator.unsteady import Critical, Window

ROTOR_ORDERS = 4.5
"""Lines up to this order are the rotor's and pass through its critical speed."""

CURRENT_MAX = 3.0
"""Iron saturates: the magnetic pull grows with the square of the current up to this multiple."""


def sweep(
    machine: Machines,
    via: Path,
    severity: Values,
    state: State,
    window: Window,
    rng: np.random.Generator,
    *,
    place: int = 0,
    axial: NDArray[np.bool_] | None = None,
    critical: Critical | None = None,
) -> NDArray[np.float32]:
    """Housing acceleration of one machine, float32 ``(samples,)``, m/s^2.

    Args:
        machine: a batch of one.
        via: paths, of which it has number ``place``.
        severity: ``(1, k)``.
        state: the steady state to which the transient leads; not at rest.
        window: speed, supply and current meanwhile.
        rng: as in ``twin.vibrate``.
        place: number of its path.
        axial: as in ``twin.vibrate``.
        critical: the mode that the rotor crosses, if any.
    """
    at = np.array([place])
    shaft_hz = float(state.operation.speed_rpm[0]) / 60.0
    fs_hz = float(machine.sensors.fs_hz[0])
    spare = float(via.duration_s(at)[0]) - via.samples / fs_hz
    # Strikes over the turns that the window has, and those that still ring into it.
    turned = np.concatenate([[-window.speed_rpm[0] / 60.0 * 0.5 * spare], window.turns])
    seconds = np.concatenate([[-0.5 * spare], np.arange(via.samples) / fs_hz])
    whole_s = max((turned[-1] - turned[0]) / shaft_hz, 1.0 / shaft_hz)
    here = excited(machine, severity, state, np.array([whole_s]), rng, axial)
    ratio = window.speed_rpm / 60.0 / shaft_hz
    strikes = []
    for train in here.strikes:
        turn = train.time_s * shaft_hz + turned[0]
        inside = (turn <= turned[-1]) & (turned[-1] > turned[0])
        time_s = np.interp(turn[inside], turned, seconds)
        pace = np.interp(time_s, seconds[1:], ratio)
        strikes.append(Strikes(train.row[inside], time_s + 0.5 * spare, train.height[inside] * pace))
    accel = via.shake(at, here.noise_m_s2, [], rng)[0] * ratio
    accel += via.shake(at, np.zeros(1), strikes, rng)[0]
    began = 1000.0 * rng.random()
    line_hz = float(here.running.line_hz[0])
    current = window.current_a / max(float(state.operation.current_a[0]), 1e-9)
    for f_hz, peak, phase in zip(here.lines.freq_hz[0], here.lines.peak_m_s2[0], here.turns[0], strict=True):
        if not peak > 0.0:
            continue
        pull = f_hz / line_hz
        if abs(pull - round(pull)) < 1e-6 and round(pull) % 2 == 0:
            turns, height = pull * window.supply_turns, np.minimum(current, CURRENT_MAX) ** 2
        else:
            order = f_hz / shaft_hz
            turns, height = order * window.turns, ratio**2
            if critical is not None and order < ROTOR_ORDERS:
                crossed = window.transient.crossed(order, critical, window.t_s)
                height = np.abs(crossed) / abs(critical.answer(np.array([f_hz]))[0])
                turns = np.unwrap(np.angle(crossed)) / (2.0 * np.pi)
        fits = np.gradient(turns) < 0.5
        accel += np.where(fits, peak * height * np.cos(2.0 * np.pi * (turns + phase + began * f_hz)), 0.0)
    return np.asarray(accel, dtype=np.float32)
