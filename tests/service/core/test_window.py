"""Readings to rows: cutting, masking, identity and time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract.codec import Refused
from service.contract.manifest import WindowSpec
from service.contract.messages import Reading
from service.motor import KNOWN_BOOTS, BootMark
from service.window import (
    CLOCK_SET_S,
    Policy,
    arrive,
    check_clock,
    check_sampling,
    cuts,
    operating,
    pack,
    row_count,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.motor import Profile

SPEC = WindowSpec(samples=100, min_samples=50, fs_hz=(10_000.0, 26_000.0))
T0 = 1_800_000_000.0


def vibration(*lengths: int, fs_hz: float = 12_000.0, seq: int = 0, boot: str = "b1", ts_s: float = T0) -> Reading:
    accel = {
        axis: np.arange(1, n + 1, dtype=np.float32) + 1000 * k
        for k, (axis, n) in enumerate(zip("xyz", lengths, strict=False))
    }
    return Reading(motor="m1", boot=boot, seq=seq, ts_s=ts_s, fs_hz=fs_hz, accel_m_s2=accel)


@given(st.integers(1, 5000), st.integers(64, 512))
def test_cuts_use_every_sample_in_the_fewest_full_rows(length: int, samples: int) -> None:
    starts = cuts(length, samples)
    covered = np.zeros(length, bool)
    for start in starts:
        covered[start : start + samples] = True
    assert covered.all()
    assert len(starts) == max(1, math.ceil(length / samples))
    assert starts[0] == 0
    if length > samples:
        assert starts[-1] == length - samples
        gaps = np.diff(starts)
        assert gaps.max() - gaps.min() <= 1


def test_a_short_window_is_padded_with_zeros_and_counted() -> None:
    rows = pack([vibration(60)], SPEC)
    assert rows.accel_m_s2.shape == (1, 100)
    np.testing.assert_array_equal(rows.accel_m_s2[0, :60], np.arange(1, 61))
    assert not rows.accel_m_s2[0, 60:].any()
    assert rows.samples.tolist() == [60.0]


def test_rows_know_their_reading_and_axis() -> None:
    rows = pack([vibration(100, 250), vibration(70)], SPEC)
    assert rows.owner.tolist() == [0, 0, 0, 0, 1]
    assert rows.axis_starts.tolist() == [0, 1, 4]
    assert rows.reading_starts.tolist() == [0, 2]
    assert rows.samples.tolist() == [100, 100, 100, 100, 70]
    np.testing.assert_array_equal(rows.accel_m_s2[2], np.arange(1076, 1176))


def test_the_row_count_is_known_before_packing() -> None:
    reading = vibration(100, 250, 301)
    assert row_count(reading, SPEC) == len(pack([reading], SPEC).samples) == 1 + 3 + 4


@pytest.mark.parametrize("fs_hz", [9_999.0, 26_001.0, 1.0])
def test_a_wrong_sampling_rate_is_refused_with_the_range(fs_hz: float) -> None:
    refused = check_sampling(vibration(100, fs_hz=fs_hz), SPEC)
    assert refused is not None
    assert (refused.reason, refused.field) == ("sampling", "fs_hz")
    assert "10000..26000 Hz" in refused.remedy


@pytest.mark.parametrize("fs_hz", [10_000.0, 12_000.0, 26_000.0])
def test_sampling_rates_of_the_range_and_its_ends_pass(fs_hz: float) -> None:
    assert check_sampling(vibration(50, fs_hz=fs_hz), SPEC) is None


def test_a_too_short_window_on_any_axis_is_refused_by_name() -> None:
    refused = check_sampling(vibration(50, 49), SPEC)
    assert refused is not None
    assert (refused.reason, refused.field) == ("sampling", "accel_m_s2.y")
    assert "50 samples" in refused.remedy


def test_a_reading_without_vibration_needs_no_sampling_rate() -> None:
    assert check_sampling(Reading(motor="m1", boot="b", seq=0, ts_s=T0, housing_c=40.0), SPEC) is None


def test_missing_scalars_are_nan_and_implausible_ones_are_masked_and_counted() -> None:
    readings = [
        Reading(motor="m1", boot="b", seq=0, ts_s=T0, speed_rpm=1450.0, winding_c=301.0, load=-0.1),
        Reading(motor="m2", boot="b", seq=0, ts_s=T0, speed_rpm=60_000.0, winding_c=1e300, ambient_c=-60.0),
    ]
    values, masked = operating(readings)
    nan = math.nan
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[1450, nan, nan, nan, nan, nan], [60_000, nan, nan, nan, nan, -60]])
    assert masked == {"winding_c": 2, "load": 1}


@pytest.mark.parametrize(("age_s", "reason"), [(100.5, "past"), (-10.5, "future"), (100.0, None), (-10.0, None)])
def test_a_wall_clock_is_compared_with_the_edges(
    profile: Callable[..., Profile], age_s: float, reason: str | None
) -> None:
    refused = check_clock(vibration(50), profile(clock="wall"), T0 + age_s, Policy(max_past_s=100.0, max_future_s=10.0))
    assert (refused.reason if refused else None) == reason


def test_a_simulated_clock_is_not_compared(profile: Callable[..., Profile]) -> None:
    assert check_clock(vibration(50), profile(clock="simulated"), T0 + 1e8, Policy()) is None


def test_an_edge_clock_that_was_never_set_judges_nobody(profile: Callable[..., Profile]) -> None:
    assert check_clock(vibration(50), profile(clock="wall"), 12.0, Policy()) is None
    assert check_clock(vibration(50), profile(clock="wall"), CLOCK_SET_S, Policy()) is not None


def marks(*steps: tuple[str, int, float]) -> tuple[BootMark, ...]:
    """Marks after taking readings ``(boot, seq, ts_s)``, all of which must be new."""
    boots: tuple[BootMark, ...] = ()
    for boot, seq, ts_s in steps:
        after = arrive(vibration(50, boot=boot, seq=seq, ts_s=ts_s), boots)
        assert not isinstance(after, Refused), after
        boots = after
    return boots


def reason(boot: str, seq: int, ts_s: float, boots: tuple[BootMark, ...]) -> str | None:
    after = arrive(vibration(50, boot=boot, seq=seq, ts_s=ts_s), boots)
    return after.reason if isinstance(after, Refused) else None


def test_a_reading_that_was_taken_is_a_duplicate_however_late() -> None:
    boots = marks(("b1", 3, T0), ("b1", 4, T0 + 1), ("b1", 7, T0 + 2))
    assert [reason("b1", seq, T0, boots) for seq in (7, 4, 3)] == ["duplicate"] * 3


def test_a_skipped_reading_that_comes_late_is_out_of_order() -> None:
    boots = marks(("b1", 3, T0), ("b1", 7, T0 + 2))
    assert [reason("b1", seq, T0 + 3, boots) for seq in (5, 2)] == ["out_of_order"] * 2


@pytest.mark.parametrize(("ahead", "expected"), [(1, "duplicate"), (63, "duplicate"), (64, "out_of_order")])
def test_a_repetition_is_recognised_up_to_sixty_three_readings_later(ahead: int, expected: str) -> None:
    assert reason("b1", 100, T0, marks(("b1", 100, T0), ("b1", 100 + ahead, T0 + 1))) == expected


def test_a_lower_number_long_ago_is_out_of_order() -> None:
    assert reason("b1", 0, T0, marks(("b1", 0, T0), ("b1", 500, T0 + 1))) == "out_of_order"


def test_time_must_grow_within_a_boot() -> None:
    boots = marks(("b1", 3, T0))
    assert reason("b1", 4, T0, boots) == "out_of_order"
    assert reason("b1", 4, T0 - 1, boots) == "out_of_order"
    assert reason("b1", 4, T0 + 1e-3, boots) is None


def test_a_new_boot_starts_a_new_sequence_even_with_its_clock_set_back() -> None:
    boots = marks(("b1", 1000, T0), ("b2", 0, T0 - 1e6), ("b2", 1, T0 - 1e6 + 60))
    assert boots[0] == BootMark("b2", 1, T0 - 1e6 + 60, 0b11)


def test_what_an_earlier_boot_delivered_is_not_taken_for_a_restart() -> None:
    boots = marks(("b1", 10, T0), ("b1", 11, T0 + 1), ("b2", 0, T0 + 2))
    assert reason("b1", 11, T0 + 1, boots) == "duplicate"
    assert reason("b1", 9, T0 - 1, boots) == "out_of_order"


def test_a_sensor_that_uses_boot_ids_again_is_heard_again() -> None:
    boots = marks(("a", 10, T0), ("b", 10, T0 + 100), ("a", 0, T0 + 200), ("b", 0, T0 + 300), ("a", 1, T0 + 400))
    assert [mark.boot for mark in boots] == ["a", "b"]


def test_only_a_few_boots_are_remembered() -> None:
    boots = marks(*((f"b{k}", 0, T0 + k) for k in range(20)))
    assert [mark.boot for mark in boots] == ["b19", "b18", "b17", "b16"]
    assert len(boots) == KNOWN_BOOTS


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 200), st.integers(0, 300)), max_size=60
    )  # hostile: any order, any repetition
)
def test_no_history_wedges_a_motor_and_nothing_taken_is_taken_twice_in_a_row(
    history: list[tuple[str, int, int]],
) -> None:
    boots: tuple[BootMark, ...] = ()
    for boot, seq, seconds in history:
        after = arrive(vibration(50, boot=boot, seq=seq, ts_s=T0 + seconds), boots)
        if isinstance(after, Refused):
            continue
        boots = after
        assert reason(boot, seq, T0 + seconds, boots) == "duplicate"
        assert 0 < boots[0].seen < 2**64
        assert len({mark.boot for mark in boots}) == len(boots) <= KNOWN_BOOTS
    assert reason("a-new-boot", 0, T0 - 1e6, boots) is None
