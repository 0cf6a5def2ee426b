"""Inbox, outbox, rejections, presence: what waits, what goes, what is said."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from service.contract.codec import Refused
from service.contract.messages import Alert
from service.inbox import Acknowledged, Inbox
from service.outbox import Outbox
from service.presence import Presence
from service.rejections import Rejections
from service.wire import Delivery, Token

if TYPE_CHECKING:
    from collections.abc import Callable


def delivery(motor: str, number: int = 0, size: int = 10, kind: str = "reading") -> Delivery:
    topic = f"motortwin/v1/motor/{motor}/{kind}"
    payload = str(number).encode().ljust(size)
    return Delivery(topic, payload, size, retain=False, dup=False, received_s=0.0, token=Token(1, number))


def numbers(deliveries: list[Delivery]) -> list[tuple[str, int]]:
    return [(item.topic.split("/")[3], int(item.payload)) for item in deliveries]


def test_what_is_taken_is_in_order_and_bounded() -> None:
    inbox = Inbox(100, 10_000, 60.0)
    for number in range(5):
        assert inbox.put(delivery("m1", number), 0.0) == []
    assert numbers(inbox.take(3, 0.0)) == [("m1", 0), ("m1", 1), ("m1", 2)]
    assert numbers(inbox.take(9, 0.0)) == [("m1", 3), ("m1", 4)]
    assert inbox.take(9, 0.0) == []


def test_taking_waits_for_the_first_and_no_longer() -> None:
    inbox = Inbox(100, 10_000, 60.0)
    threading.Timer(0.1, lambda: inbox.put(delivery("m1"), 0.0)).start()
    start = time.monotonic()
    assert len(inbox.take(100, 10.0)) == 1
    assert time.monotonic() - start < 5.0


def test_the_first_waits_for_company_and_no_longer() -> None:
    inbox = Inbox(100, 10_000, 60.0, gather_s=0.3)
    first = dataclasses.replace(delivery("m1"), received_s=time.perf_counter())
    threading.Timer(0.1, lambda: inbox.put(delivery("m2"), 0.0)).start()
    inbox.put(first, 0.0)
    assert numbers(inbox.take(100, 10.0)) == [("m1", 0), ("m2", 0)]
    assert time.perf_counter() - first.received_s >= 0.3


def test_as_many_as_can_be_taken_are_company_enough() -> None:
    inbox = Inbox(100, 10_000, 60.0, gather_s=60.0)
    inbox.put(dataclasses.replace(delivery("m1"), received_s=time.perf_counter()), 0.0)
    threading.Timer(0.1, lambda: [inbox.put(delivery(f"m{number}"), 0.0) for number in (2, 3)]).start()
    start = time.monotonic()
    assert len(inbox.take(3, 10.0)) == 3
    assert time.monotonic() - start < 30.0


def test_a_note_does_not_wait_for_company() -> None:
    inbox = Inbox(100, 10_000, 60.0, gather_s=60.0)
    inbox.put(dataclasses.replace(delivery("m1"), received_s=time.perf_counter()), 0.0)
    threading.Timer(0.1, inbox.wake).start()
    start = time.monotonic()
    assert numbers(inbox.take(100, 10.0)) == [("m1", 0)]
    assert time.monotonic() - start < 30.0


def test_who_has_waited_long_enough_is_taken_at_once() -> None:
    inbox = Inbox(100, 10_000, 60.0, gather_s=60.0)
    inbox.put(dataclasses.replace(delivery("m1"), received_s=time.perf_counter() - 61.0), 0.0)
    start = time.monotonic()
    assert len(inbox.take(100, 10.0)) == 1
    assert time.monotonic() - start < 30.0


def test_a_note_wakes_the_one_who_takes() -> None:
    inbox = Inbox(100, 10_000, 60.0)
    threading.Timer(0.1, lambda: inbox.leave(Acknowledged(Token(1, 1), accepted=True))).start()
    start = time.monotonic()
    assert inbox.take(100, 10.0) == []
    assert time.monotonic() - start < 5.0
    assert len(inbox.notes) == 1


def overloaded(max_readings: int, max_bytes: int, *waiting: Delivery) -> Inbox:
    """A full inbox at the end of its patience."""
    inbox = Inbox(max_readings, max_bytes, 60.0)
    for item in waiting:
        assert inbox.put(item, 0.0) == []
    assert not inbox.room(0.0)
    assert not inbox.room(60.0)
    assert inbox.room(60.1)
    return inbox


def test_a_burst_is_held_back_and_nothing_is_shed() -> None:
    told: list[bool] = []
    inbox = Inbox(4, 10_000, 60.0, lambda: told.append(True))
    for number in range(4):
        assert inbox.room(0.0)
        assert inbox.put(delivery("m1", number), 0.0) == []
    assert not inbox.room(0.0)
    assert inbox.put(delivery("m1", 4), 0.0) == []
    assert told == []
    inbox.take(1, 0.0)
    assert told == []
    inbox.take(1, 0.0)
    assert told == [True]
    assert inbox.room(1.0)


def test_patience_starts_anew_once_the_burst_is_over() -> None:
    inbox = Inbox(2, 10_000, 60.0)
    for _ in range(3):
        inbox.put(delivery("m1", 0), 0.0)
        inbox.put(delivery("m1", 1), 0.0)
        assert not inbox.room(0.0)
        assert len(inbox.take(9, 0.0)) == 2
    inbox.put(delivery("m1", 0), 100.0)
    inbox.put(delivery("m1", 1), 100.0)
    assert not inbox.room(100.0)


def test_in_an_overload_the_newest_reading_of_a_motor_displaces_its_oldest() -> None:
    inbox = overloaded(3, 10_000, delivery("m1", 0), delivery("m2", 0), delivery("m2", 1))
    [(gone, reason)] = inbox.put(delivery("m2", 2), 61.0)
    assert (numbers([gone]), reason) == ([("m2", 0)], "queue_full")
    [(gone, _)] = inbox.put(delivery("m3", 0), 61.0)
    assert numbers([gone]) == [("m1", 0)]
    assert numbers(inbox.take(9, 0.0)) == [("m2", 1), ("m2", 2), ("m3", 0)]


def test_a_birth_is_not_displaced_by_readings() -> None:
    inbox = overloaded(2, 10_000, delivery("m1", 0, kind="birth"), delivery("m1", 1))
    inbox.put(delivery("m2", 2), 61.0)
    assert numbers(inbox.take(9, 0.0)) == [("m1", 0), ("m2", 2)]


def test_bytes_are_bounded_too() -> None:
    inbox = overloaded(100, 1000, *(delivery("m1", number, size=200) for number in range(5)))
    shed = inbox.put(delivery("m1", 5, size=500), 61.0)
    assert [reason for _, reason in shed] == ["queue_bytes"] * 3
    assert numbers(inbox.take(9, 0.0)) == [("m1", 3), ("m1", 4), ("m1", 5)]


def test_the_limits_hold_whatever_is_put() -> None:
    inbox = Inbox(10, 1000, 60.0)
    for number in range(1000):
        inbox.put(delivery(f"m{number % 7}", number, size=80), 0.0)
    assert len(inbox) <= 15
    assert sum(item.size for item in inbox.take(100, 0.0)) <= 1500


class Wire:
    """Takes what is published and numbers it; the broker's part is played by the test."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.up = True

    def publish(self, topic: str, payload: bytes, **_: Any) -> Token | None:
        """Take one message; its token while up."""
        if not self.up:
            return None
        self.sent.append((topic, payload))
        return Token(1, len(self.sent))


