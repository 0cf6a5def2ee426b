"""Training data: split by motor, the same whoever makes it, labels that the inputs can justify."""

from __future__ import annotations

import numpy as np
import pytest

from service.contract.faults import BEARING_FAULTS, TAUGHT, Fault
from service.contract.signals import NAMEPLATE, OPERATING
from training import data

pytestmark = pytest.mark.training

COUNT = data.CHUNK
FAULTS = list(TAUGHT)


@pytest.fixture(scope="module")
def table() -> data.Table:
    return data.table(2 * COUNT, seed=3, workers=1, healthy_share=0.35, told=lambda _done, _wanted: None)


def test_no_motor_sits_on_two_sides_of_the_split(table: data.Table) -> None:
    parts = data.split(table, seed=0)
    motors = [set(part.motor.tolist()) for part in (parts.fit, parts.calibrate, parts.report)]
    assert not motors[0] & motors[1]
    assert not motors[0] & motors[2]
    assert not motors[1] & motors[2]
    assert sum(len(part) for part in (parts.fit, parts.calibrate, parts.report)) == len(table)
    assert len(parts.fit) > 0.5 * len(table)


def test_motors_of_different_chunks_are_different_motors(table: data.Table) -> None:
    first, second = set(table.motor[:COUNT].tolist()), set(table.motor[COUNT:].tolist())
    assert not first & second


def test_the_number_of_workers_does_not_change_a_byte(table: data.Table) -> None:
    again = data.table(2 * COUNT, seed=3, workers=2, healthy_share=0.35, told=lambda _done, _wanted: None)
    assert np.array_equal(again.features, table.features)
    assert np.array_equal(again.severity, table.severity)


def test_every_feature_is_finite_and_some_are_healthy(table: data.Table) -> None:
    assert np.isfinite(table.features).all()
    assert 0.3 < table.healthy.mean() < 0.6


def test_a_fault_that_the_inputs_cannot_show_is_not_asked_for() -> None:
    sample = data.windows(512, seed=9, healthy_share=0.0)
    blind = np.isnan(sample.nameplate[:, NAMEPLATE.index("bpfo")])
    assert blind.any()
    assert (sample.severity[blind][:, [FAULTS.index(fault) for fault in BEARING_FAULTS]] == 0.0).all()
    cold = np.isnan(sample.operating[:, OPERATING.index("ambient_c")])
    assert (sample.severity[cold, FAULTS.index(Fault.COOLING)] == 0.0).all()
    assert (sample.severity[~cold, FAULTS.index(Fault.COOLING)] > 0.0).any()


def test_nothing_is_added_behind_the_valid_samples() -> None:
    sample = data.windows(256, seed=4, healthy_share=0.3)
    behind = np.arange(sample.accel_m_s2.shape[1]) >= sample.samples[:, None]
    assert behind.any()
    assert (sample.accel_m_s2[behind] == 0.0).all()
