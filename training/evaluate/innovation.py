"""Slow drifts: what the filter's innovations tell, beside a single NIS and beside the watch over the inputs' levels.

Fleets of the twin (loads and ambients that change, missing sensors, lost readings), a reading an hour, their scalars
alone: temperatures do not depend on vibration. The same readings are judged again with a sensor that drifts from
half-way on, and fleets are made anew whose cooling is lost. CUSUM and watch over levels are the edge's own. Nothing at
the edge judges the NIS, so it gets the rule that is fairest to it, a daily mean with a limit for as few false findings.

The limits in ``training.tuning.INNOVATION`` are above ``limits()`` of the eight fleets from ``CALIBRATION`` (11.8 for
the winding in 34 motor-years, 17.4 for the housing in 43), by what so few years leave open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service import drift, innovation
from service.contract.signals import OPERATING
from simulator.scenario import FaultPlan, Sampling
from training.evaluate import interval
from training.evaluate.drift import HOURS_A_YEAR, Moment, Recorded, judge, recorded
from training.evaluate.figure import Figure, Section, Table
from training.evaluate.fleet import healthy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.contract.manifest import InnovationSpec
    from service.score import Models
    from simulator.scenario import Scenario
    from training.evaluate.figure import Options

    Floats = NDArray[np.float64]

CALIBRATION = 7_600_011
SEED = 7_700_000
MOTORS = 40
DAYS = 60.0
WITHIN_H = 360
"""Half of a ramp."""


class Trouble(NamedTuple):
    """One sensor from half-way on: what it adds, or by which share it reads more, at the end of a ramp or at once."""

    sensor: str
    added: float = 0.0
    share: float = 0.0
    at_once: bool = False

    def __str__(self) -> str:
        """In words."""
        size = f"{self.added:+g} K" if self.added else f"{self.share:+.0%}"
        return f"{self.sensor} {size} {'at once' if self.at_once else 'in 30 days'}"


TROUBLES = (
    Trouble("winding_c", added=5.0),
    Trouble("winding_c", share=0.1),
    Trouble("winding_c", added=5.0, at_once=True),
    Trouble("housing_c", added=5.0),
    Trouble("housing_c", share=0.1),
    Trouble("housing_c", added=5.0, at_once=True),
    Trouble("current_a", share=0.2),
    Trouble("ambient_c", added=5.0),
    Trouble("ambient_c", added=5.0, at_once=True),
)


class Filtered(NamedTuple):
    """A fleet through the filter, by tick and motor: innovations over their deviations, ``(T, M, 3)``, and NIS."""

    normalised: Floats
    nis: Floats


def evaluate(options: Options) -> Section:
    """Hours to drifts of sensors and to lost cooling, of three rules, and their false findings."""
    spec, rules = options.bundle.manifest.innovation, innovation.rules_of(options.bundle)
    watch = drift.rules_of(options.bundle)
    if spec is None or rules is None or watch is None:
        nothing = interval.Interval(float("nan"), float("nan"), float("nan"))
        return Section(
            title="Slow drifts in the filter's innovations",
            protocol="Not run: this bundle says nothing of innovations.",
            figures=(Figure("innovation.false_per_motor_year", *nothing, "<= 0.3", "not told by this bundle"),),
        )
    motors, days = (6, 24.0) if options.tiny else (MOTORS, DAYS)
    seeds = range(1 if options.tiny else min(options.seeds, 3))
    fleets = [scalars(healthy(SEED + seed, motors, days)) for seed in seeds]
    quiet = [filtered(fleet, options.bundle) for fleet in fleets]
    limit = _nis_limit(quiet, spec.false_alarm_h)
    taught = spec.settling_blocks + spec.learning_blocks
    still = [found(one, fleet, rules) for one, fleet in zip(quiet, fleets, strict=True)]
    false = sum(int(np.isfinite(one).sum()) for one in still)
    years = sum(len(one) * max(len(f.moments) - taught, 0) for one, f in zip(still, fleets, strict=True)) / HOURS_A_YEAR
    rows, soon, of = [], 0, 0
    for trouble in TROUBLES:
        told = [_delays(drifting(fleet, trouble), trouble, options.bundle, rules, watch, limit) for fleet in fleets]
        late = np.concatenate(told)
        rows.append((str(trouble), str(len(late)), *(text for rule in late.T for text in _told(rule))))
        if trouble.sensor in innovation.SIGNALS and not trouble.at_once:
            soon, of = soon + int((late[:, 0] <= WITHIN_H).sum()), of + len(late)
    lost = [scalars(_clogging(healthy(SEED + 100 + seed, motors, days))) for seed in seeds]
    late = np.concatenate([_delays(fleet, Trouble("housing_c"), options.bundle, rules, watch, limit) for fleet in lost])
    rows.append(("cooling lost in 30 days", str(len(late)), *(text for rule in late.T for text in _told(rule))))
    promised = 2.0 * HOURS_A_YEAR / spec.false_alarm_h
    return Section(
        title="Slow drifts in the filter's innovations",
        protocol=f"{len(fleets) * motors} healthy motors of the twin over {days:.0f} days, a reading an hour, "
        f"{years:.1f} motor-years behind {taught} h of learning; then the same readings with one sensor that drifts "
        "from half-way on. The CUSUM is the edge's own. Beside it a daily mean of the NIS, with a limit that these "
        "very healthy fleets pass as seldom as the CUSUM promises, and the edge's watch over levels. Seeds that no "
        "training and no calibration draws from.",
        figures=(
            Figure(
                "innovation.false_per_motor_year",
                *interval.rate(false, years),
                "<= 0.3",
                f"{false} findings of either temperature; promised {promised:.2g}",
            ),
            Figure(
                "innovation.drift_found",
                *interval.share(soon, of),
                ">= 0.8",
                f"a temperature's drift of 5 K or 10 % in 30 days, within {WITHIN_H} h of its start",
            ),
        ),
        tables=(
            Table(
                "Hours from the start of a drift to its finding (share of motors, median)",
                ("drift", "motors", "CUSUM", "h", "NIS", "h", "levels", "h"),
                tuple(rows),
            ),
        ),
        caveats=(
            (
                "A finding names the temperature that contradicts the filter; which of winding, housing and ambient is "
                "wrong, or whether the motor itself has changed, it does not tell."
            ),
            (
                "A drifting load or current moves what is expected of a temperature little, and lost cooling is "
                "followed by the filter itself, as it should: levels and the fault's own alarm find these."
            ),
        ),
    )


def scalars(scenario: Scenario) -> Recorded:
    """A fleet's readings with windows as short as they may be, as no rule here looks at them."""
    return recorded(scenario.model_copy(update={"sampling": Sampling(fs_hz=1000.0, samples=256)}))


