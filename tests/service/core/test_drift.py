"""Drift of the inputs on the twin: silence where nothing changes, a changed gain found; and its arithmetic."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from service import drift
from service.contract.messages import AXES
from service.contract.signals import OPERATING
from service.contract.sketch import SketchSpec, ln_rms
from tests.service.core.conftest import Edge, make_profile, make_reading

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from service.bundle import Bundle

HOUR_S = 3600.0
T0_S = 1_800_000_000.0 - 1_800_000_000.0 % HOUR_S


def spec(**changes: object) -> SketchSpec:
    """A sketch of machines that all alike stand at level 0 +- 3, whatever the load."""
    kinds = ("accel_m_s2", "current_a", "winding_c", "housing_c")
    content = {
        "motors": 100,
        "slopes": dict.fromkeys(kinds, (0.0, 0.0, 0.0)),
        "load_edges": (0.5,),
        "speed_edges": (0.8,),
        "probabilities": (0.001, 0.999),
        "quantiles": dict.fromkeys(kinds, ((-3.0, 3.0),) * 4),
        "silent_m_s2": 0.005,
        "block_s": HOUR_S,
        "learning_blocks": 48,
        "tolerated": dict.fromkeys(kinds, 0.05),
        "sought": dict.fromkeys(kinds, 0.18),
        "false_alarm_h": 87_660.0,
    }
    return SketchSpec.model_validate(content | changes)


def plates(count: int) -> NDArray[np.float32]:
    """Plates of ``count`` motors, with everything that the levels need."""
    plate = np.array([1450.0, 10.0, 80.0, 40.0, 2400.0, np.nan, np.nan, np.nan, np.nan], dtype=np.float32)
    return np.tile(plate, (count, 1))


def operating(count: int, **columns: object) -> NDArray[np.float32]:
    values = {
        "speed_rpm": 1450.0,
        "current_a": 8.0,
        "load": 0.7,
        "winding_c": 70.0,
        "housing_c": 45.0,
        "ambient_c": 20.0,
    }
    return np.stack(
        [np.broadcast_to(np.asarray((values | columns)[name], dtype=np.float32), count) for name in OPERATING], axis=1
    )


class Run(NamedTuple):
    """Hour of the first finding by motor, and the last records."""

    found: dict[int, int]
    records: list[bytes]


def run(
    rules: drift.Rules, ln: Callable[[int], NDArray[np.float64]], hours: int, motors: int, faulty: bool = False
) -> Run:
    """Motors with one axis, a reading an hour."""
    records, found = [b""] * motors, {}
    plate, scalars = plates(motors), operating(motors)
    for hour in range(hours):
        axes = np.full((motors, len(AXES)), np.nan)
        axes[:, 0] = ln(hour)
        at_s = np.full(motors, T0_S + hour * HOUR_S)
        records, names, *_ = rules.advance(records, axes, scalars, plate, at_s, np.full(motors, faulty))
        for row in names:
            found.setdefault(row, hour)
    return Run(found, records)


def test_false_findings_are_rarer_than_promised_even_where_the_promise_is_short() -> None:
    """A promise of 200 h over 12 looks a block; 300 motors over 400 h may then give up to 600 findings a channel."""
    rng = np.random.default_rng(1)
    rules = drift.Rules(spec(false_alarm_h=200.0))
    quiet = run(rules, lambda _: rng.normal(0.0, 0.08, 300), 448, 300)
    assert len(quiet.found) / (300 * 400 / 200.0) < 1.0


def test_with_the_shipped_promise_nothing_is_found_in_thirteen_motor_years_of_noise() -> None:
    rng = np.random.default_rng(2)
    assert run(drift.Rules(spec()), lambda _: rng.normal(0.3, 0.08, 200), 600, 200).found == {}


@pytest.mark.parametrize("gain", [0.8, 1.2])
def test_a_fifth_more_or_less_gain_is_found_within_a_day_for_most_and_two_for_all_and_passes(gain: float) -> None:
    rng = np.random.default_rng(3)

    def ln(hour: int) -> NDArray[np.float64]:
        return rng.normal(0.0, 0.08, 100) + (math.log(gain) if 100 <= hour < 160 else 0.0)

    rules = drift.Rules(spec())
    during = run(rules, ln, 150, 100)
    assert sorted(during.found) == list(range(100))
    hours = np.array(list(during.found.values())) - 100
    assert hours.min() > 0
    assert np.quantile(hours, 0.95) <= 24
    assert hours.max() <= 48
    after = run(rules, ln, 220, 100)
    assert rules.census(after.records)[0]["drifted"] == 0


def test_a_change_that_is_tolerated_is_not_found() -> None:
    rng = np.random.default_rng(4)
    ln = lambda hour: rng.normal(0.0, 0.08, 100) + (0.03 if hour >= 100 else 0.0)  # noqa: E731
    assert run(drift.Rules(spec()), ln, 400, 100).found == {}


def test_while_a_fault_is_named_nothing_is_learnt_or_judged() -> None:
    rules = drift.Rules(spec())
    records = run(rules, lambda hour: np.full(2, 0.1 * hour), 100, 2, faulty=True).records
    assert rules.channels(records[0]) == {}


def test_a_motor_unlike_the_trainings_machines_is_told_once_its_baseline_stands() -> None:
    rng = np.random.default_rng(5)
    rules = drift.Rules(spec())
    strange = run(rules, lambda _: rng.normal((0.0, 4.0), 0.08), 60, 2).records
    statuses = [drift.status_of(rules.channels(record), sketched=True) for record in strange]
    assert statuses == ["usual", "unlike"]
    assert rules.channels(strange[1])["accel_m_s2.x"].unlike
    young = run(rules, lambda _: np.zeros(1), 20, 1).records
    assert drift.status_of(rules.channels(young[0]), sketched=True) == "learning"


def test_a_record_of_another_sketch_is_begun_anew_and_one_is_small() -> None:
    learnt = run(drift.Rules(spec()), lambda _: np.zeros(1), 60, 1).records
    other = drift.Rules(spec(learning_blocks=24))
    assert other.channels(learnt[0]) == {}
    assert len(learnt[0]) == drift.BYTES <= 220


def test_many_readings_an_hour_count_as_one() -> None:
    rules = drift.Rules(spec())
    records = [b""]
    for minute in range(47 * 60):
        axes = np.array([[0.0, np.nan, np.nan]])
        records = rules.advance(
            records, axes, operating(1), plates(1), np.array([T0_S + 60.0 * minute]), np.zeros(1, np.bool_)
        ).records
    assert not rules.channels(records[0])["accel_m_s2.x"].learnt


def test_a_standing_or_idle_machine_is_not_compared() -> None:
    rules = drift.Rules(spec())
    axes = np.zeros((2, len(AXES)))
    scalars = operating(2, speed_rpm=[0.0, 1450.0], current_a=[8.0, 0.2])
    records = rules.advance([b"", b""], axes, scalars, plates(2), np.full(2, T0_S), np.zeros(2, np.bool_)).records
    assert [rules.channels(record) for record in records] == [{}, {}]


@pytest.mark.parametrize("offset", [0.0, 1.0, 900.0])
def test_the_level_is_that_of_the_motion_about_its_mean(offset: float) -> None:
    x = np.random.default_rng(6).normal(0.0, 0.5, 4096).astype(np.float32) + np.float32(offset)
    assert ln_rms(x) == pytest.approx(math.log(float(x.astype(np.float64).std())), abs=2e-3)
    assert ln_rms(np.full(4096, offset, np.float32)) == -math.inf


def test_an_old_bundle_knows_nothing_of_drift(bundle: Bundle) -> None:
    assert bundle.manifest.sketch is None
    edge = Edge(bundle, {"m1": make_profile()})
    edge.take(make_reading())
    assert (edge.state["m1"].drift, edge.health[-1].drift) == (b"", ())


@pytest.fixture(scope="module")
def sketched(tmp_path_factory: pytest.TempPathFactory, bundle_writer: Callable[..., Path]) -> Bundle:
    from service.bundle import load

    def put(manifest: dict[str, object]) -> None:
        manifest["sketch"] = json.loads(spec(learning_blocks=8).model_dump_json())

    return load(bundle_writer(tmp_path_factory.mktemp("sketched"), change=put))


def test_drift_is_told_with_the_health_and_survives_a_restart(sketched: Bundle) -> None:
    from service.monitor import MotorState

    edge = Edge(sketched, {"m1": make_profile()})
    rng = np.random.default_rng(8)

    def take(hour: int, gain: float) -> None:
        x = {20 + k: 0.0 for k in range(2)} | {
            k: float(gain * v) for k, v in enumerate(rng.normal(0, 0.2, 40), start=24)
        }
        edge.take(make_reading(seq=hour, start_s=T0_S + hour * (HOUR_S - 60.0), anomaly=0.1 * gain, x=x))

    for hour in range(12):
        take(hour, 1.0)
    raw = edge.state["m1"].to_bytes()
    assert MotorState.from_bytes(raw) == edge.state["m1"]
    for hour in range(12, 40):
        take(hour, 3.0)
    assert edge.health[-1].drift == ("accel_m_s2.x",)
    assert all(health.drift == () for health in edge.health[:12])
