"""What goes wrong between the machine and the broker: failing sensors, wandering clocks, lost and doubled messages.

Both classes take the readings of one motor in order and give what arrives. They draw from a stream of their own, so a
scenario without impairments is the same bytes with and without this module.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.contract.messages import Reading

Hours = Annotated[float, Field(ge=0.0, le=200_000.0)]
Measured = Literal["accel_m_s2", "speed_rpm", "current_a", "load", "winding_c", "housing_c", "ambient_c"]
Kind = Literal["drift", "flat", "stuck", "gain", "noise", "absent"]

GHOST_M_S2 = 0.002
"""RMS of an accelerometer channel with nothing on it: its digitiser."""


class SensorFault(BaseModel):
    """One failure of one sensor.

    ``drift`` adds ``per_h`` for every hour; ``flat`` reports ``level`` (an accelerometer its digitiser's hiss);
    ``stuck`` repeats the last value or window; ``gain`` multiplies by ``level``; ``noise`` adds Gaussian noise of RMS
    ``level``; ``absent`` reports nothing. Units are the signal's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    signal: Measured
    kind: Kind
    onset_h: Hours = 0.0
    end_h: Annotated[Hours | None, Field(description="the sensor is replaced here")] = None
    per_h: Annotated[float, Field(ge=-1e4, le=1e4, description="drift per hour")] = 0.0
    level: Annotated[float, Field(ge=-1e4, le=1e4)] = 0.0

    @model_validator(mode="after")
    def _possible(self) -> SensorFault:
        if self.end_h is not None and self.end_h <= self.onset_h:
            raise ValueError(f"end_h={self.end_h:g} must lie after onset_h={self.onset_h:g}")
        if (self.kind == "drift") != (self.per_h != 0.0):
            raise ValueError("per_h belongs to kind 'drift', which needs it")
        if self.kind == "noise" and self.level <= 0.0:
            raise ValueError("level: kind 'noise' needs its RMS, above 0")
        return self

    def active(self, at_h: float) -> bool:
        """Whether it is there at this hour."""
        return self.onset_h <= at_h and (self.end_h is None or at_h < self.end_h)


class Cut(BaseModel):
    """The way to the broker is cut; readings wait at the sensor and come in order afterwards, or are lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    from_h: Hours
    to_h: Hours
    keep: Annotated[bool, Field(description="readings wait and come after the cut")] = True

    @model_validator(mode="after")
    def _ordered(self) -> Cut:
        if self.to_h <= self.from_h:
            raise ValueError(f"to_h={self.to_h:g} must lie after from_h={self.from_h:g}")
        return self


class Transit(BaseModel):
    """The way of one motor's messages."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    duplicates: Annotated[float, Field(ge=0.0, le=1.0, description="share of readings that arrive twice")] = 0.0
    swapped: Annotated[float, Field(ge=0.0, le=1.0, description="share that arrives after its successor")] = 0.0
    clock_drift_s_per_h: Annotated[float, Field(ge=-600.0, le=600.0, description="of the sensor's clock")] = 0.0
    cut: tuple[Cut, ...] = ()


class Impaired:
    """The sensors of one motor, failing as planned.

    Args:
        faults: what fails when.
        rng: source of hiss and noise.
    """

    def __init__(self, faults: Sequence[SensorFault], rng: np.random.Generator) -> None:
        self._faults = tuple(faults)
        self._rng = rng
        self._held: dict[int, Reading] = {}

    def __call__(self, reading: Reading, at_h: float) -> Reading:
        """What the sensors report in place of this reading."""
        for number, fault in enumerate(self._faults):
            if not fault.active(at_h):
                self._held[number] = reading
            elif fault.signal == "accel_m_s2":
                reading = self._shaken(reading, fault, at_h, self._held.get(number, reading))
            else:
                reading = self._scalar(reading, fault, at_h, self._held.get(number, reading))
            self._held.setdefault(number, reading)
        return reading

    def _scalar(self, reading: Reading, fault: SensorFault, at_h: float, held: Reading) -> Reading:
        value: float | None = getattr(reading, fault.signal)
        if value is None or fault.kind == "absent":
            told = None
        elif fault.kind == "stuck":
            told = getattr(held, fault.signal)
        else:
            told = {
                "drift": value + fault.per_h * (at_h - fault.onset_h),
                "flat": fault.level,
                "gain": value * fault.level,
                "noise": value + fault.level * float(self._rng.standard_normal()),
            }[fault.kind]
        return reading.model_copy(update={fault.signal: told})

    def _shaken(self, reading: Reading, fault: SensorFault, at_h: float, held: Reading) -> Reading:
        if fault.kind == "absent":
            return reading.model_copy(update={"accel_m_s2": {}, "fs_hz": None})
        told = {}
        for axis, samples in reading.accel_m_s2.items():
            hiss = self._rng.standard_normal(samples.shape, dtype=np.float32)
            told[axis] = {
                "drift": samples + np.float32(fault.per_h * (at_h - fault.onset_h)),
                "flat": np.float32(fault.level) + np.float32(GHOST_M_S2) * hiss,
                "stuck": held.accel_m_s2.get(axis, samples),
                "gain": samples * np.float32(fault.level),
                "noise": samples + np.float32(fault.level) * hiss,
            }[fault.kind]
        return reading.model_copy(update={"accel_m_s2": told})


class Journey:
    """The messages of one motor on their way.

    Args:
        transit: what happens to them.
        rng: source of chance.
    """

    def __init__(self, transit: Transit, rng: np.random.Generator) -> None:
        self._transit = transit
        self._rng = rng
        self._waiting: deque[Reading] = deque()
        self._overtaken: Reading | None = None

    def __call__(self, reading: Reading | None, at_h: float) -> tuple[Reading, ...]:
        """What arrives now: nothing, this reading, or several; ``None`` is a reading lost elsewhere."""
        way = self._transit
        twice, late = self._rng.random(2)
        if reading is not None:
            reading = reading.model_copy(update={"ts_s": reading.ts_s + way.clock_drift_s_per_h * at_h})
        cut = next((cut for cut in way.cut if cut.from_h <= at_h < cut.to_h), None)
        if cut is not None:
            if cut.keep and reading is not None:
                self._waiting.append(reading)
            return ()
        arrived = [*self._waiting]
        self._waiting.clear()
        if reading is not None and late < way.swapped and self._overtaken is None:
            self._overtaken = reading
            return tuple(arrived)
        if reading is not None:
            arrived += [reading, reading] if twice < way.duplicates else [reading]
        if self._overtaken is not None:
            arrived.append(self._overtaken)
            self._overtaken = None
        return tuple(arrived)
