"""Supplies that are not sound, stops, starts, load steps and ramps in scenarios, and what sensors tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from simulator import catalogue, iso20816, scenario
from simulator.circuit import Circuit
from simulator.electrical import Supply
from simulator.fleet import Fleet
from simulator.scenario import ScenarioError
from simulator.unsteady import Critical, Transient, TransientPlan

if TYPE_CHECKING:
    from service.contract.messages import Reading

FS_HZ = 12_800.0
TICK_H = 0.0001
CIRCUIT = Circuit.of(catalogue.named("7.5kW-4p-50Hz"))


def readings(hours: float, step_h: float, seed: int = 5, **keys: Any) -> list[Reading]:
    """All readings of one motor."""
    plan = {"id": "m", "rating": "7.5kW-4p-50Hz", "load": {"level": 0.6}, "ambient_swing_k": 0.0} | keys
    body = {"title": "one", "seed": seed, "duration_h": hours, "step_h": step_h, "motor": [plan]}
    return [r for tick in Fleet(scenario.parse(body)).ticks() for r in tick.readings if r is not None]


def told(of: list[Reading], name: str) -> np.ndarray:
    return np.array([getattr(reading, name) for reading in of])


def line_mm_s(reading: Reading, at_hz: float) -> float:
    """Velocity of a line, mm/s RMS."""
    x = reading.accel_m_s2["x"].astype(np.float64)
    lines = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(x.size))) * 4.0 / x.size / np.sqrt(2.0)
    f_hz = np.fft.rfftfreq(x.size, 1.0 / FS_HZ)
    return float(lines[np.abs(f_hz - at_hz) < 4.0].max() / (2.0 * np.pi * at_hz) * 1e3)


def test_unbalance_raises_the_line_current_the_winding_and_twice_the_line_frequency() -> None:
    run = readings(24.0, 1.0, supply=[{"from_h": 8, "to_h": 16, "negative": 0.03}])
    current, winding = told(run, "current_a"), told(run, "winding_c")
    # NEMA MG 1, 14.36: current unbalance is 6-10 times that of the voltage.
    assert 1.15 < current[9:16].mean() / current[:8].mean() < 1.3
    assert winding[15] > winding[7] + 1.5
    before, meanwhile, after = (
        np.mean([line_mm_s(r, 100.0) for r in run[a:b]]) for a, b in ((0, 8), (8, 16), (16, 24))
    )
    assert meanwhile > before + 0.7
    assert abs(after - before) < 0.1


def test_with_a_lost_phase_a_motor_turns_on_at_part_load_and_stalls_at_full_load() -> None:
    part, full = (
        readings(8.0, 1.0, load={"level": level}, supply=[{"from_h": 4, "lost_phase": True}]) for level in (0.4, 1.4)
    )
    assert told(part, "speed_rpm")[4:].min() > 1400.0
    assert told(part, "current_a")[5] > 1.5 * told(part, "current_a")[2]
    assert told(full, "speed_rpm")[3] > 1400.0
    assert abs(told(full, "speed_rpm")[4:]).max() == 0.0
    assert told(full, "winding_c")[7] < told(full, "winding_c")[3]


def test_a_sag_costs_speed_and_current() -> None:
    run = readings(8.0, 1.0, load={"level": 0.9}, supply=[{"from_h": 4, "positive": 0.85}])
    assert told(run, "speed_rpm")[4:].mean() < told(run, "speed_rpm")[:4].mean() - 5.0
    assert told(run, "current_a")[4:].mean() > 1.05 * told(run, "current_a")[:4].mean()


def test_a_motor_that_stands_still_is_silent_and_cools_down_to_the_air() -> None:
    run = readings(30.0, 1.0, transient=[{"kind": "start", "stop_h": 2, "at_h": 28}])
    assert abs(told(run, "speed_rpm")[2:28]).max() == 0.0
    assert abs(told(run, "current_a")[2:28]).max() == 0.0
    assert run[20].accel_m_s2["x"].std() < 0.15 < run[0].accel_m_s2["x"].std()
    assert abs(run[27].winding_c - run[27].ambient_c) < 5.0 < run[2].winding_c - run[2].ambient_c
    assert told(run, "speed_rpm")[29] > 1400.0


def test_a_start_rushes_in_current_and_shakes_most_where_it_crosses_the_critical_speed() -> None:
    plan = {"transient": [{"kind": "start", "at_h": 0.0005, "inertia_s": 6.0}], "load": {"level": 0.3}}
    bent = {"fault": [{"kind": "imbalance", "severity": 0.3}]}
    crossing = readings(0.006, TICK_H, critical={"hz": 15.0, "damping": 0.05}, **plan, **bent)
    plain = readings(0.006, TICK_H, **plan, **bent)
    speed = told(crossing, "speed_rpm")
    rising = speed[5 : int(np.argmax(speed > 1450.0))]
    assert rising.size > 8
    assert (np.diff(rising) > 0.0).all()
    rated_a = float(CIRCUIT.operate(1.0).current_a)
    assert 4.0 < told(crossing, "current_a")[6] / rated_a < 9.0
    shaken, unmoved = (
        np.array([iso20816.velocity_rms_mm_s(r.accel_m_s2["x"], FS_HZ) for r in run]) for run in (crossing, plain)
    )
    loudest = int(np.argmax(shaken))
    assert speed[loudest] / 60.0 == pytest.approx(15.0, abs=3.0)
    assert shaken[loudest] > 2.0 * shaken[-1]
    assert unmoved.argmax() > loudest
    # Once it runs, a critical speed behind it changes nothing.
    assert shaken[-1] == pytest.approx(unmoved[-1], rel=0.05)


def test_a_slow_sweep_meets_the_modes_full_answer_and_a_fast_one_does_not() -> None:
    critical = Critical(hz=15.0, damping=0.04)
    full = 1.0 / (2.0 * critical.damping)
    reached = []
    for seconds in (60.0, 2.0):
        plan = TransientPlan(kind="ramp", at_h=0.0, drive=1.0, seconds=seconds)
        run = Transient.of(plan, CIRCUIT, Supply(), (0.1, 0.1), (0.3, 1.0))
        t_s = np.arange(0.0, seconds, 1e-3)
        force = (np.interp(t_s, run.run.t_s, run.run.speed_rpm) / run.run.speed_rpm[-1]) ** 2
        moved = np.abs(run.crossed(1.0, critical, t_s)) / force
        reached.append(moved.max() / full)
    assert reached[0] == pytest.approx(1.0, abs=0.1)
    assert reached[1] < 0.75 * reached[0]


def test_a_ramp_of_the_drive_moves_orders_and_twice_the_line_frequency_together() -> None:
    run = readings(0.004, TICK_H, drive=0.5, transient=[{"kind": "ramp", "at_h": 0.001, "drive": 1.0, "seconds": 4}])
    speed = told(run, "speed_rpm")
    assert speed[:10] == pytest.approx(speed[0], rel=0.02)
    assert speed[22:] == pytest.approx(2.0 * speed[0], rel=0.03)
    middle = speed[10:21]
    assert (np.diff(middle) > 0.0).all()
    assert told(run, "current_a").max() < 2.0 * told(run, "current_a")[0]


def test_a_load_step_is_met_by_slip_within_a_second() -> None:
    run = readings(0.004, TICK_H, load={"level": 0.2}, transient=[{"kind": "load_step", "at_h": 0.002, "load": 1.2}])
    speed, load = told(run, "speed_rpm"), told(run, "load")
    assert speed[:20].mean() > 1490.0
    assert speed[24:].mean() < 1465.0
    assert load[24:].mean() == pytest.approx(1.2, abs=0.1)


def test_the_same_seed_gives_the_same_bytes_through_transients() -> None:
    one, other = (
        readings(
            0.002,
            TICK_H,
            critical={"hz": 20.0},
            transient=[{"kind": "start", "at_h": 0.0005}],
            fault=[{"kind": "outer_race", "severity": 0.6}],
        )
        for _ in range(2)
    )
    assert all(a.accel_m_s2["x"].tobytes() == b.accel_m_s2["x"].tobytes() for a, b in zip(one, other, strict=True))


def test_a_bearing_defect_keeps_its_order_while_the_speed_changes() -> None:
    # Counted by strikes: twice as fast, twice as many.
    def strikes(drive: float) -> float:
        plan = {"kind": "ramp", "at_h": 0.0002, "drive": drive, "seconds": 20}
        run = readings(0.0006, TICK_H, drive=drive, transient=[plan], fault=[{"kind": "outer_race", "severity": 1.0}])
        x = run[4].accel_m_s2["x"].astype(np.float64)
        spectrum = np.fft.fft(x)
        spectrum[x.size // 2 :] = 0.0
        envelope = np.abs(np.fft.ifft(spectrum)) ** 2
        lines = np.abs(np.fft.rfft((envelope - envelope.mean()) * np.hanning(x.size)))
        f_hz = np.fft.rfftfreq(x.size, 1.0 / FS_HZ)
        near = (f_hz > 2.5 * run[4].speed_rpm / 60.0) & (f_hz < 4.5 * run[4].speed_rpm / 60.0)
        return float(f_hz[near][np.argmax(lines[near])] / (run[4].speed_rpm / 60.0))

    # BPFO of the motor's usual bearing, 6208.
    assert strikes(0.6) == pytest.approx(strikes(1.0), rel=0.06)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"supply": [{"from_h": 3}]}, "give positive (other than 1), negative (above 0) or lost_phase"),
        ({"supply": [{"from_h": 3, "to_h": 2, "negative": 0.1}]}, "to_h=2 must lie after from_h=3"),
        ({"supply": [{"negative": 0.9}]}, "motor[0].supply[0].negative: must lie within 0..0.2 (got 0.9)"),
        ({"transient": [{"kind": "start", "at_h": 1, "stop_h": 2}]}, "at_h=1 must lie after stop_h=2"),
        ({"transient": [{"kind": "ramp", "at_h": 1}]}, "drive belongs to kind 'ramp', which needs it"),
        ({"transient": [{"kind": "load_step", "at_h": 1, "load": 9}]}, "motor[0].transient[0].load: "),
        ({"transient": [{"kind": "stop", "at_h": 1}]}, "motor[0].transient[0].kind: "),
        ({"critical": {"hz": 0}}, "motor[0].critical.hz: "),
        ({"mounting": {"hz": 9000}}, "motor[0].mounting.hz=9000 must lie below half of sampling.fs_hz=12800"),
        ({"mounting": {"hz": 9000, "glue": 1}}, "motor[0].mounting.glue: unknown key"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        readings(10.0, 1.0, **keys)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mounting_resonance_lifts_its_band_and_leaves_the_low_ones() -> None:
    stiff, loose = (
        readings(2.0, 1.0, **keys)[0].accel_m_s2["x"] for keys in ({}, {"mounting": {"hz": 4000, "damping": 0.03}})
    )
    f_hz = np.fft.rfftfreq(stiff.size, 1.0 / FS_HZ)
    power = [np.abs(np.fft.rfft(x)) ** 2 for x in (stiff, loose)]
    near, low = np.abs(f_hz - 4000.0) < 100.0, (f_hz > 20.0) & (f_hz < 400.0)
    assert 8.0 < np.sqrt(power[1][near].sum() / power[0][near].sum()) < 17.0
    assert power[1][low].sum() == pytest.approx(power[0][low].sum(), rel=0.05)
