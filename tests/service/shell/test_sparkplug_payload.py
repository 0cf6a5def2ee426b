"""Sparkplug on the wire: what is encoded here, an independent library decodes from the official schema."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pysparkplug
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysparkplug._protobuf import sparkplug_b_pb2 as official

from service.live import Seen
from service.sparkplug.births import REBIRTH, Births
from service.sparkplug.payload import Metric, encode, true_metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Health
    from service.monitor import Profile

TS_MS = 1_800_000_000_123
FIELDS = {"Int64": "long_value", "Double": "double_value", "Boolean": "boolean_value", "String": "string_value"}
metrics = st.one_of(
    st.builds(Metric, st.text(), st.just("Int64"), st.integers(0, 255) | st.none(), st.integers(0, 2**63)),
    st.builds(Metric, st.text(), st.just("Double"), st.floats(allow_nan=False) | st.none(), st.just(TS_MS)),
    st.builds(Metric, st.text(), st.just("Boolean"), st.booleans() | st.none(), st.just(TS_MS)),
    st.builds(Metric, st.text(), st.just("String"), st.text() | st.none(), st.just(TS_MS)),
)


@given(st.lists(metrics), st.integers(0, 255))
def test_any_payload_is_read_by_the_official_schema(wanted: list[Metric], seq: int) -> None:
    decoded = official.Payload.FromString(encode(wanted, TS_MS, seq))
    assert (decoded.timestamp, decoded.seq) == (TS_MS, seq)
    assert len(decoded.metrics) == len(wanted)
    for metric, found in zip(wanted, decoded.metrics, strict=True):
        assert (found.name, found.timestamp) == (metric.name, metric.ts_ms)
        assert official.DataType.Name(found.datatype) == metric.kind
        if metric.value is None:
            assert found.is_null
            assert found.WhichOneof("value") is None
        else:
            assert getattr(found, FIELDS[metric.kind]) == metric.value
    again = official.Payload.FromString(encode(wanted, TS_MS, seq)).SerializeToString()
    assert official.Payload.FromString(again) == decoded


def command(**values: bool) -> bytes:
    payload = official.Payload(timestamp=TS_MS)
    for name, value in values.items():
        payload.metrics.add(name=name, datatype=official.DataType.Boolean, boolean_value=value, alias=7)
    payload.metrics.add(name="speed", datatype=official.DataType.Double, double_value=2.5)
    payload.metrics.add(name="f", datatype=official.DataType.Float, float_value=2.5)
    return bytes(payload.SerializeToString())


def test_a_command_of_the_official_schema_is_understood() -> None:
    assert true_metrics(command(**{REBIRTH: True, "other": False})) == {REBIRTH}
    assert true_metrics(command(**{REBIRTH: False})) == set()


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(true_metrics(raw), set)


@pytest.mark.parametrize("raw", [command(x=True)[:-3], b"\xff" * 40, b"\x12\xff\xff\xff\xff\x0f", b"x" * 70_000])
def test_what_is_cut_off_or_no_payload_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"payload|command"):
        true_metrics(raw)


FACTS = {"version": "1", "model": "a"}


def decoded(kind: Any, message: tuple[str, bytes] | None) -> Any:
    assert message is not None
    return kind.decode(message[1])


def test_sequence_numbers_run_from_the_birth_and_wrap(
    profile: Callable[..., Profile], health: Callable[..., Health]
) -> None:
    births = Births("plant", "e1", 7)
    first = decoded(pysparkplug.NBirth, births.birth(FACTS))
    assert first.seq == 0
    assert {metric.name: metric.value for metric in first.metrics} == {"bdSeq": 7, REBIRTH: False} | FACTS
    motor = profile("m1")
    born = births.motor(Seen(motor, 1))
    assert born is not None
    assert born[0] == "spBv1.0/plant/DBIRTH/e1/m1"
    birth = decoded(pysparkplug.DBirth, born)
    assert birth.seq == 1
    assert {metric.name: metric.value for metric in birth.metrics if metric.name == "health"} == {"health": None}
    seqs = []
    for number in range(300):
        seen = Seen(motor, 1, health=health("m1", number, health=number / 300), heard_ts_s=1.8e9)
        seqs.append(decoded(pysparkplug.DData, births.motor(seen)).seq)
    assert seqs == [(number + 2) % 256 for number in range(300)]
    assert decoded(pysparkplug.NBirth, births.birth(FACTS)).seq == 0


def test_data_names_what_changed_and_nothing_else(
    profile: Callable[..., Profile], health: Callable[..., Health]
) -> None:
    births = Births("plant", "e1", 0)
    births.birth(FACTS)
    births.motor(Seen(profile("m1"), 1, health=health("m1", 0, health=0.9, rul_h=50.0), heard_ts_s=1.8e9))
    changed = births.motor(Seen(profile("m1"), 2, health=health("m1", 1, health=0.8, rul_h=50.0), heard_ts_s=1.8e9))
    data = decoded(pysparkplug.DData, changed)
    assert [(metric.name, metric.value, metric.timestamp) for metric in data.metrics] == [
        ("health", 0.8, 1_800_000_000_000)
    ]
    assert births.motor(Seen(profile("m1"), 3, health=health("m1", 2, health=0.8, rul_h=50.0))) is None
    assert births.data(FACTS) is None
    assert decoded(pysparkplug.NData, births.data(FACTS | {"model": "b"})).metrics[0].value == "b"


def test_a_silent_motor_dies_once_and_is_born_again(profile: Callable[..., Profile]) -> None:
    births = Births("plant", "e1", 0)
    births.birth(FACTS)
    births.motor(Seen(profile("m1"), 1))
    dead = births.motor(Seen(profile("m1"), 2, availability="silent"))
    assert dead is not None
    assert dead[0] == "spBv1.0/plant/DDEATH/e1/m1"
    assert decoded(pysparkplug.DDeath, dead).seq == 2
    assert births.motor(Seen(profile("m1"), 3, availability="silent")) is None
    again = births.motor(Seen(profile("m1"), 4, availability="online"))
    assert again is not None
    assert "/DBIRTH/" in again[0]
    assert births.gone("nobody") is None


def test_the_death_carries_the_number_of_its_connection_and_no_sequence() -> None:
    births = Births("plant", "e1", 255)
    topic, raw = births.death()
    assert topic == "spBv1.0/plant/NDEATH/e1"
    assert pysparkplug.NDeath.decode(raw).bd_seq_metric.value == 255
    assert not official.Payload.FromString(raw).HasField("seq")
    births.next_connection()
    assert pysparkplug.NDeath.decode(births.death()[1]).bd_seq_metric.value == 0
