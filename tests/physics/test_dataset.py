"""Labelled windows and histories: shapes, labels, missing values; same seed, same bytes."""

from dataclasses import fields

import numpy as np
import pytest

from service.contract.faults import TAUGHT, Fault
from service.contract.signals import NAMEPLATE, OPERATING, SIGNALS
from simulator.dataset import CHUNK, Windows, histories, windows

FAULTS = TAUGHT


@pytest.fixture(scope="module")
def some() -> Windows:
    return windows(20 * CHUNK, seed=6)


def _bytes(data: object) -> list[bytes]:
    return [np.ascontiguousarray(getattr(data, f.name)).tobytes() for f in fields(data)]  # type: ignore[arg-type]


def test_same_seed_gives_the_same_bytes_whatever_the_number_of_workers() -> None:
    one = windows(3 * CHUNK + 5, seed=4, samples=2048)
    assert _bytes(one) == _bytes(windows(3 * CHUNK + 5, seed=4, samples=2048, workers=2))
    assert _bytes(one) != _bytes(windows(3 * CHUNK + 5, seed=5, samples=2048))


def test_histories_too_are_the_same_bytes_whatever_the_number_of_workers() -> None:
    one = histories(70, seed=4, hours=50, step_h=1.0)
    assert _bytes(one) == _bytes(histories(70, seed=4, hours=50, step_h=1.0, workers=2))


def test_windows_have_the_shapes_and_types_of_the_graphs_inputs(some: Windows) -> None:
    n = 20 * CHUNK
    assert some.accel_m_s2.shape == (n, 4096)
    assert some.accel_m_s2.dtype == np.float32
    assert some.operating.shape == (n, len(OPERATING))
    assert some.nameplate.shape == (n, len(NAMEPLATE))
    assert some.severity.shape == (n, len(FAULTS))
    assert np.isfinite(some.accel_m_s2).all()
    assert ((some.fs_hz >= 10_000) & (some.fs_hz <= 26_000)).all()


def test_samples_behind_the_valid_ones_are_zero_and_valid_ones_are_not(some: Windows) -> None:
    assert some.samples.min() >= 2048
    for row in range(0, len(some.samples), 37):
        valid = int(some.samples[row])
        assert not some.accel_m_s2[row, valid:].any()
        assert some.accel_m_s2[row, :valid].std() > 0.01


def test_about_the_asked_share_is_healthy_and_every_fault_occurs(some: Windows) -> None:
    count = (some.severity > 0).sum(axis=1)
    assert abs((count == 0).mean() - 0.3) < 0.04
    assert count.max() == 2
    assert ((some.severity > 0).sum(axis=0) > 40).all()
    assert some.severity.min() >= 0.0
    assert some.severity.max() <= 1.0


def test_measured_values_are_plausible_by_the_contracts_ranges(some: Windows) -> None:
    for column, signal in enumerate(SIGNALS):
        known = some.operating[:, column]
        known = known[np.isfinite(known)]
        share = ((known >= signal.low - 0.1) & (known <= signal.high)).mean()
        assert share > 0.995, signal.name


def test_every_signal_is_sometimes_missing_and_sometimes_all_are(some: Windows) -> None:
    missing = np.isnan(some.operating)
    assert (missing.mean(axis=0) > 0.03).all()
    assert (missing.mean(axis=0) < 0.45).all()
    assert missing.all(axis=1).any()


def test_overload_and_cooling_show_in_the_slow_signals(some: Windows) -> None:
    rise = some.operating[:, 4] - some.operating[:, 5]
    of_plate = rise / some.nameplate[:, NAMEPLATE.index("housing_rise_k")]
    healthy = of_plate[(some.severity > 0).sum(axis=1) == 0]
    for fault in (Fault.COOLING, Fault.OVERLOAD):
        severe = of_plate[some.severity[:, FAULTS.index(fault)] > 0.7]
        assert np.nanmedian(severe) > 1.8 * np.nanmedian(healthy), fault


def test_windows_of_one_motor_share_its_nameplate(some: Windows) -> None:
    first = some.motor == some.motor[0]
    assert first.sum() == 4
    rows = some.nameplate[first]
    np.testing.assert_array_equal(rows, np.broadcast_to(rows[0], rows.shape))


def test_histories_fail_when_severity_reaches_one() -> None:
    data = histories(64, seed=1, hours=300, step_h=1.0)
    assert data.severity.shape == (64, 301, len(FAULTS))
    assert data.rul_h.shape == (64, 301)
    worst = data.severity.max(axis=2)
    assert ((worst >= 1.0) == (data.rul_h <= 0.0)).all()
    assert np.isinf(data.failure_ts_s).any()
    assert (np.diff(data.severity, axis=1) >= 0).all()


@pytest.mark.parametrize(("count", "share"), [(0, 0.3), (10, 1.4)])
def test_an_impossible_order_is_refused_by_name(count: int, share: float) -> None:
    with pytest.raises(ValueError, match=r"count=0|healthy_share=1\.4"):
        windows(count, seed=1, healthy_share=share)


def test_other_faults_are_drawn_when_asked_for_and_change_nothing_else() -> None:
    asked = (*FAULTS, Fault.ROTOR_BAR, Fault.SOFT_FOOT)
    data = windows(256, seed=5, samples=2048, faults=asked)
    assert data.severity.shape == (256, len(asked))
    assert (data.severity > 0.0).any(axis=0).all()
    few = windows(64, seed=5, samples=2048, faults=(Fault.BENT_SHAFT, Fault.BALL))
    assert few.severity.shape == (64, 2)
    np.testing.assert_array_equal(windows(64, seed=5, samples=2048).nameplate.shape, few.nameplate.shape)


@pytest.mark.parametrize("faults", [(Fault.BALL,), (Fault.BALL, Fault.BALL)])
def test_a_data_set_needs_two_different_faults(faults: tuple[Fault, ...]) -> None:
    with pytest.raises(ValueError, match="needs at least 2, each once"):
        windows(10, seed=0, faults=faults)