def sent(outbox: Outbox, wire: Wire) -> None:
    """Everything is committed, and what may leave does."""
    outbox.committed(outbox.last)
    outbox.send(wire)


def revisions(wire: Wire) -> list[tuple[str, int]]:
    alerts = [Alert.model_validate_json(payload) for _, payload in wire.sent]
    return [(item.state, item.revision) for item in alerts]


def test_an_alert_leaves_the_outbox_only_when_acknowledged(alert: Callable[..., Alert]) -> None:
    outbox, wire = Outbox(), Wire()
    entry, _ = outbox.add(alert())
    sent(outbox, wire)
    sent(outbox, wire)
    assert len(wire.sent) == 1
    assert len(outbox) == 1
    assert outbox.acknowledged(Token(1, 99), accepted=True) is None
    assert outbox.acknowledged(Token(1, 1), accepted=True) == entry.number
    assert len(outbox) == 0


def test_an_alert_that_is_not_committed_does_not_leave(alert: Callable[..., Alert]) -> None:
    outbox, wire = Outbox(), Wire()
    first, _ = outbox.add(alert("m1"))
    outbox.add(alert("m2"))
    outbox.send(wire)
    assert wire.sent == []
    outbox.committed(first.number)
    outbox.send(wire)
    assert [topic for topic, _ in wire.sent] == [first.topic]


def test_the_age_of_the_outbox_is_that_of_its_oldest_alert(alert: Callable[..., Alert]) -> None:
    outbox, wire = Outbox(), Wire()
    assert outbox.age_s(1e9) == 0.0
    first, second = outbox.add(alert("m1"))[0], outbox.add(alert("m2"))[0]
    assert second.since_s > first.since_s
    assert outbox.age_s(first.since_s + 60.0) == pytest.approx(60.0)
    sent(outbox, wire)
    outbox.acknowledged(Token(1, 1), accepted=True)
    assert outbox.age_s(second.since_s + 5.0) == pytest.approx(5.0)


