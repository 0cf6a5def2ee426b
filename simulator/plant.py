"""A plant as discrete events: hundreds of motors that wear, fail, wait for crews and spares, and cost money meanwhile.

Every motor has three parts that age by exposure (``simulator.life``): bearing, winding, mounting. Load changes with the
shift and changes how fast they age; speed, current and winding temperature at each load come from the twin's circuit
and thermal network. A part shows first signs at a random share of its life, is developed half-way from there, and fails
at its end. A failed motor stops, its parts age no further, and it waits for a crew and for the spare; repair resets the
part it was done to and nothing else, a new motor resets all. The events are the truth for whoever plans maintenance.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from service.contract.faults import Fault
from simulator import twin
from simulator.life import Stress, Weibull
from simulator.parameter import draw
from simulator.population import population

if TYPE_CHECKING:
    from collections.abc import Generator

    from simulator.parameter import Values

Part = Literal["bearing", "winding", "mounting"]
Kind = Literal[
    "load_shift", "incipient", "developed", "failed", "spare_ordered", "spare_arrived", "repair_started", "repaired"
]
PARTS: tuple[Part, ...] = ("bearing", "winding", "mounting")

SHOWS: dict[Part, tuple[tuple[Fault, ...], tuple[float, ...]]] = {
    # Shares of bearing failures: EPRI/IEEE motor surveys and Harris ch. 23; races before elements before cage.
    "bearing": ((Fault.INNER_RACE, Fault.OUTER_RACE, Fault.BALL, Fault.CAGE), (0.35, 0.45, 0.13, 0.07)),
    "winding": ((Fault.OVERLOAD, Fault.COOLING), (0.5, 0.5)),
    "mounting": ((Fault.IMBALANCE, Fault.MISALIGNMENT, Fault.LOOSENESS), (0.4, 0.35, 0.25)),
}
"""What a wearing part looks like to vibration and temperature, and how often."""

LIVES: dict[Part, Weibull] = {
    "bearing": Weibull(shape=np.array(1.5)),
    "winding": Weibull(shape=np.array(3.0)),
    "mounting": Weibull(shape=np.array(1.2)),
}
SPARE: dict[Part, str | None] = {"bearing": "bearing", "winding": "motor", "mounting": None}
"""What a repair takes from the shelf; a burnt winding takes a whole motor."""

SHIFT_H = 8.0
SHIFTS = 3
"""The last of them is the night."""

REPAIR_SCATTER = 0.35
"""Log-normal scatter of repair times."""

Positive = Annotated[float, Field(gt=0.0, le=1e6)]
Shelf = Annotated[int, Field(ge=0, le=100_000)]


class PlantPlan(BaseModel):
    """A plant: what there is, what it costs, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    motors: Annotated[int, Field(ge=1, le=10_000)] = 200
    days: Annotated[float, Field(gt=0.0, le=36_500.0)] = 365.0
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    crews: Annotated[int, Field(ge=1, le=1000)] = 2
    bearings: Annotated[Shelf, Field(description="spare bearings on the shelf; each one used is ordered anew")] = 4
    spare_motors: Annotated[Shelf, Field(description="spare motors on the shelf")] = 1
    lead_bearing_h: Annotated[Positive, Field(description="from order to shelf")] = 72.0
    lead_motor_h: Positive = 504.0
    repair_bearing_h: Annotated[Positive, Field(description="median, hands on")] = 6.0
    repair_winding_h: Positive = 10.0
    repair_mounting_h: Positive = 3.0
    ambient_c: Annotated[float, Field(ge=-40.0, le=60.0)] = 25.0
    day_load: Annotated[float, Field(ge=0.05, le=1.2, description="share of rated torque in two of three shifts")] = (
        0.85
    )
    night_load: Annotated[float, Field(ge=0.05, le=1.2)] = 0.4
    ageing: Annotated[Positive, Field(description="how much faster everything ages than declared; 1 as declared")] = 1.0
    new: Annotated[bool, Field(description="all parts start as new instead of anywhere in their lives")] = False
    downtime_eur_min: Annotated[float, Field(ge=0.0, le=1e6)] = 12.0
    crew_eur_h: Annotated[float, Field(ge=0.0, le=1e5)] = 90.0
    bearing_eur: Annotated[float, Field(ge=0.0, le=1e7)] = 60.0
    motor_eur: Annotated[float, Field(ge=0.0, le=1e7)] = 1500.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``eur`` is what it cost; ``severity`` what a part had reached."""

    at_h: float
    motor: str
    kind: Kind
    part: str = ""
    fault: str = ""
    severity: float = 0.0
    load: float = 0.0
    eur: float = 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers."""

    motors: int
    hours: float
    failures: dict[str, int]
    repairs: int
    downtime_h: float
    availability: float
    downtime_eur: float
    repair_eur: float
    waited_for_crew_h: float
    waited_for_spare_h: float

    @property
    def total_eur(self) -> float:
        """Everything."""
        return self.downtime_eur + self.repair_eur


