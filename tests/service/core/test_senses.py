"""Sensors that send and say nothing: found, left out as if missing, told; and believed again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.bundle import load
from service.contract.messages import Birth, Nameplate
from service.monitor import MotorState, profile_of
from tests.service.core.conftest import SAMPLES, Edge, make_reading
from tests.service.core.test_drift import spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from service.bundle import Bundle
    from service.contract.messages import Health

HOUR_S = 3600.0


@pytest.fixture
def edge(bundle: Bundle) -> Edge:
    plate = Nameplate(rated_power_w=1500.0, rated_speed_rpm=1450.0, winding_rise_k=80.0, housing_rise_k=40.0)
    return Edge(bundle, {"m1": profile_of(Birth(motor="m1", ts_s=1.8e9, nameplate=plate, clock="simulated"))})


def told(edge: Edge, seq: int, **fields: object) -> Health:
    """What is told of a reading an hour after the one before."""
    edge.take(make_reading(seq=seq, start_s=1.8e9 + seq * (HOUR_S - 60.0), **fields))
    return edge.health[-1]


def test_a_temperature_that_stands_still_while_the_load_moves_is_left_out_and_believed_again(edge: Edge) -> None:
    for seq in range(4):
        assert told(edge, seq, load=0.3, winding_c=50.0 + 0.1 * seq).flat == ()
    stuck = [told(edge, seq, load=0.9, winding_c=50.3) for seq in range(4, 8)]
    assert stuck[-1].flat == ("winding_c",)
    assert "winding_c" in stuck[-1].missing
    again = told(edge, 8, load=0.9, winding_c=88.0)
    assert (again.flat, "winding_c" in again.missing) == ((), False)


def test_a_temperature_that_stands_still_under_a_steady_load_is_believed(edge: Edge) -> None:
    for seq in range(60):
        assert told(edge, seq, load=0.7, winding_c=70.0, housing_c=50.0).flat == ()


def test_what_is_known_of_a_still_sensor_survives_a_restart(edge: Edge) -> None:
    told(edge, 0, load=0.3, winding_c=50.0)
    told(edge, 1, load=0.9, winding_c=50.0)
    again = MotorState.from_bytes(edge.state["m1"].to_bytes())
    assert again == edge.state["m1"]
    assert len(again.still) > 0


def test_a_stuck_temperature_does_not_reach_the_filter(edge: Edge) -> None:
    """The tiny filter fails on a winding above 200 degrees; a stuck one at 210 is masked, so it does not."""
    told(edge, 0, load=0.3, winding_c=199.0)
    told(edge, 1, load=0.3, winding_c=210.0)
    assert edge.health[-1].health is None
    for seq in range(2, 5):
        told(edge, seq, load=0.9, winding_c=210.0)
    assert edge.health[-1].flat == ("winding_c",)
    assert edge.health[-1].health is not None


def test_a_constant_vibration_channel_is_left_out_and_the_other_axis_decides(edge: Edge) -> None:
    good = make_reading(anomaly=0.4).accel_m_s2["x"]
    dead = np.full(SAMPLES, 5.0, np.float32)  # the tiny detector would call that an anomaly of 5
    health = told(edge, 0, accel_m_s2={"x": good, "y": dead})
    assert (health.anomaly, health.flat) == (pytest.approx(0.4), ("accel_m_s2.y",))
    silent = told(edge, 1, accel_m_s2={"x": dead})
    assert (silent.anomaly, silent.severity, silent.flat) == (None, None, ("accel_m_s2.x",))
    assert "accel_m_s2" in silent.missing


def test_a_fallen_accelerometer_hisses_and_is_found_while_the_machine_turns(
    tmp_path: Path, bundle_writer: Callable[..., Path], edge: Edge
) -> None:
    def put(manifest: dict[str, object]) -> None:
        manifest["sketch"] = json.loads(spec().model_dump_json())

    edge.models = load(bundle_writer(tmp_path / "sketched", change=put))
    hiss = np.abs(np.random.default_rng(1).normal(0.0, 0.002, SAMPLES)).astype(np.float32)
    hiss[20:22] = 0.0  # the tiny graphs' switches
    assert told(edge, 0, accel_m_s2={"x": hiss}, speed_rpm=1440.0).flat == ("accel_m_s2.x",)
    assert told(edge, 1, accel_m_s2={"x": hiss}, speed_rpm=0.0).flat == ()
