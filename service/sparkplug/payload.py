"""A payload on the wire: the part of the ``sparkplug_b.proto`` of the specification that an edge node needs.

Field numbers, data types and the two ways of an absent value are those of section 6.4 of the specification; protobuf's
encoding is https://protobuf.dev/programming-guides/encoding. Nothing is taken from a generated file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal["Int64", "Double", "Boolean", "String"]
Value = int | float | bool | str | None
_CODES: dict[Kind, int] = {"Int64": 4, "Double": 10, "Boolean": 11, "String": 12}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PAYLOAD_TIMESTAMP, _PAYLOAD_METRICS, _PAYLOAD_SEQ = 1, 2, 3
_NAME, _TIMESTAMP, _DATATYPE, _IS_NULL = 1, 3, 4, 7
_LONG, _DOUBLE, _BOOLEAN, _STRING = 11, 13, 14, 15
_MAX_COMMAND_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Metric:
    """One named value; None is a value that is not known."""

    name: str
    kind: Kind
    value: Value
    ts_ms: int


def encode(metrics: Iterable[Metric], ts_ms: int | None, seq: int | None) -> bytes:
    """A payload; a death has neither time nor, if it is a will, a sequence number."""
    parts = [] if ts_ms is None else [_number(_PAYLOAD_TIMESTAMP, ts_ms)]
    parts += [_block(_PAYLOAD_METRICS, _metric(metric)) for metric in metrics]
    if seq is not None:
        parts.append(_number(_PAYLOAD_SEQ, seq))
    return b"".join(parts)


def true_metrics(raw: bytes) -> set[str]:
    """Names of the Boolean metrics of a command that are true; ``ValueError`` for what is no payload."""
    if len(raw) > _MAX_COMMAND_BYTES:
        raise ValueError("too long for a command")
    found = set()
    for field, value in _fields(raw):
        if field == _PAYLOAD_METRICS and isinstance(value, bytes):
            metric = dict(_fields(value))
            name = metric.get(_NAME)
            if isinstance(name, bytes) and metric.get(_BOOLEAN) == 1:
                found.add(name.decode("utf-8"))
    return found


def _metric(metric: Metric) -> bytes:
    parts = [_block(_NAME, metric.name.encode()), _number(_TIMESTAMP, metric.ts_ms)]
    parts.append(_number(_DATATYPE, _CODES[metric.kind]))
    if metric.value is None:
        return b"".join([*parts, _number(_IS_NULL, 1)])
    if metric.kind == "Double":
        parts.append(_key(_DOUBLE, _FIXED64) + struct.pack("<d", metric.value))
    elif metric.kind == "String":
        parts.append(_block(_STRING, str(metric.value).encode()))
    elif metric.kind == "Boolean":
        parts.append(_number(_BOOLEAN, int(bool(metric.value))))
    else:
        parts.append(_number(_LONG, int(metric.value) & (2**64 - 1)))
    return b"".join(parts)


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _number(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(value)


def _block(field: int, raw: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and values of one protobuf message, in order."""
    at = 0
    while at < len(raw):
        key, at = _read_varint(raw, at)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _read_varint(raw, at)
            yield field, value
            continue
        if wire == _BYTES:
            size, at = _read_varint(raw, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("not a Sparkplug payload")
        if at + size > len(raw):
            raise ValueError("the payload is cut off")
        yield field, raw[at : at + size]
        at += size


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(raw):
            raise ValueError("the payload is cut off")
        digit = raw[at]
        at += 1
        value |= (digit & 0x7F) << 7 * place
        if digit < 0x80:
            return value, at
    raise ValueError("not a Sparkplug payload")
