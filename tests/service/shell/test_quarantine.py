"""A step that raises, and the readings that do it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service import monitor
from service.quarantine import step_around

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from service.bundle import Bundle
    from service.contract.messages import Reading
    from service.monitor import FleetState, Profile, StepResult


@pytest.mark.parametrize("poisoned", [[], [0], [6], [2, 3], [0, 1, 2, 3, 4, 5, 6]])
def test_readings_that_make_the_step_raise_stand_alone_and_the_others_count(
    bundle: Bundle, reading: Callable[..., Reading], profile: Callable[..., Profile], poisoned: list[int]
) -> None:
    profiles = {motor: profile(motor) for motor in ("m0", "m1")}
    readings = [reading(f"m{index % 2}", index, load=9.0) for index in range(7)]

    def step(state: FleetState, some: Sequence[Reading]) -> StepResult:
        if any(item.seq in poisoned for item in some):
            raise ZeroDivisionError("poison")
        return monitor.step(state, some, profiles, bundle, now_ts_s=1.8e9, policy=monitor.Policy())

    result, found = step_around(step, monitor.FleetState(), readings)
    assert [item.index for item in found] == poisoned
    healthy = [index for index in range(7) if index not in poisoned]
    assert [health.seq for health in result.health] == healthy
    assert result.taken == healthy
    alone = monitor.step(
        monitor.FleetState(),
        [readings[index] for index in healthy],
        profiles,
        bundle,
        now_ts_s=1.8e9,
        policy=monitor.Policy(),
    )
    assert result.state == alone.state
    assert result.masked == alone.masked
    assert set(result.changed) == set(alone.changed)


def test_refusals_keep_their_place_in_the_batch(
    bundle: Bundle, reading: Callable[..., Reading], profile: Callable[..., Profile]
) -> None:
    readings = [reading("m0", 0), reading("m0", 1), reading("stranger", 0), reading("m0", 2)]

    def step(state: FleetState, some: Sequence[Reading]) -> StepResult:
        if len(some) > 1:
            raise ValueError("too many at once")
        return monitor.step(state, some, {"m0": profile("m0")}, bundle, now_ts_s=1.8e9, policy=monitor.Policy())

    result, found = step_around(step, monitor.FleetState(), readings)
    assert found == []
    assert [refusal.index for refusal in result.refusals] == [2]
