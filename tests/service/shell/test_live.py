"""The live picture and what is streamed of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from service.api import documents
from service.api.stream import Streams
from service.contract.faults import Fault
from service.live import Live
from service.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.contract.messages import Alert, Health
    from service.monitor import Profile


@pytest.fixture
def live(profile: Callable[..., Profile]) -> Live:
    picture = Live()
    for motor in ("m2", "m1"):
        picture.introduce(profile(motor))
    return picture


def test_a_reader_gets_everything_once_and_then_each_motor_that_changed_once(
    live: Live, health: Callable[..., Health]
) -> None:
    first = live.news(0)
    assert first.full
    assert {seen.profile.motor for seen in first.motors} == {"m1", "m2"}
    for seq in range(100):
        live.update([(health("m1", seq), 1.8e9)], [])
    later = live.news(first.change)
    assert not later.full
    assert [(seen.profile.motor, seen.health and seen.health.seq) for seen in later.motors] == [("m1", 99)]
    assert live.news(later.change).motors == []


def test_alerts_stand_until_they_are_cleared_and_the_cleared_ones_are_kept(
    live: Live, alert: Callable[..., Alert]
) -> None:
    live.update([], [alert("m1"), alert("m2", opened_ts_s=1_900_000_000.0)])
    assert [one.motor for one in live.alerts(cleared=False)] == ["m2", "m1"]
    live.update([], [alert("m1", "clear", 1)])
    assert [one.motor for one in live.alerts(cleared=False)] == ["m2"]
    assert [(one.motor, one.state) for one in live.alerts(cleared=True)] == [("m2", "open"), ("m1", "clear")]


def test_a_reader_who_missed_too_much_gets_the_whole_picture(live: Live, profile: Callable[..., Profile]) -> None:
    before = live.news(0).change
    for number in range(400):
        live.introduce(profile(f"x{number}"))
        live.retire(f"x{number}")
    assert live.news(before).full
    assert not live.news(live.change - 1).full


def test_a_motor_that_left_is_told_and_counts_no_more(live: Live, health: Callable[..., Health]) -> None:
    live.update([(health("m1", state="alarm"), 1.8e9)], [])
    live.availability("m2", "silent")
    assert live.counts() == ({"alarm": 1, "unheard": 1}, {}, 1)
    change = live.change
    live.retire("m1")
    live.retire("m1")
    assert live.news(change).gone == ["m1"]
    live.update([(health("m1"), 1.8e9)], [])
    live.availability("m1", "online")
    assert [seen.profile.motor for seen in live.motors()] == ["m2"]
    assert live.motor("m1") is None


def test_documents_are_what_the_openapi_document_promises(
    live: Live, health: Callable[..., Health], alert: Callable[..., Alert]
) -> None:
    live.update([(health("m1", probabilities={Fault.BALL: 0.5}), 1.8e9)], [alert("m1")])
    for seen in live.motors():
        documents.Motor.model_validate_json(json.dumps(seen.document()))
    plate = live.motors()[0].nameplate()
    assert plate["rated_speed_rpm"] == 1450.0
    assert plate["bpfo"] is None


def test_an_event_carries_the_picture_and_a_number_to_continue_from(
    live: Live, health: Callable[..., Health], alert: Callable[..., Alert]
) -> None:
    streams = Streams(live, Metrics(), 4)
    change, event = streams.event(0)
    assert event is not None
    kind, number, data = event.decode().strip().split("\n")
    assert kind == "event: news"
    assert number.endswith(f"-{change}")
    body = json.loads(data.removeprefix("data: "))
    assert body["full"]
    assert len(body["motors"]) == 2
    assert streams.event(change) == (change, None)
    live.update([(health("m1"), 1.8e9)], [alert("m1")])
    _, event = streams.event(change)
    assert event is not None
    body = json.loads(event.decode().strip().split("\n")[2].removeprefix("data: "))
    assert not body["full"]
    assert [motor["alerts"] for motor in body["motors"]] == [["ball"]]
    assert [item["state"] for item in body["alerts"]] == ["open"]
