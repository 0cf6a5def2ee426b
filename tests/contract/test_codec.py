"""Readings and births survive the wire, and every refusal names its reason, its field and the remedy."""

from __future__ import annotations

import json
import struct
from typing import Any

import cbor2
import numpy as np
import pytest
from pydantic import ValidationError

from service.contract import codec
from service.contract.examples import EXAMPLES
from service.contract.messages import MAX_PAYLOAD_BYTES, MAX_SAMPLES, Birth, Health, Reading

BODY: dict[str, Any] = {"motor": "pump-7", "boot": "b1", "seq": 1, "ts_s": 1_767_225_600.0}
BIRTH: dict[str, Any] = {
    "motor": "pump-7",
    "ts_s": 1_767_225_600.0,
    "nameplate": {"rated_power_w": 7500, "rated_speed_rpm": 1470},
}


def reading_of(samples: Any = (0.5, -1.25, 3.0), **fields: Any) -> bytes:
    samples = list(samples) if isinstance(samples, tuple) else samples
    return json.dumps(BODY | {"fs_hz": 12_000, "accel_m_s2": {"x": samples}} | fields).encode()


def packed(tag: int, raw: Any, **fields: Any) -> bytes:
    return cbor2.dumps(BODY | {"fs_hz": 12_000.0, "accel_m_s2": {"x": cbor2.CBORTag(tag, raw)}} | fields)


def refusal(payload: bytes) -> tuple[str, str, str, str]:
    with pytest.raises(codec.Refused) as caught:
        codec.decode_reading(payload)
    refused = caught.value
    return refused.reason, refused.field, refused.detail, refused.remedy


def same(one: Reading, other: Reading) -> bool:
    plain = {"accel_m_s2", "accel_scale_m_s2"}
    return (
        one.model_dump(exclude=plain) == other.model_dump(exclude=plain)
        and list(one.accel_m_s2) == list(other.accel_m_s2)
        and all(np.array_equal(one.accel_m_s2[axis], other.accel_m_s2[axis]) for axis in one.accel_m_s2)
    )


@pytest.fixture
def reading() -> Reading:
    noise = np.random.default_rng(7)
    return Reading(
        **BODY,
        fs_hz=25_600.0,
        accel_m_s2={axis: noise.normal(0.0, 9.81, 4096).astype(np.float32) for axis in ("x", "y")},
        speed_rpm=1478.5,
        winding_c=-12.25,
    )


def test_json_gives_back_every_sample_to_the_last_bit(reading) -> None:
    decoded = codec.decode_reading(codec.encode_json(reading))
    assert same(decoded, reading)
    assert decoded.accel_m_s2["x"].dtype == np.float32


def test_cbor_float32_gives_back_every_sample_to_the_last_bit(reading) -> None:
    payload = codec.encode_cbor(reading)
    assert same(codec.decode_reading(payload), reading)
    assert len(payload) < 2 * 4096 * 4 + 300


def test_cbor_int16_is_within_half_a_count_and_half_the_size(reading) -> None:
    payload = codec.encode_cbor(reading, scale_m_s2=0.01)
    decoded = codec.decode_reading(payload)
    assert len(payload) < 2 * 4096 * 2 + 300
    for axis, samples in reading.accel_m_s2.items():
        np.testing.assert_allclose(decoded.accel_m_s2[axis], samples, rtol=0, atol=0.005 + 1e-5)
    assert decoded.accel_scale_m_s2 == 0.01


def test_int16_clips_at_the_range_instead_of_wrapping(reading) -> None:
    loud = reading.model_copy(update={"accel_m_s2": {"x": np.array([1e6, -1e6], dtype=np.float32)}})
    decoded = codec.decode_reading(codec.encode_cbor(loud, scale_m_s2=0.01))
    np.testing.assert_allclose(decoded.accel_m_s2["x"], [327.67, -327.67], rtol=1e-6)


def test_a_reading_may_carry_temperatures_only() -> None:
    decoded = codec.decode_reading(json.dumps(BODY | {"housing_c": 51, "winding_c": None}).encode())
    assert (decoded.housing_c, decoded.winding_c, decoded.accel_m_s2) == (51.0, None, {})