class _Wear(NamedTuple):
    """One part's way from new to failed: exposures of first signs, developed, failed; and what it will look like."""

    milestones: tuple[float, float, float]
    fault: Fault


STAGES: tuple[tuple[Kind, float], ...] = (("incipient", 0.15), ("developed", 0.5), ("failed", 1.0))


class Plant:
    """A plant in motion; ``run`` once.

    Args:
        plan: what there is.
    """

    def __init__(self, plan: PlantPlan) -> None:
        import simpy  # noqa: PLC0415 - optional, only plants need it

        self.plan = plan
        self.events: list[Event] = []
        self._env = simpy.Environment()
        self._crews = simpy.Resource(self._env, capacity=plan.crews)
        self._shelves = {
            "bearing": simpy.Container(self._env, init=plan.bearings),
            "motor": simpy.Container(self._env, init=plan.spare_motors),
        }
        self._rate = self._rates()
        self._down_h = np.zeros(plan.motors)
        self._waited = {"crew": 0.0, "spare": 0.0}
        self._spent_eur = 0.0

    def run(self) -> Summary:
        """Plays the plan to its end."""
        plan = self.plan
        end_h = plan.days * 24.0
        for row in range(plan.motors):
            self._env.process(self._motor(row, np.random.default_rng([plan.seed, 5, row])))
        self._env.run(until=end_h)
        down_h = float(self._down_h.sum())
        return Summary(
            motors=plan.motors,
            hours=end_h,
            failures=dict(Counter(event.part for event in self.events if event.kind == "failed")),
            repairs=sum(event.kind == "repaired" for event in self.events),
            downtime_h=down_h,
            availability=1.0 - down_h / (plan.motors * end_h),
            downtime_eur=down_h * 60.0 * plan.downtime_eur_min,
            repair_eur=self._spent_eur,
            waited_for_crew_h=self._waited["crew"],
            waited_for_spare_h=self._waited["spare"],
        )

    def _rates(self) -> Values:
        """Exposure per hour of every motor and part by day and by night, ``(motors, 2, len(PARTS))``."""
        plan = self.plan
        rng = np.random.default_rng([plan.seed, 4])
        machines = population(rng, plan.motors)
        stress = draw(Stress, rng, plan.motors)
        own = rng.uniform(0.85, 1.1, plan.motors)
        healthy = np.zeros((plan.motors, len(Fault)))
        rates = np.empty((plan.motors, 2, len(PARTS)))
        for shift, load in enumerate((plan.day_load, plan.night_load)):
            state = twin.operate(machines, healthy, load * own)
            winding_c = twin.steady(machines, state, plan.ambient_c).winding_c
            scales = (
                stress.bearing_h(state.load, state.operation.speed_rpm, LIVES["bearing"]),
                stress.insulation_h(winding_c),
                stress.mounting_h(state.load),
            )
            rates[:, shift] = plan.ageing / np.stack(scales, axis=1)
        return rates

    def _motor(self, row: int, rng: np.random.Generator) -> Generator[Any, Any, None]:
        """One motor's life: ages, shift by shift, from milestone to milestone."""
        env, name = self._env, f"motor-{row + 1:03d}"
        wear = [self._new(part, rng) for part in PARTS]
        age = np.zeros(len(PARTS)) if self.plan.new else rng.random(len(PARTS))
        used = age * np.array([part.milestones[-1] for part in wear])
        stage = [0] * len(PARTS)
        ahead = int(rng.integers(0, SHIFTS))
        shift = 0
        while True:
            shift = max(shift, int(env.now / SHIFT_H))
            night = int((shift + ahead) % SHIFTS == SHIFTS - 1)
            left_h = max((shift + 1) * SHIFT_H - env.now, 0.0)
            rate = self._rate[row, night]
            due = np.array([w.milestones[s] for w, s in zip(wear, stage, strict=True)])
            due_h = np.maximum(due - used, 0.0) / rate
            part = int(np.argmin(due_h))
            step_h = min(float(due_h[part]), left_h)
            yield env.timeout(step_h)
            used += rate * step_h
            if due_h[part] > step_h:
                shift += 1
                tonight = int((shift + ahead) % SHIFTS == SHIFTS - 1)
                if tonight != night:
                    self._tell(name, "load_shift", load=(self.plan.day_load, self.plan.night_load)[tonight])
                continue
            kind, severity = STAGES[stage[part]]
            self._tell(name, kind, PARTS[part], wear[part].fault, severity)
            stage[part] += 1
            if kind == "failed":
                yield from self._repair(row, name, PARTS[part], wear[part].fault, rng)
                # A new motor has new parts; any other repair leaves the other parts as old as they are.
                for fresh in range(len(PARTS)) if SPARE[PARTS[part]] == "motor" else (part,):
                    used[fresh], stage[fresh], wear[fresh] = 0.0, 0, self._new(PARTS[fresh], rng)

    def _new(self, part: Part, rng: np.random.Generator) -> _Wear:
        """A new part: how long it will live, when it will show, and as what."""
        end = float(LIVES[part].drawn(rng, 1)[0])
        onset = rng.uniform(0.6, 0.95) * end
        faults, shares = SHOWS[part]
        return _Wear((onset, 0.5 * (onset + end), end), faults[int(rng.choice(len(faults), p=shares))])

    def _repair(
        self, row: int, name: str, part: Part, fault: Fault, rng: np.random.Generator
    ) -> Generator[Any, Any, None]:
        """From the stop to running again: spare, crew, hands on."""
        env, plan = self._env, self.plan
        stopped_h = env.now
        clock = env.process(self._count(row))
        cost = 0.0
        spare = SPARE[part]
        if spare is not None:
            env.process(self._ordered(name, spare))
            yield self._shelves[spare].get(1)
            self._waited["spare"] += env.now - stopped_h
            cost += {"bearing": plan.bearing_eur, "motor": plan.motor_eur}[spare]
        asked_h = env.now
        with self._crews.request() as crew:
            yield crew
            self._waited["crew"] += env.now - asked_h
            self._tell(name, "repair_started", part, fault)
            median_h = {
                "bearing": plan.repair_bearing_h,
                "winding": plan.repair_winding_h,
                "mounting": plan.repair_mounting_h,
            }[part]
            hands_on_h = median_h * float(np.exp(REPAIR_SCATTER * rng.standard_normal()))
            yield env.timeout(hands_on_h)
        clock.interrupt()
        cost += hands_on_h * plan.crew_eur_h
        self._spent_eur += cost
        self._tell(name, "repaired", part, fault, eur=cost + (env.now - stopped_h) * 60.0 * plan.downtime_eur_min)

    def _count(self, row: int) -> Generator[Any, Any, None]:
        """Downtime as it passes, so that a stop that outlasts the run counts too."""
        import simpy  # noqa: PLC0415 - as above

        started_h = self._env.now
        end_h = self.plan.days * 24.0
        self._down_h[row] += end_h - started_h
        try:
            yield self._env.timeout(max(end_h - started_h, 0.0) + 1.0)
        except simpy.Interrupt:
            self._down_h[row] -= end_h - self._env.now

    def _ordered(self, name: str, spare: str) -> Generator[Any, Any, None]:
        """What is taken is ordered anew."""
        self._tell(name, "spare_ordered", spare)
        yield self._env.timeout(self.plan.lead_bearing_h if spare == "bearing" else self.plan.lead_motor_h)
        yield self._shelves[spare].put(1)
        self._tell(name, "spare_arrived", spare)

    def _tell(
        self,
        motor: str,
        kind: Kind,
        part: str = "",
        fault: str = "",
        severity: float = 0.0,
        *,
        load: float = 0.0,
        eur: float = 0.0,
    ) -> None:
        self.events.append(Event(float(self._env.now), motor, kind, part, str(fault), severity, load, eur))


COLUMNS = tuple(field.name for field in fields(Event))
"""Columns of an event table."""
