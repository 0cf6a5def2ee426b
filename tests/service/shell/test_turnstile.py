"""Guests of the models wait for their turn, and motors go first."""

from __future__ import annotations

import threading
import time

import pytest

from service.api.turnstile import Busy, Turnstile


def test_one_is_inside_at_a_time_and_the_next_pauses_as_long_as_that_one_took() -> None:
    turnstile = Turnstile()
    spans: list[tuple[float, float]] = []

    def guest() -> None:
        with turnstile.through():
            began_s = time.monotonic()
            time.sleep(0.05)
            spans.append((began_s, time.monotonic()))

    guests = [threading.Thread(target=guest) for _ in range(3)]
    for one in guests:
        one.start()
    for one in guests:
        one.join()
    for before, after in zip(sorted(spans), sorted(spans)[1:], strict=False):
        assert after[0] - before[1] >= 0.9 * (before[1] - before[0])


def test_too_many_are_sent_away_at_once_and_none_waits_for_ever() -> None:
    turnstile = Turnstile(max_waiting=2, patience_s=0.05)
    with turnstile.through():
        with pytest.raises(Busy, match="no turn within"), turnstile.through():
            pass
        with turnstile._places, pytest.raises(Busy, match="too many"), turnstile.through():
            pass
    with turnstile.through():
        assert turnstile._inside.locked()
    assert not turnstile._inside.locked()


def test_a_guest_who_fails_leaves_the_turnstile_free() -> None:
    turnstile = Turnstile()
    with pytest.raises(ValueError, match="x"), turnstile.through():
        raise ValueError("x")
    with turnstile.through():
        assert turnstile._inside.locked()
