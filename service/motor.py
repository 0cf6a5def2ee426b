"""What the edge knows of one motor: its profile (from the birth message) and its state (from its readings).

``MotorState`` is a value: immutable, comparable, and made of plain bytes where it holds arrays, so that stacking a
batch of motors is one ``b"".join`` and saving one is a copy. Only ``service.monitor`` looks inside it.

Stored form, little-endian: magic ``MTWN``, format number, CRC-32 of the rest, then counts, filter, alarm arrays, boots,
the open alerts as JSON, and what is known of drift, of sensors that stand still, of the level at the start and of
innovations. A format number that is not ours or one of the three before is refused, never guessed at.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeVar, overload

import numpy as np
from pydantic import TypeAdapter, ValidationError

from service.contract.faults import CONDITIONS
from service.contract.messages import Alert, Birth
from service.contract.topics import is_id
from service.errors import CorruptState
from service.steady import NEVER, Moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MAGIC = b"MTWN"
_FORMAT = 5
_TAILS = {2: struct.Struct("<"), 3: struct.Struct("<HH"), 4: struct.Struct("<HHH"), _FORMAT: struct.Struct("<HHHH")}
"""By format, the lengths of drift, still, level and innovation: formats before this one are read too, so that an
upgrade forgets nothing; 2 knew nothing of drift, 3 nothing of the level, 4 nothing of innovations."""
_PREFIX = struct.Struct("<4sHI")
# filter_ts_s, peak_ms, peak_revision, heard.run, heard.s, then lengths: schema, states, conditions, boots, alerts
_HEAD = struct.Struct("<dqIIdHHBBI")
_MARK = struct.Struct("<QdQB")  # seq, ts_s, seen, length of the boot id
_ALERTS = TypeAdapter(tuple[Alert, ...])
_MAX_STATES = 64

_T = TypeVar("_T")

SEEN_BITS = 64
"""How many sequence numbers back a repeated reading is told from a late one."""

KNOWN_BOOTS = 4
"""Boots that are remembered, so that a late repetition from an earlier one is not taken for a restart."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What the models need to know of a motor.

    Attributes:
        motor: the motor's id.
        name: what people call it.
        nameplate: float32 ``(9,)`` in the order of ``signals.NAMEPLATE``, NaN where unknown.
        interval_s: expected time between readings on the edge's own clock.
        clock: ``simulated`` times are not compared with the edge's clock.
        rated_power_w: chooses the vibration class on the page; NaN unknown.
    """

    motor: str
    name: str
    nameplate: NDArray[np.float32]
    interval_s: float
    clock: Literal["wall", "simulated"]
    rated_power_w: float = math.nan


def profile_of(birth: Birth) -> Profile:
    """The profile that a birth message declares."""
    plate = birth.nameplate
    orders = birth.bearing.orders() if birth.bearing is not None else (math.nan,) * 4
    current_a = math.nan if plate.rated_current_a is None else plate.rated_current_a
    values = (plate.rated_speed_rpm, current_a, plate.winding_rise_k, plate.housing_rise_k, plate.thermal_tau_s)
    return Profile(
        motor=birth.motor,
        name=birth.name or birth.motor,
        nameplate=np.array((*values, *orders), dtype=np.float32),
        interval_s=birth.interval_s,
        clock=birth.clock,
        rated_power_w=plate.rated_power_w,
    )


def generic_profile(motor: str) -> Profile:
    """A profile for a motor nobody described: a four-pole machine at 50 Hz, class B rise, bearing unknown."""
    values = (1470.0, math.nan, 80.0, 40.0, 2400.0, math.nan, math.nan, math.nan, math.nan)
    return Profile(motor, motor, np.array(values, dtype=np.float32), interval_s=60.0, clock="wall")


class BootMark(NamedTuple):
    """How far one boot of a sensor has been heard: last sequence number and time, and which of the last 64 came."""

    boot: str
    seq: int
    ts_s: float
    seen: int


class MotorState(NamedTuple):
    """One motor's memory between readings.

    Attributes:
        boots: newest first, at most ``KNOWN_BOOTS``.
        schema_id: which filter ``x`` and ``P`` belong to.
        x: filter state, float64 ``(S,)``, as bytes.
        P: filter covariance, float64 ``(S, S)``, as bytes.
        filter_ts_s: event time of the filter's last step, NaN before the first.
        hits: uint64 per condition: which of the last readings were hits, newest in bit 0, as bytes.
        quiet: uint32 per condition: readings in a row under the clearing threshold, as bytes.
        alerts: the open ones, as last published.
        peak_ms: newest opening time that any alert of this motor has had; an id at or below it may be taken.
        peak_revision: highest revision that any alert of this motor has had.
        heard: the edge's steady clock at the filter's last step.
        drift: ``service.drift``'s record, empty without a sketch.
        still: what ``service.senses`` remembers.
        level: ``service.level``'s record, empty without a sketch.
        innovation: ``service.innovation``'s record, empty where the bundle says nothing of it.
    """

    boots: tuple[BootMark, ...]
    schema_id: str
    x: bytes
    P: bytes
    filter_ts_s: float
    hits: bytes
    quiet: bytes
    alerts: tuple[Alert, ...]
    peak_ms: int
    peak_revision: int
    heard: Moment = NEVER
    drift: bytes = b""
    still: bytes = b""
    level: bytes = b""
    innovation: bytes = b""

    def to_bytes(self) -> bytes:
        """This state as bytes that ``from_bytes`` reads back, equal."""
        schema = self.schema_id.encode()
        alerts = _ALERTS.dump_json(self.alerts) if self.alerts else b""
        marks = b"".join(
            _MARK.pack(mark.seq, mark.ts_s, mark.seen, len(mark.boot)) + mark.boot.encode() for mark in self.boots
        )
        body = b"".join((
            _HEAD.pack(
                self.filter_ts_s,
                self.peak_ms,
                self.peak_revision,
                *self.heard,
                len(schema),
                len(self.x) // 8,
                len(self.hits) // 8,
                len(self.boots),
                len(alerts),
            ),
            schema,
            self.x,
            self.P,
            self.hits,
            self.quiet,
            marks,
            alerts,
            _TAILS[_FORMAT].pack(len(self.drift), len(self.still), len(self.level), len(self.innovation)),
            self.drift,
            self.still,
            self.level,
            self.innovation,
        ))  # fmt: skip
        return _PREFIX.pack(_MAGIC, _FORMAT, zlib.crc32(body)) + body

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """The state that ``to_bytes`` wrote.

        Raises:
            CorruptState: for anything else: other formats, flipped bits, numbers that are not finite.
        """
        try:
            return cls._parsed(raw)
        except (struct.error, UnicodeDecodeError, ValidationError) as error:
            raise _corrupt(type(error).__name__) from error

    @classmethod
    def _parsed(cls, raw: bytes) -> Self:
        magic, form, crc = _PREFIX.unpack_from(raw)
        if magic != _MAGIC or form not in _TAILS:
            raise _corrupt(f"format {form} is not {_FORMAT}")
        cursor = _Cursor(raw, _PREFIX.size)
        if zlib.crc32(raw[_PREFIX.size :]) != crc:
            raise _corrupt("checksum differs")
        filter_ts_s, peak_ms, peak_revision, run, heard_s, *lengths = _HEAD.unpack(cursor.take(_HEAD.size))
        n_schema, n_states, n_conditions, n_boots, n_alerts = lengths
        if not 1 <= n_conditions <= len(CONDITIONS) or n_states > _MAX_STATES or not 1 <= n_boots <= KNOWN_BOOTS:
            raise _corrupt("counts out of range")
        schema_id = cursor.take(n_schema).decode()
        x, P = cursor.take(8 * n_states), cursor.take(8 * n_states**2)
        # The vocabulary grows at its end: an older state knows nothing of the newest conditions.
        unknown = len(CONDITIONS) - n_conditions
        hits = cursor.take(8 * n_conditions) + bytes(8 * unknown)
        quiet = cursor.take(4 * n_conditions) + bytes(4 * unknown)
        boots = tuple(_mark(cursor) for _ in range(n_boots))
        encoded = cursor.take(n_alerts)
        alerts = _ALERTS.validate_json(encoded) if encoded else ()
        tail = _TAILS[form]
        tails = (*map(cursor.take, tail.unpack(cursor.take(tail.size))), b"", b"", b"", b"")
        if cursor.left():
            raise _corrupt("bytes left over")
        if math.isinf(filter_ts_s) or not math.isfinite(heard_s) or not np.isfinite(np.frombuffer(x + P)).all():
            raise _corrupt("filter holds NaN or infinity")
        if len({alert.condition for alert in alerts} & set(CONDITIONS)) != len(alerts) or any(
            alert.state == "clear" or alert.motor != alerts[0].motor for alert in alerts
        ):
            raise _corrupt("alerts contradict each other")
        heard = Moment(run, heard_s)
        return cls(boots, schema_id, x, P, filter_ts_s, hits, quiet, alerts, peak_ms, peak_revision, heard, *tails[:4])


class FleetState(Mapping[str, MotorState]):
    """Motor id to state, never changed in place: a step makes a new one that shares the untouched values.

    Copying ten thousand entries for a batch of thirty would cost more than the batch, so changes lie in a small layer
    over a shared base and are folded into a new base once the layer has grown to ``8 sqrt(n)`` entries: that balances
    copying the layer at every step against copying the base now and then.
    """

    __slots__ = ("_base", "_layer", "_length")

    def __init__(self, states: Mapping[str, MotorState] = MappingProxyType({})) -> None:
        self._base: dict[str, MotorState] = dict(states)
        self._layer: dict[str, MotorState] = {}
        self._length = len(self._base)

    def __getitem__(self, motor: str) -> MotorState:
        found = self._layer.get(motor)
        return self._base[motor] if found is None else found

    @overload
    def get(self, motor: str, /) -> MotorState | None: ...

    @overload
    def get(self, motor: str, /, default: MotorState | _T) -> MotorState | _T: ...

    def get(self, motor: str, /, default: MotorState | _T | None = None) -> MotorState | _T | None:
        """The mapping's own, without an exception for a motor that is not there."""
        found = self._layer.get(motor)
        return self._base.get(motor, default) if found is None else found

    def __iter__(self) -> Iterator[str]:
        yield from self._base
        yield from (motor for motor in self._layer if motor not in self._base)

    def __len__(self) -> int:
        return self._length

    def changed(self, states: Mapping[str, MotorState]) -> FleetState:
        """This fleet with some motors' states replaced or added."""
        layer = {**self._layer, **states}
        if len(layer) > 8 * math.isqrt(len(self._base)):
            return FleetState({**self._base, **layer})
        fleet = FleetState()
        fleet._base, fleet._layer = self._base, layer
        fleet._length = self._length + sum(motor not in self for motor in states)
        return fleet

    def without(self, motor: str) -> FleetState:
        """This fleet after one motor left it."""
        return FleetState({name: state for name, state in self.items() if name != motor})


