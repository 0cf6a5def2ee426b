"""Failing sensors and troubled ways: what arrives is what was planned, the truth is untouched, nothing else changes."""

from typing import Any

import numpy as np
import pytest

from service.contract.messages import Reading
from simulator.fleet import Fleet, Tick
from simulator.scenario import parse

HOURS = 20


def _ticks(**plan: Any) -> list[Tick]:
    body = {
        "title": "x",
        "duration_h": HOURS,
        "step_h": 1,
        "sampling": {"samples": 256},
        "motor": [{"id": "a"} | plan, {"id": "b"}],
    }
    return list(Fleet(parse(body)).ticks())


def _first(ticks: list[Tick]) -> list[Reading]:
    return [tick.readings[0] for tick in ticks if tick.readings[0] is not None]


def _values(ticks: list[Tick], name: str) -> np.ndarray:
    return np.array([getattr(reading, name) for reading in _first(ticks)], dtype=float)


def _sensor(signal: str, kind: str, **more: Any) -> list[Tick]:
    return _ticks(sensor_fault=[{"signal": signal, "kind": kind, "onset_h": 5} | more])


@pytest.fixture(scope="module")
def sound() -> list[Tick]:
    return _ticks()


def test_a_drift_grows_by_the_hour_from_its_onset(sound: list[Tick]) -> None:
    added = _values(_sensor("housing_c", "drift", per_h=0.5), "housing_c") - _values(sound, "housing_c")
    np.testing.assert_allclose(added, np.maximum(np.arange(HOURS + 1) - 5, 0) * 0.5, atol=1e-4)


def test_a_stuck_sensor_repeats_its_last_value_until_it_is_replaced(sound: list[Tick]) -> None:
    told, true = _values(_sensor("winding_c", "stuck", end_h=12), "winding_c"), _values(sound, "winding_c")
    np.testing.assert_array_equal(told[4:12], np.full(8, true[4]))
    np.testing.assert_array_equal(told[12:], true[12:])


def test_a_stuck_accelerometer_sends_the_same_window_again() -> None:
    windows = [reading.accel_m_s2["x"] for reading in _first(_sensor("accel_m_s2", "stuck"))]
    np.testing.assert_array_equal(windows[4], windows[9])
    assert (windows[3] != windows[4]).any()


def test_a_ghost_accelerometer_hears_only_its_digitiser() -> None:
    rms = [float(np.std(reading.accel_m_s2["x"])) for reading in _first(_sensor("accel_m_s2", "flat"))]
    assert max(rms[5:]) < 0.01
    assert min(rms[:5]) > 10 * max(rms[5:])


def test_lost_sensitivity_scales_every_sample(sound: list[Tick]) -> None:
    for weak, true in zip(_first(_sensor("accel_m_s2", "gain", level=0.5))[6:], _first(sound)[6:], strict=True):
        np.testing.assert_allclose(weak.accel_m_s2["x"], 0.5 * true.accel_m_s2["x"], rtol=1e-6)


def test_noise_has_the_rms_it_was_given(sound: list[Tick]) -> None:
    noisy = _first(_sensor("accel_m_s2", "noise", level=3.0))
    added = np.concatenate(
        [a.accel_m_s2["x"] - b.accel_m_s2["x"] for a, b in zip(noisy[5:], _first(sound)[5:], strict=True)]
    )
    assert np.std(added) == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize("signal", ["accel_m_s2", "load"])
def test_an_absent_sensor_reports_nothing(signal: str) -> None:
    readings = _first(_sensor(signal, "absent"))
    assert not getattr(readings[7], signal)
    assert getattr(readings[2], signal)


def test_a_failing_sensor_changes_neither_the_truth_nor_the_other_motor(sound: list[Tick]) -> None:
    failing = _sensor("housing_c", "drift", per_h=1.0)
    assert [tick.truths for tick in failing] == [tick.truths for tick in sound]
    for one, other in zip(failing, sound, strict=True):
        a, b = one.readings[1], other.readings[1]
        assert a is not None
        assert b is not None
        assert (a.accel_m_s2["x"] == b.accel_m_s2["x"]).all()
        assert a.housing_c == b.housing_c


def _arrivals(ticks: list[Tick]) -> list[int]:
    return [
        reading.seq
        for tick in ticks
        for reading in (tick.readings[0], *tick.others)
        if reading is not None and reading.motor == "a"
    ]


def test_after_a_cut_everything_that_waited_arrives_in_order() -> None:
    ticks = _ticks(transit={"cut": [{"from_h": 4, "to_h": 9}]})
    assert all(ticks[hour].readings[0] is None for hour in range(4, 9))
    assert _arrivals(ticks) == list(range(HOURS + 1))


def test_a_cut_that_keeps_nothing_loses_what_fell_into_it() -> None:
    ticks = _ticks(transit={"cut": [{"from_h": 4, "to_h": 9, "keep": False}]})
    assert _arrivals(ticks) == [*range(4), *range(9, HOURS + 1)]


def test_duplicates_come_right_behind_the_first_copy() -> None:
    assert _arrivals(_ticks(transit={"duplicates": 1.0})) == [seq for seq in range(HOURS + 1) for _ in range(2)]


def test_a_swapped_message_arrives_behind_its_successor() -> None:
    seqs = _arrivals(_ticks(transit={"swapped": 1.0}))
    assert seqs[:4] == [1, 0, 3, 2]


def test_a_clock_that_gains_shows_in_the_time_stamps(sound: list[Tick]) -> None:
    gained = _values(_ticks(transit={"clock_drift_s_per_h": 2.0}), "ts_s") - _values(sound, "ts_s")
    np.testing.assert_allclose(gained, 2.0 * np.arange(HOURS + 1), atol=1e-3)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    way = {"duplicates": 0.3, "swapped": 0.3}
    assert _arrivals(_ticks(transit=way)) == _arrivals(_ticks(transit=way))
