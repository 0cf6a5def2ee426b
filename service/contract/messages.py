"""Every MQTT payload as a type. The AsyncAPI document is generated from here; units stand in the field names."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, LiteralString, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError, SchemaValidator, core_schema

from service.contract.bearing import BearingGeometry
from service.contract.faults import Fault
from service.contract.topics import ID_PATTERN

MAX_SAMPLES = 131_072
"""Samples per axis that one reading may carry."""

MAX_PAYLOAD_BYTES = 1_048_576
"""A larger payload is refused unread."""

_assign = object.__setattr__  # past the freezing

Id = Annotated[str, Field(pattern=ID_PATTERN, description="1-64 letters, digits, '_', '.', '-'")]
Axis = Literal["x", "y", "z"]
AXES: tuple[str, ...] = get_args(Axis)
Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
UnixSeconds = Annotated[
    float, Field(ge=946_684_800.0, le=4_102_444_800.0, allow_inf_nan=False, description="Unix time, seconds, UTC")
]
Sequence = Annotated[int, Field(ge=0, le=2**53 - 1, description="counts up by one within a boot")]


_numbers = SchemaValidator(
    core_schema.list_schema(core_schema.float_schema(strict=True, allow_inf_nan=False), fail_fast=True)
)


def _samples(value: Any) -> NDArray[np.float32]:
    """One axis as finite float32 ``(n,)``, 1..MAX_SAMPLES; a bool or a text is not a number."""
    array: NDArray[np.floating]
    if not isinstance(value, list | np.ndarray):
        raise PydanticCustomError("samples_not_numbers", "samples must be a list of numbers")
    if len(value) == 0:
        raise PydanticCustomError("samples_empty", "samples are empty")
    if len(value) > MAX_SAMPLES:
        raise PydanticCustomError(
            "samples_too_many", "{count} samples exceed {limit}", {"count": len(value), "limit": MAX_SAMPLES}
        )
    if isinstance(value, list):
        try:
            # fromiter would take a text or None for a number, but after the check there is none
            array = np.fromiter(_numbers.validate_python(value), dtype=np.float64, count=len(value))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            kind: LiteralString = "samples_not_finite" if first["type"] == "finite_number" else "samples_not_numbers"
            raise PydanticCustomError(
                kind, "sample {index}: {message}", {"index": first["loc"][0], "message": first["msg"]}
            ) from None
    else:
        array = value
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise PydanticCustomError("samples_not_numbers", "samples must be one flat array of numbers")
    single: NDArray[np.float32] = array
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            single = array.astype(np.float32)
    # the sum of squares is finite only where every value is; where it is not, it may merely be large
    if not math.isfinite(single.dot(single)) and not np.isfinite(single).all():
        raise PydanticCustomError("samples_not_finite", "samples hold NaN, infinity or values beyond float32")
    return single


Samples = Annotated[
    NDArray[np.float32],
    PlainValidator(_samples),
    PlainSerializer(lambda array: array.tolist(), return_type=list[float]),
    WithJsonSchema(
        {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 1,
            "maxItems": MAX_SAMPLES,
            "description": "JSON: numbers in m/s^2. CBOR: the same, or RFC 8746 typed array tag 85 (float32, m/s^2) "
            "or tag 77 (int16 counts times accel_scale_m_s2), both little-endian",
        }
    ),
]


class Message(BaseModel):
    """Base of every payload: unknown fields are errors, so that a typo is not a silently missing sensor."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """A message of our own making: every field, in their order, of the right type and range; nothing is checked.

        Checking costs more than all else that is done to a message on its way out.
        """
        message = cls.__new__(cls)
        _assign(message, "__dict__", fields)
        _assign(message, "__pydantic_fields_set__", set(fields))
        _assign(message, "__pydantic_extra__", None)
        _assign(message, "__pydantic_private__", None)
        return message


class Reading(Message):
    """One measurement window of one motor. Any scalar may be missing; without ``accel_m_s2`` only scalars count."""

    motor: Id
    boot: Annotated[Id, Field(description="changes at every start of the sensor; with seq it names a reading")]
    seq: Sequence
    ts_s: Annotated[UnixSeconds, Field(description="time of the window's first sample, Unix seconds, UTC")]
    fs_hz: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, description="sampling rate")] | None = None
    accel_m_s2: Annotated[
        dict[Axis, Samples], Field(description="acceleration by axis; x is radial at the drive end")
    ] = {}
    accel_scale_m_s2: (
        Annotated[float, Field(gt=0, allow_inf_nan=False, description="m/s^2 per count, for int16 samples")] | None
    ) = None
    speed_rpm: Finite | None = None
    current_a: Finite | None = None
    load: Annotated[Finite, Field(description="shaft torque as a fraction of rated torque")] | None = None
    winding_c: Finite | None = None
    housing_c: Finite | None = None
    ambient_c: Finite | None = None


class Nameplate(Message):
    """What the plate says, plus the thermal behaviour at rated load that the models compare with."""

    rated_power_w: Annotated[float, Field(ge=1e-3, le=1e8, allow_inf_nan=False)]
    rated_speed_rpm: Annotated[float, Field(ge=1, le=60_000, allow_inf_nan=False)]
    rated_current_a: Annotated[float, Field(ge=1e-3, le=20_000, allow_inf_nan=False)] | None = None
    supply_hz: Annotated[float, Field(ge=1, le=1000, allow_inf_nan=False)] = 50.0
    poles: Annotated[int, Field(ge=2, le=48, multiple_of=2)] = 4
    winding_rise_k: Annotated[
        float, Field(ge=0.1, le=250, allow_inf_nan=False, description="winding over ambient at rated load, steady")
    ] = 80.0
    housing_rise_k: Annotated[
        float, Field(ge=0.1, le=200, allow_inf_nan=False, description="housing over ambient at rated load, steady")
    ] = 40.0
    thermal_tau_s: Annotated[
        float, Field(ge=1, le=1e6, allow_inf_nan=False, description="slowest thermal time constant")
    ] = 2400.0


class Sensor(Message):
    """One sensor the motor carries."""

    signal: Annotated[str, Field(max_length=64, description="message field, or accel_m_s2.x for an axis")]
    unit: Annotated[str, Field(max_length=16)]
    low: Finite | None = None
    high: Finite | None = None


class Birth(Message):
    """A motor introduces itself (retained). The edge reads from here what the models need to know of it."""

    motor: Id
    ts_s: UnixSeconds
    name: Annotated[str, Field(max_length=128)] = ""
    nameplate: Nameplate
    bearing: Annotated[BearingGeometry | None, Field(description="drive-end bearing; None: bearing faults unnamed")] = (
        None
    )
    sensors: Annotated[tuple[Sensor, ...], Field(max_length=32, strict=False)] = ()
    interval_s: Annotated[
        float, Field(gt=0, le=86_400, allow_inf_nan=False, description="time between readings on the edge's own clock")
    ] = 60.0
    clock: Annotated[
        Literal["wall", "simulated"],
        Field(description="simulated: ts_s is the twin's or a recording's time and is not compared with the edge's"),
    ] = "wall"


class Health(Message):
    """What the edge knows of one motor after one reading (retained)."""

    motor: Id
    ts_s: UnixSeconds
    boot: Id
    seq: Sequence
    state: Literal["ok", "warning", "alarm"]
    diagnosis: Annotated[str, Field(description="a fault, 'anomaly' or 'healthy'")]
    anomaly: Annotated[
        float | None,
        Field(
            description="1 is the alarm threshold; the models' score, or the level over the motor's own start where "
            "that is larger; None without vibration"
        ),
    ] = None
    probabilities: dict[Fault, Fraction] = {}
    severity: Annotated[Fraction | None, Field(description="0 as new, 1 failed")] = None
    health: Annotated[Fraction | None, Field(description="health index: 1 as new, 0 failed")] = None
    rul_h: Annotated[float | None, Field(ge=0, description="remaining useful life, None: no trend to failure")] = None
    rul_low_h: Annotated[float | None, Field(ge=0, description="lower end of the 90 % interval")] = None
    rul_high_h: Annotated[float | None, Field(ge=0, description="upper end of the 90 % interval, None: open")] = None
    rul_q25_h: Annotated[float | None, Field(ge=0, description="lower quartile, None: not told by this bundle")] = None
    rul_q75_h: Annotated[float | None, Field(ge=0, description="upper quartile, None: open, or not told")] = None
    nis: Annotated[float | None, Field(ge=0, description="normalised innovation squared of the filter")] = None
    missing: Annotated[tuple[str, ...], Field(description="signals that were absent, implausible or flat")] = ()
    flat: Annotated[tuple[str, ...], Field(description="signals that stand still and were left out")] = ()
    drift: Annotated[
        tuple[str, ...],
        Field(
            description="signals that have left the motor's own past, for hours by now: their level, or what the "
            "health filter expects of a temperature"
        ),
    ] = ()
    contributions: Annotated[
        dict[str, Fraction] | None, Field(description="what drives the anomaly score: the three largest shares of it")
    ] = None
    model: Annotated[str, Field(description="first 12 hex digits of the bundle's digest")]


class Alert(Message):
    """One alert's present state (retained). It ends with ``clear``, always."""

    id: Annotated[str, Field(max_length=160, description="stable over the alert's life and over restarts")]
    motor: Id
    condition: Annotated[str, Field(description="a fault or 'anomaly'")]
    state: Literal["open", "update", "clear"]
    revision: Annotated[int, Field(ge=0, description="counts the alert's messages; consumers keep the highest")]
    opened_ts_s: UnixSeconds
    ts_s: UnixSeconds
    severity: Fraction | None = None
    probability: Fraction | None = None
    anomaly: float | None = None
    rul_h: Annotated[float, Field(ge=0)] | None = None
    reason: Annotated[str, Field(max_length=400, description="one sentence for a person")]
    model: str