def test_alerts_leave_in_order_and_an_unsent_update_is_superseded(alert: Callable[..., Alert]) -> None:
    outbox, wire = Outbox(), Wire()
    wire.up = False
    superseded = [
        outbox.add(alert(state="open" if number == 0 else "update", revision=number))[1] for number in range(4)
    ]
    assert superseded == [None, None, 2, 3]
    outbox.add(alert(state="clear", revision=4))
    sent(outbox, wire)
    assert wire.sent == []
    wire.up = True
    sent(outbox, wire)
    assert revisions(wire) == [("open", 0), ("update", 3), ("clear", 4)]


def test_an_update_in_flight_is_not_superseded(alert: Callable[..., Alert]) -> None:
    outbox, wire = Outbox(), Wire()
    outbox.add(alert(state="update", revision=1))
    sent(outbox, wire)
    assert outbox.add(alert(state="update", revision=2))[1] is None
    sent(outbox, wire)
    assert revisions(wire) == [("update", 1), ("update", 2)]


def test_what_the_broker_refused_or_an_older_client_had_is_sent_again(alert: Callable[..., Alert]) -> None:
    outbox, wire = Outbox(), Wire()
    outbox.add(alert("m1"))
    outbox.add(alert("m2"))
    sent(outbox, wire)
    assert outbox.acknowledged(Token(1, 1), accepted=False) is None
    assert (len(outbox), outbox.refused) == (2, 1)
    sent(outbox, wire)
    assert len(wire.sent) == 2
    outbox.reconnected(1)
    sent(outbox, wire)
    assert len(wire.sent) == 3
    outbox.reconnected(2)
    sent(outbox, wire)
    assert len(wire.sent) == 5


def test_stored_alerts_are_taken_up_in_order_behind_newer_ones(alert: Callable[..., Alert]) -> None:
    fresh = Outbox()
    fresh.restore([(7, "a", b"1"), (9, "b", b"2")])
    assert [(entry.number, entry.topic) for entry in fresh.entries()] == [(7, "a"), (9, "b")]
    assert fresh.add(alert())[0].number == 10
    late = Outbox()
    mine = late.add(alert())[0]
    late.restore([(1, mine.topic, b"old"), (2, "b", b"2")])
    assert [entry.topic for entry in late.entries()] == [mine.topic, "b"]
    assert len({entry.number for entry in late.entries()}) == 2


def test_rejections_are_described_in_part_and_counted_in_full() -> None:
    rejections = Rejections("edge", per_second=5.0, burst=10.0)
    refused = Refused("invalid", "f", "d", "r")
    described = [rejections.describe("t", refused, now_s=100.0, ts_s=1.8e9) for _ in range(50)]
    assert sum(message is not None for message in described) == 10
    later = rejections.describe("t", refused, now_s=100.2, ts_s=1.8e9)
    assert later is not None
    assert later.suppressed == 40
    assert rejections.describe("t", refused, now_s=100.2, ts_s=1.8e9) is None


@pytest.mark.parametrize("topic", ["x" * 65_000, "a\x00b\nc", "ü" * 300])
def test_a_hostile_topic_is_described_safely(topic: str) -> None:
    message = Rejections("edge").describe(topic, Refused("topic", "f", "d", "r"), now_s=1.0, ts_s=1.8e9)
    assert message is not None
    assert len(message.topic) <= 256
    assert message.topic.isprintable()


def test_a_motor_is_silent_after_its_limit_and_online_with_its_next_reading() -> None:
    presence = Presence(3.0)
    presence.expect("m1", 10.0, now_s=0.0)
    assert presence.states() == {}
    assert presence.heard("m1", 5.0)
    assert not presence.heard("m1", 6.0)
    assert presence.fallen_silent(36.0) == []
    assert presence.fallen_silent(36.1) == ["m1"]
    assert presence.fallen_silent(40.0) == []
    assert presence.states() == {"m1": "silent"}
    assert presence.heard("m1", 41.0)


def test_a_motor_never_heard_falls_silent_and_a_forgotten_one_says_nothing() -> None:
    presence = Presence(2.0)
    presence.expect("m1", 1.0, now_s=0.0)
    presence.expect("m2", 1.0, now_s=0.0)
    presence.forget("m2")
    assert presence.fallen_silent(2.1) == ["m1"]
    assert not presence.heard("m2", 3.0)
    presence.expect("m1", 100.0, now_s=3.0)
    presence.heard("m1", 3.0)
    assert presence.fallen_silent(100.0) == []
