"""The twin through the edge's own core: false alarms a machine-day, events recalled, lead, and the life's interval.

Motors, plates, duties, ambients, sensors and noise are drawn anew from seeds that no training used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service import monitor
from service.contract.faults import ANOMALY, TAUGHT, Fault
from simulator.fleet import Fleet
from simulator.scenario import FaultPlan, LoadPlan, MotorPlan, Sampling, Scenario
from training.evaluate import interval
from training.evaluate.figure import Figure, Section, Table, canvas, plot
from training.evaluate.rootcause import FAULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from training.evaluate.figure import Options, Plot

STEP_H = 1.0
SEED = 7_000_000
"""First seed of the evaluation's fleets; training draws from small ones."""
MOTORS = 50
HEALTHY_DAYS = 5.0
"""Per fleet; five fleets of 50 motors over 5 days are 1,250 machine-days."""
LIFE_H = (48.0, 168.0)
POWERS_KW = (0.55, 1.1, 1.5, 3.0, 5.5, 7.5, 11.0, 30.0)
RATES_HZ = (10_240.0, 12_000.0, 12_800.0, 20_000.0, 25_600.0)
ALPHA = 0.2
LAMBDA = 0.5
"""Remaining life is right at half of a life if it is within a fifth (Saxena et al., IJPHM 1 (2010), alpha-lambda)."""


class Told(NamedTuple):
    """What one reading said of the remaining life, in hours; infinity where an end is open."""

    at_h: float
    rul_h: float
    rul_low_h: float
    rul_high_h: float
    rul_q25_h: float
    rul_q75_h: float


@dataclass(slots=True)
class Life:
    """What the edge said of one failing motor, from its alarm on."""

    fault: Fault
    onset_h: float
    failure_h: float
    alarm_h: float = float("nan")
    named: bool = False
    misnamed: bool = False
    blamed: str = ""
    told: list[Told] = field(default_factory=list)

    @property
    def lead(self) -> float:
        """Share of the life from onset to failure that was left at the alarm."""
        return (self.failure_h - self.alarm_h) / (self.failure_h - self.onset_h)


def evaluate(options: Options) -> Section:
    """Healthy fleets for false alarms, failing fleets for recall, lead and coverage."""
    seeds = range(1 if options.tiny else options.seeds)
    motors = 6 if options.tiny else MOTORS
    days = 0.5 if options.tiny else HEALTHY_DAYS
    false: dict[str, int] = {}
    machine_days = 0.0
    for seed in seeds:
        for condition in _false_alarms(healthy(SEED + seed, motors, days), options):
            false[condition] = false.get(condition, 0) + 1
        machine_days += motors * days
    lives = [life for seed in seeds for life in _lives(failing(SEED + 1000 + seed, motors), options)]
    recalled = [life for life in lives if life.alarm_h <= life.failure_h]
    leads = np.array([life.lead for life in recalled])
    blamed = [life for life in recalled if life.blamed]
    covered = [_covered(life) for life in lives]
    inside = np.concatenate(covered)
    owner = np.repeat(np.arange(len(covered)), [len(c) for c in covered])
    coverage, coverage_50 = (
        interval.over_groups(
            lambda at, one=column: float(one[at].mean()),  # type: ignore[misc]
            owner,
            np.zeros(len(owner)),
            draws=200,
        )
        if len(inside)
        else interval.Interval(float("nan"), float("nan"), float("nan"))
        for column in inside.T
    )
    if "rul_q25_h" not in options.bundle.manifest.graphs["health"].outputs:  # earlier bundles tell no quartiles
        coverage_50 = interval.Interval(float("nan"), float("nan"), float("nan"))
    right, judged = _alpha_lambda(lives)
    median = (
        interval.over_groups(
            lambda at: float(np.median(leads[at])), np.arange(len(leads)), np.zeros(len(leads)), draws=200
        )
        if len(leads)
        else interval.Interval(float("nan"), float("nan"), float("nan"))
    )
    return Section(
        title="Twin: false alarms, recall and lead",
        protocol=f"{machine_days:.0f} machine-days of healthy motors (0.55-30 kW, steady, shift and wandering loads of "
        "20-95 %, ambient 5-38 C, five sampling rates, missing sensors, lost readings) and "
        f"{len(lives)} motors that run to failure, one reading an hour, all through the edge's own core with "
        "the shipped "
        "thresholds; seeds that no training draws from. A false alarm is any alert that opens on a healthy motor. An "
        "event is recalled when an alert of the right fault, or a bare anomaly, opens between onset and "
        "failure; lead is the share of that time "
        "still left. Coverage counts readings from the alarm to failure.",
        figures=(
            Figure(
                "twin.false_per_machine_day",
                *interval.rate(sum(false.values()), machine_days),
                "<= 0.1",
                f"{sum(false.values())} alerts, one reading an hour",
            ),
            Figure("twin.event_recall", *interval.share(len(recalled), len(lives)), ">= 0.95", "failures announced"),
            Figure(
                "twin.named_recall",
                *interval.share(sum(life.named for life in recalled), len(lives)),
                "",
                "by the right name",
            ),
            Figure(
                "twin.misnamed",
                *interval.share(sum(life.misnamed for life in lives), len(lives)),
                "",
                "failing motors that some alert gave a fault they do not have",
            ),
            Figure(
                "twin.blamed_part",
                *interval.share(sum(life.blamed in FAULTS[life.fault][1] for life in blamed), len(blamed)),
                ">= 0.95",
                "first alerts whose reading's largest contribution belongs to the fault's part of the machine",
            ),
            Figure(
                "twin.blamed_line",
                *interval.share(sum(life.blamed in FAULTS[life.fault][0] for life in blamed), len(blamed)),
                "",
                "of those, the very line or sensor",
            ),
            Figure("twin.median_lead", *median, ">= 0.2", "of the time from onset to failure"),
            Figure(
                "rul.coverage90", *coverage, "= 0.87..0.93", f"{len(inside)} readings of {len(recalled)} failing motors"
            ),
            Figure("rul.coverage50", *coverage_50, "", "of the same readings, between the quartiles"),
            Figure(
                "rul.alpha_lambda", *interval.share(right, judged), "", f"within {ALPHA:.0%} at {LAMBDA:.0%} of life"
            ),
        ),
        tables=(
            _by_fault(lives),
            Table(
                "False alarms by condition",
                ("condition", "alerts"),
                tuple((c, str(n)) for c, n in sorted(false.items())),
            ),
        ),
        plots=(_picture(lives),),
        caveats=(
            (
                "The twin judges models that were trained on it: other machines, same physics. What it cannot "
                "show is what "
                "it does not model; the CWRU, FEMTO and SKAB sections are there for that."
            ),
            "False alarms a machine-day grow with the number of readings a day.",
        ),
    )


