"""Drift of the inputs: how often the edge finds one where nothing changed, and how soon a changed gain.

Healthy fleets of the twin with loads and ambients that change by the hour, a reading an hour, through the edge's own
rules with the bundle's sketch. The same readings are judged again with one sensor's gain changed half-way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service import drift, monitor
from service.contract.messages import AXES
from service.contract.signals import OPERATING
from service.contract.sketch import ln_rms
from service.window import operating
from simulator.fleet import Fleet
from training.evaluate import interval
from training.evaluate.figure import Figure, Section, Table
from training.evaluate.fleet import healthy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.scenario import Scenario
    from training.evaluate.figure import Options

SEED = 7_400_000
MOTORS = 25
DAYS = 16.0
GAINS = (0.8, 1.2)
SENSORS = ("accel_m_s2.x", "current_a", "winding_c", "housing_c")
WITHIN_H = 24
HOURS_A_YEAR = 8766.0


class Moment(NamedTuple):
    """What a fleet reported at one time: rows of motors, ``ln`` RMS by axis, operating values."""

    ts_s: float
    rows: NDArray[np.intp]
    ln_rms: NDArray[np.float64]
    operating: NDArray[np.float32]


class Recorded(NamedTuple):
    """A fleet's readings, without their waveforms, and its plates ``(motors, 9)``."""

    moments: list[Moment]
    nameplates: NDArray[np.float32]


class Found(NamedTuple):
    """Hour of the first finding of each motor, NaN without one, and which could be judged at all."""

    hour: NDArray[np.float64]
    learnt: NDArray[np.bool_]


def evaluate(options: Options) -> Section:
    """False findings per motor-year, and hours to a changed gain, by sensor."""
    rules = drift.rules_of(options.bundle)
    if rules is None:
        raise ValueError("the bundle holds no sketch; python -m training sketch gives it one")
    seeds = range(1 if options.tiny else options.seeds)
    motors, days = (5, 4.0) if options.tiny else (MOTORS, DAYS)
    fleets = [recorded(healthy(SEED + seed, motors, days)) for seed in seeds]
    learning_h = rules.learning_h
    still = [judge(fleet, rules) for fleet in fleets]
    false = sum(int(np.isfinite(one.hour).sum()) for one in still)
    years = sum(len(one.hour) * (len(fleet.moments) - learning_h) for one, fleet in zip(still, fleets, strict=True))
    years /= HOURS_A_YEAR
    rows, hours, judged = [], [], 0
    for sensor in SENSORS:
        for gain in GAINS:
            late = [_delays(fleet, rules, sensor, gain) for fleet in fleets]
            taken = np.concatenate([one[0] for one in late])
            count = sum(one[1] for one in late)
            rows.append((sensor, f"{gain:g}", str(count), str(len(taken)), *_told(taken)))
            if sensor.startswith("accel"):
                hours.append(taken)
                judged += count
    vibration = np.concatenate(hours)
    promised = HOURS_A_YEAR / rules.false_alarm_h
    return Section(
        title="Drift of the inputs",
        protocol=f"{years:.1f} motor-years of healthy motors after {learning_h:.0f} h of learning (steady, shift and "
        "wandering loads, ambient 5-38 C with afternoons and weather, missing sensors, lost readings), a reading an "
        "hour, through the edge's own rules; then again with one sensor's gain changed half-way, for each sensor in "
        "turn. Seeds that no training draws from.",
        figures=(
            Figure(
                "drift.false_per_motor_year",
                *interval.rate(false, years),
                f"<= {promised:.3g}",
                f"{false} findings; promised {promised:.2g}",
            ),
            Figure(
                "drift.gain_found",
                *interval.share(int((vibration <= WITHIN_H).sum()), judged),
                ">= 0.95",
                f"a gain of 0.8 or 1.2 of an accelerometer, within {WITHIN_H} h",
            ),
        ),
        tables=(
            Table(
                "Hours to a changed gain", ("sensor", "gain", "motors", "found", "median", "90 %", "last"), tuple(rows)
            ),
        ),
        caveats=(
            "The interval of the rate is as wide as so few motor-years leave it.",
            "A current without a measured load, or a temperature without an ambient, is not told from its load.",
        ),
    )


def recorded(scenario: Scenario) -> Recorded:
    """A fleet's readings."""
    fleet = Fleet(scenario)
    profiles = [monitor.profile_of(birth) for birth in fleet.births(interval_s=3600.0, clock="simulated")]
    row_of = {profile.motor: row for row, profile in enumerate(profiles)}
    moments = []
    for tick in fleet.ticks():
        readings = [reading for reading in tick.readings if reading is not None]
        axes = np.full((len(readings), len(AXES)), np.nan)
        for at, reading in enumerate(readings):
            for axis, samples in reading.accel_m_s2.items():
                axes[at, AXES.index(axis)] = ln_rms(samples)
        rows = np.array([row_of[reading.motor] for reading in readings], dtype=np.intp)
        moments.append(Moment(tick.ts_s, rows, axes, operating(readings)[0]))
    return Recorded(moments, np.stack([profile.nameplate for profile in profiles]))


def judge(fleet: Recorded, rules: drift.Rules, sensor: str = "", gain: float = 1.0, from_hour: int = 0) -> Found:
    """The fleet through the rules, with one sensor's gain changed from an hour on."""
    records = [b""] * len(fleet.nameplates)
    hour = np.full(len(records), np.nan)
    for at, moment in enumerate(fleet.moments):
        axes, scalars = moment.ln_rms, moment.operating
        if sensor and at >= from_hour:
            axes, scalars = axes.copy(), scalars.copy()
            if sensor.startswith("accel"):
                axes[:, AXES.index(sensor[-1])] += np.log(gain)
            else:
                scalars[:, OPERATING.index(sensor)] *= gain
        some = rules.advance(
            [records[row] for row in moment.rows],
            axes,
            scalars,
            fleet.nameplates[moment.rows],
            np.full(len(moment.rows), moment.ts_s),
            np.zeros(len(moment.rows), dtype=np.bool_),
        )
        for row, record in zip(moment.rows, some.records, strict=True):
            records[row] = record
        for place in some.names:
            hour[moment.rows[place]] = np.fmin(hour[moment.rows[place]], at)
    channels = [rules.channels(record) for record in records]
    learnt = [any(one.learnt for name, one in mine.items() if not sensor or name == sensor) for mine in channels]
    return Found(hour, np.array(learnt))


def _delays(fleet: Recorded, rules: drift.Rules, sensor: str, gain: float) -> tuple[NDArray[np.float64], int]:
    """Hours from the change to each finding, and the motors whose sensor was learnt."""
    half = len(fleet.moments) // 2
    found = judge(fleet, rules, sensor, gain, half)
    late = found.hour[found.learnt & (found.hour >= half)] - half + 1
    return late[np.isfinite(late)], int(found.learnt.sum())


def _told(hours: NDArray[np.float64]) -> tuple[str, str, str]:
    if not len(hours):
        return "-", "-", "-"
    median, most = np.quantile(hours, (0.5, 0.9))
    return f"{median:.0f}", f"{most:.0f}", f"{hours.max():.0f}"
