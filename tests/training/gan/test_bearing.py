"""Motor windows: envelopes, CWRU splits, the twin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.contract.bearing import CATALOGUE
from training.gan import bearing, envelope
from training.gan.windows import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RPM, FS_HZ = 1750.0, 12_000.0


def modulated(order: float, seconds: float = 2.0) -> NDArray[np.float64]:
    """Noise whose level swings at an order of the shaft."""
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * FS_HZ)) / FS_HZ
    return rng.standard_normal(len(t)) * (1.0 + 0.9 * np.sin(2 * np.pi * order * RPM / 60.0 * t))


@pytest.mark.parametrize("order", [2.0, 3.5848, 5.4152])
def test_a_level_that_swings_at_an_order_shows_at_that_step(order) -> None:
    windows = envelope.spectra(envelope.levels(modulated(order)[None], FS_HZ, RPM))
    assert windows.shape[1:] == (envelope.STEPS, 3)
    lines = windows.mean(axis=(0, 2))[1:]
    assert abs((lines.argmax() + 1) / envelope.TURNS - order) <= 0.25


def test_the_windows_do_not_depend_on_speed() -> None:
    slow = envelope.spectra(envelope.levels(modulated(3.0)[None], FS_HZ, RPM)).mean(axis=0)
    t = np.arange(48_000) / FS_HZ
    fast_wave = np.random.default_rng(0).standard_normal(48_000) * (1 + 0.9 * np.sin(2 * np.pi * 3.0 * 20.0 * t))
    fast = envelope.spectra(envelope.levels(fast_wave[None], FS_HZ, 1200.0)).mean(axis=0)
    np.testing.assert_allclose(slow, fast, atol=0.25)


def test_decimation_keeps_slow_waves_and_drops_those_above_the_new_nyquist() -> None:
    t = np.arange(48_000) / 48_000.0
    kept = envelope.decimated(np.sin(2 * np.pi * 1000 * t) + np.sin(2 * np.pi * 9000 * t), 4)
    np.testing.assert_allclose(kept, np.sin(2 * np.pi * 1000 * t[::4]), atol=1e-9)


@pytest.mark.parametrize(
    ("wave", "fs_hz", "rpm", "said"),
    [
        (np.ones((1, 9000)), 8000.0, RPM, "fs_hz: 8000 is below"),
        (np.ones((1, 9000)), FS_HZ, 0.0, "speed_rpm"),
        (np.ones((1, 100)), FS_HZ, RPM, "fewer than 4 turns"),
        (np.full((1, 9000), np.nan), FS_HZ, RPM, "accel_m_s2: NaN"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(wave, fs_hz, rpm, said) -> None:
    with pytest.raises(InputError, match=said):
        envelope.levels(wave, fs_hz, rpm)


def test_the_twin_shows_each_defect_at_its_order() -> None:
    windows = bearing.twin_windows(96, 0)
    orders = CATALOGUE["6205"].orders()
    for label, order in ((1, orders.bpfi), (2, orders.bpfo)):
        step = round(order * envelope.TURNS)
        own = windows.of(label).values[:, step - 1 : step + 2].max(axis=1).mean()
        other = windows.of(3 - label).values[:, step - 1 : step + 2].max(axis=1).mean()
        assert own > other + 0.1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_bearing_and_no_fault_size_is_on_both_sides_of_the_split(cwru, seed) -> None:
    split = bearing.split(cwru, 3, seed, synthetic=12)
    (test,) = split.tests.values()
    faulty = test.label > 0
    assert not set(split.train.unit[split.train.label > 0]) & set(test.unit[faulty])
    assert not set(split.train.severity[split.train.label > 0]) & set(test.severity[faulty])
    assert np.bincount(split.train.label, minlength=4).min() > 0


def test_the_reserve_shares_bearings_but_no_window_with_training(cwru) -> None:
    split = bearing.split(cwru, 1, 0, synthetic=12)
    assert set(split.reserve.unit) <= set(split.train.unit)
    rows = {row.tobytes() for row in split.train.values}
    assert not any(row.tobytes() in rows for row in split.reserve.values)


def test_too_many_failures_and_an_absent_data_set_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="failures: 13"):
        bearing.split(tmp_path, 13, 0, synthetic=1)
    with pytest.raises(InputError, match="MOTOR_DATA"):
        bearing.split(tmp_path, 1, 0, synthetic=1)
