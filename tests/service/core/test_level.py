"""A level that rose over the motor's own start: found by rule, silent otherwise, told in the anomaly's alert."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service import drift, level
from service.bundle import load
from service.contract.sketch import AXIS_COUNT
from service.monitor import relearn
from service.motor import MotorState
from tests.service.core.conftest import SAMPLES, Edge, make_profile, make_reading
from tests.service.core.test_drift import operating, plates, spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from service.bundle import Bundle
    from service.contract.messages import Reading

SKETCH = spec(slopes=dict.fromkeys(("accel_m_s2", "current_a", "winding_c", "housing_c"), (0.5, 0.0, 2.0)))


def heard(y: NDArray[np.float64], *, step_s: float = 60.0, **columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels ``(readings, motors)`` of motors with ``ln`` RMS ``y`` ``(readings, motors)`` on axis x; else NaN."""
    count = y.shape[1]
    records = [b""] * count
    faulty = columns.pop("faulty", np.zeros(y.shape, dtype=np.bool_))
    rules = drift.Rules(SKETCH)
    out = np.full(y.shape, np.nan)
    for at, row in enumerate(y):
        axes = np.full((count, AXIS_COUNT), np.nan)
        axes[:, 0] = row
        scalars = operating(count, **{name: values[at] for name, values in columns.items()})
        ts_s = 1.8e9 + at * step_s
        compared = rules.advance([b""] * count, axes, scalars, plates(count), np.full(count, ts_s), faulty[at])
        records, risen = level.advanced(
            records, compared.y, compared.condition[:, 1], np.full(count, ts_s).tolist(), faulty[at]
        )
        out[at] = np.array(risen, dtype=np.float64)
    return out


def test_a_level_is_one_at_two_and_a_half_times_the_start_and_silent_while_it_learns() -> None:
    still = np.zeros((level.READINGS, 2))
    risen = np.array([[math.log(2.5), -1.0], [math.log(6.25), 0.0]])
    found = heard(np.concatenate([still, risen]))
    assert np.isnan(found[: level.READINGS]).all()
    assert found[level.READINGS :, 0] == pytest.approx([1.0, 2.0], abs=1e-6)
    assert (found[level.READINGS :, 1] <= 0.0).all()


def test_readings_that_come_fast_are_learnt_from_for_the_whole_span() -> None:
    found = heard(np.zeros((700, 1)), step_s=1.0)[:, 0]
    assert np.flatnonzero(np.isfinite(found))[0] == level.SPAN_S


def test_what_load_and_speed_do_to_a_level_is_taken_out_and_a_speed_far_from_the_start_is_not_judged() -> None:
    load, speed = np.full((60, 1), 0.7), np.full((60, 1), 1450.0)
    load[30:] = 1.2
    speed[40:] = 1450.0 * 1.1
    speed[50:] = 1450.0 * 0.5
    y = 0.5 * (load - 0.6) + 2.0 * np.log(speed / 1450.0)
    found = heard(y, load=load, speed_rpm=speed)[:, 0]
    assert np.abs(found[level.READINGS : 50]).max() < 1e-5
    assert np.isnan(found[50:]).all()


def test_readings_under_a_named_fault_teach_nothing() -> None:
    y = np.zeros((60, 1))
    y[:20] = 2.0
    faulty = np.zeros(y.shape, dtype=np.bool_)
    faulty[:20] = True
    found = heard(y, faulty=faulty)[:, 0]
    assert np.isnan(found[: 20 + level.READINGS]).all()
    assert np.abs(found[20 + level.READINGS :]).max() < 1e-6


def test_noise_of_a_fifth_never_reaches_a_significant_change() -> None:
    found = heard(0.2 * np.random.default_rng(3).standard_normal((200, 100)))
    assert np.nanmax(found) < 1.0 + 0.2
    assert np.nanmean(found > 1.0) < 1e-4


@pytest.fixture(scope="module")
def sketched(tmp_path_factory: pytest.TempPathFactory, bundle_writer: Callable[..., Path]) -> Bundle:
    def put(manifest: dict[str, object]) -> None:
        manifest["sketch"] = json.loads(SKETCH.model_dump_json())

    return load(bundle_writer(tmp_path_factory.mktemp("level"), change=put))


def test_a_risen_level_opens_an_anomaly_that_says_so_across_a_restart(sketched: Bundle) -> None:
    edge = Edge(sketched, {"m1": make_profile()})
    noise = np.random.default_rng(5).standard_normal(SAMPLES - 16)

    def reading(seq: int, gain: float) -> Reading:
        return make_reading(seq=seq, x={16 + at: gain * value for at, value in enumerate(noise)})

    for seq in range(30):
        edge.take(reading(seq, 1.0))
    quiet = edge.health[-1].anomaly
    edge.state = type(edge.state)({"m1": MotorState.from_bytes(edge.state["m1"].to_bytes())})
    for seq in range(30, 34):
        edge.take(reading(seq, 4.0))
    assert quiet is not None
    assert quiet < 1.0
    assert edge.told() == [("anomaly", "open", 0)]
    assert "4.0 times that of its own start" in edge.alerts[0].reason
    assert edge.alerts[0].anomaly == pytest.approx(math.log(4.0) / math.log(2.5), abs=0.01)
    assert edge.health[-1].anomaly == edge.alerts[0].anomaly
    # a repaired motor's past no longer counts: the new level is its start, and the alert ends by itself
    edge.state = relearn(edge.state, "m1").state
    for seq in range(34, 70):
        edge.take(reading(seq, 4.0))
    assert edge.told()[-1] == ("anomaly", "clear", 1)
    assert edge.state["m1"].level != b""
    assert relearn(edge.state, "nobody").changed == ()


def test_a_shaft_fault_that_is_there_from_the_first_reading_is_told_at_once_and_alerted_when_the_motor_has_settled(
    sketched: Bundle,
) -> None:
    edge = Edge(sketched, {"m1": make_profile()})
    noise = np.random.default_rng(5).standard_normal(SAMPLES - 16)
    samples = {16 + at: value for at, value in enumerate(noise)}
    at_s = []
    for seq in range(14):
        edge.take(make_reading(seq=seq, faults={"imbalance": 0.95}, x=samples))
        at_s.append(edge.health[-1].ts_s - edge.health[0].ts_s)
    assert edge.told() == [("imbalance", "open", 0)]
    assert edge.health[0].diagnosis == "imbalance"
    assert {health.state for health in edge.health if health.ts_s < edge.alerts[0].ts_s} == {"warning"}
    opened_s = edge.alerts[0].ts_s - edge.health[0].ts_s
    assert opened_s == min(past for past in at_s if past >= level.SPAN_S)


def test_a_motor_settles_for_ten_minutes_after_its_start_and_anew_after_a_repair() -> None:
    new = level.advance(b"", [0.0] + [math.nan] * (AXIS_COUNT - 1), 0.0, 1000.0, faulty=False).record
    unheard = level.advance(b"", [math.nan] * AXIS_COUNT, 0.0, 1000.0, faulty=False).record
    times = (1000.0, 1000.0 + level.SPAN_S - 1.0, 1000.0 + level.SPAN_S)
    assert level.settling([new] * 3, times).tolist() == [True, True, False]
    assert level.settling([unheard, b""], (1000.0, 1000.0)).tolist() == [False, False]
    assert level.settling([new], (-1e9,)).tolist() == [False], "a clock that was set back holds no alert"