class MotorAvailability(Message):
    """Whether a motor's sensor is heard (retained). Not whether the service lives: that is the node's."""

    motor: Id
    state: Literal["online", "silent"]
    ts_s: Annotated[UnixSeconds, Field(description="the edge's clock at the change")]
    node: Id


class NodeAvailability(Message):
    """Whether an edge node lives (retained; ``offline`` is its last will)."""

    node: Id
    state: Literal["online", "offline"]
    ts_s: UnixSeconds
    version: str = ""
    model: str = ""


Reason = Literal[
    "oversized",
    "undecodable",
    "invalid",
    "not_finite",
    "empty",
    "topic",
    "unknown_motor",
    "sampling",
    "duplicate",
    "out_of_order",
    "past",
    "future",
    "unprocessable",
]


class Rejection(Message):
    """A payload that was refused: why, which field, what to do. At most a few a second; the rest is counted."""

    node: Id
    ts_s: UnixSeconds
    topic: Annotated[str, Field(max_length=256)]
    reason: Reason
    field: Annotated[str, Field(max_length=128)]
    detail: Annotated[str, Field(max_length=400)]
    remedy: Annotated[str, Field(max_length=400)]
    suppressed: Annotated[int, Field(ge=0, description="rejections counted but not published since the last one")] = 0


class Truth(Message):
    """What the twin knows (its own topic; the edge never reads it)."""

    motor: Id
    boot: Id
    seq: Sequence
    ts_s: UnixSeconds
    faults: dict[Fault, Fraction] = {}
    failed: bool = False
    failure_ts_s: UnixSeconds | None = None
    rul_h: Annotated[float, Field(ge=0)] | None = None