def test_whole_numbers_are_samples_too() -> None:
    decoded = codec.decode_reading(reading_of([1, 2.5, -3]))
    np.testing.assert_array_equal(decoded.accel_m_s2["x"], np.array([1.0, 2.5, -3.0], dtype=np.float32))


def test_cbor_may_carry_samples_as_a_plain_list() -> None:
    payload = cbor2.dumps(BODY | {"fs_hz": 12_000.0, "accel_m_s2": {"x": [1, 2.5]}})
    np.testing.assert_array_equal(codec.decode_reading(payload).accel_m_s2["x"], [1.0, 2.5])


def test_white_space_before_json_does_no_harm() -> None:
    assert codec.decode_reading(b" \r\n\t" + json.dumps(BODY).encode()).motor == "pump-7"


def test_indefinite_lengths_in_cbor_are_read() -> None:
    head = cbor2.dumps(BODY)
    assert head[0] == 0xA0 + len(BODY)
    assert codec.decode_reading(b"\xbf" + head[1:] + b"\xff").seq == 1


def test_births_are_read_from_json_and_from_cbor() -> None:
    birth = next(iter(EXAMPLES[Birth].values()))
    assert codec.decode_birth(codec.encode_json(birth)) == birth
    assert codec.decode_birth(cbor2.dumps(birth.model_dump(exclude_none=True))) == birth


DEEP = b"\xa1\x61a" * 20 + b"\x00"
SELF_REFERENCE = b"\xa1\x6aaccel_m_s2\xd8\x1c\x81\xd8\x1d\x00"

