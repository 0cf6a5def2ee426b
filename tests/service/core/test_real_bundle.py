"""The bundle that is shipped, on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import service
from service.bundle import Bundle, load
from service.contract.messages import Birth, Nameplate
from service.monitor import profile_of
from tests.service.core.conftest import Edge, make_reading

FOLDER = Path(service.__file__).parent / "models"


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return load(FOLDER)


def test_the_shipped_bundle_reproduces_its_golden_vectors_on_this_machine(shipped: Bundle) -> None:
    assert len(shipped.digest) == 64


def test_the_shipped_bundle_is_under_two_megabytes(shipped: Bundle) -> None:
    names = {"manifest.json", shipped.manifest.golden.file, *(spec.file for spec in shipped.manifest.graphs.values())}
    assert sum((FOLDER / name).stat().st_size for name in names) < 2_000_000


def test_the_smallest_plate_that_is_understood_costs_no_reading(shipped: Bundle) -> None:
    plate = Nameplate(
        rated_power_w=1e-3,
        rated_speed_rpm=1.0,
        rated_current_a=1e-3,
        supply_hz=1.0,
        winding_rise_k=0.1,
        housing_rise_k=0.1,
        thermal_tau_s=1.0,
    )
    edge = Edge(shipped, {"m1": profile_of(Birth(motor="m1", ts_s=1.8e9, nameplate=plate, clock="simulated"))})
    wave = np.random.default_rng(0).standard_normal(shipped.manifest.window.samples).astype(np.float32)
    for seq in range(3):
        said = {"speed_rpm": 1430.0, "current_a": 2e4, "winding_c": 60.0, "housing_c": 40.0, "ambient_c": 20.0}
        edge.take(make_reading(seq=seq, accel_m_s2={"x": wave}, fs_hz=12_000.0, **said))
    assert [health.seq for health in edge.health] == [0, 1, 2]