def _plan(rng: np.random.Generator, name: str, fault: tuple[FaultPlan, ...] = ()) -> MotorPlan:
    power, poles, supply = rng.choice(POWERS_KW), rng.choice((2, 4, 6)), rng.choice((50, 60))
    return MotorPlan(
        id=name,
        rating=f"{power:g}kW-{poles}p-{supply}Hz",
        load=LoadPlan(
            profile=("constant", "shift", "random")[int(rng.integers(3))],
            level=float(rng.uniform(0.45, 0.95)),
            low=float(rng.uniform(0.2, 0.45)),
        ),
        ambient_c=float(rng.uniform(5.0, 38.0)),
        ambient_swing_k=float(rng.uniform(0.0, 7.0)),
        missing=((), (), ("load",), ("current_a",), ("winding_c",), ("load", "winding_c", "housing_c", "ambient_c"))[
            int(rng.integers(6))
        ],
        drop_out=float(rng.choice([0.0, 0.02])),
        gaps=float(rng.choice([0.0, 0.02])),
        fault=fault,
    )


def healthy(seed: int, motors: int, days: float) -> Scenario:
    """Sound motors of random ratings, duties and sensors, one reading every ``STEP_H``."""
    rng = np.random.default_rng(seed)
    return Scenario(
        title="healthy",
        seed=seed,
        duration_h=24.0 * days - STEP_H,
        step_h=STEP_H,
        sampling=Sampling(fs_hz=float(rng.choice(RATES_HZ))),
        motor=tuple(_plan(rng, f"healthy-{row}") for row in range(motors)),
    )


def failing(seed: int, motors: int) -> Scenario:
    """Motors that each run to failure by one fault, all faults in turn."""
    rng = np.random.default_rng(seed)
    plans = []
    for row in range(motors):
        onset = float(rng.uniform(12.0, 36.0))
        fault = FaultPlan(kind=TAUGHT[row % len(TAUGHT)], onset_h=onset, failure_h=onset + float(rng.uniform(*LIFE_H)))
        plans.append(_plan(rng, f"failing-{row}", fault=(fault,)))
    return Scenario(
        title="failing",
        seed=seed,
        duration_h=max(plan.fault[0].failure_h or 0.0 for plan in plans),
        step_h=STEP_H,
        sampling=Sampling(fs_hz=float(rng.choice(RATES_HZ))),
        motor=tuple(plans),
    )