REFUSALS: dict[str, tuple[bytes, str, str, str]] = {
    # what is sent: reason, field, a word of the remedy
    "nothing": (b"", "undecodable", "payload", "JSON object or a CBOR map"),
    "text": (b"hello", "undecodable", "payload", "JSON object or a CBOR map"),
    "a torn JSON": (reading_of()[:-9], "undecodable", "payload", "JSON object"),
    "a torn CBOR": (packed(85, b"\0" * 64)[:-9], "undecodable", "payload", "CBOR map"),
    "JSON with a tail": (json.dumps(BODY).encode() + b"{}", "undecodable", "payload", "JSON object"),
    "CBOR with a tail": (cbor2.dumps(BODY) + b"\x00", "undecodable", "payload", "CBOR map"),
    "a list": (b"[1, 2]", "undecodable", "payload", "JSON object"),
    "not UTF-8": (b'{"motor": "\xff"}', "undecodable", "payload", "JSON object"),
    "half a surrogate": (b'{"motor": "\\ud800"}', "undecodable", "payload", "JSON object"),
    "numbers as keys": (cbor2.dumps({1: 2}), "undecodable", "payload", "CBOR map"),
    "bytes as keys": (cbor2.dumps({b"motor": 2}), "undecodable", "payload", "CBOR map"),
    "duplicate keys": (b"\xa2\x61a\x01\x61a\x02", "undecodable", "payload", "CBOR map"),
    "deep JSON": (b'{"a":' + b"[" * 100_000, "undecodable", "payload", "JSON object"),
    "deep CBOR": (DEEP, "undecodable", "payload", "CBOR map"),
    "a list inside itself": (SELF_REFERENCE, "undecodable", "payload", "CBOR map"),
    "a date": (cbor2.dumps(BODY | {"ts_s": cbor2.CBORTag(1, 0)}), "undecodable", "payload", "CBOR map"),
    "a bignum": (cbor2.dumps(BODY | {"seq": 2**80}), "undecodable", "payload", "CBOR map"),
    "a megabyte": (b" " * (MAX_PAYLOAD_BYTES + 1), "oversized", "payload", "shorter windows"),
    "no motor": (b'{"boot": "b", "seq": 1, "ts_s": 1767225600}', "invalid", "motor", "required fields: motor, boot"),
    "a field without a name": (json.dumps(BODY | {"": 51}).encode(), "invalid", "''", "housing_c"),
    "a typo": (json.dumps(BODY | {"housing": 51}).encode(), "invalid", "housing", "housing_c"),
    "a topic level in the id": (json.dumps(BODY | {"motor": "a/b"}).encode(), "invalid", "motor", "letters"),
    "a wildcard in the id": (json.dumps(BODY | {"motor": "+"}).encode(), "invalid", "motor", "letters"),
    "a line end behind the id": (json.dumps(BODY | {"motor": "a\n"}).encode(), "invalid", "motor", "letters"),
    "an empty id": (json.dumps(BODY | {"boot": ""}).encode(), "invalid", "boot", "letters"),
    "a long id": (json.dumps(BODY | {"boot": "a" * 65}).encode(), "invalid", "boot", "letters"),
    "a number as text": (json.dumps(BODY | {"seq": "1"}).encode(), "invalid", "seq", "types and units"),
    "a bool as number": (json.dumps(BODY | {"housing_c": True}).encode(), "invalid", "housing_c", "types and units"),
    "a negative count": (json.dumps(BODY | {"seq": -1}).encode(), "invalid", "seq", "unit"),
    "a fractional count": (json.dumps(BODY | {"seq": 1.5}).encode(), "invalid", "seq", "types"),
    "a huge count": (json.dumps(BODY | {"seq": 10**400}).encode(), "invalid", "seq", "unit"),
    "milliseconds": (json.dumps(BODY | {"ts_s": 1_767_225_600_000}).encode(), "invalid", "ts_s", "unit"),
    "NaN": (json.dumps(BODY | {"housing_c": float("nan")}).encode(), "not_finite", "housing_c", "finite"),
    "infinite time": (json.dumps(BODY | {"ts_s": float("inf")}).encode(), "not_finite", "ts_s", "finite"),
    "NaN as a count": (json.dumps(BODY | {"seq": float("nan")}).encode(), "not_finite", "seq", "types"),
    "an object as a scalar": (json.dumps(BODY | {"load": {}}).encode(), "invalid", "load", "types"),
    "samples without a rate": (reading_of(fs_hz=None), "invalid", "fs_hz", "add the sampling rate"),
    "a rate of zero": (reading_of(fs_hz=0), "invalid", "fs_hz", "unit"),
    "no samples": (reading_of([]), "empty", "accel_m_s2.x", "at least one"),
    "samples as a text": (reading_of("1,2,3"), "invalid", "accel_m_s2.x", "flat list"),
    "a bool among the samples": (reading_of([0.5, True]), "invalid", "accel_m_s2.x", "flat list"),
    "bools for samples": (reading_of([True, False]), "invalid", "accel_m_s2.x", "flat list"),
    "a text among the samples": (reading_of([0.5, "1.5"]), "invalid", "accel_m_s2.x", "flat list"),
    "a gap among the samples": (reading_of([0.5, None]), "invalid", "accel_m_s2.x", "flat list"),
    "a list among the samples": (reading_of([[0.5], [1.5]]), "invalid", "accel_m_s2.x", "flat list"),
    "an object among the samples": (reading_of([0.5, {}]), "invalid", "accel_m_s2.x", "flat list"),
    "NaN among the samples": (reading_of([0.5, float("nan")]), "not_finite", "accel_m_s2.x", "finite"),
    "infinity among the samples": (reading_of([float("-inf"), 1.0]), "not_finite", "accel_m_s2.x", "finite"),
    "a sample beyond float32": (reading_of([0.5, 1e39]), "not_finite", "accel_m_s2.x", "finite"),
    "a sample beyond float64": (reading_of([0.5, 10**400]), "invalid", "accel_m_s2.x", "numbers"),
    "too many samples": (reading_of([0] * (MAX_SAMPLES + 1)), "invalid", "accel_m_s2.x", "split"),
    "a fourth axis": (
        json.dumps(BODY | {"fs_hz": 1.0, "accel_m_s2": {"w": [1.0]}}).encode(),
        "invalid",
        "accel_m_s2.w",
        "x, y, z",
    ),
    "samples without an axis": (reading_of(accel_m_s2=[1.0, 2.0]), "invalid", "accel_m_s2", "types"),
    "axes of two lengths": (
        reading_of(accel_m_s2={"x": [1.0], "y": [1.0, 2.0]}),
        "invalid",
        "accel_m_s2",
        "same number",
    ),
    "float64 packed": (packed(86, b"\0" * 64), "invalid", "accel_m_s2.x", "tag 85"),
    "half a sample": (packed(85, b"\0" * 63), "invalid", "accel_m_s2.x", "whole samples"),
    "packed text": (packed(85, "abcd"), "invalid", "accel_m_s2.x", "tag 85"),
    "nothing packed": (packed(85, b""), "empty", "accel_m_s2.x", "at least one"),
    "NaN packed": (packed(85, struct.pack("<f", float("nan"))), "not_finite", "accel_m_s2.x", "finite"),
    "too many packed": (packed(77, b"\0" * (2 * MAX_SAMPLES + 2)), "invalid", "accel_m_s2.x", "split"),
    "counts without a scale": (packed(77, b"\1\0"), "invalid", "accel_scale_m_s2", "m/s^2 per count"),
    "a scale of zero": (packed(77, b"\1\0", accel_scale_m_s2=0), "invalid", "accel_scale_m_s2", "per count"),
    "a bool as a scale": (packed(77, b"\1\0", accel_scale_m_s2=True), "invalid", "accel_scale_m_s2", "per count"),
    "an infinite scale": (
        packed(77, b"\1\0", accel_scale_m_s2=float("inf")),
        "invalid",
        "accel_scale_m_s2",
        "per count",
    ),
    "a scale beyond float32": (packed(77, b"\1\0", accel_scale_m_s2=1e300), "not_finite", "accel_m_s2.x", "finite"),
    "a typed array as a scalar": (
        cbor2.dumps(BODY | {"load": cbor2.CBORTag(85, b"\0" * 4)}),
        "invalid",
        "load",
        "types and units",
    ),
}


