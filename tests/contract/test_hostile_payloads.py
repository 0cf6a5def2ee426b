"""Whatever arrives, the decoder answers with a message or a refusal, in bounded time and with clean texts."""

from __future__ import annotations

import json
import struct
import time
from typing import Any, get_args

import cbor2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.contract import codec
from service.contract.examples import EXAMPLES
from service.contract.messages import MAX_PAYLOAD_BYTES, Birth, Message, Reading, Reason

PAYLOADS_PER_KIND = 2000
SECONDS_PER_MEGABYTE = 2.0

FIELDS = sorted({*Reading.model_fields, *Birth.model_fields, "rated_power_w", "elements", "x", "y"})
VALID: list[dict[str, Any]] = [
    example.model_dump(mode="json", exclude_none=True)
    for kind in (Reading, Birth)
    for example in EXAMPLES[kind].values()
]
VALID_CBOR = [
    codec.encode_cbor(reading, scale_m_s2=scale)
    for reading in EXAMPLES[Reading].values()
    if isinstance(reading, Reading)
    for scale in (None, 0.01)
]


def head(major: int, value: int) -> bytes:
    """A CBOR item's head (RFC 8949, section 3): major type and argument."""
    if value < 24:
        return bytes([major << 5 | value])
    for code, (form, limit) in enumerate((("B", 8), (">H", 16), (">I", 32), (">Q", 64)), start=24):
        if value < 2**limit:
            return bytes([major << 5 | code]) + struct.pack(form, value)
    raise AssertionError(value)


TEXTS = st.one_of(
    st.sampled_from(["", "a/b", "+", "#", "a\n", "\x00", "\u202e", "\U0001f525", "é" * 70, "NaN", "1e400"]), st.text()
)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([2**53, 2**63, 2**64, -(2**63) - 1, 10**300, 10**400]),
    st.floats(allow_nan=True, allow_infinity=True),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), TEXTS), inner, max_size=3),
    ),
    max_leaves=5,
)
CHANGES = st.dictionaries(st.one_of(st.sampled_from(FIELDS), TEXTS), VALUES, max_size=4)
OBJECTS = st.builds(lambda valid, change: valid | change, st.sampled_from([{}, *VALID]), CHANGES)

