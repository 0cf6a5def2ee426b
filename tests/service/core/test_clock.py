"""However clocks jump, the filter ages by the time that truly passed."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.clock import SHARE, SLACK_S, passed
from service.contract.messages import Birth, Nameplate
from service.monitor import FleetState, Policy, profile_of, step
from service.steady import NEVER, Moment, Steady, elapsed_s
from tests.service.core.conftest import make_reading

if TYPE_CHECKING:
    from collections.abc import Iterable

    from service.bundle import Bundle

INTERVAL_S = 60.0
NOON_S = 1_800_000_000.0
RESET_S = 946_684_800.0  # 2000-01-01: the earliest time that a message may carry, where many clocks wake


@dataclass(frozen=True)
class Sent:
    """One reading as the sensor sends it; ``true_s`` is what no clock of ours knows."""

    true_s: float
    stamped_s: float
    seq: int
    boot: str = "b1"
    edge: Moment | None = None


def aged_s(bundle: Bundle, readings: Iterable[Sent], *, clock: str = "wall") -> list[float]:
    """The filter's dt of each reading that was taken."""
    return [dt_s for dt_s, _ in steps_s(bundle, readings, clock=clock)]


def steps_s(bundle: Bundle, readings: Iterable[Sent], *, clock: str = "wall") -> list[tuple[float, float]]:
    """Of each reading that was taken the filter's dt (the tiny bundle's filter counts them up) and the true one."""
    plate = Nameplate(rated_power_w=1500.0, rated_speed_rpm=1450.0)
    birth = Birth(motor="m1", ts_s=NOON_S, nameplate=plate, interval_s=INTERVAL_S, clock=clock)
    profiles = {"m1": profile_of(birth)}
    state, told, counted_s, true_s = FleetState(), list[tuple[float, float]](), 0.0, 0.0
    for sent in readings:
        reading = make_reading("m1", seq=sent.seq, boot=sent.boot, ts_s=sent.stamped_s)
        result = step(
            state,
            [reading],
            profiles,
            bundle,
            now_ts_s=0.0,  # an edge that was never set checks no sensor's clock
            policy=Policy(),
            moment=sent.edge if sent.edge is not None else Moment(7, sent.true_s),
        )
        if result.changed:
            state = result.state
            seconds = float(np.frombuffer(state["m1"].x)[1])
            told.append((seconds - counted_s, sent.true_s - true_s))
            counted_s, true_s = seconds, sent.true_s
    return told


def regular(offsets_s: Iterable[float], start_s: float = NOON_S, **fields: Any) -> list[Sent]:
    """A reading a minute; the sensor's clock is off by what is given for each."""
    return [
        Sent(INTERVAL_S * k, start_s + INTERVAL_S * k + offset_s, k, **fields) for k, offset_s in enumerate(offsets_s)
    ]


def test_a_steady_sensor_ages_by_its_time_stamps(bundle: Bundle) -> None:
    assert aged_s(bundle, regular([0.0, 0.3, -0.2, 0.1])) == pytest.approx([0.0, 60.3, 59.5, 60.3], abs=1e-6)


@pytest.mark.parametrize(
    ("what", "jump_s"),
    [
        ("daylight saving begins", 3600.0),
        ("the gateway got the time after a start at its epoch", 8.6e8),
        ("a battery clock is corrected by half a minute", 30.0),
        ("a day is added", 86_400.0),
    ],
)
def test_a_jump_forward_ages_nobody(bundle: Bundle, what: str, jump_s: float) -> None:
    ages = aged_s(bundle, regular([0.0, 0.0, jump_s, jump_s, jump_s], start_s=RESET_S))
    assert ages == pytest.approx([0.0, 60.0, 60.0, 60.0, 60.0], abs=1e-6), what


def test_a_jump_forward_ages_nobody_even_in_a_backlog_that_arrives_at_once(bundle: Bundle) -> None:
    ages = aged_s(bundle, regular([0.0, 0.0, 3600.0, 3600.0], edge=Moment(7, 5.0)))
    assert ages == pytest.approx([0.0, 60.0, 60.0, 60.0], abs=1e-6)


def test_after_daylight_saving_ends_the_hour_that_was_refused_has_passed(bundle: Bundle) -> None:
    readings = regular([0.0, 0.0] + [-3600.0] * 70)
    ages = aged_s(bundle, readings)
    assert sum(ages) == pytest.approx(INTERVAL_S * 71, rel=0.02)
    assert len(ages) < 15  # within the boot the set-back readings were out of order, until the clock caught up


def test_a_restart_with_the_clock_at_its_epoch_is_heard_at_once_and_ages_by_the_edges_clock(bundle: Bundle) -> None:
    readings = [
        Sent(0.0, NOON_S, 0),
        Sent(60.0, NOON_S + 60, 1),
        Sent(300.0, RESET_S + 15.0, 0, "b2"),
        Sent(360.0, RESET_S + 75.0, 1, "b2"),
        Sent(420.0, NOON_S + 420, 2, "b2"),
    ]
    assert aged_s(bundle, readings) == pytest.approx([0.0, 60.0, 240.0, 60.0, 60.0], abs=1e-6)