def _steps(scenario: Scenario, options: Options) -> Iterator[tuple[float, monitor.StepResult]]:
    """Hours since the start, and what the edge made of each tick."""
    fleet = Fleet(scenario)
    profiles = {b.motor: monitor.profile_of(b) for b in fleet.births(interval_s=3600.0, clock="simulated")}
    state = monitor.FleetState()
    for tick in fleet.ticks():
        readings = [reading for reading in tick.readings if reading is not None]
        result = monitor.step(state, readings, profiles, options.bundle, now_ts_s=tick.ts_s, policy=monitor.Policy())
        state = result.state
        yield (tick.ts_s - fleet.start_ts_s) / 3600.0, result


def _false_alarms(scenario: Scenario, options: Options) -> list[str]:
    return [
        alert.condition for _, result in _steps(scenario, options) for alert in result.alerts if alert.state == "open"
    ]


def _lives(scenario: Scenario, options: Options) -> list[Life]:
    lives = {}
    for plan in scenario.motor:
        fault = plan.fault[0]
        assert fault.failure_h is not None
        lives[plan.id] = Life(fault.kind, fault.onset_h, fault.failure_h)
    for at_h, result in _steps(scenario, options):
        for alert in result.alerts:
            life = lives[alert.motor]
            if alert.state != "open" or not life.onset_h <= at_h <= life.failure_h:
                continue
            if alert.condition in (life.fault, ANOMALY):
                life.alarm_h = np.fmin(life.alarm_h, at_h)
                life.named |= alert.condition == life.fault
            else:
                life.misnamed = True
        for health in result.health:
            life = lives[health.motor]
            if at_h == life.alarm_h and health.contributions:
                life.blamed = next(iter(health.contributions))
            if np.isfinite(life.alarm_h) and at_h < life.failure_h and health.health is not None:
                ends = (getattr(health, name) for name in Told._fields[1:])
                life.told.append(Told(at_h, *(float("inf") if end is None else end for end in ends)))
    return list(lives.values())


def _covered(life: Life) -> NDArray[np.float64]:
    """Whether the truth lies within the 90 % and the 50 % interval, ``(readings, 2)``."""
    left = [life.failure_h - one.at_h for one in life.told]
    within = [
        (one.rul_low_h <= true <= one.rul_high_h, one.rul_q25_h <= true <= one.rul_q75_h)
        for one, true in zip(life.told, left, strict=True)
    ]
    return np.array(within, dtype=np.float64).reshape(-1, 2)


def _alpha_lambda(lives: list[Life]) -> tuple[int, int]:
    right = judged = 0
    for life in lives:
        if not life.told:
            continue
        middle = life.onset_h + LAMBDA * (life.failure_h - life.onset_h)
        nearest = min(life.told, key=lambda one: abs(one.at_h - middle))
        left = life.failure_h - nearest.at_h
        judged += 1
        right += abs(nearest.rul_h - left) <= ALPHA * left
    return right, judged


def _by_fault(lives: list[Life]) -> Table:
    rows = []
    for fault in TAUGHT:
        mine = [life for life in lives if life.fault == fault]
        if mine:
            leads = [life.lead for life in mine if np.isfinite(life.alarm_h)]
            inside = np.concatenate([_covered(life) for life in mine])
            rows.append(
                (
                    str(fault),
                    str(len(mine)),
                    f"{len(leads)}/{len(mine)}",
                    f"{sum(life.named for life in mine)}/{len(mine)}",
                    f"{np.median(leads):.2f}" if leads else "",
                    f"{inside[:, 0].mean():.2f}" if len(inside) else "",
                )
            )
    return Table("By fault", ("fault", "motors", "announced", "named", "median lead", "coverage 90 %"), tuple(rows))


def _picture(lives: list[Life]) -> Plot:
    drawn = canvas(8.0, 4.0)
    axes = drawn.add_subplot()
    for life in lives[:60]:
        if life.told:
            at, rul = np.array(life.told)[:, 0], np.array(life.told)[:, 1]
            span = life.failure_h - life.onset_h
            axes.plot((at - life.onset_h) / span, np.minimum(rul / span, 2.0), linewidth=0.5, alpha=0.7)
    axes.plot([0, 1], [1, 0], "k--", linewidth=1)
    axes.set_xlabel("share of life since onset")
    axes.set_ylabel("told remaining life, as a share (cut at 2)")
    return plot("Remaining life from the alarm on; dashed: truth", drawn)
