"""How alerts get to people: over real sockets, past failures, past a power cut, and never in the worker's way."""

from __future__ import annotations

import json
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

from service.metrics import Metrics
from service.notices.notice import Notice, Origin
from service.notices.options import WebhookSettings
from service.notices.queue import Queue
from service.notices.route import Route
from service.notices.webhook import Webhook
from tests.conftest import free_port
from tests.receiver import Receiver, certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.contract.messages import Alert

PATIENCE_S = 15.0


def wait_until(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.01)


class Bench:
    """Routes over a folder; each is stopped at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = Metrics()
        self.routes: list[Route] = []

    def route(self, url: str, **fields: Any) -> Route:
        """A route that is not started yet."""
        options = WebhookSettings(url=url, **({"retry_max_s": 0.05} | fields))
        counters = self.metrics.notices[options.format]
        route = Route("webhook-r", options, Webhook(options, Origin("e1", None)), self.folder, counters)
        self.routes.append(route)
        return route

    def count(self, result: str, form: str = "generic") -> float:
        """How often an attempt ended so."""
        return self.metrics.notices[form][result]._value.get()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    for route in made.routes:
        route.stop()


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(*answers: int | tuple[int, dict[str, str]], **fields: Any) -> Receiver:
        told = [answer if isinstance(answer, tuple) else (answer, {}) for answer in answers]
        made.append(Receiver(told, **fields))
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


def test_an_alert_is_told_once_and_its_update_is_not(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert]
) -> None:
    receiver = receive(200)
    route = bench.route(receiver.url + "?key=s%20x", secret="0123456789abcdef", token="t0ken")  # noqa: S106 - made up
    route.start()
    route.hand_over(
        [Notice(alert(state=state, revision=n), "P4") for n, state in enumerate(("open", "update", "clear"))]
    )
    wait_until(lambda: len(receiver.got) == 2 and route.waiting == 0, "two messages")
    assert [got.json["alert"]["state"] for got in receiver.got] == ["open", "clear"]
    first = receiver.got[0]
    assert first.path == "/hook?key=s%20x"
    assert first.headers["authorization"] == "Bearer t0ken"
    assert first.headers["webhook-id"] == "m1:ball:1/0"
    assert first.headers["webhook-signature"].startswith("v1,")
    assert bench.count("delivered") == 2


def test_failures_are_tried_again_in_order_until_it_succeeds(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert]
) -> None:
    receiver = receive(500, (429, {"retry-after": "0"}), 503, 200)
    route = bench.route(receiver.url)
    route.start()
    route.hand_over([Notice(alert(), ""), Notice(alert(state="clear", revision=1), "")])
    wait_until(lambda: bench.count("delivered") == 2, "both")
    assert [got.json["alert"]["state"] for got in receiver.got] == ["open"] * 4 + ["clear"]
    assert bench.count("failed") == 3
    assert route.fault is None


def test_a_refusal_is_counted_and_what_follows_is_told(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert]
) -> None:
    receiver = receive(400, 200)
    route = bench.route(receiver.url)
    route.start()
    route.hand_over([Notice(alert(), ""), Notice(alert("m2"), "")])
    wait_until(lambda: bench.count("delivered") == 1, "the second")
    assert bench.count("refused") == 1


def test_no_redirection_is_followed(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert]
) -> None:
    inside = receive(200)
    receiver = receive((302, {"location": inside.url}))
    route = bench.route(receiver.url)
    route.start()
    route.hand_over([Notice(alert(), "")])
    wait_until(lambda: bench.count("refused") == 1, "the refusal")
    assert inside.got == []


def test_what_waits_survives_a_restart_and_its_address_is_not_told(bench: Bench, alert: Callable[..., Alert]) -> None:
    port = free_port()
    first = bench.route(f"http://127.0.0.1:{port}/geheim")
    first.start()
    first.hand_over([Notice(alert(f"m{number}"), "") for number in range(100)])
    wait_until(lambda: first.waiting == 100 and first.fault, "the queue")
    assert "does not answer" in (first.fault or "")
    assert "geheim" not in (first.fault or "")
    first.stop()
    receiver = Receiver()
    try:
        second = bench.route(receiver.url)
        second.start()
        wait_until(lambda: len(receiver.got) == 100, "all hundred")
        assert [got.json["alert"]["motor"] for got in receiver.got] == [f"m{number}" for number in range(100)]
    finally:
        second.stop()
        receiver.close()


def test_a_queue_that_is_full_gives_up_the_oldest_and_counts_it(bench: Bench, alert: Callable[..., Alert]) -> None:
    route = bench.route(f"http://127.0.0.1:{free_port()}/", max_waiting=10)
    route.start()
    route.hand_over([Notice(alert(f"m{number}"), "") for number in range(25)])
    wait_until(lambda: bench.count("queue_full") == 15, "fifteen dropped")
    assert route.waiting == 10


def test_what_has_waited_too_long_is_dropped_and_counted(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert], tmp_path: Path
) -> None:
    queue = Queue(tmp_path / "webhook-r.db", 10)
    queue.put([(Notice(alert("old"), ""), True)], time.time() - 7200.0)
    queue.close()
    receiver = receive(200)
    route = bench.route(receiver.url, max_age_h=1.0)
    route.start()
    route.hand_over([Notice(alert("new"), "")])
    wait_until(lambda: bench.count("delivered") == 1, "the new one")
    assert bench.count("too_old") == 1
    assert [got.json["alert"]["motor"] for got in receiver.got] == ["new"]


def test_what_a_power_cut_took_is_told_after_the_start(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert], tmp_path: Path
) -> None:
    queue = Queue(tmp_path / "webhook-r.db", 10)
    queue.put([(Notice(alert("gone"), ""), False), (Notice(alert("stays"), ""), False)], time.time())
    queue.close()
    receiver = receive(200)
    route = bench.route(receiver.url)
    route.start()
    route.reconcile([Notice(alert("stays"), ""), Notice(alert("fresh", state="update", revision=4), "")])
    wait_until(lambda: len(receiver.got) == 2, "an end and a beginning")
    told = [(got.json["alert"]["motor"], got.json["alert"]["state"]) for got in receiver.got]
    assert told == [("gone", "clear"), ("fresh", "open")]


def test_a_damaged_queue_is_moved_aside(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert], tmp_path: Path
) -> None:
    (tmp_path / "webhook-r.db").write_bytes(b"not a database, " * 100)
    receiver = receive(200)
    route = bench.route(receiver.url)
    route.start()
    route.hand_over([Notice(alert(), "")])
    wait_until(lambda: bench.count("delivered") == 1, "the alert")
    assert (tmp_path / "webhook-r.db.corrupt").exists()


def test_a_disk_that_fails_costs_durability_and_no_alert(alert: Callable[..., Alert], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way of a folder")
    queue = Queue(blocked / "webhook-r.db", 10)
    queue.put([(Notice(alert(), "P4"), True)], 1.0)
    assert queue.fault is not None
    assert [notice.name for _, _, notice in queue.first(5)] == ["P4"]
    queue.close()


def test_a_file_lost_under_way_leaves_what_waits_in_memory(alert: Callable[..., Alert], tmp_path: Path) -> None:
    queue = Queue(tmp_path / "r.db", 10)
    queue.put([(Notice(alert("m1"), ""), True)], 1.0)
    other = sqlite3.connect(tmp_path / "r.db")
    other.execute("BEGIN EXCLUSIVE")
    queue.put([(Notice(alert("m2"), ""), True)], 2.0)
    assert queue.fault is not None
    assert [notice.alert.motor for _, _, notice in queue.first(5)] == ["m1", "m2"]
    other.close()
    queue._retry_at_s = 0.0
    queue.put([(Notice(alert("m3"), ""), True)], 3.0)
    assert queue.fault is None
    queue.close()
    again = Queue(tmp_path / "r.db", 10)
    assert [notice.alert.motor for _, _, notice in again.first(5)] == ["m1", "m2", "m3"]
    again.close()


def test_https_is_verified_against_the_authority_that_is_named(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert], tmp_path: Path
) -> None:
    files = certificate(tmp_path)
    receiver = receive(200, tls=files)
    stranger = bench.route(receiver.url)
    stranger.start()
    stranger.hand_over([Notice(alert(), "")])
    wait_until(lambda: bench.count("failed") >= 1, "a refusal to speak to a stranger")
    assert "certificate" in (stranger.fault or "").lower()
    stranger.stop()
    assert receiver.got == []
    friend = bench.route(receiver.url, ca_file=files[0])
    friend.start()
    wait_until(lambda: bench.count("delivered") == 1, "the alert")
    assert json.loads(receiver.got[0].body)["alert"]["motor"] == "m1"


def test_open_alerts_are_told_again_where_the_other_side_forgets(
    bench: Bench, receive: Callable[..., Receiver], alert: Callable[..., Alert]
) -> None:
    receiver = receive(200)
    route = bench.route(receiver.url, format="alertmanager")
    route._teller.repeat_s = 0.2
    route.start()
    route.hand_over([Notice(alert(), ""), Notice(alert("m2"), "")])
    wait_until(lambda: bench.count("repeated", "alertmanager") >= 2, "repetitions")
    assert {one["labels"]["motor"] for one in receiver.got[-1].json} == {"m1", "m2"}
    route.hand_over([Notice(alert(state="clear", revision=1), "")])

    def still_open() -> set[str]:
        return {one["labels"]["motor"] for one in receiver.got[-1].json}

    wait_until(lambda: still_open() == {"m2"}, "only the one that is still open")
