"""Motors that live through the edge's own core with both bundles: every reading is made once and judged twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from service import monitor
from service.contract.faults import ANOMALY, Fault
from simulator.fleet import Fleet
from training.evaluate import fleet
from training.gate.slice import Slice, summed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from service.bundle import Bundle
    from service.contract.messages import Alert, Health, Reading
    from simulator.scenario import FaultPlan, MotorPlan, Scenario

SEED = 8_000_000
"""First seed of the gate's fleets; evaluation draws from 7,000,000 on, training draws no fleets."""
MOTORS = 54
"""Six of each fault in a failing fleet."""
_CAP_H = 1000.0
_MISSED, _MISSED_ONE = 0.05, 0.17
_NAMED, _FALSE_PER_DAY, _LEAD, _INTERVAL = 0.06, 0.02, 0.05, 0.1
_ALPHA = 0.1


@dataclass(slots=True)
class Life:
    """What one bundle said of one motor: share of the life left at the alarm (0: missed), and interval scores."""

    recalled: bool = False
    named: bool = False
    lead: float = 0.0
    scores: list[float] = field(default_factory=list)
    false_alarms: int = 0


@dataclass(slots=True)
class Told:
    """Both bundles' lives by motor, champion first, and how many readings the candidate alone could not answer."""

    healthy: list[tuple[Life, Life]]
    failing: list[tuple[Fault, Life, Life]]
    healthy_days: float
    readings: int
    withheld: int


def replay(
    champion: Bundle, candidate: Bundle, *, fleets: int, motors: int, days: float, told: Callable[[str], None]
) -> Told:
    """``fleets`` of sound and of failing motors, the same ones on every call."""
    pair = (champion, candidate)
    found = Told([], [], days, 0, 0)
    for index in range(fleets):
        scenario = fleet.healthy(SEED + index, motors, days)
        found.healthy += [(lives[0], lives[1]) for lives in _lives(scenario, pair, found).values()]
        told(f"sound fleet {index + 1} of {fleets}: {motors} motors, {days:g} days")
        scenario = fleet.failing(SEED + 1000 + index, motors)
        lived = _lives(scenario, pair, found)
        found.failing += [(plan.fault[0].kind, *lived[plan.id]) for plan in scenario.motor]
        told(f"failing fleet {index + 1} of {fleets}: {motors} motors")
    return found


