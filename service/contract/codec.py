"""Incoming payloads to messages: JSON for people, CBOR for speed, one schema, and a reason for every refusal.

The first byte tells the encodings apart: a CBOR map starts with 0xA0-0xBF, JSON with ``{`` or white space.
CBOR samples may be packed as RFC 8746 typed arrays: tag 85 (float32, little-endian, m/s^2) or tag 77 (int16,
little-endian, counts of ``accel_scale_m_s2``). No other tag is decoded: a date, a rational or a pattern that costs
seconds to build has no place in a reading.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any, NoReturn, TypeVar

import cbor2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from service.contract.faults import Fault
from service.contract.messages import AXES, MAX_PAYLOAD_BYTES, MAX_SAMPLES, Birth, Health, Message, Reading, Reason

TAG_INT16 = 77
TAG_FLOAT32 = 85
INT16_MAX = 32_767
MAX_DEPTH = 8
MAX_BIRTH_BYTES = 65_536
"""A larger birth message is refused unread."""

_LARGE_SCALE = 1e30  # below it no count overflows float32
_TYPED_ARRAYS = range(64, 88)  # RFC 8746; left packed, so that a refusal can name the axis

_TEXT = frozenset({str})
_WORDS = {fault: fault.value for fault in Fault}
_WIDTHS = {TAG_INT16: 2, TAG_FLOAT32: 4}
_INT16, _FLOAT32 = np.dtype("<i2"), np.dtype("<f4")

_Incoming = TypeVar("_Incoming", bound=Message)


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault of ours
    """A payload that changes nothing: the reason to count, the field, what is wrong and what to do.

    The texts may quote what came from outside: they are cut and hold printable characters only.
    """

    def __init__(self, reason: Reason, field: str, detail: str, remedy: str) -> None:
        self.reason: Reason = reason
        self.field = _clean(field, 128) or "''"
        self.detail = _clean(detail, 400)
        self.remedy = _clean(remedy, 400)
        super().__init__(f"{reason}: {self.field}: {self.detail}; {self.remedy}")


def decode_reading(payload: bytes) -> Reading:
    """A reading from JSON or CBOR bytes; raises ``Refused``."""
    body = _body(payload, MAX_PAYLOAD_BYTES, "send shorter windows, or CBOR with packed samples")
    accel = body.get("accel_m_s2")
    if isinstance(accel, dict):
        for axis in accel:
            if axis not in AXES:
                raise Refused("invalid", f"accel_m_s2.{axis}", "unknown axis", f"known axes: {', '.join(AXES)}")
        scale = body.get("accel_scale_m_s2")
        for axis, samples in accel.items():  # keys stay, so the values may be replaced meanwhile
            if isinstance(samples, cbor2.CBORTag):
                accel[axis] = _unpacked(f"accel_m_s2.{axis}", samples, scale)
            elif isinstance(samples, list) and _no_truth(payload):
                accel[axis] = _listed(samples)
    reading = _validated(Reading, body)
    if reading.accel_m_s2 and reading.fs_hz is None:
        raise Refused("invalid", "fs_hz", "missing beside accel_m_s2", "add the sampling rate in Hz as fs_hz")
    if len(reading.accel_m_s2) > 1 and len({len(samples) for samples in reading.accel_m_s2.values()}) > 1:
        lengths = {axis: len(samples) for axis, samples in reading.accel_m_s2.items()}
        detail = ", ".join(f"{axis} has {length} samples" for axis, length in lengths.items())
        raise Refused("invalid", "accel_m_s2", detail, "send the same number of samples on every axis")
    return reading


def decode_birth(payload: bytes) -> Birth:
    """A birth message from JSON or CBOR bytes; raises ``Refused``."""
    return _validated(Birth, _body(payload, MAX_BIRTH_BYTES, "send nameplate, bearing and sensors only"))


def encode_json(message: Message) -> bytes:
    """Any message as JSON bytes; values that are None are left out, so every reader sees one way of 'missing'."""
    return message.model_dump_json(exclude_none=True).encode()


def encode_health(health: Health) -> bytes:
    """What ``encode_json`` gives, faster: the one message that every reading brings about."""
    body = {name: value for name, value in health.__dict__.items() if value is not None}
    body["probabilities"] = {_WORDS[fault]: value for fault, value in health.probabilities.items()}
    return to_json(body)


def encode_cbor(reading: Reading, *, scale_m_s2: float | None = None) -> bytes:
    """A reading as CBOR: int16 counts of ``scale_m_s2`` where given (values clip at the range), else float32."""
    body = reading.model_dump(exclude={"accel_m_s2", "accel_scale_m_s2"}, exclude_none=True)
    if scale_m_s2 is not None:
        body["accel_scale_m_s2"] = scale_m_s2
    body["accel_m_s2"] = {axis: _packed(samples, scale_m_s2) for axis, samples in reading.accel_m_s2.items()}
    return cbor2.dumps(body)


def _packed(samples: NDArray[np.float32], scale_m_s2: float | None) -> cbor2.CBORTag:
    if scale_m_s2 is None:
        return cbor2.CBORTag(TAG_FLOAT32, samples.astype("<f4").tobytes())
    counts = np.clip(np.rint(samples / scale_m_s2), -INT16_MAX, INT16_MAX)
    return cbor2.CBORTag(TAG_INT16, counts.astype("<i2").tobytes())


def _body(payload: bytes, limit: int, remedy: str) -> dict[str, Any]:
    if len(payload) > limit:
        raise Refused("oversized", "payload", f"{len(payload)} bytes exceed {limit}", remedy)
    if not payload:
        raise Refused("undecodable", "payload", "empty", "send a JSON object or a CBOR map")
    kind = "CBOR" if 0xA0 <= payload[0] <= 0xBF else "JSON"
    try:
        body = _from_cbor(payload) if kind == "CBOR" else from_json(payload, allow_inf_nan=True, cache_strings="keys")
    except (ValueError, cbor2.CBORError) as error:
        raise Refused(
            "undecodable", "payload", f"read as {kind}: {_first_cause(error)}", "send a JSON object or a CBOR map"
        ) from error
    if not isinstance(body, dict) or not _TEXT.issuperset(map(type, body)):
        raise Refused("undecodable", "payload", "not an object with text keys", "send a JSON object or a CBOR map")
    return body


class _TagPolicy(Mapping[int, Callable[[Any, bool], NoReturn]]):
    """What cbor2 consults before it decodes a tag's content: every tag but a packed array is an error."""

    def __getitem__(self, tag: int) -> Callable[[Any, bool], NoReturn]:
        if tag in _TYPED_ARRAYS:
            raise KeyError(tag)

        def refuse(_decoder: Any, _immutable: bool) -> NoReturn:  # the signature is cbor2's
            raise ValueError(f"tag {tag} is not used here")

        return refuse

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_TAGS = _TagPolicy()