def filtered(fleet: Recorded, models: Models) -> Filtered:
    """The fleet through the bundle's filter, without severities."""
    spec = models.manifest.health
    motors = len(fleet.nameplates)
    state, cov = np.tile(np.array(spec.initial_state), (motors, 1)), np.tile(np.array(spec.initial_cov), (motors, 1, 1))
    last = np.full(motors, np.nan)
    normalised = np.full((len(fleet.moments), motors, len(spec.innovation_names)), np.nan)
    nis = np.full(normalised.shape[:2], np.nan)
    for at, moment in enumerate(fleet.moments):
        rows = moment.rows
        feeds = {
            "state": state[rows],
            "cov": cov[rows],
            "operating": moment.operating,
            "nameplate": fleet.nameplates[rows],
            "severity": np.full(len(rows), np.nan),
            "dt_s": np.nan_to_num(moment.ts_s - last[rows]),
        }
        out = models.run("health", feeds)
        state[rows], cov[rows], last[rows] = out["state_next"], out["cov_next"], moment.ts_s
        normalised[at, rows], nis[at, rows] = out["normalised"], out["nis"]
    return Filtered(normalised, nis)


def found(of: Filtered, fleet: Recorded, rules: innovation.Rules) -> Floats:
    """Hour at which each motor's innovations were first found to have left, NaN where never, ``(M,)``."""
    records = [b""] * len(fleet.nameplates)
    hour = np.full(len(records), np.nan)
    for at, moment in enumerate(fleet.moments):
        count = len(moment.rows)
        after, names = rules.advance(
            [records[row] for row in moment.rows],
            of.normalised[at, moment.rows],
            np.full(count, moment.ts_s),
            np.zeros(count, dtype=np.bool_),
        )
        for row, record in zip(moment.rows, after, strict=True):
            records[row] = record
        for place in names:
            hour[moment.rows[place]] = np.fmin(hour[moment.rows[place]], at)
    return hour