def slices(found: Told) -> list[Slice]:
    """Missed detections in all and by fault, names, lead, life's interval; false alarms per motor-day."""
    fault = np.array([str(kind) for kind, _, _ in found.failing])
    unit = np.arange(len(fault))
    theirs, ours = [life for _, life, _ in found.failing], [life for _, _, life in found.failing]

    def pick(value: Callable[[Life], float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array([value(life) for life in theirs]), np.array([value(life) for life in ours])

    missed = pick(lambda life: not life.recalled)
    named, lead = pick(lambda life: life.named), pick(lambda life: life.lead)
    made = [
        summed(
            "missed",
            "failing motors without an alert before failure",
            unit,
            *missed,
            higher_is_better=False,
            margin=_MISSED,
        )
    ]
    for kind in np.unique(fault):
        mine = fault == kind
        made.append(
            summed(
                f"{kind}.missed",
                "motors failing by this fault without an alert before failure",
                unit[mine],
                missed[0][mine],
                missed[1][mine],
                higher_is_better=False,
                margin=_MISSED_ONE,
            )
        )
    made += [
        summed("named", "failing motors whose fault was named", unit, *named, higher_is_better=True, margin=_NAMED),
        summed("lead", "share of onset to failure left at the alarm", unit, *lead, higher_is_better=True, margin=_LEAD),
        Slice(
            "life.interval_score_h",
            "score of the 90 % interval of remaining life, in hours: its width and 20 times what lies outside",
            higher_is_better=False,
            margin=_INTERVAL,
            champion=np.array([sum(life.scores) for life in theirs]),
            candidate=np.array([sum(life.scores) for life in ours]),
            weight=np.array([float(len(life.scores)) for life in theirs]),
            relative=True,
        ),
        Slice(
            "false_alarms_per_motor_day",
            "alerts that open on sound motors, one reading an hour",
            higher_is_better=False,
            margin=_FALSE_PER_DAY,
            champion=np.array([float(life.false_alarms) for life, _ in found.healthy]),
            candidate=np.array([float(life.false_alarms) for _, life in found.healthy]),
            weight=np.full(len(found.healthy), found.healthy_days),
        ),
    ]
    return made


def _lives(scenario: Scenario, pair: tuple[Bundle, Bundle], found: Told) -> dict[str, tuple[Life, Life]]:
    plans = {plan.id: plan for plan in scenario.motor}
    lives = {name: (Life(), Life()) for name in plans}
    for at_h, readings, results in _steps(scenario, pair):
        found.readings += len(readings)
        found.withheld += len({one.index for one in results[1].failures} - {one.index for one in results[0].failures})
        for side, result in enumerate(results):
            for alert in result.alerts:
                if alert.state == "open":
                    _alarmed(lives[alert.motor][side], plans[alert.motor].fault, alert, at_h)
        _scored(lives, plans, results, at_h)
    return lives


def _alarmed(life: Life, fault: Sequence[FaultPlan], alert: Alert, at_h: float) -> None:
    if not fault:
        life.false_alarms += 1
        return
    onset, failure = fault[0].onset_h, fault[0].failure_h or 0.0
    if not onset <= at_h <= failure or alert.condition not in (fault[0].kind, ANOMALY):
        return
    life.named |= alert.condition == fault[0].kind
    if not life.recalled:
        life.recalled, life.lead = True, (failure - at_h) / (failure - onset)


def _scored(
    lives: dict[str, tuple[Life, Life]],
    plans: dict[str, MotorPlan],
    results: Sequence[monitor.StepResult],
    at_h: float,
) -> None:
    """Interval scores over the second half of a life, of readings that the champion answered."""
    said = [{health.motor: health for health in result.health if health.health is not None} for result in results]
    for motor in said[0].keys() & {name for name, plan in plans.items() if plan.fault}:
        champion, candidate = lives[motor]
        onset, failure = plans[motor].fault[0].onset_h, plans[motor].fault[0].failure_h or 0.0
        if not 0.5 * (onset + failure) <= at_h < failure:
            continue
        left_h = failure - at_h
        champion.scores.append(_interval_score(said[0][motor], left_h))
        # an answer that is missing is as good as one that says nothing
        candidate.scores.append(_interval_score(said[1].get(motor), left_h))


def _interval_score(health: Health | None, left_h: float) -> float:
    """Width and penalty of a 90 % interval (Gneiting and Raftery, JASA 102 (2007) 359-378, eq. 43), capped in hours."""
    if health is None:
        low, high = 0.0, _CAP_H
    else:
        low, high = (_CAP_H if end is None else min(end, _CAP_H) for end in (health.rul_low_h, health.rul_high_h))
    return (high - low) + 2.0 / _ALPHA * (max(low - left_h, 0.0) + max(left_h - high, 0.0))


def _steps(
    scenario: Scenario, pair: tuple[Bundle, Bundle]
) -> Iterator[tuple[float, list[Reading], list[monitor.StepResult]]]:
    """Hours since the start, what came, and what each bundle made of it."""
    moving = Fleet(scenario)
    profiles = {one.motor: monitor.profile_of(one) for one in moving.births(interval_s=3600.0, clock="simulated")}
    states = [monitor.FleetState(), monitor.FleetState()]
    for tick in moving.ticks():
        readings = [reading for reading in tick.readings if reading is not None]
        results = [
            monitor.step(state, readings, profiles, models, now_ts_s=tick.ts_s, policy=monitor.Policy())
            for state, models in zip(states, pair, strict=True)
        ]
        states = [result.state for result in results]
        yield (tick.ts_s - moving.start_ts_s) / 3600.0, readings, results
