"""When the effects of several steps are committed together."""

from __future__ import annotations

from service.group import IDLE_S, WITHIN_S, Group
from service.store import MotorRow
from service.wire import Delivery, Token


def delivery(mid: int) -> Delivery:
    return Delivery("motortwin/v1/motor/m1/reading", b"", 0, False, False, 0.0, Token(1, mid))


def begun(count: int = 1) -> Group:
    group = Group()
    group.changes.motors["m1"] = MotorRow("m1", b"", None, 0.0)
    group.add([delivery(mid) for mid in range(count)], 0.0)
    return group


def test_a_group_without_effects_is_never_due_and_waits_as_long_as_it_may() -> None:
    group = Group()
    group.add([], 0.0)
    assert not group.due(1e9, 512, idle=True)
    assert group.patience_s(200.0, 0.5) == 0.5


def test_states_wait_for_more_but_not_for_long() -> None:
    group = begun()
    assert not group.due(0.0, 512, idle=False)
    assert group.patience_s(0.0, 0.5) == IDLE_S
    assert group.due(0.0 + WITHIN_S, 512, idle=False)
    assert group.patience_s(0.0 + WITHIN_S, 0.5) == 0.0


def test_a_pause_is_used_for_the_commit() -> None:
    assert begun().due(0.0, 512, idle=True)


def test_alerts_and_births_do_not_wait() -> None:
    alerting, introducing = begun(), begun()
    alerting.changes.outbox[1] = ("topic", b"alert")
    introducing.changes.births["m1"] = b"birth"
    assert alerting.due(0.0, 512, idle=False)
    assert introducing.due(0.0, 512, idle=False)


def test_a_broker_that_waits_for_acknowledgements_is_not_kept_waiting() -> None:
    assert not begun(9).due(0.0, 20, idle=False)
    assert begun(10).due(0.0, 20, idle=False)


def test_acknowledgements_alone_are_due_too() -> None:
    group = Group()
    group.add([delivery(1)], 0.0)
    assert group.due(0.0 + WITHIN_S, 512, idle=False)
    assert group.tokens == [Token(1, 1)]
