"""What shakes a batch of machines in one state: noise, impacts and lines, before the path to the sensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.contract.faults import Fault
from simulator import iso20816
from simulator.bearing import Strikes
from simulator.faults import Running
from simulator.parameter import Values, take
from simulator.vibration import PHASES, RESIDUAL_LINES, Lines, residual_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.population import Machines
    from simulator.twin import State

FAULTS = tuple(Fault)

FAULT_STRIDE = 7
"""Distance of two faults' first phases; odd against PHASES, so that no two share all of theirs."""


class Excitation(NamedTuple):
    """``b`` windows: noise RMS (b,), impacts, lines (b, k) with their phases in turns (b, k)."""

    running: Running
    noise_m_s2: Values
    strikes: list[Strikes]
    lines: Lines
    turns: NDArray[np.float64]


def excited(
    machines: Machines,
    severity: Values,
    state: State,
    duration_s: Values,
    rng: np.random.Generator,
    axial: NDArray[np.bool_] | None = None,
) -> Excitation:
    """What shakes them.

    Args:
        machines: one machine per row, ``b`` of them.
        severity: ``(b, k)``, the first k of ``Fault``.
        state: operation of each row.
        duration_s: length over which impacts are wanted, ``(b,)``.
        rng: source of slip and scatter.
        axial: whether the sensor listens along the shaft, ``(b,)``; default across it.
    """
    rating, background = machines.rating, machines.background
    speed_rpm, slip = state.operation.speed_rpm, state.operation.slip
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
        duration_s=duration_s,
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
    every = Lines(np.hstack([part.freq_hz for part in lines]), np.hstack([part.peak_m_s2 for part in lines]))
    if machines.sensors.mounting_hz.any():
        gain = np.abs(machines.sensors.mounting(every.freq_hz))
        every = Lines(every.freq_hz, every.peak_m_s2 * gain)
    return Excitation(running, noise_m_s2, strikes, every, machines.phases[:, np.concatenate(phase_columns)])


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