ITEMS = st.recursive(
    st.one_of(
        LEAVES.filter(lambda leaf: not isinstance(leaf, str) or leaf.isascii()).map(cbor2.dumps),
        st.binary(max_size=40).map(cbor2.dumps),
        st.sampled_from(
            [b"\xf7", b"\xe0", b"\xf8\xff", b"\xf9\x7e\x00", b"\xfc", b"\x1c", b"\x5f\x41\x00\xff", b"\xff"]
        ),
        st.builds(head, st.integers(0, 6), st.integers(0, 2**64 - 1)),
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda tag, item: head(6, tag) + item,
            st.one_of(
                st.sampled_from(
                    # date, bignum, fraction, bigfloat, references, rational, pattern, MIME, UUID, date, set, network
                    [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 64, 77, 85, 100, 256, 258, 260, 1004, 55799]
                ),
                st.integers(0, 2**32),
            ),
            inner,
        ),
        st.lists(inner, max_size=3).map(lambda items: head(4, len(items)) + b"".join(items)),
        st.lists(inner, max_size=3).map(lambda items: b"\x9f" + b"".join(items) + b"\xff"),
        st.lists(inner, max_size=3).map(lambda items: head(5, len(items) // 2) + b"".join(items)),
    ),
    max_leaves=5,
)
KEYS = st.one_of(st.sampled_from(FIELDS).map(cbor2.dumps), ITEMS)


def assembled(start: dict[str, Any], pairs: list[tuple[bytes, bytes]], indefinite: bool) -> bytes:
    """A CBOR map of well-formed and other pairs; keys may repeat."""
    body = cbor2.dumps(start)[1:] + b"".join(key + value for key, value in pairs)
    return b"\xbf" + body + b"\xff" if indefinite else head(5, len(start) + len(pairs)) + body


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid payload with bytes flipped, cut out, doubled or put in."""
    payload = bytearray(draw(st.sampled_from([*(json.dumps(valid).encode() for valid in VALID), *VALID_CBOR])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(payload) - 1, 0)))
        length = draw(st.integers(0, 12))
        match draw(st.sampled_from(["flip", "cut", "double", "insert"])):
            case "flip" if payload:
                payload[at] ^= draw(st.integers(1, 255))
            case "cut":
                del payload[at : at + length]
            case "double":
                payload[at:at] = payload[at : at + length]
            case _:
                payload[at:at] = draw(st.binary(min_size=1, max_size=12))
    return bytes(payload)


KINDS: dict[str, st.SearchStrategy[bytes]] = {
    "random bytes": st.builds(
        lambda start, tail: start + tail,
        st.sampled_from([b"", b"{", b'{"motor":', b"\xa1", b"\xbf", b"\xb9"]),
        st.binary(),
    ),
    "damaged messages": mutated(),
    "JSON of wrong types": OBJECTS.map(lambda body: json.dumps(body).encode()),
    "CBOR of wrong types": OBJECTS.map(cbor2.dumps),
    "crafted CBOR": st.builds(
        assembled,
        st.sampled_from([{}, VALID[0], VALID[1]]),
        st.lists(st.tuples(KEYS, ITEMS), max_size=4),
        st.booleans(),
    ),
}


def answer(payload: bytes) -> list[Message | codec.Refused]:
    """What both decoders say; anything but a message or a refusal is an error."""
    answers: list[Message | codec.Refused] = []
    for decode in (codec.decode_reading, codec.decode_birth):
        try:
            answers.append(decode(payload))
        except codec.Refused as refused:
            answers.append(refused)
    return answers


def assert_sound(payload: bytes) -> None:
    for given_answer in answer(payload):
        if isinstance(given_answer, codec.Refused):
            assert given_answer.reason in get_args(Reason)
            for text, limit in ((given_answer.field, 128), (given_answer.detail, 400), (given_answer.remedy, 400)):
                assert text
                assert len(text) <= limit
                assert text.isprintable()
        elif isinstance(given_answer, Reading):
            assert all(np.isfinite(samples).all() and samples.ndim == 1 for samples in given_answer.accel_m_s2.values())
            assert codec.decode_reading(codec.encode_json(given_answer)).motor == given_answer.motor
        else:
            assert isinstance(given_answer, Birth)
            assert codec.decode_birth(codec.encode_json(given_answer)) == given_answer


@pytest.mark.parametrize("kind", KINDS)
def test_every_payload_is_a_message_or_a_refusal_among(kind: str) -> None:
    thrown = 0

    @settings(
        max_examples=PAYLOADS_PER_KIND,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    @given(KINDS[kind])
    def throw(payload: bytes) -> None:
        nonlocal thrown
        thrown += 1
        assert_sound(payload)

    throw()
    assert thrown >= PAYLOADS_PER_KIND


def test_the_kinds_together_are_ten_thousand_payloads() -> None:
    assert len(KINDS) * PAYLOADS_PER_KIND >= 10_000


def filled(start: bytes, unit: bytes, end: bytes = b"") -> bytes:
    """A payload of the largest size that is read."""
    return start + unit * ((MAX_PAYLOAD_BYTES - len(start) - len(end)) // len(unit)) + end


def many_keys(template: str, start: str = "") -> bytes:
    keys = ",".join(template % number for number in range(50_000))
    return ("{" + start + keys + "}").encode()


HEAVY: dict[str, bytes] = {
    "one long number": filled(b'{"seq":', b"9", b"}"),
    "one long fraction": filled(b'{"load":0.', b"9", b"}"),
    "one long text": filled(b'{"motor":"', b"a", b'"}'),
    "escaped zeros": filled(b'{"motor":"', b"\\u0000", b'"}'),
    "open brackets": filled(b'{"load":', b"["),
    "CBOR arrays in arrays": filled(b"\xa1\x64load", b"\x81"),
    "many samples that are texts": filled(b'{"accel_m_s2":{"x":[', b'"",', b'""]}}'),
    "many samples that are lists": filled(b'{"accel_m_s2":{"x":[', b"[],", b"[]]}}"),
    "many samples": filled(b'{"accel_m_s2":{"x":[', b"1,", b"1]}}"),
    "many unknown fields": many_keys('"k%d":1'),
    "many axes": many_keys('"k%d":[1]', '"accel_m_s2":{') + b"}",
    "many faulty sensors": filled(b'{"sensors":[', b"{},", b"{}]}"),
    "a rational of bignums": b"\xa1\x64load\xd8\x1e\x82" + 2 * (b"\xc2" + head(2, 500_000) + b"\xfd" * 500_000),
    "a bigfloat with a huge exponent": b"\xa1\x64load\xc5\x82" + head(0, 2**62) + b"\x01",
    "a pattern": b"\xa1\x64load\xd8\x23" + head(3, 900_000) + b"(" * 900_000,
    "an array said to be huge": b"\xa1\x64load" + head(4, 2**62),
    "a text said to be huge": b"\xa1\x64load" + head(3, 2**62),
}


@pytest.mark.parametrize("load", HEAVY)
def test_a_megabyte_is_answered_in_bounded_time_when_it_is(load: str) -> None:
    payload = HEAVY[load]
    assert len(payload) <= MAX_PAYLOAD_BYTES
    start_s = time.process_time()
    assert_sound(payload)
    assert time.process_time() - start_s < SECONDS_PER_MEGABYTE
    assert all(isinstance(given_answer, codec.Refused) for given_answer in answer(payload))


def test_ten_megabytes_are_refused_by_their_size() -> None:
    for refused in answer(b"{" + b" " * 10_000_000):
        assert isinstance(refused, codec.Refused)
        assert refused.reason == "oversized"