def test_a_sensor_that_was_off_for_hours_ages_by_them(bundle: Bundle) -> None:
    readings = [Sent(0.0, NOON_S, 0), Sent(7000.0, NOON_S + 7000, 1)]
    assert aged_s(bundle, readings) == pytest.approx([0.0, 7000.0])


def test_readings_that_were_lost_on_the_way_have_passed_too(bundle: Bundle) -> None:
    readings = [Sent(0.0, NOON_S, 0), Sent(6000.0, NOON_S + 6000, 100, edge=Moment(8, 3.0))]
    assert aged_s(bundle, readings) == pytest.approx([0.0, 6000.0])


def test_a_jump_while_everything_restarts_ages_nobody(bundle: Bundle) -> None:
    readings = [Sent(0.0, RESET_S + 10.0, 0, "b1", Moment(1, 10.0)), Sent(0.0, NOON_S, 0, "b2", Moment(2, 10.0))]
    assert aged_s(bundle, readings) == [0.0, 0.0]


def test_a_simulated_clock_is_believed(bundle: Bundle) -> None:
    readings = [Sent(float(k), NOON_S + 3600.0 * k, k) for k in range(3)]
    assert aged_s(bundle, readings, clock="simulated") == pytest.approx([0.0, 3600.0, 3600.0])


def test_a_gap_is_predicted_over_as_the_bundle_says_at_most(bundle: Bundle) -> None:
    readings = [Sent(0.0, NOON_S, 0), Sent(9e5, NOON_S + 9e5, 1)]
    assert aged_s(bundle, readings) == [0.0, bundle.manifest.health.max_dt_s]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(1, 30),  # intervals that pass; readings between are lost
            st.floats(-0.05, 0.05),  # the sensor's own unsteadiness, in intervals
            st.sampled_from([0.0, 0.0, 0.0, 3600.0, -3600.0, 86_400.0, 8e8, -8e8, 45.0, -45.0, 1e-3]),
            st.booleans(),  # the sensor restarts
            st.booleans(),  # the edge's machine restarts
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_clocks_do_no_step_is_longer_than_what_truly_passed(
    bundle: Bundle, life: list[tuple[int, float, float, bool, bool]]
) -> None:
    true_s, offset_s, seq, boot, run = 0.0, 0.0, 0, 0, 1
    readings = [Sent(0.0, NOON_S, 0, "b0", Moment(1, 0.0))]
    for intervals, unsteady, jump_s, sensor_restarts, edge_restarts in life:
        true_s += INTERVAL_S * (intervals + unsteady)
        offset_s += jump_s if abs(offset_s + jump_s) <= 8e8 else 0.0
        seq += intervals
        boot += sensor_restarts
        run += edge_restarts
        readings.append(
            Sent(true_s, NOON_S + true_s + offset_s, 0 if sensor_restarts else seq, f"b{boot}", Moment(run, true_s))
        )
        seq = readings[-1].seq
    for dt_s, passed_s in steps_s(bundle, readings):
        assert 0.0 <= dt_s <= (1 + SHARE) * passed_s + SLACK_S + 0.2 * INTERVAL_S


@given(
    st.floats(0.0, 1e5),
    st.floats(-1e10, 1e10),
    st.booleans(),
    st.floats(0.0, 1.0),
)
def test_a_step_lies_within_tolerance_of_the_truth_when_a_true_witness_is_there(
    true_s: float, stamped_s: float, by_sequence: bool, lag: float
) -> None:
    # the sequence tells the truth; the edge's clock tells it or, in a backlog, less
    told = passed(stamped_s, true_s, true_s * lag if by_sequence else true_s, simulated=False)
    assert told.dt_s <= true_s * (1 + SHARE) + SLACK_S
    if not by_sequence:
        assert told.dt_s >= true_s * (1 - SHARE) - SLACK_S


@given(st.floats(-1e10, 1e10) | st.just(math.nan), st.none() | st.floats(0, 1e9), st.none() | st.floats(0, 1e9))
def test_time_never_runs_backwards_for_the_filter(
    stamped_s: float, sequence_s: float | None, edge_s: float | None
) -> None:
    for simulated in (True, False):
        assert passed(stamped_s, sequence_s, edge_s, simulated=simulated).dt_s >= 0.0


def test_doubt_is_told_apart_from_silence() -> None:
    assert not passed(math.nan, None, None, simulated=False).doubted
    assert not passed(60.0, 60.0, None, simulated=False).doubted
    assert passed(3660.0, 60.0, 60.0, simulated=False).doubted
    assert passed(-3540.0, 60.0, 60.0, simulated=False) == (60.0, True)
    assert passed(60.0, None, None, simulated=False) == (0.0, True)


def test_the_steady_clock_moves_on_and_knows_its_run() -> None:
    steady = Steady()
    moments = [steady.now() for _ in range(3)]
    assert all(elapsed_s(a, b) is not None and b.s >= a.s for a, b in itertools.pairwise(moments))
    assert Steady().now().run == moments[0].run != 0
    assert elapsed_s(NEVER, NEVER) is None
    assert elapsed_s(Moment(1, 0.0), Moment(2, 5.0)) is None
