"""The bench's lean sender against a real mosquitto: all is acknowledged, each answer timed, a lost one named."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.bench.latency import delays_ms
from tests.bench.sender import WINDOW, Sender, publications

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Broker
    from tests.system.conftest import Watcher

HOST = "127.0.0.1"
COUNT = 3 * WINDOW


def messages(count: int, topic: str = "bench/echo") -> list[tuple[str, bytes]]:
    """Messages whose packets' lengths take one byte, one or (from seq 1000 on) two, and three."""
    return [(topic, b'{"motor":"m","seq":%d}' % number + b" " * (1, 90, 17_000)[number % 3]) for number in range(count)]


@pytest.fixture
def sender(broker: Broker) -> Iterator[Sender]:
    """One whose own messages are its answers."""
    echo = Sender(HOST, broker.port, "bench/echo", patience_s=3.0)
    yield echo
    echo.close()


@pytest.mark.system
def test_the_sender_hears_its_own_echo_of_everything_it_sent_and_others_do_too(
    sender: Sender, watch: Callable[[], Watcher]
) -> None:
    witness, said = watch(), messages(COUNT)
    exchange = sender.exchange(publications(said), 10_000.0, answers=COUNT)
    assert [payload for _, payload in exchange.heard] == [payload for _, payload in said]
    assert all(sent >= due for sent, due in zip(exchange.sent_s, exchange.due_s, strict=True))
    assert exchange.due_s[-1] - exchange.due_s[0] == pytest.approx((COUNT - 1) / 10_000.0)
    assert 0.0 < exchange.cpu_share <= 1.1
    sent_s = {("m", seq): at_s for seq, at_s in enumerate(exchange.sent_s)}
    delays = delays_ms(sent_s, exchange.heard)
    assert len(delays) == COUNT
    assert min(delays) > 0.0
    assert max(delays) <= 1e3 * exchange.took_s
    witness.wait_for("bench/echo", lambda body: body["seq"] == COUNT - 1)
    assert [heard.body["seq"] for heard in witness.on("bench/echo")] == list(range(COUNT))


@pytest.mark.system
def test_answers_that_never_come_are_an_error_that_says_how_many(sender: Sender) -> None:
    said = messages(7) + messages(3, topic="bench/nobody")
    with pytest.raises(RuntimeError, match="0 were not sent and 0 not acknowledged, and 3 of 10 answers are missing"):
        sender.exchange(publications(said), 1000.0, answers=10)


@pytest.mark.system
def test_a_broker_that_acknowledges_nothing_gets_one_window_and_is_an_error(broker: Broker, sender: Sender) -> None:
    broker._process.send_signal(signal.SIGSTOP)
    with pytest.raises(RuntimeError, match=f"20 were not sent and {WINDOW} not acknowledged"):
        sender.exchange(publications([("bench/echo", b"")] * (WINDOW + 20)), 10_000.0, answers=0)


def test_each_reading_has_exactly_one_answer() -> None:
    sent_s = {("m1", 0): 1.0, ("m1", 1): 2.0, ("m2", 0): 3.0}
    heard = [(1.5, b'{"motor":"m1","seq":0}'), (4.0, b'{"motor":"m2","seq":0}'), (4.25, b'{"motor":"m1","seq":1}')]
    assert delays_ms(sent_s, heard) == [500.0, 2250.0, 1000.0]
    with pytest.raises(RuntimeError, match="1 of 3 readings were not answered, 1 answers are too many"):
        delays_ms(sent_s, [*heard[:2], heard[0]])
    with pytest.raises(RuntimeError, match="0 of 3 readings were not answered, 1 answers are too many"):
        delays_ms(sent_s, [*heard, heard[1]])