@pytest.mark.parametrize("sent", REFUSALS)
def test_a_refusal_names_reason_field_and_remedy_for(sent: str) -> None:
    payload, wanted_reason, wanted_field, wanted_remedy = REFUSALS[sent]
    reason, field, detail, remedy = refusal(payload)
    assert (reason, field) == (wanted_reason, wanted_field), detail
    assert wanted_remedy in remedy
    assert detail


def test_a_refusal_says_which_sample_is_wrong() -> None:
    _, _, detail, _ = refusal(reading_of([0.5, 1.5, "2.5"]))
    assert "sample 2" in detail


def test_hostile_text_is_cut_and_cleaned() -> None:
    key = "evil\n\x1b[31m\u202e" + "a" * 100_000
    _, field, detail, remedy = refusal(json.dumps(BODY | {key: 1}).encode())
    assert field.startswith("evil??[31m?")
    assert field.isprintable()
    assert len(field) <= 128
    assert max(len(detail), len(remedy)) <= 400


def test_an_arrays_dtype_must_be_numeric() -> None:
    with pytest.raises(ValidationError, match="flat array of numbers"):
        Reading(**BODY, fs_hz=1.0, accel_m_s2={"x": np.array(["1.5"])})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"nameplate": {"rated_power_w": 7500}}, "nameplate.rated_speed_rpm"),
        ({"nameplate": {"rated_power_w": 7500, "rated_speed_rpm": 1470, "volts": 400}}, "nameplate.volts"),
        ({"nameplate": {"rated_power_w": 7500, "rated_speed_rpm": 1470, "poles": 3}}, "nameplate.poles"),
        # zero for a float32, which the edge divides by
        ({"nameplate": BIRTH["nameplate"] | {"rated_current_a": 1e-46}}, "nameplate.rated_current_a"),
        ({"nameplate": BIRTH["nameplate"] | {"thermal_tau_s": 1e-46}}, "nameplate.thermal_tau_s"),
        ({"bearing": {"elements": 9, "element_mm": 20.0, "pitch_mm": 30.0}}, "bearing"),
        ({"clock": "lunar"}, "clock"),
        ({"interval_s": 0}, "interval_s"),
        ({"sensors": [{"signal": "x", "unit": "m"}] * 33}, "sensors"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_birth_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(codec.Refused) as caught:
        codec.decode_birth(json.dumps(BIRTH | change).encode())
    assert (caught.value.reason, caught.value.field) == ("invalid", field)
    assert caught.value.remedy


def test_a_birth_that_is_far_too_long_is_refused_unread() -> None:
    with pytest.raises(codec.Refused) as caught:
        codec.decode_birth(b"{" + b" " * codec.MAX_BIRTH_BYTES)
    assert caught.value.reason == "oversized"


@pytest.mark.parametrize("health", EXAMPLES[Health].values(), ids=EXAMPLES[Health])
def test_health_is_encoded_by_the_short_way_to_the_same_bytes(health: Health) -> None:
    assert codec.encode_health(health) == codec.encode_json(health)