def limits(models: Models, spec: InnovationSpec, fleets: int) -> dict[str, float]:
    """The CUSUM's limits that healthy fleets pass once in ``false_alarm_h``, by signal.

    Args:
        models: their filter is the one whose innovations are followed.
        spec: everything but the limits.
        fleets: how many are made; eight are 53 motor-years.
    """
    made = [scalars(healthy(CALIBRATION + number, MOTORS, DAYS)) for number in range(fleets)]
    runs = [(filtered(fleet, models), fleet) for fleet in made]
    names = models.manifest.health.innovation_names
    chosen: dict[str, float] = {}
    for column, signal in enumerate(innovation.SIGNALS):
        heard_h = sum(int(np.isfinite(of.normalised[:, :, column]).sum()) for of, _ in runs)
        low, high = 2.0, 66.0
        while high - low > 0.5:
            limit = 0.5 * (low + high)
            only = {name: limit if name == signal else 1e9 for name in innovation.SIGNALS}
            rules = innovation.Rules(spec.model_copy(update={"limits": only}), names, signal)
            count = sum(int(np.isfinite(found(of, fleet, rules)).sum()) for of, fleet in runs)
            low, high = (low, limit) if count * spec.false_alarm_h <= heard_h else (limit, high)
        chosen[signal] = high
    return chosen


def drifting(fleet: Recorded, trouble: Trouble) -> Recorded:
    """The fleet's readings with one sensor in trouble from half-way on."""
    half, column = len(fleet.moments) // 2, OPERATING.index(trouble.sensor)
    moments = []
    for at, moment in enumerate(fleet.moments):
        table = moment.operating.copy()
        grown = 0.0 if at < half else 1.0 if trouble.at_once else (at - half) / half
        table[:, column] = table[:, column] * (1.0 + grown * trouble.share) + grown * trouble.added
        moments.append(Moment(moment.ts_s, moment.rows, moment.ln_rms, table))
    return Recorded(moments, fleet.nameplates)


def _clogging(scenario: Scenario) -> Scenario:
    half = scenario.duration_h / 2.0
    fault = FaultPlan(kind="cooling", onset_h=half, failure_h=2.0 * half, law="exponential")
    return scenario.model_copy(
        update={"motor": tuple(plan.model_copy(update={"fault": (fault,)}) for plan in scenario.motor)}
    )


def _delays(
    fleet: Recorded,
    trouble: Trouble,
    models: Models,
    rules: innovation.Rules,
    watch: drift.Rules,
    limit: float,
) -> Floats:
    """Hours from half-way to the finding by CUSUM, NIS and levels, infinity where none, ``(motors, 3)``.

    Only motors that have the sensor and a temperature; a finding before the trouble counts as none.
    """
    half = len(fleet.moments) // 2
    of = filtered(fleet, models)
    hours = np.stack([found(of, fleet, rules), _over(of.nis, limit), judge(fleet, watch).hour], axis=1)
    has = np.zeros(len(hours), dtype=np.bool_)
    for moment in fleet.moments[:half]:
        has[moment.rows] |= np.isfinite(moment.operating[:, OPERATING.index(trouble.sensor)])
    has &= np.isfinite(of.normalised[:half, :, :2]).any(axis=(0, 2))
    return np.where(hours >= half, hours - half + 1.0, np.inf)[has]


def _daily(nis: Floats) -> Floats:
    """Exponential mean over a day of every motor's NIS, each held below 25, from the third day on."""
    mean, means = np.full(nis.shape[1], 1.0), np.zeros(nis.shape)
    for at, now in enumerate(nis):
        mean = np.where(np.isfinite(now), mean + (np.minimum(now, 25.0) - mean) / 24.0, mean)
        means[at] = mean if at >= 48 else 0.0
    return means


def _over(nis: Floats, limit: float) -> Floats:
    over = _daily(nis) > limit
    return np.where(over.any(axis=0), over.argmax(axis=0), np.nan).astype(np.float64)


def _nis_limit(quiet: list[Filtered], false_alarm_h: float) -> float:
    peaks = np.sort(np.concatenate([_daily(one.nis).max(axis=0) for one in quiet]))[::-1]
    allowed = int(sum(one.nis.size for one in quiet) / false_alarm_h)
    return float(peaks[min(allowed, len(peaks) - 1)])


def _told(hours: Floats) -> tuple[str, str]:
    hit = hours[np.isfinite(hours)]
    return f"{len(hit) / max(len(hours), 1):.0%}", f"{np.median(hit):.0f}" if len(hit) else "-"
