"""Scenarios: which motors, which duty, which faults when. Plain TOML, checked key by key.

A scenario says everything but the wall clock: the same file and seed give the same readings.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from service.contract.bearing import BearingGeometry
from service.contract.faults import Fault
from service.contract.messages import MAX_SAMPLES, Axis, Id, Nameplate
from service.contract.signals import OPERATING
from simulator import catalogue, limits
from simulator.circuit import Circuit, Rating
from simulator.degradation import Law
from simulator.driven import Driven
from simulator.duty import Profile
from simulator.impairment import SensorFault, Transit
from simulator.parameter import OutOfRangeError
from simulator.unsteady import Critical, SupplyPlan, TransientPlan

FOLDER = Path(__file__).parent / "scenarios"
EXAMPLE = "demo"

Hours = Annotated[float, Field(ge=0.0, le=200_000.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Signal = Literal["speed_rpm", "current_a", "load", "winding_c", "housing_c", "ambient_c"]


class ScenarioError(Exception):
    """A scenario that cannot be used; one line with file, key and remedy."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FaultPlan(_Part):
    """One fault of one motor: it grows from onset to failure, or stays at a fixed severity from onset on."""

    kind: Fault
    onset_h: Hours = 0.0
    failure_h: Annotated[Hours | None, Field(description="severity reaches 1")] = None
    severity: Annotated[Share | None, Field(description="fixed severity instead of growth")] = None
    law: Annotated[Law | None, Field(description="exponential or crack; drawn where absent")] = None
    repair_h: Annotated[Hours | None, Field(description="the fault is gone from here on")] = None

    @model_validator(mode="after")
    def _ordered(self) -> FaultPlan:
        if (self.failure_h is None) == (self.severity is None):
            raise ValueError("give either failure_h (it grows) or severity (it stays)")
        if self.failure_h is not None and self.failure_h <= self.onset_h:
            raise ValueError(f"failure_h={self.failure_h:g} must lie after onset_h={self.onset_h:g}")
        if self.repair_h is not None and self.repair_h <= self.onset_h:
            raise ValueError(f"repair_h={self.repair_h:g} must lie after onset_h={self.onset_h:g}")
        return self


class Mounting(_Part):
    """The accelerometer's mounting resonance."""

    hz: Annotated[float, Field(ge=500.0, le=50_000.0)]
    damping: Annotated[float, Field(ge=0.001, le=0.7)] = 0.03


class LoadPlan(_Part):
    """The duty: load as a fraction of rated torque."""

    profile: Profile = "constant"
    level: Annotated[float, Field(ge=0.0, le=1.5)] = 0.75
    low: Annotated[float, Field(ge=0.0, le=1.5, description="night load of 'shift', lower end of 'random'")] = 0.3


def _known(value: Any) -> Any:
    return catalogue.bearing(value) if isinstance(value, str) else value


class DataSheet(_Part):
    """What a maker's data sheet says; what it does not is typical of such a motor."""

    power_w: Annotated[float, Field(ge=50.0, le=5e6)]
    poles: Annotated[int, Field(ge=2, le=48, multiple_of=2)] = 4
    supply_hz: Annotated[float, Field(ge=5.0, le=400.0)] = 50.0
    voltage_v: Annotated[float | None, Field(ge=24.0, le=15_000.0, description="line to line")] = None
    speed_rpm: Annotated[float | None, Field(ge=100.0, le=20_000.0, description="at rated load")] = None
    efficiency: Annotated[float | None, Field(ge=0.3, le=0.995)] = None
    power_factor: Annotated[float | None, Field(ge=0.3, le=0.98)] = None
    breakdown_ratio: Annotated[float | None, Field(ge=1.5, le=6.0, description="breakdown over rated torque")] = None


