"""Scenarios are checked key by key; every mistake is one line that names the key."""

from pathlib import Path
from typing import Any

import pytest

from service.contract.faults import Fault
from simulator.circuit import Circuit
from simulator.scenario import ScenarioError, gallery, load, parse

GOOD: dict[str, Any] = {"title": "x", "duration_h": 10, "step_h": 1, "motor": [{"id": "a"}]}


def _motor(**keys: Any) -> dict[str, Any]:
    return GOOD | {"motor": [{"id": "a"} | keys]}


def test_a_small_scenario_is_enough() -> None:
    assert parse(GOOD).motor[0].geometry().designation == "6205"


@pytest.mark.parametrize("name", list(gallery()))
def test_every_scenario_of_the_gallery_loads_and_says_what_it_is(name: str) -> None:
    scenario = load(name)
    assert len(scenario.title) > 10
    assert any(not motor.fault for motor in scenario.motor), "one motor must stay healthy"


def test_the_gallery_has_a_scenario_for_every_fault_a_healthy_one_and_the_demo() -> None:
    assert {"demo", "healthy", "drifting_sensor", "broker_cut", "whole_line", *Fault} <= set(gallery())
    assert len(gallery()) >= 12


def test_in_the_demo_two_motors_stay_healthy_and_six_fail_of_different_faults() -> None:
    motors = load("demo").motor
    assert sum(not motor.fault for motor in motors) == 2
    kinds = {plan.kind for motor in motors for plan in motor.fault}
    assert kinds == {
        Fault.INNER_RACE, Fault.OUTER_RACE, Fault.BALL, Fault.IMBALANCE, Fault.COOLING, Fault.OVERLOAD,
    }  # fmt: skip
    assert all(plan.failure_h is not None for motor in motors for plan in motor.fault)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (GOOD | {"step_h": 20}, "step_h=20 must not exceed duration_h=10"),
        (GOOD | {"step_h": "fast"}, "step_h: "),
        (GOOD | {"motor": []}, "motor: "),
        (GOOD | {"speed": 3}, "speed: unknown key"),
        (GOOD | {"motor": [{"id": "a"}, {"id": "a"}]}, "motor ids must differ; a comes twice"),
        (GOOD | {"sampling": {"fs_hz": 5}}, "sampling.fs_hz: "),
        (GOOD | {"start": "2026-01-05T06:00:00"}, "start needs a time zone"),
        (_motor(id="a/b"), "motor[0].id: "),
        (_motor(bearing="9999"), "motor[0].bearing: bearing '9999': unknown; known are 6203"),
        (_motor(bearing={"elements": 9, "element_mm": -1, "pitch_mm": 30}), "motor[0].bearing.element_mm: "),
        (_motor(bearing={"elements": 30, "element_mm": 9, "pitch_mm": 30}), "do not fit on pitch_mm=30"),
        (_motor(rating="7kw"), "motor[0]: rating '7kw': must look like 7.5kW-4p-50Hz"),
        (_motor(rating="9999999kW-4p-50Hz"), "motor[0]: Rating.power_w=1e+10 W: must lie within"),
        (_motor(load={"profile": "wild"}), "motor[0].load.profile: "),
        (_motor(missing=["speed"]), "motor[0].missing[0]: "),
        (_motor(sensor_fault=[{"signal": "housing", "kind": "drift"}]), "motor[0].sensor_fault[0].signal: "),
        (_motor(sensor_fault=[{"signal": "load", "kind": "drift"}]), "motor[0].sensor_fault[0]: per_h belongs to"),
        (_motor(sensor_fault=[{"signal": "load", "kind": "noise"}]), "motor[0].sensor_fault[0]: level: kind 'noise'"),
        (_motor(transit={"duplicates": 2}), "motor[0].transit.duplicates: "),
        (_motor(transit={"cut": [{"from_h": 5, "to_h": 4}]}), "motor[0].transit.cut[0]: to_h=4 must lie after"),
        (_motor(fault=[{"kind": "inner", "severity": 0.1}]), "motor[0].fault[0].kind: "),
        (_motor(fault=[{"kind": "ball", "severity": 1.4}]), "motor[0].fault[0].severity: "),
        (_motor(fault=[{"kind": "ball"}]), "motor[0].fault[0]: give either failure_h"),
        (_motor(fault=[{"kind": "ball", "onset_h": 4, "failure_h": 2}]), "failure_h=2 must lie after onset_h=4"),
        (
            _motor(fault=[{"kind": "ball", "failure_h": 5}, {"kind": "ball", "onset_h": 2, "failure_h": 9}]),
            "fault kind 'ball' comes again before it is repaired",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(body: dict[str, Any], says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(body, where="mine.toml")
    text = str(caught.value)
    assert text.startswith("mine.toml: ")
    assert says in text
    assert "\n" not in text


def test_a_file_that_is_not_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('title = "x"\nstep_h =\n')
    with pytest.raises(ScenarioError, match=r"bad\.toml: not TOML: .*line 2"):
        load(path)


def test_an_unknown_name_lists_the_gallery() -> None:
    with pytest.raises(ScenarioError, match="nope: no such file, nor a scenario named ball, bent_shaft, broker_cut"):
        load("nope")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            _motor(fault=[{"kind": "ball", "severity": 1.5}]),
            "motor[0].fault[0].severity: must lie within 0..1 (got 1.5)",
        ),
        (_motor(drive=0.1), "motor[0].drive: must lie within 0.3..1.1 (got 0.1)"),
        (_motor(nameplate={"rated_power_w": -4, "rated_speed_rpm": 1450}), "must lie within 0.001..100000000"),
        (GOOD | {"duration_h": 0}, "duration_h: must lie within 0 (exclusive)..200000 (got 0)"),
        (_motor(driven={"speed_swing": 3}), "motor[0].driven.speed_swing: must lie within 0..0.1 (got 3)"),
        (_motor(falt=[]), "motor[0].falt: unknown key; did you mean fault?"),
        (_motor(load={"profil": "shift"}), "motor[0].load.profil: unknown key; did you mean profile?"),
        (_motor(xyz=1), "motor[0].xyz: unknown key"),
    ],
)
def test_a_number_out_of_range_is_told_the_range_and_a_typo_the_key_that_was_meant(
    body: dict[str, Any], says: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(body)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_data_sheet_is_met_at_the_rated_point() -> None:
    sheet = {
        "power_w": 11000,
        "poles": 2,
        "voltage_v": 690,
        "speed_rpm": 2945,
        "efficiency": 0.912,
        "power_factor": 0.88,
    }
    rating = parse(_motor(data_sheet=sheet)).motor[0].plate()
    rated = Circuit.of(rating).operate(1.0)
    assert float(rated.speed_rpm) == pytest.approx(2945.0)
    assert 11000.0 / float(rated.input_w) == pytest.approx(0.912, rel=1e-3)
    assert float(rated.current_a) == pytest.approx(11000.0 / (0.912 * 0.88 * 3**0.5 * 690.0), rel=1e-3)


@pytest.mark.parametrize(
    ("sheet", "says"),
    [
        ({"power_w": 1}, "motor[0].data_sheet.power_w: must lie within 50..5000000 (got 1)"),
        ({"power_w": 4000, "poles": 5}, "motor[0].data_sheet.poles: "),
        ({"power_w": 4000, "speed_rpm": 1600}, "Rating.speed_rpm=1600 1/min: must lie within 80..100 %"),
        (
            {"power_w": 4000, "speed_rpm": 1300, "efficiency": 0.95},
            "data_sheet.efficiency=0.95: must lie below 0.815 at speed_rpm=1300",
        ),
        ({"power_w": 4000, "efficiency": 0.3}, "data_sheet.efficiency=0.3: too low"),
        (
            {"power_w": 4000, "breakdown_ratio": 5.9},
            "Rating.breakdown_ratio: the stator's resistance allows 4.52 at most",
        ),
        ({"power_w": 4000, "volts": 400}, "motor[0].data_sheet.volts: unknown key"),
    ],
)
def test_an_impossible_data_sheet_is_one_line(sheet: dict[str, Any], says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse(_motor(data_sheet=sheet))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
