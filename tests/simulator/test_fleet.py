"""The fleet in motion: deterministic, true to its plan, valid by the contract."""

import itertools
from typing import Any

import numpy as np
import pytest

from service.contract.codec import decode_birth, decode_reading, encode_cbor, encode_json
from service.contract.faults import Fault
from simulator.fleet import Fleet, Tick
from simulator.publish import scale_of
from simulator.scenario import Scenario, load, parse


def _scenario(**motor: Any) -> Scenario:
    return parse(
        {
            "title": "x",
            "seed": 5,
            "duration_h": 40,
            "step_h": 1,
            "sampling": {"samples": 2048},
            "motor": [{"id": "a"} | motor, {"id": "b", "rating": "22kW-2p-50Hz"}],
        }
    )


FAILS = {"fault": [{"kind": "outer_race", "onset_h": 5, "failure_h": 30, "repair_h": 36}]}


def _payloads(ticks: list[Tick]) -> list[bytes]:
    return [encode_json(r) for tick in ticks for r in tick.readings if r] + [
        encode_json(t) for tick in ticks for t in tick.truths
    ]


def test_two_runs_of_a_scenario_are_the_same_bytes() -> None:
    first, second = (_payloads(list(Fleet(_scenario(**FAILS)).ticks())) for _ in range(2))
    assert first == second


def test_another_seed_gives_other_signals() -> None:
    scenario = _scenario()
    other = scenario.model_copy(update={"seed": 6})
    assert _payloads([next(Fleet(scenario).ticks())]) != _payloads([next(Fleet(other).ticks())])


def test_truth_follows_the_plan_from_onset_to_failure_to_repair() -> None:
    truths = [tick.truths[0] for tick in Fleet(_scenario(**FAILS)).ticks()]
    severity = np.array([truth.faults.get(Fault.OUTER_RACE, 0.0) for truth in truths])
    assert (severity[:6] == 0.0).all()
    assert (np.diff(severity[:31]) >= 0.0).all()
    assert (severity[30:36] == 1.0).all()
    assert (severity[36:] == 0.0).all()
    assert [truth.failed for truth in truths] == [30 <= hour < 36 for hour in range(41)]
    assert truths[10].rul_h == pytest.approx(20.0)
    assert truths[33].rul_h == 0.0
    assert truths[38].failure_ts_s is None


def test_a_motor_without_a_fault_is_healthy_throughout() -> None:
    for tick in Fleet(_scenario(**FAILS)).ticks():
        assert tick.truths[1].faults == {}
        assert tick.truths[1].rul_h is None


def test_readings_survive_both_encodings() -> None:
    reading = next(Fleet(_scenario()).ticks()).readings[0]
    assert reading is not None
    by_json = decode_reading(encode_json(reading))
    by_cbor = decode_reading(encode_cbor(reading, scale_m_s2=scale_of(reading)))
    np.testing.assert_allclose(by_json.accel_m_s2["x"], reading.accel_m_s2["x"], rtol=1e-6)
    peak = float(np.abs(reading.accel_m_s2["x"]).max())
    np.testing.assert_allclose(by_cbor.accel_m_s2["x"], reading.accel_m_s2["x"], atol=peak / 65_000)
    assert by_cbor.housing_c == reading.housing_c


def test_births_carry_what_the_models_need_and_pass_the_decoder() -> None:
    fleet = Fleet(_scenario())
    births = fleet.births(interval_s=0.25, clock="simulated")
    for birth in births:
        assert decode_birth(encode_json(birth)) == birth
    plate = births[1].nameplate
    assert plate.rated_power_w == 22_000
    assert plate.poles == 2
    assert 2900 < plate.rated_speed_rpm < 3000
    assert births[1].bearing is not None
    assert births[1].bearing.designation == "6309"
    assert births[0].clock == "simulated"
    assert births[0].interval_s == 0.25


def test_a_fleet_heats_up_to_what_its_nameplate_says() -> None:
    scenario = _scenario(load={"level": 1.0}, ambient_c=25.0, ambient_swing_k=0.0)
    fleet = Fleet(scenario)
    plate = fleet.births(interval_s=1, clock="wall")[0].nameplate
    rises = []
    for tick in fleet.ticks():
        reading = tick.readings[0]
        assert reading is not None
        assert reading.winding_c is not None
        assert reading.ambient_c is not None
        rises.append(reading.winding_c - reading.ambient_c)
    assert np.mean(rises) == pytest.approx(plate.winding_rise_k, rel=0.06)


def test_absent_sensors_and_gaps_are_missing_fields_and_lost_readings_leave_a_gap_in_seq() -> None:
    fleet = Fleet(_scenario(missing=["winding_c", "load"], gaps=0.2, drop_out=0.3))
    readings = [tick.readings[0] for tick in fleet.ticks()]
    kept = [reading for reading in readings if reading is not None]
    assert 15 < len(kept) < 40
    assert all(reading.winding_c is None and reading.load is None for reading in kept)
    assert 0 < sum(reading.speed_rpm is None for reading in kept) < len(kept)
    assert "winding_c" not in {s.signal for s in fleet.births(interval_s=1, clock="wall")[0].sensors}
    assert all(reading.seq == index for index, reading in enumerate(readings) if reading is not None)


def test_a_motor_with_three_axes_reports_three_different_ones() -> None:
    scenario = _scenario()
    scenario = scenario.model_copy(update={"sampling": scenario.sampling.model_copy(update={"axes": ("x", "y", "z")})})
    reading = next(Fleet(scenario).ticks()).readings[0]
    assert reading is not None
    assert set(reading.accel_m_s2) == {"x", "y", "z"}
    for one, two in itertools.combinations(reading.accel_m_s2.values(), 2):
        assert not np.array_equal(one, two)


def test_the_demo_shows_each_fault_before_it_fails() -> None:
    truths = list(zip(*(tick.truths for tick in Fleet(load("demo")).ticks()), strict=True))
    for motor in truths:
        failed = [t for t in motor if t.failed]
        if failed:
            early = [t for t in motor if not t.failed and max(t.faults.values(), default=0.0) > 0.3]
            assert len(early) >= 5, f"{motor[0].motor} fails within {len(early)} readings of a visible fault"
