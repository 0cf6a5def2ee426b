"""Incoming payloads to messages: JSON for people, CBOR for speed, one schema, and a reason for every refusal.

The first byte tells the encodings apart: a CBOR map starts with 0xA0-0xBF, JSON with ``{`` or white space.
CBOR samples may be packed as RFC 8746 typed arrays: tag 85 (float32, little-endian, m/s^2) or tag 77 (int16,
little-endian, counts of ``accel_scale_m_s2``).
"""

from __future__ import annotations

from typing import Any, TypeVar

import cbor2
import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydantic_core import from_json

from service.contract.messages import MAX_PAYLOAD_BYTES, MAX_SAMPLES, Birth, Message, Reading, Reason

TAG_INT16 = 77
TAG_FLOAT32 = 85
INT16_MAX = 32_767
MAX_DEPTH = 8

_Incoming = TypeVar("_Incoming", bound=Message)


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not a fault of ours
    """A payload that changes nothing: the reason to count, the field, what is wrong and what to do."""

    def __init__(self, reason: Reason, field: str, detail: str, remedy: str) -> None:
        super().__init__(f"{reason}: {field}: {detail}; {remedy}")
        self.reason: Reason = reason
        self.field = field[:128]
        self.detail = detail[:400]
        self.remedy = remedy[:400]


def decode_reading(payload: bytes) -> Reading:
    """A reading from JSON or CBOR bytes; raises ``Refused``."""
    body = _body(payload)
    scale = body.get("accel_scale_m_s2")
    accel = body.get("accel_m_s2")
    if isinstance(accel, dict):
        body["accel_m_s2"] = {axis: _unpacked(axis, samples, scale) for axis, samples in accel.items()}
    reading = _validated(Reading, body)
    if reading.accel_m_s2 and reading.fs_hz is None:
        raise Refused("invalid", "fs_hz", "missing beside accel_m_s2", "add the sampling rate in Hz as fs_hz")
    lengths = {axis: len(samples) for axis, samples in reading.accel_m_s2.items()}
    if len(set(lengths.values())) > 1:
        raise Refused(
            "invalid", "accel_m_s2", f"axes differ in length: {lengths}", "send the same number of samples on every axis"
        )
    return reading


def decode_birth(payload: bytes) -> Birth:
    """A birth message from JSON or CBOR bytes; raises ``Refused``."""
    return _validated(Birth, _body(payload))


def encode_json(message: Message) -> bytes:
    """Any message as JSON bytes; values that are None are left out, so every reader sees one way of 'missing'."""
    return message.model_dump_json(exclude_none=True).encode()


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


def _body(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Refused(
            "oversized",
            "payload",
            f"{len(payload)} bytes exceed {MAX_PAYLOAD_BYTES}",
            "send shorter windows, or CBOR with packed samples",
        )
    if not payload:
        raise Refused("undecodable", "payload", "empty", "send a JSON object or a CBOR map")
    try:
        if 0xA0 <= payload[0] <= 0xBF:
            body = cbor2.loads(payload, max_depth=MAX_DEPTH, allow_duplicate_keys=False)
        else:
            body = from_json(payload, allow_inf_nan=True)
    except (ValueError, cbor2.CBORError, TypeError, OverflowError, RecursionError, ArithmeticError) as error:
        raise Refused(
            "undecodable", "payload", f"neither JSON nor CBOR: {_clean(str(error))}", "send a JSON object or a CBOR map"
        ) from error
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        raise Refused("undecodable", "payload", "not an object with text keys", "send a JSON object or a CBOR map")
    return body


def _unpacked(axis: Any, samples: Any, scale: Any) -> Any:
    if not isinstance(samples, cbor2.CBORTag):
        return samples
    field = f"accel_m_s2.{_clean(str(axis))}"
    raw = samples.value
    width = {TAG_INT16: 2, TAG_FLOAT32: 4}.get(samples.tag)
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
        return np.frombuffer(raw, dtype="<f4")
    if not isinstance(scale, float | int) or isinstance(scale, bool) or not 0 < scale < float("inf"):
        raise Refused(
            "invalid", "accel_scale_m_s2", "int16 samples need a positive scale", "add accel_scale_m_s2: m/s^2 per count"
        )
    return np.frombuffer(raw, dtype="<i2").astype(np.float32) * np.float32(scale)


def _validated(kind: type[_Incoming], body: dict[str, Any]) -> _Incoming:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = _clean(".".join(str(part) for part in first["loc"])) or "payload"
        detail = _clean(first["msg"].removeprefix("Value error, "))
        value = first.get("input")
        raise Refused(_reason(first["type"], detail, value), field, detail, _remedy(kind, first["type"])) from error


def _reason(kind: str, detail: str, value: Any) -> Reason:
    if kind == "finite_number" or "NaN" in detail or (isinstance(value, float) and not np.isfinite(value)):
        return "not_finite"
    return "empty" if "samples are empty" in detail else "invalid"


def _remedy(kind: type[Message], error: str) -> str:
    if error == "extra_forbidden":
        return f"known fields: {', '.join(kind.model_fields)}"
    if error == "missing":
        required = [name for name, field in kind.model_fields.items() if field.is_required()]
        return f"required fields: {', '.join(required)}"
    return "correct this field; the AsyncAPI document lists types and units"


def _clean(text: str) -> str:
    """Text that came from outside, fit for a log line and a page."""
    return "".join(char if char.isprintable() else "?" for char in text)[:300]