def with_filters_of(now: Mapping[str, MotorState], then: Mapping[str, MotorState], schema_id: str) -> FleetState:
    """The fleet as it is now, with the filters it had then where only those fit the schema; alarms stay as they are.

    Args:
        now: the fleet, some of its filters of another schema.
        then: the fleet as it was under this schema.
        schema_id: of the bundle that runs from now on.
    """
    back = {}
    for motor, state in now.items():
        old = then.get(motor)
        if state.schema_id != schema_id and old is not None and old.schema_id == schema_id:
            back[motor] = state._replace(
                schema_id=schema_id, x=old.x, P=old.P, filter_ts_s=old.filter_ts_s, heard=old.heard
            )
    return (now if isinstance(now, FleetState) else FleetState(now)).changed(back)


class _Cursor:
    """Takes consecutive pieces of bytes, and no piece that is not wholly there."""

    def __init__(self, raw: bytes, position: int) -> None:
        self._raw = raw
        self._position = position

    def take(self, count: int) -> bytes:
        piece = self._raw[self._position : self._position + count]
        if len(piece) != count:
            raise _corrupt("cut short")
        self._position += count
        return piece

    def left(self) -> int:
        return len(self._raw) - self._position


def _mark(cursor: _Cursor) -> BootMark:
    seq, ts_s, seen, length = _MARK.unpack(cursor.take(_MARK.size))
    boot = cursor.take(length).decode()
    if not is_id(boot) or not math.isfinite(ts_s):
        raise _corrupt("a boot's mark is not one")
    return BootMark(boot, seq, ts_s, seen)


def _corrupt(what: str) -> CorruptState:
    return CorruptState(f"stored state: {what}; the motor starts afresh with its next reading")