def _from_cbor(payload: bytes) -> Any:
    stream = BytesIO(payload)
    body = cbor2.load(
        stream,
        semantic_decoders=_TAGS,
        max_depth=MAX_DEPTH,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    if stream.tell() != len(payload):
        raise ValueError(f"{len(payload) - stream.tell()} bytes follow the map")
    return body


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def _no_truth(payload: bytes) -> bool:
    """Whether no list in these JSON bytes can hold ``true`` or ``false``, which Python would take for numbers."""
    if payload[0] >= 0x80:
        return False
    start, end = payload.find(b"["), payload.rfind(b"]")
    return payload.find(b"u", start, end) < 0 and payload.find(b"s", start, end) < 0


def _listed(samples: list[Any]) -> Any:
    """A JSON list of finite numbers, packed at once; any other is left for the schema to explain."""
    if len(samples) > MAX_SAMPLES:
        return samples
    try:
        packed = np.frombuffer(array("d", samples))
    except (TypeError, OverflowError):
        return samples
    return packed if math.isfinite(np.dot(packed, packed)) else samples


def _unpacked(field: str, samples: cbor2.CBORTag, scale: Any) -> NDArray[np.floating]:
    raw = samples.value
    width = _WIDTHS.get(samples.tag)
    if width is None or not isinstance(raw, bytes) or len(raw) % width:
        raise Refused(
            "invalid",
            field,
            f"CBOR tag {samples.tag} with this content is not understood",
            "use RFC 8746 tag 77 (int16, little-endian) or tag 85 (float32, little-endian) with whole samples",
        )
    if len(raw) // width > MAX_SAMPLES:
        raise Refused("invalid", field, f"more than {MAX_SAMPLES} samples", "split the window")
    if width == 4:
        return np.frombuffer(raw, _FLOAT32)
    if not isinstance(scale, float | int) or isinstance(scale, bool) or not 0 < scale < math.inf:
        detail = "int16 samples need a positive scale"
        raise Refused("invalid", "accel_scale_m_s2", detail, "add accel_scale_m_s2: m/s^2 per count")
    counts = np.frombuffer(raw, _INT16).astype(np.float32)  # a product of two types would go piece by piece
    if scale < _LARGE_SCALE:
        counts *= np.float32(scale)
        return counts
    # an integer from CBOR may lie beyond float64; what is too large for float32 is refused later, as infinite
    with np.errstate(over="ignore", invalid="ignore"):
        return counts * np.float32(min(scale, 1e300))


def _validated(kind: type[_Incoming], body: dict[str, Any]) -> _Incoming:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        known = kind.model_fields
        unknown = next((key for key in body if key not in known), None)
        if unknown is not None:
            raise Refused("invalid", unknown, "unknown field", f"known fields: {', '.join(known)}") from error
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part)[:128] for part in first["loc"]) or "payload"
        detail = first["msg"].removeprefix("Value error, ")
        raise Refused(_reason(first["type"], first["input"]), field, detail, _remedy(kind, first["type"])) from error


def _reason(error: str, value: Any) -> Reason:
    if error == "samples_empty":
        return "empty"
    if error in {"finite_number", "samples_not_finite"} or (isinstance(value, float) and not math.isfinite(value)):
        return "not_finite"
    return "invalid"


_REMEDIES = {
    "extra_forbidden": "remove it; the AsyncAPI document lists the fields",
    "finite_number": "send a finite number, or leave the field out",
    "samples_empty": "send at least one sample, or leave the axis out",
    "samples_not_finite": "send finite numbers within float32 only",
    "samples_not_numbers": "send one flat list of numbers, or a packed CBOR array (tag 77 or 85)",
    "samples_too_many": "split the window",
    "string_pattern_mismatch": "use 1-64 letters, digits, '_', '.', '-', the first a letter or digit",
    "greater_than": "check the unit, which the field's name carries",
    "greater_than_equal": "check the unit, which the field's name carries",
    "less_than": "check the unit, which the field's name carries",
    "less_than_equal": "check the unit, which the field's name carries",
}


def _remedy(kind: type[Message], error: str) -> str:
    if error == "missing":
        required = [name for name, field in kind.model_fields.items() if field.is_required()]
        return f"required fields: {', '.join(required)}"
    return _REMEDIES.get(error, "correct this field; the AsyncAPI document lists types and units")


def _clean(text: str, limit: int) -> str:
    """Text that came from outside, fit for a log line and a page."""
    return "".join(char if char.isprintable() else "?" for char in text[:limit])