class MotorPlan(_Part):
    """One motor: its plate, bearing, duty, sensors and faults."""

    id: Id
    name: Annotated[str, Field(max_length=128)] = ""
    rating: Annotated[str, Field(description="like 7.5kW-4p-50Hz")] = "1.5kW-4p-50Hz"
    nameplate: Annotated[Nameplate | None, Field(description="in place of rating")] = None
    data_sheet: Annotated[DataSheet | None, Field(description="in place of rating")] = None
    bearing: Annotated[BearingGeometry | None, BeforeValidator(_known), Field(description="name or geometry")] = None
    load: LoadPlan = LoadPlan()
    drive: Annotated[float, Field(ge=0.3, le=1.1, description="drive frequency over rated")] = 1.0
    ambient_c: Annotated[float, Field(ge=-40.0, le=60.0)] = 22.0
    ambient_swing_k: Annotated[float, Field(ge=0.0, le=20.0)] = 3.0
    missing: Annotated[tuple[Signal, ...], Field(description="signals this motor has no sensor for")] = ()
    drop_out: Annotated[Share, Field(description="share of readings that get lost on the way")] = 0.0
    gaps: Annotated[Share, Field(description="share of single values that are missing")] = 0.0
    supply: Annotated[tuple[SupplyPlan, ...], Field(description="when the supply is not sound")] = ()
    transient: Annotated[tuple[TransientPlan, ...], Field(description="starts, load steps, ramps of the drive")] = ()
    critical: Annotated[Critical | None, Field(description="a mode that a run-up crosses")] = None
    mounting: Annotated[Mounting | None, Field(description="how the accelerometer is fixed; default stiff")] = None
    driven: Annotated[Driven | None, Field(description="what the driven machine adds to the vibration")] = None
    sensor_fault: tuple[SensorFault, ...] = ()
    transit: Annotated[Transit | None, Field(description="what happens to the messages on their way")] = None
    fault: tuple[FaultPlan, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> MotorPlan:
        if self.nameplate is not None and self.data_sheet is not None:
            raise ValueError("give nameplate or data_sheet, not both")
        # A plate that contradicts itself has no circuit.
        Circuit.of(self.plate())
        kinds = [plan.kind for plan in self.fault]
        for kind in kinds:
            spans = sorted((p.onset_h, p.repair_h or float("inf")) for p in self.fault if p.kind == kind)
            if any(end > start for (_, end), (start, _) in pairwise(spans)):
                raise ValueError(f"fault kind '{kind}' comes again before it is repaired; add repair_h to the first")
        return self

    def plate(self) -> Rating:
        """Rating by name or nameplate; ``ValueError`` for an impossible one."""
        if self.data_sheet is not None:
            told = self.data_sheet.model_dump(exclude_none=True)
            return catalogue.of_data_sheet(told.pop("power_w"), told.pop("poles"), told.pop("supply_hz"), told)
        return catalogue.named(self.rating) if self.nameplate is None else catalogue.of_nameplate(self.nameplate)

    def geometry(self) -> BearingGeometry:
        """The bearing: as given, or what a motor of this power usually has."""
        return self.bearing or catalogue.usual_bearing(float(self.plate().power_w))


class Sampling(_Part):
    """How the accelerometers sample."""

    fs_hz: Annotated[float, Field(ge=1000.0, le=100_000.0)] = 12_800.0
    samples: Annotated[int, Field(ge=256, le=MAX_SAMPLES)] = 4096
    axes: Annotated[tuple[Axis, ...], Field(min_length=1, max_length=3)] = ("x",)


class Scenario(_Part):
    """A whole scenario."""

    title: str
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    start: datetime = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
    duration_h: Annotated[Hours, Field(gt=0.0)]
    step_h: Annotated[Hours, Field(gt=0.0, description="time between readings")]
    sampling: Sampling = Sampling()
    motor: Annotated[tuple[MotorPlan, ...], Field(min_length=1, max_length=10_000)]

    @model_validator(mode="after")
    def _consistent(self) -> Scenario:
        if self.step_h > self.duration_h:
            raise ValueError(f"step_h={self.step_h:g} must not exceed duration_h={self.duration_h:g}")
        if self.start.tzinfo is None:
            raise ValueError("start needs a time zone, for example 2026-01-05T06:00:00Z")
        for row, motor in enumerate(self.motor):
            if motor.mounting is not None and motor.mounting.hz >= 0.5 * self.sampling.fs_hz:
                raise ValueError(
                    f"motor[{row}].mounting.hz={motor.mounting.hz:g} must lie below half of "
                    f"sampling.fs_hz={self.sampling.fs_hz:g}"
                )
        ids = [motor.id for motor in self.motor]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"motor ids must differ; {', '.join(twice)} comes twice")
        return self


def gallery() -> dict[str, Path]:
    """The scenarios that come with the twin, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def load(source: str | Path) -> Scenario:
    """A scenario from a file, or from the gallery by name; raises ``ScenarioError``."""
    path = gallery().get(str(source), Path(source))
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ScenarioError(f"{source}: no such file, nor a scenario named {', '.join(gallery())}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{path}: not TOML: {error}") from None
    return parse(body, where=str(path))


def parse(body: dict[str, Any], *, where: str = "scenario") -> Scenario:
    """A scenario from parsed TOML; raises ``ScenarioError``."""
    try:
        return Scenario.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = _key(first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            near = limits.meant(Scenario, first["loc"])
            text = "unknown key" if near is None else f"unknown key; did you mean {near}?"
        elif first["type"] in limits.RANGE_ERRORS:
            text = f"must lie {limits.declared(Scenario, first['loc'])}"
        raise ScenarioError(f"{where}: {key}{text}{_hint(first)}") from None
    except OutOfRangeError as error:
        raise ScenarioError(f"{where}: {error}") from None


def _key(loc: tuple[int | str, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return f"{text.removeprefix('.')}: " if text else ""


def _hint(error: Any) -> str:
    value = error.get("input")
    return f" (got {value!r:.60})" if isinstance(value, str | int | float) else ""


assert set(OPERATING) == set(get_args(Signal))
